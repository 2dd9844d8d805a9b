"""The index of the few fields that answers need, kept both ways so that a change costs its own object only.

At the size Kubernetes promises (10,000 services, 60,000 endpoints, 150,000 pods) an object's footprint is what counts:
addresses are packed octets, names are octets shared between indices, an endpoint without a hostname is nothing but its
address. Every method that changes the index adds to `changed` the keys whose answers may now differ, and to `released`
the endpoints that a slice no longer lists and that no other slice of the service does.
"""

import socket
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError
from dnsserver.zone import model
from dnsserver.zone.record import Key

Pair = tuple[bytes, bytes]
Endpoint = tuple[bytes, bytes | None]  # address, hostname
_T = TypeVar("_T")

_IPV6_SIZE = 16


class Port(msgspec.Struct, frozen=True, gc=False):
    """A port as SRV shows it; an unnamed one has an empty name."""

    name: bytes
    protocol: bytes
    number: int


class ServiceView(msgspec.Struct, frozen=True):
    """What DNS shows of a Service: its addresses, or that it is headless, or the name that it stands for."""

    addresses: tuple[bytes, ...]
    ports: tuple[Port, ...]
    headless: bool = False
    external: str | None = None


class SliceView(msgspec.Struct, frozen=True):
    """The ready endpoints of a slice.

    `names` holds a hostname or None beside each address, or is empty if none has one. A slice of FQDNs has wire names
    in `addresses`. `unready` counts the endpoints that are left out.
    """

    addresses: tuple[bytes, ...]
    names: tuple[bytes | None, ...]
    ports: tuple[Port, ...]
    fqdn: bool
    unready: int

    def endpoints(self) -> Iterator[Endpoint]:
        """Give each ready endpoint's address and hostname."""
        return zip(self.addresses, self.names or (None,) * len(self.addresses), strict=True)


class Entry:
    """A service's name: the Service, if there is one, and the slices that carry its label."""

    __slots__ = ("held", "key", "service", "slices")

    def __init__(self, key: Pair) -> None:
        """Make the entry of (namespace, service)."""
        self.key = key
        self.service: ServiceView | None = None
        self.slices: dict[bytes, SliceView] = {}
        # Endpoints that left a slice a moment ago and may turn up in another (see Cluster's grace), with their ports.
        self.held: dict[Endpoint, tuple[Port, ...]] = {}


