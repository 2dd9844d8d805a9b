"""Where CoreDNS 1.14.7 differs and this server is right: each correction by its number, the questions that it covers
and the answer that it expects of them instead. Worked out from the recorded rows and objects, never from the server.

 1  SOA at a name that does not exist: NXDOMAIN
 2  any type at an existing empty name, or at dns-version: NODATA
 3  another type at an existing reverse name, and any at one above such a name: NODATA; junk labels in front: NXDOMAIN
 4  labels left of a pod's name: NXDOMAIN; SRV at a pod's name: NODATA
 5  ExternalName keeps the CNAMEs, and has the rcode and the SOA of the last step
 6  `verified` pods: every one of their addresses
 7  SRV weight counts the records that are left when duplicates are dropped; no port, no SRV
13  ANY: HINFO (RFC 8482)
14  an endpoint's address without a service: no PTR
16  a protocol's name above an existing port: NODATA
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.zone
import msgspec

from tests.conformance.recorded import DOMAIN, Facts, Record, Row, Said, missing, nodata
from tests.upstream import ZONE, answer

_ANY_TTL = 3789
_TTL = 5
_FAMILIES = {4: "A", 6: "AAAA"}


class Book:
    """All rows by question, the objects, and the outside world: what the corrections are worked out from."""

    def __init__(self, rows: Sequence[Row], facts: Facts, *, verified: bool) -> None:
        self.facts = facts
        self.verified = verified
        # A name is asked in several cases; what CoreDNS said to the lower-case question is what the others look up.
        self.said = {(row.name, row.t): row.said for row in sorted(rows, key=lambda row: row.q.islower())}
        self.zone = dns.zone.from_text(ZONE.read_text(), relativize=False)
        empty = {DOMAIN, f"svc.{DOMAIN}", f"pod.{DOMAIN}", f"dns.{DOMAIN}", f"dns-version.{DOMAIN}"}
        self.empty = empty | {f"{name}.{kind}.{DOMAIN}" for name in facts.namespaces for kind in ("svc", "pod")}
        self.empty |= facts.above_ports
        self.orphaned = {dns.reversename.from_address(a).to_text() for a in facts.orphaned - facts.endpoints}
        self._existing = {
            name for (name, type_), said in self.said.items() if said.rcode == "NOERROR" and type_ != "SOA"
        } - self.orphaned | self.empty
        self.reverse = {name for name in self._existing if name.endswith(".arpa.")}

    def exists(self, name: str) -> bool:
        return name in self._existing or self.is_above_reverse(name)

    def is_above_reverse(self, name: str) -> bool:
        return name.endswith(".arpa.") and any(known.endswith(f".{name}") for known in self.reverse)


class Correction(NamedTuple):
    number: int
    covers: Callable[[Row, Book], bool]
    expected: Callable[[Row, Book], Said]


def expected(row: Row, book: Book) -> tuple[int, Said]:
    """Return the answer that is right, and the number of the correction that says so, 0 where CoreDNS is right."""
    for correction in CORRECTIONS:
        if correction.covers(row, book):
            return correction.number, correction.expected(row, book)
    return 0, row.said


def _has_soa_but_no_name(row: Row, book: Book) -> bool:
    return row.t == "SOA" and not book.exists(row.name)


def _is_empty_name(row: Row, book: Book) -> bool:
    own = {(DOMAIN, "SOA"), (DOMAIN, "NS"), (f"dns-version.{DOMAIN}", "TXT")}
    return row.name in book.empty and row.t != "ANY" and (row.name, row.t) not in own


def _is_reverse(row: Row, book: Book) -> bool:
    if not row.name.endswith(".arpa.") or row.said.an:
        return False
    return row.name in book.reverse or book.is_above_reverse(row.name) or _has_junk(row)


def _has_junk(row: Row) -> bool:
    whole = 4 if row.name.endswith(".in-addr.arpa.") else 32
    return row.name.removesuffix(".arpa.").count(".") > whole


def _reverse(row: Row, book: Book) -> Said:
    return missing() if _has_junk(row) else nodata()


def _pod_labels(row: Row) -> list[str]:
    """Return the labels left of `pod`, or nothing."""
    return row.name.removesuffix(f".pod.{DOMAIN}").split(".") if row.name.endswith(f".pod.{DOMAIN}") else []


def _is_odd_pod(row: Row, book: Book) -> bool:
    labels = _pod_labels(row)
    return len(labels) > 2 or (len(labels) == 2 and row.t == "SRV" and row.said.rcode == "NOERROR")


def _odd_pod(row: Row, book: Book) -> Said:
    return missing() if len(_pod_labels(row)) > 2 else nodata()


def _pod_address(row: Row) -> tuple[str, str] | None:
    """Return the namespace and the address that a pod's name stands for."""
    labels = _pod_labels(row)
    if len(labels) != 2:
        return None
    for separator in ".:":
        try:
            return labels[1], str(ipaddress.ip_address(labels[0].replace("-", separator)))
        except ValueError:
            continue
    return None


