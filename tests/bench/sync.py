"""Start, memory and change-to-answer at full cluster size: `make bench-sync`.

    python -m tests.bench.sync [--only NAME]... [--quick] [--seconds 20] [--events 1800000] [--json FILE]

The API server runs in a process of its own: 10,000 services, 15,000 slices of 60,000 endpoints, and where it
says so 150,000 pods of 6 kB, `pods = verified`. Starts are measured on all processors; all else has the server under
test on one processor, and everything else on another. The full length of the changes is `--seconds 60`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from dnsserver.kube.snapshot import NAME
from loadtest.questions import Question
from tests.bench import changes, churn, processes
from tests.bench.follow import FULL, TENTH, WITHOUT_PODS, Api, Follower, api, asked, asking, following
from tests.bench.processes import MEASURED, OTHERS, PROCESSORS, ask, wait_until
from tests.bench.table import Finding, findings
from tests.kube.generated import service

_NOERROR, _RCODE = 0, 15
_IMPORTS = "import dnsserver.start, dnsserver.log, dnsserver.app.server"
_RATE = 2_000


class Options(NamedTuple):
    """How long and how often."""

    rounds: int
    seconds: float
    events: int


class Bench:
    """The API servers, made when first needed."""

    def __init__(self, stack: ExitStack, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self._stack = stack
        self._apis: dict[str, Api] = {}

    def api(self, *, pods: bool, paged: bool = False) -> Api:
        """Return an API server of full size."""
        key = f"pods={pods} paged={paged}"
        if key not in self._apis:
            size, flags = (FULL if pods else WITHOUT_PODS), (["--no-streaming"] if paged else [])
            self._apis[key] = self._stack.enter_context(api(self.folder, size, *flags))
        return self._apis[key]


def start(bench: Bench) -> list[Finding]:
    """Measure from the start of the process until it is ready."""
    imports = median(_imports() for _ in range(3))
    rows = [Finding("imports alone", f"{imports:.2f} s", "", True)]
    for way, paged in (("streaming list", False), ("pages", True)):
        at = bench.api(pods=False, paged=paged)
        times, used = [], []
        for _ in range(bench.options.rounds):
            with following(bench.folder, at) as (follower, took):
                times.append(took)
                used.append(follower.clock.seconds())
        shown = f"{median(times):.2f} s ({min(times):.2f} to {max(times):.2f}), {median(used):.2f} s of processor time"
        rows.append(Finding(f"start to ready, {way}", shown, "≤ 1.6 s", median(times) <= 1.6))
    at = bench.api(pods=True, paged=True)
    bare, alone, times, used = [], [], [], []
    for _ in range(max(1, bench.options.rounds - 1)):
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.bare", at.kubeconfig], capture_output=True, check=True, text=True
        )
        seconds, cpu = msgspec.json.decode(done.stdout, type=tuple[float, float])
        bare.append(seconds)
        alone.append(cpu)
        with following(bench.folder, at) as (follower, took):
            times.append(took)
            used.append(follower.clock.seconds())
    shown = f"bare client {median(bare):.2f} s ({median(alone):.2f} s of processor time)"
    ratio = median(ours / other for ours, other in zip(times, bare, strict=True))
    rows.append(
        Finding(
            "start to ready, 150,000 pods, pages",
            f"{median(times):.2f} s, {median(used):.2f} s of processor time; {shown}; {ratio:.2f} x",
            "≤ 1.3 x",
            ratio <= 1.3,
        )
    )
    return rows


def snapshot(bench: Bench) -> list[Finding]:
    """Measure from the start of the process to the first answer about the cluster, while the API is silent."""
    rows = []
    for what, pods in (("without pods", False), ("150,000 pods", True)):
        at = bench.api(pods=pods, paged=pods)
        state = bench.folder / f"state-{pods}"
        state.mkdir()
        config = bench.folder / "copies.toml"
        config.write_text("[kubernetes]\nsnapshot_interval = 1\n")
        with following(bench.folder, at, "--state", state, "--config", config):
            wait_until((state / NAME).exists, "a snapshot of the zone")
            size = max(path.stat().st_size for path in state.iterdir())
        name = Question(_names(1)[0], "A")
        times = []
        with at.silent():
            for _ in range(bench.options.rounds):
                begin = time.perf_counter()
                with following(bench.folder, at, "--state", state, ready=False) as (follower, _):
                    wait_until(partial(_answers, follower, name), "an answer")
                    times.append(time.perf_counter() - begin - _imports())
        start_of = f"start from a snapshot of the zone ({size / 1e6:.1f} MB), {what}: first answer"
        rows.append(Finding(start_of, f"imports + {median(times):.2f} s", "≤ imports + 0.5 s", median(times) <= 0.5))
    return rows


def memory(bench: Bench) -> list[Finding]:
    """Measure resident memory in the steady state, and its peak at a start and during a full list."""
    rows = []
    for what, pods, paged, limit in (
        ("without pods, streaming list", False, False, 100),
        ("without pods, pages", False, True, 100),
        ("150,000 pods, pages", True, True, 150),
        ("150,000 pods, streaming list", True, False, 150),
    ):
        at = bench.api(pods=pods, paged=paged)
        with following(bench.folder, at) as (follower, _):
            time.sleep(2.0)
            begun = follower.memory()
            lists = follower.metrics()["dnsserver_lists_total"]
            follower.reset_peak()
            took = time.perf_counter()
            at.command("gone")
            follower.wait_relisted(lists)
            took = time.perf_counter() - took
            time.sleep(1.0)
            relisted = follower.memory()
        steady = max(begun.now, relisted.now)
        rows.append(Finding(f"steady memory, {what}", f"{steady:.0f} MiB", f"≤ {limit} MiB", steady <= limit))
        for when, peak in (("start", begun.peak), (f"a full list ({took:.1f} s)", relisted.peak)):
            ratio = peak / begun.now
            rows.append(Finding(f"— peak during {when}", f"{peak:.0f} MiB, {ratio:.2f} x", "≤ 1.25 x", ratio <= 1.25))
    return rows


def relist(bench: Bench) -> list[Finding]:
    """Measure the latency of answers while everything is listed again and again."""
    rows = []
    questions = bench.folder / "relist.questions"
    questions.write_text("".join(f"{name} A\n" for name in _names(1000)))
    for what, pods, paged in (
        ("streaming lists", False, False),
        ("pages", False, True),
        ("pages, 150,000 pods", True, True),
    ):
        at = bench.api(pods=pods, paged=paged)
        at.give_way()
        with following(bench.folder, at, processors=(MEASURED,)) as (follower, _):
            quiet = asked(asking(follower.port, questions, _RATE, 3.0))
            lists = follower.metrics()["dnsserver_lists_total"]
            load = asking(follower.port, questions, _RATE, max(4.0, bench.options.seconds / 3))
            listing = threading.Thread(target=_relist, args=(at, follower, load))
            listing.start()
            found = asked(load)
            listing.join()
            lists = follower.metrics()["dnsserver_lists_total"] - lists
        shown = f"{found.p99:.2f} ms (most {found.delays[-1] * 1000:.1f}; p99 without {quiet.p99:.2f})"
        shown += f", {found.lost} lost of {len(found.delays) + found.lost}, {lists:.0f} lists"
        met = found.p99 <= 5 and not found.lost
        rows.append(Finding(f"p99 at {_RATE} qps during {what}", shown, "≤ 5 ms, 0 lost", met))
    return rows


def changed(bench: Bench) -> list[Finding]:
    """Measure 100 changes a second while 10,000 names a second are asked for."""
    at = bench.api(pods=False)
    with following(bench.folder, at, processors=(MEASURED,)) as (follower, _):
        return changes.measure(at, follower, bench.folder, bench.options.seconds)


def churned(bench: Bench) -> list[Finding]:
    """Measure the changes of five hours, as fast as possible: after one hour, memory has not settled yet.

    The cluster has a tenth of the size, so that each object is replaced several times. Halfway, the dicts have grown
    enough to hold the gaps that removed objects leave.
    """
    with (
        api(bench.folder, TENTH) as at,
        following(bench.folder, at, processors=(MEASURED,)) as (follower, _),
    ):
        return churn.measure(at, follower, bench.options.events)


EXPERIMENTS: dict[str, Callable[[Bench], list[Finding]]] = {
    "start": start,
    "snapshot": snapshot,
    "memory": memory,
    "relist": relist,
    "changes": changed,
    "churn": churned,
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=EXPERIMENTS, help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="once each, and short")
    parser.add_argument("--seconds", type=float, default=20.0, help="of changes, and three times those of a relist")
    parser.add_argument("--events", type=int, default=1_800_000, help="of the churn; an hour has 360,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    given = parser.parse_args()
    options = Options(1, 8.0, 60_000) if given.quick else Options(3, given.seconds, given.events)
    lacking = [program for program in ("dnsperf", "taskset") if not processes.found(program)]
    if lacking:
        sys.exit(f"needs {' and '.join(lacking)}: apt-get install dnsperf util-linux")
    begun = time.monotonic()
    measured: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bench = Bench(stack, Path(folder), options)
        for name in given.only or EXPERIMENTS:
            began = time.monotonic()
            os.sched_setaffinity(0, PROCESSORS if name in {"start", "snapshot"} else {OTHERS})
            rows = EXPERIMENTS[name](bench)
            print("\n".join(list(findings(rows))[2 if measured else 0 :]), flush=True)
            measured += rows
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    system, python = os.uname(), ".".join(map(str, sys.version_info[:3]))
    print(f"\nLinux {system.release} {system.machine}, {os.cpu_count()} processors, Python {python}", end="")
    print(f"; load average {os.getloadavg()[0]:.1f}.")
    print(f"\nTook {time.monotonic() - begun:.0f} s.", file=sys.stderr)
    if given.json:
        given.json.write_bytes(msgspec.json.encode(measured))


def _relist(at: Api, follower: Follower, load: "subprocess.Popen[str]") -> None:
    """While the load lasts, let everything be listed again as soon as the last list is complete."""
    while load.poll() is None:
        lists = follower.metrics()["dnsserver_lists_total"]
        at.command("gone")
        follower.wait_relisted(lists)


def _imports() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
    return time.perf_counter() - begin


def _names(count: int) -> Sequence[str]:
    """Return the names of the first `count` services with a ClusterIP."""
    things = (service(number, FULL) for number in range(FULL.services))
    chosen = [thing for thing in things if thing["spec"].get("clusterIP", "None") != "None"][:count]
    return [f"{thing['metadata']['name']}.{thing['metadata']['namespace']}.svc.cluster.local" for thing in chosen]


def _answers(follower: Follower, question: Question) -> bool:
    try:
        reply = ask(follower.port, question, 0.05)
    except OSError:
        return False
    return reply[3] & _RCODE == _NOERROR and reply[6:8] != b"\0\0"


if __name__ == "__main__":
    main()
