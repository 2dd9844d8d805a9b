"""What `/changes` says of a change in words."""

import pytest

from dnsserver.page.changes import MOST, ChangeList, changes
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.journal import TOGETHER, Journal
from dnsserver.zone.model import Event, Kind, ListDone, ListDropped, ListStarted, Put, Remove
from tests.cluster import Thing, decoded, endpoint, endpoints, listed, namespace, service

SHOP = [
    namespace("shop"),
    service("web", "10.9.0.1", ports=[("http", "TCP", 80)]),
    endpoints("web", "10.0.0.1", "10.0.0.2"),
    service("db"),
    endpoints("db", "10.0.1.1"),
    service("mail", external="mail.example.com"),
]
NO_WEB = Remove(Kind.SERVICES, "shop", "web")
NO_SHOP = Remove(Kind.NAMESPACES, "", "shop")


def put(thing: Thing) -> Event:
    return Put(decoded(thing))


def after(*steps: Event | float) -> Journal:
    """Return the journal after these events, and seconds between them."""
    cluster, wall = Cluster(), 1000.0
    for event in listed(SHOP):
        cluster.apply(event, 0.0, wall)
    cluster.journal = Journal(cluster.index)
    for step in steps:
        if isinstance(step, float):
            wall += step
        else:
            cluster.apply(step, 0.0, wall)
    return cluster.journal


def said(journal: Journal, **wanted: object) -> ChangeList:
    asked: dict[str, object] = {"namespace": None, "service": None, "since": 0.0, "limit": MOST}
    return changes(journal, 2000.0, **asked | wanted)  # type: ignore[arg-type]


