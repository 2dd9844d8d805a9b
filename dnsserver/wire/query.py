"""Reads what a client asks: a packet becomes a Query, straight from its octets.

RFC 1035 section 4, 6891 (EDNS), 7828 (keepalive), 9267 (what parsers get wrong), 9619 (one question).
"""

import struct

import msgspec

from dnsserver.wire import message as m
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import MAX_LABEL, MAX_NAME, ROOT
from dnsserver.wire.records import Names

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_TYPE_CLASS = struct.Struct("!HH")

_KEPT_FLAGS = m.RD | m.AD | m.CD
_OPCODE = 0x7800
_DO = 0x8000
_OPT_START = b"\0\0\x29"
_OPT_SIZE = 11
_OPT_TAIL = struct.Struct("!H2xHH")  # size, extended rcode and version (looked at apart), flags, length of the options
_MOST_RECORDS = 64  # after a question; what a query may have there are an OPT, a TSIG and an SOA
_OPTION = struct.Struct("!HH")  # code, length
_KEEPALIVE = 11

# What stub resolvers and tools send (glibc 1200, nearly all others 1232, older ones 4096). They are few, as each has
# replies of its own, found without being read; any other size is rounded to what the server would make of it.
_USUAL_SIZES = frozenset((512, 1200, 1232, 4096))

MIN_SIZE = 512
_ODD_SIZE = MIN_SIZE + 1  # stands for all sizes between the least one and the server's own limit


class Query(msgspec.Struct, gc=False):
    """A question as a client sent it.

    `name` is lower-case; `end` is where the question ends in the packet, 0 if there is none. `flags` holds RD, AD and
    CD only. `size` is the UDP payload that the client takes, 0 without EDNS; `version` its EDNS version. `keepalive`
    says that it has the option edns-tcp-keepalive. `cut` octets behind the question may have been left out since.
    """

    packet: bytes
    opcode: int
    flags: int
    name: bytes
    type: int
    klass: int
    end: int
    regular: bool
    size: int = 0
    version: int = 0
    do: bool = False
    keepalive: bool = False
    cut: int = 0

    @property
    def id(self) -> bytes:
        """Return the message ID."""
        return self.packet[:2]

    @property
    def question(self) -> bytes:
        """Return the question's octets as they came."""
        return self.packet[m.HEADER_SIZE : self.end]

    def without_options(self) -> bytes:
        """Return the packet with only an OPT after its question, without options and with no flag but DO."""
        opt = b"\0\0\x29%b\0\0%b\0\0\0" % (self.size.to_bytes(2, "big"), b"\x80" if self.do else b"\0")
        return self.packet[:8] + b"\0\0\0\1" + self.packet[m.HEADER_SIZE : self.end] + opt

    def is_odd(self, limit: int) -> bool:
        """Tell whether its size is one of the many under which only replies that fit everybody are kept."""
        return not self.regular and MIN_SIZE < self.size < limit

    def key(self, limit: int) -> bytes:
        """Return the octets, less the ID, that stand for all queries with this one's meaning.

        Case, options, odd sizes and unknown flags do not alter a reply beyond what `echo` puts right, so queries that
        differ in those share one key. For a regular query it is the packet's own octets, found without being read.
        `limit` is the largest reply over UDP: whoever takes as much gets the same. What is left to differ in are RD,
        AD, CD, DO and four sizes (no EDNS, the least, in between, the limit): few, as a client could have all of them
        kept for one name.
        """
        if self.regular:
            return self.packet[2:]
        opt = b""
        if self.size:
            size = limit if self.size >= limit else MIN_SIZE if self.size <= MIN_SIZE else _ODD_SIZE
            opt = b"\0\0\x29%b\0\0%b\0\0\0" % (size.to_bytes(2, "big"), b"\x80" if self.do else b"\0")
        return b"%b\0\1\0\0\0\0\0%b%b%b%b" % (
            self.flags.to_bytes(2, "big"),
            b"\1" if self.size else b"\0",
            self.name,
            self.question[-4:],
            opt,
        )


