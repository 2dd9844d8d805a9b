"""Addresses as reverse names and as labels, compared with the standard library; and the zones that networks make."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import name as names
from dnsserver.zone.reverse import Networks, address, awaited, dashed, is_local

_addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def labels(name: str) -> tuple[bytes, ...]:
    return names.labels(names.from_text(name))


@given(_addresses)
def test_an_address_and_its_reverse_name(given_address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    name = given_address.reverse_pointer
    assert address(labels(name)) == given_address.packed
    assert awaited(names.from_text(name)) == given_address.packed


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
    assert awaited(names.from_text(name)) is None


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
