"""The server as a user starts it, with a worker beside the first process, and many clients that ask both."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import trio
from prometheus_client.parser import text_string_to_metric_families

from tests.app.started import children, spawned
from tests.cluster import Thing, namespace, service
from tests.running import HOST, write_objects

CLIENTS = 24  # source ports: the kernel gives each to one of the processes, and all to one of two once in 8 million
PATIENCE = 30.0
NAME = "web.shop.svc.cluster.local."
OLD, NEW = "10.9.0.1", "10.9.0.2"


class Program:
    """The server as a user starts it, with its worker."""

    def __init__(self, process: trio.Process, port: int, admin: int, objects: Path) -> None:
        self.process = process
        self.port = port
        self.admin = admin
        self.objects = objects

    def write(self, *things: Thing) -> None:
        """Replace the objects at once, as kubectl's output does when it is moved into place."""
        fresh = write_objects(Path(self.objects.parent / "fresh"), things)
        fresh.replace(self.objects)

    def workers(self) -> list[int]:
        """The processes that it has started and that still run."""
        return children(self.process.pid)

    async def scrape(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of /metrics that may only grow."""
        text = await self.get("/metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            if family.type in {"counter", "histogram"}
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    async def value(self, name: str) -> float:
        text = await self.get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    async def get(self, target: str) -> str:
        """The body of a page of admin HTTP."""
        stream = await trio.open_tcp_stream(HOST, self.admin)
        async with stream:
            await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            data = b"".join([piece async for piece in stream])
        return data.partition(b"\r\n\r\n")[2].decode()

    async def ask(self, tries: int = 1, name: str = NAME) -> list[str | None]:
        """What each of many clients is told; None for one that gets no reply in any of its tries."""
        said: list[str | None] = [None] * CLIENTS
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(self._ask, said, number, tries, name)
        return said

    async def _ask(self, said: list[str | None], number: int, tries: int, name: str) -> None:
        packet = dns.message.make_query(name, "A").to_wire()
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.connect((HOST, self.port))
            for _ in range(tries):
                await sock.send(packet)
                with trio.move_on_after(1.0):
                    reply = dns.message.from_wire(await sock.recv(4096))
                    records = [rdata.to_text() for rrset in reply.answer for rdata in rrset]
                    said[number] = records[0] if records else dns.rcode.to_text(reply.rcode())
                    return


@asynccontextmanager
async def program(folder: Path, *things: Thing, port: int = 0, upstreams: str = "[]") -> AsyncIterator[Program]:
    """Start it with one worker, and wait until both answer."""
    (folder / "fresh").mkdir()
    objects = write_objects(folder, things)
    command = [sys.executable, "-m", "dnsserver", "serve", "--objects", str(objects), "--workers", "2"]
    command += ["--listen", f"{HOST}:{port}", "--admin", f"{HOST}:0"]
    settings_file = folder / "dnsserver.toml"
    settings_file.write_text(f"drain = 0.0\nupstreams = {upstreams}\n")
    command += ["--config", str(settings_file)]
    serving: dict[str, Any] = {}
    known = trio.Event()
    async with spawned(command) as process, trio.open_nursery() as nursery:
        nursery.start_soon(_read_log, process, serving, known)
        with trio.fail_after(PATIENCE):
            await known.wait()
        asked, admin = (int(address.rpartition(":")[2]) for address in (*serving["listen"], serving["admin"]))
        found = Program(process, asked, admin, objects)
        await until(lambda: is_complete(found))
        yield found
        nursery.cancel_scope.cancel()


async def _read_log(process: trio.Process, serving: dict[str, Any], known: trio.Event) -> None:
    assert process.stderr is not None
    buffer = b""
    async for data in process.stderr:
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            if line.startswith(b"{") and (entry := json.loads(line))["event"] == "serving":
                serving.update(entry)
                known.set()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds: nothing tells a test what another process has done, so it has to ask again and again."""
    with trio.fail_after(PATIENCE):
        while not await condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


async def is_complete(running: Program) -> bool:
    """Whether both processes answer, and have told so."""
    return await running.value("dnsserver_workers") == 2


def things(address: str) -> list[Thing]:
    return [namespace("shop"), service("web", address), *(service(f"s{n}", f"10.8.{n}.1") for n in range(50))]


async def all_say(running: Program, expected: str) -> bool:
    return set(await running.ask()) == {expected}
