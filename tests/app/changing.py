"""The server as a user starts it. Under steady load its files change, with good and bad changes in turn.

Each configuration has a number, and each answer shows the number, in an address or in a TTL. So the test knows which
configuration gave an answer: it has to be one that was in force at some moment of the question.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import dns.message
import msgspec
import trio
from prometheus_client.parser import text_string_to_metric_families

from tests.app.started import spawned
from tests.cluster import namespace, service
from tests.free_port import free_port
from tests.running import HOST, write_objects

PATIENCE = 60.0
_TICK = 0.004  # seconds between two bursts of questions
_LATE = 5.0  # seconds after which an answer is lost
_NUMBERS = 250
WEB = "web.shop.svc.cluster.local."
FIXED = "fixed.test."
OUTSIDE = "www.corp.test."
NAMES = (WEB, FIXED, OUTSIDE)


class Found(msgspec.Struct):
    """What became of the questions, and of the changes."""

    asked: int = 0
    answered: int = 0
    wrong: int = 0
    good: int = 0
    bad: int = 0
    slowest: float = 0.0
    said: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def lost(self) -> int:
        return self.asked - self.answered


class Changing:
    """The server's process, its files, and which configuration may be in force."""

    def __init__(self, folder: Path, ports: tuple[int, int], upstreams: list[int], lag: int) -> None:
        self.pid = 0
        self._lag = lag  # configurations that a process may be behind the first one
        self.file = folder / "dnsserver.toml"
        self.port, self.admin = ports
        self._upstreams = upstreams
        self.found = Found()
        self._first = self._last = 0  # numbers of configurations that may be in force
        self.hosts = (HOST, HOST)  # that it listens on, by turns
        self._under_way: dict[int, tuple[int, int, float]] = {}

    def text(self, number: int) -> str:
        """The configuration of a number: the TTL of cluster names, a fixed address, an upstream of two."""
        return (
            f'listen = ["{self.hosts[number % 2]}:{self.port}"]\nadmin = "{HOST}:{self.admin}"\n'
            'objects = "objects.json"\ndrain = 0\n'
            f'upstreams = []\nttl = {number % _NUMBERS + 1}\n[[answer]]\nname = "{FIXED}"\n'
            f'records = ["A 192.0.2.{number % _NUMBERS}"]\n[[forward]]\ndomain = "corp.test"\n'
            f'upstreams = ["{HOST}:{self._upstreams[number % 2]}"]\n'
        )

    def write(self, text: str) -> str:
        """Write the file as editors do, and return its hash."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.file)
        return hashlib.sha512(text.encode()).hexdigest()

    async def metrics(self) -> dict[str, Any]:
        """All samples of a scrape, by name; the labels of the last one of a name."""
        text = await self.get("/metrics")
        return {s.name: s for family in text_string_to_metric_families(text) for s in family.samples}

    async def configuration(self) -> dict[str, Any]:
        """What /readyz says of the configuration."""
        found: dict[str, Any] = json.loads(await self.get("/readyz"))["configuration"]
        return found

    async def get(self, path: str) -> str:
        async with await trio.open_tcp_stream(HOST, self.admin) as stream:
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode())
            data = b"".join([piece async for piece in stream])
        return data.partition(b"\r\n\r\n")[2].decode()

    async def change(self, count: int, pause: float = 0.0) -> None:
        """Make so many changes, with so many seconds between them; every fourth is bad."""
        for number in range(1, count + 1):
            await trio.sleep(pause)
            if number % 4 == 0:
                before = (await self.configuration())["problems"]
                self.write(f"ttl = -{number}\n")
                self._hang_up()
                while (await self.configuration())["problems"] == before:  # noqa: ASYNC110
                    await trio.sleep(0.005)
                self.found.bad += 1
                continue
            self._last = number
            digest = self.write(self.text(number))
            self._hang_up()
            while (await self.configuration())["hash"] != digest:  # noqa: ASYNC110
                await trio.sleep(0.005)
            self.found.good += 1
            self._first = max(0, number - self._lag)

    def _hang_up(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    async def load(self, rate: int, sockets: int, done: trio.Event) -> None:
        """Ask so many questions a second until `done`, over so many sockets, and look at each answer."""
        packets = [dns.message.make_query(name, "A").to_wire()[2:] for name in NAMES]
        with ExitStack() as stack, trio.CancelScope() as receiving:
            opened = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(sockets)]
            async with trio.open_nursery() as nursery:
                for sock in opened:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                    sock.setblocking(False)
                    sock.connect((HOST, self.port))
                    nursery.start_soon(self._receive, sock)
                began = trio.current_time()
                while not done.is_set():
                    now = trio.current_time()
                    for number in range(self.found.asked, int((now - began) * rate)):
                        key, place = number % 65_536, number % len(packets)
                        self._under_way[key] = (self._first, place, now)
                        opened[number % sockets].send(key.to_bytes(2) + packets[place])
                        self.found.asked += 1
                    await trio.sleep(_TICK)
                with trio.move_on_after(_LATE):
                    while self._under_way:  # noqa: ASYNC110
                        await trio.sleep(_TICK)
                receiving.cancel()

    async def _receive(self, sock: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(sock)
            with suppress(BlockingIOError, ConnectionRefusedError):
                while True:
                    self._take(sock.recv(4096))

    def _take(self, wire: bytes) -> None:
        """Judge one answer; it is one A record behind the question, and nothing else."""
        asked = self._under_way.pop(int.from_bytes(wire[:2]), None)
        if asked is None:
            return
        first, place, at = asked
        self.found.answered += 1
        self.found.slowest = max(self.found.slowest, trio.current_time() - at)
        numbers = range(first, self._last + 1)
        ttl, address = int.from_bytes(wire[-10:-6]), wire[-4:]
        match NAMES[place]:
            case _ if wire[3] & 0x0F or wire[6:12] != b"\0\1\0\0\0\0":
                right = False
            case "web.shop.svc.cluster.local.":
                right = ttl in {number % _NUMBERS + 1 for number in numbers}
            case "fixed.test.":
                right = address in {bytes((192, 0, 2, number % _NUMBERS)) for number in numbers}
            case _:
                right = address in {bytes((198, 51, 100, number % 2)) for number in numbers}
        if not right:
            self.found.wrong += 1
            self.found.said[f"{dns.message.from_wire(wire)} of configurations {first} to {self._last}"] += 1


# An upstream that gives every name one address, in a process of its own: PORT is printed, ADDRESS its argument.
_UPSTREAM = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
while True:
    query, client = sock.recvfrom(4096)
    end = query.index(0, 12) + 5
    found = query[end - 4 : end - 2] == b"\\0\\1"
    head = query[:2] + (b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" if found else b"\\x81\\x83\\0\\1\\0\\0\\0\\0\\0\\0")
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\1\\0\\0\\4" + socket.inet_aton(sys.argv[1]) if found else b""
    sock.sendto(head + query[12:end] + record, client)
"""


