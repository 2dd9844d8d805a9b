"""All records of the zone are exactly the records that questions get."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.app.questions import of_cluster
from dnsserver.kube.documents import read
from dnsserver.wire import message as m
from dnsserver.wire.message import RRset
from dnsserver.wire.name import from_text
from dnsserver.zone import rrsets
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Event, Kind, ListDone, Put
from tests.cluster import decoded, endpoint, endpoints, namespace, pod, service
from tests.universe import events

OBJECTS = Path(__file__).parents[1] / "conformance" / "objects.json"


def listed(cluster: Cluster) -> Cluster:
    for kind in Kind:
        cluster.apply(ListDone(kind), 0, 0)
    return cluster


def everything(cluster: Cluster) -> list[RRset]:
    parts = (rrsets.of_apex, rrsets.of_services, rrsets.of_pods, rrsets.of_addresses)
    return [rrset for part in parts for rrset in part(cluster)]


def agrees(cluster: Cluster) -> None:
    """Check that the records are exactly those that questions get."""
    found = {(rrset.name, rrset.type): rrset for rrset in everything(cluster)}
    for (name, type_), rrset in found.items():
        answer = cluster.answer(name, type_)
        assert answer is not None
        (same,) = (each for each in answer.answer if (each.name, each.type) == (name, type_))
        assert (same.ttl, sorted(same.rdatas)) == (rrset.ttl, sorted(rrset.rdatas))
    for question in of_cluster(cluster.index, cluster.domain, pods=False):
        answer = cluster.answer(question.name, question.type)
        own = () if answer is None or answer.rcode else answer.answer
        for rrset in own:
            if (rrset.name, rrset.type) == (question.name, question.type):
                assert (rrset.name, rrset.type) in found


@pytest.mark.parametrize("ttl", [0, 5, 90])
@pytest.mark.parametrize("pods", ["insecure", "verified"])
def test_of_the_cluster_that_is_recorded(pods: str, ttl: int) -> None:
    cluster = Cluster(pods=pods, grace=1.0, ttl=ttl)
    for thing in read(OBJECTS.read_bytes(), json=True).objects.values():
        cluster.apply(Put(thing), 0, 0)
    agrees(listed(cluster))


@given(st.lists(events, max_size=20), st.integers(0, 3600))
def test_of_any_cluster(happened: list[Event], ttl: int) -> None:
    cluster = Cluster(pods="verified", ttl=ttl)
    for event in happened:
        cluster.apply(event, 0, 0)
    agrees(listed(cluster))


def test_names_that_are_too_long_and_what_goes_while_it_is_printed() -> None:
    cluster = listed(Cluster())
    things = [
        namespace("shop"),
        service("a"),
        *(endpoints("a", endpoint("10.1.0.1", "h" * 63), name=f"a-{number}") for number in range(2)),
        service("b", "10.9.0.2", ports=[("p" * 15, "TCP", 80)]),
        pod("p", "10.1.0.9", namespace="shop"),
    ]
    for thing in things:
        cluster.apply(Put(decoded(thing)), 0, 0)
    going = rrsets.of_services(cluster)
    assert next(going).name == from_text("a.shop.svc.cluster.local")
    cluster.index.remove_service((b"shop", b"b"))
    cluster.index.remove_namespace(b"shop")
    assert all(rrset.name.endswith(from_text("a.shop.svc.cluster.local")) for rrset in going)
    assert list(rrsets.of_service(cluster, (b"shop", b"a"))) == []


def test_a_large_service_has_a_record_for_each_endpoint() -> None:
    cluster = listed(Cluster())
    cluster.apply(Put(decoded(namespace("shop"))), 0, 0)
    cluster.apply(Put(decoded(service("big"))), 0, 0)
    for part in range(30):
        found = [endpoint(f"10.{part}.{number}.1", f"h-{part}-{number}") for number in range(100)]
        cluster.apply(Put(decoded(endpoints("big", *found, name=f"big-{part}", ports=[("p", "TCP", 1)]))), 0, 0)
    records = list(rrsets.of_service(cluster, (b"shop", b"big")))
    assert len([rrset for rrset in records if rrset.type == m.A]) == 3000 + 2  # its own, and its port's