def read_query(packet: bytes) -> Query:
    """Read a packet that has a whole header, QR clear.

    Raises FormatError, after which only the ID and the opcode of the packet can be relied on.
    """
    _, flags, questions, answers, authorities, extras = _HEADER.unpack_from(packet)
    opcode = (flags & _OPCODE) >> 11
    if opcode:
        return Query(packet, opcode, flags & _KEPT_FLAGS, b"\0", 0, 0, 0, regular=False)
    if questions != 1 or answers:
        raise FormatError(f"{questions} questions and {answers} answers in a query, expected 1 and 0")
    position = m.HEADER_SIZE
    try:
        while length := packet[position]:
            if length > MAX_LABEL:
                raise FormatError(f"label type {length >> 6:#b} in the question, expected a length")
            position += length + 1
        position += 1
        if position - m.HEADER_SIZE > MAX_NAME:
            raise FormatError(f"question name of {position - m.HEADER_SIZE} octets, expected at most {MAX_NAME}")
        qtype, klass = _TYPE_CLASS.unpack_from(packet, position)
    except (IndexError, struct.error) as error:
        raise FormatError(f"question ends at octet {len(packet)}, in its middle") from error
    raw = packet[m.HEADER_SIZE : position]
    name = raw.lower()
    position += 4
    regular = name == raw and not flags & ~_KEPT_FLAGS
    query = Query(packet, 0, flags & _KEPT_FLAGS, name, qtype, klass, position, regular)
    if extras == 1 and not authorities and packet[position : position + 3] == _OPT_START:
        if len(packet) == position + _OPT_SIZE and packet[position + 5 : position + 7] == b"\0\0":
            size, flag, empty = _OPT_TAIL.unpack_from(packet, position + 3)
            if not flag & ~_DO and not empty:  # the OPT that nearly everybody sends: no options, nothing unusual
                query.size = size or 1
                query.do = flag == _DO
                if size not in _USUAL_SIZES:
                    query.regular = False
                return query
        _read_extras(packet, position, authorities, extras, query)
    elif extras or authorities:
        _read_extras(packet, position, authorities, extras, query)
    elif position != len(packet):
        query.regular = False
    return query


def _read_extras(packet: bytes, position: int, authorities: int, extras: int, query: Query) -> None:
    """Read the OPT into `query`, and skip other records (the SOA of an IXFR, a TSIG), which must be complete as well.

    Raises FormatError.
    """
    if authorities + extras > _MOST_RECORDS:
        raise FormatError(f"{authorities + extras} records after the question, expected at most {_MOST_RECORDS}")
    found = False
    others = authorities
    options = 0
    names: Names | None = None
    for index in range(authorities + extras):
        start = position
        if packet[position : position + 1] == ROOT:
            position += 1
        else:
            if names is None:
                names = Names(packet)
                names.read(m.HEADER_SIZE)
            _, position = names.read(position)
        if position + _RECORD.size > len(packet):
            raise FormatError(f"record {index + 1} after the question ends past the message")
        rtype, klass, ttl, length = _RECORD.unpack_from(packet, position)
        position += _RECORD.size + length
        if position > len(packet):
            raise FormatError(f"record {index + 1} after the question has {length} octets of data, past the message")
        if rtype != m.OPT:
            others += 1
            continue
        if found or packet[start] or index < authorities:
            raise FormatError("a second OPT, or one not at the root of the additional section (RFC 6891 section 6.1.1)")
        found = True
        options = length
        query.size = max(klass, 1)
        query.version = ttl >> 16 & 0xFF
        query.do = bool(ttl & _DO)
        if ttl & ~_DO:
            query.regular = False
        if not query.version:  # what another version's options look like, nobody knows yet
            query.keepalive = _KEEPALIVE in _option_codes(packet, position - length, position)
    if others or options or position != len(packet) or (found and query.size not in _USUAL_SIZES):
        query.regular = False


def _option_codes(packet: bytes, position: int, end: int) -> set[int]:
    """Return the codes of the options; raises FormatError unless they fill the OPT, which ends at `end`.

    RFC 6891 section 6.1.2.
    """
    codes = set()
    while position < end:
        if position + _OPTION.size > end:
            raise FormatError(f"option at octet {position} ends past its OPT, at {end}")
        code, length = _OPTION.unpack_from(packet, position)
        codes.add(code)
        position += _OPTION.size + length
    if position > end:
        raise FormatError(f"option ends at octet {position}, its OPT at {end}")
    return codes
