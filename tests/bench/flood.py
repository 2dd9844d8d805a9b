"""More questions than can be answered: what is answered still, and whether everything else goes on.

As a program it is the flood: it sends at a fixed rate, from eight sockets that nobody reads, with `sendmmsg`; a load
tool that reads replies cannot ask twice what the server can answer from as many processors.

    python -m tests.bench.flood PORT QUESTIONS RATE SECONDS
"""

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from loadtest.deck import Deck
from loadtest.mmsg import BATCH, Calls, Outbox
from loadtest.questions import Manner, Question, encode, read
from tests.bench.cluster import Cluster
from tests.bench.processes import OTHERS, Running, pinned
from tests.bench.table import Finding

_SOCKETS = 8
_PEAK_SHARE, _VISIBLE, _HEALTHY, _GROWTH = 0.9, 0.1, 0.5, 4 * 1024 * 1024
_FLOOD = 1.5  # times the peak: less than that shows nothing, and means that the sender did not get its processor
_TICK = 0.001  # seconds between two bursts


def main(port: str, questions: str, rate: str, seconds: str) -> None:
    """Send questions, and print how many there were per second."""
    with Path(questions).open() as lines:
        outbox = Outbox(deck := Deck(read(lines, questions), Manner()))
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(_SOCKETS)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the kernel drops the replies early
        client.connect(("127.0.0.1", int(port)))
    calls = Calls()
    sent = 0
    print("begun", flush=True)
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < float(seconds):
        due = int(passed * float(rate))
        if sent >= due:
            time.sleep(_TICK)
            continue
        position = sent // BATCH * BATCH % (len(deck) // BATCH * BATCH)
        headers = outbox.number(position, sent % 60000, BATCH)
        with contextlib.suppress(OSError):  # the server's buffer is full, or its port closed
            calls.send(clients[sent // BATCH % _SOCKETS].fileno(), headers, BATCH)
        sent += BATCH
    print(sent / (time.perf_counter() - start))


class Watched(NamedTuple):
    """What was seen during a flood: `offered` and `answered` per second, times in seconds, memory in octets."""

    offered: float
    answered: float
    visible: list[float]
    healthy: list[float]
    before: int
    after: int


def measure(cluster: Cluster, server: Running, peak: float, seconds: float) -> list[Finding]:
    """Flood the server with twice what it can answer; `peak` is an estimate of what it can, in questions per second."""
    questions = cluster.asked()
    at_peak = _flooded(cluster, server, questions, peak, seconds)
    most = max(at_peak.answered, peak if at_peak.offered < peak else 0.0)
    seen = _flooded(cluster, server, questions, 2 * most, 2 * seconds)
    share = seen.answered / most
    grown = seen.after - seen.before
    offered = seen.offered / most
    return [
        Finding(
            f"flood of {offered:.1f} times the peak of {most:,.0f}/s: answered",
            f"{share:.0%} of the peak",
            f"≥ {_PEAK_SHARE:.0%}" if offered > _FLOOD else "not a flood",
            share >= _PEAK_SHARE if offered > _FLOOD else None,
        ),
        _times("flood: a change in the API is answered (TCP)", seen.visible, _VISIBLE),
        _times("flood: /healthz", seen.healthy, _HEALTHY),
        Finding("flood: memory", f"{grown / 1024:+,.0f} KiB", "flat", grown < _GROWTH),
    ]


def _times(what: str, seconds: list[float], limit: float) -> Finding:
    worst = max(seconds, default=float("inf"))
    found = f"{median(seconds) * 1e3:.0f} ms, at most {worst * 1e3:.0f} ms of {len(seconds)}" if seconds else "never"
    return Finding(what, found, f"≤ {limit * 1e3:.0f} ms", worst <= limit)


def _flooded(cluster: Cluster, server: Running, questions: Path, rate: float, seconds: float) -> Watched:
    """Flood the server, and meanwhile change the cluster and look at the server's health."""
    command: list[str | Path] = [sys.executable, "-m", "tests.bench.flood", str(server.port), questions]
    command += [str(rate), str(seconds)]
    with subprocess.Popen(pinned(command, OTHERS), stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None  # asked for above
        flood.stdout.readline()
        time.sleep(seconds / 4)  # the server's buffer is full
        before, memory, start = answered(server), server.clock.resident(), time.perf_counter()
        healthy: list[float] = []
        probes = threading.Thread(target=_repeat, args=(lambda: healthy.append(health(server)), seconds / 2))
        probes.start()
        visible = list(_changes(cluster, server, start + seconds / 2))
        probes.join()
        passed = time.perf_counter() - start
        after = answered(server)
        offered = float(flood.communicate()[0])
    return Watched(offered, (after - before) / passed, visible, healthy, memory, server.clock.resident())


def _repeat(work: Callable[[], object], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        work()
        time.sleep(0.05)


def _changes(cluster: Cluster, server: Running, end: float) -> Iterator[float]:
    """Change a service's address until `end`; yield the seconds from each request to the API until the new answer."""
    connection = cluster.connect()
    number = 0
    while time.perf_counter() < end:
        number += 1
        address = f"10.200.{number >> 8 & 255}.{number & 255}"
        start = time.perf_counter()
        question = cluster.move(connection, address)
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            while not _ask(client, question).endswith(socket.inet_aton(address)):
                time.sleep(0.002)
        yield time.perf_counter() - start
        time.sleep(0.05)
    connection.close()


def _ask(client: socket.socket, question: Question) -> bytes:
    """Return the reply over TCP: over UDP it could be lost in the flood."""
    message = b"\0\1" + encode(question, Manner()).tail
    client.sendall(len(message).to_bytes(2, "big") + message)
    reply = bytearray()
    while len(reply) < 2 or len(reply) < 2 + int.from_bytes(reply[:2], "big"):
        data = client.recv(65535)
        if not data:
            raise ConnectionError(f"expected a reply about {question.name}, the server closed the connection")
        reply += data
    return bytes(reply)


def health(server: Running) -> float:
    """Return the seconds that /healthz took."""
    start = time.perf_counter()
    page(server, "/healthz")
    return time.perf_counter() - start


def answered(server: Running) -> float:
    """Return how many replies the server has sent since it started."""
    lines = page(server, "/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("coredns_dns_responses_total{"))


def page(server: Running, path: str) -> str:
    """Return a page of the server's admin HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", server.admin, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
