"""What the journal notes: each change of a Service or Namespace, as it was before and after, and nothing else."""

import sys

import pytest

from dnsserver.zone.cluster import Cluster
from dnsserver.zone.journal import EMPTIED, PENDING, ROW, ROWS, TOGETHER, Change, Journal
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Put, Remove
from tests.cluster import Thing, decoded, endpoint, endpoints, listed, namespace, service

SHOP = [
    namespace("shop"),
    service("web", "10.9.0.1"),
    endpoints("web", "10.0.0.1", "10.0.0.2", endpoint("10.0.0.3", ready=False)),
]
WEB = (b"shop", b"web")


class Noting:
    """A cluster whose changes are noted, and a clock."""

    def __init__(self, *things: Thing) -> None:
        self.cluster = Cluster()
        self.cluster.journal = self.journal = Journal(self.cluster.index)
        self.wall = 1000.0
        self.apply(*listed([*things]))

    def apply(self, *events: Event) -> None:
        for event in events:
            self.cluster.apply(event, 0.0, self.wall)

    def put(self, *things: Thing) -> None:
        self.apply(*(Put(decoded(thing)) for thing in things))

    @property
    def rows(self) -> list[Change]:
        return list(self.journal.changes())


@pytest.fixture
def shop() -> Noting:
    return Noting(*SHOP)


def test_the_first_lists_are_no_change(shop: Noting) -> None:
    assert shop.rows == []


@pytest.mark.parametrize("thing", SHOP, ids=lambda thing: str(thing["kind"]))
def test_what_comes_again_is_no_change(shop: Noting, thing: Thing) -> None:
    shop.put(thing)
    assert shop.rows == []


def test_a_list_that_shows_the_same_is_no_change(shop: Noting) -> None:
    shop.apply(*listed(SHOP))
    assert shop.rows == []


def test_endpoints_that_go_and_come_are_one_row_that_knows_the_lowest_number(shop: Noting) -> None:
    shop.put(endpoints("web"))
    shop.wall += 5
    shop.put(endpoints("web", "10.0.0.1"))
    shop.wall += 5
    shop.put(endpoints("web", "10.0.0.4", "10.0.0.5", "10.0.0.6"))
    (row,) = shop.rows
    assert (row.key, row.first, row.last, row.count, row.present) == (WEB, 1000, 1010, 3, 3)
    assert (row.before.ready, row.before.unready, row.fewest, row.after.ready, row.after.unready) == (2, 1, 0, 3, 0)
    assert row.worst == EMPTIED


def test_after_a_minute_there_is_another_row_and_the_last_one_comes_first(shop: Noting) -> None:
    shop.put(endpoints("web", "10.0.0.1"))
    shop.wall += TOGETHER
    shop.put(endpoints("web"))
    assert [(row.first, row.before.ready, row.after.ready) for row in shop.rows] == [(1060, 1, 0), (1000, 2, 1)]


def test_a_clock_that_is_set_back_begins_a_row(shop: Noting) -> None:
    shop.put(endpoints("web", "10.0.0.1"))
    shop.wall -= 10
    shop.put(endpoints("web"))
    assert [row.first for row in shop.rows] == [990, 1000]


def test_a_service_that_is_deleted_and_made_anew(shop: Noting) -> None:
    shop.apply(Remove(Kind.SERVICES, "shop", "web"))
    shop.put(service("web", "10.9.0.2"))
    (row,) = shop.rows
    assert (row.before.exists, row.after.exists, row.count, row.present) == (True, True, 2, 1)
    assert row.before.service != row.after.service


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (service("new", "10.9.0.9"), "ClusterIP"),
        (service("new"), "Headless"),
        (service("new", external="example.com"), "ExternalName"),
    ],
    ids=["ClusterIP", "Headless", "ExternalName"],
)
def test_a_service_that_comes(shop: Noting, thing: Thing, kind: str) -> None:
    shop.put(thing)
    (row,) = shop.rows
    assert (row.key, row.before.exists, row.after.exists) == ((b"shop", b"new"), False, True)
    assert row.after.service is not None
    assert row.after.service.kind == kind


def test_a_namespace_that_goes_and_its_things_do_not(shop: Noting) -> None:
    shop.apply(Remove(Kind.NAMESPACES, "", "shop"))
    (row,) = shop.rows
    assert (row.key, row.before.exists, row.after.exists) == ((b"shop", b""), True, False)


def test_what_a_later_list_no_longer_has(shop: Noting) -> None:
    shop.apply(
        ListStarted(Kind.SERVICES), ListDone(Kind.SERVICES), ListStarted(Kind.NAMESPACES), ListDone(Kind.NAMESPACES)
    )
    assert {(row.key, row.after.exists) for row in shop.rows} == {(WEB, False), ((b"shop", b""), False)}
    assert all(row.listed for row in shop.rows)


