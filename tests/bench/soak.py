"""Does anything grow, or any answer go wrong, in an hour of everything at once?

    .venv/bin/python -m tests.bench.soak                     an hour
    .venv/bin/python -m tests.bench.soak --seconds 300       five minutes

Two processes serve a cluster of an API server in this process that changes all the time, and an upstream of ours. By
chance, every few seconds: the API server goes away, cuts or garbles its watches, or compacts its history; the upstream
is silent; 40,000 questions a second for random names; another configuration; a worker is killed or stopped. All the
while names are asked whose right answer is known. Ends with status 1 if an answer was wrong.

A question counts as lost after three seconds. An answer is right if it was so at some moment from `LAG` before it was
asked until it came. Memory is the proportional set size of all processes; its slope is that of the second half.
"""

import argparse
import collections
import itertools
import json
import os
import random
import signal
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype
import trio

from dnsserver.zone.model import Kind
from tests import strict
from tests.app.started import children
from tests.cluster import endpoints, service
from tests.forward.scripted import Query, upstream
from tests.kube.apiserver import ApiServer
from tests.kube.generated import Size, fill, keep_changing, namespace_name
from tests.running import HOST, kubeconfig

SIZE = Size(namespaces=50, services=2000, slices=2800, endpoints=8000)
NAMES = 60  # services whose answers are looked at
SPACE = namespace_name(0)
LAG = 2.0  # seconds that a change may take to be answered while everything else happens
PATIENCE = 3.0
RATE = 100  # questions a second
CHANGES = 40  # a second, beside those of the services that are looked at
FLOOD = 40_000 // 50  # questions each 20 ms
REST = 4.0  # seconds between two troubles, about
COMMANDS = ("end", "cut", "reset", "half", "gone", "garbage", "repeat", "bookmark", "idle-event")
_SAMPLE = 5.0  # seconds between two looks at memory
_OUTSIDE = "192.0.2.7"


class State:
    """What a name is answered from a moment on: addresses, or None where it does not exist; `told` is when it was."""

    def __init__(self, since: float, answer: frozenset[str] | None) -> None:
        self.since = since
        self.told = float("inf")
        self.answer = answer


