"""Whole messages read as strictly as the RFCs are written, by a parser that shares nothing with the server's.

Every packet that the server sends in the whole run of tests goes through it: `tests.conftest` has each message that a
test reads with dnspython read here first, and the helpers that put questions do the same with what they get.

RFC 1035 section 4, 3597, 4034, 6891, 9267: counts are those of the sections, nothing stands behind the last record,
names have 255 octets and labels 63 at most, a pointer leads to where a name or the end of one stood before, rdata is
what its type says to its last octet, there is one OPT at most.
"""

import struct
from typing import NamedTuple

HEADER = struct.Struct("!HHHHHH")
FIELDS = struct.Struct("!HHIH")
_OPT = 41
_JUMPS = 128
_SHOWN = 600  # octets

# The fields of rdata: a number is so many octets, "n" a name, "s" a character string, "*" strings to the end, "." the
# rest, whatever it is.
_SHAPES: dict[int, tuple[int | str, ...]] = {
    1: (4,),
    2: ("n",),
    3: ("n",),
    4: ("n",),
    5: ("n",),
    6: ("n", "n", 20),
    7: ("n",),
    8: ("n",),
    9: ("n",),
    12: ("n",),
    13: ("s", "s"),
    14: ("n", "n"),
    15: (2, "n"),
    16: ("*",),
    17: ("n", "n"),
    18: (2, "n"),
    21: (2, "n"),
    24: (18, "n", "."),
    26: (2, "n", "n"),
    28: (16,),
    30: ("n", "."),
    33: (6, "n"),
    35: (4, "s", "s", "s", "n"),
    36: (2, "n"),
    39: ("n",),
    46: (18, "n", "."),
    47: ("n", "."),
    58: ("n", "n"),
    64: (2, "n", "."),
    65: (2, "n", "."),
    99: ("*",),
    107: (2, "n"),
}


class MalformedError(AssertionError):
    """A message that no strict client could read."""


class Record(NamedTuple):
    """A record: its section (0 answer, 1 authority, 2 additional), its fields, and the names in its rdata."""

    section: int
    owner: bytes
    type: int
    cls: int
    ttl: int
    rdata: bytes
    names: tuple[bytes, ...]


class Message(NamedTuple):
    """A message that was read to its last octet."""

    id: int
    flags: int
    questions: list[tuple[bytes, int, int]]
    records: list[Record]

    @property
    def opt(self) -> Record | None:
        """The OPT, if there is one."""
        return next((record for record in self.records if record.type == _OPT), None)


def message(wire: bytes) -> Message:
    """Return what a message says. Raises MalformedError."""
    reader = _Reader(wire)
    try:
        return reader.message()
    except (IndexError, struct.error) as error:
        raise MalformedError(f"ends in its middle: {wire[:_SHOWN].hex()}") from error


def reply(wire: bytes, query: bytes | None = None) -> Message:
    """Return a reply of the server's; with the `query` it has to be one to that. Raises MalformedError."""
    found = message(wire)
    _expect(bool(found.flags & 0x8000), "QR is clear in a reply", wire)
    if query is not None and len(query) >= 12:
        _expect(wire[:2] == query[:2], "another ID", wire)
        if found.questions:
            end = len(found.questions[0][0]) + 4
            _expect(wire[12 : 12 + end] == query[12 : 12 + end], "the question is not the one that was asked", wire)
    return found


def _expect(condition: bool, problem: str, wire: bytes) -> None:
    if not condition:
        raise MalformedError(f"{problem}: {wire[:_SHOWN].hex()}")


class _Reader:
    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.at = 0
        self.stood: dict[int, tuple[bytes, int]] = {}

    def message(self) -> Message:
        wire = self.wire
        number, flags, questions, *counts = HEADER.unpack_from(wire)
        _expect(not flags & 0x40, "the reserved bit is set", wire)
        _expect(questions <= 1, f"{questions} questions", wire)
        self.at = HEADER.size
        asked = []
        for _ in range(questions):
            name = self.name(len(wire))
            asked.append((name, *struct.unpack_from("!HH", wire, self.at)))
            self.at += 4
        records = [self.record(section) for section, count in enumerate(counts) for _ in range(count)]
        _expect(self.at == len(wire), f"{len(wire) - self.at} octets behind the last record", wire)
        _expect(sum(record.type == _OPT for record in records) <= 1, "two OPTs", wire)
        return Message(number, flags, asked, records)

    def record(self, section: int) -> Record:
        wire = self.wire
        owner = self.name(len(wire))
        type_, cls, ttl, length = FIELDS.unpack_from(wire, self.at)
        start = self.at = self.at + FIELDS.size
        end = start + length
        _expect(end <= len(wire), "rdata past the end", wire)
        if type_ == _OPT:
            _expect(owner == b"\0" and section == 2, "an OPT that is not at the root, or not additional", wire)
            self.options(end)
            return Record(section, owner, type_, cls, ttl, wire[start:end], ())
        _expect(ttl < 1 << 31, f"a TTL of {ttl}", wire)
        names = []
        for field in _SHAPES.get(type_, (".",)):
            if field == "n":
                names.append(self.name(end))
            elif field == "s":
                self.at += 1 + wire[self.at]
            elif field == "*":
                while self.at < end:
                    self.at += 1 + wire[self.at]
            elif field == ".":
                _expect(self.at <= end, f"rdata of type {type_} too short", wire)
                self.at = end
            else:
                assert isinstance(field, int)
                self.at += field
        _expect(self.at == end, f"rdata of type {type_} ends at {end}, its fields at {self.at}", wire)
        return Record(section, owner, type_, cls, ttl, wire[start:end], tuple(names))

    def options(self, end: int) -> None:
        while self.at < end:
            _, length = struct.unpack_from("!HH", self.wire, self.at)
            self.at += 4 + length
        _expect(self.at == end, "an option past the end of its OPT", self.wire)

    def name(self, end: int) -> bytes:
        """Read a name whose octets here end before `end`."""
        wire, begun = self.wire, self.at
        starts = [begun]
        while 0 < wire[self.at] < 0x40:
            self.at += 1 + wire[self.at]
            starts.append(self.at)
        here = wire[begun : self.at]
        if wire[self.at] == 0:
            rest, jumps = b"\0", 0
            self.at += 1
        else:
            _expect(wire[self.at] >= 0xC0, f"label type {wire[self.at]:#x}", wire)
            target = (wire[self.at] & 0x3F) << 8 | wire[self.at + 1]
            _expect(target in self.stood, f"a pointer at {self.at} to {target}, where no name stood", wire)
            rest, jumps = self.stood[target]
            jumps += 1
            self.at += 2
        _expect(self.at <= end, f"a name at {begun} that runs over the end of its field", wire)
        _expect(len(here) + len(rest) <= 255 and jumps <= _JUMPS, f"a name at {begun} that is too long", wire)
        whole = here + rest
        for start in starts:
            self.stood[start] = whole[start - begun :], jumps
        return whole
