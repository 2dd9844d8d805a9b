"""One run of a load tool against a server, and what the server used meanwhile."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.bench.processes import OTHERS, Running, pinned

CLIENTS, OUTSTANDING = 8, 200


class Run(NamedTuple):
    """`cost` is the server's processor time for an answered query, in µs; `system` the share of it in the kernel."""

    cost: float
    system: float
    rate: float
    lost: int


class Latency(NamedTuple):
    """Percentiles in µs."""

    p50: float
    p99: float


def dnsperf(server: Running, questions: Path, *options: str) -> Run:
    """Ask with dnsperf, in closed loop; `options` say how long, and may override clients and transport."""
    command: list[str | Path] = ["dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", questions]
    command += ["-c", str(CLIENTS), "-q", str(OUTSTANDING), "-t", "1", *options]
    before, split = server.clock.seconds(), server.clock.split()
    text = subprocess.run(pinned(command, OTHERS), capture_output=True, check=True, text=True).stdout
    used = server.clock.seconds() - before
    user, system = (after - earlier for after, earlier in zip(server.clock.split(), split, strict=True))

    def figure(pattern: str) -> float:
        line = re.search(pattern + r"\s*([\d.]+)", text)
        if not line:
            raise ValueError(f"expected {pattern!r} in dnsperf's output, got {text!r}")
        return float(line[1])

    answered = figure("Queries completed:")
    if not answered:
        raise ValueError(f"{server.name} answered nothing: {text!r}")
    lost = int(figure("Queries lost:"))
    return Run(used * 1e6 / answered, system / ((user + system) or 1), figure("Queries per second:"), lost)


def one_at_a_time(server: Running, questions: Path, seconds: float) -> Latency:
    """Ask with the project's load tool, which has percentiles; dnsperf has only the mean."""
    command: list[str | Path] = [sys.executable, "-m", "loadtest", f"127.0.0.1#{server.port}", "-d", questions]
    command += ["-c", "1", "-q", "1", "-l", str(seconds), "--warmup", "0.3", "--json", "-", "--no-progress"]
    done = subprocess.run(pinned(command, OTHERS), capture_output=True, check=True, text=True)
    latency = json.loads(done.stdout)["latency"]
    return Latency(latency["p50"], latency["p99"])