class Soak:
    """One run: what is true, what was found."""

    def __init__(self, api: ApiServer, folder: Path, seed: int) -> None:
        self.api = api
        self.folder = folder
        self.chance = random.Random(seed)
        self.truth: dict[str, list[State]] = {}
        self.port = 0
        self.process: trio.Process | None = None
        self.asked = self.lost = self.changed = 0
        self.wrong: list[str] = []
        self.troubles: collections.Counter[str] = collections.Counter()
        self.memory: list[tuple[float, float]] = []
        self.upstream_silent = False
        self.flooding = False

    # ---- what is true

    def change(self) -> None:
        """Let one of the services be another one, or go, or come."""
        number = self.chance.randrange(NAMES)
        name = f"soak-{number}"
        kind = self.chance.choice(("cluster", "cluster", "headless", "gone"))
        address = f"10.200.{self.chance.randrange(256)}.{self.chance.randrange(1, 255)}"
        answer: frozenset[str] | None = frozenset((address,))
        if kind == "gone":
            if self._is_there(name):
                self.api.delete(Kind.SERVICES, SPACE, name)
            answer = None
        elif kind == "cluster":
            self.api.put(Kind.SERVICES, service(name, address, namespace=SPACE))
        else:
            self.api.put(Kind.ENDPOINTSLICES, endpoints(name, address, name=name, namespace=SPACE))
            self.api.put(Kind.SERVICES, service(name, namespace=SPACE))
        self.truth.setdefault(name, []).append(State(trio.current_time(), answer))
        self.changed += 1

    def _is_there(self, name: str) -> bool:
        return f"{SPACE}/{name}\0" in self.api.store.objects[Kind.SERVICES]

    def right(self, name: str, asked: float, came: float) -> set[frozenset[str] | None]:
        """All answers that were right at some moment of a question's time."""
        states = [State(0.0, None), *self.truth.get(name, ())]
        return {
            state.answer
            for state, after in zip(states, [*states[1:], State(float("inf"), None)], strict=True)
            if state.since <= came and after.told > asked - LAG
        }

    async def keep_changing(self) -> None:
        """Change something five times a second, and note when the server has been told: by all watches, all of them."""
        untold: list[State] = []
        for number in itertools.count(1):
            if not number % 20:
                self.change()
            untold = [states[-1] for states in self.truth.values() if states[-1].told == float("inf")] + untold
            if self.api.streams(Kind.SERVICES) and self.api.streams(Kind.ENDPOINTSLICES) and self.api.all_told:
                for state in untold:
                    state.told = min(state.told, trio.current_time())
                untold = []
            await trio.sleep(0.01)

    # ---- questions

    async def keep_asking(self) -> None:
        """Ask at a steady rate, each question on a socket of its own, of names inside and outside."""
        async with trio.open_nursery() as nursery:
            began = trio.current_time()
            while True:
                nursery.start_soon(self._ask)
                self.asked += 1
                await trio.sleep_until(began + self.asked / RATE)

    async def _ask(self) -> None:
        outside = self.chance.random() < 0.2
        name = (
            f"host-{self.chance.randrange(2000)}.outside.example" if outside else f"soak-{self.chance.randrange(NAMES)}"
        )
        whole = name if outside else f"{name}.{SPACE}.svc.cluster.local"
        query = dns.message.make_query(whole, "A", use_edns=0, payload=1232)
        asked = trio.current_time()
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            wire = b""
            with trio.move_on_after(PATIENCE):
                await sock.connect((HOST, self.port))
                await sock.send(query.to_wire())
                wire = await sock.recv(4096)
        if not wire:
            self.lost += 1
            return
        strict.reply(wire, query.to_wire())
        reply = dns.message.from_wire(wire)
        found = _answer_of(reply)
        if outside:
            is_right = found == frozenset((_OUTSIDE,)) or reply.rcode() == dns.rcode.SERVFAIL
        else:
            is_right = reply.rcode() != dns.rcode.SERVFAIL and found in self.right(name, asked, trio.current_time())
        if not is_right:
            self.wrong.append(f"{whole} after {asked:.1f} s: {dns.rcode.to_text(reply.rcode())} {found}")

    async def keep_flooding(self) -> None:
        """Ask for random names as fast as agreed while it is time for it; nobody reads the answers."""
        sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await sock.connect((HOST, self.port))
        while True:
            await trio.sleep(0.02)
            for _ in range(FLOOD if self.flooding else 0):
                label = f"{self.chance.getrandbits(40):x}"
                query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes((len(label),)) + label.encode()
                with suppress(OSError):
                    await sock.send(query + b"\5flood\7example\0\0\1\0\1")

    # ---- troubles

    async def keep_troubling(self) -> None:
        """Do one thing after the other, by chance."""
        troubles: list[Callable[[], Awaitable[None]]] = [
            self._api_away, self._watches, self._compact, self._upstream,
            self._flood, self._reload, self._kill, self._stop,
        ]  # fmt: skip
        while True:
            await trio.sleep(self.chance.uniform(0.5, 1.5) * REST)
            trouble = self.chance.choice(troubles)
            self.troubles[trouble.__name__.strip("_").replace("_", " ")] += 1
            await trouble()

    async def _api_away(self) -> None:
        self.api.stop()
        await trio.sleep(self.chance.uniform(0.5, 15))
        self.api.start()
        await trio.sleep(5)

    async def _watches(self) -> None:
        self.api.disturb(self.chance.choice(COMMANDS))

    async def _compact(self) -> None:
        self.api.compact()

    async def _upstream(self) -> None:
        self.upstream_silent = True
        await trio.sleep(self.chance.uniform(1, 10))
        self.upstream_silent = False

    async def _flood(self) -> None:
        self.flooding = True
        await trio.sleep(3)
        self.flooding = False

    async def _reload(self) -> None:
        write_configuration(self.folder, self.chance.randrange(1000))

    async def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def _stop(self) -> None:
        stopped = self._signal(signal.SIGSTOP)
        await trio.sleep(1)
        if stopped:
            _send(stopped, signal.SIGCONT)

    def _signal(self, number: int) -> int:
        """Send a signal to one of the further processes; return which."""
        others = self.processes()[1:]
        chosen = self.chance.choice(others) if others else 0
        if chosen:
            _send(chosen, number)
        return chosen

    # ---- memory

    def processes(self) -> list[int]:
        """The server's processes."""
        assert self.process is not None
        return [self.process.pid, *children(self.process.pid)]

    async def keep_weighing(self) -> None:
        """Look at the memory from time to time."""
        while True:
            self.memory.append((trio.current_time(), sum(map(_mib, self.processes()))))
            await trio.sleep(_SAMPLE)


