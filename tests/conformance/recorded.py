"""The recorded answers as values, a reply in the same form, and what the recorded objects say beside them.

`objects.json` is what kubectl shows of a Kubernetes 1.36 cluster. `verified.jsonl` is what CoreDNS 1.14.7 said about it
over TCP, with `pods verified`, a TTL of 5 and a server of `upstream.zone` to forward to; `insecure.jsonl` the questions
whose answer differs with `pods insecure`. SOA rdata is masked; NS and `ns.dns` depend on the machine and are left out.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec

FOLDER = Path(__file__).parent
OBJECTS = FOLDER / "objects.json"
DOMAIN = "cluster.local."


class Record(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One record as it is recorded."""

    owner: str
    ttl: int
    type: str
    rdata: str


class Said(msgspec.Struct, frozen=True):
    """What is compared of an answer: sections sorted, SOA rdata masked, `ar` of SRV questions only."""

    rcode: str
    aa: bool
    an: tuple[Record, ...] = ()
    soa: bool = False
    ar: tuple[Record, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """A question and what CoreDNS said."""

    q: str
    t: str
    said: Said

    @property
    def name(self) -> str:
        """The name in lower case, absolute."""
        return self.q.lower() + "."


def nodata() -> Said:
    """Return the answer that says: the name is there, the type is not."""
    return Said("NOERROR", aa=True, soa=True)


def missing() -> Said:
    """Return the answer that says: no such name."""
    return Said("NXDOMAIN", aa=True, soa=True)


def rows(file: str) -> list[Row]:
    """Return the rows of a file of this folder."""
    found = []
    for line in (FOLDER / file).read_text().splitlines():
        row = json.loads(line)
        an, ar = (tuple(sorted(Record(*record) for record in row.get(section, ()))) for section in ("an", "ar"))
        said = Said(row["rcode"], row["aa"], an, row["soa"], ar if row["t"] == "SRV" else ())
        found.append(Row(row["q"], row["t"], said))
    return found


def read(row: Row, wire: bytes) -> tuple[Said, bool]:
    """Return what a reply says, in the form of the recorded ones, and whether it is cut short (TC)."""
    # dnspython keeps the case of every name, so a difference in case is a difference here.
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert message.question[0].to_text() == f"{row.q}. IN {row.t}", f"question not echoed: {message.question[0]}"
    said = Said(
        dns.rcode.to_text(message.rcode()),
        bool(message.flags & dns.flags.AA),
        tuple(sorted(map(_record, message.answer))),
        any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority),
        tuple(sorted(map(_record, message.additional))) if row.t == "SRV" else (),
    )
    return said, bool(message.flags & dns.flags.TC)


def _record(rrset: dns.rrset.RRset) -> Record:
    rdata = "SOA" if rrset.rdtype == dns.rdatatype.SOA else rrset[0].to_text()
    return Record(rrset.name.to_text(), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rdata)


class Facts:
    """What the recorded objects say that an answer of CoreDNS may not; read without the server's own code."""

    def __init__(self) -> None:
        items = json.loads(OBJECTS.read_text())["items"]
        self.items: list[dict[str, Any]] = items
        by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for item in items:
            by_kind[item["kind"]].append(item)
        self.namespaces = {item["metadata"]["name"] for item in by_kind["Namespace"]}
        self.services = {(i["metadata"]["namespace"], i["metadata"]["name"]): i["spec"] for i in by_kind["Service"]}
        self.external = {
            f"{name}.{namespace}.svc.{DOMAIN}": spec["externalName"].rstrip(".") + "."
            for (namespace, name), spec in self.services.items()
            if spec.get("type") == "ExternalName"
        }
        self.pod_addresses = {
            (item["metadata"]["namespace"], address["ip"])
            for item in by_kind["Pod"]
            if item["status"].get("phase") not in {"Succeeded", "Failed"}
            for address in item["status"].get("podIPs", ())
        }
        self.orphaned, self.endpoints = set[str](), set[str]()
        self.above_ports: set[str] = set()  # `_PROTOCOL.SERVICE…`, where a port of that protocol is
        for (namespace, name), spec in self.services.items():
            if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
                self._note_ports(namespace, name, spec)
        for item in by_kind["EndpointSlice"]:
            namespace = item["metadata"]["namespace"]
            service = item["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
            owned = (namespace, service) in self.services
            ready = any(endpoint.get("conditions", {}).get("ready", True) for endpoint in item.get("endpoints") or ())
            if ready and owned and self.services[namespace, service].get("clusterIP") == "None":
                self._note_ports(namespace, service, item)
            for endpoint in item.get("endpoints") or ():
                (self.endpoints if owned else self.orphaned).update(endpoint["addresses"])

    def _note_ports(self, namespace: str, service: str, of: dict[str, Any]) -> None:
        if namespace not in self.namespaces:
            return
        for port in of.get("ports") or ():
            if port.get("port") is not None:  # without a number it is none
                protocol = port.get("protocol", "TCP").lower()
                self.above_ports.add(f"_{protocol}.{service}.{namespace}.svc.{DOMAIN}")
