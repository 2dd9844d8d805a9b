"""A whole server in this process with a fault in one of its functions, and clients that ask it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import dns.message
import dns.rcode
import pytest
import trio

from dnsserver.app.server import Server
from dnsserver.config import Address, Config, Loaded
from dnsserver.config.includes import Written
from dnsserver.config.model import Kubernetes
from dnsserver.faults import Place
from dnsserver.resolver.reply_cache import Reply
from dnsserver.server import udp, unbatched
from dnsserver.zone.model import Kind
from tests.cluster import endpoints, listed, namespace, service
from tests.forward.scripted import Query, upstream
from tests.free_port import free_port
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing
from tests.running import HOST, config, kubeconfig, take_messages, upstream_at, write_objects

PATIENCE = 20.0
WEB, TWO = "web.shop.svc.cluster.local.", "two.shop.svc.cluster.local."
ADDRESS = "10.9.0.1"
BASE = [namespace("shop"), service("web", ADDRESS), service("two"), endpoints("two", "10.1.0.1", "10.1.0.2")]


class InjectedError(Exception):
    """A bug."""


class Fuse:
    """Makes a function raise, as often as it was armed for."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str, when: Callable[..., bool]) -> None:
        self.left = self.blown = 0
        self.error: type[Exception] = InjectedError
        real = getattr(owner, name)

        def fused(*arguments: Any, **named: Any) -> Any:
            if self.left and when(*arguments):
                self.left -= 1
                self.blown += 1
                raise self.error(name)
            return real(*arguments, **named)

        patch.setattr(owner, name, fused)

    def arm(self, times: int = 1) -> None:
        self.left = times


class Running:
    """A server at work, with a fault in it."""

    def __init__(self, served: Server, fuse: Fuse, admin: int, script: list[Any], api: ApiServer | None = None) -> None:
        self.api = api
        self.server = served
        self.fuse = fuse
        self.admin = admin
        self.script = script  # what the upstream does, as its only element

    @property
    def port(self) -> int:
        return self.server.dns.udp[0][0].port

    async def ask(self, name: str, *, tcp: bool = False, patience: float = 5.0) -> str | None:
        """What one client is told: an address or an rcode, None for nothing."""
        return (await self.ask_all([name], tcp=tcp, patience=patience))[0]

    async def ask_all(self, names: list[str], *, tcp: bool = False, patience: float = 5.0) -> list[str | None]:
        """The same for many, whose packets come in one batch."""
        packets = [dns.message.make_query(name, "A", id=number).to_wire() for number, name in enumerate(names)]
        found: dict[int, str] = {}

        def take(wire: bytes) -> bool:
            reply = dns.message.from_wire(wire)
            addresses = [item.to_text() for rrset in reply.answer for item in rrset]
            found[reply.id] = addresses[0] if addresses else dns.rcode.to_text(reply.rcode())
            return len(found) == len(names)

        with trio.move_on_after(patience):
            await (_exchange_tcp if tcp else _exchange_udp)(self.port, packets, take)
        return [found.get(number) for number in range(len(names))]

    def kept(self, kind: type[Reply]) -> list[Reply]:
        """The replies of a kind in the cache."""
        tables = self.server.dns.replies.tables
        return [reply for table in tables for reply in table.replies.values() if type(reply) is kind]

    async def get(self, path: str) -> int:
        """The status of an admin page."""
        stream = await trio.open_tcp_stream(HOST, self.admin)
        async with stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            data = b"".join([piece async for piece in stream])
        return int(data.split()[1])

    async def wait_admin(self) -> None:
        """Wait until admin HTTP can be connected to."""
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    stream = await trio.open_tcp_stream(HOST, self.admin)
                except OSError:
                    await trio.sleep(0.01)
                else:
                    await stream.aclose()
                    return

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():  # noqa: ASYNC110 - of all sorts, and without events
                await trio.sleep(0.01)

    async def wait_blown(self) -> None:
        await self.until(lambda: self.fuse.blown)


