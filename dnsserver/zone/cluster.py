"""The contract of the cluster's names, in code: a question in, the answer out (Kubernetes DNS specification 1.1.0).

The zone reads a name from the right: cluster domain, kind, namespace, service, then nothing, an endpoint, or protocol
and port. An answer is computed from the index when it is asked and names the keys that it depends on.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import EDE
from dnsserver.zone import model, reverse
from dnsserver.zone.index import Endpoint, Entry, Index, Pair, Port, ServiceView, SliceView, pack
from dnsserver.zone.listing import Listing
from dnsserver.zone.model import Kind
from dnsserver.zone.record import Answer, Key, Reason, RRset

MAX_CHAIN = 16
VERSION_TTL = 28800
_FAMILY_SIZE = {m.A: 4, m.AAAA: 16}
_SERVICE_KINDS = frozenset({Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES})  # what names of services hang on
SERVICE_MISSING = Reason("service-missing")
IPV6: Key = b"ipv6?"  # what an answer depends on that would be another one if the cluster had, or had not, IPv6
_NO_DATA = Reason("no-data")
_LOOP = Reason("cname-loop")


class Cluster:
    """The zone of one cluster.

    `domain` is a name; `ttl` in seconds; `pods` one of disabled, insecure, verified; `reverse_networks` the CIDRs that
    the server is the authority for; `grace` the seconds that the last address of a name is kept after its endpoint left
    a slice, because the endpoint controller moves endpoints between slices in two writes; `own_service` is the
    (namespace, name) this server is published as, `own_addresses` what stands in for its ClusterIPs until it is known.
    """

    def __init__(
        self,
        domain: bytes = b"\x07cluster\x05local\0",
        *,
        ttl: int = 5,
        pods: str = "insecure",
        reverse_networks: Sequence[str] = (),
        grace: float = 0.0,
        own_service: Pair = (b"kube-system", b"kube-dns"),
        own_addresses: Sequence[bytes] = (),
    ) -> None:
        """Make an empty zone that answers SERVFAIL until its first sync."""
        self.domain = domain
        self.index = Index()
        self.serial = 0
        self._ttl = ttl
        self._pods = pods
        self._reverse = reverse.Networks(reverse_networks)
        self._grace = grace
        self._own_service = own_service
        self._own_addresses = tuple(own_addresses)
        self._needed = set(Kind) if pods == "verified" else set(Kind) - {Kind.PODS}
        self._synced: set[Kind] = set()
        self._denied: set[Kind] = set()
        self._listings: dict[Kind, Listing] = {}
        self._holds: deque[tuple[float, Entry, Endpoint]] = deque()
        self._had_ipv6 = True
        self.missing: frozenset[Kind] = frozenset(self._needed)
        self._addresses_known = self._services_known = False
        self._svc_tail = b"\x03svc" + domain
        self._label_count = len(names.labels(domain))
        self._apex = names.labels(domain)
        self._server_name = b"\x02ns\x03dns" + domain
        self._mailbox = b"\x0ahostmaster" + domain
        self._own_soa = self._make_soa(domain)
        self._address_indices = (self.index.by_cluster_ip, self.index.by_endpoint)

    # Events ----------------------------------------------------------------------------------------------------------

    def apply(self, event: model.Event, now: float, wall: float) -> set[Key]:
        """Take in one event and return the keys whose answers may have changed.

        `now` is the event loop's clock and `wall` unix time, both in seconds. Applying the same event twice changes
        nothing. Never raises for an event that decoded.
        """
        match event:
            case model.Put(object=obj):
                self._put(obj)
            case model.Remove(kind=kind, namespace=namespace, name=name):
                self._remove(kind, (namespace.encode().lower(), name.encode().lower()))
            case model.ListStarted(kind=kind):
                self._listings[kind] = Listing(self.index, kind)
            case model.ListDone(kind=kind):
                listing = self._listings.pop(kind, None)
                for own in listing.unseen() if listing is not None else ():
                    self._remove(kind, own)
                self._synced.add(kind)
                self._denied.discard(kind)
                self._note_known()
            case model.Denied(kind=kind):
                self._denied.add(kind)
                self._note_known()
        return self._settle(now, wall)

    def _note_known(self) -> None:
        """Work out which names can be answered: each needs some kinds only, so one slow list holds back only its own.

        A kind that is denied is not waited for; the names that are nothing without it stay unanswered.
        """
        known = self._synced | self._denied
        self.missing = frozenset(self._needed - known)
        if known >= _SERVICE_KINDS and not self._addresses_known:
            self._addresses_known = True
            for addresses in self._address_indices:
                self.index.changed.update(addresses)  # their reverse names were another's until now
        self._services_known = self._addresses_known and not self._denied & {Kind.SERVICES, Kind.NAMESPACES}

    def expire(self, now: float, wall: float) -> set[Key]:
        """Let go of the endpoints whose grace is over, and return the keys that changed; see `next_expiry`."""
        while self._holds and self._holds[0][0] <= now:
            _, entry, endpoint = self._holds.popleft()
            if entry.let_go(endpoint):
                self.index.changed.add(entry.key)
                self.index.forget_if_empty(entry)
        return self._settle(now, wall)

    @property
    def next_expiry(self) -> float | None:
        """When `expire` has something to do next, or None."""
        return self._holds[0][0] if self._holds else None

    @property
    def denied(self) -> set[Kind]:
        """The kinds that the API will not give."""
        return self._denied & self._needed - self._synced

    @property
    def has_ipv6(self) -> bool:
        """Whether any service or endpoint has an IPv6 address; unknown, and so true, before the first sync."""
        return self.index.ipv6 > 0 or not self._addresses_known

    @property
    def held(self) -> int:
        """How many endpoints are held for their grace."""
        return len(self._holds)

    def service_kind(self, part: model.EndpointSlice) -> str:
        """Return what CoreDNS calls the kind of service that a slice belongs to, for its programming latency."""
        metadata = part.metadata
        labels = metadata.labels or {}
        service = labels.get("kubernetes.io/service-name", "")
        entry = self.index.entry((metadata.namespace.encode().lower(), service.encode().lower()))
        if entry is None or entry.service is None or not entry.service.headless:
            return "cluster_ip"
        by_controller = labels.get("endpointslice.kubernetes.io/managed-by") == "endpointslice-controller.k8s.io"
        return "headless_with_selector" if by_controller else "headless_without_selector"

    def example(self) -> str | None:
        """Return the name of a service that has an address, to try the server with."""
        entries = (entry for entries in self.index.entries.values() for entry in entries.values())
        key = min((entry.key for entry in entries if entry.service and entry.service.addresses), default=None)
        return None if key is None else names.to_text(self._name_of(key)).removesuffix(".")

    def _put(self, obj: model.Object) -> None:
        index = self.index
        match obj:
            case model.EndpointSlice():
                index.put_slice(obj)
            case model.Service():
                index.put_service(obj)
            case model.Pod():
                index.put_pod(obj)
            case model.Namespace():
                index.put_namespace(obj)
        if self._listings:
            listing = self._listings.get(model.KINDS[type(obj)])
            if listing is not None:
                listing.saw(obj.metadata.namespace.encode().lower(), obj.metadata.name.encode().lower())

    def _remove(self, kind: Kind, own: Pair) -> None:
        match kind:
            case Kind.NAMESPACES:
                self.index.remove_namespace(own[1])
            case Kind.SERVICES:
                self.index.remove_service(own)
            case Kind.ENDPOINTSLICES:
                self.index.remove_slice(own)
            case Kind.PODS:
                self.index.remove_pod(own)

    def _settle(self, now: float, wall: float) -> set[Key]:
        """Hold what was released, and hand over what changed."""
        index = self.index
        has_ipv6 = self.has_ipv6
        if self._had_ipv6 != has_ipv6:
            self._had_ipv6 = has_ipv6
            index.changed.add(IPV6)
        if not index.changed:
            return set()
        if index.released:
            released, index.released = index.released, []
            for entry, endpoint, ports in released if self._grace else ():
                entry.hold(endpoint, ports)
                self._holds.append((now + self._grace, entry, endpoint))
        changed, index.changed = index.changed, set()
        if int(wall) > self.serial:
            self.serial = int(wall)
            self._own_soa = self._make_soa(self.domain)
        return changed

    # Questions -------------------------------------------------------------------------------------------------------

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name of class IN, or None when the name is not the cluster's."""
        if name.endswith(self._svc_tail):  # what nearly all questions ask, so it is read without its tail
            labels = _split(name[: -len(self._svc_tail)])
            if labels is not None:
                answer = self._service_name(name, labels, qtype)
                return _any_answer(name, answer) if qtype == m.ANY else answer
        whole = names.labels(name)
        count = len(whole) - self._label_count
        if count >= 0 and whole[count:] == self._apex:
            answer = self._below_apex(name, whole[:count], qtype)
            return _any_answer(name, answer) if qtype == m.ANY else answer
        if whole and whole[-1] == b"arpa":
            return self._reverse_name(name, whole, qtype)
        return None

    def _below_apex(self, name: bytes, labels: tuple[bytes, ...], qtype: int) -> Answer:
        if not labels:
            return self._apex_answer(name, qtype)
        if labels[-1] == b"pod":
            return self._pod_name(name, labels, qtype)
        if labels == (b"dns-version",):
            rrset = RRset(name, m.TXT, VERSION_TTL, (b"\x051.1.0",))
            return Answer(answer=(rrset,)) if qtype == m.TXT else self._nodata(())
        if labels[-1] == b"dns":
            return self._server(name, labels, qtype)
        return self._nxdomain((), Reason("not-a-cluster-name"))

    # svc

    def _service_name(self, name: bytes, labels: Sequence[bytes], qtype: int) -> Answer:
        """Answer for what stands left of `svc`: [..., service, namespace]."""
        if not self._services_known:
            return self._not_ready(_SERVICE_KINDS)
        count = len(labels)
        if count == 0:
            return self._nodata(())
        namespace = labels[-1]
        if namespace not in self.index.namespaces:
            return self._nxdomain(((namespace,),), Reason("namespace-missing"))
        if count == 1:
            return self._nodata(((namespace,),))
        entries = self.index.entries.get(namespace)
        entry = None if entries is None else entries.get(labels[-2])
        if entry is None or entry.service is None:
            return self._nxdomain(((namespace, labels[-2]),), SERVICE_MISSING)
        depends = entry.keys
        service = entry.service
        if count > 4:
            return self._nxdomain(depends, Reason("too-many-labels"))
        if service.external is not None:
            return self._external(name, service.external, qtype, depends, whole=count == 2)
        if (count == 3 or service.headless) and Kind.ENDPOINTSLICES in self._denied:
            return self._not_ready({Kind.ENDPOINTSLICES})
        if count == 3:
            return self._endpoint(name, entry, labels[0], qtype, depends)
        port = None if count == 2 else (labels[0].removeprefix(b"_"), labels[1].removeprefix(b"_"))
        if service.headless:
            return self._headless(name, entry, port, qtype, depends)
        return self._cluster_ip(name, service, entry.key, port, qtype, depends)

    def _cluster_ip(
        self, name: bytes, service: ServiceView, key: Pair, port: Pair | None, qtype: int, depends: tuple[Key, ...]
    ) -> Answer:
        ports = service.ports
        if port is not None:
            ports = _matching(ports, port)
            if not ports:
                return self._nxdomain(depends, Reason("port-unknown"))
        if qtype in _FAMILY_SIZE:
            return self._addresses(name, service.addresses, qtype, depends)
        if qtype != m.SRV:
            return self._nodata(depends)
        target = self._name_of(key)
        srv = [(number, target) for number in dict.fromkeys(p.number for p in ports)]
        return self._srv(name, srv, {target: service.addresses}, depends)

    def _headless(self, name: bytes, entry: Entry, port: Pair | None, qtype: int, depends: tuple[Key, ...]) -> Answer:
        slices: Sequence[SliceView] = entry.slices
        if not any(part.addresses for part in slices):
            slices = _held(entry, None)
        unready = sum(part.unready for part in entry.slices)
        if port is not None:
            slices = [part for part in slices if _matching(part.ports, port)]
            if not any(part.addresses for part in slices):
                return self._nxdomain(depends, Reason("port-unknown"))
        if not any(part.addresses for part in slices):
            return self._nxdomain(depends, Reason("no-ready-endpoints", text=f"none of {unready} endpoints is ready"))
        return self._from_slices(name, entry.key, slices, port, qtype, depends)

    def _endpoint(self, name: bytes, entry: Entry, label: bytes, qtype: int, depends: tuple[Key, ...]) -> Answer:
        slices = _only(label, entry.slices) or _only(label, _held(entry, label))
        if not slices:
            return self._nxdomain(depends, Reason("endpoint-missing"))
        return self._from_slices(name, entry.key, slices, None, qtype, depends)

    def _from_slices(
        self,
        name: bytes,
        key: Pair,
        slices: Sequence[SliceView],
        port: Pair | None,
        qtype: int,
        depends: tuple[Key, ...],
    ) -> Answer:
        """Answer from the endpoints of `slices`, which hold at least one."""
        fqdns = [address for part in slices if part.fqdn for address in part.addresses]
        slices = [part for part in slices if not part.fqdn]
        if fqdns and not any(part.addresses for part in slices):
            # One name has one CNAME (RFC 2181 section 10.1): the least, so that the order of events never shows.
            return self._alias(name, min(fqdns), qtype, depends)
        if qtype in _FAMILY_SIZE:
            return self._addresses(name, (a for part in slices for a in part.addresses), qtype, depends)
        if qtype != m.SRV:
            return self._nodata(depends)
        base = self._name_of(key)
        records: dict[tuple[int, bytes], None] = {}
        targets: dict[bytes, list[bytes]] = {}
        for part in slices:
            ports = part.ports if port is None else _matching(part.ports, port)
            for endpoint in part.endpoints():
                label = endpoint_label(endpoint)
                target = bytes((len(label),)) + label + base
                for number in {p.number: None for p in ports}:
                    records[number, target] = None
                    targets.setdefault(target, []).append(endpoint[0])
        return self._srv(name, list(records), targets, depends)

    def _addresses(self, name: bytes, addresses: Iterable[bytes], qtype: int, depends: tuple[Key, ...]) -> Answer:
        size = _FAMILY_SIZE[qtype]
        of_family = tuple([address for address in dict.fromkeys(addresses) if len(address) == size])
        if not of_family:
            return self._nodata(depends, Reason("no-address-of-family"))
        return Answer(answer=(RRset(name, qtype, self._ttl, of_family),), depends=depends)

    def _srv(
        self,
        name: bytes,
        records: Sequence[tuple[int, bytes]],
        targets: dict[bytes, Sequence[bytes]] | dict[bytes, list[bytes]] | dict[bytes, tuple[bytes, ...]],
        depends: tuple[Key, ...],
    ) -> Answer:
        if not records:
            return self._nodata(depends, Reason("no-ports"))
        weight = max(1, 100 // len(records)).to_bytes(2, "big")
        rdatas = tuple(b"\0\0" + weight + number.to_bytes(2, "big") + target for number, target in records)
        additional = []
        for target in dict.fromkeys(target for _, target in records):
            for qtype, size in _FAMILY_SIZE.items():
                found = tuple(dict.fromkeys(a for a in targets[target] if len(a) == size))
                if found:
                    additional.append(RRset(target, qtype, self._ttl, found))
        return Answer(answer=(RRset(name, m.SRV, self._ttl, rdatas),), additional=tuple(additional), depends=depends)

    # ExternalName

    def _external(self, name: bytes, text: str, qtype: int, depends: tuple[Key, ...], *, whole: bool) -> Answer:
        if not whole:
            return self._nxdomain(depends, Reason("below-external-name"))
        if pack(text) is not None:
            shown = f"externalName {text} is an IP address, expected a domain name"
            return self._nxdomain(depends, Reason("external-name-is-address", EDE.INVALID_DATA, shown))
        try:
            target = names.from_text(text).lower()
        except m.FormatError as error:
            return self._nxdomain(depends, Reason("external-name-invalid", EDE.INVALID_DATA, f"externalName: {error}"))
        if target == names.ROOT:
            return self._nxdomain(depends, Reason("external-name-invalid", EDE.INVALID_DATA, "externalName is empty"))
        return self._alias(name, target, qtype, depends)

    def _alias(self, name: bytes, target: bytes, qtype: int, depends: tuple[Key, ...]) -> Answer:
        """Answer with a CNAME, and for an address question go on at its target (answers.md section 5)."""
        cname = RRset(name, m.CNAME, self._ttl, (target,))
        if qtype == m.CNAME:
            return Answer(answer=(cname,), depends=depends)
        if qtype not in _FAMILY_SIZE:
            return self._nodata(depends)
        chain = [cname]
        seen = {name}
        while names.is_below(target, self.domain):
            if target in seen:
                return Answer(answer=tuple(chain), authority=(self._soa(),), reason=_LOOP, depends=depends)
            if len(chain) >= MAX_CHAIN:
                reason = Reason("cname-chain-too-long", EDE.OTHER, f"more than {MAX_CHAIN} CNAMEs")
                return Answer(m.SERVFAIL, tuple(chain), reason=reason, depends=depends)
            seen.add(target)
            step = self.answer(target, m.CNAME)
            assert step is not None  # the target is below the domain
            depends = _joined(depends, step.depends or ())
            if step.answer and step.answer[0].type == m.CNAME:
                chain.append(step.answer[0])
                target = step.answer[0].rdatas[0]
                continue
            end = self.answer(target, qtype)
            assert end is not None  # as above
            return Answer(
                end.rcode,
                (*chain, *end.answer),
                end.authority,
                reason=end.reason,
                depends=None if end.depends is None else _joined(depends, end.depends),
            )
        return Answer(answer=tuple(chain), depends=depends, follow=target)

    # pod

    def _pod_name(self, name: bytes, labels: tuple[bytes, ...], qtype: int) -> Answer:
        if self._pods == "disabled":
            return self._nxdomain((), Reason("pods-disabled"))
        if Kind.NAMESPACES not in self._synced:
            return self._not_ready({Kind.NAMESPACES})
        if len(labels) == 1:
            return self._nodata(())
        namespace = labels[-2]
        if namespace not in self.index.namespaces:
            return self._nxdomain(((namespace,),), Reason("namespace-missing"))
        if len(labels) == 2:
            return self._nodata(((namespace,),))
        address = _pod_address(labels[-3])
        if len(labels) > 3 or address is None:
            return self._nxdomain(((namespace,),), Reason("not-an-address"))
        depends: tuple[Key, ...] = ((namespace,), address)
        if self._pods == "verified":
            if Kind.PODS not in self._synced:
                return self._not_ready({Kind.PODS})
            if not self.index.has_pod(namespace, address):
                return self._nxdomain(depends, Reason("pod-missing"))
        if qtype in _FAMILY_SIZE:
            return self._addresses(name, (address,), qtype, depends)
        return self._nodata(depends)

    # Reverse

    def _reverse_name(self, name: bytes, labels: tuple[bytes, ...], qtype: int) -> Answer | None:
        address = reverse.address(labels)
        zone = self._reverse.zone_of(labels)
        if zone is None and (address is None or (not self._addresses_known and not reverse.is_local(address))):
            return None
        if not self._addresses_known:
            return self._not_ready(_SERVICE_KINDS)
        if address is None:
            return None if zone is None else self._reverse_above(name, labels, zone, qtype)
        index = self.index
        keys = index.by_cluster_ip.get(address)
        if keys:
            targets = [self._name_of(min(keys))]
        else:
            targets = sorted(
                bytes((len(label),)) + label + self._name_of(key)
                for key in index.by_endpoint.get(address, ())
                for label in _labels_of(index.entry(key), address)
            )
        depends = (address,)
        if targets:
            if qtype == m.PTR:
                return Answer(answer=(RRset(name, m.PTR, self._ttl, tuple(targets)),), depends=depends)
            if qtype == m.ANY:
                return Answer(answer=(_any(name),), depends=depends)
            return self._nodata(depends, zone=zone or name)
        if zone is None:
            return None
        return self._nxdomain(depends, Reason("address-unknown"), zone=zone)

    def _reverse_above(self, name: bytes, labels: tuple[bytes, ...], zone: bytes, qtype: int) -> Answer:
        """Answer for a reverse name of the server's own zones that is no whole address."""
        if name == zone and qtype in {m.SOA, m.NS}:
            rrset = self._soa(zone) if qtype == m.SOA else RRset(zone, m.NS, self._ttl, (self._server_name,))
            return Answer(answer=(rrset,), depends=None)
        above = reverse.above(labels)
        if name == zone or any(above(packed) for index in self._address_indices for packed in index):
            return self._nodata(None, zone=zone)
        return self._nxdomain(None, Reason("address-unknown"), zone=zone)

    # Apex, ns.dns

    def _apex_answer(self, name: bytes, qtype: int) -> Answer:
        if qtype == m.SOA:
            return Answer(answer=(self._soa(),), depends=None)
        if qtype == m.NS:
            glue = self._server_rrsets(self._server_name)
            return Answer(answer=(RRset(name, m.NS, self._ttl, (self._server_name,)),), additional=glue, depends=None)
        return self._nodata(())

    def _server(self, name: bytes, labels: tuple[bytes, ...], qtype: int) -> Answer:
        if labels == (b"dns",):
            return self._nodata(())
        if labels != (b"ns", b"dns"):
            return self._nxdomain((), Reason("not-a-cluster-name"))
        rrsets = tuple(rrset for rrset in self._server_rrsets(name) if rrset.type == qtype)
        return Answer(answer=rrsets, depends=None) if rrsets else self._nodata(None)

    def _server_rrsets(self, name: bytes) -> tuple[RRset, ...]:
        entry = self.index.entry(self._own_service)
        known = entry.service.addresses if entry is not None and entry.service is not None else ()
        rrsets = []
        for qtype, size in _FAMILY_SIZE.items():
            found = tuple(address for address in known or self._own_addresses if len(address) == size)
            if found:
                rrsets.append(RRset(name, qtype, self._ttl, found))
        return tuple(rrsets)

    # Endings

    def _name_of(self, key: Pair) -> bytes:
        namespace, service = key
        return b"".join((bytes((len(service),)), service, bytes((len(namespace),)), namespace, b"\x03svc", self.domain))

    def _soa(self, zone: bytes | None = None) -> RRset:
        return self._own_soa if zone is None else self._make_soa(zone)

    def _make_soa(self, zone: bytes) -> RRset:
        numbers = b"".join(n.to_bytes(4, "big") for n in (self.serial & 0xFFFFFFFF, 7200, 1800, 86400, self._ttl))
        return RRset(zone, m.SOA, self._ttl, (self._server_name + self._mailbox + numbers,))

    def _nodata(self, depends: tuple[Key, ...] | None, reason: Reason = _NO_DATA, zone: bytes | None = None) -> Answer:
        return Answer(authority=(self._soa(zone),), reason=reason, depends=depends)

    def _nxdomain(self, depends: tuple[Key, ...] | None, reason: Reason, zone: bytes | None = None) -> Answer:
        return Answer(m.NXDOMAIN, authority=(self._soa(zone),), reason=reason, depends=depends)

    def _not_ready(self, kinds: AbstractSet[Kind]) -> Answer:
        waiting = ", ".join(sorted(kinds - self._synced))
        reason = Reason("not-ready", EDE.NOT_READY, f"waiting for the Kubernetes API: {waiting}")
        return Answer(m.SERVFAIL, reason=reason, depends=None)


def endpoint_label(endpoint: Endpoint) -> bytes:
    """Return the label an endpoint is known by: its hostname, or its address with dashes (answers.md section 2)."""
    return endpoint[1] or reverse.dashed(endpoint[0])


def _labels_of(entry: Entry | None, address: bytes) -> Iterable[bytes]:
    """Give the labels that an address has in a service that exists, each once."""
    if entry is None or entry.service is None or entry.service.external is not None:
        return ()
    return dict.fromkeys(
        endpoint_label(endpoint)
        for part in entry.slices
        if not part.fqdn
        for endpoint in part.endpoints()
        if endpoint[0] == address
    )


def _matching(ports: Iterable[Port], port: Pair) -> tuple[Port, ...]:
    """Return the ports that `_PORT._PROTO` means; an empty label left of its underscore leaves that part open."""
    name, protocol = port
    return tuple(
        p for p in ports if (not name or p.name.lower() == name) and (not protocol or p.protocol.lower() == protocol)
    )


def _only(label: bytes, slices: Iterable[SliceView]) -> list[SliceView]:
    """Return the slices cut down to the endpoints that have this label."""
    found = []
    for part in slices:
        kept = [
            endpoint
            for endpoint in part.endpoints()
            if (endpoint[1] == label if endpoint[1] or part.fqdn else reverse.dashed(endpoint[0]) == label)
        ]
        if kept:
            found.append(SliceView(tuple(a for a, _ in kept), tuple(h for _, h in kept), part.ports, part.fqdn))
    return found


def _held(entry: Entry, label: bytes | None) -> list[SliceView]:
    """Return what is held of an entry's endpoints, all of it or those of one label, as slices."""
    return [
        SliceView((address,), (hostname,), ports)
        for (address, hostname), ports in (entry.held or {}).items()
        if label is None or endpoint_label((address, hostname)) == label
    ]


def _pod_address(label: bytes) -> bytes | None:
    """Read the dashes of a pod's name back into an address."""
    try:
        text = label.decode("ascii")
    except UnicodeDecodeError:
        return None
    if "." in text:
        return None
    address = pack(text.replace("-", ".") if text.count("-") == 3 and "--" not in text else text.replace("-", ":"))
    if address is not None and address.startswith(reverse.MAPPED):
        return address[-4:]
    return address


def _joined(one: tuple[Key, ...], other: tuple[Key, ...]) -> tuple[Key, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _split(head: bytes) -> list[bytes] | None:
    """Return the labels of the front of a name, or None if it does not end where a label does."""
    labels = []
    position = 0
    end = len(head)
    while position < end:
        start = position + 1
        position = start + head[position]
        labels.append(head[start:position])
    return labels if position == end else None


def _any_answer(name: bytes, answer: Answer) -> Answer:
    """Return what a question of type ANY gets, where others get `answer` (RFC 8482)."""
    if answer.rcode != m.NOERROR:
        return answer
    return Answer(answer=(_any(name),), reason=answer.reason, depends=answer.depends)


def _any(name: bytes) -> RRset:
    return RRset(name, m.HINFO, 3789, (b"\x07RFC8482\0",))
