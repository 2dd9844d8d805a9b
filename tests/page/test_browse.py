"""The content of the zone, page by page, and how long a page blocks the server."""

import gc
import time
from collections.abc import Iterable

import msgspec
import pytest
import trio

from dnsserver.page import browse
from dnsserver.page.browse import Slice
from dnsserver.wire import name as names
from dnsserver.wire.message import type_name
from dnsserver.zone import rrsets
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind
from tests.cluster import Thing, endpoint, endpoints, listed, namespace, service

PORTS = [("http", "TCP", 80), ("", "UDP", 53)]
SHOP = [
    namespace("shop"),
    namespace("empty"),
    service("web", "10.96.0.20", "fd00::20", ports=PORTS),
    endpoints("web", "10.244.0.1", endpoint("10.244.0.2", ready=False), ports=PORTS),
    service("database", ports=[("postgres", "TCP", 5432)]),
    endpoints("database", endpoint("10.244.1.40", "database-0"), "10.244.1.41", ports=[("postgres", "TCP", 5432)]),
    service("outside", external="www.example.com"),
    endpoints("orphan", "10.244.2.1"),
    service("elsewhere", "10.96.0.9", namespace="gone"),
]


def cluster(things: Iterable[Thing] = SHOP) -> Cluster:
    found = Cluster()
    for event in listed(things):
        found.apply(event, 0.0, 0.0)
    return found


async def test_namespaces_and_where_a_name_is() -> None:
    found = await browse.namespaces(cluster(), Slice())
    assert [(row.name, row.exists, row.services) for row in found.rows] == [
        ("empty", True, 0), ("gone", False, 1), ("shop", True, 4)
    ]  # fmt: skip
    assert (found.total, found.services_total, found.services) == (3, 0, ())
    found = await browse.namespaces(cluster(), Slice(" E"))
    assert [row.name for row in found.rows] == ["empty", "gone"]
    assert [(row.namespace, row.name) for row in found.services] == [
        ("gone", "elsewhere"), ("shop", "database"), ("shop", "outside"), ("shop", "web")
    ]  # fmt: skip


async def test_services_of_a_namespace() -> None:
    found = await browse.services(cluster(), "SHOP", Slice())
    assert found.exists
    assert [(row.name, row.kind, row.addresses, row.ports, row.ready, row.unready) for row in found.rows] == [
        ("database", "Headless", (), ("postgres 5432/tcp",), 2, 0),
        ("orphan", "", (), (), 1, 0),
        ("outside", "ExternalName", (), (), 0, 0),
        ("web", "ClusterIP", ("10.96.0.20", "fd00::20"), ("http 80/tcp", "53/udp"), 1, 1),
    ]
    found = await browse.services(cluster(), "shop", Slice("at"))
    assert [row.name for row in found.rows] == ["database"]
    found = await browse.services(cluster(), "nowhere", Slice())
    assert (found.exists, found.total) == (False, 0)


async def test_a_service_its_endpoints_and_its_records() -> None:
    found = await browse.service(cluster(), "shop", "database", Slice())
    assert found is not None
    assert [(row.address, row.hostname, row.name, row.slice) for row in found.endpoints] == [
        ("10.244.1.40", "database-0", "database-0.database.shop.svc.cluster.local.", "database-1"),
        ("10.244.1.41", "", "10-244-1-41.database.shop.svc.cluster.local.", "database-1"),
    ]
    own = "database.shop.svc.cluster.local."
    assert [(record.name, record.type, record.data) for record in found.records] == [
        (own, "A", ("10.244.1.40", "10.244.1.41")),
        (own, "AAAA", ()),
        (f"_postgres._tcp.{own}", "SRV", (f"0 50 5432 database-0.{own}", f"0 50 5432 10-244-1-41.{own}")),
        (own, "SRV", (f"0 50 5432 database-0.{own}", f"0 50 5432 10-244-1-41.{own}")),
        (f"database-0.{own}", "A", ("10.244.1.40",)),
        (f"database-0.{own}", "SRV", (f"0 100 5432 database-0.{own}",)),
        (f"10-244-1-41.{own}", "A", ("10.244.1.41",)),
        (f"10-244-1-41.{own}", "SRV", (f"0 100 5432 10-244-1-41.{own}",)),
    ]
    assert (found.records[1].reason, found.records[1].rcode) == ("no-address-of-family", "NOERROR")
    assert found.records[1].meaning == "the Service exists, but has no address of this family"


@pytest.mark.parametrize(
    ("name", "records"),
    [
        (
            "web",
            [
                ("A", ("10.96.0.20",)),
                ("AAAA", ("fd00::20",)),
                ("SRV", ("0 100 80 web.shop.svc.cluster.local.",)),
                ("SRV", ("0 50 80 web.shop.svc.cluster.local.", "0 50 53 web.shop.svc.cluster.local.")),
                ("A", ("10.244.0.1",)),
                ("SRV", tuple(f"0 50 {port} 10-244-0-1.web.shop.svc.cluster.local." for port in (80, 53))),
            ],
        ),
        ("outside", [("CNAME", ("www.example.com.",))]),
        ("orphan", []),
    ],
)
async def test_records_by_kind_of_service(name: str, records: list[tuple[str, tuple[str, ...]]]) -> None:
    found = await browse.service(cluster(), "shop", name, Slice())
    assert found is not None
    assert [(record.type, record.data) for record in found.records] == records


