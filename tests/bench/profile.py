"""Where the time of an answer goes: `make profile`.

    python -m tests.bench.profile [--rounds 5] [--seconds 3]

Three views. Stages of an answer that is made for the first time, in this process: each is run over all names by itself,
and "reply, keep" is what is left of the whole. A batch of known questions, in this process: the two system calls alone,
and with the look-ups between them. The live server beside NSD: user and system time from /proc, and where `perf`
(package linux-perf) is installed, the functions that the processor was found in, by a timer, as virtual machines often
have no hardware counters.
"""

import argparse
import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from loadtest.questions import Manner, encode, read
from tests.bench.cluster import cluster
from tests.bench.load import Run, dnsperf
from tests.bench.names import Names
from tests.bench.processes import MEASURED, OTHERS, Running, dnsserver, found
from tests.bench.stages import batch, stages, zone
from tests.bench.yardsticks import ALL, serving

_MISSING = 10_000
_FUNCTIONS = 25
_PER_SECOND = 1999  # samples; not a multiple of anything the kernel does at regular times


def in_process(folder: Path, rounds: int) -> Iterator[str]:
    """Yield the stages of an answer, and the batch around them, as lines."""
    names, of = Names(folder), zone()
    gc.collect()
    gc.freeze()
    plain, edns = Manner(), Manner(edns=1232)
    kinds = (
        ("A of a service", names.every(), plain),
        ("a name that does not exist", names.missing(_MISSING), plain),
        ("SRV of a service", names.ports(), plain),
        ("A of 10 endpoints", names.endpoints(), plain),
        ("SRV of 10 endpoints, EDNS", names.endpoint_ports(), edns),
    )
    yield "| µs, first time | read | answer | compose | reply, keep | all |"
    yield "|:---|---:|---:|---:|---:|---:|"
    for what, questions, manner in kinds:
        with questions.open() as lines:
            packets = [b"\0\1" + encode(question, manner).tail for question in read(lines, str(questions))]
        runs = [stages(of, packets) for _ in range(rounds)]
        cells = (f"{median(column):.2f}" for column in zip(*runs, strict=True))
        yield f"| {what} | {' | '.join(cells)} |"
    yield ""
    asked = batch(of, names.asked())
    yield (
        f"A known question in a full batch: {asked.whole:.2f} µs, of which the system calls {asked.calls:.2f} µs and "
        f"the look-ups {asked.whole - asked.calls:.2f} µs."
    )


def live(folder: Path, stack: ExitStack, seconds: float) -> Iterator[str]:
    """Yield the times of the server and NSD under load, as lines."""
    of = stack.enter_context(cluster(folder))
    servers = [stack.enter_context(dnsserver(folder, ["--kubeconfig", of.kubeconfig], of.question))]
    servers += [
        stack.enter_context(serving(yardstick, folder, of.zone()))
        for yardstick in ALL
        if yardstick.name == "NSD" and found(yardstick.program)
    ]
    asked = of.asked()
    yield "| µs, live | kernel | program | all |"
    yield "|:---|---:|---:|---:|"
    for server in servers:
        dnsperf(server, asked, "-n", "1")
        run = dnsperf(server, asked, "-l", f"{seconds:g}")
        yield f"| {server.name}, known names | {_split(run)} |"
    server = servers[0]
    # So many take some seconds: the split is sampled a hundred times a second.
    run = dnsperf(server, of.missing(int(seconds * 60_000)), "-n", "1")
    yield f"| {server.name}, missing names, first time | {_split(run)} |"
    if not found("perf"):
        yield "\nFor the functions: apt-get install linux-perf"
        return
    for what, questions, options in (
        ("known names", asked, ("-l", f"{seconds:g}")),
        ("missing names, first time", of.missing(int(seconds * 60_000)), ("-n", "1")),
    ):
        with _recorded(server, folder / "perf.data"):
            run = dnsperf(server, questions, *options)
        yield f"\n{what}: {run.cost:.2f} µs with the recording on\n"
        yield from _report(folder / "perf.data", "dso", run.cost, 6)
        yield ""
        yield from _report(folder / "perf.data", "dso,symbol", run.cost, _FUNCTIONS)


def _split(run: Run) -> str:
    return f"{run.cost * run.system:.2f} | {run.cost * (1 - run.system):.2f} | {run.cost:.2f}"


@contextmanager
def _recorded(server: Running, path: Path) -> Iterator[None]:
    """Record which functions the server runs, until the block ends."""
    command = ["perf", "record", "-e", "cpu-clock", "-F", str(_PER_SECOND), "-o", str(path)]
    command += ["-p", ",".join(map(str, server.clock.pids))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf:
        try:
            yield
        finally:
            perf.send_signal(signal.SIGINT)


def _report(path: Path, sort: str, cost: float, most: int) -> Iterator[str]:
    """Yield the places with most samples, with their µs per query."""
    command = ["perf", "report", "-i", str(path), "--stdio", "--no-children", "-g", "none", "-t", ";", "--sort", sort]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    lines = [line.split(";") for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for words in lines[:most]:
        share = float(words[0].strip().rstrip("%")) / 100
        yield f"    {share:6.1%}  {share * cost:5.2f} µs  {'  '.join(word.strip() for word in words[1:3])}"


def main() -> None:
    """Print the three views."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run of a load tool")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        os.sched_setaffinity(0, {MEASURED})
        for line in in_process(Path(name), options.rounds):
            print(line, flush=True)
        if not found("dnsperf"):
            sys.exit("\nThe live server needs dnsperf: apt-get install dnsperf")
        os.sched_setaffinity(0, {OTHERS})
        print()
        for line in live(Path(name), stack, options.seconds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
