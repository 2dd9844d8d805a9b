"""The index of the few fields that answers need, kept both ways so that a change costs its own object only.

At the size Kubernetes promises (10,000 services, 60,000 endpoints, 150,000 pods) an object's footprint is what counts:
addresses are packed octets, names are octets shared between indices, an endpoint without a hostname is nothing but its
address, and what is the same in thousands of objects is there once. Every method that changes the index adds to
`changed` the keys whose answers may now differ, to `before` what it replaces, and to `released` the endpoints that a
slice no longer lists and that no other slice of the service does, each with whether the service has no ready one left.
Over 400 lines, because both ways of an index change together or are wrong.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton

import msgspec

from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError
from dnsserver.zone import model
from dnsserver.zone.address_table import AddressTable
from dnsserver.zone.record import Key

Pair = tuple[bytes, bytes]
Endpoint = tuple[bytes, bytes | None]  # address, hostname
Retained = tuple[float, "tuple[PortView, ...]", bool]  # the end of its grace, its ports, and whether it was the last

_MAX_LABEL = 63
_PORTS_KEPT = 16384
_NO_ENTRIES: "dict[bytes, Entry]" = {}
_NAMESPACES_KEPT = 65536
_NAMES, _MIXED = 0, -1  # sizes of addresses that are not joined
_AF_INET, _AF_INET6 = int(AF_INET), int(AF_INET6)  # an enum's member costs as much as the parsing


class PortView(msgspec.Struct, frozen=True, gc=False):
    """A port as SRV shows it; an unnamed one has an empty name."""

    name: bytes
    protocol: bytes
    number: int


class ServiceView(msgspec.Struct, frozen=True, gc=False):
    """What DNS shows of a Service: its addresses, or that it is headless, or the name that it stands for."""

    addresses: tuple[bytes, ...]
    ports: tuple[PortView, ...]
    headless: bool = False
    external: str | None = None

    @property
    def kind(self) -> str:
        """What people call such a Service; the spec's `type` is ClusterIP for a headless one, too."""
        return "ExternalName" if self.external is not None else "Headless" if self.headless else "ClusterIP"


class SliceView(msgspec.Struct, frozen=True, gc=False):
    """The ready endpoints of a slice, and the slice's name.

    `held` are their addresses: joined if all are of `size` octets, each by itself if `size` is not above 0. `names`
    holds a hostname or None beside each address, or is empty if none has one. `unready` counts the endpoints that are
    left out.
    """

    held: bytes | tuple[bytes, ...]
    names: tuple[bytes | None, ...]
    ports: tuple[PortView, ...]
    size: int
    unready: int = 0
    name: bytes = b""

    @classmethod
    def of(
        cls,
        addresses: Sequence[bytes],
        names: tuple[bytes | None, ...],
        ports: tuple[PortView, ...],
        *,
        fqdn: bool = False,
        unready: int = 0,
        name: bytes = b"",
    ) -> "SliceView":
        """Make one of these endpoints."""
        sizes = {_NAMES} if fqdn else set(map(len, addresses))
        size = sizes.pop() if len(sizes) == 1 else _MIXED
        held = b"".join(addresses) if size > 0 else tuple(addresses)
        return cls(held, names, ports, size, unready, name)

    @property
    def fqdn(self) -> bool:
        """Whether the addresses are wire names."""
        return self.size == _NAMES

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """Return each ready endpoint's address."""
        held = self.held
        return held if isinstance(held, tuple) else splitter(self.size, len(held))(held)

    @property
    def count(self) -> int:
        """Return how many endpoints are ready."""
        return len(self.held) // self.size if self.size > 0 else len(self.held)

    def endpoints(self) -> Iterator[Endpoint]:
        """Give each ready endpoint's address and hostname."""
        addresses = self.addresses
        return zip(addresses, self.names or (None,) * len(addresses), strict=True)

    def names_of(self, address: bytes) -> Iterable[bytes | None]:
        """Give the hostname, or None, of each ready endpoint that has an address."""
        if self.names:
            return [name for each, name in self.endpoints() if each == address]
        return (None,) if address in self.addresses else ()


class Before(msgspec.Struct, frozen=True, gc=False):
    """What there was before an event: a Service or Namespace, and the endpoints of the Service."""

    exists: bool
    service: ServiceView | None = None
    slices: tuple[SliceView, ...] = ()