def test_what_a_list_brings_may_have_happened_before(shop: Noting) -> None:
    """Not so what comes meanwhile for another kind, nor a row that began with an event."""
    shop.put(service("early", "10.9.0.5"))
    shop.apply(ListStarted(Kind.SERVICES))
    shop.put(SHOP[1], service("early", "10.9.0.6"), service("late", "10.9.0.7"))
    shop.put(endpoints("web", "10.0.0.9"))
    shop.apply(ListDone(Kind.SERVICES))
    shop.put(service("after", "10.9.0.8"))
    assert {row.key[1]: row.listed for row in shop.rows} == {
        b"early": False, b"late": True, b"web": False, b"after": False
    }  # fmt: skip


def test_a_slice_that_goes_to_another_service_changes_both(shop: Noting) -> None:
    shop.put(endpoints("other", "10.0.0.1", name="web-1"))
    assert {row.key: (row.before.ready, row.after.ready) for row in shop.rows} == {
        WEB: (2, 0), (b"shop", b"other"): (0, 1)
    }  # fmt: skip


def test_rows_are_the_same_whenever_they_are_made(shop: Noting) -> None:
    """Each event that is asked about at once, beside all of them together."""
    at_once = Noting(*SHOP)
    for number in range(3 * PENDING):
        for each in (at_once, shop):
            each.wall += 1
            match number % 5:
                case 0:
                    each.apply(Remove(Kind.SERVICES, "shop", "web"))
                case 1:
                    each.put(service("web", f"10.9.0.{number % 7}"))
                case 2:
                    each.put(endpoints("web", *(f"10.0.0.{last}" for last in range(number % 11))))
                case 3:
                    each.apply(Remove(Kind.NAMESPACES, "", "shop"))
                case _:
                    each.put(namespace("shop"), service(f"other-{number % 3}"))
        assert at_once.rows
        assert len(shop.journal.pending) < PENDING
    assert list(map(str, shop.rows)) == list(map(str, at_once.rows))


def test_one_namespace_or_service_can_be_asked_for(shop: Noting) -> None:
    shop.put(namespace("bank"), service("web", "10.9.1.1", namespace="bank"), endpoints("web"), service("api"))
    for asked, found in {
        (): [b"api", b"web", b"web", b""],
        (b"bank",): [b"web", b""],
        (b"shop",): [b"api", b"web"],
        (b"shop", b"web"): [b"web"],
        (b"none",): [],
    }.items():
        assert [row.key[1] for row in shop.journal.changes(*asked)] == found


def test_the_oldest_row_goes_first_and_its_service_can_have_another(shop: Noting) -> None:
    shop.put(endpoints("web"))
    for number in range(ROWS):
        shop.put(service(f"new-{number}", "10.9.0.9"))
    assert len(shop.rows) == ROWS
    assert {row.key for row in shop.rows} == {(b"shop", f"new-{number}".encode()) for number in range(ROWS)}
    shop.put(endpoints("web", "10.0.0.1"))
    assert (shop.rows[0].key, shop.rows[0].before.ready, shop.rows[0].count) == (WEB, 0, 1)
    assert len(shop.rows) == ROWS


def test_from_when_on_all_changes_are_known(shop: Noting) -> None:
    """From the first lists on, or since the last moment of a row that had to go."""
    empty = Cluster()
    empty.journal = Journal(empty.index)
    empty.apply(ListStarted(Kind.SERVICES), 0.0, 900.0)
    assert empty.journal.since == 0
    assert shop.journal.since == 1000
    shop.wall += 5
    shop.put(endpoints("web", "10.0.0.1"))
    for number in range(ROWS):
        shop.wall += 1
        shop.put(service(f"new-{number}", "10.9.0.9"))
    assert len(shop.rows) == ROWS
    assert shop.journal.since == 1005


def test_a_row_takes_no_more_than_is_said(shop: Noting) -> None:
    """Two lives of a dual-stack Service with the longest name, whose row is all that is left of it."""
    name = "n" * 63
    shop.put(service(name, "255.255.255.255", "fd00::1"))
    shop.wall += TOGETHER
    shop.apply(Remove(Kind.SERVICES, "shop", name))
    shop.put(service(name, "255.255.255.254", "fd00::2"))
    row = shop.rows[0]
    values = [
        row,
        row.key,
        row.key[1],
        row.first,
        row.last,
        row.before,
        row.after,
        row.before.service,
        row.after.service,
    ]
    values += [
        each
        for shown in (row.before, row.after)
        if shown.service
        for each in (shown.service.addresses, *shown.service.addresses)
    ]
    in_dict_and_deque = 120
    assert sum(map(sys.getsizeof, values)) + in_dict_and_deque <= ROW
