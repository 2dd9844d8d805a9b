"""A cluster so small that every combination occurs: all its objects, events and questions, and the true answers.

It is for the properties: hypothesis draws events from here, and a dict has the objects that exist after them.
"""

import functools

import dns.message
import dns.rdatatype
import dns.reversename
from hypothesis import strategies as st

from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import KINDS, Denied, Event, Kind, ListDone, ListDropped, ListStarted, Object, Put, Remove
from tests.cluster import decoded, endpoint, endpoints, namespace, pod, service

Key = tuple[Kind, str, str]

NAMESPACES = ("a", "b")
SERVICES = ("s", "t")
ADDRESSES = ("10.1.0.1", "10.1.0.2", "fd00:1::1")
CLUSTER_IPS = ((), ("10.9.0.1",), ("10.9.0.2", "fd00:9::2"), ("10.1.0.1",))
TARGETS = (
    "s.a.svc.cluster.local",
    "s.b.svc.cluster.local",
    "t.b.svc.cluster.local",
    "www.example.com",
    "nobody.example.com",
    "10.1.0.1",
)
PORTS = ((), (("http", "TCP", 80),), (("http", "TCP", 80), ("dns", "UDP", 53), ("dns-2", "UDP", 53)))

_namespace, _service = st.sampled_from(NAMESPACES), st.sampled_from(SERVICES)
_ports = st.sampled_from(PORTS)
_endpoint = st.builds(
    endpoint,
    st.sampled_from(ADDRESSES),
    st.sampled_from((None, "h", "h2", "10-1-0-2")),
    ready=st.sampled_from((None, True, False)),
)
_addresses = st.sets(st.sampled_from(ADDRESSES), max_size=2)

_things = st.one_of(
    st.builds(namespace, st.sampled_from((*NAMESPACES, "c"))),
    st.builds(
        lambda name, addresses, space, ports: service(name, *addresses, namespace=space, ports=ports),
        _service,
        st.sampled_from(CLUSTER_IPS),
        _namespace,
        _ports,
    ),
    st.builds(
        lambda name, space, target: service(name, namespace=space, external=target),
        _service,
        _namespace,
        st.sampled_from(TARGETS),
    ),
    st.builds(
        lambda of, found, name, space, ports: endpoints(of, *found, name=name, namespace=space, ports=ports, family=""),
        st.sampled_from((*SERVICES, "")),
        st.lists(_endpoint, max_size=3),
        st.sampled_from(("x", "y")),
        _namespace,
        _ports,
    ),
    st.builds(
        lambda of, found, space: endpoints(of, *found, name="x", namespace=space, ports=PORTS[1], family="FQDN"),
        _service,
        st.lists(st.builds(endpoint, st.sampled_from(TARGETS[:3]), st.sampled_from((None, "h"))), max_size=2),
        _namespace,
    ),
    st.builds(
        lambda name, found, space, phase: pod(name, *sorted(found), namespace=space, phase=phase),
        st.sampled_from(("p", "q")),
        _addresses,
        _namespace,
        st.sampled_from(("Running", "Running", "Failed")),
    ),
)
_kinds = st.sampled_from(tuple(Kind))
_names = {
    Kind.NAMESPACES: st.tuples(st.just(""), _namespace),
    Kind.SERVICES: st.tuples(_namespace, _service),
    Kind.ENDPOINTSLICES: st.tuples(_namespace, st.sampled_from(("x", "y"))),
    Kind.PODS: st.tuples(_namespace, st.sampled_from(("p", "q"))),
}
# Where most of what an event can break is there already; without namespaces there would be little to see.
BASE = (
    *map(namespace, NAMESPACES),
    service("s", namespace="a", ports=PORTS[1]),
    endpoints("s", endpoint("10.1.0.1", "h"), endpoint("10.1.0.2"), name="x", namespace="a", ports=PORTS[1]),
    service("t", "10.9.0.1", "fd00:9::2", namespace="b", ports=PORTS[2]),
    service("t", namespace="a", external="s.b.svc.cluster.local"),
    service("s", namespace="b", external="www.example.com"),
    pod("p", "10.1.0.1", "fd00:1::1", namespace="a"),
)
objects = _things.map(decoded)
puts = objects.map(Put)
removes = _kinds.flatmap(lambda kind: _names[kind].map(lambda own: Remove(kind, *own)))
lists = st.one_of(_kinds.map(ListStarted), _kinds.map(ListDone), _kinds.map(ListDropped))
events: st.SearchStrategy[Event] = st.one_of(puts, puts, puts, removes, lists)
with_denied: st.SearchStrategy[Event] = st.one_of(events, events, events, _kinds.map(Denied))


