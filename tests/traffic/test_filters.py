"""Which observed and which kept replies a filter wants."""

from ipaddress import ip_network
from typing import Any

import dns.message
import pytest

from dnsserver.traffic.filters import CLASSES, Class, Filter, prefixes
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from dnsserver.zone.record import Reason
from tests.traffic.seen import seen

ONES = {
    "success": seen(),
    "denial": seen(rcode=m.NXDOMAIN, records=False),
    "no data": seen(records=False),
    "error": seen(rcode=m.SERVFAIL, records=False),
    "drop": seen(rcode=m.DROP, records=False, flags=0),
    "turned away": seen(records=False, flags=m.QR | m.TC, reason=Reason("client-rate")),
    "slow": seen(seconds=0.7),
    "slow error": seen(seconds=0.7, rcode=m.SERVFAIL, records=False),
}
WANTED: dict[Class, set[str]] = {
    "all": set(ONES),
    "success": {"success", "slow"},
    "denial": {"denial", "no data"},
    "error": {"error", "drop", "turned away", "slow error"},
    "slow": {"slow", "slow error"},
}


@pytest.mark.parametrize("wanted", CLASSES)
def test_a_class_is_what_its_name_says(wanted: Class) -> None:
    of = Filter(frozenset((wanted,)), slow=0.5)
    assert {name for name, one in ONES.items() if of.wants(one)} == WANTED[wanted]


def test_classes_add_up() -> None:
    of = Filter(frozenset(("denial", "error")))
    assert {name for name, one in ONES.items() if of.wants(one)} == WANTED["denial"] | WANTED["error"]


EVERY: dict[str, Any] = {"classes": frozenset(("all",))}
FITS = [
    (Filter(**EVERY, below=(from_text("shop.svc.cluster.local"),)), {"name": from_text("WEB.Shop.svc.cluster.local")}),
    (Filter(**EVERY, below=(from_text("web.shop.svc.cluster.local"),)), {}),
    (Filter(**EVERY, below=(b"\0",)), {"name": b"\0"}),
    (Filter(**EVERY, types=frozenset((m.AAAA, m.A))), {"type": m.AAAA}),
    (Filter(**EVERY, rcodes=frozenset((m.DROP,))), {"rcode": m.DROP}),
    (Filter(**EVERY, clients=prefixes([ip_network("10.244.0.0/16")])), {}),
    (Filter(**EVERY, clients=prefixes([ip_network("fd00::/8"), ip_network("10.244.1.7/32")])), {}),
    (Filter(**EVERY, clients=prefixes([ip_network("fd00::/8")])), {"client": b"\xfd" + bytes(15)}),
    (Filter(**EVERY, clients=prefixes([ip_network("::/0")])), {"client": bytes(16)}),
    (Filter(**EVERY, took=0.2), {"seconds": 0.2}),
    (Filter(frozenset(("error", "success")), took=0.2), {"seconds": 0.3}),
    (Filter(frozenset(("error", "slow")), slow=0.2, took=0.2), {"seconds": 0.2}),
]
FAILS = [
    (Filter(**EVERY, below=(from_text("op.svc.cluster.local"),)), {}),  # no label ends there
    (Filter(**EVERY, below=(from_text("shop.svc.cluster.local"),)), {"name": from_text("svc.cluster.local")}),
    (Filter(**EVERY, below=(b"\0",)), {"name": b""}),  # what could not be read has no name
    (Filter(**EVERY, types=frozenset((m.AAAA,))), {}),
    (Filter(**EVERY, rcodes=frozenset((m.SERVFAIL,))), {}),
    (Filter(**EVERY, clients=prefixes([ip_network("10.245.0.0/16")])), {}),
    (Filter(**EVERY, clients=prefixes([ip_network("0.0.0.0/0")])), {"client": bytes(16)}),
    (Filter(frozenset(("error",)), types=frozenset((m.A,))), {}),
    (Filter(**EVERY, took=0.2), {"seconds": 0.19}),
    (Filter(frozenset(("error",)), took=0.2), {"seconds": 0.5}),
    (Filter(frozenset(("error",)), took=0.2), {"seconds": 0.0001, "rcode": m.SERVFAIL, "records": False}),
    (Filter(frozenset(("slow",)), slow=0.5, took=0.2), {"seconds": 0.3}),
]


@pytest.mark.parametrize(("of", "fields", "wants"), [(*row, True) for row in FITS] + [(*row, False) for row in FAILS])
def test_all_that_is_set_has_to_fit(of: Filter, fields: dict[str, Any], wants: bool) -> None:
    assert of.wants(seen(**fields)) is wants
    assert of.is_selective


@pytest.mark.parametrize("name", ["web.shop.svc.cluster.local", "example.com", "."])
@pytest.mark.parametrize("type_", ["A", "AAAA"])
@pytest.mark.parametrize(("rcode", "records"), [(0, True), (0, False), (3, False), (2, False)])
def test_what_is_wanted_when_it_is_seen_is_followed_when_it_is_kept(
    name: str, type_: str, rcode: int, records: bool
) -> None:
    query = dns.message.make_query(name, type_, use_edns=0)
    one = seen(name=from_text(name), type=int(query.question[0].rdtype), rcode=rcode, records=records)
    filters = [
        Filter(frozenset((wanted,)), slow=9.0, took=took, below=below, types=types, rcodes=rcodes)
        for wanted in CLASSES
        for took in (0.0, 0.2)
        for below in ((), (from_text("cluster.local"),))
        for types in (frozenset[int](), frozenset((m.A,)))
        for rcodes in (frozenset[int](), frozenset((m.NXDOMAIN,)))
    ]
    for of in filters:
        assert of.may_want(query.to_wire()[2:], rcode, records=records) is of.wants(one), of
