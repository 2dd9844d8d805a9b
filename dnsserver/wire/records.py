"""Names and records read out of a whole message from a stranger, in bounded time (RFC 1035 section 4.1).

Every pointer must go back, past the header and before where the name began, at most `MAX_POINTERS` times for a name
(RFC 9267 section 2): so no name loops, and none costs more than its 255 octets and those jumps.
"""

import struct
from collections.abc import Iterator

import msgspec

from dnsserver.wire.message import (
    AAAA,
    CNAME,
    DNAME,
    HEADER_SIZE,
    MX,
    NAPTR,
    NS,
    PTR,
    SOA,
    SRV,
    A,
    Body,
    FormatError,
    RRset,
)

MAX_POINTERS = 127  # labels of the longest name: a writer that ends each name in a pointer, as ours, needs so many

_unpack_fixed = struct.Struct("!HHIH").unpack_from

# Where names stand in rdata that may hold compressed ones (RFC 1035, 1183, 2163, 2230, 3597 section 4):
# octets before the first name, number of names, octets after the last. NAPTR has strings before its name.
_NAMES_IN_RDATA = {
    NS: (0, 1, 0),
    3: (0, 1, 0),  # MD
    4: (0, 1, 0),  # MF
    CNAME: (0, 1, 0),
    SOA: (0, 2, 20),
    7: (0, 1, 0),  # MB
    8: (0, 1, 0),  # MG
    9: (0, 1, 0),  # MR
    PTR: (0, 1, 0),
    14: (0, 2, 0),  # MINFO
    MX: (2, 1, 0),
    17: (0, 2, 0),  # RP
    18: (2, 1, 0),  # AFSDB
    21: (2, 1, 0),  # RT
    26: (2, 2, 0),  # PX
    SRV: (6, 1, 0),
    36: (2, 1, 0),  # KX
    DNAME: (0, 1, 0),
}
HAS_NAMES = frozenset(_NAMES_IN_RDATA) | {NAPTR}
FIXED_LENGTHS = {A: 4, AAAA: 16}


class Record(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One record as it stands in a message: its owner, its fields, and where its octets are.

    Two are never the same record but by identity: dicts of them hash no field.
    """

    owner: bytes
    type: int
    cls: int
    ttl: int
    start: int
    rdata: int
    end: int

    @property
    def ttl_at(self) -> int:
        """Where the TTL field stands: it is followed by the rdata's length."""
        return self.rdata - 6


def rrsets(body: Body, name: bytes) -> tuple[tuple[RRset, ...], tuple[RRset, ...], tuple[RRset, ...]]:
    """Return the three sections of a Body that stands behind the question for `name`; raises FormatError.

    Names are whole and keep their case, for where records of two origins meet in one reply. Records keep their order,
    one RRset for each run of the same owner, type and TTL.
    """
    front = bytes(HEADER_SIZE) + name + bytes(4)
    message = front + body.data
    position = len(front)
    sections = []
    for count in (body.an, body.ns, body.ar):
        found: list[tuple[tuple[bytes, int, int], list[bytes]]] = []
        for _ in range(count):
            # Whoever took the Body has read all its names, but an owner may be one pointer more: to such a name.
            owner, position = read_name(message, position, lower=False, most=MAX_POINTERS + 1)
            type_, _, ttl, start, position = _fields(message, position)
            key = (owner, type_, ttl)
            rdata = plain_rdata(message, type_, start, position)
            if found and found[-1][0] == key:
                found[-1][1].append(rdata)
            else:
                found.append((key, [rdata]))
        sections.append(tuple(RRset(*key, tuple(rdatas)) for key, rdatas in found))
    return sections[0], sections[1], sections[2]


def read_name(message: bytes, position: int, *, lower: bool = True, most: int = MAX_POINTERS) -> tuple[bytes, int]:
    """Return the name at `position`, uncompressed, and where the octets after it begin. Raises FormatError."""
    parts = []
    size = 1
    after = 0
    limit = position
    pointers = 0
    try:
        while length := message[position]:
            if length < 0x40:
                follows = position + 1 + length
                parts.append(message[position:follows])
                size += length + 1
                if size > 255:
                    raise FormatError(f"name at octet {limit} has more than 255 octets")
                position = follows
            elif length >= 0xC0:
                target = (length & 0x3F) << 8 | message[position + 1]
                pointers += 1
                if not HEADER_SIZE <= target < limit or pointers > most:
                    raise FormatError(f"name pointer at octet {position} to {target}, expected one that goes back")
                after = after or position + 2
                limit = position = target
            else:
                raise FormatError(f"label type {length:#x} at octet {position}, expected a length or a pointer")
    except IndexError:
        raise FormatError(f"message of {len(message)} octets ends in a name") from None
    name = b"".join(parts) + b"\0"
    return (name.lower() if lower else name), after or position + 1


def read_records(message: bytes, position: int, count: int) -> Iterator[Record]:
    """Yield `count` records from `position` on, owners in lower case, names in their rdata checked.

    Raises FormatError.
    """
    for _ in range(count):
        owner, fixed = read_name(message, position)
        type_, cls, ttl, rdata, end = _fields(message, fixed)
        check_rdata(message, type_, rdata, end)
        yield Record(owner, type_, cls, ttl, position, rdata, end)
        position = end


def _fields(message: bytes, fixed: int) -> tuple[int, int, int, int, int]:
    """Return type, class, TTL, and where the rdata begins and ends, of a record whose owner ends at `fixed`."""
    try:
        type_, cls, ttl, length = _unpack_fixed(message, fixed)
    except struct.error:
        raise FormatError(f"message of {len(message)} octets ends in a record") from None
    rdata = fixed + 10
    end = rdata + length
    if end > len(message):
        raise FormatError(f"rdata at octet {rdata} ends at {end}, the message at {len(message)}")
    return type_, cls, ttl, rdata, end


def check_rdata(message: bytes, type_: int, start: int, end: int) -> None:
    """Raise FormatError when the rdata's names do not fill it or an address has the wrong length."""
    if type_ in HAS_NAMES:
        plain_rdata(message, type_, start, end)
    elif end - start != FIXED_LENGTHS.get(type_, end - start):
        raise FormatError(f"rdata of type {type_} has {end - start} octets, expected {FIXED_LENGTHS[type_]}")


def plain_rdata(message: bytes, type_: int, start: int, end: int) -> bytes:
    """Return the rdata without compression; names keep their case. Raises FormatError when they do not fill it."""
    if type_ not in HAS_NAMES:
        return message[start:end]
    before, names, rest = _NAMES_IN_RDATA.get(type_) or (_naptr_prefix(message, start, end), 1, 0)
    position = start + before
    parts = [message[start:position]]
    for _ in range(names):
        name, position = read_name(message, position, lower=False)
        parts.append(name)
    if position + rest != end:
        raise FormatError(f"rdata of type {type_} at octet {start} ends at {end}, its fields at {position + rest}")
    parts.append(message[position:end])
    return b"".join(parts)


def _naptr_prefix(message: bytes, start: int, end: int) -> int:
    """Return how many octets stand before a NAPTR's name: order, preference, three strings (RFC 3403 section 4.1)."""
    position = start + 4
    for _ in range(3):
        if position >= end:
            raise FormatError(f"NAPTR rdata at octet {start} ends in a string")
        position += 1 + message[position]
    return position - start
