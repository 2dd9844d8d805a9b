"""Every question about a cluster's names that has records, as far as its objects say it: what `compare` asks."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dnsserver.wire import message as m
from dnsserver.wire.message import FormatError, type_name
from dnsserver.wire.name import from_labels, from_text, labels, to_text
from dnsserver.zone.index import Entry, Index
from dnsserver.zone.reverse import dashed
from dnsserver.zone.services import endpoint_label

_TYPES = {type_name(number): number for number in (m.A, m.AAAA, m.SRV, m.PTR, m.NS, m.SOA, m.TXT, m.CNAME, m.MX)}
_ADDRESSES = (m.A, m.AAAA)


class Question(NamedTuple):
    """A name in lower case, and a type."""

    name: bytes
    type: int

    def __str__(self) -> str:
        return f"{to_text(self.name)} {type_name(self.type)}"


def of_cluster(index: Index, domain: bytes, *, pods: bool) -> Iterator[Question]:
    """Give the questions; with `pods` also those about the names that pods' and endpoints' addresses have."""
    zone = labels(domain)
    for begin, types in (
        ((), (m.SOA, m.A)),
        ((b"svc",), (m.A, m.TXT)),
        ((b"pod",), (m.A,)),
        ((b"dns-version",), (m.TXT, m.A)),
    ):
        for qtype in types:
            yield Question(from_labels((*begin, *zone)), qtype)
    for namespace in sorted(index.namespaces):
        yield Question(from_labels((namespace, b"svc", *zone)), m.A)
        for entry in index.entries.get(namespace, {}).values():
            yield from _of_service(entry, zone)
            if pods:
                for address in _addresses(entry):
                    yield Question(from_labels((dashed(address), namespace, b"pod", *zone)), _type_of(address))
    for addresses in (index.by_cluster_ip, index.by_endpoint):
        for address in addresses:
            yield Question(from_text(ipaddress.ip_address(address).reverse_pointer), m.PTR)


def _of_service(entry: Entry, zone: tuple[bytes, ...]) -> Iterator[Question]:
    """Yield the questions about a service: for its own name, those of its ports, and those of its endpoints."""
    if entry.service is None:
        return
    namespace, name = entry.key
    own = (name, namespace, b"svc", *zone)
    yield from (Question(from_labels(own), qtype) for qtype in (*_ADDRESSES, m.SRV))
    slices = () if entry.service.external is not None else entry.slices
    listed = (port for view in slices for port in view.ports)
    ports = {(port.name, port.protocol) for port in (*entry.service.ports, *listed) if port.name}
    for port, protocol in sorted(ports):
        for qtype in (m.SRV, m.A):
            yield Question(from_labels((b"_" + port, b"_" + protocol, *own)), qtype)
    for label in sorted({endpoint_label(each) for view in slices if not view.fqdn for each in view.endpoints()}):
        for qtype in (*_ADDRESSES, m.SRV):
            yield Question(from_labels((label, *own)), qtype)


def _addresses(entry: Entry) -> set[bytes]:
    return {address for view in entry.slices if not view.fqdn for address in view.addresses}


def _type_of(address: bytes) -> int:
    return m.A if len(address) == 4 else m.AAAA


def of_lines(lines: Iterable[str]) -> Iterator[Question]:
    """Give the questions of a list: `NAME [TYPE...]` a line, A and AAAA without a type. Raises ValueError."""
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            name = from_text(words[0]).lower()
        except FormatError as error:
            raise ValueError(f"line {number}: {error}") from None
        for word in words[1:] or ("A", "AAAA"):
            if word.upper() not in _TYPES:
                raise ValueError(f"line {number}: found {word}, expected one of {', '.join(sorted(_TYPES))}")
            yield Question(name, _TYPES[word.upper()])