class Index:
    """All objects of a cluster, by every key that a question can bring."""

    def __init__(self) -> None:
        """Make an empty index."""
        self.namespaces: set[bytes] = set()
        self.entries: dict[Pair, Entry] = {}
        self.by_cluster_ip: dict[bytes, tuple[Entry, ...]] = {}
        self.by_endpoint: dict[bytes, tuple[Entry, ...]] = {}
        self.ipv6 = 0  # IPv6 addresses in the two indices above
        self.changed: set[Key] = set()
        self.released: list[tuple[Entry, Endpoint, tuple[Port, ...]]] = []
        self._slice_owner: dict[Pair, Entry] = {}
        self._pods: dict[bytes, dict[bytes, bytes]] = {}
        self._pod_namespaces: dict[bytes, tuple[bytes, ...]] = {}
        self._interned: dict[object, object] = {}

    # Objects in ------------------------------------------------------------------------------------------------------

    def put_namespace(self, obj: model.Namespace) -> None:
        """Note that a namespace exists."""
        namespace = _octets(obj.metadata.name)
        if namespace not in self.namespaces:
            self.namespaces.add(namespace)
            self.changed.add((namespace,))

    def put_service(self, obj: model.Service) -> None:
        """Take in the present state of a Service."""
        entry = self._entry(_pair(obj.metadata.namespace, obj.metadata.name))
        view = self._service_view(obj.spec)
        if entry.service == view:
            return
        self._replace_service(entry, view)

    def put_slice(self, obj: model.EndpointSlice) -> None:
        """Take in the present state of an EndpointSlice; without the service's label it names nothing."""
        own = _pair(obj.metadata.namespace, obj.metadata.name)
        service = (obj.metadata.labels or {}).get("kubernetes.io/service-name")
        before = self._slice_owner.get(own)
        if before is not None and before.key[1] != _octets(service or ""):
            self.remove_slice(own)
        if not service:
            return
        entry = self._entry((own[0], _octets(service)))
        view = self._slice_view(obj)
        old = entry.slices.get(own[1])
        if old != view:
            self._slice_owner[own] = entry
            listed = {text for endpoint in obj.endpoints or () for text in endpoint.addresses or ()}
            self._replace_slice(entry, own[1], old, view, {pack(text) for text in listed})

    def put_pod(self, obj: model.Pod) -> None:
        """Take in the addresses of a pod; one that has ended has none."""
        namespace, name = self._intern(_octets(obj.metadata.namespace)), _octets(obj.metadata.name)
        addresses = _pod_addresses(obj.status)
        pods = self._pods.setdefault(namespace, {})
        old = pods.get(name)
        if old == addresses:
            return
        if old is not None:
            self.remove_pod((namespace, name))
            pods = self._pods.setdefault(namespace, {})
        pods[name] = addresses
        for address in _split(addresses):
            self._pod_namespaces[address] = (*self._pod_namespaces.get(address, ()), namespace)
            self.changed.add(address)

    # Objects out -----------------------------------------------------------------------------------------------------

    def remove_namespace(self, name: bytes) -> None:
        """Note that a namespace is gone."""
        if name in self.namespaces:
            self.namespaces.remove(name)
            self.changed.add((name,))

    def remove_service(self, key: Pair) -> None:
        """Forget a Service."""
        entry = self.entries.get(key)
        if entry is not None and entry.service is not None:
            entry.held.clear()
            self._replace_service(entry, None)

    def remove_slice(self, own: Pair) -> None:
        """Forget an EndpointSlice, by its own namespace and name."""
        entry = self._slice_owner.pop(own, None)
        if entry is not None:
            self._replace_slice(entry, own[1], entry.slices.get(own[1]), None, set())

    def remove_pod(self, own: Pair) -> None:
        """Forget a pod."""
        pods = self._pods.get(own[0], {})
        addresses = pods.pop(own[1], None)
        if addresses is None:
            return
        if not pods:
            del self._pods[own[0]]
        for address in _split(addresses):
            namespaces = list(self._pod_namespaces.pop(address, ()))
            if own[0] in namespaces:
                namespaces.remove(own[0])
            if namespaces:
                self._pod_namespaces[address] = tuple(namespaces)
            self.changed.add(address)

    # Questions -------------------------------------------------------------------------------------------------------

    def has_pod(self, namespace: bytes, address: bytes) -> bool:
        """Tell whether a living pod of the namespace has the address."""
        return namespace in self._pod_namespaces.get(address, ())

    def owner_of(self, own: Pair) -> Entry | None:
        """Return the entry that a slice belongs to, by the slice's namespace and name."""
        return self._slice_owner.get(own)

    def pod_addresses(self, own: Pair) -> tuple[bytes, ...]:
        """Return the addresses of a pod, by its namespace and name."""
        return _split(self._pods.get(own[0], {}).get(own[1], b""))

    def names_of(self, kind: model.Kind) -> Iterable[Pair]:
        """Give (namespace, name) of every object held of a kind; a Namespace's own namespace is empty."""
        match kind:
            case model.Kind.NAMESPACES:
                return ((b"", name) for name in self.namespaces)
            case model.Kind.SERVICES:
                return (key for key, entry in self.entries.items() if entry.service is not None)
            case model.Kind.ENDPOINTSLICES:
                return iter(self._slice_owner)
            case model.Kind.PODS:
                return ((namespace, name) for namespace, pods in self._pods.items() for name in pods)

    def count(self, kind: model.Kind) -> int:
        """Return how many objects of a kind are held."""
        match kind:
            case model.Kind.NAMESPACES:
                return len(self.namespaces)
            case model.Kind.ENDPOINTSLICES:
                return len(self._slice_owner)
            case model.Kind.PODS:
                return sum(map(len, self._pods.values()))
            case model.Kind.SERVICES:
                return sum(entry.service is not None for entry in self.entries.values())

    # The bookkeeping behind them -------------------------------------------------------------------------------------

    def _entry(self, key: Pair) -> Entry:
        entry = self.entries.get(key)
        if entry is None:
            key = (self._intern(key[0]), key[1])
            entry = self.entries[key] = Entry(key)
        return entry

    def forget_if_empty(self, entry: Entry) -> None:
        """Drop an entry that holds nothing any more."""
        if entry.service is None and not entry.slices and not entry.held:
            self.entries.pop(entry.key, None)

    def _replace_service(self, entry: Entry, view: ServiceView | None) -> None:
        old = entry.service
        entry.service = view
        self.changed.add(entry.key)
        before = old.addresses if old else ()
        after = view.addresses if view else ()
        for address in set(before) - set(after):
            self._discard(self.by_cluster_ip, address, entry)
        for address in set(after) - set(before):
            self._include(self.by_cluster_ip, address, entry)
        self.changed.update(before)
        self.changed.update(after)
        if (old is None) != (view is None):  # the endpoints' PTRs hang on the service (answers.md section 8, 14)
            for part in entry.slices.values():
                if not part.fqdn:
                    self.changed.update(part.addresses)
        self.forget_if_empty(entry)

    def _replace_slice(
        self, entry: Entry, name: bytes, old: SliceView | None, view: SliceView | None, listed: set[bytes | None]
    ) -> None:
        if view is None:
            entry.slices.pop(name, None)
        else:
            entry.slices[name] = view
        self.changed.add(entry.key)
        before = set(old.addresses) if old and not old.fqdn else set()
        after = set(view.addresses) if view and not view.fqdn else set()
        for address in after - before:
            self._include(self.by_endpoint, address, entry)
        gone = {
            address
            for address in before - after
            if not any(address in part.addresses for part in entry.slices.values() if not part.fqdn)
        }
        for address in gone:
            self._discard(self.by_endpoint, address, entry)
        for endpoint in [held for held in entry.held if held[0] in listed]:
            del entry.held[endpoint]
        if old is not None and entry.service is not None:
            moving = gone - listed
            self.released += ((entry, endpoint, old.ports) for endpoint in old.endpoints() if endpoint[0] in moving)
        if old is not None and view is not None and old.names == view.names and len(before) == len(old.addresses):
            self.changed.update(before ^ after)
        else:  # a hostname may have come or gone, and with it a PTR's target
            self.changed.update(before | after)
        self.forget_if_empty(entry)

    def _include(self, index: dict[bytes, tuple[Entry, ...]], address: bytes, entry: Entry) -> None:
        present = index.get(address, ())
        if entry not in present:
            index[address] = (*present, entry)
            self.ipv6 += not present and len(address) == _IPV6_SIZE

    def _discard(self, index: dict[bytes, tuple[Entry, ...]], address: bytes, entry: Entry) -> None:
        present = index.get(address, ())
        left = tuple(other for other in present if other is not entry)
        if left:
            index[address] = left
        elif present:
            del index[address]
            self.ipv6 -= len(address) == _IPV6_SIZE

    def _service_view(self, spec: model.ServiceSpec) -> ServiceView:
        ports = self._ports(spec.ports or ())
        if spec.type == "ExternalName":
            return ServiceView((), ports, external=spec.external_name or "")
        texts = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
        if "None" in texts:
            return ServiceView((), ports, headless=True)
        return ServiceView(tuple(filter(None, map(pack, texts))), ports)

    def _slice_view(self, obj: model.EndpointSlice) -> SliceView:
        read = _fqdn if obj.address_type == "FQDN" else _FAMILY_READERS.get(obj.address_type, pack)
        addresses: list[bytes] = []
        hostnames: list[bytes | None] = []
        unready = 0
        for endpoint in obj.endpoints or ():
            if endpoint.conditions is not None and endpoint.conditions.ready is False:
                unready += 1
                continue
            for text in endpoint.addresses or ():
                address = read(text)
                if address is not None:
                    addresses.append(address)
                    hostnames.append(_octets(endpoint.hostname) if endpoint.hostname else None)
        return SliceView(
            tuple(addresses),
            tuple(hostnames) if any(hostnames) else (),
            self._ports(obj.ports or ()),
            obj.address_type == "FQDN",
            unready,
        )

    def _ports(self, ports: Iterable[model.ServicePort | model.EndpointPort]) -> tuple[Port, ...]:
        return self._intern(
            tuple(
                Port(_octets(port.name or ""), _octets(port.protocol or "TCP"), port.port)
                for port in ports
                if port.port is not None
            )
        )

    def _intern(self, value: _T) -> _T:
        """Return the one copy of an equal value: namespaces and port lists are the same in thousands of objects."""
        if len(self._interned) > 65536:
            self._interned.clear()
        return self._interned.setdefault(value, value)  # type: ignore[return-value]


