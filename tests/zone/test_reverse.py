"""Addresses as reverse names and as labels, compared with the standard library; and the zones that networks make."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import name as names
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone, Remove
from dnsserver.zone.reverse import Networks, address, dashed, is_local, reverse_address
from tests.answering import Answering, synced
from tests.cluster import endpoint, endpoints, namespace, service

APEXES = {"10.in-addr.arpa", "d.f.ip6.arpa", "9.2.0.192.in-addr.arpa"}
_addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def labels(name: str) -> tuple[bytes, ...]:
    return names.labels(names.from_text(name))


@given(_addresses)
def test_an_address_and_its_reverse_name(given_address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    name = given_address.reverse_pointer
    assert address(labels(name)) == given_address.packed
    assert reverse_address(names.from_text(name)) == given_address.packed


@pytest.mark.parametrize(
    "name",
    [
        "in-addr.arpa",
        "0.0.10.in-addr.arpa",
        "x.1.0.0.10.in-addr.arpa",
        "256.0.0.10.in-addr.arpa",
        "01.0.0.10.in-addr.arpa",
        "x.0.0.10.in-addr.arpa",
        f"{'0.' * 31}ip6.arpa",
        f"{'0.' * 33}ip6.arpa",
        f"g.{'0.' * 31}ip6.arpa",
        f"10.{'0.' * 31}ip6.arpa",
        "1.0.0.10.in-addr.example",
    ],
)
def test_what_is_no_whole_address(name: str) -> None:
    assert address(labels(name)) is None
    assert reverse_address(names.from_text(name)) is None


@given(_addresses)
def test_dashes_can_be_read_back(given_address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    label = dashed(given_address.packed).decode()
    assert not label.endswith("-")
    text = label.replace("-", "." if given_address.version == 4 else ":")
    if given_address.version == 6 and "." not in str(given_address):
        assert ipaddress.ip_address(text) == given_address


@pytest.mark.parametrize(
    ("text", "label"),
    [("10.0.0.1", "10-0-0-1"), ("fd00:1::", "fd00-1--0"), ("::", "--0"), ("2001:db8::1", "2001-db8--1")],
)
def test_dashes(text: str, label: str) -> None:
    assert dashed(ipaddress.ip_address(text).packed).decode() == label


@pytest.mark.parametrize(
    ("network", "name", "zone"),
    [
        ("0.0.0.0/0", "1.0.0.10.in-addr.arpa", "in-addr.arpa"),
        ("0.0.0.0/0", "in-addr.arpa", "in-addr.arpa"),
        ("::/0", "1.0.ip6.arpa", "ip6.arpa"),
        ("0.0.0.0/0", "1.ip6.arpa", None),
        ("10.0.0.0/8", "1.0.0.10.in-addr.arpa", "10.in-addr.arpa"),
        ("10.0.0.0/8", "10.in-addr.arpa", "10.in-addr.arpa"),
        ("10.0.0.0/8", "in-addr.arpa", None),
        ("10.0.0.0/8", "1.0.0.11.in-addr.arpa", None),
        ("10.0.0.0/8", "x.y.10.in-addr.arpa", "10.in-addr.arpa"),
        ("10.96.0.0/12", "1.0.111.10.in-addr.arpa", "111.10.in-addr.arpa"),
        ("10.96.0.0/12", "112.10.in-addr.arpa", None),
        ("10.96.0.0/12", "10.in-addr.arpa", None),
        ("10.0.0.1/32", "1.0.0.10.in-addr.arpa", "1.0.0.10.in-addr.arpa"),
        ("fd00::/8", "0.0.d.f.ip6.arpa", "d.f.ip6.arpa"),
        ("fd00::/7", "c.f.ip6.arpa", "c.f.ip6.arpa"),
        ("fd00::/7".replace("fd", "fc"), "d.f.ip6.arpa", "d.f.ip6.arpa"),
    ],
)
def test_zones_of_networks(network: str, name: str, zone: str | None) -> None:
    found = Networks([str(ipaddress.ip_network(network, strict=False))]).zone_of(labels(name))
    assert found == (None if zone is None else names.from_text(zone))


@pytest.mark.parametrize(
    ("text", "local"),
    [("10.1.2.3", True), ("192.168.0.1", True), ("169.254.1.1", True), ("8.8.8.8", False), ("fd00::1", True),
     ("2606:4700::1111", False), ("127.0.0.1", True)],
)  # fmt: skip
def test_local_addresses(text: str, local: bool) -> None:
    assert is_local(ipaddress.ip_address(text).packed) is local


def test_a_reverse_name_known_outside_is_the_clusters_as_soon_as_a_service_has_the_address() -> None:
    made = synced()
    assert made.says_of("10.9.0.1") == ["NXDOMAIN"]  # which the outside says, and may be kept for an hour
    made.put(service("web", "10.9.0.1"))
    assert made.says_of("10.9.0.1") == ["web.shop.svc.cluster.local."]
    made.apply(Remove(Kind.SERVICES, "shop", "web"))
    assert made.says_of("10.9.0.1") == ["NXDOMAIN"]


def test_what_was_asked_outside_before_the_first_sync_is_asked_here_after_it() -> None:
    made = Answering(Cluster())
    made.put(namespace("shop"), service("web", "8.8.4.4"))
    assert made.says_of("8.8.4.4") == ["NXDOMAIN"]
    for kind in Kind:
        made.apply(ListDone(kind))
    assert made.says_of("8.8.4.4") == ["web.shop.svc.cluster.local."]


def test_an_address_that_gets_another_hostname_has_another_ptr() -> None:
    made = synced(service("db"), endpoints("db", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", "db-1")))
    assert made.says_of("10.1.0.2") == ["db-1.db.shop.svc.cluster.local."]
    made.put(endpoints("db", endpoint("10.1.0.2", "db-0"), endpoint("10.1.0.3", "db-1")))
    assert made.says_of("10.1.0.2") == ["db-0.db.shop.svc.cluster.local."]


def test_endpoints_of_a_service_that_becomes_an_alias_have_no_ptr() -> None:
    made = synced(service("db"), endpoints("db", "10.1.0.1"))
    assert made.says_of("10.1.0.1") == ["10-1-0-1.db.shop.svc.cluster.local."]
    made.put(service("db", external="www.example.com"))
    assert made.says_of("10.1.0.1") == ["NXDOMAIN"]


@pytest.mark.parametrize("name", ["n" * 64, "n" * 256])
def test_a_service_that_no_name_can_stand_for_has_no_ptr(name: str) -> None:
    assert synced(service(name, "10.9.0.1")).says_of("10.9.0.1") == ["NXDOMAIN"]


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("1.10.in-addr.arpa", "NOERROR"),
        ("10.in-addr.arpa", "NOERROR"),
        ("2.10.in-addr.arpa", "NXDOMAIN"),
        ("01.10.in-addr.arpa", "NXDOMAIN"),
        ("7.1.0.1.10.in-addr.arpa", "NXDOMAIN"),
        ("1.0.0.0.0.0.d.f.ip6.arpa", "NOERROR"),
        ("d.f.ip6.arpa", "NOERROR"),
        ("2.0.0.0.0.0.d.f.ip6.arpa", "NXDOMAIN"),
        ("00.d.f.ip6.arpa", "NXDOMAIN"),  # two digits are no nibble, whatever is below 0.0.d.f
        ("1.0.00.0.0.d.f.ip6.arpa", "NXDOMAIN"),
        ("9.2.0.192.in-addr.arpa", "NOERROR"),  # a network of one address, whose name is a zone's
        ("1.9.2.0.192.in-addr.arpa", "NXDOMAIN"),
    ],
)
def test_reverse_names_above_addresses(name: str, rcode: str) -> None:
    cluster = Cluster(reverse_networks=["10.0.0.0/8", "fd00::/8", "192.0.2.9/32"])
    made = synced(service("web", "10.1.0.1", "fd00:1::1"), cluster=cluster)
    for _ in range(2):
        assert made.says(name, "PTR") == [rcode]
        made.apply(Remove(Kind.SERVICES, "shop", "web"))
        assert made.says(name, "PTR") == ["NOERROR" if name in APEXES else "NXDOMAIN"]
        made.put(service("web", "10.1.0.1", "fd00:1::1"))
