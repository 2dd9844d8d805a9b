"""The zone of a cluster: events in, the keys that changed out; a question in, the answer out.

Names follow the Kubernetes DNS specification 1.1.0, read from the right: cluster domain, kind, namespace and so on.
What a kind of name answers is in `services` and `addresses`; here is which of them can be answered yet, and the apex.
An answer is computed from the index when it is asked and names the keys that it depends on.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import RRset
from dnsserver.zone import model, reverse
from dnsserver.zone.addresses import PodNames, ReverseNames
from dnsserver.zone.answer_builder import AnswerBuilder, not_ready
from dnsserver.zone.index import Endpoint, Entry, Index, Pair
from dnsserver.zone.journal import PENDING, Journal
from dnsserver.zone.listing import Listing
from dnsserver.zone.model import Kind
from dnsserver.zone.record import ADDRESSES, Absence, Answer, Key, Reason, minimal_any
from dnsserver.zone.services import ServiceNames

VERSION_TTL = 28800
_SERVICE_KINDS = frozenset({Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES})  # what names of services hang on
_OPTIONAL = frozenset({Kind.PODS})  # a zone without one of the others is none
_PODS_DISABLED = Reason("pods-disabled", m.EDE.OTHER, "names of pods are off")
_NOT_OURS = Reason("not-a-cluster-name", m.EDE.OTHER, "no name of the cluster is of this form")


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
        self._build = AnswerBuilder(domain, ttl)
        self._services = ServiceNames(self.index, self._build, self._resolve)
        self.elsewhere: Callable[[bytes], bool] | None = None  # tells of names in here that rules may be for
        self._pods = None if pods == "disabled" else PodNames(self.index, self._build, verified=pods == "verified")
        self._reverse = ReverseNames(self.index, self._build, reverse_networks)
        self._grace = grace
        self._own_service = own_service
        self._own_addresses = tuple(own_addresses)
        self._needed = set(Kind) if pods == "verified" else set(Kind) - {Kind.PODS}
        self._synced: set[Kind] = set()
        self._denied: set[Kind] = set()
        self._listings: dict[Kind, Listing] = {}
        self.journal: Journal | None = None  # notes what changes once Services are known; one process keeps it
        self.retained: deque[tuple[float, Entry, Endpoint]] = deque()
        self.missing: frozenset[Kind] = frozenset(self._needed)
        self._addresses_known = False
        self.absence = Absence(0)
        self._svc = b"\x03svc" + domain
        self.ends = (domain, reverse.ARPA)  # no other name is the cluster's

    def reconfigure(
        self,
        *,
        ttl: int,
        pods: str,
        reverse_networks: Sequence[str],
        grace: float,
        own_service: Pair,
        own_addresses: Sequence[bytes],
    ) -> None:
        """Answer by other settings from now on; whether pods are verified cannot change, as that needs their list."""
        self._build.use_ttl(ttl)
        if self._pods is None or pods == "disabled":
            self._pods = None if pods == "disabled" else PodNames(self.index, self._build, verified=False)
        self._reverse = ReverseNames(self.index, self._build, reverse_networks)
        self._grace = grace
        self._own_service = own_service
        self._own_addresses = tuple(own_addresses)

    # Events ----------------------------------------------------------------------------------------------------------

    def apply(self, event: model.Event | None, now: float, wall: float) -> set[Key]:
        """Apply one event, or none but the time, and return the keys whose answers may have changed.

        `now` is the event loop's clock and `wall` unix time, both in seconds. Applying the same event twice changes
        nothing. Never raises for an event that decoded.
        """
        known = self._addresses_known
        match event:
            case model.Put(object=model.EndpointSlice() as obj):
                self.index.put_slice(obj)
            case model.Put(object=model.Service() as obj):
                self.index.put_service(obj)
            case model.Put(object=model.Pod() as obj):
                self.index.put_pod(obj)
            case model.Put(object=model.Namespace() as obj):
                self.index.put_namespace(obj)
            case model.Remove(kind=kind, namespace=namespace, name=name):
                self._remove(kind, (namespace.encode().lower(), name.encode().lower()))
            case model.ListStarted(kind=kind):
                self._listings[kind] = Listing(self.index, kind)
            case model.ListDone(kind=kind, kept=kept):
                self._end_list(kind, kept)
            case model.ListDropped(kind=kind):
                self._listings.pop(kind, None)
            case model.Denied(kind=kind):
                if kind in _OPTIONAL:
                    if kind in self._synced:
                        self.index.changed.add(ADDRESSES)  # also which pods there are not is unknown from now on
                    self._synced.discard(kind)
                    self._denied.add(kind)
                self._note_known()
            case None:
                self._release_retained(now)
        listed = isinstance(event, model.ListDone)  # a list brings it, so that nobody knows when it happened
        if self._listings and isinstance(event, model.Put):
            listed = self._mark_seen(event.object)
        index = self.index
        if not index.changed:
            return set()
        if index.released:
            self._retain(now)
        changed, index.changed = index.changed, set()
        before, index.before = index.before, {}
        if self.journal is not None:
            if known:
                self.journal.pending.append((wall, listed, before))
                if len(self.journal.pending) >= PENDING:
                    self.journal.settle()
            elif self._addresses_known:
                self.journal.since = wall
        serial = max(self._build.serial, int(wall))  # it never goes back (RFC 1982)
        if serial != self._build.serial:
            self._build.serial = serial
            self.absence = Absence(serial)
        return changed

    def _retain(self, now: float) -> None:
        """Retain the endpoints that slices have released, for the time of the grace."""
        released, self.index.released = self.index.released, []
        for entry, endpoint, ports, last in released if self._grace else ():
            entry.retain(endpoint, (now + self._grace, ports, last))
            self.retained.append((now + self._grace, entry, endpoint))

    def _end_list(self, kind: Kind, kept: Collection[str]) -> None:
        """Drop what the list of a kind has not shown; the kind is known from now on."""
        for own in self.unseen(kind, kept):
            self._remove(kind, own)
        self._listings.pop(kind, None)
        self._synced.add(kind)
        self._denied.discard(kind)
        self._note_known()

    def _mark_seen(self, obj: model.Object) -> bool:
        """Note that the list of its kind has shown an object, and tell whether there is such a list now."""
        kind = model.KINDS[type(obj)]
        listing = self._listings.get(kind)
        if listing is None:
            return False
        namespace = b"" if kind is Kind.NAMESPACES else obj.metadata.namespace.encode().lower()
        listing.mark_seen(namespace, obj.metadata.name.encode().lower())
        return True

    def _note_known(self) -> None:
        """Note which names can be answered: each needs only some kinds, so a slow list delays only names that need it.

        The zone does not wait for pods if access to them is denied; names that need pods then stay unanswered.
        """
        known = self._synced | self._denied
        self.missing = frozenset(self._needed - known)
        if known >= _SERVICE_KINDS and not self._addresses_known:
            self._addresses_known = True
            self.index.changed.add(ADDRESSES)  # their reverse names were another's until now
        if self._pods is not None:
            self._pods.pods_known = Kind.PODS in self._synced

    def unseen(self, kind: Kind, kept: Collection[str] = ()) -> list[Pair]:
        """Return namespace and name of what the running list of a kind has not shown; its end will drop them.

        That is nothing of the namespaces `kept`.
        """
        listing = self._listings.get(kind)
        if listing is None:
            return []
        place, left = int(kind is Kind.NAMESPACES), {namespace.encode().lower() for namespace in kept}
        return [own for own in listing.unseen() if own[place] not in left]

    def expire(self, now: float, wall: float) -> set[Key]:
        """Release the endpoints whose grace is over, and return the keys that changed; see `next_expiry`."""
        return self.apply(None, now, wall)

    def _release_retained(self, now: float) -> None:
        while self.retained and self.retained[0][0] <= now:
            _, entry, endpoint = self.retained.popleft()
            if entry.release_retained(endpoint, now):
                self.index.changed.add(entry.key)
                self.index.forget_if_empty(entry)

    @property
    def next_expiry(self) -> float | None:
        """When `expire` has something to do next, or None."""
        return self.retained[0][0] if self.retained else None

    @property
    def denied(self) -> set[Kind]:
        """Return the kinds that the API will not give and that are not waited for: pods, if any."""
        return self._denied & self._needed - self._synced

    @property
    def serial(self) -> int:
        """Return the SOA's serial: the unix time of the last change."""
        return self._build.serial

    @property
    def left_out(self) -> int:
        """Return how many records were left out of answers, as a name of theirs would be longer than names may be."""
        return self._build.left_out

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
        return None if key is None else names.to_text(self._build.name_of(key)).removesuffix(".")

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

    # Questions -------------------------------------------------------------------------------------------------------

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name of class IN, or None when the name is not the cluster's."""
        labels = names.labels_below(name, self._svc)  # what nearly all questions ask
        if labels is None:
            answer = self._answer_others(name, qtype)
        elif self._addresses_known:
            answer = self._services.answer(name, labels, qtype)
        else:
            answer = not_ready(_SERVICE_KINDS - self._synced)
        return minimal_any(answer, name, qtype) if qtype == m.ANY and answer is not None else answer

    def _resolve(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for the target of an alias; None if the target is not a name of the cluster."""
        return None if self.elsewhere is not None and self.elsewhere(name) else self.answer(name, qtype)

    def service(self, namespace: bytes, service: bytes) -> tuple[tuple[bytes, ...], tuple[Key, ...]] | Absence | None:
        """Return the ClusterIPs of a service and what that depends on, or the `absence` if there is no such service.

        None stands for all other cases: a namespace that does not exist, a headless service, an ExternalName.
        """
        if namespace not in self.index.namespaces or not self._addresses_known:
            return None
        entries = self.index.entries.get(namespace)
        entry = None if entries is None else entries.get(service)
        if entry is None or entry.service is None:
            return self.absence
        view = entry.service
        return None if view.headless or view.external is not None else (view.addresses, entry.keys)

    def has_another_server(self) -> bool | None:
        """Tell whether this server's own Service has a ready endpoint besides it; None if it has no endpoint at all."""
        entry = self.index.entry(self._own_service)
        slices = () if entry is None else entry.slices
        if not any(part.held or part.unready for part in slices):
            return None
        return any(address not in self._own_addresses for part in slices for address in part.addresses)

    def _answer_others(self, name: bytes, qtype: int) -> Answer | None:
        """Answer for a name below the domain that is not a name of a service."""
        labels = names.labels_below(name, self.domain)
        if labels is not None:
            return self._answer_own(name, labels, qtype)
        if name.endswith(reverse.ARPA):
            waiting = frozenset() if self._addresses_known else _SERVICE_KINDS - self._synced
            return self._reverse.answer(name, names.labels(name), qtype, waiting)
        return None

    def _answer_own(self, name: bytes, labels: list[bytes], qtype: int) -> Answer:
        if not labels:
            return self._apex_answer(name, qtype)
        if labels[-1] == b"pod":
            if self._pods is None:
                return self._build.nxdomain((), _PODS_DISABLED)
            if Kind.NAMESPACES not in self._synced:
                return not_ready({Kind.NAMESPACES})
            return self._pods.answer(name, labels[:-1], qtype)
        if labels == [b"dns-version"]:
            rrset = RRset(name, m.TXT, VERSION_TTL, (b"\x051.1.0",))
            return Answer(answer=(rrset,)) if qtype == m.TXT else self._build.nodata(())
        if labels[-1] == b"dns":
            return self._server(name, labels, qtype)
        return self._build.nxdomain((), _NOT_OURS)

    def _apex_answer(self, name: bytes, qtype: int) -> Answer:
        if qtype == m.SOA:
            return Answer(answer=(self._build.soa(),), depends=None)
        if qtype == m.NS:
            glue = self._server_rrsets(self._build.server_name)
            return Answer(answer=(self._build.ns(name),), additional=glue, depends=None)
        return self._build.nodata(())

    def _server(self, name: bytes, labels: list[bytes], qtype: int) -> Answer:
        if labels == [b"dns"]:
            return self._build.nodata(())
        if labels != [b"ns", b"dns"]:
            return self._build.nxdomain((), _NOT_OURS)
        rrsets = tuple(rrset for rrset in self._server_rrsets(name) if rrset.type == qtype)
        return Answer(answer=rrsets, depends=None) if rrsets else self._build.nodata(None)

    def _server_rrsets(self, name: bytes) -> tuple[RRset, ...]:
        entry = self.index.entry(self._own_service)
        known = entry.service.addresses if entry is not None and entry.service is not None else ()
        return tuple(self._build.both_families(name, known or self._own_addresses))
