"""Names and records read out of a whole message from a stranger, in bounded time (RFC 1035 section 4.1).

A pointer must lead to where a name, or the end of one, stood before in the same message, and a name in rdata must end
where its field does (RFC 9267). So no name loops, none runs over its own beginning or into what is not a name, and the
octets of a message that was read whole may be sent on as they are: each name is found again where it was, whatever
becomes of TTLs and of the question's case. A name costs its own labels and one look-up, and a message has room for so
many of them.
"""

import struct
from collections.abc import Callable, Iterator

import msgspec

from dnsserver.wire.message import (
    ADDRESS_SIZES,
    CNAME,
    DNAME,
    HEADER_SIZE,
    HTTPS,
    MX,
    NAPTR,
    NS,
    NSEC,
    PTR,
    RRSIG,
    SOA,
    SRV,
    SVCB,
    TXT,
    Body,
    FormatError,
    RRset,
)
from dnsserver.wire.name import MAX_NAME, end_of_name

MAX_POINTERS = 127  # labels of the longest name: a writer that ends each name in a pointer, as ours, needs so many
MAX_LABELS = 12_000  # written out in one message; one of 1,000 SRV records has some 7,000

_unpack_fixed = struct.Struct("!HHIH").unpack_from
_ANY_REST = -1
_ANY_NUMBER = 65_535

# Where names stand in rdata (RFC 1035, 1183, 2163, 2230, 2782, 4034, 6672, 9460): octets before the first name, number
# of names, octets after the last. NAPTR has strings before its name. Those younger than RFC 3597 are not to be
# compressed, but names after them may point to theirs.
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
    24: (18, 1, _ANY_REST),  # SIG
    26: (2, 2, 0),  # PX
    30: (0, 1, _ANY_REST),  # NXT
    SRV: (6, 1, 0),
    36: (2, 1, 0),  # KX
    DNAME: (0, 1, 0),
    RRSIG: (18, 1, _ANY_REST),
    NSEC: (0, 1, _ANY_REST),
    58: (0, 2, 0),  # TALINK
    SVCB: (2, 1, _ANY_REST),
    HTTPS: (2, 1, _ANY_REST),
    107: (2, 1, 0),  # LP
}
HAS_NAMES = frozenset(_NAMES_IN_RDATA) | {NAPTR}
# Whose rdata is character strings, each behind its length (RFC 1035 section 3.3, 1183, 7208): the least and the most.
_STRINGS_IN_RDATA = {13: (2, 2), TXT: (0, _ANY_NUMBER), 19: (1, 1), 20: (1, 2), 99: (0, _ANY_NUMBER)}
HAS_FORM = HAS_NAMES | frozenset(_STRINGS_IN_RDATA)


class Names:
    """The names of one message, read in the order in which they stand in it; of `most` labels all together."""

    __slots__ = ("_known", "_message", "_most", "_read")

    def __init__(self, message: bytes, most: int = MAX_LABELS) -> None:
        """Know none yet."""
        self._message = message
        self._most = most
        self._read: list[tuple[int, bytes, int]] = []  # where each name begins, the name, its jumps
        self._known: dict[int, int] = {}  # which of them it is that a name, or the end of one, stands in

    def read(self, position: int) -> tuple[bytes, int]:
        """Return the name at `position`, uncompressed, case kept, and where the octets after it begin.

        Raises FormatError.
        """
        message = self._message
        known = self._known
        number = len(self._read)
        at = position
        try:
            while 0 < (length := message[at]) < 0x40:
                known[at] = number
                at += length + 1
            known[at] = number
            if not length:
                after = at + 1
                name = message[position:after]
                jumps = 0
            elif length >= 0xC0:
                after = at + 2
                target = (length & 0x3F) << 8 | message[at + 1]
                begun, whole, jumps = self._read[known[target]]
                name = message[position:at] + whole[target - begun :]
                jumps += 1
            else:
                raise FormatError(f"label type {length:#x} at octet {at}, expected a length or a pointer")
        except IndexError:  # also of a pointer into the name that it ends
            raise FormatError(f"name at octet {position} of {len(message)} does not end") from None
        except KeyError:
            raise FormatError(f"name pointer at octet {at} to {target}, where no name stood before") from None
        if len(name) > MAX_NAME or jumps > MAX_POINTERS or len(known) > self._most:
            raise FormatError(f"name at octet {position}: {len(name)} octets, {jumps} jumps, label {len(known)}")
        self._read.append((position, name, jumps))
        return name, after

    def rdata(self, type_: int, start: int, end: int) -> bytes:
        """Return rdata without compression; names keep their case.

        Raises FormatError when its names or strings do not fill it, or an address has the wrong length.
        """
        message = self._message
        if type_ == CNAME:  # one of those that are nothing but a name, and the one that there are most of
            name, position = self.read(start)
            if position != end:
                raise FormatError(f"CNAME at octet {start} ends at {end}, its name at {position}")
            return name
        if type_ not in HAS_NAMES:
            if type_ in _STRINGS_IN_RDATA:
                _check_strings(message, type_, start, end)
            if end - start != ADDRESS_SIZES.get(type_, end - start):
                raise FormatError(f"rdata of type {type_} has {end - start} octets, expected {ADDRESS_SIZES[type_]}")
            return message[start:end]
        before, names, rest = _NAMES_IN_RDATA.get(type_) or (_naptr_prefix(message, start, end), 1, 0)
        position = start + before
        parts = [message[start:position]]
        for _ in range(names):
            if position >= end:
                raise FormatError(f"rdata of type {type_} at octet {start} ends at {end}, before its names")
            name, position = self.read(position)
            parts.append(name)
        if position + rest != end if rest >= 0 else position > end:
            raise FormatError(f"rdata of type {type_} at octet {start} ends at {end}, its names at {position}")
        parts.append(message[position:end])
        return b"".join(parts)


