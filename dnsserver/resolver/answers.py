"""Answers that are written in the configuration, for a name, a domain, or the names that a regular expression fits."""

from typing import Literal

import msgspec

from dnsserver.resolver.matching import Condition, Match, Table
from dnsserver.resolver.patterns import GapText, Pattern, RuleError
from dnsserver.wire import message as m
from dnsserver.wire.message import EDE, FormatError, RRset
from dnsserver.wire.name import from_text, to_text
from dnsserver.wire.zonefile import read_record
from dnsserver.zone.record import Answer, Reason, bare_soa, minimal_any

Rcode = Literal["NODATA", "NXDOMAIN", "REFUSED", "DROP"]

TTL = 60  # seconds, of records without one and of negative answers
_MOST_RECORDS = 64
_BLOCKED = "a rule of this server answers so"
FIXED = Reason("rule-records")
NODATA = Reason("rule-nodata", EDE.BLOCKED, _BLOCKED)
NXDOMAIN = Reason("rule-nxdomain", EDE.BLOCKED, _BLOCKED)
REFUSED = Reason("rule-refused", EDE.PROHIBITED, _BLOCKED)
DROPPED = Reason("rule-dropped", EDE.PROHIBITED, _BLOCKED)
_OTHER_TYPE = Reason("rule-no-data")
_NO_RECORD = Reason("rule-record-invalid", EDE.INVALID_DATA, "the answer of a rule is not a valid record for this name")

# What may stand in a gap, to see whether a record could ever be one.
_SAMPLES = ("1", "192.0.2.1", "2001:db8::1", "a", "a.example.")
_SAMPLE_NAMES = (from_text("one.example"), from_text("another.example"))
# Where the name stands that other records of the same rule may be about: octets of the data before it.
_TARGETS = {m.CNAME: 0, m.MX: 2, m.SRV: 6, m.NS: 0}


class FixedAnswer(msgspec.Struct, frozen=True):
    """One rule: names of the condition have these records, as text, or else this rcode."""

    condition: Condition
    records: tuple[str, ...] = ()
    rcode: Rcode | None = None


class RecordError(RuleError):
    """One of a rule's records cannot be; `number` says which, from 0."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class FixedAnswers:
    """All rules that answer, in their order."""

    def __init__(self, rules: tuple[FixedAnswer, ...]) -> None:
        """Read the records; raises RuleError."""
        self.table: Table[_Rule] = Table([(rule.condition, _Rule(rule)) for rule in rules])

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name, or None if no rule is for it. `DROP` is the rcode of no reply."""
        match = self.table.find(name, qtype)
        return None if match is None else match.rule.answer(name, qtype, match)


class _Rule:
    """A rule, with its records read as far as they do not depend on the name of the question."""

    __slots__ = ("_rcode", "_records", "rule")

    def __init__(self, rule: FixedAnswer) -> None:
        self.rule = rule
        condition = rule.condition
        gaps = frozenset({"name"}) | (frozenset() if condition.regex is None else Pattern(condition.regex).groups)
        self._rcode = rule.rcode
        self._records: list[_Record] = []
        for number, text in enumerate(rule.records):
            try:
                self._records.append(_Record(GapText(text, gaps), condition.name))
            except RuleError as error:
                raise RecordError(number, str(error)) from None
        known = {None} | {record.target for record in self._records}
        for number, record in enumerate(self._records):
            if number >= _MOST_RECORDS:
                raise RecordError(number, f"is one of {len(self._records)} records, expected at most {_MOST_RECORDS}")
            if record.owner not in known:
                shown = f'found "{rule.records[number][:60]}"'
                raise RecordError(number, f"{shown}, which is about a name other than the one that is asked for")
            if condition.types and record.owner is None and record.type not in {*condition.types, m.CNAME}:
                text = f"is of type {m.type_name(record.type)}, which is not among the types that the rule is for"
                raise RecordError(number, text)
        self._see_to_aliases()

    def _see_to_aliases(self) -> None:
        """Raise RecordError for an alias whose name has other records as well, which RFC 1034 section 3.6.2 forbids."""
        owners = [record.owner for record in self._records]
        for number, record in enumerate(self._records):
            if record.type == m.CNAME and owners.count(record.owner) > 1:
                shown = f'found "{self.rule.records[number][:60]}"'
                raise RecordError(number, f"{shown}, an alias of a name that has other records here, expected it alone")

    def answer(self, name: bytes, qtype: int, match: "Match[_Rule]") -> Answer:
        """Return what the rule says of a name."""
        soa = (bare_soa(match.domain, TTL),)
        if self._rcode == "NODATA":
            return minimal_any(Answer(authority=soa, reason=NODATA), name, qtype)
        if self._rcode == "NXDOMAIN":
            return Answer(m.NXDOMAIN, authority=soa, reason=NXDOMAIN)
        if self._rcode == "REFUSED":
            return Answer(m.REFUSED, reason=REFUSED, aa=False)
        if self._rcode == "DROP":
            return Answer(m.DROP, reason=DROPPED, depends=None)
        values = {"name": to_text(name), **match.values}
        try:
            rrsets = _rrsets([record.read(name, values) for record in self._records])
        except FormatError:
            return Answer(m.SERVFAIL, reason=_NO_RECORD, aa=False)
        return minimal_any(_chosen(rrsets, name, qtype, soa), name, qtype)