def _mib(pid: int) -> float:
    """The proportional set size of a process, in MiB; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _answer_of(reply: dns.message.Message) -> frozenset[str] | None:
    """The addresses of a reply, None for a name that does not exist."""
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return None
    return frozenset(rdata.to_text() for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A for rdata in rrset)


def write_configuration(folder: Path, number: int) -> Path:
    """Write a configuration that answers one name more, another one each time."""
    path = folder / "dnsserver.toml"
    fresh = folder / "fresh.toml"
    fresh.write_text(f'[[answer]]\nname = "own-{number}.example"\nrecords = ["60 A 192.0.2.{number % 250}"]\n')
    return fresh.rename(path)


async def run(seconds: float, seed: int, folder: Path) -> Soak:
    """Run everything for so long."""
    api = ApiServer(bookmark_interval=5)
    fill(api.store, SIZE)
    soak = Soak(api, folder, seed)

    async def outside(query: Query) -> None:
        if not soak.upstream_silent:
            reply = dns.message.make_response(query.message, recursion_available=True)
            question = query.message.question[0]
            if question.rdtype == dns.rdatatype.A and "flood" not in question.name.to_text():
                reply.answer.append(dns.rrset.from_text(question.name, 20, "IN", "A", _OUTSIDE))
            await query.send(reply.to_wire())

    async with trio.open_nursery() as nursery, upstream(outside) as world:
        await nursery.start(api.run)
        flags = ["--config", str(write_configuration(folder, 0)), "--kubeconfig", str(kubeconfig(folder, api))]
        flags += ["--listen", f"{HOST}:0", "--admin", f"{HOST}:0", "--upstream", f"{HOST}:{world.port}"]
        flags += ["--workers", "2", "--state", str(folder / "state")]
        log = (folder / "log").open("w+b")
        command = [sys.executable, "-m", "dnsserver", "serve", *flags]
        soak.process = await trio.lowlevel.open_process(command, stderr=log)
        soak.port = await _port(folder / "log")
        for _ in range(3 * NAMES):
            soak.change()
        await trio.sleep(2 * LAG)
        nursery.start_soon(keep_changing, api, CHANGES)
        for task in (
            soak.keep_changing, soak.keep_asking, soak.keep_flooding, soak.keep_troubling, soak.keep_weighing,
        ):  # fmt: skip
            nursery.start_soon(task)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
        soak.process.terminate()
    with trio.CancelScope(shield=True), trio.move_on_after(30):
        await soak.process.wait()
    return soak


async def _port(log: Path) -> int:
    """The port that the log tells."""
    with trio.fail_after(60):
        while True:
            for line in (await trio.Path(log).read_text()).splitlines():
                with suppress(ValueError):
                    entry = json.loads(line)
                    if entry["event"] == "serving":
                        return int(entry["listen"][0].rpartition(":")[2])
            await trio.sleep(0.2)


def rows(soak: Soak, seconds: float) -> Iterator[tuple[str, str, str]]:
    """What was found, beside what is wanted."""
    troubles = ", ".join(f"{count} {name}" for name, count in sorted(soak.troubles.items()))
    yield "seconds; troubles", f"{seconds:.0f}; {troubles}", ""
    yield "changes of what is asked", f"{soak.changed:,}", ""
    yield "questions asked", f"{soak.asked:,}", ""
    yield "wrong answers", f"{len(soak.wrong)}", "0"
    yield "lost, with workers killed and floods", f"{soak.lost} ({soak.lost / max(1, soak.asked):.3%})", ""
    half = soak.memory[len(soak.memory) // 2 :]
    if len(half) > 2:
        slope = statistics.linear_regression(*zip(*half, strict=True)).slope * 3600
        first, last = (
            statistics.median(mib for _, mib in part) for part in (half[: len(half) // 3], half[-len(half) // 3 :])
        )
        yield "memory of all processes, second half: at first, at last", f"{first:.1f}, {last:.1f} MiB", ""
        yield "its slope", f"{slope:+.1f} MiB an hour", "0"


def main() -> None:
    """Run it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = trio.run(run, options.seconds, options.seed, Path(folder))
    print("| | found | wanted |\n|:---|---:|---:|")
    for row in rows(soak, options.seconds):
        print(f"| {' | '.join(row)} |")
    for line in soak.wrong[:20]:
        print(line)
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()
