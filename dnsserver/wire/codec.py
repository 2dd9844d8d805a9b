"""The door to dnslib: everything that is not on the way of a packet. At present the reading of zone files."""

from collections.abc import Sequence
from typing import Any

import dnslib

from dnsserver.wire.message import CLASS_IN, HEADER_SIZE, FormatError, RRset
from dnsserver.wire.name import from_text, is_below, labels, to_text
from dnsserver.wire.records import plain_rdata


class _Srv(dnslib.SRV):  # type: ignore[misc]  # it has no types
    """SRV whose target stands below the origin, as RFC 1035 section 5.1 has it; dnslib takes it as absolute."""

    @classmethod
    def fromZone(cls, rd: Sequence[str], origin: Any = None) -> dnslib.SRV:  # noqa: N802 - dnslib's
        priority, weight, port, target = rd
        return cls(int(priority), int(weight), int(port), dnslib.label(target, origin))


dnslib.dns.RDMAP["SRV"] = _Srv


def read_zone(text: str, origin: str = "") -> tuple[RRset, ...]:
    """Return the RRsets of a zone file (RFC 1035 section 5), names in lower case, the SOA's owner first.

    `origin` is what relative names stand below until the file says `$ORIGIN`. Raises FormatError that says what is
    wrong with the file: its syntax, no SOA, a record of another class, or one outside the SOA's zone.
    """
    try:
        records = dnslib.RR.fromZone(text, origin=origin)
    except Exception as error:  # dnslib raises whatever its tokenizer happens to trip over
        raise FormatError(f"not a zone file: {str(error) or type(error).__name__}") from error
    grouped: dict[tuple[bytes, int], list[tuple[int, bytes]]] = {}
    for record in records:
        if record.rclass != CLASS_IN:
            raise FormatError(f"{record.rname} is of class {record.rclass}, expected IN")
        owner = from_text(str(record.rname)).lower()
        grouped.setdefault((owner, record.rtype), []).append((record.ttl, _rdata(record)))
    zones = [owner for owner, rtype in grouped if rtype == dnslib.QTYPE.SOA]
    if len(zones) != 1:
        raise FormatError(f"{len(zones)} SOA records, expected one")
    for owner, _ in grouped:
        if not is_below(owner, zones[0]):
            raise FormatError(f"{to_text(owner)} is not in the zone {to_text(zones[0])}")
    rrsets = (RRset(o, t, min(ttl for ttl, _ in found), _each(found)) for (o, t), found in grouped.items())
    return tuple(sorted(rrsets, key=lambda rrset: (len(labels(rrset.name)), rrset.type != dnslib.QTYPE.SOA)))


def _each(found: Sequence[tuple[int, bytes]]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(rdata for _, rdata in found))


def _rdata(record: dnslib.RR) -> bytes:
    """Return rdata with its names written out."""
    buffer = dnslib.DNSBuffer(bytes(HEADER_SIZE))
    buffer.offset = HEADER_SIZE
    record.rdata.pack(buffer)
    message = bytes(buffer.data)
    return plain_rdata(message, record.rtype, HEADER_SIZE, len(message))
