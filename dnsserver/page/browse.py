"""The content of the zone, page by page: namespaces, their services, the endpoints of a service, and their records.

Each function looks at a few objects between two turns of the event loop, so that 10,000 services delay nobody. The
zone may change meanwhile; what is gone is left out. Names are text, in lower case as DNS compares them.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice

import msgspec
import trio

from dnsserver.advice import advice, meaning
from dnsserver.clients import shown_address
from dnsserver.explain.origins import about
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError
from dnsserver.wire.presentation import rdata_text
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.index import Endpoint, Entry, PortView, SliceView
from dnsserver.zone.services import endpoint_label

MOST = 200  # rows of one answer
_STEP = 1000  # names looked at between two turns of the event loop, less than 1 ms
_ENDPOINTS = 500  # endpoints between two turns
_RECORDS = 20  # records shown of one name and type
_PORTS = 20  # ports of which the SRV records are shown
_NAMED = 10  # endpoints whose records are shown, and slices that have some which are not ready


class Slice(msgspec.Struct, frozen=True):
    """Which rows are wanted: those with `filter` in their name, `limit` of them after the first `offset`."""

    filter: str = ""
    offset: int = 0
    limit: int = 50


class NamespaceRow(msgspec.Struct, frozen=True):
    """A namespace; one that is not there itself may have services all the same, of which nothing is answered."""

    name: str
    exists: bool
    services: int


class ServiceRow(msgspec.Struct, frozen=True):
    """A service's name. `kind` is ClusterIP, Headless, ExternalName, or empty where only EndpointSlices have it."""

    namespace: str
    name: str
    kind: str
    addresses: tuple[str, ...]
    ports: tuple[str, ...]
    ready: int
    unready: int


class Namespaces(msgspec.Struct, frozen=True):
    """Rows of namespaces, and with a filter those of services whose names match, wherever they are."""

    total: int
    rows: tuple[NamespaceRow, ...]
    services_total: int
    services: tuple[ServiceRow, ...]


class Services(msgspec.Struct, frozen=True):
    """Rows of the services of a namespace."""

    namespace: str
    exists: bool
    total: int
    rows: tuple[ServiceRow, ...]


class EndpointRow(msgspec.Struct, frozen=True):
    """An endpoint that is ready, or was a moment ago; `name` is its own name where it has one."""

    address: str
    hostname: str
    name: str
    slice: str
    leaving: bool


class RecordSet(msgspec.Struct, frozen=True):
    """The answer to a question: records as text, `more` that are left out, or why there are none and what to do."""

    name: str
    type: str
    rcode: str
    ttl: int | None
    data: tuple[str, ...]
    more: int
    reason: str
    meaning: str
    advice: str


class Service(msgspec.Struct, frozen=True):
    """One service; `total` endpoints match the filter, and `unready_in` are slices with some that are not ready.

    Which these are is not kept: `/endpoints` asks the API server.
    """

    row: ServiceRow
    external: str
    slices: int
    unready_in: tuple[str, ...]
    total: int
    endpoints: tuple[EndpointRow, ...]
    records: tuple[RecordSet, ...]


async def namespaces(cluster: Cluster, wanted: Slice) -> Namespaces:
    """Return namespaces, and services anywhere, with the filter in their name."""
    text = _octets(wanted.filter)
    known = sorted(cluster.index.namespaces | cluster.index.entries.keys())
    matching = [name for name in known if text in name]
    rows = [
        NamespaceRow(_text(name), name in cluster.index.namespaces, len(cluster.index.entries.get(name, ())))
        for name in matching[wanted.offset : wanted.offset + wanted.limit]
    ]
    await trio.lowlevel.checkpoint()
    total, found = await _matching_services(cluster, known, text, wanted.limit) if text else (0, [])
    await trio.lowlevel.checkpoint()
    return Namespaces(len(matching), tuple(rows), total, tuple(map(_service_row, found)))


async def _matching_services(
    cluster: Cluster, known: Sequence[bytes], text: bytes, limit: int
) -> tuple[int, list[Entry]]:
    """Return how many services match, and the first ones."""
    total = looked = 0
    first: list[Entry] = []
    for namespace in known:
        entries = cluster.index.entries.get(namespace, {})
        looked += len(entries) + 1
        matching = [name for name in entries if text in name]
        if matching and len(first) < limit:
            first += [entries[name] for name in sorted(matching)[: limit - len(first)]]
        total += len(matching)
        if looked >= _STEP:
            looked = 0
            await trio.lowlevel.checkpoint()
    return total, first


async def services(cluster: Cluster, namespace: str, wanted: Slice) -> Services:
    """Return the services of a namespace."""
    own, text = _octets(namespace), _octets(wanted.filter)
    entries = cluster.index.entries.get(own, {})
    matching = sorted(name for name in entries if text in name)
    chosen = [entries[name] for name in matching[wanted.offset : wanted.offset + wanted.limit]]
    await trio.lowlevel.checkpoint()
    return Services(namespace, own in cluster.index.namespaces, len(matching), tuple(map(_service_row, chosen)))


async def service(cluster: Cluster, namespace: str, name: str, wanted: Slice) -> Service | None:
    """Return a service, the endpoints of it that match, and its records; None if there is no such service."""
    entry = cluster.index.entry((_octets(namespace), _octets(name)))
    if entry is None:
        return None
    view = entry.service
    total, rows = await _endpoints(cluster, entry, wanted)
    records = [record async for record in _records(cluster, entry, [row.name for row in rows if row.name])]
    return Service(
        _service_row(entry),
        view.external if view is not None and view.external is not None else "",
        len(entry.slices),
        tuple(_text(part.name) for part in islice((part for part in entry.slices if part.unready), _NAMED)),
        total,
        tuple(rows),
        tuple(records),
    )