def pack(text: str) -> bytes | None:
    """Return an IP address of either family as 4 or 16 octets, or None if it is none."""
    return _pack4(text) if ":" not in text else _pack6(text)


def _pack4(text: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return None


def _pack6(text: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None


def _fqdn(text: str) -> bytes | None:
    try:
        return names.from_text(text).lower()
    except FormatError:
        return None


_FAMILY_READERS = {"IPv4": _pack4, "IPv6": _pack6}


def _octets(text: str) -> bytes:
    return text.encode().lower()


def _pair(namespace: str, name: str) -> Pair:
    return _octets(namespace), _octets(name)


def _pod_addresses(status: model.PodStatus) -> bytes:
    """Return a pod's addresses in one string of octets: none, 4, 16, or 4 and 16."""
    if status.phase in {"Succeeded", "Failed"}:
        return b""
    texts = [entry.ip for entry in status.pod_ips or ()] or [status.pod_ip or ""]
    one_of_each_family = {len(address): address for address in map(pack, reversed(texts)) if address}
    return one_of_each_family.get(4, b"") + one_of_each_family.get(16, b"")


def _split(addresses: bytes) -> tuple[bytes, ...]:
    """Undo `_pod_addresses`."""
    match len(addresses):
        case 0:
            return ()
        case 4 | 16:
            return (addresses,)
        case _:
            return addresses[:4], addresses[4:]
