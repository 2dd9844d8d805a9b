"""A Body back to RRsets with whole names: needed where records of two origins meet in one reply."""

import struct

from dnsserver.wire import message as m
from dnsserver.wire.message import Body, FormatError, RRset

_FIXED = struct.Struct("!HHIH")
_MAX_NAME = 255

# (octets before the names, names) of rdata in which old senders compress names (RFC 1035, RFC 3597 section 4).
_COMPRESSED = {
    m.NS: (0, 1),
    m.CNAME: (0, 1),
    m.SOA: (0, 2),
    m.PTR: (0, 1),
    m.MX: (2, 1),
    m.SRV: (6, 1),
    m.DNAME: (0, 1),
}


def rrsets(body: Body, name: bytes) -> tuple[tuple[RRset, ...], tuple[RRset, ...], tuple[RRset, ...]]:
    """Return the three sections of a Body that stands behind the question for `name`; raises FormatError.

    Records keep their order, one RRset for each run of the same owner, type and TTL.
    """
    front = bytes(m.HEADER_SIZE) + name + bytes(4)
    message = front + body.data
    position = len(front)
    sections = []
    for count in (body.an, body.ns, body.ar):
        found: list[tuple[tuple[bytes, int, int], list[bytes]]] = []
        for _ in range(count):
            owner, position = read_name(message, position)
            try:
                rtype, _, ttl, length = _FIXED.unpack_from(message, position)
            except struct.error as error:
                msg = f"record ends at octet {len(message)}, in its middle"
                raise FormatError(msg) from error
            position += _FIXED.size
            key = (owner, rtype, ttl)
            rdata = whole_rdata(message, position, length, rtype)
            position += length
            if found and found[-1][0] == key:
                found[-1][1].append(rdata)
            else:
                found.append((key, [rdata]))
        sections.append(tuple(RRset(*key, tuple(rdatas)) for key, rdatas in found))
    return sections[0], sections[1], sections[2]


def whole_rdata(message: bytes, position: int, length: int, rtype: int) -> bytes:
    """Return the rdata at `position` with its names written out; raises FormatError."""
    end = position + length
    if end > len(message):
        msg = f"record data of {length} octets ends past the message"
        raise FormatError(msg)
    shape = _COMPRESSED.get(rtype)
    if shape is None:
        return message[position:end]
    fixed, names = shape
    parts = [message[position : position + fixed]]
    position += fixed
    for _ in range(names):
        name, position = read_name(message, position)
        parts.append(name)
    parts.append(message[position:end])
    return b"".join(parts)


def read_name(message: bytes, position: int) -> tuple[bytes, int]:
    """Return the name at `position`, whole, and the offset behind it.

    Pointers must point back before every octet read so far, so each is followed once at most (RFC 9267 section 2).
    Raises FormatError.
    """
    parts = []
    size = 1
    after = 0
    lowest = position
    try:
        while length := message[position]:
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | message[position + 1]
                after = after or position + 2
                if target >= lowest or target < m.HEADER_SIZE:
                    msg = f"pointer at octet {position} to {target}, expected one further back"
                    raise FormatError(msg)
                position = lowest = target
                continue
            if length > 63:
                msg = f"label type {length >> 6:#b} at octet {position}"
                raise FormatError(msg)
            size += length + 1
            parts.append(message[position : position + length + 1])
            position += length + 1
            if size > _MAX_NAME:
                msg = f"name of more than {_MAX_NAME} octets"
                raise FormatError(msg)
    except IndexError as error:
        msg = f"name past the end, octet {len(message)}"
        raise FormatError(msg) from error
    return b"".join(parts) + b"\0", after or position + 1
