"""Services with odd objects: parts that no name can express are left out, and the rest is answered."""

import dns.message
import pytest

from dnsserver.wire.message import MAX_CHAIN
from tests.answering import synced
from tests.cluster import Thing, endpoint, endpoints, namespace, service
from tests.zone.asking import ask, zone


def test_a_name_that_is_none_in_a_slice_of_names_is_left_out() -> None:
    made = synced(service("alias"), endpoints("alias", "a\\", "www.example.com", family="FQDN"))
    assert made.says("alias.shop.svc.cluster.local", "CNAME") == ["www.example.com."]


def test_what_is_no_label_is_no_hostname() -> None:
    found = [endpoint("10.1.0.1", "x" * 64), endpoint("10.1.0.2", "y" * 300), endpoint("10.1.0.3", "z" * 63)]
    made = synced(service("db"), endpoints("db", *found, ports=[("http", "TCP", 80)]))
    labels = ["10-1-0-1", "10-1-0-2", "z" * 63]
    assert made.says("db.shop.svc.cluster.local", "SRV") == [f"0 33 80 {n}.db.shop.svc.cluster.local." for n in labels]
    for number, label in enumerate(labels, 1):
        assert made.says_of(f"10.1.0.{number}") == [f"{label}.db.shop.svc.cluster.local."]


def test_what_an_error_tells_fits_into_the_reply() -> None:
    made = synced(service("long", external="x" * 100_000))
    packet = dns.message.make_query("long.shop.svc.cluster.local", "A", use_edns=0, payload=512, id=0).to_wire()
    wire = made.ask(packet)
    assert len(wire) < 512
    assert "externalName" in dns.message.from_wire(wire).options[0].to_text()


@pytest.mark.parametrize("target", ["", "."])
def test_the_root_is_nobodys_alias(target: str) -> None:
    made = synced(service("alias"), endpoints("alias", target, family="FQDN"))
    assert made.says("alias.shop.svc.cluster.local", "CNAME") == ["NXDOMAIN"]


@pytest.mark.parametrize("name", ["db", "_http._tcp.db"])
@pytest.mark.parametrize(
    "slices", [(), (endpoints("db", endpoint("10.1.0.1", ready=False), ports=[("http", "TCP", 80)]),)]
)
def test_why_a_port_has_no_endpoint_is_that_none_is_ready(name: str, slices: tuple[Thing, ...]) -> None:
    cluster = zone(namespace("shop"), service("db", ports=[("http", "TCP", 80)]), *slices)
    found = ask(cluster, f"{name}.shop.svc")
    assert (found.rcode, found.reason) == ("NXDOMAIN", "no-ready-endpoints")


@pytest.mark.parametrize(("aliases", "rcode"), [(MAX_CHAIN, "NOERROR"), (MAX_CHAIN + 1, "SERVFAIL")])
def test_as_many_aliases_lead_to_a_service_as_an_answer_may_have(aliases: int, rcode: str) -> None:
    chain = [service(f"e{n}", external=f"e{n + 1}.shop.svc.cluster.local") for n in range(aliases)]
    found = ask(zone(namespace("shop"), *chain, service(f"e{aliases}", "10.9.0.1")), "e0.shop.svc")
    assert found.rcode == rcode
    assert len(found.records) == MAX_CHAIN + (rcode == "NOERROR")


@pytest.mark.parametrize("target", ["10.0.0.1", "10.0.0.1.", "fd00::1"])
def test_an_address_is_no_external_name(target: str) -> None:
    found = ask(zone(namespace("shop"), service("alias", external=target)), "alias.shop.svc")
    assert (found.rcode, found.reason) == ("NXDOMAIN", "external-name-is-address")


@pytest.mark.parametrize("name", ["x" * 64, "x" * 300])
def test_a_slice_of_what_can_be_no_service_names_nothing(name: str) -> None:
    cluster = zone(namespace("shop"), endpoints(name, endpoint("10.1.1.1")), reverse_networks=("10.0.0.0/8",))
    assert ask(cluster, "1.1.1.10.in-addr.arpa.", "PTR").rcode == "NXDOMAIN"
