"""Which objects of the cluster an answer comes from, and which names are similar to a missing one."""

from collections.abc import Iterable, Iterator

from dnsserver.clients import shown_address
from dnsserver.explain.report import Source
from dnsserver.wire.name import from_labels, labels, labels_below, to_text
from dnsserver.zone.index import Entry, Index
from dnsserver.zone.record import Key

_SHOWN = 4  # of slices, addresses or services


def sources(index: Index, keys: Iterable[Key]) -> Iterator[Source]:
    """Yield what an answer that depends on these keys was made of, or what would have to be there."""
    for key in keys:
        if isinstance(key, bytes):
            yield from _of_address(index, key)
        elif len(key) == 1:
            yield _of_namespace(index, key[0])
        elif len(key) == 2:
            yield _of_service(index, key[0], key[1])


def _of_namespace(index: Index, namespace: bytes) -> Source:
    name = namespace.decode(errors="replace")
    if namespace in index.namespaces:
        return Source("cluster", f"Namespace {name}", f"Namespace {name}")
    return Source("cluster", f"no Namespace {name}")


def _of_service(index: Index, namespace: bytes, service: bytes) -> Source:
    name = f"{namespace.decode(errors='replace')}/{service.decode(errors='replace')}"
    entry = index.entry((namespace, service))
    if entry is None or entry.service is None:
        slices = (
            "" if entry is None or not entry.slices else f", though EndpointSlices for it exist ({len(entry.slices)})"
        )
        return Source("cluster", f"no Service {name}{slices}")
    return Source("cluster", f"Service {name}, {_kind(entry)}", f"Service {name}")


def _kind(entry: Entry) -> str:
    """Return in a few words what a Service is, as far as DNS shows it."""
    service = entry.service
    assert service is not None  # the caller's test
    if service.external is not None:
        return f"ExternalName {service.external}"
    if not service.headless:
        return f"ClusterIP {', '.join(map(shown_address, service.addresses)) or 'none yet'}"
    ready = sum(part.count for part in entry.slices)
    unready = sum(part.unready for part in entry.slices)
    named = [part.name.decode(errors="replace") for part in entry.slices]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    inside = f" in EndpointSlice {', '.join(named[:_SHOWN])}{more}" if named else ", no EndpointSlice"
    return f"headless: {ready} ready addresses{f', {unready} endpoints not ready' if unready else ''}{inside}"


def _of_address(index: Index, address: bytes) -> Iterator[Source]:
    shown = shown_address(address)
    found = [("ClusterIP", key) for key in index.by_cluster_ip.get(address)]
    found += [("endpoint", key) for key in index.by_endpoint.get(address)]
    for what, (namespace, service) in found[:_SHOWN]:
        name = f"{namespace.decode(errors='replace')}/{service.decode(errors='replace')}"
        yield Source("cluster", f"{shown} is {what} of Service {name}", f"Service {name}")
    if not found:
        yield Source("cluster", f"no Service has the address {shown}")


def about(keys: Iterable[Key]) -> tuple[str, str]:
    """Return the namespace and the service that an answer with these keys is about, "" for what it does not name."""
    namespace = service = b""
    for key in keys:
        if isinstance(key, tuple) and len(key) in {1, 2}:
            namespace, service = key[0], key[1] if len(key) == 2 else b""
    return namespace.decode(errors="replace"), service.decode(errors="replace")


def meant(name: bytes, domain: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]] | None:
    """Return the service and the namespace that a lower-case name names, and the labels before; None if it is no such.

    `domain` is the cluster's.
    """
    left = labels_below(name, b"\x03svc" + domain)
    return None if left is None or len(left) < 2 else (left[-2], left[-1], tuple(left[:-2]))


def name_of(service: bytes, namespace: bytes, before: tuple[bytes, ...], domain: bytes) -> str:
    """Return the whole name of a service, or of something in it, without a final dot."""
    return to_text(from_labels((*before, service, namespace, b"svc", *labels(domain)))).removesuffix(".")
