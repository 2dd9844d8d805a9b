"""Services with odd objects: parts that no name can express are left out, and the rest is answered."""

import dns.message
import pytest

from tests.answering import synced
from tests.cluster import endpoint, endpoints, service


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