@pytest.mark.parametrize("name", ["web", "database", "outside"])
async def test_records_are_those_of_dump(name: str) -> None:
    made = cluster()
    found = await browse.service(made, "shop", name, Slice())
    assert found is not None
    here = {(record.name, record.type) for record in found.records if record.data}
    dumped = {
        (names.to_text(each.name), type_name(each.type)) for each in rrsets.of_service(made, (b"shop", name.encode()))
    }
    assert here <= dumped
    assert all(owner.startswith("_") for owner, _ in dumped - here)  # the addresses of a port's name


async def test_where_endpoints_are_that_are_not_ready() -> None:
    found = await browse.service(cluster(), "shop", "web", Slice())
    assert found is not None
    assert (found.unready_in, found.row.unready) == (("web-1",), 1)
    assert [row.name for row in found.endpoints] == ["10-244-0-1.web.shop.svc.cluster.local."]
    found = await browse.service(cluster(), "shop", "database", Slice())
    assert found is not None
    assert found.unready_in == ()


async def test_what_is_not_there() -> None:
    assert await browse.service(cluster(), "shop", "nothing", Slice()) is None
    assert await browse.service(cluster(), "nowhere", "web", Slice()) is None
    found = await browse.service(cluster(), "gone", "elsewhere", Slice())
    assert found is not None
    assert (found.records[0].rcode, found.records[0].reason) == ("NXDOMAIN", "namespace-missing")


async def test_endpoints_are_paged_and_filtered() -> None:
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(1000)]
    things = [namespace("shop"), service("big"), endpoints("big", *addresses)]
    found = await browse.service(cluster(things), "shop", "big", Slice("", 950, 100))
    assert found is not None
    assert (found.total, [row.address for row in found.endpoints]) == (1000, addresses[950:])
    assert (len(found.records[0].data), found.records[0].more) == (20, 980)
    found = await browse.service(cluster(things), "shop", "big", Slice("10.0.3.9", 0, 5))
    assert found is not None
    assert (found.total, found.endpoints[0].address) == (11, "10.0.3.9")


async def test_names_that_are_no_names_are_shown_as_they_are() -> None:
    odd, long = '<img src=x onerror="alert(1)">', "x" * 63
    things = [namespace(odd), service(odd, "10.0.0.1", namespace=odd, ports=[("a" * 63, "TCP", 1)])]
    things += [service(long, namespace=long), endpoints(long, endpoint("10.0.0.1", long), namespace=long)]
    found = await browse.service(cluster(things), odd, odd, Slice())
    assert found is not None
    assert found.row.name == odd
    assert [record.type for record in found.records] == ["A", "AAAA", "SRV"]  # a port of 63 octets has no name
    assert await browse.service(cluster(things), long, long, Slice()) is not None
    assert msgspec.json.decode(msgspec.json.encode(found))["row"]["name"] == odd


class Steps(trio.abc.Instrument):
    """Measures the longest that a task ran without letting others run."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = time.thread_time()

    def before_task_step(self, _: trio.lowlevel.Task) -> None:
        self._began = time.thread_time()

    def after_task_step(self, _: trio.lowlevel.Task) -> None:
        self.longest = max(self.longest, time.thread_time() - self._began)


@pytest.fixture(scope="module")
def large() -> Cluster:
    """1,000 namespaces, 10,000 services, one of them with 5,000 endpoints."""
    things: list[Thing] = []
    for number in range(1000):
        things.append(namespace(f"team-{number}"))
        for one in range(10):
            things.append(service(f"web-{one}", f"10.{number >> 8}.{number & 255}.{one}", namespace=f"team-{number}"))
            things.append(endpoints(f"web-{one}", "10.9.9.9", "10.9.9.8", namespace=f"team-{number}"))
    things.append(service("big", namespace="team-1"))
    things += [
        endpoints("big", *(f"10.20.{part}.{number}" for number in range(100)), name=f"big-{part}", namespace="team-1")
        for part in range(50)
    ]
    return cluster(things)


@pytest.mark.parametrize("text", ["", "e", "web-7", "team-99", "nothing"])
async def test_ten_thousand_services_hold_up_nobody(large: Cluster, text: str) -> None:
    assert large.index.count(Kind.SERVICES) == 10_001
    gc.disable()  # the server spares the zone; here it would be looked through in the middle of a step
    try:
        longest = min([await longest_step(large, text) for _ in range(3)])  # of a machine that is busy otherwise
    finally:
        gc.enable()
    assert longest < 0.02  # seconds of processor time: 3 to 7 ms of 30, or of 250 for all namespaces


async def longest_step(large: Cluster, text: str) -> float:
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    for wanted in (Slice(text), Slice(text, 900, browse.MOST)):
        await trio.lowlevel.checkpoint()
        await browse.namespaces(large, wanted)
        await trio.lowlevel.checkpoint()
        await browse.services(large, "team-1", wanted)
        await trio.lowlevel.checkpoint()
        await browse.service(large, "team-1", "big", wanted)
    trio.lowlevel.remove_instrument(steps)
    return steps.longest
