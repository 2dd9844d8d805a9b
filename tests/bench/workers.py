"""Several processes that answer, each on a processor of its own: what that is worth, and when a change is in all."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from loadtest.questions import Manner, encode
from tests.bench.cluster import Cluster
from tests.bench.load import Run, dnsperf
from tests.bench.processes import PROCESSORS, Running, dnsserver
from tests.bench.table import Finding

_WORKERS = 2
# The kernel spreads sockets over the workers by their ports; many packets wait, so that each worker has full batches.
_CLIENTS = ("-c", "64", "-q", "1000")
_ASKERS = 16
_CHANGES = 20
_DEADLINE = 5.0


def measure(
    cluster: Cluster, folder: Path, arguments: Sequence[str | Path], rounds: int, seconds: float
) -> list[Finding]:
    """Measure two workers beside one."""
    if len(PROCESSORS) < _WORKERS:
        return [Finding("two workers", "not measured: there is one processor")]
    question, asked = cluster.question, cluster.asked()
    options = ("--workers", str(_WORKERS))
    with (
        dnsserver(folder, arguments, question, processors=PROCESSORS[:1]) as one,
        dnsserver(folder, [*arguments, *options], question, processors=PROCESSORS[:_WORKERS]) as two,
    ):
        if len(two.clock.pids) < _WORKERS:
            return [Finding("two workers", f"not measured: {' '.join(options)} started no second process")]
        runs: dict[Running, list[Run]] = {one: [], two: []}
        for _ in range(rounds):
            for server, done in runs.items():
                done.append(dnsperf(server, asked, "-l", f"{seconds:g}", *_CLIENTS))
        times = [_everywhere(cluster, two, number) for number in range(_CHANGES)]
    visible = f"{median(times) * 1e3:.0f} ms, at most {max(times) * 1e3:.0f} ms of {len(times)}"
    return [_speed_up(runs[one], runs[two]), Finding("two workers: a change in the API is answered by both", visible)]


def _speed_up(one: Sequence[Run], two: Sequence[Run]) -> Finding:
    """Compare answers per second if the load has a processor of its own, else processor time per query."""
    if len(PROCESSORS) > _WORKERS:
        found = median(b.rate / a.rate for a, b in zip(one, two, strict=True))
        return Finding("two workers: answers a second", f"{found:.2f} times one worker's")
    found = _WORKERS * median(a.cost / b.cost for a, b in zip(one, two, strict=True))
    return Finding("two workers: answers for each second of both processors", f"{found:.2f} times one worker's")


def _everywhere(cluster: Cluster, server: Running, number: int) -> float:
    """Change a service; return the seconds from the request to the API until clients of all workers have seen it.

    Raises TimeoutError.
    """
    address = socket.inet_aton(f"10.201.0.{number}")
    connection = cluster.connect()
    start = time.perf_counter()
    question = cluster.move(connection, socket.inet_ntoa(address))
    connection.close()
    message = b"\0\1" + encode(question, Manner()).tail
    for _ in range(_ASKERS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", server.port))
            client.settimeout(0.2)
            reply = b""
            while not reply.endswith(address):
                if time.perf_counter() - start > _DEADLINE:
                    raise TimeoutError(f"expected {socket.inet_ntoa(address)} from all workers, got {reply!r}")
                client.send(message)
                with suppress(TimeoutError):
                    reply = client.recv(65535)
    return time.perf_counter() - start