class _Record:
    """A record as it is written, read ahead if possible. If its owner is None, it is the name of the question."""

    __slots__ = ("_fields", "_text", "owner", "target", "type")

    def __init__(self, text: GapText, name: bytes | None) -> None:
        """Read it for `name`, or for any; raises RuleError if it is no record, whatever is in its gaps."""
        asked = (name, name) if name is not None else _SAMPLE_NAMES
        (owner, self.type, ttl, rdata), again = (_sample(text, one) for one in asked)
        self.owner = None if (owner, again[0]) == asked else owner
        begin = _TARGETS.get(self.type)
        self.target = None if begin is None else rdata[begin:].lower()
        self._text = text
        fixed = text.gaps <= {"name"} and again[3] == rdata
        self._fields = (self.type, ttl, rdata) if fixed else None

    def read(self, name: bytes, values: dict[str, str]) -> tuple[bytes, int, int | None, bytes]:
        """Return owner, type, TTL and data where `name` is asked; raises FormatError."""
        if self._fields is not None:
            return name if self.owner is None else self.owner, *self._fields
        return read_record(self._text.filled(values), name)


def _sample(text: GapText, name: bytes) -> tuple[bytes, int, int | None, bytes]:
    """Return a sample of a record, with text in its gaps; raises RuleError if no sample makes it valid."""
    problem = ""
    for sample in _SAMPLES:
        values = dict.fromkeys(text.gaps, sample) | {"name": to_text(name)}
        try:
            return read_record(text.filled(values), name)
        except FormatError as error:
            problem = problem or str(error)
    raise RuleError(problem)


def _rrsets(records: list[tuple[bytes, int, int | None, bytes]]) -> dict[tuple[bytes, int], RRset]:
    """Return the records by owner and type."""
    found: dict[tuple[bytes, int], RRset] = {}
    for owner, rtype, ttl, rdata in records:
        seconds = TTL if ttl is None else ttl
        before = found.get((owner, rtype))
        if before is None:
            found[owner, rtype] = RRset(owner, rtype, seconds, (rdata,))
        elif rdata not in before.rdatas:
            found[owner, rtype] = RRset(owner, rtype, min(seconds, before.ttl), (*before.rdatas, rdata))
    return found


def _chosen(rrsets: dict[tuple[bytes, int], RRset], name: bytes, qtype: int, soa: tuple[RRset]) -> Answer:
    """Return the records that answer a question; aliases are followed as far as the rule has records."""
    chain: list[RRset] = []
    seen = {name}
    while True:
        rrset = rrsets.get((name, qtype))
        if rrset is not None:
            return Answer(answer=(*chain, rrset), additional=_additional(rrsets, rrset), reason=FIXED)
        alias = rrsets.get((name, m.CNAME))
        if alias is None:
            return Answer(answer=tuple(chain), authority=soa, reason=_OTHER_TYPE)
        chain.append(alias)
        name = alias.rdatas[0].lower()
        if name in seen:
            return Answer(m.SERVFAIL, reason=_NO_RECORD, aa=False)
        seen.add(name)
        if not any(owner == name for owner, _ in rrsets):
            return Answer(answer=tuple(chain), reason=FIXED, follow=name)


def _additional(rrsets: dict[tuple[bytes, int], RRset], rrset: RRset) -> tuple[RRset, ...]:
    """Return the addresses of the names that the records point to, as far as the rule has them."""
    begin = _TARGETS.get(rrset.type)
    if begin is None:
        return ()
    targets = dict.fromkeys(rdata[begin:].lower() for rdata in rrset.rdatas)
    found = (rrsets.get((target, rtype)) for target in targets for rtype in (m.A, m.AAAA))
    return tuple(addresses for addresses in found if addresses is not None)
