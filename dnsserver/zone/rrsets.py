"""All records of the cluster's zone, exactly as in its answers: `dump` prints them.

Given bit by bit, so that whoever takes them can let others have their turn; the zone may change meanwhile. What is
retained for its grace is left out, and names of pods where any address has one (`pods = "insecure"`).
"""

from collections.abc import Iterator

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import RRset
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.index import Entry, Pair
from dnsserver.zone.model import Kind
from dnsserver.zone.reverse import dashed, reverse_name
from dnsserver.zone.services import endpoint_label

_APEX = ((b"", (m.SOA, m.NS)), (b"\x02ns\x03dns", (m.A, m.AAAA)), (b"\x0bdns-version", (m.TXT,)))
_PORT = (m.A, m.AAAA, m.SRV)
_SERVICE = (m.CNAME, *_PORT)


def of_apex(cluster: Cluster) -> Iterator[RRset]:
    """Yield the records of the zone itself, the SOA first."""
    for label, types in _APEX:
        for qtype in types:
            yield from asked(cluster, label + cluster.domain, qtype)


def of_services(cluster: Cluster, namespace: bytes | None = None) -> Iterator[RRset]:
    """Yield the records of all services, or of those of one namespace."""
    for place in sorted(cluster.index.namespaces) if namespace is None else (namespace,):
        for service in sorted(cluster.index.entries.get(place, ())):
            yield from of_service(cluster, (place, service))


def of_service(cluster: Cluster, key: Pair) -> Iterator[RRset]:
    """Yield the records of a service, its ports and its endpoints; none if there is no such service."""
    entry = cluster.index.entry(key)
    if entry is None or entry.service is None or key[0] not in cluster.index.namespaces:
        return
    base = names.from_labels((key[1], key[0], b"svc", *names.labels(cluster.domain)))
    for qtype in _SERVICE:
        yield from asked(cluster, base, qtype)
    if entry.service.external is not None:
        return
    listed = [port for part in entry.slices for port in part.ports] if entry.service.headless else entry.service.ports
    for port, protocol in sorted({(port.name, port.protocol) for port in listed if port.name}):
        owner = _below(base, b"_" + port, b"_" + protocol)
        if owner is not None:
            for qtype in _PORT:
                yield from asked(cluster, owner, qtype)
    yield from _of_endpoints(cluster, entry, base)


class _Endpoints:
    """The endpoints of a service by their labels: addresses and ports of each, and which labels are aliases.

    They are made from all slices at once: a question for each endpoint would search all slices each time.
    """

    def __init__(self, entry: Entry) -> None:
        self.addresses: dict[bytes, dict[bytes, None]] = {}
        self.ports: dict[bytes, dict[int, None]] = {}
        self.aliases: set[bytes] = set()
        for part in entry.slices:
            for endpoint in part.endpoints():
                if part.fqdn:
                    self.aliases.update(filter(None, (endpoint[1],)))
                    continue
                label = endpoint_label(endpoint)
                self.addresses.setdefault(label, {})[endpoint[0]] = None
                self.ports.setdefault(label, {}).update(dict.fromkeys(port.number for port in part.ports))


def _of_endpoints(cluster: Cluster, entry: Entry, base: bytes) -> Iterator[RRset]:
    """Yield the records of each endpoint."""
    found = _Endpoints(entry)
    ttl = next(asked(cluster, cluster.domain, m.SOA)).ttl
    for label in sorted(found.addresses.keys() | found.aliases):
        owner = _below(base, label)
        if owner is None:
            continue
        if label in found.aliases:
            for qtype in _SERVICE:
                yield from asked(cluster, owner, qtype)
            continue
        for qtype, size in m.ADDRESS_SIZES.items():
            addresses = tuple(address for address in found.addresses[label] if len(address) == size)
            if addresses:
                yield RRset(owner, qtype, ttl, addresses)
        if ports := found.ports[label]:
            weight = max(1, 100 // len(ports)).to_bytes(2, "big")
            yield RRset(owner, m.SRV, ttl, tuple(b"\0\0" + weight + port.to_bytes(2, "big") + owner for port in ports))


def of_pods(cluster: Cluster, namespace: bytes | None = None) -> Iterator[RRset]:
    """Yield the records of pods, where pods are known."""
    index = cluster.index
    for place in sorted(index.namespaces_of(Kind.PODS)) if namespace is None else (namespace,):
        for pod in sorted(index.names_in(Kind.PODS, place)):
            for address in index.pod_addresses((place, pod)) or ():
                owner = names.from_labels((dashed(address), place, b"pod", *names.labels(cluster.domain)))
                yield from asked(cluster, owner, m.A if len(address) == 4 else m.AAAA)


def of_addresses(cluster: Cluster) -> Iterator[RRset]:
    """Yield the reverse names of services and endpoints, which are of other zones."""
    for addresses in (cluster.index.by_cluster_ip, cluster.index.by_endpoint):
        for address in list(addresses):  # as they come: to sort 60,000 holds the event loop for 20 ms
            yield from asked(cluster, reverse_name(address), m.PTR)


def _below(base: bytes, *labels: bytes) -> bytes | None:
    """Return a name below a service; None if it is longer than names may be."""
    name = b"".join(bytes((len(label),)) + label for label in labels) + base
    fits = len(name) <= names.MAX_NAME and all(len(label) <= names.MAX_LABEL for label in labels)
    return name if fits else None


def asked(cluster: Cluster, name: bytes, qtype: int) -> Iterator[RRset]:
    """Yield the records that a question for just these brings."""
    answer = cluster.answer(name, qtype)
    for rrset in () if answer is None or answer.rcode != m.NOERROR else answer.answer:
        if (rrset.name, rrset.type) == (name, qtype):
            yield rrset
