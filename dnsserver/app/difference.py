"""The differences between the answers of two servers, and which correction of the contract explains each. No I/O.

The numbers are those of the corrections by which this server differs from CoreDNS 1.14.7 (docs/migration.md has them).
"""

import struct
from collections.abc import Container
from typing import NamedTuple

import msgspec

from dnsserver.app.questions import Question
from dnsserver.wire import message as m
from dnsserver.wire.message import FormatError, rcode_name, type_name
from dnsserver.wire.name import end_of_name, is_below, labels, to_text
from dnsserver.wire.presentation import rdata_text
from dnsserver.wire.records import Names

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
_AA, _TC, _RA = 0x0400, 0x0200, 0x0080
# Where the names begin in rdata that has some: numbers before them are no text.
_NAMES_BEGIN = {m.CNAME: 0, m.NS: 0, m.PTR: 0, m.SOA: 0, m.DNAME: 0, m.MX: 2, m.SRV: 6}
_ARPA = (b"\x07in-addr\x04arpa\0", b"\x03ip6\x04arpa\0")

FLAGS_ALONE = 12
CORRECTIONS = {
    1: "SOA at a name that does not exist: NXDOMAIN",
    2: "an existing name without records: NODATA",
    3: "another type at an existing reverse name: NODATA",
    4: "labels in front of a pod's name: NXDOMAIN; SRV at it: NODATA",
    5: "ExternalName keeps its CNAME and the target's rcode",
    6: "verified pods are known by all of their addresses",
    7: "SRV weights count the records there are; no port, no SRV",
    FLAGS_ALONE: "AA on the server's own data only, RA wherever there are upstreams",
    13: "ANY: one HINFO record (RFC 8482)",
    14: "an address of no existing Service has no PTR",
    16: "a protocol's name above an existing port: NODATA",
}


class Record(NamedTuple):
    """A record of an answer; its TTL is left out, as caches count it down."""

    owner: bytes
    type: int
    rdata: bytes


class Said(msgspec.Struct, frozen=True):
    """What a reply says, as far as two servers have to agree on it. `rcode` None is no reply at all."""

    rcode: int | None
    flags: int = 0
    answer: frozenset[Record] = frozenset()

    def __str__(self) -> str:
        if self.rcode is None:
            return "no reply"
        flags = "".join(f" {name}" for name, bit in (("aa", _AA), ("ra", _RA)) if self.flags & bit)
        records = sorted(f"{type_name(record.type)} {_text(record)}" for record in self.answer)
        shown = "; ".join(records[:4]) + (f"; {len(records) - 4} more" if len(records) > 4 else "")
        return f"{rcode_name(self.rcode)}{flags}{' ' if shown else ''}{shown}"


class Known(msgspec.Struct, frozen=True):
    """What is known of the cluster: its domain, the names that have records, and how names of pods are answered."""

    domain: bytes
    names: Container[bytes]
    verified: bool = False


def read(packet: bytes, question: Question) -> Said | None:
    """Return what a reply says, None if it is cut off (TC). Raises FormatError for what is no reply to the question."""
    try:
        _, flags, questions, answers, _, _ = _HEADER.unpack_from(packet)
        if not flags & 0x8000 or questions != 1:
            raise FormatError("no reply")
        if flags & _TC:
            return None
        names = Names(packet)
        name, at = names.read(_HEADER.size)
        if (name.lower(), int.from_bytes(packet[at : at + 2], "big")) != question:
            raise FormatError("a reply to another question")
        at += 4
        records = set()
        for _ in range(answers):
            owner, at = names.read(at)
            rtype, _, _, length = _FIXED.unpack_from(packet, at)
            at += _FIXED.size
            if at + length > len(packet):
                raise FormatError("a reply that ends too early")
            rdata = names.rdata(rtype, at, at + length)
            at += length
            records.add(Record(owner.lower(), rtype, _comparable(rtype, rdata)))
    except struct.error as error:
        raise FormatError("a reply that ends too early") from error
    return Said(flags & 0xF, flags & (_AA | _RA), frozenset(records))


def _comparable(rtype: int, rdata: bytes) -> bytes:
    """Return the part of rdata that has to be equal on both servers: names in lower case, an SOA without its serial."""
    begin = _NAMES_BEGIN.get(rtype)
    if begin is None:
        return rdata
    found = rdata[:begin] + rdata[begin:].lower()
    return found[:-20] if rtype == m.SOA else found


def correction(question: Question, ours: Said, theirs: Said, known: Known) -> int | None:
    """Return the number of the correction that explains how the two differ, 0 if they do not, None if none does."""
    if (ours.rcode, ours.answer) == (theirs.rcode, theirs.answer):
        return 0 if ours.flags == theirs.flags else FLAGS_ALONE
    name, qtype = question
    if qtype == m.ANY:
        return 13
    if is_below(name, known.domain):
        return _below_the_domain(labels(name)[: -len(labels(known.domain))], qtype, ours, theirs, known)
    if any(is_below(name, end) for end in _ARPA):
        return _reverse(qtype, ours, theirs, known)
    return None


def _below_the_domain(front: tuple[bytes, ...], qtype: int, ours: Said, theirs: Said, known: Known) -> int | None:
    """Explain a difference at a name of the cluster; `front` are its labels before the domain."""
    nodata = ours.rcode == m.NOERROR and not ours.answer
    if qtype == m.SOA and ours.rcode == m.NXDOMAIN and theirs.rcode == m.NOERROR and not theirs.answer:
        return 1
    kind = front[-1] if front else b""
    if kind == b"pod":
        if len(front) > 3 and ours.rcode == m.NXDOMAIN:
            return 4
        if len(front) == 3 and qtype == m.SRV and nodata:
            return 4
        if len(front) == 3 and known.verified and ours.answer and theirs.rcode == m.NXDOMAIN:
            return 6
    if nodata and theirs.rcode == m.NXDOMAIN:
        if len(front) <= 2:
            return 2
        if kind == b"svc" and len(front) == 4 and front[0].startswith(b"_"):
            return 16
    if qtype == m.SRV and _but_for_weights(ours) == _but_for_weights(theirs):
        return 7
    if any(record.type == m.CNAME and is_below(record.owner, known.domain) for record in ours.answer | theirs.answer):
        return 5
    return None


def _but_for_weights(said: Said) -> tuple[int | None, frozenset[bytes]]:
    """Return an SRV answer without the weights, and without the records that have no port."""
    records = (record.rdata for record in said.answer if record.type == m.SRV)
    return said.rcode, frozenset(rdata[:2] + rdata[4:] for rdata in records if rdata[4:6] != b"\0\0")


def _reverse(qtype: int, ours: Said, theirs: Said, known: Known) -> int | None:
    """Explain a difference at a reverse name."""
    if qtype != m.PTR:
        return 3 if ours.rcode == m.NOERROR and not ours.answer and theirs.rcode == m.NXDOMAIN else None
    targets = [record.rdata for record in theirs.answer - ours.answer if record.type == m.PTR]
    # Of an address that no Service has, it is said by upstreams, or by this server in its `reverse_zones`.
    ours_has_none = ours.rcode == m.NXDOMAIN or not ours.flags & _AA
    if targets and ours_has_none and not any(target in known.names for target in targets):
        return 14
    return None


def _text(record: Record) -> str:
    """Return rdata as text for a person; that of an SOA has no numbers, as these are not compared."""
    if record.type == m.SOA:
        end = end_of_name(record.rdata, 0)
        return f"{to_text(record.rdata[:end])} {to_text(record.rdata[end:])}"
    return rdata_text(record.type, record.rdata)
