"""Which client asks what: counted from real questions, and shown by `/top` and `/failures`."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import msgspec
import pytest
import trio

from dnsserver.app.server import Server
from dnsserver.app.traffic import LISTS
from dnsserver.app.traffic_pages import traffic_routes
from dnsserver.config import Domain
from dnsserver.config import model as configured
from dnsserver.server.admin import Admin, Request, Response
from dnsserver.traffic.gathered import Gathered
from dnsserver.traffic.report import FailureList, Top
from dnsserver.traffic.sampler import Sample
from dnsserver.traffic.who_asks import SLOW
from tests.app.reloading import WEB, reloading
from tests.cluster import endpoints, namespace, pod, service
from tests.forward.scripted import Query, upstream
from tests.running import HOST, config, port_of, running, upstream_at, write_objects

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
ODD = r"[red]\000odd\255.example"


class Asked:
    """A server that was asked, and its pages."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.admin = Admin(HOST, 0, traffic_routes(server.traffic))

    async def ask(self, name: str, host: str = HOST, times: int = 1) -> None:
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind((host, 0))
            await sock.connect((HOST, port_of(self.server)))
            for _ in range(times):
                await sock.send(dns.message.make_query(name, "A", use_edns=0).to_wire())
                await sock.recv(4096)

    async def count(self) -> None:
        """Count the questions that were asked."""
        await self.server.dns.digest.tell()
        await self.server.traffic.count()

    async def get(self, path: str, asker: str = HOST, **query: str) -> Response:
        found = self.admin.respond(Request("GET", path, query, {"host": "127.0.0.1"}, asker, HOST))
        return found if isinstance(found, Response) else await found

    async def top(self, **query: str) -> Top:
        found = await self.get("/top", **query)
        assert isinstance(found.body, bytes), found.body
        return msgspec.json.decode(found.body, type=Top)

    async def failures(self, **query: str) -> FailureList:
        found = await self.get("/failures", **query)
        assert isinstance(found.body, bytes), found.body
        return msgspec.json.decode(found.body, type=FailureList)


async def outside(query: Query) -> None:
    """Answer as the name says."""
    match query.name.partition(".")[0].lower():
        case "gone":
            await query.send(query.reply(rcode=dns.rcode.NXDOMAIN))
        case "broken":
            await query.send(query.reply(rcode=dns.rcode.SERVFAIL))
        case slow:
            await trio.sleep(1.2 * SLOW if slow == "slow" else 0)
            await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))


@asynccontextmanager
async def asked(folder: Path, **settings: Any) -> AsyncIterator[Asked]:
    """Run a server whose clients have names, and whose outside answers."""
    things = [
        namespace("shop"), service("web", "10.9.0.1"), service("head"), endpoints("head", HOSTS[1]),
        pod("front", HOSTS[0]), pod("node-a", HOSTS[2]), pod("node-b", HOSTS[2]),
    ]  # fmt: skip
    async with upstream(outside) as there:
        settings = {"upstreams": upstream_at(there.port), "pods": "verified", **settings}
        async with running(config(objects=write_objects(folder, things), **settings)) as server:
            await server.traffic.count()
            yield Asked(server)


async def test_every_list_has_what_was_asked(tmp_path: Path) -> None:
    async with asked(tmp_path) as run:
        await run.ask("Web.shop.svc.cluster.local", HOSTS[0], 6)
        await run.ask("none.shop.svc.cluster.local", HOSTS[1], 3)
        for name in ("slow.example", "gone.example", "broken.example", ODD):
            await run.ask(name, HOSTS[2])
        await run.count()
        top = await run.top()
    assert top.clients is not None
    assert [(row.client, row.pods, row.services, row.count, row.plus_minus) for row in top.clients.items] == [
        (HOSTS[0], ("shop/front",), (), 6, 0),
        (HOSTS[2], ("shop/node-a", "shop/node-b"), (), 4, 0),
        (HOSTS[1], (), ("shop/head",), 3, 0),
    ]
    assert (top.clients.total, top.clients.slack, top.one_in) == (13, 0, 1)
    assert round(sum(row.share for row in top.clients.items), 2) == 1.0
    assert top.names is not None
    names = [(row.name, row.count) for row in top.names.items]
    assert names[:2] == [("web.shop.svc.cluster.local.", 6), ("none.shop.svc.cluster.local.", 3)]
    assert sorted(names[2:]) == [
        (r"[red]\000odd\255.example.", 1), ("broken.example.", 1), ("gone.example.", 1), ("slow.example.", 1)
    ]  # fmt: skip
    assert top.missing is not None
    assert [(row.name, row.count, row.reason) for row in top.missing.items] == [
        ("none.shop.svc.cluster.local.", 3, "service-missing"),
        ("gone.example.", 1, "forwarded"),
    ]
    assert top.slow is not None
    assert [(row.name, row.count) for row in top.slow.items] == [("slow.example.", 1)]
    assert SLOW < top.slow.items[0].longest < 10 * SLOW
    assert top.upstreams is not None
    (row,) = top.upstreams.items
    assert (row.up, row.looping, row.queries >= 4) == (True, False, True)
    assert row.causes["SERVFAIL"] >= 1
    assert (top.server.ready, top.server.verdict, top.server.stale, top.server.processes) == (True, "ready", False, 1)


