"""What a server reports about itself: whether it is ready, and the source of its objects."""

import contextlib
import json
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import dns.message
import pytest
import trio
from trio.testing import memory_stream_one_way_pair

from dnsserver import metrics
from dnsserver.app import worker_protocol, workers
from dnsserver.app.server import Server
from dnsserver.config import Address, Config
from dnsserver.config.model import Kubernetes
from dnsserver.resolver.reply_cache import Reply
from dnsserver.server.admin import Request, Response
from dnsserver.server.pages import standard_routes
from dnsserver.zone.model import Kind
from tests.clock import LoopbackClock
from tests.forward.scripted import answers, ask, silent, upstream
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing, wait_for
from tests.running import ask_udp, port_of, running, upstream_at, write_objects
from tests.running import config as running_config


def config_of(api: ApiServer, folder: Path) -> Config:
    authority, path = folder / "ca.pem", folder / "kubeconfig"
    authority.write_text(api.ca)
    cluster = {"server": api.url, "certificate-authority": str(authority)}
    path.write_text(
        json.dumps(
            {
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "users": [{"name": "it", "user": {"token": api.token}}],
                "clusters": [{"name": "it", "cluster": cluster}],
            }
        )
    )
    listen = (Address("127.0.0.1", 0),)
    return Config(listen=listen, kubeconfig=path, state=folder / "state", kubernetes=Kubernetes(snapshot_interval=1.0))


@contextlib.asynccontextmanager
async def syncing(config: Config) -> AsyncIterator[Server]:
    """A server that follows the cluster and answers packets, but has no HTTP."""
    server = Server(config)
    server.dns.listen()
    assert server.sync.client is not None
    async with contextlib.aclosing(server.sync.client), trio.open_nursery() as nursery:
        await nursery.start(server.dns.run)
        nursery.start_soon(server.sync.run)
        yield server
        nursery.cancel_scope.cancel()


def readyz(server: Server) -> tuple[int, str]:
    routes = standard_routes(server.collector.readings, server.collector.brief, lambda *_: 0)
    response = routes["/readyz"].handle(Request("GET", "/readyz", {}, {}, "127.0.0.1"))
    assert isinstance(response, Response)
    return response.status, str(response.body)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        running.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        running.put(Kind.SERVICES, thing("web", spec={"clusterIP": "10.0.0.1"}))
        yield running


@pytest.mark.parametrize("kind", [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES])
async def test_readyz_of_a_kind_that_is_denied(api: ApiServer, tmp_path: Path, kind: Kind) -> None:
    api.forbidden = {kind}
    async with syncing(config_of(api, tmp_path)) as server:
        await wait_for(lambda: server.cluster.missing == {kind} and f"{kind}: not read yet" in readyz(server)[1])
        await wait_for(lambda: "(403)" in readyz(server)[1])
        status, body = readyz(server)
        assert (status, body.splitlines()[0]) == (503, f"not ready, not read yet: {kind}")
        assert f'resources: ["{kind}"]' in body
        api.forbidden = set()
        await wait_for(lambda: readyz(server)[0] == 200)
        assert "rules:" not in readyz(server)[1]


async def test_readyz_of_a_server_that_serves_its_saved_copy(api: ApiServer, tmp_path: Path) -> None:
    config = config_of(api, tmp_path)
    async with syncing(config) as server:
        loaded = server.sync.snapshot
        assert loaded is not None
        await wait_for(lambda: loaded.statistics().saves)
    api.forbidden = set(Kind)
    async with syncing(config) as server:
        await wait_for(lambda: readyz(server)[0] == 200)
        await wait_for(lambda: "(403)" in readyz(server)[1])
        body = readyz(server)[1]
    assert "services: from the snapshot, 1 object" in body
    assert "its snapshot is being served" in body


async def test_others_have_their_turns_while_all_is_counted(api: ApiServer, tmp_path: Path) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with syncing(config_of(api, tmp_path)) as server:
        await wait_for(lambda: not server.cluster.missing)
        table = server.dns.replies.add_table("udp", "1")
        for number in range(9000):
            server.dns.replies.keep(table, b"%015d" % number, Reply(b"", (1, 0, "found"), ((b"shop", b"web"),)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            readings = await server.collector.readings()
            nursery.cancel_scope.cancel()
    assert turns >= 9000 / 2000
    assert readings.namespaces["shop"].questions == 9000


async def test_draining_is_no_missing_data(api: ApiServer, tmp_path: Path) -> None:
    async with syncing(config_of(api, tmp_path)) as server:
        await wait_for(lambda: readyz(server)[0] == 200)
        server.draining = True
        status, body = readyz(server)
    assert (status, body.splitlines()[0].split(":")[0]) == (503, "draining")
    assert "not read yet" not in body


async def test_an_expired_answer_counts_once_for_each_client_that_gets_it(tmp_path: Path, clock: LoopbackClock) -> None:
    packet = dns.message.make_query("www.example.com", "A").to_wire()
    async with upstream(answers("{} 10 IN A 192.0.2.1")) as outside:
        settings = running_config(upstreams=upstream_at(outside.port), objects=write_objects(tmp_path, []))
        async with running(settings) as server:

            async def stale() -> int:
                return sum(process.stale for process in await server.collector.processes())

            port, forwarder = port_of(server), server.dns.forwarder
            await ask_udp(port, [packet])
            outside.script = outside.script_probes = silent
            await trio.sleep(11)
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(ask_udp, port, [packet])
            assert (await stale(), forwarder.statistics().in_flight) == (3, 1)
            await trio.sleep(1)
            assert (await stale(), forwarder.statistics().in_flight) == (3, 0), "nobody waited for its end"
            forwarder.start(ask("www.example.com"), None, trio.current_time())
            await trio.sleep(5)
            assert (await stale(), forwarder.statistics().in_flight) == (3, 0), "a prefetch is for no client"


class Reports:
    """A worker that reports its number once."""

    def __init__(self, module: str, descriptors: Collection[int]) -> None:
        del module, descriptors
        self.down, self._reads = memory_stream_one_way_pair()
        self._says, self.up = memory_stream_one_way_pair()

    async def wait(self) -> int:
        async with contextlib.aclosing(worker_protocol.frames(self._reads)) as frames:
            async for first in frames:
                assert isinstance(first, worker_protocol.Settings)
                counts = worker_protocol.Counts(metrics.Process(number=first.number))
                await self._says.send_all(worker_protocol.encode(counts))
                await trio.sleep_forever()
        raise AssertionError

    async def end(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_processes_come_by_their_numbers(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "Child", Reports)
    server = Server(running_config(objects=Path("not-there"), workers=12))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.workers.run)
        await trio.sleep(1)
        processes = await server.collector.processes()
        nursery.cancel_scope.cancel()
    assert [process.number for process in processes] == list(range(12))
