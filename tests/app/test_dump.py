"""The zone as a master file: others read it back, and it is cut to what is wanted."""

from io import StringIO
from pathlib import Path
from typing import Any

import dns.rdataset
import dns.zone
import dnslib
import msgspec
import pytest
import trio

from dnsserver.app.dump import DumpError, lines_of, run
from dnsserver.app.explain_pages import explain_routes
from dnsserver.app.zone_at_hand import NoZoneError, zone_of
from dnsserver.config import Network, ServiceName
from dnsserver.config.changes import PARTS
from dnsserver.kube.documents import read
from dnsserver.server.admin import Admin, Request, Response
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone, Put
from tests.app.explaining import explaining
from tests.cluster import decoded, endpoint, endpoints, namespace, pod, service
from tests.running import config, running, write_objects

DEMO = Path(__file__).parents[2] / "zones" / "demo"
OBJECTS = Path(__file__).parents[1] / "conformance" / "objects.json"
SHOP = "shop.svc.cluster.local."


@pytest.fixture(scope="module")
def recorded() -> Cluster:
    cluster = Cluster(pods="verified")
    for thing in read(OBJECTS.read_bytes(), json=True).objects.values():
        cluster.apply(Put(thing), 0, 0)
    for kind in Kind:
        cluster.apply(ListDone(kind), 0, 0)
    return cluster


def test_dnspython_and_dnslib_read_the_same_back(recorded: Cluster) -> None:
    text = "\n".join(lines_of(recorded)) + "\n"
    zone = dns.zone.from_text(text, origin="cluster.local.", relativize=False)
    records = {(name.to_text(), rdata.rdtype, rdata.to_text()) for name, _, rdata in zone.iterate_rdatas()}
    assert len(records) == len(text.splitlines())
    read_by_dnslib = list(dnslib.RR.fromZone(text))
    assert len(read_by_dnslib) == len(records)
    assert {(str(record.rname), record.rtype) for record in read_by_dnslib} == {record[:2] for record in records}


def test_reverse_names_are_of_other_zones(recorded: Cluster) -> None:
    lines = list(lines_of(recorded, reverse=True))
    at = lines.index("; reverse names, which belong to other zones")
    assert at == len(list(lines_of(recorded)))
    assert {line.split()[3] for line in lines[at + 1 :]} == {"PTR"}
    zone = dns.zone.from_file(StringIO("\n".join(lines)), origin="cluster.local.", check_origin=True)
    assert len(zone.nodes) > 10


THINGS = [
    namespace("shop"),
    namespace("other"),
    service("web", "10.9.0.1", ports=[("http", "TCP", 80)]),
    service("db"),
    endpoints("db", endpoint("10.1.0.1", "db-0")),
    service("web", "10.9.0.3", namespace="other"),
    pod("p", "10.1.0.9"),
]


@pytest.fixture
def shop() -> Cluster:
    cluster = Cluster(pods="verified")
    for thing in THINGS:
        cluster.apply(Put(decoded(thing)), 0, 0)
    for kind in Kind:
        cluster.apply(ListDone(kind), 0, 0)
    return cluster


WEB = [f"web.{SHOP} 5 IN A 10.9.0.1", f"web.{SHOP} 5 IN SRV 0 100 80 web.{SHOP}"]
PORT = [f"_http._tcp.web.{SHOP} 5 IN A 10.9.0.1", f"_http._tcp.web.{SHOP} 5 IN SRV 0 100 80 web.{SHOP}"]
DB = [f"db.{SHOP} 5 IN A 10.1.0.1", f"db-0.db.{SHOP} 5 IN A 10.1.0.1"]
OTHER_WEB = ["web.other.svc.cluster.local. 5 IN A 10.9.0.3"]
POD = ["10-1-0-9.shop.pod.cluster.local. 5 IN A 10.1.0.9"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("shop", [*DB, *WEB, *PORT, *POD]),
        ("SHOP.", [*DB, *WEB, *PORT, *POD]),
        ("web.shop", [*WEB, *PORT]),
        ("web.shop.svc", [*WEB, *PORT]),
        ("shop/web", [*WEB, *PORT]),
        ("Shop/DB", DB),
        ("shop/none", ["; there are no records of shop/none: it is neither a namespace nor a name in one"]),
        (f"web.{SHOP}", [*WEB, *PORT]),
        ("_http._tcp.web.shop", PORT),
        ("db-0.db.shop", DB[1:]),
        ("shop.svc.cluster.local", [*DB, *WEB, *PORT]),
        ("shop.pod", POD),
        ("10-1-0-9.shop.pod.cluster.local", POD),
        ("1.0.9.10.in-addr.arpa", [f"1.0.9.10.in-addr.arpa. 5 IN PTR web.{SHOP}"]),
        ("none", ["; there are no records of none: it is neither a namespace nor a name in one"]),
        ("web.none", ["; there are no records of web.none: it is neither a namespace nor a name in one"]),
        ("svc.cluster.local", [*OTHER_WEB, *DB, *WEB, *PORT]),
        ("svc", [*OTHER_WEB, *DB, *WEB, *PORT]),
        ("pod.cluster.local", POD),
        ("x.cluster.local", None),
        ("x" * 60 + ".shop", None),
        (".", None),
    ],
)
def test_what_is_wanted(shop: Cluster, wanted: str, expected: list[str] | None) -> None:
    found = list(lines_of(shop, wanted))
    if expected is None:
        assert [line.partition(":")[0] for line in found] == [f"; there are no records of {wanted}"]
    else:
        assert found == expected