@pytest.mark.parametrize("silent", ["a.example", "a.corp.test"])
async def test_an_upstream_of_two_domains_is_one_row_with_what_is_known_of_both(silent: str, tmp_path: Path) -> None:
    async def of_one_domain(query: Query) -> None:
        if query.name.lower().endswith("corp.test.") != (silent == "a.corp.test"):
            await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))

    async with upstream(of_one_domain) as there:
        there.script_probes = of_one_domain
        both = upstream_at(there.port)
        forward = (configured.Forward(Domain.parse("corp.test"), both),)
        async with asked(tmp_path, upstreams=both, forward=forward) as run:
            await run.ask("a.example")
            await run.ask("a.corp.test")
            top = await run.top()
    assert top.upstreams is not None
    (row,) = top.upstreams.items
    assert (row.up, row.looping, row.rtt > 0, row.p95 > 0) == (False, False, True, True)


async def test_a_client_leads_to_its_names_and_a_name_to_its_clients(tmp_path: Path) -> None:
    async with asked(tmp_path) as run:
        await run.ask("Web.shop.svc.cluster.local", HOSTS[0], 6)
        await run.ask("none.shop.svc.cluster.local", HOSTS[0], 2)
        await run.ask("web.shop.svc.cluster.local", HOSTS[1], 3)
        await run.count()
        one, web = await run.top(client=HOSTS[0]), await run.top(name="web.SHOP.svc.cluster.local", window="15")
        nobody, nothing = await run.top(client="fd00::1"), await run.top(name="x.example")
    assert one.names is not None
    assert web.clients is not None
    assert [(row.name, row.count, row.share, row.reason) for row in one.names.items] == [
        ("web.shop.svc.cluster.local.", 6, 0.75, ""), ("none.shop.svc.cluster.local.", 2, 0.25, "service-missing")
    ]  # fmt: skip
    assert [(row.client, row.pods, row.services, row.count) for row in web.clients.items] == [
        (HOSTS[0], ("shop/front",), (), 6), (HOSTS[1], (), ("shop/head",), 3)
    ]  # fmt: skip
    assert (one.asks, one.clients, web.asked, web.names) == (HOSTS[0], None, "web.shop.svc.cluster.local.", None)
    assert (one.names.total, web.clients.total) == (8, 9)
    for none in (nobody.names, nothing.clients):
        assert none is not None
        assert (none.total, none.items) == (0, ())


async def test_failures_have_their_reasons_and_equal_ones_are_one(tmp_path: Path) -> None:
    async with asked(tmp_path) as run:
        await run.ask("none.shop.svc.cluster.local", HOSTS[1])
        await run.ask("broken.example", HOSTS[0], 2)
        await run.count()
        found, errors = await run.failures(), await run.failures(missing="no")
        (last,) = (await run.failures(limit="1")).items
    assert [(row.name, row.rcode, row.reason, row.count) for row in found.items if row.rcode == "NXDOMAIN"] == [
        ("none.shop.svc.cluster.local.", "NXDOMAIN", "service-missing", 1)
    ]
    assert {row.name for row in errors.items} == {"broken.example."}
    assert sum(row.count for row in errors.items) == 2
    first = errors.items[-1]
    assert (first.client, first.pods, first.type, first.rcode) == (HOSTS[0], ("shop/front",), "A", "SERVFAIL")
    assert first.reason == "upstream-servfail"
    assert first.text
    assert 0 <= first.age <= first.first_age < 10
    assert last.name == "broken.example."
    assert found.unrecorded == 0


async def test_failures_that_there_is_no_room_for_are_told_as_a_number(tmp_path: Path) -> None:
    async with asked(tmp_path) as run:
        run.server.dns.observer.room = 0
        for number in range(5):
            await run.ask(f"n{number}.shop.svc.cluster.local")
        await run.count()
        found = await run.failures()
    assert (found.items, found.unrecorded) == ((), 5)


