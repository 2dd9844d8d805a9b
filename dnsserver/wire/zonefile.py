"""Zone files (RFC 1035 section 5) to RRsets, or every mistake in them with its line.

What the server would not serve as it is written is a mistake too: delegations, DNAME, files that include others.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dnsserver.wire import message as m
from dnsserver.wire.codec import read_name, read_rdata, type_number
from dnsserver.wire.message import FormatError, RRset
from dnsserver.wire.name import ROOT, from_text, is_below, labels, to_text

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\f]++)|(?P<comment>;[^\n]*+)|(?P<end>\n)|(?P<paren>[()])"""
    r"""|"(?P<quoted>(?:[^"\\\n]|\\.)*+)"|(?P<word>(?:[^\s;()"\\]|\\[^\n])++)"""
)
_TIME = re.compile(r"(?:\d{1,10}[smhdw]?)++\Z", re.IGNORECASE)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LARGEST_TTL = 2**31 - 1  # RFC 2181 section 8
_CLASSES = {"IN", "CH", "HS", "CS"}
_NS, _DNAME = 2, 39
_DIRECTIVES = {"$INCLUDE": "files that include others are not read", "$GENERATE": "write out what it stands for"}
_MOST_MISTAKES = 20
_NO_ORIGIN = "the zone is the root, and would have every name; expected $ORIGIN above the SOA, or ZONE=PATH in `static`"


class ZoneFileError(FormatError):
    """A zone file that cannot be served; `mistakes` are sentences, each with its line, 0 for the whole file."""

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(f"line {line}: {text}" if line else text for line, text in mistakes))


class _Entry(NamedTuple):
    """A record or directive as it is written: its line, whether it begins with a blank, and its words."""

    line: int
    indented: bool
    words: list[str]


class _Record(NamedTuple):
    line: int
    owner: bytes
    type: int
    ttl: int | None
    rdata: bytes


def read_zone(text: str, origin: str = "") -> tuple[RRset, ...]:
    """Return the RRsets of a zone file, names in lower case, the SOA's owner first.

    `origin` is the name of the zone, below which relative names stand until the file says `$ORIGIN`; by default only
    the file says which zone it is. A record without a TTL has the file's `$TTL`, or that of the record before it, or
    the SOA's MINIMUM. Raises ZoneFileError.
    """
    reader = _Reader(origin)
    try:
        for entry in _entries(text):
            reader.take(entry)
    except ZoneFileError as error:
        reader.mistakes += error.mistakes
    zone = reader.zone()
    if reader.mistakes or zone is None:
        kept = sorted(reader.mistakes)[:_MOST_MISTAKES]
        more = len(reader.mistakes) - len(kept)
        raise ZoneFileError([*kept, *([(0, f"and {more} more mistakes")] if more else [])])
    return zone


def read_record(text: str, asked: bytes) -> tuple[bytes, int, int | None, bytes]:
    """Return the owner, type, TTL and data of one record; the TTL is None where the text has none.

    `@` is the name that was `asked`, and so is the owner where there is none; other names need no dot at their end.
    Raises FormatError.
    """
    entries = list(_entries(text))
    if len(entries) != 1:
        raise FormatError(f"{len(entries)} records, expected one")
    (entry,) = entries
    words = [to_text(asked) if word == "@" else word for word in entry.words]
    if entry.indented or _begins_fields(words):
        return asked, *_fields(words, to_text(asked))
    try:
        return read_name(words[0], ROOT).lower(), *_fields(words[1:], words[0])
    except FormatError:
        if not _is_type(words[0]):
            raise
    return asked, *_fields(words, to_text(asked))


def _begins_fields(words: list[str]) -> bool:
    """Tell whether words are those of a record without its owner: `60 IN A ...`, `A ...` but not `a IN A ...`."""
    if _is_field(words[0]):
        return True
    return _is_type(words[0]) and not any(_is_field(word) or _is_type(word) for word in words[1:2])


def _is_field(word: str) -> bool:
    return word.upper() in _CLASSES or _TIME.match(word) is not None


def _is_type(word: str) -> bool:
    try:
        type_number(word.upper())
    except FormatError:
        return False
    return True


def _fields(words: list[str], owner: str) -> tuple[int, int | None, bytes]:
    """Return type, TTL and data from what follows the owner."""
    words = list(words)
    ttl = _take_ttl_and_class(words, owner)
    rtype, rdata = read_rdata(words[0].upper(), words[1:], ROOT)
    return rtype, ttl, rdata


def _take_ttl_and_class(words: list[str], owner: str) -> int | None:
    """Remove the TTL and the class in front of a type; return the TTL, if there is one. Raises FormatError."""
    ttl = None
    while words and _is_field(words[0]):
        word = words.pop(0)
        if _TIME.match(word):
            ttl = _seconds(word)
        elif word.upper() != "IN":
            raise FormatError(f"{owner} is of class {word.upper()}, expected IN")
    if not words:
        raise FormatError(f"{owner} has no type")
    return ttl