@lru_cache(maxsize=256)
def splitter(size: int, length: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Return what splits so many octets into pieces of one size."""
    return struct.Struct(f"{size}s" * (length // size)).unpack


class Entry(msgspec.Struct, gc=False, eq=False):
    """A service's name (namespace, service): the Service, if there is one, and the slices that carry its label.

    `keys` is a tuple of the key alone, shared by all that need one. `retained` are endpoints that left a slice a moment
    ago and may turn up in another (see Cluster's grace); None most of the time. Each answers for its own name. Those
    that were the last ones of the service answer for it too, while it has no other.
    """

    key: Pair
    keys: tuple[Pair]
    service: ServiceView | None = None
    slices: tuple[SliceView, ...] = ()
    retained: dict[Endpoint, Retained] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a ready endpoint."""
        return any(part.held for part in self.slices)

    def retain(self, endpoint: Endpoint, retained: Retained) -> None:
        """Retain an endpoint, from now on."""
        if self.retained is None:
            self.retained = {}
        self.retained[endpoint] = retained

    def have(self, slices: tuple[SliceView, ...]) -> None:
        """Have these slices from now on. With the first ready endpoint, those that left before were not the last."""
        retained = self.retained if self.retained and not self.is_ready else None
        self.slices = slices
        if retained and self.is_ready:
            self.retained = {endpoint: (until, ports, False) for endpoint, (until, ports, _) in retained.items()}

    def release_retained(self, endpoint: Endpoint, now: float = float("inf")) -> bool:
        """Release a retained endpoint, unless its time has not come, and tell whether it was released."""
        if self.retained is None or endpoint not in self.retained or self.retained[endpoint][0] > now:
            return False
        del self.retained[endpoint]
        self.retained = self.retained or None
        return True


class Index:
    """All objects of a cluster, by every key that a question can bring.

    `entries` is by namespace and service; the other two give the keys of the entries that have an address.
    """

    def __init__(self) -> None:
        """Make an empty index."""
        self.namespaces: set[bytes] = set()
        self.entries: dict[bytes, dict[bytes, Entry]] = {}
        self.by_cluster_ip = AddressTable()
        self.by_endpoint = AddressTable()
        self.changed: set[Key] = set()
        self.before: dict[Pair, Before] = {}  # in the key of a Namespace the name is empty
        self.released: list[tuple[Entry, Endpoint, tuple[PortView, ...], bool]] = []
        self._services = 0
        self._slices: dict[bytes, dict[bytes, Entry]] = {}
        self._pods: dict[bytes, dict[bytes, bytes]] = {}
        self._pod_namespaces: dict[bytes, tuple[bytes, ...]] = {}
        self._ports_seen: dict[object, tuple[PortView, ...]] = {}
        self._ports_made: dict[tuple[PortView, ...], tuple[PortView, ...]] = {}
        self._seen: dict[bytes, tuple[bytes]] = {}

    # Objects in ------------------------------------------------------------------------------------------------------

    def put_namespace(self, obj: model.Namespace) -> None:
        """Note that a namespace exists."""
        namespace = _octets(obj.metadata.name)
        if namespace not in self.namespaces:
            self.before.setdefault((namespace, b""), Before(exists=False))
            self.namespaces.add(namespace)
            self._namespace_changed(namespace)

    def put_service(self, obj: model.Service) -> None:
        """Record the present state of a Service; one whose name is no label is left out (RFC 1035 section 2.3.4)."""
        namespace, name = obj.metadata.namespace.encode().lower(), obj.metadata.name.encode().lower()
        if not (0 < len(namespace) <= _MAX_LABEL and 0 < len(name) <= _MAX_LABEL):
            return
        spec, listed = obj.spec, tuple(obj.spec.ports or ())
        ports = self._ports_seen.get(listed)
        if ports is None:
            ports = self._ports(listed)
        if spec.type == "ExternalName":
            view = ServiceView((), ports, external=spec.external_name or "")
        elif "None" in (texts := spec.cluster_ips or [spec.cluster_ip or ""]):
            view = ServiceView((), ports, headless=True)
        else:
            view = ServiceView(tuple(filter(None, map(pack, texts))), ports)
        entry = self.entries.get(namespace, _NO_ENTRIES).get(name) or self._new_entry(namespace, name)
        if entry.service != view:
            self._replace_service(entry, view)

    def put_slice(self, obj: model.EndpointSlice) -> None:
        """Record the present state of an EndpointSlice; one whose label is no Service's name names nothing."""
        metadata = obj.metadata
        namespace, name = _octets(metadata.namespace), _octets(metadata.name)
        service = _octets((metadata.labels or {}).get("kubernetes.io/service-name", ""))
        before = self._slices.get(namespace, {}).get(name)
        if before is not None and before.key[1] != service:
            self.remove_slice((namespace, name))
            before = None
        if not (0 < len(namespace) <= _MAX_LABEL and 0 < len(service) <= _MAX_LABEL):
            return
        if before is None:
            entry = self.entries.get(namespace, _NO_ENTRIES).get(service) or self._new_entry(namespace, service)
            self._release_listed(entry, obj)
            self._add_slice(entry, self._slice_view(obj, name))
            return
        old = _named(before, name)
        view = self._slice_view(obj, old.name)
        if old != view:
            self._release_listed(before, obj)
            self._replace_slice(before, old, view, _listed(obj))

    def put_pod(self, obj: model.Pod) -> None:
        """Record the addresses of a pod; one that has ended has none."""
        namespace, name = _octets(obj.metadata.namespace), _octets(obj.metadata.name)
        addresses = _pod_addresses(obj.status)
        pods = self._pods.get(namespace)
        if pods is None:
            pods = self._pods[namespace] = {}
        old = pods.get(name)
        if old == addresses:
            return
        pods[name] = addresses
        if old:
            self._drop_addresses(namespace, old)
        interned = self._interned_key(namespace)
        for address in _split(addresses):
            others = self._pod_namespaces.get(address)
            self._pod_namespaces[address] = (*others, namespace) if others else interned
            self.changed.add(address)

    # Objects out -----------------------------------------------------------------------------------------------------

    def remove_namespace(self, name: bytes) -> None:
        """Note that a namespace is gone."""
        if name in self.namespaces:
            self.before.setdefault((name, b""), Before(exists=True))
            self.namespaces.remove(name)
            self._namespace_changed(name)

    def remove_service(self, key: Pair) -> None:
        """Forget a Service."""
        entry = self.entry(key)
        if entry is not None and entry.service is not None:
            entry.retained = None
            self._replace_service(entry, None)

    def remove_slice(self, own: Pair) -> None:
        """Forget an EndpointSlice, by its own namespace and name."""
        entry = self._slices.get(own[0], {}).pop(own[1], None)
        if entry is not None:
            self._replace_slice(entry, _named(entry, own[1]), None, set())
            if not self._slices[own[0]]:
                del self._slices[own[0]]

    def remove_pod(self, own: Pair) -> None:
        """Forget a pod."""
        namespace, name = own
        pods = self._pods.get(namespace, {})
        addresses = pods.pop(name, None)
        if addresses is None:
            return
        if not pods:
            del self._pods[namespace]
        self._drop_addresses(namespace, addresses)

    def _namespace_changed(self, namespace: bytes) -> None:
        """Note that a namespace appeared or went: its names changed, and the PTRs that lead to these names."""
        self.changed.add((namespace,))
        for entry in self.entries.get(namespace, {}).values():
            if entry.service is not None:
                self.changed.update(entry.service.addresses)
            for part in entry.slices:
                if not part.fqdn:
                    self.changed.update(part.addresses)

    def _drop_addresses(self, namespace: bytes, addresses: bytes) -> None:
        for address in _split(addresses):
            namespaces = list(self._pod_namespaces.pop(address, ()))
            if namespace in namespaces:
                namespaces.remove(namespace)
            if namespaces:
                self._pod_namespaces[address] = tuple(namespaces)
            self.changed.add(address)

    # Questions -------------------------------------------------------------------------------------------------------

    def has_pod(self, namespace: bytes, address: bytes) -> bool:
        """Tell whether a living pod of the namespace has the address."""
        return namespace in self._pod_namespaces.get(address, ())

    def count_pods_with(self, address: bytes) -> int:
        """Return how many living pods have the address: more than one share that of their node."""
        return len(self._pod_namespaces.get(address, ()))

    def pods_with(self, addresses: Collection[bytes]) -> dict[bytes, tuple[Pair, ...]]:
        """Return the living pods that have these addresses, by looking through all pods of their namespaces."""
        found: dict[bytes, tuple[Pair, ...]] = {}
        namespaces = {namespace for address in addresses for namespace in self._pod_namespaces.get(address, ())}
        for namespace in namespaces:
            for name, held in self._pods.get(namespace, {}).items():
                for address in (held,) if held in addresses else _split(held) if len(held) > 16 else ():
                    if address in addresses:
                        found[address] = (*found.get(address, ()), (namespace, name))
        return found

    def entry(self, key: Pair) -> Entry | None:
        """Return the entry of a service's name, if anything is known of it."""
        return self.entries.get(key[0], {}).get(key[1])

    def slice_of(self, own: Pair) -> tuple[Entry, SliceView] | None:
        """Return a slice and the entry that it belongs to, by the slice's namespace and name."""
        entry = self._slices.get(own[0], {}).get(own[1])
        return None if entry is None else (entry, _named(entry, own[1]))

    def pod_addresses(self, own: Pair) -> tuple[bytes, ...] | None:
        """Return the addresses of a pod, by its namespace and name; None if it is not there."""
        addresses = self._pods.get(own[0], {}).get(own[1])
        return None if addresses is None else _split(addresses)

    def namespaces_of(self, kind: model.Kind) -> list[bytes]:
        """Return the namespaces that may hold objects of a kind; for Namespaces that is the empty name."""
        match kind:
            case model.Kind.NAMESPACES:
                return [b""]
            case model.Kind.SERVICES:
                return list(self.entries)
            case model.Kind.ENDPOINTSLICES:
                return list(self._slices)
            case model.Kind.PODS:
                return list(self._pods)

    def names_in(self, kind: model.Kind, namespace: bytes) -> list[bytes]:
        """Return the name of every object held of a kind and namespace."""
        match kind:
            case model.Kind.NAMESPACES:
                return list(self.namespaces)
            case model.Kind.SERVICES:
                entries = self.entries.get(namespace, {})
                return [name for name, entry in entries.items() if entry.service is not None]
            case model.Kind.ENDPOINTSLICES:
                return list(self._slices.get(namespace, ()))
            case model.Kind.PODS:
                return list(self._pods.get(namespace, ()))

    def count(self, kind: model.Kind) -> int:
        """Return how many objects of a kind are held."""
        match kind:
            case model.Kind.NAMESPACES:
                return len(self.namespaces)
            case model.Kind.SERVICES:
                return self._services
            case model.Kind.ENDPOINTSLICES:
                return sum(map(len, self._slices.values()))
            case model.Kind.PODS:
                return sum(map(len, self._pods.values()))

    # The bookkeeping behind them -------------------------------------------------------------------------------------

    def _new_entry(self, namespace: bytes, service: bytes) -> Entry:
        key = (self._interned_key(namespace)[0], service)
        entry = self.entries.setdefault(key[0], {})[service] = Entry(key, (key,))
        return entry

    def forget_if_empty(self, entry: Entry) -> None:
        """Drop an entry that has become empty."""
        if entry.service is None and not entry.slices and not entry.retained:
            namespace, service = entry.key
            entries = self.entries.get(namespace, {})
            if entries.pop(service, None) is not None and not entries:
                del self.entries[namespace]

    def _replace_service(self, entry: Entry, view: ServiceView | None) -> None:
        self.changed.add(entry.key)
        self.before.setdefault(entry.key, Before(entry.service is not None, entry.service, entry.slices))
        old = entry.service
        entry.service = view
        before = old.addresses if old else ()
        after = view.addresses if view else ()
        if before != after:
            self.by_cluster_ip.move(entry.keys, set(before).difference(after), set(after).difference(before))
            self.changed.update(before)
        self.changed.update(after)
        self._services += (old is None) - (view is None)
        has_endpoints = view is not None and view.external is None
        if has_endpoints != (old is not None and old.external is None):  # their PTRs hang on it
            for part in entry.slices:
                if not part.fqdn:
                    self.changed.update(part.addresses)
        if view is None:
            self.forget_if_empty(entry)

    def _add_slice(self, entry: Entry, view: SliceView) -> None:
        """Record a new slice. Most slices of a list are new, so this skips the comparisons that a change needs."""
        self.changed.add(entry.key)
        self.before.setdefault(entry.key, Before(entry.service is not None, entry.service, entry.slices))
        entry.have((*entry.slices, view))
        self._slices.setdefault(entry.key[0], {})[view.name] = entry
        if not view.fqdn:
            addresses = view.addresses
            self.by_endpoint.move(entry.keys, (), addresses)
            self.changed.update(addresses)

    def _replace_slice(self, entry: Entry, old: SliceView, view: SliceView | None, listed: set[bytes | None]) -> None:
        self.changed.add(entry.key)
        self.before.setdefault(entry.key, Before(entry.service is not None, entry.service, entry.slices))
        entry.have(tuple(part for part in (view if part is old else part for part in entry.slices) if part))
        listed_before, listed_after = _with_names(old), _with_names(view)
        before, after = {address for address, _ in listed_before}, {address for address, _ in listed_after}
        gone = (before - after).difference(*(part.addresses for part in entry.slices if not part.fqdn))
        self.by_endpoint.move(entry.keys, gone, after - before)
        if entry.service is not None:
            moving = gone - listed
            left = [endpoint for endpoint in old.endpoints() if endpoint[0] in moving]
            last = not entry.is_ready
            self.released += ((entry, endpoint, old.ports, last) for endpoint in left)
        self.changed.update(address for address, _ in listed_before ^ listed_after)  # a PTR shows both
        self.forget_if_empty(entry)

    @staticmethod
    def _release_listed(entry: Entry, obj: model.EndpointSlice) -> None:
        """Stop retaining the endpoints that a slice lists: each has arrived, or exists and is not ready."""
        if entry.retained:
            listed = _listed(obj)
            for endpoint in [endpoint for endpoint in entry.retained if endpoint[0] in listed]:
                entry.release_retained(endpoint)

    def _slice_view(self, obj: model.EndpointSlice, name: bytes) -> SliceView:
        read, ports = address_reader(obj.address_type), tuple(obj.ports or ())
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
                    hostnames.append(_label(endpoint.hostname or ""))
        return SliceView.of(
            addresses,
            tuple(hostnames) if any(hostnames) else (),
            self._ports_seen.get(ports) or self._ports(ports),
            fqdn=obj.address_type == "FQDN",
            unready=unready,
            name=name,
        )

    def _interned_key(self, namespace: bytes) -> tuple[bytes]:
        """Return the tuple that has only the namespace; all keys of a namespace share one object."""
        key = self._seen.get(namespace)
        if key is None:
            if len(self._seen) > _NAMESPACES_KEPT:
                self._seen.clear()  # as below
            key = self._seen[namespace] = (namespace,)
        return key

    def _ports(self, listed: tuple[model.ServicePort | model.EndpointPort, ...]) -> tuple[PortView, ...]:
        """Make the value that `_ports_seen` then has for a list of ports: thousands of objects share one value."""
        if len(self._ports_seen) > _PORTS_KEPT:
            self._ports_seen.clear()  # only the sharing suffers
            self._ports_made.clear()
        made = tuple(
            PortView(_octets(port.name or ""), _octets(port.protocol or "TCP"), port.port)
            for port in listed
            if port.port is not None
        )
        made = self._ports_seen[listed] = self._ports_made.setdefault(made, made)
        return made


def pack(text: str) -> bytes | None:
    """Return an IP address of either family as 4 or 16 octets, or None for any other text."""
    try:
        return inet_pton(_AF_INET6 if ":" in text else _AF_INET, text)
    except (OSError, ValueError):
        return None


def _pack4(text: str) -> bytes | None:
    return None if ":" in text else pack(text)


def _pack6(text: str) -> bytes | None:
    return pack(text) if ":" in text else None


def _fqdn(text: str) -> bytes | None:
    try:
        name = names.from_text(text).lower()
    except FormatError:
        return None
    return None if name == names.ROOT else name


def address_reader(address_type: str) -> Callable[[str], bytes | None]:
    """Return what reads the addresses of a slice of that type; of an unknown one, both families."""
    return _READERS.get(address_type, pack)


_READERS: dict[str, Callable[[str], bytes | None]] = {"IPv4": _pack4, "IPv6": _pack6, "FQDN": _fqdn}


def _octets(text: str) -> bytes:
    return text.encode().lower()


def _label(text: str) -> bytes | None:
    """Return a text as a label of a name; None if it cannot be a label (RFC 1035 section 2.3.4)."""
    octets = _octets(text)
    return octets if 0 < len(octets) <= _MAX_LABEL else None


def _named(entry: Entry, name: bytes) -> SliceView:
    return next(part for part in entry.slices if part.name == name)


def _with_names(view: SliceView | None) -> set[Endpoint]:
    """Return the addresses of a slice and the hostnames that go with them."""
    return set() if view is None or view.fqdn else set(view.endpoints())


def _listed(obj: model.EndpointSlice) -> set[bytes | None]:
    """Return the addresses that a slice lists, ready or not."""
    return {pack(text) for endpoint in obj.endpoints or () for text in endpoint.addresses or ()}


def _pod_addresses(status: model.PodStatus) -> bytes:
    """Return a pod's addresses in one string of octets, of length 0, 4, 16, or 4 + 16."""
    if status.phase in {"Succeeded", "Failed"}:
        return b""
    if status.pod_ips and len(status.pod_ips) == 1:
        return pack(status.pod_ips[0].ip) or b""
    texts = [entry.ip for entry in status.pod_ips or ()] or [status.pod_ip or ""]
    one_of_each_family = {len(address): address for address in map(pack, reversed(texts)) if address}
    return one_of_each_family.get(4, b"") + one_of_each_family.get(16, b"")


def _split(addresses: bytes) -> tuple[bytes, ...]:
    """Return the addresses in a string that `_pod_addresses` made."""
    match len(addresses):
        case 0:
            return ()
        case 4 | 16:
            return (addresses,)
        case _:
            return addresses[:4], addresses[4:]
