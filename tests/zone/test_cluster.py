"""The contract, row by row: the answer for each kind of name of the cluster.

Over 400 lines: a table for each kind of name, all asked of one zone.
"""

import pytest
from dns.reversename import from_address

from dnsserver.wire import name as names
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Denied, EndpointSlice, Kind, ListDone, ListStarted, Put, Remove
from dnsserver.zone.record import ADDRESSES
from tests.cluster import Thing, decoded, endpoint, endpoints, listed, namespace, pod, service
from tests.zone.asking import answer, ask, zone

HTTP = ("http", "TCP", 80)
DNS = ("dns", "UDP", 53)
THINGS: tuple[Thing, ...] = (
    namespace("shop"),
    namespace("empty"),
    namespace("kube-system"),
    service("kube-dns", "10.96.0.10", "fd00:96::a", namespace="kube-system"),
    service("web", "10.96.0.1", ports=[HTTP, ("", "TCP", 9090)]),
    service("dual", "fd00:96::2", "10.96.0.2", ports=[HTTP]),
    service("bare", "10.96.0.3"),
    service("Upper", "10.96.0.4"),
    service("ghost-town", "10.96.0.5", namespace="gone"),
    service("db"),
    endpoints("db", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", "db-1"), ports=[HTTP, DNS]),
    endpoints("db", endpoint("fd00:1::1", "db-0"), name="db-6", family="IPv6", ports=[HTTP, DNS]),
    service("plain"),
    endpoints("plain", "10.1.1.1", endpoint("10.1.1.2", ready=True), endpoint("10.1.1.3", ready=False), ports=[HTTP]),
    endpoints("plain", "10.1.1.1", name="plain-2", ports=[("https", "TCP", 443)]),
    service("six"),
    endpoints("six", "fd00:1::", family="IPv6", ports=[HTTP]),
    service("twins"),
    endpoints("twins", endpoint("10.1.2.1", "twin"), endpoint("10.1.2.2", "twin"), ports=[HTTP]),
    service("unready"),
    endpoints("unready", endpoint("10.1.3.1", ready=False), ports=[HTTP]),
    service("alone"),
    endpoints("web", "10.1.4.1", endpoint("10.1.4.2", "named"), ports=[("http", "TCP", 8080)]),
    endpoints("nobody", endpoint("10.1.5.1", "orphan"), ports=[HTTP]),
    service("lost", namespace="gone"),
    endpoints("lost", endpoint("10.1.6.1", "orphan"), namespace="gone", ports=[HTTP]),
    endpoints("alias", endpoint("10.1.6.2", "orphan"), ports=[HTTP]),
    endpoints("web", endpoint("10.96.0.5", "stand-in"), name="web-2", ports=[HTTP]),
    service("named-so", ports=[HTTP]),
    endpoints("named-so", endpoint("10.1.6.3", "tcp"), ports=[("x", "TCP", 1)]),
    service("names"),
    endpoints("names", endpoint("backend.example.com", "b"), family="FQDN", ports=[HTTP]),
    service("alias", external="www.example.com"),
    service("inner", external="web.shop.svc.cluster.local."),
    service("twice", external="INNER.shop.svc.cluster.local"),
    service("dangling", external="missing.shop.svc.cluster.local"),
    service("loop", external="loop.shop.svc.cluster.local"),
    service("address", external="192.0.2.1"),
    service("broken", external="a..b"),
    pod("one", "10.2.0.1", "fd00:2::1"),
    pod("ended", "10.2.0.2", phase="Succeeded"),
)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return zone(*THINGS, pods="verified", reverse_networks=["10.0.0.0/8", "fd00::/16"])


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("web.shop.svc A", "10.96.0.1"),
        ("web.shop.svc AAAA", "no-address-of-family"),
        ("web.shop.svc SRV", "0 50 80 web.shop.svc, 0 50 9090 web.shop.svc"),
        ("web.shop.svc TXT", "no-data"),
        ("web.shop.svc ANY", 'web.shop.svc HINFO "RFC8482" ""'),
        ("dual.shop.svc A", "10.96.0.2"),
        ("dual.shop.svc AAAA", "fd00:96::2"),
        ("bare.shop.svc A", "10.96.0.3"),
        ("bare.shop.svc SRV", "no-ports"),
        ("upper.shop.svc A", "10.96.0.4"),
        ("_http._tcp.web.shop.svc SRV", "0 100 80 web.shop.svc"),
        ("http.tcp.web.shop.svc A", "10.96.0.1"),
        ("_http._udp.web.shop.svc SRV", "NXDOMAIN port-unknown"),
        ("_https._tcp.web.shop.svc A", "NXDOMAIN port-unknown"),
        ("10-1-4-1.web.shop.svc A", "10.1.4.1"),
        ("named.web.shop.svc A", "10.1.4.2"),
        ("10-1-4-2.web.shop.svc A", "NXDOMAIN endpoint-missing"),  # it has a hostname
        ("named.web.shop.svc SRV", "0 100 8080 named.web.shop.svc"),
        ("x._http._tcp.web.shop.svc A", "NXDOMAIN too-many-labels"),
        ("missing.shop.svc A", "NXDOMAIN service-missing"),
        ("*.shop.svc A", "NXDOMAIN service-missing"),
        ("any.shop.svc A", "NXDOMAIN service-missing"),
        ("web.any.svc A", "NXDOMAIN namespace-missing"),
        ("ghost-town.gone.svc A", "NXDOMAIN namespace-missing"),
        ("web.shop.svc.x A", "NXDOMAIN not-a-cluster-name"),
    ],
)
def test_services(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("db.shop.svc A", "10.1.0.1, 10.1.0.2"),
        ("db.shop.svc AAAA", "fd00:1::1"),
        ("db-0.db.shop.svc A", "10.1.0.1"),
        ("db-0.db.shop.svc AAAA", "fd00:1::1"),
        ("db-1.db.shop.svc AAAA", "no-address-of-family"),
        ("10-1-0-1.db.shop.svc A", "NXDOMAIN endpoint-missing"),
        ("_dns._udp.db.shop.svc SRV", "0 50 53 db-0.db.shop.svc, 0 50 53 db-1.db.shop.svc"),
        ("plain.shop.svc A", "10.1.1.1, 10.1.1.2"),
        ("10-1-1-3.plain.shop.svc A", "NXDOMAIN endpoint-missing"),
        ("_https._tcp.plain.shop.svc SRV", "0 100 443 10-1-1-1.plain.shop.svc"),
        ("_https._tcp.plain.shop.svc A", "10.1.1.1"),
        ("six.shop.svc A", "no-address-of-family"),
        ("fd00-1--0.six.shop.svc AAAA", "fd00:1::"),
        ("twin.twins.shop.svc A", "10.1.2.1, 10.1.2.2"),
        ("twins.shop.svc SRV", "0 100 80 twin.twins.shop.svc"),
        ("unready.shop.svc A", "NXDOMAIN no-ready-endpoints"),
        ("alone.shop.svc A", "NXDOMAIN no-ready-endpoints"),
        ("nobody.shop.svc A", "NXDOMAIN service-missing"),
        ("orphan.nobody.shop.svc A", "NXDOMAIN service-missing"),
        ("names.shop.svc CNAME", "backend.example.com."),
        ("b.names.shop.svc CNAME", "backend.example.com."),
        ("_http._tcp.names.shop.svc CNAME", "backend.example.com."),
    ],
)
def test_headless_services(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("_tcp.web.shop.svc A", "above-ports"),
        ("_tcp.web.shop.svc SRV", "above-ports"),
        ("_tcp.web.shop.svc ANY", '_tcp.web.shop.svc HINFO "RFC8482" ""'),
        ("_udp.web.shop.svc SRV", "NXDOMAIN endpoint-missing"),
        ("tcp.web.shop.svc SRV", "NXDOMAIN endpoint-missing"),  # an endpoint's name
        ("_http.web.shop.svc SRV", "NXDOMAIN endpoint-missing"),
        ("_tcp.bare.shop.svc A", "NXDOMAIN endpoint-missing"),
        ("_tcp.db.shop.svc SRV", "above-ports"),
        ("_udp.db.shop.svc SRV", "above-ports"),
        ("_sctp.db.shop.svc SRV", "NXDOMAIN endpoint-missing"),
        ("_udp.plain.shop.svc SRV", "NXDOMAIN endpoint-missing"),
        ("_tcp.names.shop.svc A", "above-ports"),
        ("_tcp.unready.shop.svc A", "NXDOMAIN endpoint-missing"),  # the service itself does not exist
        ("_tcp.alone.shop.svc A", "NXDOMAIN endpoint-missing"),
        ("_tcp.alias.shop.svc A", "NXDOMAIN below-external-name"),
        ("_tcp.nobody.shop.svc A", "NXDOMAIN service-missing"),
        ("_tcp.web.gone.svc A", "NXDOMAIN namespace-missing"),
        ("tcp.named-so.shop.svc A", "10.1.6.3"),
        ("_tcp.named-so.shop.svc A", "above-ports"),
        ("x._tcp.web.shop.svc A", "NXDOMAIN port-unknown"),
        ("x._http._tcp.web.shop.svc A", "NXDOMAIN too-many-labels"),
    ],
)
def test_a_name_above_those_of_ports_exists(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("alias.shop.svc CNAME", "www.example.com."),
        ("alias.shop.svc SRV", "no-data"),
        ("x.alias.shop.svc A", "NXDOMAIN below-external-name"),
        ("_http._tcp.alias.shop.svc A", "NXDOMAIN below-external-name"),
        ("inner.shop.svc A", "inner.shop.svc CNAME web.shop.svc, web.shop.svc A 10.96.0.1"),
        (
            "twice.shop.svc A",
            "twice.shop.svc CNAME inner.shop.svc, inner.shop.svc CNAME web.shop.svc, web.shop.svc A 10.96.0.1",
        ),
        ("inner.shop.svc AAAA", "inner.shop.svc CNAME web.shop.svc"),
        ("dangling.shop.svc A", "NXDOMAIN dangling.shop.svc CNAME missing.shop.svc"),
        ("loop.shop.svc A", "loop.shop.svc CNAME loop.shop.svc"),
        ("address.shop.svc A", "NXDOMAIN external-name-is-address"),
        ("broken.shop.svc A", "NXDOMAIN external-name-invalid"),
    ],
)
def test_external_names(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("10-2-0-1.shop.pod A", "10.2.0.1"),
        ("fd00-2--1.shop.pod AAAA", "fd00:2::1"),
        ("10-2-0-1.shop.pod AAAA", "no-address-of-family"),
        ("10-2-0-1.shop.pod SRV", "no-data"),
        ("10-2-0-2.shop.pod A", "NXDOMAIN pod-missing"),
        ("10-2-0-1.empty.pod A", "NXDOMAIN pod-missing"),
        ("10-2-0-1.gone.pod A", "NXDOMAIN namespace-missing"),
        ("x.10-2-0-1.shop.pod A", "NXDOMAIN not-an-address"),
        ("10-2-0-256.shop.pod A", "NXDOMAIN not-an-address"),
        ("shop.pod A", "no-data"),
        ("pod TXT", "no-data"),
    ],
)
def test_verified_pods(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


@pytest.mark.parametrize(
    ("mode", "question", "expected"),
    [
        ("insecure", "9-9-9-9.shop.pod A", "9.9.9.9"),
        ("insecure", "2001-db8--1.shop.pod AAAA", "2001:db8::1"),
        ("insecure", "web.shop.pod A", "NXDOMAIN not-an-address"),
        ("insecure", "9-9-9-9.gone.pod A", "NXDOMAIN namespace-missing"),
        ("disabled", "10-2-0-1.shop.pod A", "NXDOMAIN pods-disabled"),
        ("disabled", "pod A", "NXDOMAIN pods-disabled"),
    ],
)
def test_other_modes_of_pods(mode: str, question: str, expected: str) -> None:
    check(zone(*THINGS, pods=mode), question, expected)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("1.0.96.10.in-addr.arpa. PTR", "web.shop.svc"),
        ("1.0.1.10.in-addr.arpa. PTR", "db-0.db.shop.svc"),
        ("1.1.1.10.in-addr.arpa. PTR", "10-1-1-1.plain.shop.svc"),
        ("3.1.1.10.in-addr.arpa. PTR", "NXDOMAIN address-unknown"),
        ("1.5.1.10.in-addr.arpa. PTR", "NXDOMAIN address-unknown"),  # its service is missing
        ("1.6.1.10.in-addr.arpa. PTR", "NXDOMAIN address-unknown"),  # its namespace is
        ("2.6.1.10.in-addr.arpa. PTR", "NXDOMAIN address-unknown"),  # its service is an alias
        ("5.0.96.10.in-addr.arpa. PTR", "stand-in.web.shop.svc"),  # the service of that ClusterIP is in no namespace
        ("1.0.96.10.in-addr.arpa. A", "no-data"),
        ("96.10.in-addr.arpa. PTR", "no-data"),
        ("97.10.in-addr.arpa. PTR", "NXDOMAIN address-unknown"),
        ("x.1.0.96.10.in-addr.arpa. PTR", "NXDOMAIN address-unknown"),
        (f"{from_address('fd00:1::1')} PTR", "db-0.db.shop.svc"),
        (f"{from_address('fd00:1::2')} PTR", "NXDOMAIN address-unknown"),
        (f"x.{from_address('fd00:1::1')} PTR", "NXDOMAIN address-unknown"),
        ("0.0.d.f.ip6.arpa. PTR", "no-data"),
    ],
)
def test_reverse_names(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("cluster.local. A", "no-data"),
        ("cluster.local. TXT", "no-data"),
        ("svc A", "no-data"),
        ("shop.svc TXT", "no-data"),
        ("dns-version TXT", '"1.1.0"'),
        ("dns-version A", "no-data"),
        ("dns A", "no-data"),
        ("ns.dns A", "10.96.0.10"),
        ("ns.dns AAAA", "fd00:96::a"),
        ("ns.dns MX", "no-data"),
        ("x.dns A", "NXDOMAIN not-a-cluster-name"),
        ("nothing A", "NXDOMAIN not-a-cluster-name"),
        ("nothing SOA", "NXDOMAIN not-a-cluster-name"),
    ],
)
def test_names_of_the_zone_itself(cluster: Cluster, question: str, expected: str) -> None:
    check(cluster, question, expected)


