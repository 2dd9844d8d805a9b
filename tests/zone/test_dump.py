"""After any sequence of events, the dumped objects of a zone make a zone with the same answers."""

from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.zone import model, reverse
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.dump import objects
from dnsserver.zone.index import pack
from dnsserver.zone.model import Denied, Event, Kind, ListDone, ListStarted, Put, Remove

NAMESPACES = ["shop", "Shop2", "empty"]
NAMES = ["web", "Db", "alias"]
SLICES = ["s1", "s2", "s3"]
PODS = ["p1", "p2"]
HOSTS = ["h1", "H2"]
V4 = ["10.0.0.1", "10.0.0.2", "10.0.1.3"]
V6 = ["fd00::1", "fd00:1::", "::ffff:10.0.0.1"]
FQDNS = ["a.Example.com", r"with\.dot.example", "web.shop.svc.cluster.local."]
TYPES = [m.A, m.AAAA, m.SRV, m.CNAME, m.TXT, m.PTR, m.ANY]

addresses = st.sampled_from(V4 + V6)
ports = st.lists(
    st.tuples(st.sampled_from(["http", "", None]), st.sampled_from(["TCP", "UDP", None]), st.integers(0, 65535)),
    max_size=2,
)


def metadata(them: list[str], labels: dict[str, str] | None = None) -> st.SearchStrategy[model.Metadata]:
    return st.builds(model.Metadata, st.sampled_from(them), st.sampled_from(NAMESPACES), labels=st.just(labels))


@st.composite
def services(draw: st.DrawFn) -> model.Service:
    sort = draw(st.sampled_from(["ip", "headless", "external", "bare"]))
    found = [model.ServicePort(number, name, protocol) for name, protocol, number in draw(ports)]
    if sort == "external":
        target = draw(st.sampled_from([*FQDNS, *V4, "", ".", "db.shop.svc.cluster.local"]))
        spec = model.ServiceSpec(type="ExternalName", external_name=target, ports=found)
    elif sort == "headless":
        spec = model.ServiceSpec(cluster_ip="None", ports=found)
    elif sort == "ip":
        spec = model.ServiceSpec(cluster_ips=draw(st.lists(addresses, max_size=2, unique=True)), ports=found)
    else:
        spec = model.ServiceSpec()
    return model.Service(draw(metadata(NAMES)), spec)


@st.composite
def slices(draw: st.DrawFn) -> model.EndpointSlice:
    family = draw(st.sampled_from(["IPv4", "IPv6", "FQDN", ""]))
    texts = {"IPv4": V4, "IPv6": V6, "FQDN": FQDNS, "": V4 + V6}[family]
    endpoint = st.builds(
        model.Endpoint,
        st.lists(st.sampled_from(texts), max_size=2),
        st.sampled_from([None, model.EndpointConditions(True), model.EndpointConditions(False)]),
        st.sampled_from([None, *HOSTS]),
    )
    service = draw(st.sampled_from([None, *NAMES, *NAMES]))
    labels = {"kubernetes.io/service-name": service} if service else None
    found = [model.EndpointPort(name, number or None, protocol) for name, protocol, number in draw(ports)]
    return model.EndpointSlice(
        draw(metadata(SLICES, labels)), family, draw(st.none() | st.lists(endpoint, max_size=4)), found
    )


@st.composite
def pods(draw: st.DrawFn) -> model.Pod:
    ips = [model.PodIP(text) for text in draw(st.lists(addresses, max_size=2))]
    phase = draw(st.sampled_from(["Running", "Succeeded", None]))
    return model.Pod(draw(metadata(PODS)), model.PodStatus(phase, draw(st.none() | addresses), ips or None))


namespaces = st.builds(model.Namespace, st.builds(model.Metadata, st.sampled_from(NAMESPACES)))
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Put, namespaces),
    st.builds(Put, services()),
    st.builds(Put, slices()),
    st.builds(Put, slices()),
    st.builds(Put, pods()),
    st.builds(Remove, st.sampled_from(list(Kind)), st.sampled_from(NAMESPACES), st.sampled_from(NAMES + SLICES + PODS)),
)


