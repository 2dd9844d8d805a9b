"""What an answer costs, beside the C servers that are installed, in one run: `make bench`.

    python -m tests.bench.serve [--rounds 3] [--seconds 1.5] [--only NAME]... [--json FILE]

Figures are the server's processor time for an answered query, in µs, from /proc; "one at a time" is the time until the
reply. Each server is one process pinned to one processor, and dnsperf has another: 8 clients, 200 outstanding, 1,000
different names. The rounds go from server to server, and a ratio is that of one round, so that what the machine does
besides hits both; shown is the median, and how far the rounds lie from it. Only ratios of one run count.

The server under test runs as it is shipped, against an API server with 12,500 services and 125,000 endpoints.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median

import msgspec

from tests.bench import flood, workers
from tests.bench.cluster import Cluster, cluster
from tests.bench.load import Latency, Run, dnsperf, one_at_a_time
from tests.bench.processes import MEASURED, OTHERS, Running, dnsserver, found
from tests.bench.table import OURS, Finding, Row, findings, rows
from tests.bench.yardsticks import ALL, serving

_CHANGES = 100  # a second
_MISSING = 60_000  # names a round
_TCP = ("-m", "tcp", "-c", "100")


class Bench:
    """All servers, running, and how to measure them in turns."""

    def __init__(self, stack: ExitStack, folder: Path, rounds: int, seconds: float, yardsticks: Sequence[str]) -> None:
        self.folder, self.rounds, self.seconds = folder, rounds, seconds
        self.cluster: Cluster = stack.enter_context(cluster(folder))
        self.arguments: list[str | Path] = ["--kubeconfig", self.cluster.kubeconfig]
        self.servers: dict[str, Running] = {OURS: stack.enter_context(self.fresh())}
        zone = self.cluster.zone()
        for yardstick in ALL:
            if yardstick.name in yardsticks:
                self.servers[yardstick.name] = stack.enter_context(serving(yardstick, folder, zone))
        self.runs: dict[str, list[Run]] = {}

    def fresh(self) -> AbstractContextManager[Running]:
        """Return another server under test, which has answered one question when its block begins."""
        return dnsserver(self.folder, self.arguments, self.cluster.question)

    def run(self, name: str, questions: Path, *options: str, server: Running | None = None) -> Run:
        """Run dnsperf once."""
        length = () if "-n" in options else ("-l", f"{self.seconds:g}")
        done = dnsperf(server or self.servers[name], questions, *length, *options)
        self.runs.setdefault(name, []).append(done)
        return done

    def costs(self, names: Sequence[str], questions: Path, *options: str) -> dict[str, list[float]]:
        """Return the costs of each server, one for each round; the servers take turns."""
        present = [name for name in names if name in self.servers]
        for name in present:  # the first time is measured elsewhere
            dnsperf(self.servers[name], questions, "-n", "1", *options)
        costs: dict[str, list[float]] = {name: [] for name in present}
        for _ in range(self.rounds):
            for name in present:
                costs[name].append(self.run(name, questions, *options).cost)
        return costs


Measured = list[Row | Finding]


def again(bench: Bench) -> Measured:
    """Measure cluster names that were asked before."""
    everyone = [OURS, *(yardstick.name for yardstick in ALL)]
    pair = [OURS, "NSD", "Knot"]
    names = bench.cluster
    return [
        Row("name asked before, A", bench.costs(everyone, names.asked()), "NSD", 1.05),
        Row("SRV of a service", bench.costs(pair, names.ports()), "NSD", 1.3),
        Row("A of 10 endpoints", bench.costs(pair, names.endpoints()), "NSD", 1.3),
        Row("SRV of 10 endpoints (EDNS)", bench.costs(pair, names.endpoint_ports(), "-e"), "NSD", 1.3),
    ]


def first(bench: Bench) -> Measured:
    """Measure names that were never asked before, with a new server in each round, beside names at NSD."""
    asked, every = bench.cluster.asked(), bench.cluster.every()
    costs: dict[str, list[float]] = {"service": [], "missing": [], "NSD": []}
    for _ in range(bench.rounds):
        with bench.fresh() as server:
            costs["NSD"].append(bench.run("NSD", asked).cost)
            costs["service"].append(bench.run(OURS, every, "-n", "1", server=server).cost)
            missing = bench.cluster.missing(_MISSING)
            costs["missing"].append(bench.run(OURS, missing, "-n", "1", server=server).cost)
    return [
        Row("all 10,000 services, first time", {OURS: costs["service"], "NSD": costs["NSD"]}, "NSD", 2.0),
        Row("missing names, first time", {OURS: costs["missing"], "NSD": costs["NSD"]}, "NSD", 1.8),
    ]


def changes(bench: Bench) -> Measured:
    """Measure names that were asked before, while their endpoints change."""
    asked = bench.cluster.asked()
    costs: dict[str, list[float]] = {"quiet": [], OURS: []}
    each = []
    for _ in range(bench.rounds):
        quiet = bench.run(OURS, asked)
        with bench.cluster.changing(_CHANGES) as made:
            busy = bench.run(OURS, asked)
        costs["quiet"].append(quiet.cost)
        costs[OURS].append(busy.cost)
        each.append((busy.cost - quiet.cost) * busy.rate / made.rate)
    what = f"{made.rate:.0f} changes/s among the names asked ({median(each):.0f} µs each)"
    return [Row(what, costs, "quiet", 1.1)]


def latency(bench: Bench) -> Measured:
    """Measure how long one question takes if nobody else asks."""
    asked = bench.cluster.asked()
    times: dict[str, list[Latency]] = {OURS: [], "NSD": []}
    for _ in range(bench.rounds):
        for name, done in times.items():
            done.append(one_at_a_time(bench.servers[name], asked, bench.seconds))
    return [
        Row("one at a time, p50", {name: [run.p50 for run in done] for name, done in times.items()}, "NSD", 2.0),
        Row("one at a time, p99", {name: [run.p99 for run in done] for name, done in times.items()}, "NSD", 2.0),
    ]


def tcp(bench: Bench) -> Measured:
    """Measure a hundred persistent TCP connections."""
    costs = bench.costs([OURS, "NSD", "Knot", "Unbound"], bench.cluster.asked(), *_TCP)
    return [Row("TCP, 100 connections", costs, "Unbound", 2.5)]


def flooded(bench: Bench) -> Measured:
    """Measure with twice as many questions as the server can answer."""
    cost = median(run.cost for run in [bench.run(OURS, bench.cluster.asked()) for _ in range(bench.rounds)])
    return [*flood.measure(bench.cluster, bench.servers[OURS], 1e6 / cost, max(2.0, bench.seconds))]


def processes(bench: Bench) -> Measured:
    """Measure two workers on two processors."""
    return [*workers.measure(bench.cluster, bench.folder, bench.arguments, bench.rounds, bench.seconds)]


EXPERIMENTS: dict[str, Callable[[Bench], Measured]] = {
    "again": again,
    "first": first,
    "changes": changes,
    "latency": latency,
    "tcp": tcp,
    "flood": flooded,
    "workers": processes,
}


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one run of a load tool")
    parser.add_argument("--only", action="append", choices=EXPERIMENTS, help="may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    options = parser.parse_args()
    _check_tools()
    os.sched_setaffinity(0, {OTHERS})
    start = time.monotonic()
    measured: Measured = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        present = [yardstick.name for yardstick in ALL if found(yardstick.program)]
        bench = Bench(stack, Path(folder), options.rounds, options.seconds, present)
        for name in options.only or EXPERIMENTS:
            began = time.monotonic()
            measured += EXPERIMENTS[name](bench)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        servers = list(bench.servers)
        rates = {name: bench.runs[name] for name in servers if name in bench.runs}
    _report(measured, servers, rates)
    print(f"\nTook {time.monotonic() - start:.0f} s.", file=sys.stderr)
    if options.json:
        options.json.write_bytes(msgspec.json.encode([one._asdict() for one in measured]))


def _check_tools() -> None:
    """Exit if a tool is missing that is always needed; name the packages that would add columns."""
    packages = {"dnsperf": "dnsperf", "nsd": "nsd", "taskset": "util-linux"}
    lacking = [package for program, package in packages.items() if not found(program)]
    optional = [yardstick.package for yardstick in ALL if not found(yardstick.program)]
    if lacking:
        sys.exit(f"needs {', '.join(lacking)}: apt-get install {' '.join([*lacking, *optional])}")
    if optional:
        print(f"For more columns: apt-get install {' '.join(optional)}", file=sys.stderr)


def _report(measured: Measured, servers: Sequence[str], runs: dict[str, list[Run]]) -> None:
    found_rows = [one for one in measured if isinstance(one, Row)]
    found_properties = [one for one in measured if isinstance(one, Finding)]
    if found_rows:
        print("\n".join(rows(found_rows, servers)))
    if found_properties:
        print("\n" + "\n".join(findings(found_properties)))
    lost = {name: sum(run.lost for run in done) for name, done in runs.items() if any(run.lost for run in done)}
    where = f"servers on processor {MEASURED}, load on processor {OTHERS} of {os.cpu_count()}"
    system = os.uname()
    python = ".".join(map(str, sys.version_info[:3]))
    print(
        f"\nLinux {system.release} {system.machine}, Python {python}, {where}; load average {os.getloadavg()[0]:.1f}."
    )
    if lost:
        print("Lost: " + ", ".join(f"{name} {count}" for name, count in lost.items()) + ".")


if __name__ == "__main__":
    main()
