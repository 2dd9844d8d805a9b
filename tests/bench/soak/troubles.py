"""All troubles of a soak, one after the other by chance: two rows of them, so that any two meet.

One row is about the world (API server, upstream), the other about the server (clients, people who look, files,
processes). Each trouble ends by itself, and what went on when is remembered.
"""

import collections
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.message
import trio

from tests.app.started import began, children
from tests.bench.soak import outside
from tests.bench.soak.asking import HOST, reply_to
from tests.bench.soak.outside import Outside
from tests.bench.soak.truth import SPACE, Truth
from tests.kube.apiserver import ApiServer, Fault

REST = 4.0  # seconds between two troubles of a row, about
WATCH_COMMANDS = ("end", "cut", "reset", "silence", "half", "gone", "garbage", "repeat", "bookmark", "idle-event")
FAULTS = (
    *(Fault("status", status=status) for status in (401, 429, 500, 503)),
    *(
        Fault(action)
        for action in ("reset", "close", "hang", "silent", "half", "half-reset", "garbage", "slow", "gone")
    ),
)
FLOOD = 20_000 // 50  # packets each 20 ms
CLIENTS = 250  # addresses that a crowd comes from
CROWD = 200  # connections
WORST = ("", "servfail", "gone", "silent")  # what the upstream does at the beginning, one after the other
_WORST_TIME = 8.0  # seconds; longer than floods
# Repeated for 11 minutes the worst took no more memory after its 20th time (`docs/fuzzing.md`).
_WORST_TIMES = 3  # with each of two ways to take a worker away
_BUSY = 5.0  # seconds
_AFTER = 6.0  # seconds that a trouble may be felt after its end
_REMEMBERED = 32.0  # seconds that an outside name may fail after it: `cache.failure_cap`, and one more question
_APPLIED = 15.0  # seconds until a changed file is in force in all processes
BAD = ("listen = 5\n", "[cache\n", "[[answer]]\nname = 'a..b'\n", "\x00", "upstreams = ['nowhere at all']\n")


def write_configuration(folder: Path, number: int) -> Path:
    """Write a configuration that answers one name of its own; caches are small, so that they are full soon."""
    return _write(
        folder,
        f'[[answer]]\nname = "own-{number}.example"\nrecords = ["60 A 192.0.2.{number % 250}"]\n'
        "[kubernetes]\nsilence = 10.0\n[reply_cache]\nsize = 1048576\n[cache]\nsize = 1048576\n"
        '[[query_log]]\nclasses = ["all"]\nbelow = ["outside.example"]\n',
    )


def _write(folder: Path, text: str) -> Path:
    fresh = folder / "fresh.toml"
    fresh.write_text(text)
    return fresh.rename(folder / "dnsserver.toml")