def with_names(type_: int, rdata: bytes, change: Callable[[bytes], bytes | None]) -> bytes | None:
    """Return uncompressed data of a record with each name in it changed; None where one of them cannot be."""
    if type_ not in HAS_NAMES:
        return rdata
    position, names, _ = _NAMES_IN_RDATA.get(type_) or (_naptr_prefix(rdata, 0, len(rdata)), 1, 0)
    parts = [rdata[:position]]
    for _ in range(names):
        end = end_of_name(rdata, position)
        changed = change(rdata[position:end])
        if changed is None:
            return None
        parts.append(changed)
        position = end
    return b"".join((*parts, rdata[position:]))


class Record(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One record as it stands in a message: its owner, its fields, where its octets are, and its data uncompressed.

    Two are never the same record but by identity: dicts of them hash no field.
    """

    owner: bytes
    type: int
    cls: int
    ttl: int
    start: int
    rdata: int
    end: int
    uncompressed: bytes

    @property
    def ttl_at(self) -> int:
        """Where the TTL field stands: it is followed by the rdata's length."""
        return self.rdata - 6


def rrsets(body: Body, name: bytes) -> tuple[tuple[RRset, ...], tuple[RRset, ...], tuple[RRset, ...]]:
    """Return the three sections of a Body that stands behind the question for `name`; raises FormatError.

    Names are whole and keep their case, for where records of two origins meet in one reply. Records keep their order,
    one RRset for each run of the same owner, type and TTL.
    """
    message = bytes(HEADER_SIZE) + name + bytes(4) + body.data
    names = Names(message, len(message))  # of a Body all names are read that are there: it was made here
    position = names.read(HEADER_SIZE)[1] + 4
    sections = []
    for count in (body.an, body.ns, body.ar):
        found: list[tuple[tuple[bytes, int, int], list[bytes]]] = []
        for _ in range(count):
            owner, position = names.read(position)
            type_, _, ttl, start, position = _fields(message, position)
            key = (owner, type_, ttl)
            rdata = names.rdata(type_, start, position)
            if found and found[-1][0] == key:
                found[-1][1].append(rdata)
            else:
                found.append((key, [rdata]))
        sections.append(tuple(RRset(*key, tuple(rdatas)) for key, rdatas in found))
    return sections[0], sections[1], sections[2]


def read_records(message: bytes, names: Names, position: int, count: int) -> Iterator[Record]:
    """Yield `count` records from `position` on, owners in lower case. Raises FormatError.

    `names` have been read up to there.
    """
    for _ in range(count):
        owner, fixed = names.read(position)
        type_, cls, ttl, rdata, end = _fields(message, fixed)
        yield Record(owner.lower(), type_, cls, ttl, position, rdata, end, names.rdata(type_, rdata, end))
        position = end


def _fields(message: bytes, fixed: int) -> tuple[int, int, int, int, int]:
    """Return type, class, TTL, and the begin and end of the rdata, of a record whose owner ends at `fixed`."""
    try:
        type_, cls, ttl, length = _unpack_fixed(message, fixed)
    except struct.error:
        raise FormatError(f"message of {len(message)} octets ends in a record") from None
    rdata = fixed + 10
    end = rdata + length
    if end > len(message):
        raise FormatError(f"rdata at octet {rdata} ends at {end}, the message at {len(message)}")
    return type_, cls, ttl, rdata, end


def _naptr_prefix(message: bytes, start: int, end: int) -> int:
    """Return how many octets stand before a NAPTR's name: order, preference, three strings (RFC 3403 section 4.1)."""
    position = start + 4
    for _ in range(3):
        if position >= end:
            raise FormatError(f"NAPTR rdata at octet {start} ends in a string")
        position += 1 + message[position]
    return position - start


def _check_strings(message: bytes, type_: int, start: int, end: int) -> None:
    """Raise FormatError unless the rdata has as many strings as its type needs, and ends with the last one."""
    least, most = _STRINGS_IN_RDATA[type_]
    position, count = start, 0
    while position < end:
        position += 1 + message[position]
        count += 1
    if position != end or not least <= count <= most:
        raise FormatError(f"rdata of type {type_} at octet {start} ends at {end}, its strings at {position}")