@asynccontextmanager
async def changing(folder: Path, *flags: str, lag: int = 0) -> AsyncIterator[Changing]:
    """Start a server with configuration 0, and two upstreams; its workers may be `lag` configurations behind."""
    write_objects(folder, [namespace("shop"), service("web", "10.9.0.1")])
    upstreams = []
    processes = []
    try:
        for number in range(2):
            command = [sys.executable, "-c", _UPSTREAM, f"198.51.100.{number}"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220
            processes.append(process)
            assert process.stdout is not None
            upstreams.append(int(process.stdout.readline()))
        ports = (free_port(), free_port())
        file = folder / "dnsserver.toml"
        server = [sys.executable, "-m", "dnsserver", "serve", "--config", str(file), *flags]
        started = Changing(folder, ports, upstreams, lag)
        started.write(started.text(0))
        async with spawned(server) as program, trio.open_nursery() as nursery:
            started.pid = program.pid
            nursery.start_soon(_drain, program)
            with trio.fail_after(PATIENCE):
                while True:
                    with suppress(OSError, ValueError, KeyError):
                        if json.loads(await started.get("/readyz"))["ready"]:
                            break
                    await trio.sleep(0.05)
            yield started
            nursery.cancel_scope.cancel()
    finally:
        for process in processes:
            process.kill()
            process.communicate()


async def _drain(process: trio.Process) -> None:
    assert process.stderr is not None
    async for data in process.stderr:
        sys.stderr.write(data.decode(errors="replace"))