def check(cluster: Cluster, question: str, expected: str) -> None:
    """`expected` is the records, or the reason for there being none, with the rcode in front unless it is NOERROR.

    Of a record that has the name and type that were asked for, only the data is shown.
    """
    shown = ask(cluster, *question.split())
    front = "" if shown.rcode == "NOERROR" else f"{shown.rcode} "
    assert front + (", ".join(shown.records).replace(f"{question} ", "") or shown.reason) == expected
    assert shown.soa or (shown.rcode == "NOERROR" and bool(shown.records))
    assert shown.ttls <= {5, 28800, 3789}


def test_srv_shows_the_addresses_of_each_target_once(cluster: Cluster) -> None:
    assert ask(cluster, "dual.shop.svc", "SRV").additional == [
        "dual.shop.svc A 10.96.0.2",
        "dual.shop.svc AAAA fd00:96::2",
    ]
    assert ask(cluster, "db.shop.svc", "SRV").additional == [
        "db-0.db.shop.svc A 10.1.0.1",
        "db-0.db.shop.svc AAAA fd00:1::1",
        "db-1.db.shop.svc A 10.1.0.2",
    ]


LONG = "s" * 63, "n" * 63  # of a service and its namespace


def _crowded(room: int) -> tuple[Cluster, str]:
    """Return a zone in which an endpoint's label may have `room` octets, and what all its services' names end in."""
    tail = 255 - 1 - room - 1 - 64 - 64 - 4  # the domain, with its root: labels of at most 62
    labels = ["d" * 62] * (tail // 63) + ["e" * (tail % 63 - 1)] * (tail % 63 > 0)
    domain = ".".join(labels)
    cluster = zone(
        namespace(LONG[1]),
        service(LONG[0], namespace=LONG[1], ports=[HTTP]),
        endpoints(
            LONG[0], endpoint("10.3.0.1", "h" * 30), endpoint("10.3.0.2", "h" * 31), "10.3.0.3",
            namespace=LONG[1], ports=[HTTP],
        ),
        domain=names.from_text(domain),
        reverse_networks=["10.0.0.0/8"],
    )  # fmt: skip
    return cluster, f"{LONG[0]}.{LONG[1]}.svc.{domain}."


@pytest.mark.parametrize(("room", "shown"), [(31, 3), (30, 2), (29, 1), (8, 1), (7, 0)])
def test_a_record_whose_name_would_pass_255_octets_is_left_out_and_counted(room: int, shown: int) -> None:
    cluster, tail = _crowded(room)
    assert len(names.from_text(f"{'x' * room}.{tail}")) == 255
    targets = {f"{label}.{tail}" for label in ("h" * 30, "h" * 31, "10-3-0-3") if len(label) <= room}
    assert len(targets) == shown
    srv = answer(cluster, tail, "SRV")
    found = {names.to_text(rdata[6:]) for rrset in srv.answer for rdata in rrset.rdatas}
    assert found == targets
    assert {names.to_text(rrset.name) for rrset in srv.additional} == targets
    assert {int.from_bytes(rdata[2:4]) for rrset in srv.answer for rdata in rrset.rdatas} <= {100 // max(1, shown)}
    assert (srv.rcode, srv.reason.code) == (0, "found" if shown else "name-too-long")
    assert cluster.left_out == 3 - shown
    ptrs = [answer(cluster, f"{number}.0.3.10.in-addr.arpa.", "PTR") for number in (1, 2, 3)]
    assert {names.to_text(rdata) for ptr in ptrs for rrset in ptr.answer for rdata in rrset.rdatas} == targets
    assert all(ptr.rcode == 0 and (ptr.answer or ptr.authority) for ptr in ptrs)
    assert cluster.left_out == 2 * (3 - shown)
    # Its address is there all the same.
    assert len(answer(cluster, tail, "A").answer[0].rdatas) == 3


def test_ports_that_change_change_the_name_above_them() -> None:
    moving = zone(*THINGS)
    web, db = (b"shop", b"web"), (b"shop", b"db")
    for things, key, name in (
        ([service("web", "10.96.0.1", ports=[DNS])], web, "web"),
        (
            [
                endpoints("db", endpoint("10.1.0.1", "db-0"), ports=[DNS]),
                endpoints("db", endpoint("fd00:1::1", "db-0"), name="db-6", family="IPv6", ports=[DNS]),
            ],
            db,
            "db",
        ),
    ):
        found = answer(moving, f"_tcp.{name}.shop.svc", "SRV")
        assert (found.rcode, found.depends) == (0, (key,))
        for thing in things:
            assert key in moving.apply(Put(decoded(thing)), 0, 1)
        assert answer(moving, f"_tcp.{name}.shop.svc", "SRV").rcode == 3
        assert answer(moving, f"_udp.{name}.shop.svc", "SRV").rcode == 0


def test_a_namespace_that_comes_or_goes_changes_the_ptr_of_its_addresses() -> None:
    moving = zone(*THINGS)
    ends, headless = b"\x0a\x01\x06\x01", b"\x0a\x60\x00\x05"
    assert moving.answer(names.from_text("1.6.1.10.in-addr.arpa"), 12) is None  # the upstreams may know it
    assert moving.apply(Put(decoded(namespace("gone"))), 0, 1) == {(b"gone",), ends, headless}
    assert ask(moving, "1.6.1.10.in-addr.arpa.", "PTR").records == ["1.6.1.10.in-addr.arpa. PTR orphan.lost.gone.svc"]
    assert ask(moving, "5.0.96.10.in-addr.arpa.", "PTR").records == ["5.0.96.10.in-addr.arpa. PTR ghost-town.gone.svc"]
    assert moving.apply(Remove(Kind.NAMESPACES, "", "gone"), 0, 1) == {(b"gone",), ends, headless}
    assert moving.answer(names.from_text("1.6.1.10.in-addr.arpa"), 12) is None


def test_names_that_are_not_the_clusters(cluster: Cluster) -> None:
    for name in (b"\7example\0", b"\0", b"\5local\0", b"\10xcluster\5local\0", b"\x011\x07in-addr\4arpa\0"):
        assert cluster.answer(name, 1) is None


def test_an_unknown_reverse_name_is_not_the_clusters_unless_the_zone_is() -> None:
    cluster = zone(*THINGS)
    assert cluster.answer(b"\x019\x010\x0296\x0210\7in-addr\4arpa\0", 12) is None
    assert ask(cluster, "1.0.96.10.in-addr.arpa.", "PTR").records == ["1.0.96.10.in-addr.arpa. PTR web.shop.svc"]


def test_apex(cluster: Cluster) -> None:
    soa = ask(cluster, "cluster.local.", "SOA")
    assert soa.records == ["cluster.local. SOA ns.dns hostmaster 1700000000 7200 1800 86400 5"]
    found = ask(cluster, "cluster.local.", "NS")
    assert found.records == ["cluster.local. NS ns.dns"]
    assert found.additional == ["ns.dns A 10.96.0.10", "ns.dns AAAA fd00:96::a"]


def test_own_addresses_stand_in_for_the_service() -> None:
    cluster = zone(namespace("kube-system"), own_addresses=[b"\xc0\0\2\1"])
    assert ask(cluster, "ns.dns").records == ["ns.dns A 192.0.2.1"]


def test_the_serial_never_goes_back() -> None:
    cluster = zone(namespace("shop"))
    before = cluster.serial
    for event in (ListStarted(Kind.NAMESPACES), ListDone(Kind.NAMESPACES)):
        cluster.apply(event, 0, 1600000000)
    assert cluster.serial == before == 1700000000


def not_ready(cluster: Cluster, name: str, type_: str = "A") -> bool:
    found = answer(cluster, name, type_)
    assert (found.reason.code == "not-ready") == (found.rcode == 2)
    assert found.rcode != 2 or found.depends is None  # it must not be kept
    return found.rcode == 2


def test_before_the_first_sync() -> None:
    cluster = Cluster(pods="verified", reverse_networks=["10.0.0.0/8"])
    assert all(not_ready(cluster, name) for name in ("web.shop.svc", "shop.svc", "10-2-0-1.shop.pod"))
    assert not_ready(cluster, "1.0.96.10.in-addr.arpa.", "PTR")
    assert not not_ready(cluster, "dns-version", "TXT")
    for kind in (Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES):
        cluster.apply(ListStarted(kind), 0, 0)
        cluster.apply(ListDone(kind), 0, 0)
    assert cluster.missing == {Kind.PODS}
    cluster.apply(ListDone(Kind.PODS), 0, 0)
    assert cluster.missing == set()
    assert ask(cluster, "web.shop.svc").reason == "namespace-missing"


def test_a_kind_that_is_denied_costs_its_own_names_only() -> None:
    cluster = Cluster(pods="verified")
    for event in (ListDone(Kind.NAMESPACES), ListDone(Kind.SERVICES), ListDone(Kind.ENDPOINTSLICES)):
        cluster.apply(event, 0, 0)
    cluster.apply(Denied(Kind.PODS), 0, 0)
    assert cluster.missing == set()
    assert cluster.denied == {Kind.PODS}
    assert not not_ready(cluster, "web.shop.svc")


def test_pods_that_were_known_are_not_once_they_are_denied() -> None:
    cluster = Cluster(pods="verified")
    for event in listed([namespace("shop"), pod("a", "10.0.0.1")]):
        cluster.apply(event, 0, 0)
    assert ask(cluster, "10-0-0-1.shop.pod").rcode == "NOERROR"
    assert ask(cluster, "10-0-0-9.shop.pod").rcode == "NXDOMAIN"
    changed = cluster.apply(Denied(Kind.PODS), 0, 0)
    assert ADDRESSES in changed  # a reply that there is no such pod is kept by its address
    assert all(not_ready(cluster, f"10-0-0-{number}.shop.pod") for number in (1, 9))


def test_a_list_of_pods_that_meets_a_denial_has_all_that_it_showed() -> None:
    """One scope may be denied for a moment, or one request of several, while others show their pods."""
    cluster = Cluster(pods="verified")
    for event in listed([namespace("shop"), pod("gone", "10.0.0.9")]):
        cluster.apply(event, 0, 0)
    events = (
        ListStarted(Kind.PODS),
        Put(decoded(pod("a", "10.0.0.1"))),
        Denied(Kind.PODS),
        Put(decoded(pod("b", "10.0.0.2"))),
        ListDone(Kind.PODS),
    )
    for event in events:
        cluster.apply(event, 0, 0)
    rcodes = {number: ask(cluster, f"10-0-0-{number}.shop.pod").rcode for number in (1, 2, 9)}
    assert rcodes == {1: "NOERROR", 2: "NOERROR", 9: "NXDOMAIN"}


def test_an_endpoint_without_a_hostname_has_its_address_as_a_name_in_one_way_only() -> None:
    cluster = Cluster()
    things = [
        namespace("shop"),
        service("db"),
        endpoints("db", "10.1.0.1", "10.1.0.2"),
        endpoints("db", endpoint("10.1.0.3", "db-3"), endpoint("10.1.0.4"), name="db-mixed"),
        endpoints("db", "fd00::", "fd00::1:0:0:2", "::1.2.3.4", name="db-6", family="IPv6"),
        endpoints("db", endpoint("backend.example.com", "b"), name="db-names", family="FQDN"),
    ]
    for event in listed(things):
        cluster.apply(event, 0, 0)
    found = {"10-1-0-1": "A", "10-1-0-4": "A", "db-3": "A", "fd00--0": "AAAA", "fd00--1-0-0-2": "AAAA"}
    for label, qtype in found.items():
        assert ask(cluster, f"{label}.db.shop.svc", qtype).rcode == "NOERROR", label
    dotted = b"\x09--1.2.3.4" + names.from_text("db.shop.svc.cluster.local")  # what its SRV record leads to
    aaaa = cluster.answer(dotted, 28)
    assert aaaa is not None
    assert [rrset.name for rrset in aaaa.answer] == [dotted]
    missing = ("10-1-0-3", "010-1-0-1", "10-1-0-9", "db-4", "fd00--", "fd00-0--1-0-0-2", "FD00--9", "--1", "x")
    for label in missing:
        assert ask(cluster, f"{label}.db.shop.svc").rcode == "NXDOMAIN", label


@pytest.mark.parametrize("kind", [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES])
def test_a_kind_without_which_there_is_no_zone_is_waited_for_though_it_is_denied(kind: Kind) -> None:
    cluster = Cluster(pods="verified")
    for other in Kind:
        cluster.apply(Denied(other) if other is kind else ListDone(other), 0, 0)
    assert cluster.missing == {kind}
    assert cluster.denied == set()
    assert not_ready(cluster, "web.shop.svc")
    cluster.apply(ListDone(kind), 0, 0)
    assert not cluster.missing
    assert not not_ready(cluster, "web.shop.svc")


@pytest.mark.parametrize(
    ("things", "by", "kind"),
    [
        ([service("web", "10.96.0.1")], "endpointslice-controller.k8s.io", "cluster_ip"),
        ([service("web")], "endpointslice-controller.k8s.io", "headless_with_selector"),
        ([service("web")], "somebody", "headless_without_selector"),
        ([], "somebody", "cluster_ip"),
    ],
)
def test_the_kind_of_service_whose_slice_it_is(things: list[Thing], by: str, kind: str) -> None:
    cluster = zone(namespace("shop"), *things)
    slice_ = endpoints("web", "10.1.0.1")
    slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = by
    part = decoded(slice_)
    assert isinstance(part, EndpointSlice)
    assert cluster.service_kind(part) == kind
