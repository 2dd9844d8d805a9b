"""Endpoints that move: the last address of a name is kept for the moment between two writes, and nothing else is."""

import pytest

from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Event, Kind, Put, Remove
from dnsserver.zone.record import Key
from tests.answering import synced
from tests.cluster import Thing, decoded, endpoint, endpoints, namespace, service
from tests.zone.asking import ask, zone

HTTP = ("http", "TCP", 80)
DB = (b"shop", b"db")


def slice_of(name: str, *found: Thing | str) -> Thing:
    return endpoints("db", *found, name=name, ports=[HTTP])


class Moving:
    """A headless service of two named endpoints in slice `one`, and a clock."""

    def __init__(self, grace: float = 1.0) -> None:
        self.cluster: Cluster = zone(
            namespace("shop"),
            service("db"),
            slice_of("one", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", "db-1")),
            grace=grace,
        )
        self.now = 0.0

    def put(self, thing: Thing) -> set[Key]:
        return self.apply(Put(decoded(thing)))

    def remove(self, kind: Kind, name: str) -> set[Key]:
        return self.apply(Remove(kind, "" if kind is Kind.NAMESPACES else "shop", name))

    def apply(self, event: Event) -> set[Key]:
        return self.cluster.apply(event, self.now, 0)

    def wait(self, seconds: float) -> set[Key]:
        self.now += seconds
        return self.cluster.expire(self.now, 0)

    def addresses(self, label: str = "") -> set[str]:
        found = ask(self.cluster, f"{label}.db.shop.svc" if label else "db.shop.svc").records
        return {line.rpartition(" ")[2] for line in found}


@pytest.fixture
def moving() -> Moving:
    return Moving()


def test_an_endpoint_that_moves_is_never_missing(moving: Moving) -> None:
    moving.put(slice_of("one", endpoint("10.1.0.2", "db-1")))
    assert moving.addresses("db-0") == {"10.1.0.1"}
    moving.wait(0.4)
    assert moving.addresses("db-0") == {"10.1.0.1"}
    moving.put(slice_of("two", endpoint("10.1.0.1", "db-0")))
    assert moving.addresses("db-0") == {"10.1.0.1"}
    assert moving.addresses() == {"10.1.0.1", "10.1.0.2"}
    moving.wait(5)
    assert moving.addresses("db-0") == {"10.1.0.1"}
    assert moving.cluster.next_expiry is None


def test_one_that_does_not_come_back_is_gone_after_the_grace(moving: Moving) -> None:
    moving.put(slice_of("one", endpoint("10.1.0.2", "db-1")))
    assert moving.cluster.next_expiry == 1.0
    assert moving.wait(0.99) == set()
    assert moving.addresses("db-0") == {"10.1.0.1"}
    assert DB in moving.wait(0.01)
    assert moving.addresses("db-0") == set()


def test_other_names_show_a_removal_at_once(moving: Moving) -> None:
    assert DB in moving.put(slice_of("one", endpoint("10.1.0.2", "db-1")))
    assert moving.addresses() == {"10.1.0.2"}


def test_a_service_keeps_its_last_addresses(moving: Moving) -> None:
    moving.remove(Kind.ENDPOINTSLICES, "one")
    assert moving.addresses() == {"10.1.0.1", "10.1.0.2"}
    assert moving.addresses("db-0") == {"10.1.0.1"}
    srv = ask(moving.cluster, "_http._tcp.db.shop.svc", "SRV").records
    assert len(srv) == 2
    moving.wait(1)
    assert moving.addresses() == set()


def test_a_new_address_ends_the_grace_of_the_service_and_not_of_the_endpoints(moving: Moving) -> None:
    moving.remove(Kind.ENDPOINTSLICES, "one")
    moving.put(slice_of("two", endpoint("10.1.0.9", "db-9")))
    assert moving.addresses() == {"10.1.0.9"}
    assert moving.addresses("db-0") == {"10.1.0.1"}


# The endpoints after each step; what is said then if one slice has all of them, and if each has a slice of its own.
LAST: dict[str, tuple[list[list[str]], set[str], set[str]]] = {
    "they left at once": ([["10.1.0.1", "10.1.0.2"], []], {"10.1.0.1", "10.1.0.2"}, {"10.1.0.2"}),
    "one left before": ([["10.1.0.1", "10.1.0.2"], ["10.1.0.2"], []], {"10.1.0.2"}, {"10.1.0.2"}),
    "each was replaced": ([["10.1.0.1"], ["10.1.0.2"], ["10.1.0.3"], []], {"10.1.0.3"}, {"10.1.0.3"}),
    "another was the last before": ([["10.1.0.1"], [], ["10.1.0.2"], []], {"10.1.0.2"}, {"10.1.0.2"}),
    "it came back": ([["10.1.0.1"], [], ["10.1.0.2"], ["10.1.0.1"], []], {"10.1.0.1"}, {"10.1.0.1"}),
}


@pytest.mark.parametrize("case", LAST)
def test_a_service_without_endpoints_has_its_last_ones_and_none_older(case: str) -> None:
    steps, expected, _ = LAST[case]
    moving = Moving()
    for step in steps:
        moving.put(slice_of("one", *step))
        moving.wait(0.01)
    assert moving.addresses() == expected
    moving.wait(1)
    assert moving.addresses() == set()


@pytest.mark.parametrize("case", LAST)
def test_it_has_where_each_endpoint_has_a_slice_of_its_own(case: str) -> None:
    steps, _, expected = LAST[case]
    moving = Moving()
    moving.remove(Kind.ENDPOINTSLICES, "one")
    moving.wait(5)
    there: list[str] = []
    for step in steps:
        for address in step:
            if address not in there:
                moving.put(slice_of(address, address))
        for address in there:
            if address not in step:
                moving.remove(Kind.ENDPOINTSLICES, address)
        there = step
    assert moving.addresses() == expected


def test_another_address_under_the_same_name_replaces_it_at_once(moving: Moving) -> None:
    moving.put(slice_of("one", endpoint("10.1.0.7", "db-0"), endpoint("10.1.0.2", "db-1")))
    assert moving.addresses("db-0") == {"10.1.0.7"}


def test_an_endpoint_that_turns_not_ready_shows_at_once(moving: Moving) -> None:
    moving.put(slice_of("one", endpoint("10.1.0.1", "db-0", ready=False), endpoint("10.1.0.2", "db-1")))
    assert moving.addresses("db-0") == set()


def test_one_that_arrives_not_ready_ends_its_grace(moving: Moving) -> None:
    moving.put(slice_of("one", endpoint("10.1.0.2", "db-1")))
    moving.put(slice_of("two", endpoint("10.1.0.1", "db-0", ready=False)))
    assert moving.addresses("db-0") == set()


def test_a_deleted_service_or_namespace_shows_at_once(moving: Moving) -> None:
    moving.remove(Kind.ENDPOINTSLICES, "one")
    assert DB in moving.remove(Kind.SERVICES, "db")
    assert moving.addresses() == set()
    moving.put(service("db"))
    assert moving.addresses() == set()
    assert (b"shop",) in Moving().remove(Kind.NAMESPACES, "shop")


def test_a_service_of_cluster_ip_holds_its_endpoints_names_too() -> None:
    moving = Moving()
    moving.put(service("db", "10.96.0.1", ports=[HTTP]))
    moving.remove(Kind.ENDPOINTSLICES, "one")
    assert moving.addresses("db-0") == {"10.1.0.1"}
    assert moving.addresses() == {"10.96.0.1"}


def test_without_a_grace_nothing_is_held() -> None:
    moving = Moving(grace=0)
    moving.remove(Kind.ENDPOINTSLICES, "one")
    assert moving.addresses() == set()
    assert (moving.cluster.next_expiry, len(moving.cluster.retained)) == (None, 0)


def test_back_and_forth_starts_the_grace_anew(moving: Moving) -> None:
    without = slice_of("one", endpoint("10.1.0.2", "db-1"))
    moving.put(without)
    moving.wait(0.5)
    moving.put(slice_of("one", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", "db-1")))
    moving.wait(0.4)
    moving.put(without)
    moving.wait(0.3)  # 1.2 s after the first removal, 0.3 s after the second
    assert moving.addresses("db-0") == {"10.1.0.1"}
    moving.wait(0.7)
    assert moving.addresses("db-0") == set()


def test_a_change_costs_what_it_changes_and_not_its_square() -> None:
    cluster = Cluster(grace=1.0)
    made = synced(service("db"), cluster=cluster)
    parts = [
        endpoints("db", *(f"10.{part}.{n // 250}.{n % 250}" for n in range(1000)), name=f"db-{part}")
        for part in range(10)
    ]
    made.put(*parts)
    for part in parts:  # with a walk over all that is held for each endpoint this took a minute
        made.apply(Remove(Kind.ENDPOINTSLICES, "shop", part["metadata"]["name"]), 0)
    assert len(cluster.retained) == 10_000
    assert made.says("10-9-3-249.db.shop.svc.cluster.local") == ["10.9.3.249"]
    made.replies.drop(cluster.expire(1.0, 1))
    assert len(cluster.retained) == 0
    assert made.says("db.shop.svc.cluster.local") == ["NXDOMAIN"]


def test_an_endpoint_that_leaves_again_is_held_for_the_whole_grace_again() -> None:
    cluster = Cluster(grace=1.0)
    made = synced(service("db"), endpoints("db", "10.1.0.1"), cluster=cluster)
    gone, there = (Put(decoded(endpoints("db", *found))) for found in ([], ["10.1.0.1"]))
    for event, now in ((gone, 0.0), (there, 0.5), (gone, 0.9)):
        made.apply(event, now)
    for now, expected in ((1.0, ["10.1.0.1"]), (1.8, ["10.1.0.1"]), (1.9, ["NXDOMAIN"])):
        made.replies.drop(cluster.expire(now, 1))
        assert made.says("db.shop.svc.cluster.local") == expected
