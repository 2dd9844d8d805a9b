"""A zone of some objects, asked in text."""

from typing import Any, NamedTuple

import dns.rcode
import dns.rdata
import dns.rdatatype

from dnsserver.wire import name as names
from dnsserver.wire.message import RRset
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind
from dnsserver.zone.record import Answer
from tests.cluster import Thing, listed


class Shown(NamedTuple):
    """An answer in text: `records` of the answer section, each as `owner type rdata`."""

    rcode: str
    records: list[str]
    reason: str
    additional: list[str]
    soa: bool
    ttls: set[int]


def zone(*things: Thing, **settings: Any) -> Cluster:
    """Return a zone that has seen one list of these objects."""
    cluster = Cluster(**settings)
    for event in listed(things, Kind):
        cluster.apply(event, 0, 1700000000)
    return cluster


def answer(cluster: Cluster, name: str, type_: str = "A") -> Answer:
    """Return the answer to a name below the cluster domain, or with a final dot to any."""
    whole = name if name.endswith(".") else f"{name}.cluster.local."
    found = cluster.answer(names.from_text(whole), dns.rdatatype.from_text(type_))
    assert found is not None, f"{name} is not the cluster's"
    return found


def ask(cluster: Cluster, name: str, type_: str = "A") -> Shown:
    """Return the answer as text."""
    found = answer(cluster, name, type_)
    soa = [rrset for rrset in found.authority if rrset.type == dns.rdatatype.SOA]
    assert len(soa) == len(found.authority)
    return Shown(
        dns.rcode.to_text(dns.rcode.Rcode(found.rcode)),
        [line for rrset in found.answer for line in lines(rrset)],
        found.reason.code,
        [line for rrset in found.additional for line in lines(rrset)],
        bool(soa),
        {rrset.ttl for rrset in (*found.answer, *found.authority, *found.additional)},
    )


def lines(rrset: RRset) -> list[str]:
    """Return the records of an RRset, less what stands below the cluster domain anyway."""
    type_ = dns.rdatatype.RdataType.make(rrset.type)
    found = []
    for rdata in rrset.rdatas:
        text = dns.rdata.from_wire("IN", type_, rdata, 0, len(rdata)).to_text()
        line = f"{names.to_text(rrset.name)} {dns.rdatatype.to_text(type_)} {text}"
        found.append(line.replace(".cluster.local.", ""))
    return found