async def test_lists_windows_and_limits_are_as_they_are_asked_for(tmp_path: Path) -> None:
    async with asked(tmp_path) as run:
        for number in range(5):
            await run.ask(f"n{number}.example", times=5 - number)
        await run.count()
        for window in ("1", "5", "15"):
            top = await run.top(window=window, what="names,slow", limit="2")
            assert top.window == int(window)
            assert [getattr(top, name) is not None for name in LISTS] == [name in {"names", "slow"} for name in LISTS]
            assert top.names is not None
            assert [row.name for row in top.names.items] == ["n0.example.", "n1.example."]


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        ("/top", {"window": "2"}, 'window: found "2", expected 1, 5, 15\n'),
        (
            "/top",
            {"what": "clients,all"},
            'what: found "clients,all", expected some of clients,names,domains,missing,slow,upstreams\n',
        ),
        ("/top", {"what": ""}, 'what: found "", expected some of clients,names,domains,missing,slow,upstreams\n'),
        ("/top", {"limit": "0"}, 'limit: found "0", expected a number from 1 to 100\n'),
        ("/top", {"limit": "²"}, 'limit: found "²", expected a number from 1 to 100\n'),
        ("/top", {"limit": "9" * 5000}, f'limit: found "{"9" * 60}", expected a number from 1 to 100\n'),
        ("/top", {"windows": "1"}, "?windows: expected window, what, limit, client, name\n"),
        ("/top", {"client": "pod"}, 'client: found "pod", expected an address, as in "10.244.1.5"\n'),
        ("/top", {"client": HOST, "name": "x"}, "client: does not go together with name\n"),
        ("/top", {"name": "x", "what": "names"}, "name: does not go together with what\n"),
        ("/top", {"name": "a..b"}, 'name: found "a..b", the label in front of a dot has 0 octets, expected 1 to 63\n'),
        ("/failures", {"missing": "maybe"}, 'missing: found "maybe", expected yes, no\n'),
        ("/failures", {"limit": "-1"}, 'limit: found "-1", expected a number from 1 to 100\n'),
        ("/failures", {"window": "1"}, "?window: expected missing, limit\n"),
    ],
)
async def test_what_cannot_be_understood_is_told(path: str, query: dict[str, str], told: str, tmp_path: Path) -> None:
    async with asked(tmp_path, upstreams=()) as run:
        found = await run.get(path, **query)
    assert (found.status, found.body) == (400, told)


@pytest.mark.parametrize("path", ["/top", "/failures"])
async def test_strangers_are_told_nothing(path: str, tmp_path: Path) -> None:
    async with asked(tmp_path, upstreams=()) as run:
        assert (await run.get(path, asker="192.0.2.7")).status == 403


async def test_what_a_worker_has_gathered_counts_as_well(tmp_path: Path) -> None:
    message = dns.message.make_query("web.shop.svc.cluster.local", "A").to_wire()
    async with asked(tmp_path, upstreams=()) as run:
        await run.ask("web.shop.svc.cluster.local", HOSTS[0], 2)
        run.server.traffic.take(Gathered((Sample(bytes((127, 0, 0, 2)), 5, message),), (), 5, 7), 1)
        await run.count()
        top, failures = await run.top(), await run.failures()
    assert top.clients is not None
    assert [(row.client, row.count) for row in top.clients.items] == [(HOSTS[1], 5), (HOSTS[0], 2)]
    assert top.clients.items[0].plus_minus > 0
    assert (top.one_in, top.server.processes, failures.unrecorded) == (5, 2, 7)


async def test_time_in_which_nobody_asks_is_counted(tmp_path: Path) -> None:
    async with asked(tmp_path, upstreams=()) as run:
        await run.ask("web.shop.svc.cluster.local", times=3)
        await run.count()
        top = await run.top(window="15")
        run.server.dns.responder.sampler.switch(on=False)
        without = await run.top()
    assert top.clients is not None
    assert top.slow is not None
    assert (top.clients.total, top.slow.total) == (3, 0)
    assert top.slow.seconds >= top.clients.seconds > 0
    assert (top.counting, without.counting) == (True, False)


async def test_sampling_can_be_switched_off_and_on_while_it_runs(tmp_path: Path) -> None:
    async with reloading(tmp_path, "[top]\nsample = false\n") as server:
        sampler = server.server.dns.responder.sampler
        counted = []
        for text in ("", "[top]\nsample = false\n", ""):
            await server.change(text)
            await server.said(WEB)
            counted.append(sum(sample.weight for sample in sampler.take(0.0)))
    assert counted == [1, 0, 1]


async def test_without_samples_failures_are_told_all_the_same(tmp_path: Path) -> None:
    async with asked(tmp_path, top=configured.Top(sample=False)) as run:
        await run.ask("none.shop.svc.cluster.local")
        await run.ask("broken.example")
        await run.count()
        top, failures = await run.top(), await run.failures()
    assert top.clients is not None
    assert (top.counting, top.clients.items) == (False, ())
    assert len(failures.items) == 2