def zone(pods: str = "verified", grace: float = 0) -> Cluster:
    """Return an empty zone whose reverse networks have some of the addresses."""
    return Cluster(pods=pods, reverse_networks=["10.1.0.0/16", "fd00:1::/32"], grace=grace)


def _key(kind: Kind, space: str, name: str) -> Key:
    """Return what an object is known by; DNS takes upper case letters for lower case ones, and only those of ASCII."""
    return kind, space.encode().lower().decode(), name.encode().lower().decode()


class Truth:
    """The objects that exist after some events, kept in the simplest way."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.synced: set[Kind] = set()
        self.denied: set[Kind] = set()
        self._unseen: dict[Kind, set[Key]] = {}

    def apply(self, event: Event) -> None:
        match event:
            case Put(object=thing):
                key = _key(KINDS[type(thing)], thing.metadata.namespace, thing.metadata.name)
                self.objects[key] = thing
                self._unseen.get(key[0], set()).discard(key)
            case Remove(kind=kind, namespace=space, name=name):
                self.objects.pop(_key(kind, space, name), None)
            case ListStarted(kind=kind):
                self._unseen[kind] = {key for key in self.objects if key[0] is kind}
            case ListDone(kind=kind):
                for key in self._unseen.pop(kind, ()):
                    self.objects.pop(key, None)
                self.synced.add(kind)
                self.denied.discard(kind)
            case ListDropped(kind=kind):
                self._unseen.pop(kind, None)
            case Denied(kind=kind):
                self.denied |= {kind} & {Kind.PODS}

    def fill(self, cluster: Cluster) -> None:
        """Let a new zone see one list of what there is."""
        for kind in Kind:
            cluster.apply(ListStarted(kind), 0, 1)
        for thing in self.objects.values():
            cluster.apply(Put(thing), 0, 1)
        for kind in sorted(self.synced):
            cluster.apply(ListDone(kind), 0, 1)
        for kind in sorted(self.denied):
            cluster.apply(Denied(kind), 0, 1)


def _questions() -> list[tuple[str, str]]:
    """Every kind of name that the contract knows, existing or not."""
    found = []
    addresses = [dashed for address in ADDRESSES for dashed in (address.replace(".", "-").replace(":", "-"),)]
    for space in (*NAMESPACES, "c"):
        found += [(f"{space}.svc", "A"), (f"{space}.pod", "TXT")]
        found += [(f"{dashed}.{space}.pod", type_) for dashed in addresses for type_ in ("A", "AAAA")]
        for of in (*SERVICES, "u"):
            base = f"{of}.{space}.svc"
            found += [(base, type_) for type_ in ("A", "AAAA", "SRV", "CNAME", "TXT", "ANY")]
            found += [(f"_{port}.{base}", type_) for port in ("http._tcp", "dns._udp") for type_ in ("SRV", "A")]
            found += [(f"{label}.{base}", type_) for label in ("h", *addresses) for type_ in ("A", "SRV")]
            found += [(f"{label}.{base}", "SRV") for label in ("_tcp", "_udp", "tcp")]
        found += [(f"www.example.com.{space}.svc", type_) for type_ in ("A", "AAAA")]
        found += [(f"www.s.a.{space}.svc", "A"), (f"a.b.c.s.{space}.svc", "A")]
    whole = [(f"{name}.cluster.local", type_) for name, type_ in found]
    reverse = [dns.reversename.from_address(address).to_text() for address in (*ADDRESSES, "10.9.0.1", "10.9.0.2")]
    whole += [(name, type_) for name in reverse for type_ in ("PTR", "A", "ANY")]
    return [*whole, ("1.10.in-addr.arpa", "PTR"), ("10.in-addr.arpa", "SOA"), ("www.example.com", "AAAA")]


QUESTIONS = _questions()
PACKETS = [dns.message.make_query(name, type_, use_edns=0, id=0).to_wire() for name, type_ in QUESTIONS]


@functools.lru_cache(maxsize=1 << 16)  # of the few replies that there are, each is met very often
def normal(wire: bytes) -> tuple[object, ...]:
    """What a reply says, in an order of its own: records take turns, and slices come in any order."""
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    sections = (message.answer, message.authority, message.additional)
    return (
        message.flags,
        message.rcode(),
        tuple(
            tuple(
                sorted(
                    (s.name.to_text(), s.ttl, s.rdtype, "" if s.rdtype == dns.rdatatype.SOA else s[0].to_text())
                    for s in section
                )
            )
            for section in sections
        ),
        [option.to_text() for option in message.options],
    )
