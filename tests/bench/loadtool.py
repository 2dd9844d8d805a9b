"""The load tool beside dnsperf: the same questions to the same NSD, in turns, in less than a minute.

    python -m tests.bench.loadtool

NSD, one server process, runs on the first processor, both tools on the second, where there are two. What to expect:

* Queries a second are bounded by the slower of server and tool, so the tool that costs less shows the higher figure;
  the server's processor time a query should agree, being its own, unless one of them feeds it in larger batches.
* At a fixed rate below both limits the rates must agree. The latencies differ in what they measure: dnsperf
  counts from its send to when it read the reply, the load tool to when the reply came to the socket, and in open loop
  from when the question was due.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from loadtest.cost import ProcessTimes
from loadtest.inventory import Pattern, from_pattern
from loadtest.mixes import mix
from loadtest.questions import write
from loadtest.report import Report
from tests.bench.yardsticks import NSD

PORT = 15399
NAMES = 1000
CLIENTS, OUTSTANDING = 8, 200
PACES = (("closed loop", None), ("20,000 a second", 20_000), ("one at a time", 1))


class Measured(msgspec.Struct, frozen=True):
    """One tool's figures of one run, in microseconds; `late` is the p99 of its own lateness in open loop."""

    qps: float
    lost: int
    mean: float
    p99: float | None
    late: float | None
    own: float
    server: float


@contextmanager
def nsd(folder: Path) -> Iterator[int]:
    """Serve the names from NSD, and yield its process ID when it answers."""
    inventory = from_pattern(Pattern(services=NAMES, namespaces=50), "cluster.local")
    questions = mix({"services": 1}, inventory, missing_names=1, most=NAMES)
    (folder / "questions").write_text(write(questions))
    records = [f"{name}. 5 A 10.1.{i // 250}.{i % 250 + 1}" for i, (name, _) in enumerate(questions)]
    apex = [
        "$ORIGIN cluster.local.",
        "@ 5 SOA ns.dns hostmaster 1 7200 1800 86400 5",
        "@ 5 NS ns.dns",
        "ns.dns 5 A 10.0.0.1",
    ]
    (folder / "zone").write_text("\n".join([*apex, *records]) + "\n")
    (folder / "nsd.conf").write_text(NSD.format(port=PORT, folder=folder, zone="cluster.local"))
    command: list[str | Path] = [
        *pinned(0),
        shutil.which("nsd", path=os.environ["PATH"] + ":/usr/sbin") or "nsd",
        "-d",
        "-c",
        folder / "nsd.conf",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(folder))
            yield process.pid
        finally:
            process.terminate()


def answers(folder: Path) -> bool:
    """Tell whether the server answers the load tool yet."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "loadtest",
        f"127.0.0.1#{PORT}",
        "-d",
        folder / "questions",
        "--count=1",
        "-t0.2",
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; raise TimeoutError if it does not within ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("NSD does not answer")


def pinned(processor: int) -> list[str]:
    """Return the words that pin a command to a processor; none if there is only one, or no `taskset`."""
    enough = (os.cpu_count() or 1) > 1 and shutil.which("taskset")
    return ["taskset", "-c", str(processor)] if enough else []


def loadtool(folder: Path, server: ProcessTimes, seconds: float, rate: int | None) -> Measured:
    """Run the load tool once."""
    out = folder / "report.json"
    pace = pace_options(rate)
    arguments: list[str | Path] = [
        f"127.0.0.1#{PORT}",
        "-d",
        folder / "questions",
        "-l",
        str(seconds),
        *pace,
        "--json",
        out,
    ]
    command: list[str | Path] = [*pinned(1), sys.executable, "-m", "loadtest", *arguments, "--no-progress"]
    _, _, used = timed(command, server)
    report = msgspec.json.decode(out.read_bytes(), type=Report)
    latency, answered = report.latency, report.counts.answered
    assert latency is not None, "no answer at all"
    own = report.cost.own_us or 0.0
    late = report.lateness.p99 if report.lateness else None
    return Measured(report.qps, report.counts.lost, latency.mean, latency.p99, late, own, used * 1e6 / answered)


def dnsperf(folder: Path, server: ProcessTimes, seconds: float, rate: int | None) -> Measured:
    """Run dnsperf once; it has no percentiles."""
    arguments: list[str | Path] = [
        "-s",
        "127.0.0.1",
        "-p",
        str(PORT),
        "-d",
        folder / "questions",
        "-l",
        str(seconds),
        *pace_options(rate),
    ]
    text, own, used = timed([*pinned(1), "dnsperf", *arguments], server)

    def figure(pattern: str) -> float:
        found = re.search(pattern + r"\s*([\d.]+)", text)
        if not found:
            raise ValueError(f"expected {pattern!r} in dnsperf's output, got {text!r}")
        return float(found[1])

    answered = figure("Queries completed:")
    return Measured(
        qps=figure("Queries per second:"),
        lost=int(figure("Queries lost:")),
        mean=figure(r"Average Latency \(s\):") * 1e6,
        p99=None,
        late=None,
        own=own * 1e6 / answered,
        server=used * 1e6 / answered,
    )


def pace_options(rate: int | None) -> list[str]:
    """Return the options for a pace, which are the same for both tools; a rate of 1 stands for one at a time."""
    if rate == 1:
        return ["-c", "1", "-q", "1"]
    return ["-c", str(CLIENTS), "-q", str(OUTSTANDING)] + ([] if rate is None else ["-Q", str(rate)])


def timed(command: Sequence[str | Path], server: ProcessTimes) -> tuple[str, float, float]:
    """Run a command; return its output, its own processor time and the server's meanwhile, in seconds."""
    own, before = os.times(), server.seconds()
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    after, done = server.seconds(), os.times()
    return text, done.children_user + done.children_system - own.children_user - own.children_system, after - before


def main() -> None:
    """Measure both tools in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each of 2 tools x 3 paces x rounds")
    options = parser.parse_args()
    missing = [name for name in ("dnsperf", "nsd") if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing:
        sys.exit(f"expected {' and '.join(missing)}: apt-get install {' '.join(missing)}")
    table = Table(
        "pace",
        "tool",
        "queries/s",
        "lost",
        "mean µs",
        "p99 µs",
        "own late p99",
        "own µs/query",
        "server µs/query",
        "spread of q/s",
    )
    with tempfile.TemporaryDirectory() as name, nsd(Path(name)) as pid:
        server = ProcessTimes([pid])
        for label, rate in PACES:
            rounds = [
                (tool, tool(Path(name), server, options.seconds, rate)) for _ in range(options.rounds) for tool in TOOLS
            ]
            for tool in TOOLS:
                table.add_row(label, tool.__name__, *cells([run for which, run in rounds if which is tool]))
    Console(width=140).print(table)


def cells(runs: list[Measured]) -> list[str]:
    """Return the medians of some runs as texts, and how far their rates are apart."""
    rates = [run.qps for run in runs]
    p99 = [run.p99 for run in runs if run.p99 is not None]
    late = [run.late for run in runs if run.late is not None]
    return [
        f"{median(rates):,.0f}",
        str(sum(run.lost for run in runs)),
        f"{median(run.mean for run in runs):.0f}",
        f"{median(p99):.0f}" if p99 else "-",
        f"{median(late):.0f}" if late else "-",
        f"{median(run.own for run in runs):.2f}",
        f"{median(run.server for run in runs):.2f}",
        f"{(max(rates) - min(rates)) / median(rates):.0%}",
    ]


TOOLS = (loadtool, dnsperf)

if __name__ == "__main__":
    main()