def questions() -> Iterator[bytes]:
    for text in ("", "svc.", "pod.", "ns.dns.", "dns-version.", "other."):
        yield names.from_text(f"{text}cluster.local")
    known = [address for address in map(pack, V4 + V6) if address is not None]
    fronts = [b"h1", b"h2", b"_http\0_tcp", b"http\0udp", b"_\0_tcp", b"a\0b\0c", *map(reverse.dashed, known)]
    tail = (b"cluster", b"local")
    for namespace in [space.lower().encode() for space in NAMESPACES]:
        yield names.from_labels((namespace, b"svc", *tail))
        for service in [name.lower().encode() for name in NAMES]:
            yield names.from_labels((service, namespace, b"svc", *tail))
            for front in fronts:
                yield names.from_labels((*front.split(b"\0"), service, namespace, b"svc", *tail))
        for address in known:
            yield names.from_labels((reverse.dashed(address), namespace, b"pod", *tail))
    for address in known:
        if len(address) == 4:
            yield names.from_labels((*(b"%d" % octet for octet in reversed(address)), b"in-addr", b"arpa"))
        else:
            nibbles = address.hex()[::-1]
            yield names.from_labels((*(nibble.encode() for nibble in nibbles), b"ip6", b"arpa"))


QUESTIONS = [(name, qtype) for name in questions() for qtype in TYPES]


def make(happened: list[Event]) -> Cluster:
    cluster = Cluster(pods="verified", reverse_networks=["10.0.0.0/16"])
    for kind in Kind:
        cluster.apply(ListStarted(kind), 0, 0)
    for event in happened:
        cluster.apply(event, 0, 1)
    for kind in Kind:
        cluster.apply(ListDone(kind), 0, 1)
    return cluster


def stored(obj: model.Object) -> model.Object:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(obj), type=type(obj))


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=40))
def test_a_dump_answers_the_same(happened: list[Event]) -> None:
    cluster = make([Put(model.Namespace(model.Metadata("shop"))), *happened])
    copy = make([Put(stored(obj)) for kind in Kind for obj in objects(cluster.index, kind)])
    assert [copy.index.count(kind) for kind in Kind] == [cluster.index.count(kind) for kind in Kind]
    for name, qtype in QUESTIONS:
        assert copy.answer(name, qtype) == cluster.answer(name, qtype), (names.to_text(name), qtype)


def test_an_object_that_goes_meanwhile_is_left_out() -> None:
    there = [Put(model.Pod(model.Metadata(f"p{n}", "shop"), model.PodStatus(pod_ip=f"10.0.0.{n}"))) for n in range(9)]
    cluster = make([*there])
    dump = objects(cluster.index, Kind.PODS)
    taken = [next(dump).metadata.name]
    cluster.apply(Remove(Kind.PODS, "shop", "p1"), 0, 0)
    cluster.apply(Put(model.Pod(model.Metadata("new", "later"), model.PodStatus(pod_ip="10.0.0.9"))), 0, 0)
    taken += [obj.metadata.name for obj in dump]
    assert taken == ["p0", "p2", "p3", "p4", "p5", "p6", "p7", "p8"]


def test_services_need_no_pods_and_a_denied_kind_costs_its_own_names() -> None:
    web, pod = names.from_text("web.shop.svc.cluster.local"), names.from_text("10-0-0-1.shop.pod.cluster.local")
    cluster = Cluster(pods="verified")
    shop = [
        Put(model.Namespace(model.Metadata("shop"))),
        Put(model.Service(model.Metadata("web", "shop"), model.ServiceSpec(cluster_ips=["10.0.0.1"]))),
    ]
    listed: list[Event] = [*shop, ListDone(Kind.NAMESPACES), ListDone(Kind.SERVICES)]
    for event in listed:
        cluster.apply(event, 0, 0)
        assert rcode(cluster, web) == m.SERVFAIL
    cluster.apply(ListDone(Kind.ENDPOINTSLICES), 0, 0)
    assert (rcode(cluster, web), rcode(cluster, pod)) == (m.NOERROR, m.SERVFAIL)
    assert cluster.missing == {Kind.PODS}
    cluster.apply(Denied(Kind.PODS), 0, 0)
    assert (rcode(cluster, web), rcode(cluster, pod)) == (m.NOERROR, m.SERVFAIL)
    assert not cluster.missing
    cluster.apply(ListDone(Kind.PODS), 0, 0)
    assert rcode(cluster, pod) == m.NXDOMAIN


def rcode(cluster: Cluster, name: bytes) -> int:
    answer = cluster.answer(name, m.A)
    assert answer is not None
    return answer.rcode