LISTED = "it may have happened earlier, as it was seen when all was read anew"
WORDS: dict[str, tuple[list[Event | float], tuple[str, ...], bool]] = {
    "created": ([put(service("api", "10.9.0.7"))], ("created: ClusterIP 10.9.0.7, 0 ready addresses",), False),
    "created with endpoints": (
        [put(endpoints("api", "10.0.2.1")), put(service("api"))], ("created: Headless, 1 ready address",), False,
    ),
    "an alias": ([put(service("x", external="example.com"))], ("created: ExternalName example.com",), False),
    "deleted": ([NO_WEB], ("deleted: it was ClusterIP 10.9.0.1, 2 ready addresses",), True),
    "a namespace": ([NO_SHOP], ("deleted: it was a Namespace",), True),
    "a namespace again": ([NO_SHOP, put(SHOP[0])], ("deleted and created again",), True),
    "a new namespace": ([put(namespace("bank"))], ("created: a Namespace",), False),
    "created and deleted": (
        [put(service("api")), Remove(Kind.SERVICES, "shop", "api")], ("created and deleted",), True,
    ),
    "the same again": ([NO_WEB, put(SHOP[1])], ("deleted and created again",), True),
    "another address": (
        [NO_WEB, put(service("web", "10.9.0.2", ports=[("http", "TCP", 80)]))],
        ("deleted and created again", "addresses 10.9.0.1 → 10.9.0.2"), True,
    ),
    "headless": (
        [put(service("web", ports=[("http", "TCP", 80)]))],
        ("ClusterIP → Headless", "addresses 10.9.0.1 → none"), False,
    ),
    "another alias": (
        [put(service("mail", external="m2.example.com"))],
        ("external name mail.example.com → m2.example.com",), False,
    ),
    "ports": (
        [put(service("web", "10.9.0.1", ports=[("http", "TCP", 81)]))], ("ports http 80/TCP → http 81/TCP",), False,
    ),
    "more ports": (
        [put(service("web", "10.9.0.1", ports=[("http", "TCP", 80), ("dns", "UDP", 53)]))],
        ("ports none → dns 53/UDP",), False,
    ),
    "many ports": (
        [put(service("web", "10.9.0.1", ports=[(f"p{number}", "TCP", number) for number in range(1, 8)]))],
        ("ports http 80/TCP → p1 1/TCP, p2 2/TCP, p3 3/TCP, p4 4/TCP and 3 more",), False,
    ),
    "fewer": ([put(endpoints("web", "10.0.0.1"))], ("ready addresses 2 → 1",), False),
    "none": (
        [put(endpoints("web", endpoint("10.0.0.1", ready=False)))], ("ready addresses 2 → 0", "not ready 0 → 1"), True,
    ),
    "none for a moment": (
        [put(endpoints("web")), 5.0, put(endpoints("web", "10.0.0.1", "10.0.0.2"))],
        ("ready addresses 2 → 0 → 2",), True,
    ),
    "fewer for a moment": (
        [put(endpoints("web", "10.0.0.1")), put(endpoints("web", "10.0.0.1", "10.0.0.2", "10.0.0.3"))],
        ("ready addresses 2 → 1 → 3",), False,
    ),
    "others": (
        [put(endpoints("web", "10.0.0.1", "10.0.0.9"))],
        ("other endpoints, or other ports of them; as many as before",), False,
    ),
    "deleted during an outage": (
        [ListStarted(Kind.SERVICES), put(SHOP[3]), put(SHOP[5]), ListDone(Kind.SERVICES)],
        ("deleted: it was ClusterIP 10.9.0.1, 2 ready addresses", LISTED), True,
    ),
    "after a check that was put off": (
        [ListStarted(Kind.SERVICES), ListDropped(Kind.SERVICES), put(service("api", "10.9.0.7"))],
        ("created: ClusterIP 10.9.0.7, 0 ready addresses",), False,
    ),
    "no Service": (
        [put(endpoints("lost", "10.0.3.1"))], ("there is no Service of that name", "ready addresses 0 → 1"), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WORDS)
def test_in_words(what: str) -> None:
    steps, words, broken = WORDS[what]
    (row,) = said(after(*steps)).rows
    assert (row.what, row.broken) == (words, broken)


def test_rows_have_their_times_and_their_number_of_events() -> None:
    found = said(after(put(endpoints("web", "10.0.0.1")), 7.0, put(endpoints("web", "10.0.0.3"))))
    (row,) = found.rows
    assert (row.namespace, row.service, row.first, row.last, row.count) == ("shop", "web", 1000.0, 1007.0, 2)
    assert (found.now, found.most) == (2000.0, MOST)


NO_PODS = put(endpoints("web"))
FEWER = put(endpoints("web", "10.0.0.1"))


@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        (
            [put(service("api", "10.9.0.7")), 40.0, Remove(Kind.SERVICES, "shop", "api")],
            [("created", 0), ("deleted", 40)],
        ),
        ([put(service("web", "10.9.0.1")), 20.0, NO_WEB], [("ports", 0), ("deleted", 20)]),
        ([put(service("web", "10.9.0.1")), 20.0, NO_PODS], [("ports", 0), ("ready addresses 2 → 0", 20)]),
        ([NO_PODS, 20.0, NO_WEB], [("ready addresses 2 → 0", 0), ("deleted", 20)]),
        ([NO_PODS, 0.5, NO_WEB], [("deleted: it was ClusterIP 10.9.0.1, 2 ready", 0)]),
        ([NO_WEB, 20.0, NO_PODS], [("deleted", 0)]),
        ([NO_PODS, 20.0, FEWER, 10.0, NO_PODS], [("ready addresses 2 → 0", 0)]),
        ([NO_WEB, 5.0, put(SHOP[1]), 5.0, NO_WEB], [("deleted", 0)]),
        ([FEWER, 50.0, NO_PODS, 50.0, FEWER], [("ready addresses 2 → 1", 0), ("ready addresses 1 → 0 → 1", 50)]),
    ],
)
def test_what_breaks_a_service_begins_a_row_so_that_its_time_is_told(
    steps: list[Event | float], rows: list[tuple[str, float]]
) -> None:
    """Once for each degree, so that what breaks again and again takes no more rows."""
    found = list(reversed(said(after(*steps)).rows))
    assert [(row.first - 1000.0) for row in found] == [when for _, when in rows]
    for row, (words, _) in zip(found, rows, strict=True):
        assert "; ".join(row.what).startswith(words)


@pytest.mark.parametrize(
    ("wanted", "absent"),
    [
        ({}, False),
        ({"namespace": "shop"}, False),
        ({"namespace": "SHOP", "service": "Web"}, False),
        ({"namespace": "shop", "service": "wbe"}, True),
        ({"namespace": "bank"}, True),
    ],
)
def test_what_is_not_there_is_told(wanted: dict[str, object], absent: bool) -> None:
    assert said(after(), **wanted).absent is absent


@pytest.mark.parametrize(
    ("wanted", "services"),
    [
        ({}, ["mail", "web", "db"]),
        ({"limit": 2}, ["mail", "web"]),
        ({"since": 1005.0}, ["mail", "web"]),
        ({"since": 1000.0 + 3 * TOGETHER}, []),
        ({"namespace": "SHOP", "service": "Web"}, ["web"]),
        ({"namespace": "bank"}, []),
    ],
)
def test_what_is_wanted(wanted: dict[str, object], services: list[str]) -> None:
    """A row that was not over at `since` is shown."""
    steps = [put(endpoints("db")), 1.0, put(endpoints("web")), 9.0, put(endpoints("web", "10.0.0.1")), TOGETHER]
    found = said(after(*steps, put(service("mail", external="x.org"))), **wanted)
    assert [row.service for row in found.rows] == services