def _service_row(entry: Entry) -> ServiceRow:
    view = entry.service
    kind, ports = "", _slice_ports(entry.slices)
    addresses: tuple[bytes, ...] = ()
    if view is not None:
        kind = view.kind
        addresses, ports = view.addresses, view.ports or ports
    return ServiceRow(
        _text(entry.key[0]),
        _text(entry.key[1]),
        kind,
        tuple(map(shown_address, addresses)),
        tuple(_port(port) for port in ports[:_PORTS]),
        sum(part.count for part in entry.slices),
        sum(part.unready for part in entry.slices),
    )


def _slice_ports(slices: Iterable[SliceView]) -> tuple[PortView, ...]:
    return tuple(dict.fromkeys(port for part in islice(slices, _PORTS) for port in part.ports))


def _port(port: PortView) -> str:
    shown = f"{port.number}/{_text(port.protocol)}"
    return f"{_text(port.name)} {shown}" if port.name else shown


async def _endpoints(cluster: Cluster, entry: Entry, wanted: Slice) -> tuple[int, list[EndpointRow]]:
    """Return how many endpoints match, and those of the wanted slice."""
    rows: list[EndpointRow] = []
    total = looked = 0
    for part, endpoint, leaving in _all_endpoints(entry):
        looked += 1
        if looked % _ENDPOINTS == 0:
            await trio.lowlevel.checkpoint()
        shown = names.to_text if part is not None and part.fqdn else shown_address
        address, hostname = shown(endpoint[0]), _text(endpoint[1] or b"")
        if wanted.filter.lower() not in address and wanted.filter.lower() not in hostname:
            continue
        if wanted.offset <= total < wanted.offset + wanted.limit:
            own = "" if part is not None and part.fqdn else _own_name(cluster, entry, endpoint)
            rows.append(EndpointRow(address, hostname, own, "" if part is None else _text(part.name), leaving))
        total += 1
    return total, rows


def _all_endpoints(entry: Entry) -> Iterator[tuple[SliceView | None, Endpoint, bool]]:
    """Yield each endpoint, with its slice if it has one, and whether it has just left the slice."""
    for part in entry.slices:
        for endpoint in part.endpoints():
            yield part, endpoint, False
    for endpoint in tuple(entry.retained or ()):
        yield None, endpoint, True


def _own_name(cluster: Cluster, entry: Entry, endpoint: Endpoint) -> str:
    """Return the name of an endpoint (Kubernetes DNS specification, section 2.4.1)."""
    if entry.service is None or entry.service.external is not None:
        return ""
    name = _name(cluster, entry, endpoint_label(endpoint))
    return "" if name is None else names.to_text(name)


def _name(cluster: Cluster, entry: Entry, *labels: bytes) -> bytes | None:
    """Return the service's name with labels in front; None if a label or the whole name is too long."""
    namespace, name = entry.key
    try:
        return names.from_labels((*labels, name, namespace, b"svc", *names.labels(cluster.domain)))
    except FormatError:
        return None


async def _records(cluster: Cluster, entry: Entry, endpoints: Sequence[str]) -> AsyncIterator[RecordSet]:
    """Yield the answers for the service's own name, for that of each port, and for that of each given endpoint.

    One question is answered between two turns of the event loop. Types that a name need not have are only given if
    the name has them.
    """
    if entry.service is None:
        return
    own = _name(cluster, entry)
    asked: list[tuple[bytes | None, int]]
    if entry.service.external is not None:
        asked, more = [(own, m.CNAME)], list[tuple[bytes | None, int]]()
    else:
        ports = entry.service.ports or _slice_ports(entry.slices)
        asked = [(own, m.A), (own, m.AAAA)]
        asked += [
            (_name(cluster, entry, b"_" + port.name, b"_" + port.protocol), m.SRV)
            for port in ports[:_PORTS]
            if port.name
        ]
        named = [names.from_text(name) for name in dict.fromkeys(endpoints[:_NAMED])]
        more = [
            (name, qtype) for name in (own, *named) for qtype in ((m.A, m.AAAA, m.SRV) if name != own else (m.SRV,))
        ]
    for name, qtype in asked:
        await trio.lowlevel.checkpoint()
        if name is not None:
            yield _record(cluster, name, qtype)
    for name, qtype in more:
        await trio.lowlevel.checkpoint()
        if name is not None and (found := _record(cluster, name, qtype)).data:
            yield found


def _record(cluster: Cluster, name: bytes, qtype: int) -> RecordSet:
    answer = cluster.answer(name, qtype)
    assert answer is not None  # the name is below the cluster's domain
    rrsets = [rrset for rrset in answer.answer if rrset.type == qtype]
    rdatas = [rdata for rrset in rrsets for rdata in rrset.rdatas]
    why = not rdatas
    return RecordSet(
        names.to_text(name),
        m.type_name(qtype),
        m.rcode_name(answer.rcode),
        rrsets[0].ttl if rrsets else None,
        tuple(rdata_text(qtype, rdata) for rdata in rdatas[:_RECORDS]),
        max(0, len(rdatas) - _RECORDS),
        answer.reason.code,
        meaning(answer.reason.code) if why else "",
        advice(answer.reason.code, *about(answer.depends or ())) if why else "",
    )


def _octets(text: str) -> bytes:
    return text.strip().lower().encode("utf-8", "replace")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
