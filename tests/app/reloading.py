"""A server in this process that follows real files, and is asked over real sockets."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import trio

from dnsserver.app.reload import Reloader
from dnsserver.app.server import Server
from dnsserver.config import Override, read
from dnsserver.logger import redirected
from tests.cluster import namespace, service
from tests.running import HOST, ask_tcp, ask_udp, write_objects

INTERVAL = 0.05
PATIENCE = 20.0
WEB = "web.shop.svc.cluster.local."
RELOADED = "configuration reloaded"
REFUSED = "configuration not reloaded, the one in force stays"


class Reloading:
    """The server, the file that it follows, and what it has said."""

    def __init__(self, server: Server, file: Path, base: str, lines: list[dict[str, Any]]) -> None:
        self.server = server
        self.file = file
        self._base = base
        self._lines = lines
        self._read = 0

    @property
    def port(self) -> int:
        return self.server.dns.addresses[0].port

    def write(self, text: str) -> None:
        """Write the file in place: what every test has in it, and this."""
        self.file.write_text(self._base + text)

    async def wait_says(self, event: str) -> dict[str, Any]:
        """Wait for the next line of an event."""
        with trio.fail_after(PATIENCE):
            while True:
                while self._read < len(self._lines):
                    line = self._lines[self._read]
                    self._read += 1
                    if line["event"] == event:
                        return line
                await trio.sleep(0.01)

    def has_said(self, event: str) -> int:
        return sum(line["event"] == event for line in self._lines)

    async def change(self, text: str) -> dict[str, Any]:
        """Write the file, and wait until it is in force."""
        self.write(text)
        return await self.wait_says(RELOADED)

    async def spoil(self, text: str) -> dict[str, Any]:
        """Write the file, and wait until it is refused."""
        self.write(text)
        return await self.wait_says(REFUSED)

    async def ask(self, name: str, qtype: str = "A", *, tcp: bool = False, port: int = 0) -> dns.message.Message:
        packet = dns.message.make_query(name, qtype).to_wire()
        (wire,) = await (ask_tcp if tcp else ask_udp)(port or self.port, [packet])
        return dns.message.from_wire(wire)

    async def said(self, name: str, qtype: str = "A", **more: Any) -> str:
        """What a client is told: the records, or the rcode."""
        reply = await self.ask(name, qtype, **more)
        records = sorted(item.to_text() for rrset in reply.answer for item in rrset)
        return " ".join(records) or dns.rcode.to_text(reply.rcode())

    async def ttl(self, name: str = WEB, qtype: str = "A", **more: Any) -> int:
        return int((await self.ask(name, qtype, **more)).answer[0].ttl)

    def kept(self) -> int:
        return sum(len(table.replies) for table in self.server.dns.replies.tables)

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():  # noqa: ASYNC110 - of all sorts, and without events
                await trio.sleep(0.01)


@asynccontextmanager
async def reloading(
    folder: Path,
    text: str = "",
    base: str | None = None,
    *,
    objects: bool = True,
    interval: float = INTERVAL,
    overrides: Mapping[str, Override] | None = None,
) -> AsyncIterator[Reloading]:
    """Run a server with a file that says `text` besides the usual things, `base` in place of where it listens."""
    usual = f'admin = "{HOST}:0"\ndrain = 0\n'
    if objects:
        usual += f'objects = "{write_objects(folder, [namespace("shop"), service("web", "10.9.0.1")])}"\n'
    usual += f'listen = ["{HOST}:0"]\n' if base is None else base
    file = folder / "dnsserver.toml"
    file.write_text(usual + text)
    loaded = read(file, overrides)
    lines: list[dict[str, Any]] = []
    with redirected(lambda _level, _name, event: lines.append(event)):
        server = Server(loaded.config, loaded=loaded)
        server.reloader = Reloader(server, loaded, server.dns.faults, interval)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            with trio.fail_after(PATIENCE):
                await server.sync.wait_synced()
            found = Reloading(server, file, usual, lines)
            await found.until(lambda: server.dns.udp and server.dns.forwarder.statistics())
            yield found
            assert not server.dns.faults.counts
            nursery.cancel_scope.cancel()