def _entries(text: str) -> Iterator[_Entry]:
    """Yield the entry of each line, or of lines in parentheses. Raises ZoneFileError if they cannot be split."""
    position, line, opened = 0, 1, 0
    entry = _Entry(1, indented=False, words=[])
    begins = True
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ZoneFileError([(line, f"found {text[position : position + 10]!r}, a text that does not end")])
        position = token.end()
        if token["end"]:
            line += 1
            if not opened:
                if entry.words:
                    yield entry
                entry, begins = _Entry(line, indented=False, words=[]), True
            continue
        if token["paren"]:
            if (token["paren"] == "(") == bool(opened):
                raise ZoneFileError([(line, f"an unmatched parenthesis, `{token['paren']}`")])
            opened = 0 if opened else line
        elif token["blank"] and begins:
            entry = entry._replace(indented=True)
        elif token["word"] is not None:
            entry.words.append(token["word"])
        elif token["quoted"] is not None:
            entry.words.append(f'"{token["quoted"]}"')
        begins = False
    if opened:
        raise ZoneFileError([(opened, "a parenthesis that is not closed")])
    if entry.words:
        yield entry


class _Reader:
    """Reads the entries in their order, and notes the mistakes of each."""

    def __init__(self, origin: str) -> None:
        self.mistakes: list[tuple[int, str]] = []
        self._origin = self._zone = from_text(origin).lower()
        self._owner: bytes | None = None
        self._ttl: int | None = None
        self._last_ttl: int | None = None
        self._records: list[_Record] = []

    def take(self, entry: _Entry) -> None:
        """Note a record, follow a directive."""
        try:
            if entry.words[0].startswith("$") and not entry.indented:
                self._direct(*entry.words)
            else:
                self._record(entry)
        except FormatError as error:
            self.mistakes.append((entry.line, str(error)))

    def _direct(self, directive: str, *words: str) -> None:
        name = directive.upper()
        if name == "$ORIGIN" and len(words) == 1:
            self._origin = read_name(words[0], self._origin)
        elif name == "$TTL" and len(words) == 1 and _TIME.match(words[0]):
            self._ttl = _seconds(words[0])
        elif name in {"$ORIGIN", "$TTL"}:
            raise FormatError(f"expected {name} and one {'name' if name == '$ORIGIN' else 'time'}")
        else:
            why = _DIRECTIVES.get(name, "there is no such directive")
            raise FormatError(f"found {directive}: {why}")

    def _record(self, entry: _Entry) -> None:
        words = list(entry.words)
        if not entry.indented:
            self._owner = None  # whatever becomes of this line, the next one is not about the owner before it
            self._owner = read_name(words.pop(0), self._origin).lower()
        if self._owner is None:
            raise FormatError("a record without a name, and none before it")
        ttl = _take_ttl_and_class(words, to_text(self._owner))
        self._last_ttl = ttl if ttl is not None else self._ttl if self._ttl is not None else self._last_ttl
        rtype, rdata = read_rdata(words[0].upper(), words[1:], self._origin)
        self._records.append(_Record(entry.line, self._owner, rtype, self._last_ttl, rdata))

    def zone(self) -> tuple[RRset, ...] | None:
        """Return what the records are together; None, and mistakes noted, if they are no zone."""
        soas = [record for record in self._records if record.type == m.SOA]
        if len(soas) != 1:
            line = soas[1].line if soas else 0
            if soas or not self.mistakes:
                self.mistakes.append((line, f"{len(soas)} SOA records, expected one"))
            return None
        (soa,) = soas
        if soa.owner != self._zone != ROOT:
            text = f"the SOA is that of {to_text(soa.owner)}, expected {to_text(self._zone)}"
            self.mistakes.append((soa.line, text))
            return None
        if soa.owner == ROOT:
            self.mistakes.append((soa.line, _NO_ORIGIN))
            return None
        for record in self._records:
            self._judge(record, soa.owner)
        self._judge_aliases()
        minimum = int.from_bytes(soa.rdata[-4:], "big")
        grouped: dict[tuple[bytes, int], list[_Record]] = {}
        for record in self._records:
            grouped.setdefault((record.owner, record.type), []).append(record)
        rrsets = (
            RRset(owner, rtype, min(_ttl(record, minimum) for record in found), _each(found))
            for (owner, rtype), found in grouped.items()
        )
        return tuple(sorted(rrsets, key=lambda rrset: (len(labels(rrset.name)), rrset.type != m.SOA)))

    def _judge(self, record: _Record, apex: bytes) -> None:
        """Note whatever of a record the server would not serve."""
        owner = to_text(record.owner)
        if not is_below(record.owner, apex):
            self.mistakes.append((record.line, f"{owner} is not in the zone {to_text(apex)}"))
        elif record.type == _NS and record.owner != apex:
            text = f"{owner} NS is a delegation; zone files here have none, write a [[forward]] for it"
            self.mistakes.append((record.line, text))
        elif record.type == _DNAME:
            self.mistakes.append((record.line, f"{owner} DNAME is not followed; write a CNAME for each name"))

    def _judge_aliases(self) -> None:
        """Note a CNAME beside other data (RFC 1034 section 3.6.2)."""
        aliases = {record.owner: record for record in self._records if record.type == m.CNAME}
        for record in self._records:
            alias = aliases.get(record.owner)
            if alias is not None and (record.type, record.rdata) != (alias.type, alias.rdata):
                last = max(record.line, alias.line)
                self.mistakes.append((last, f"{to_text(record.owner)} has a CNAME and other records; it may have one"))
                del aliases[record.owner]


def _seconds(word: str) -> int:
    total = sum(int(number) * _UNITS[unit.lower()] for number, unit in re.findall(r"(\d+)([a-zA-Z]?)", word))
    if total > _LARGEST_TTL:
        raise FormatError(f"found the TTL {word}, expected at most {_LARGEST_TTL}")
    return total


def _ttl(record: _Record, minimum: int) -> int:
    return minimum if record.ttl is None else record.ttl


def _each(found: list[_Record]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(record.rdata for record in found))
