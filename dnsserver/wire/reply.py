"""Writes what a client gets: the header, the question as it was asked, records with compressed names, the OPT.

`compose` makes a Body of RRsets; `write_reply` makes the octets of a Body and cuts them to the size that the client
takes. RFC 1035 section 4, 2181 section 9 (TC), 6891 (OPT), 8914 (EDE), 8906 (what servers owe clients).
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

from dnsserver.wire import message as m
from dnsserver.wire.extended_errors import BARE_OPT, ExtendedError, write_options
from dnsserver.wire.message import ADDRESS_SIZES, EDE, Body, RRset
from dnsserver.wire.name import end_of_name, is_below
from dnsserver.wire.query import Query

_HEAD = struct.Struct("!HHHHH")  # less the ID
_FIXED = struct.Struct("!HHIH")
_OPT_START = b"\0\0\x29"
_KEEPALIVE = b"\0\x0b\0\2"  # code and length
_LONGEST = 0xFFFF  # octets of a message over TCP
_POINTER_TO_QUESTION = b"\xc0\x0c"
_QUESTION_TAIL = 4  # QTYPE and QCLASS
_MAX_POINTER = 0x3FFF

# Types whose rdata is one name, or begins with names, that RFC 1035 lets a sender compress. SRV targets stay whole
# (RFC 2782), and so does everything younger (RFC 3597 section 4).
_NAMES_IN_FRONT = {m.CNAME: 1, m.PTR: 1, m.NS: 1, m.SOA: 2}
_SRV_FIXED = 6  # priority, weight, port


def write_reply(query: Query, rcode: int, flags: int, body: Body, limit: int, opt: bytes) -> bytes:
    """Return the reply's octets after the ID, at most `limit - 2` of them.

    `flags` are those beyond what the query asks to be copied; `opt` is the whole OPT record, or empty. Records of the
    additional section go first when it is too long; TC is set only when answers are missing (RFC 2181 section 9), or
    what proves them to who validates (RFC 4035 section 3.1.1).
    """
    base = query.end or m.HEADER_SIZE
    room = limit - base - len(opt)
    if len(body.data) > room:
        answers, proofs = body.an, body.ns if query.do else 0
        body = cut(body, room, base)
        if body.an < answers or body.ns < proofs:
            flags |= m.TC
    head = _HEAD.pack(
        m.QR | query.opcode << 11 | query.flags & (m.RD | m.CD) | flags | rcode & 15,
        1 if query.end else 0,
        body.an,
        body.ns,
        body.ar + (1 if opt else 0),
    )
    return b"".join((head, query.packet[m.HEADER_SIZE : base], body.data, opt))


@lru_cache(maxsize=256)  # of few texts: 0.2 us for 1.2, at every name that does not exist
def opt_record(
    size: int,
    rcode: int = 0,
    *,
    do: bool = False,
    ede: EDE | None = None,
    text: str = "",
    also: tuple[ExtendedError, ...] = (),
) -> bytes:
    """Return the OPT of a reply: our own `size`, the upper bits of `rcode`, DO as asked, and extended errors."""
    options = write_options(also if ede is None else ((ede, text), *also))
    return b"%b%b%b\0%b\0%b%b" % (
        _OPT_START,
        size.to_bytes(2, "big"),
        bytes((rcode >> 4,)),
        b"\x80" if do else b"\0",
        len(options).to_bytes(2, "big"),
        options,
    )


def with_keepalive(message: bytes, timeout: float) -> bytes:
    """Return a whole reply with the option edns-tcp-keepalive in its OPT, if it has one and there is room (RFC 7828).

    `timeout` is in seconds; on the wire it is in tenths. The OPT is the last record, as `write_reply` puts it.
    """
    counts = [int.from_bytes(message[at : at + 2], "big") for at in (6, 8, 10)]
    if not counts[2] or len(message) + len(_KEEPALIVE) + 2 > _LONGEST:
        return message
    at = len(message) - BARE_OPT
    if message[at : at + 3] != _OPT_START or message[-2:] != b"\0\0":  # it has an extended error
        at = end_of_name(message, m.HEADER_SIZE) + _QUESTION_TAIL if message[5] else m.HEADER_SIZE
        for _ in range(sum(counts) - 1):
            at = end_of_name(message, at)
            at += _FIXED.size + _FIXED.unpack_from(message, at)[3]
    end = at + BARE_OPT
    option = _KEEPALIVE + min(0xFFFF, int(timeout * 10)).to_bytes(2, "big")
    length = int.from_bytes(message[end - 2 : end], "big") + len(option)
    return message[: end - 2] + length.to_bytes(2, "big") + message[end:] + option


def echo(wire: bytes, question: bytes) -> bytes:
    """Return a reply (less its ID) with the question as this client wrote it (RFC 4343: case is kept, not compared)."""
    start = m.HEADER_SIZE - 2
    return wire[:start] + question + wire[start + len(question) :]


def compose(
    name: bytes,
    answer: Sequence[RRset],
    authority: Sequence[RRset] = (),
    additional: Sequence[RRset] = (),
    *,
    own: int = 1 << 16,
) -> Body:
    """Return the records as they stand after a question that asks `name`.

    Of the answer, all but the first `own` RRsets count their TTL down; if there are such, or `own` is 0, the authority
    does as well. Address records of one RRset may be rotated; of several such RRsets the last one is.
    """
    if len(answer) == 1 and not authority and not additional and answer[0].name == name:
        rrset = answer[0]
        size = ADDRESS_SIZES.get(rrset.type)
        if size is not None and own:  # what most questions ask: no name to compress but the owner
            front = _POINTER_TO_QUESTION + _FIXED.pack(rrset.type, m.CLASS_IN, rrset.ttl, size)
            count = len(rrset.rdatas)
            data = front + front.join(rrset.rdatas)
            return Body(count, 0, 0, data, (), (0, 12 + size, count) if count > 1 else None)
    if not answer and len(authority) == 1 and not additional and own:
        (soa,) = authority
        # What the others get: all names in it end in the zone's.
        if soa.type == m.SOA and len(soa.rdatas) == 1 and name.endswith(soa.name):
            zone = 0xC000 | m.HEADER_SIZE + len(name) - len(soa.name)
            return Body(0, 1, 0, zone.to_bytes(2, "big").join(_soa_parts(soa)))
    return _Writer(name).body(answer, authority, additional, own)


def whole_body(name: bytes, answer: Sequence[RRset], authority: Sequence[RRset]) -> Body:
    """Return records from outside as a Body behind the question for `name`; all their TTLs count down."""
    return compose(name, answer, authority, own=0)


def cut(body: Body, room: int, base: int) -> Body:
    """Return the Body less whole records from its end, so that it takes at most `room` octets.

    `base` is where the Body stands in its message.
    """
    left = (body.an, body.ns, body.ar)
    kept = [0, 0, 0]
    message = bytes(base) + body.data
    position = base
    for section in range(3):
        for _ in range(left[section]):
            end = end_of_name(message, position)
            end += _FIXED.size + _FIXED.unpack_from(message, end)[3]
            if end - base > room:
                break
            position = end
            kept[section] += 1
        if kept[section] < left[section]:
            break
    size = position - base
    return Body(kept[0], kept[1], kept[2], body.data[:size], tuple(ttl for ttl in body.ttls if ttl < size))


@lru_cache(maxsize=64)
def _soa_parts(soa: RRset) -> tuple[bytes, ...]:
    """Return an SOA record in parts, cut where it has the zone's name: a pointer to the name completes it."""
    zone = soa.name
    rdata = soa.rdatas[0]
    primary = end_of_name(rdata)
    mailbox = primary + end_of_name(rdata[primary:])
    parts = [b"", b""]
    for field in (rdata[:primary], rdata[primary:mailbox]):
        if is_below(field, zone):
            parts[-1] += field[: -len(zone)]
            parts.append(b"")
        else:
            parts[-1] += field
    parts[-1] += rdata[mailbox:]
    length = sum(map(len, parts)) + 2 * (len(parts) - 2)
    parts[1] = _FIXED.pack(m.SOA, m.CLASS_IN, soa.ttl, length) + parts[1]
    return tuple(parts)