def _is_verified_pod(row: Row, book: Book) -> bool:
    return book.verified and _pod_address(row) in book.facts.pod_addresses


def _verified_pod(row: Row, book: Book) -> Said:
    found = _pod_address(row)
    assert found is not None
    if _FAMILIES[ipaddress.ip_address(found[1]).version] != row.t:
        return nodata()
    return Said("NOERROR", aa=True, an=(Record(f"{row.q}.", _TTL, row.t, found[1]),))


def _is_alias(row: Row, book: Book) -> bool:
    if row.t not in _FAMILIES.values() or row.said.rcode != "NOERROR":
        return False
    return row.name in book.facts.external or any(record.type == "CNAME" for record in row.said.an)


def _alias(row: Row, book: Book) -> Said:
    """Walk from alias to alias, and end as the last name does."""
    chain: list[Record] = []
    owner = f"{row.q}."
    seen: set[str] = set()
    while (name := owner.lower()) not in seen:
        seen.add(name)
        aliases = (record.rdata for record in row.said.an if record.type == "CNAME" and record.owner.lower() == name)
        target = book.facts.external.get(name) or next(aliases, None)
        if target is None:
            end = _at(owner, row.t, book)
            return msgspec.structs.replace(end, aa=True, an=tuple(sorted([*chain, *end.an])), ar=())
        chain.append(Record(owner, _TTL, "CNAME", target))
        owner = target
    return Said("NOERROR", aa=True, an=tuple(sorted(chain)), soa=True)


def _at(name: str, type_: str, book: Book) -> Said:
    """Return what there is at a name that is no alias, in the cluster or outside."""
    if name.endswith(f".{DOMAIN}"):
        return book.said.get((name.lower(), type_), missing())
    reply = answer(book.zone, dns.message.make_query(name, type_))
    records = tuple(
        Record(rrset.name.to_text(), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())
        for rrset in reply.answer
        for rdata in rrset
    )
    return Said(dns.rcode.to_text(reply.rcode()), aa=False, an=records, soa=bool(reply.authority))


def _is_srv(row: Row, book: Book) -> bool:
    return row.t == "SRV" and bool(row.said.an)


def _srv(row: Row, book: Book) -> Said:
    records = [record for record in row.said.an if record.rdata.split()[2] != "0"]
    weight = max(1, 100 // max(1, len(records)))

    def weighed(record: Record) -> Record:
        priority, _, port, target = record.rdata.split()
        return msgspec.structs.replace(record, rdata=f"{priority} {weight} {port} {target}")

    if not records:
        return nodata()
    return msgspec.structs.replace(row.said, an=tuple(sorted(map(weighed, records))))


def _any(row: Row, book: Book) -> Said:
    if not book.exists(row.name):
        return missing()
    return Said("NOERROR", aa=True, an=(Record(f"{row.q}.", _ANY_TTL, "HINFO", '"RFC8482" ""'),))


# The order matters where two cover a question: the one that makes a name exist or not comes before the others.
CORRECTIONS = (
    Correction(14, lambda row, book: row.t == "PTR" and row.name in book.orphaned, lambda _row, _book: missing()),
    Correction(13, lambda row, _book: row.t == "ANY", _any),
    Correction(16, lambda row, book: row.name in book.facts.above_ports, lambda _row, _book: nodata()),
    Correction(2, _is_empty_name, lambda _row, _book: nodata()),
    Correction(1, _has_soa_but_no_name, lambda _row, _book: missing()),
    Correction(3, _is_reverse, _reverse),
    Correction(4, _is_odd_pod, _odd_pod),
    Correction(6, _is_verified_pod, _verified_pod),
    Correction(5, _is_alias, _alias),
    Correction(7, _is_srv, _srv),
)
