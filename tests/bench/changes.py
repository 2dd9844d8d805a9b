"""100 changes a second while 10,000 names a second are asked for: when they show, what they cost, what stays cached."""

import itertools
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import trio

from loadtest.questions import Manner, Question, encode
from tests.bench.follow import Api, Follower
from tests.bench.load import dnsperf
from tests.bench.processes import Running
from tests.bench.table import Finding
from tests.kube.generated import endpoint_slice, service

CHANGES, RATE = 100, 10_000
_ASKED = 1_000  # names; all changes are about them
_PROBE_EVERY = 10  # one of so many changes is waited for
_PATIENCE = 1.0  # seconds for a change to show
_PAUSE = 0.0002  # seconds between two questions whether it shows


class Cost(NamedTuple):
    """Processor seconds per second, and the share of replies that came from the reply cache."""

    busy: float
    hits: float


def measure(at: Api, follower: Follower, folder: Path, seconds: float) -> list[Finding]:
    """Measure without changes, with changes, and without them again."""
    things = [service(number, at.size) for number in range(2 * _ASKED)]
    things = [thing for thing in things if thing["spec"].get("clusterIP", "None") != "None"][:_ASKED]
    names = [f"{one['metadata']['name']}.{one['metadata']['namespace']}.svc.cluster.local" for one in things]
    questions = folder / "changes.questions"
    questions.write_text("".join(f"{name} A\n" for name in names))
    writer = _Writer(at, follower, things, names)
    quiet = [_asked(follower, questions, seconds / 4)]
    cost = trio.run(writer.run, lambda: _asked(follower, questions, seconds))
    quiet.append(_asked(follower, questions, seconds / 4))
    delays = sorted(writer.delays)
    p50, p99 = (delays[min(len(delays) - 1, int(len(delays) * share))] * 1000 for share in (0.5, 0.99))
    share = cost.busy - sum(one.busy for one in quiet) / 2
    rate = writer.made / writer.seconds
    what = f"{rate:.0f} changes/s for {seconds:.0f} s at {RATE} qps"
    return [
        Finding(
            f"{what}: PUT answered to visible, p99 of {len(delays)}",
            f"{p99:.1f} ms (p50 {p50:.1f}; {writer.late} never)",
            "≤ 5 ms",
            p99 <= 5 and not writer.late,
        ),
        Finding(
            "— processor time of the sync",
            f"{share:.1%} of a core (all: {cost.busy:.1%}, quiet: {quiet[0].busy:.1%}, {quiet[1].busy:.1%})",
            "≤ 5 %",
            share <= 0.05,
        ),
        Finding("— replies from the reply cache", f"{cost.hits:.1%}", "≥ 95 %", cost.hits >= 0.95),
    ]


def _asked(follower: Follower, questions: Path, seconds: float) -> Cost:
    before, used, start = follower.metrics(), follower.clock.seconds(), time.perf_counter()
    server = Running("dnsserver", follower.port, follower.clock, follower.admin)
    dnsperf(server, questions, "-Q", str(RATE), "-l", f"{seconds:g}")
    used, took, after = follower.clock.seconds() - used, time.perf_counter() - start, follower.metrics()
    hits, asked = (
        after.get(key, 0) - before.get(key, 0)
        for key in ("dnsserver_reply_cache_hits_total", "coredns_dns_requests_total")
    )
    return Cost(used / took, hits / asked)


class _Writer:
    """Changes slices of the asked services, and sometimes the address of one, and then waits until answers have it."""

    def __init__(self, at: Api, follower: Follower, things: list[dict[str, Any]], names: list[str]) -> None:
        self._at, self._follower = at, follower
        self._things, self._names = things, names
        self.delays: list[float] = []
        self.made = self.late = 0
        self.seconds = 0.0

    async def run(self, work: Any) -> Cost:
        """Write until `work`, which runs in a thread, has returned; return its result."""
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, self._write, stop)
            cost: Cost = await trio.to_thread.run_sync(work)
            stop.set()
        return cost

    def _write(self, stop: trio.Event) -> None:
        connection = self._at.connect()
        numbers = [int(thing["metadata"]["name"].rpartition("-")[2]) for thing in self._things]
        parts = itertools.cycle([endpoint_slice(number, self._at.size) for number in numbers])
        start = time.perf_counter()
        while not stop.is_set():
            time.sleep(max(0.0, start + self.made / CHANGES - time.perf_counter()))
            self.made += 1
            if self.made % _PROBE_EVERY == 0:
                self._probe(connection)
                continue
            part = next(parts)
            ready = part["endpoints"][0]["conditions"]
            ready["ready"] = not ready["ready"]
            namespace, name = part["metadata"]["namespace"], part["metadata"]["name"]
            path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}"
            self._at.ask(connection, "PUT", path, part)
        self.seconds = time.perf_counter() - start
        connection.close()

    def _probe(self, connection: Any) -> None:
        """Give a service another address, and ask until the answer has it."""
        place = self.made % len(self._things)
        thing = self._things[place]
        address = f"10.97.{self.made >> 8 & 255}.{self.made & 255}"
        thing["spec"] = {**thing["spec"], "clusterIP": address, "clusterIPs": [address]}
        metadata = thing["metadata"]
        wanted = socket.inet_aton(address)
        query = b"\0\1" + encode(Question(self._names[place], "A"), Manner()).tail
        path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
        self._at.ask(connection, "PUT", path, thing)
        start = time.perf_counter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(_PATIENCE)
            client.connect(("127.0.0.1", self._follower.port))
            while True:
                client.send(query)
                try:
                    shown = client.recv(512).endswith(wanted)
                except TimeoutError:
                    shown = False
                waited = time.perf_counter() - start
                if shown:
                    self.delays.append(waited)
                    return
                if waited > _PATIENCE:
                    self.late += 1
                    return
                time.sleep(_PAUSE)