class _Writer:
    """The names and the octets that were written so far.

    The owner that was asked for is a pointer to the question, and so may the owner of the SOA be. No other name points
    there: the client's spelling of the question must not show in our names, so one Body serves every spelling.
    """

    def __init__(self, name: bytes) -> None:
        self._data = bytearray()
        self._base = m.HEADER_SIZE + len(name) + _QUESTION_TAIL
        self._asked = name
        self._seen: dict[bytes, int] = {}
        self._ring: tuple[int, int, int] | None = None
        self._ttls: list[int] = []

    def body(self, answer: Sequence[RRset], authority: Sequence[RRset], additional: Sequence[RRset], own: int) -> Body:
        answers = self._section(answer[:own], rotate=True) + self._section(answer[own:], aging=True)
        authorities = self._section(authority, aging=len(answer) > own or not own, lean=True)
        additionals = self._section(additional)
        return Body(answers, authorities, additionals, bytes(self._data), tuple(self._ttls), self._ring)

    def _section(
        self, rrsets: Sequence[RRset], *, aging: bool = False, rotate: bool = False, lean: bool = False
    ) -> int:
        count = 0
        data = self._data
        for rrset in rrsets:
            names = _NAMES_IN_FRONT.get(rrset.type, 0)
            start = second = len(data)
            for rdata in rrset.rdatas:
                self._name(rrset.name, lean=lean)
                if aging:
                    self._ttls.append(len(data) + 4)
                data += _FIXED.pack(rrset.type, m.CLASS_IN, rrset.ttl, len(rdata))
                at = len(data)
                rest = rdata
                for _ in range(names):
                    end = end_of_name(rest)
                    self._name(rest[:end], owner=False)
                    rest = rest[end:]
                if rrset.type == m.SRV:  # its target stays whole, but others may point to it
                    self._note(rest[_SRV_FIXED:], self._base + len(data) + _SRV_FIXED)
                data += rest
                if names:
                    data[at - 2 : at] = (len(data) - at).to_bytes(2, "big")
                if second == start:
                    second = len(data)
            count += len(rrset.rdatas)
            size = ADDRESS_SIZES.get(rrset.type)
            # The first record's owner may be longer than the pointers behind it: all must be of one size to rotate.
            if rotate and size is not None and len(rrset.rdatas) > 1 and second - start == 12 + size:
                self._ring = (start, 12 + size, len(rrset.rdatas))
        return count

    def _name(self, name: bytes, *, owner: bool = True, lean: bool = False) -> None:
        """Append a name; a tail that stood before becomes a pointer. With `lean` the question counts as before."""
        data = self._data
        if owner and name == self._asked:
            data += _POINTER_TO_QUESTION
            return
        start = self._base + len(data)
        position = 0
        while name[position]:
            offset = self._seen.get(name[position:])
            if offset is None and lean and is_below(self._asked, name[position:]):
                offset = m.HEADER_SIZE + len(self._asked) - len(name[position:])
            if offset is not None:
                data += name[:position] + (0xC000 | offset).to_bytes(2, "big")
                return
            if start + position <= _MAX_POINTER:
                self._seen[name[position:]] = start + position
            position += name[position] + 1
        data += name

    def _note(self, name: bytes, offset: int) -> None:
        """Remember the position of a name that is written anyway, for later pointers to it."""
        position = 0
        while name[position] and offset + position <= _MAX_POINTER:
            self._seen.setdefault(name[position:], offset + position)
            position += name[position] + 1