Take = Callable[[bytes], bool]  # of one reply: whether it is the last one


async def _exchange_tcp(port: int, packets: list[bytes], take: Take) -> None:
    buffer = bytearray()
    stream = await trio.open_tcp_stream(HOST, port)
    async with stream:
        try:
            await stream.send_all(b"".join(len(packet).to_bytes(2) + packet for packet in packets))
            while data := await stream.receive_some(65536):
                buffer += data
                if any(list(map(take, take_messages(buffer)))):
                    return
        except trio.BrokenResourceError:
            return


async def _exchange_udp(port: int, packets: list[bytes], take: Take) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect((HOST, port))
        for packet in packets:
            await sock.send(packet)
        while not take(await sock.recv(65535)):
            pass


class Still(Loaded):
    """A configuration whose files never change."""

    @classmethod
    def of(cls, config: Config, folder: Path) -> "Still":
        source = folder / "not-there.toml"
        return cls(config, source, source, Written(source), {}, False, (source,), (), "")

    def again(self) -> "Still":
        return self


Scenario = Callable[[Running], Awaitable[None]]


class Border(NamedTuple):
    """One row: the function that fails, what meets it, and so what is lost.

    `armed`: from the start on. `api`: objects come from an API server, not from the test.
    """

    place: Place
    owner: Any
    name: str
    scenario: Scenario
    when: Callable[..., bool] = lambda *_: True
    settings: Mapping[str, Any] = MappingProxyType({})
    armed: bool = False
    api: bool = False
    unbatched: bool = False
    files: bool = False

    @property
    def id(self) -> str:
        owner = self.owner.__name__.rpartition(".")[2]
        unbatched = "-unbatched" if self.unbatched else ""
        return f"{self.place}-{owner}.{self.name}{unbatched}-{self.scenario.__name__}"


@asynccontextmanager
async def running(border: Border, folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    fuse = Fuse(patch, border.owner, border.name, border.when)
    if border.unbatched:
        patch.setattr(udp, "make_port", unbatched.UnbatchedPort)
    if border.armed:
        fuse.arm()
    script: list[Any] = [helpful]
    admin = free_port()
    async with upstream(_as_told(script)) as outside, serving(ApiServer(streaming=False)) as api:
        settings = {"upstreams": upstream_at(outside.port), "admin": Address(HOST, admin), **border.settings}
        if border.api:
            api.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
            api.put(Kind.SERVICES, thing("odd", spec={"clusterIP": "10.9.0.7"}))
            api.put(Kind.SERVICES, thing("bad", spec={"ports": 7}))  # each object of its page is decoded by itself
            api.put(Kind.SERVICES, thing("web", spec={"clusterIP": ADDRESS}))
            settings |= {"kubeconfig": kubeconfig(folder, api), "state": folder / "state"}
            settings["kubernetes"] = Kubernetes(snapshot_interval=1.0)
        else:
            settings["objects"] = write_objects(folder, BASE) if border.files else folder / "not-there"
        served = Server(config(**settings), loaded=Still.of(config(**settings), folder))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.run)
            run = Running(served, fuse, admin, script, api)
            if not border.api and not border.files:
                await run.until(lambda: served.dns.udp)
                for event in listed(BASE):
                    served.sync.apply(event)
            with trio.fail_after(PATIENCE):
                await served.sync.wait_synced()
            await run.until(lambda: served.dns.forwarder.statistics().upstreams)
            await run.wait_admin()
            yield run
            nursery.cancel_scope.cancel()
        if served.sync.client is not None:
            await served.sync.client.aclose()


def _as_told(script: list[Any]) -> Callable[[Query], Awaitable[None]]:
    async def act(query: Query) -> None:
        await script[0](query)

    return act


async def helpful(query: Query) -> None:
    """Answer every A question with one address."""
    await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))