class Troubles:
    """What is done to a server, its API server and its upstream; `wrong` says what did not come out right."""

    def __init__(self, api: ApiServer, truth: Truth, upstream: Outside, folder: Path, chance: random.Random) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.reading = trio.Event()
        self.reading.set()
        self.port = self.admin = self.pid = 0
        self._api = api
        self._truth = truth
        self._upstream = upstream
        self._folder = folder
        self._chance = chance
        self._log: list[list[float | str]] = []  # name, begin, end

    # ---- in general

    async def run(self) -> None:
        """Start with what takes most memory, and then run both rows for ever."""
        for _ in range(_WORST_TIMES):
            for take_away in (self._kill, self._stop_long):
                for mode in WORST:
                    await self._worst(mode, take_away)
        world = [self._api_away, self._api_faults, self._watches, self._compacted, self._upstream_wrong]
        server = [
            self._flood, self._flood_of_many, self._crowd, self._reload, self._bad_reload, self._kill, self._stop,
            self._stop_long, self._lookers, self._log_blocked, self._busy,
        ]  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._row, [*world, self._upstream_wrong])
            nursery.start_soon(self._row, server)

    async def _worst(self, mode: str, take_away: Callable[[], Awaitable[None]]) -> None:
        """Do at the same time what takes most memory, while the upstream answers, fails or is silent (`mode`).

        A worker is killed or stopped, so that fewer processes share the floods for a moment, nobody reads the log, and
        other programs want the processors.
        """
        troubles = (
            self._flood, self._flood_of_many, self._crowd, self._lookers, self._compacted, take_away, self._reload,
            self._log_blocked, self._busy,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            for trouble in troubles:
                nursery.start_soon(trouble)
            nursery.start_soon(self._upstream_is, mode, _WORST_TIME)
        await trio.sleep(REST)

    async def _row(self, troubles: Sequence[Callable[[], Awaitable[None]]]) -> None:
        while True:
            await trio.sleep(self._chance.uniform(0.5, 1.5) * REST)
            await self._chance.choice(troubles)()

    @contextmanager
    def _during(self, name: str) -> Iterator[None]:
        self.counts[name] += 1
        now: list[float | str] = [name, trio.current_time(), float("inf")]
        self._log.append(now)
        yield
        now[2] = trio.current_time()

    def workers(self) -> list[int]:
        """Return the process IDs of the workers, the oldest first."""
        return sorted(children(self.pid), key=began)

    def going_on(self, since: float) -> str:
        """Return the troubles since that time, and those that ended a little before it."""
        return self._named(since - _AFTER, "")

    def outside_going_on(self, since: float) -> str:
        """Return the upstream's troubles since that time and as long before as failures are remembered, or else all."""
        return self._named(since - _REMEMBERED, "upstream") or self.going_on(since)

    def _named(self, since: float, begin: str) -> str:
        self._log = [each for each in self._log if float(each[2]) > trio.current_time() - 2 * _REMEMBERED]
        names = {str(each[0]) for each in self._log if float(each[2]) > since and str(each[0]).startswith(begin)}
        return " + ".join(sorted(names)) or ("" if begin else "nothing")

    # ---- the world

    async def _api_away(self) -> None:
        with self._during("API away"):
            self._truth.doubt()
            self._api.stop()
            await trio.sleep(self._chance.uniform(0.5, 15))
            self._api.start()

    async def _api_faults(self) -> None:
        """Let requests go wrong in one way, and the watches end, so that there are requests."""
        fault = self._chance.choice(FAULTS)
        with self._during(f"API {fault.action} {fault.status if fault.action == 'status' else ''}".strip()):
            times = self._chance.randrange(1, 6)
            self._api.faults = [Fault(fault.action, status=fault.status, times=times, headers={"retry-after": "1"})]
            self._truth.doubt()
            self._api.disturb("cut")
            await trio.sleep(self._chance.uniform(2, 8))
            self._api.faults = []

    async def _watches(self) -> None:
        command = self._chance.choice(WATCH_COMMANDS)
        with self._during(f"watches: {command}"):
            self._truth.doubt()
            self._api.disturb(command)
            await trio.sleep(2)

    async def _compacted(self) -> None:
        """Compact the history while nobody watches, so that watches get 410 and everything is listed again."""
        with self._during("410"):
            self._truth.doubt()
            self._api.stop()
            for _ in range(5):
                self._truth.change()
            self._api.compact()
            self._api.start()
            await trio.sleep(3)

    async def _upstream_wrong(self) -> None:
        await self._upstream_is(self._chance.choice(outside.MODES), self._chance.uniform(1, 10))

    async def _upstream_is(self, mode: str, seconds: float) -> None:
        with self._during(f"upstream {mode}" if mode else "all well"):
            self._upstream.be(mode)
            await trio.sleep(seconds)
            self._upstream.be("")

    # ---- clients

    async def _flood(self) -> None:
        with self._during("flood"):
            await self._send_flood(["0.0.0.0"], ".flood.example")
            await trio.sleep(1)

    async def _flood_of_many(self) -> None:
        sources = [f"127.9.{number // 250}.{number % 250 + 1}" for number in range(CLIENTS)]
        with self._during("flood of many"):
            await self._send_flood(sources, f".{SPACE}.svc.cluster.local")
            await trio.sleep(1)

    async def _send_flood(self, sources: list[str], end: str) -> None:
        """Ask for random names for three seconds; nobody reads the answers."""
        tail = dns.message.make_query(f"x{end}", "A", id=0).to_wire()[14:]
        socks = []
        for source in sources:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((source, 0))
            sock.connect((HOST, self.port))
            socks.append(sock)
        for _ in range(150):
            await trio.sleep(0.02)
            for number in range(FLOOD):
                label = b"%x" % self._chance.getrandbits(40)
                with suppress(OSError):
                    query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes((len(label),)) + label + tail
                    socks[number % len(socks)].send(query)
        for sock in socks:
            sock.close()

    async def _crowd(self) -> None:
        """Open connections of which a third says nothing, a third half a message, and a third reads no answers."""
        query = dns.message.make_query(f"soak-1.{SPACE}.svc.cluster.local", "A").to_wire()
        framed = len(query).to_bytes(2) + query
        said = (b"", framed[:9], framed * 500)
        with self._during("crowd over TCP"):
            socks = [socket.socket() for _ in range(CROWD)]
            for number, sock in enumerate(socks):
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                with suppress(OSError):
                    sock.bind((f"127.9.1.{number % 100 + 1}", 0))
                    sock.connect((HOST, self.port))
            for _ in range(20):
                await trio.sleep(0.2)
                for number, sock in enumerate(socks):
                    with suppress(OSError):
                        sock.send(said[number % 3])
            for sock in socks:
                sock.close()

    # ---- people

    async def _lookers(self) -> None:
        """Scrape, explain, dump, follow; half of them go away in the middle."""
        paths = (
            "/metrics", f"/explain?name=soak-1.{SPACE}.svc.cluster.local", "/dump", "/tail?classes=all", "/top",
            "/failures", "/readyz", "/nothing",
        )  # fmt: skip
        with self._during("people who look"):
            async with trio.open_nursery() as nursery:
                for _ in range(16):
                    nursery.start_soon(self._look, self._chance.choice(paths), self._chance.random() < 0.5)

    async def _look(self, path: str, goes_away: bool) -> None:
        with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(3):
            stream = await trio.open_tcp_stream(HOST, self.admin)
            async with stream:
                await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                while await stream.receive_some(65536) and not goes_away:
                    pass

    async def _log_blocked(self) -> None:
        """Do not read what the server logs, so that its pipe becomes full."""
        with self._during("log that nobody reads"):
            self.reading = trio.Event()
            await trio.sleep(self._chance.uniform(2, 10))
            self.reading.set()

    # ---- files and processes

    async def _reload(self) -> None:
        """Change the configuration, and see that it is in force."""
        number = self._chance.randrange(1000)
        with self._during("reload"):
            write_configuration(self._folder, number)
            query = dns.message.make_query(f"own-{number}.example", "A")
            found: set[str] = set()
            with trio.move_on_after(_APPLIED):
                while f"192.0.2.{number % 250}" not in found:
                    await trio.sleep(0.5)
                    wire = await reply_to(query.to_wire(), self.port)
                    answer = dns.message.from_wire(wire).answer if wire else []
                    found = {rdata.to_text() for rrset in answer for rdata in rrset}
            if f"192.0.2.{number % 250}" not in found:
                self.wrong.append(f"own-{number} not in force after {_APPLIED:.0f} s, during {self.going_on(0)}")

    async def _bad_reload(self) -> None:
        before = (self._folder / "dnsserver.toml").read_text()
        with self._during("bad reload"):
            _write(self._folder, self._chance.choice(BAD))
            await trio.sleep(3)
            _write(self._folder, before)

    async def _kill(self) -> None:
        with self._during("worker killed"):
            self._signal(signal.SIGKILL)
            await trio.sleep(2)

    async def _stop(self) -> None:
        await self._hold(1.0, "worker stopped for 1 s")

    async def _stop_long(self) -> None:
        await self._hold(6.0, "worker stopped for 6 s")

    async def _busy(self) -> None:
        """Have other programs take the processors, as neighbours do."""
        command = [sys.executable, "-c", "while True: pass"]
        with self._during("busy processors"):
            neighbours = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]  # noqa: ASYNC220
            try:
                await trio.sleep(_BUSY)
            finally:
                for neighbour in neighbours:
                    neighbour.kill()
                    neighbour.wait()

    async def _hold(self, seconds: float, name: str) -> None:
        with self._during(name):
            stopped = self._signal(signal.SIGSTOP)
            await trio.sleep(seconds)
            if stopped:
                _send(stopped, signal.SIGCONT)

    def _signal(self, number: int) -> int:
        """Send a signal to one of the workers, but not to the oldest; return its process ID, 0 if there is none."""
        younger = self.workers()[1:]
        chosen = self._chance.choice(younger) if younger else 0
        if chosen:
            _send(chosen, number)
        return chosen


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
