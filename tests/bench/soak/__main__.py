"""Does anything grow, or any answer go wrong, in an hour of everything at once?

    .venv/bin/python -m tests.bench.soak                     an hour
    .venv/bin/python -m tests.bench.soak --seconds 300       five minutes

Three processes serve a cluster of an API server in this process that changes all the time, and an upstream of ours. By
chance, every few seconds, two troubles at once. The API server goes away, answers with errors, cuts, garbles or
silences its watches, or has compacted its history; the upstream is silent, late, gone, forges, cuts or garbles. Floods
of one client and of many, connections that say nothing or read nothing; people who look and go away; a log that nobody
reads; a configuration that is right or wrong; a worker that is killed or stopped, but never the oldest. All the while
names are asked whose right answer is known. Ends with status 1 if an answer was wrong, or a bug was counted or logged.

A question is lost after three seconds. An answer is right if it was so at some moment from two seconds before it was
asked until it came. Memory is the proportional set size, and its slope is that after the first third, in which caches
(of 1 MiB here) become full. What a process needed at one time stays with it, in part, when it is free. So that this
does not pass for growth, the worst comes first, twice: floods while the upstream answers, fails, is gone or is silent,
lists begin anew, a worker is killed, the configuration changes, and nobody reads the log. And what is in use in the
first process is shown beside. Real clocks are not moved: they are those of the machine, and `tests/log`, `tests/kube`
and `tests/zone` move theirs.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import trio

from tests.bench.soak.asking import HOST, Asker
from tests.bench.soak.outside import Outside
from tests.bench.soak.troubles import Troubles, write_configuration
from tests.bench.soak.truth import LAG, Truth
from tests.bench.soak.weighing import Samples, growth, mib
from tests.free_port import free_port
from tests.kube.apiserver import ApiServer
from tests.kube.generated import Size, fill, keep_changing
from tests.running import kubeconfig

SIZE = Size(namespaces=50, services=2000, slices=2800, endpoints=8000)
CHANGES = 40  # a second, beside those of the services that are looked at
_SAMPLE = 5.0  # seconds between two looks at memory
_END = 60.0  # seconds within which it has to end, where 25 are its own limit
INSIDE = Path(__file__).parent / "inside"  # what Python imports at the server's start
_BUG = re.compile(r"^(?:coredns_panics_total|dnsserver_faults_total\{[^}]*\}) (\S+)", re.MULTILINE)


class Soak:
    """One run: what goes on, and what was found."""

    def __init__(self, folder: Path, seed: int) -> None:
        chance = random.Random(seed)
        self.api = ApiServer(bookmark_interval=5)
        self.api.port = free_port()  # nobody else gets it while it is away
        self.outside = Outside()
        self.truth = Truth(self.api, random.Random(seed + 1))
        self.troubles = Troubles(self.api, self.truth, self.outside, folder, chance)
        self.asker: Asker | None = None
        self.bugs: list[str] = []
        self.first: list[tuple[float, float]] = []
        self.oldest: list[tuple[float, float]] = []
        self.blocks: list[tuple[float, float]] = []  # of Python's allocator
        self.heap: list[tuple[float, float]] = []  # of malloc, MiB
        self.lines = 0
        self._chance = chance
        self._folder = folder

    async def run(self, seconds: float) -> None:
        """Run everything for so many seconds."""
        fill(self.api.store, SIZE)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.api.run)
            await nursery.start(self.outside.run)
            nursery.start_soon(keep_changing, self.api, CHANGES)  # of the objects that there are by now
            process = await trio.lowlevel.open_process(self._command(), stderr=-1, env=self._environment())
            self.troubles.pid = process.pid
            serving = await nursery.start(self._read, process.stderr)
            port, self.troubles.admin = (int(text.rpartition(":")[2]) for text in serving)
            self.troubles.port = port
            troubles = self.troubles
            self.asker = Asker(self.truth, self._chance, port, troubles.going_on, troubles.outside_going_on)
            self.truth.begin()
            nursery.start_soon(self.truth.keep_changing)
            await trio.sleep(2 * LAG)
            asking = trio.CancelScope()
            nursery.start_soon(self._disturb, asking)
            nursery.start_soon(self._keep_weighing)
            try:
                await trio.sleep(seconds)
            except BaseException:
                process.kill()  # it is not to outlive what went wrong here
                raise
            await self._count_bugs()
            asking.cancel()
            process.terminate()
            with trio.move_on_after(_END):
                await process.wait()
            if process.returncode is None:
                self.bugs.append("it does not end")
                process.kill()
            nursery.cancel_scope.cancel()

    async def _disturb(self, scope: trio.CancelScope) -> None:
        """Ask, and do all troubles, until cancelled."""
        assert self.asker is not None
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.asker.run)
                nursery.start_soon(self.troubles.run)

    def _command(self) -> list[str]:
        flags = ["--config", str(write_configuration(self._folder, 0))]
        flags += ["--kubeconfig", str(kubeconfig(self._folder, self.api))]
        flags += ["--listen", f"{HOST}:0", "--admin", f"{HOST}:0", "--upstream", f"{HOST}:{self.outside.port}"]
        flags += ["--workers", "3", "--state", str(self._folder / "state")]
        return [sys.executable, "-m", "dnsserver", "serve", *flags]

    def _environment(self) -> dict[str, str]:
        paths = [str(INSIDE), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SOAK_IN_USE": str(self._folder / "in-use")}

    async def _read(self, stream: trio.abc.ReceiveStream, *, task_status: trio.TaskStatus[tuple[str, str]]) -> None:
        """Read the log and look for bugs in it; pause during the trouble that nobody reads it."""
        rest, started = b"", False
        while True:
            await self.troubles.reading.wait()
            data = await stream.receive_some(65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            self.lines += len(lines)
            for line in lines:
                if b"Traceback" in line:
                    self.bugs.append(line[:2000].decode(errors="replace"))
                if not started and b'"serving"' in line:
                    with suppress(ValueError, KeyError):
                        entry = json.loads(line)
                        task_status.started((entry["listen"][0], entry["admin"]))
                        started = True

    async def _count_bugs(self) -> None:
        async with await trio.open_tcp_stream(HOST, self.troubles.admin) as stream:
            await stream.send_all(f"GET /metrics HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            text = b"".join([data async for data in stream]).decode()
        found = _BUG.findall(text)
        if not found or any(float(count) for count in found):
            self.bugs.append(f"bugs counted: {_BUG.findall(text)}")

    async def _keep_weighing(self) -> None:
        """Look at the memory from time to time."""
        while True:
            now = trio.current_time()
            self.first.append((now, mib(self.troubles.pid)))
            for worker in self.troubles.workers()[:1]:
                self.oldest.append((now, mib(worker)))
            with suppress(FileNotFoundError):
                blocks, octets = map(int, (self._folder / "in-use").read_text().split())
                self.blocks.append((now, blocks / 1000))
                self.heap.append((now, octets / 2**20))
            await trio.sleep(_SAMPLE)


def rows(soak: Soak, seconds: float) -> Iterator[tuple[str, str, str]]:
    """Yield what was found, beside what is wanted."""
    asker = soak.asker
    assert asker is not None
    counts = soak.troubles.counts
    yield "seconds; troubles", f"{seconds:.0f}; {counts.total()}", ""
    yield "which", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())), ""
    yield "changes of what is asked", f"{soak.truth.changed:,}", ""
    yield (
        "questions asked; upstream asked; lines logged",
        f"{asker.asked:,}; {soak.outside.asked:,}; {soak.lines:,}",
        "",
    )
    yield "replies that came after their question was given up, at the next one's port", f"{asker.late}", ""
    yield "wrong answers", f"{len(asker.wrong)}", "0"
    yield "configurations that were not in force", f"{len(soak.troubles.wrong)}", "0"
    yield "bugs counted or logged", f"{len(soak.bugs)}", "0"
    for what, found in (("lost", asker.lost), ("SERVFAIL for an outside name", asker.failed)):
        yield what, f"{found.total()} ({found.total() / max(1, asker.asked):.3%})", ""
        unexplained = sum(count for name, count in found.items() if "nothing" in name)
        yield f"{what}, while there was no trouble", f"{unexplained}", "0"
        yield f"{what}, mostly during", "; ".join(f"{count} {name}" for name, count in found.most_common(12)), ""
    for name, samples, unit in (
        ("memory of the first process", soak.first, "MiB"),
        ("memory of the oldest worker", soak.oldest, "MiB"),
        ("in use in the first process, by Python's objects", soak.blocks, "thousand blocks"),
        ("in use in the first process, of malloc's heap", soak.heap, "MiB"),
    ):
        grown = growth(_after_a_third(samples, soak.first))
        yield f"{name}, after the first third", grown.text(unit) if grown else "too few minutes", "0"


def _after_a_third(samples: Samples, every: Samples) -> Samples:
    begin = every[0][0] + (every[-1][0] - every[0][0]) / 3
    return [sample for sample in samples if sample[0] >= begin]


def main() -> None:
    """Run the soak, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.seed)
        trio.run(soak.run, options.seconds)
    print("| | found | wanted |\n|:---|---:|---:|")
    for row in rows(soak, options.seconds):
        print(f"| {' | '.join(row)} |")
    wrong = [*(soak.asker.wrong if soak.asker else ()), *soak.troubles.wrong, *soak.bugs]
    for line in wrong[:40]:
        print(line)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