def test_each_line_is_printed_for_its_own_name_and_for_the_domain(shop: Cluster) -> None:
    shop.apply(Put(decoded(service("kube-dns", "10.9.0.10", namespace="kube-system"))), 0, 0)
    shop.apply(Put(decoded(namespace("kube-system"))), 0, 0)
    lines = list(lines_of(shop))
    assert list(lines_of(shop, "cluster.local")) == lines
    assert list(lines_of(shop, "dns.cluster.local")) == ["ns.dns.cluster.local. 5 IN A 10.9.0.10"]
    for line in lines:
        assert line in lines_of(shop, line.split()[0])


def test_short_names_are_those_of_services(shop: Cluster) -> None:
    for thing in (namespace("dns"), service("ns", "10.9.0.4", namespace="dns")):
        shop.apply(Put(decoded(thing)), 0, 0)
    assert list(lines_of(shop, "ns.dns")) == ["ns.dns.svc.cluster.local. 5 IN A 10.9.0.4"]


def test_what_cannot_be_printed(shop: Cluster) -> None:
    with pytest.raises(DumpError, match=r'name: found "[^"]*": the label'):
        list(lines_of(shop, "a..b"))
    for wanted in ("http://web.shop:80/x", "web.shop:80", "web.shop/x"):
        with pytest.raises(DumpError, match=f'name: found "{wanted}", expected a name alone, as in "web.shop"'):
            list(lines_of(shop, wanted))
    with pytest.raises(DumpError, match="the zone is not read yet: endpointslices, namespaces, services"):
        list(lines_of(Cluster()))


def test_by_objects_at_hand(tmp_path: Path) -> None:
    assert next(run(config(objects=DEMO), "web.shop", reverse=False)).startswith(f"web.{SHOP} 5 IN A ")
    with pytest.raises(DumpError, match="no such file or folder"):
        list(run(config(objects=tmp_path / "none"), "", reverse=False))


# Of each key that says how the cluster's names are answered, another value than its default.
OTHER: dict[str, Any] = {
    "ttl": 9,
    "pods": "disabled",
    "reverse_zones": (Network.parse("10.0.0.0/8"),),
    "service": ServiceName("shop", "web"),
    "kubernetes.grace": 77.0,
}
ASKED = [
    ("web.shop.svc.cluster.local", m.A),
    ("10-0-0-1.shop.pod.cluster.local", m.A),
    ("9.9.9.10.in-addr.arpa", m.PTR),
    ("ns.dns.cluster.local", m.A),
]


def behaviour(cluster: Cluster) -> object:
    """What the zone answers, and for how long it holds an address whose slice is gone."""
    answers = [cluster.answer(from_text(name), qtype) for name, qtype in ASKED]
    cluster.apply(Put(decoded(endpoints("db", "10.1.0.1"))), 0, 0)
    cluster.apply(Put(decoded(endpoints("db"))), 0, 0)
    found = [(answer.rcode, answer.answer) for answer in answers if answer is not None]
    return found, cluster.next_expiry


@pytest.mark.parametrize("key", [key for key, part in PARTS.items() if part == "cluster"])
async def test_the_zone_at_hand_answers_as_a_server_of_the_same_configuration(tmp_path: Path, key: str) -> None:
    objects = write_objects(tmp_path, [namespace("shop"), service("web", "10.9.0.1"), service("db")])
    usual, (first, *rest) = config(objects=objects), key.split(".")
    value = msgspec.structs.replace(getattr(usual, first), **{rest[0]: OTHER[key]}) if rest else OTHER[key]
    other = msgspec.structs.replace(usual, **{first: value})
    async with running(other) as server:
        served = behaviour(server.dns.cluster)
    assert behaviour(await zone_of(other)) == served
    assert behaviour(await zone_of(usual)) != served


async def test_a_zone_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(NoZoneError):
        await zone_of(config(kubeconfig=tmp_path / "none"))


async def test_a_large_zone_is_printed_between_other_work(tmp_path: Path) -> None:
    things = [
        namespace("shop"),
        *(service(f"web{number}", f"10.9.{number // 250}.{number % 250}") for number in range(3000)),
    ]
    async with explaining(tmp_path, things) as made:
        route = explain_routes(made.server, made.server.place)["/dump"]
        assert not route.open
        response = route.handle(Request("GET", "/dump", {}, {}, "127.0.0.1"))
        assert isinstance(response, Response)
        assert not isinstance(response.body, bytes | str)
        pieces = [piece async for piece in response.body]
        assert len(pieces) > 3
        assert len(b"".join(pieces).splitlines()) == 3002 + 2
        late = msgspec.structs.asdict(made.server.dns.replies.statistics())
        assert late["replies"] == 0  # nothing is kept of it


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"name": "a..b"}, 400, 'name: found "a..b": the label in front of a dot has 0 octets, expected 1 to 63\n'),
        ({"x": "y"}, 400, "?x: expected name, reverse\n"),
    ],
)
async def test_mistakes_over_http(tmp_path: Path, query: dict[str, str], status: int, text: str) -> None:
    async with explaining(tmp_path, [namespace("shop")]) as made:
        admin = Admin("", 0, explain_routes(made.server, made.server.place))
        response = admin.respond(Request("GET", "/dump", query, {"host": "localhost"}, "127.0.0.1"))
        assert isinstance(response, Response)
        assert (response.status, response.body) == (status, text)
        await trio.lowlevel.checkpoint()
