"""What an API server pays for servers on many nodes, and whether they come back all at once.

    python -m tests.bench.fleet [--servers 50]                                        the API server of the tests
    python -m tests.bench.fleet --kubeconfig FILE --restart COMMAND [--servers 50]    a real one

So many real processes follow it. It is measured while they start, while nothing changes, and while an EndpointSlice
changes 100 times a second; then the API server is killed and started again, once as it was, and once so that it has
forgotten all versions, and each server has to list anew. All the while two of them are asked for a name of the cluster.
A real API server is the one of the kubeconfig, whose user has a token and may write; its objects are those that are
there. COMMAND is run by `sh`: it kills the API server, starts it, returns when it is there, and, where `$COMPACT` is
not empty, compacts etcd in between.

Octets are those of HTTP bodies, less what TLS and TCP add (3 % of a list, 0.1 KB of each event).
"""

import argparse
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from loadtest.questions import Manner, Question, encode
from tests import asking
from tests.bench.cpu import Clock
from tests.bench.follow import Follower
from tests.bench.payer import PROBE, Payer, payer
from tests.bench.processes import wait_until
from tests.bench.table import Finding, findings
from tests.free_port import free_port
from tests.kube.generated import Size

SIZE = Size(namespaces=20, services=10_000, slices=14_300, endpoints=57_200)
RATE = 100.0
_ASKED, _ASKED_RATE = 2, 50.0  # servers that are asked, and how often a second
_KINDS = 3
_LOOK = 0.05  # seconds between two looks at the connections
_PATIENCE = 10.0  # seconds for a change to show
_NICE = 10  # of all other servers, which on nodes of their own would not disturb those that are asked


class Fleet(NamedTuple):
    """The servers, and the API server that they follow."""

    servers: list[Follower]
    at: Payer

    def told(self) -> tuple[float, float]:
        """Return how many octets and complete lists all servers together have received."""
        all_metrics = [one.metrics() for one in self.servers]
        octets, lists = (
            sum(metrics.get(name, 0.0) for metrics in all_metrics)
            for name in ("dnsserver_received_bytes_total", "dnsserver_lists_total")
        )
        return octets, lists

    def watching(self) -> int:
        """Return how many connections to the API server there are; each is a watch, unless something is listed."""
        return _connections(self.at.port)

    def seconds(self) -> float:
        """Return the processor time of all servers, in seconds."""
        return sum(one.clock.seconds() for one in self.servers)

    def resident(self) -> float:
        """Return the median of the servers' resident memory, in MiB."""
        return median(one.memory().now for one in self.servers)


def _connections(port: int) -> int:
    """Return the number of established connections to this port (proc(5), net/tcp)."""
    count = 0
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, _, there, state, *_ = line.split()
            count += state == "01" and int(there.rpartition(":")[2], 16) == port
    return count


def started(fleet: Fleet, count: int, stack: ExitStack, folder: Path) -> list[Finding]:
    """Start all servers at once."""
    before, began = fleet.at.used(), time.monotonic()
    for number in range(count):
        nice = _NICE if number >= _ASKED else 0
        fleet.servers.append(stack.enter_context(_server(fleet.at.kubeconfig, folder / f"{number}", nice)))
    wait_until(lambda: all(one.serving for one in fleet.servers), "all servers ready", 1800)
    took, after = time.monotonic() - began, fleet.at.used()
    for one in fleet.servers:
        one.clock = Clock(one.process.pid)  # what read the credentials has ended
    octets = fleet.told()[0] / count
    return [
        Finding(f"{count} servers start at once: all are ready", f"after {took:.0f} s"),
        Finding("— a server lists", f"{octets / 1e6:.2f} MB"),
        Finding("— the API server pays for each", f"{(after.seconds - before.seconds) / count:.2f} s"),
        Finding("— memory of a server, of the API server", f"{fleet.resident():.0f} MiB, {_mib(after.resident)}"),
    ]


def rested(fleet: Fleet, seconds: float) -> list[Finding]:
    """Measure while nothing changes."""
    wait_until(lambda: fleet.watching() >= len(fleet.servers) * _KINDS, "nothing but watches", 120)
    before, octets, used = fleet.at.used(), fleet.told()[0], fleet.seconds()
    scraped = fleet.at.used()  # what it costs to look, which is not what is looked for
    start = time.monotonic()
    time.sleep(seconds)
    took, after = time.monotonic() - start, fleet.at.used()
    share = max(0.0, after.seconds - scraped.seconds - (scraped.seconds - before.seconds)) / took
    used = (fleet.seconds() - used) / took / len(fleet.servers)
    octets = (fleet.told()[0] - octets) / took / len(fleet.servers)
    return [
        Finding("at rest: watches", f"{fleet.watching()}"),
        Finding("— the API server pays, of a core", f"{share:.1%}"),
        Finding("— a server receives, uses", f"{octets:.0f} octets/s, {used * 1000:.1f} ms/s"),
    ]


def unfollowed(at: Payer, seconds: float) -> float:
    """Return what the API server pays for a change that nobody follows, in seconds of processor time."""
    before = at.used()
    with at.changing(RATE) as made:
        time.sleep(seconds)
    return (at.used().seconds - before.seconds) / len(made)


def changed(fleet: Fleet, seconds: float, alone: float) -> list[Finding]:
    """Measure while slices change, among them the slice of a name that is asked for until the answer shows it."""
    octets, used, before = fleet.told()[0], fleet.seconds(), fleet.at.used()
    start, delays = time.monotonic(), list[float]()
    with fleet.at.changing(RATE) as made:
        _probe(fleet, start + seconds, delays)
        took = time.monotonic() - start
    after, events = fleet.at.used(), len(made) + len(delays)
    octets = (fleet.told()[0] - octets) / len(fleet.servers)
    used = (fleet.seconds() - used) / len(fleet.servers)
    p50, p99 = (sorted(delays)[min(len(delays) - 1, int(len(delays) * share))] * 1000 for share in (0.5, 0.99))
    api = after.seconds - before.seconds
    sent = max(0.0, api / events - alone) / len(fleet.servers)
    return [
        Finding(
            f"{events / took:.0f} changes/s: the API server pays, of a core",
            f"{api / took:.1%}, {alone * events / took:.1%} of it for the changes themselves",
        ),
        Finding("— for each event that it sends", f"{sent * 1e6:.0f} µs"),
        Finding("— a server receives", f"{octets / took / 1000:.0f} KB/s, {octets / events / 1000:.2f} KB an event"),
        Finding("— a server uses", f"{used / took * 1000:.1f} ms/s, {used / events * 1e6:.0f} µs an event"),
        Finding(f"— PUT answered to visible at one of them, of {len(delays)}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"),
    ]


def _probe(fleet: Fleet, end: float, delays: list[float]) -> None:
    """Change the probe's address from time to time, and ask one server each time until it answers with the new one."""
    connection, number = fleet.at.connect(), 0
    query = b"\0\1" + encode(Question(PROBE, "A"), Manner()).tail
    while time.monotonic() < end:
        number += 1
        address = f"10.99.{number >> 8}.{number & 255}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(_PATIENCE)
            client.connect(("127.0.0.1", fleet.servers[number % len(fleet.servers)].port))
            fleet.at.move(connection, address)
            start = time.perf_counter()
            while not _shows(client, query, address):
                if time.perf_counter() - start > _PATIENCE:
                    raise TimeoutError(f"expected within {_PATIENCE:.0f} s: {address}")
                time.sleep(0.0005)
            delays.append(time.perf_counter() - start)
        time.sleep(0.1)
    connection.close()


def _shows(client: socket.socket, query: bytes, address: str) -> bool:
    client.send(query)
    return client.recv(512).endswith(socket.inet_aton(address))


def restarted(fleet: Fleet, seconds: float, *, compacted: bool) -> list[Finding]:
    """Kill the API server and start it again, while a name is asked for."""
    octets, lists = fleet.told()
    looks = list[tuple[float, int]]()
    stop = threading.Event()
    looker = threading.Thread(target=_look, args=(fleet, looks, stop))
    with _asked(fleet.servers[:_ASKED]) as questions:
        time.sleep(1)
        looker.start()
        fleet.at.restart(compacted=compacted)
        there, wanted = time.monotonic(), len(fleet.servers) * _KINDS
        time.sleep(2)
        first = fleet.at.used()
        wait_until(lambda: _all_watch(fleet), "all watches", 600)
        back = time.monotonic()
        time.sleep(max(0.0, seconds - (back - there)))
        last = fleet.at.used()
        stop.set()
        looker.join()
    octets_now, lists_now = fleet.told()
    listed, octets = lists_now - lists, (octets_now - octets) / len(fleet.servers)
    lost = [way[key] for result in questions for way in result.values() for key in ("asked", "lost", "wrong")]
    asked, gone, wrong = (sum(lost[place::3]) for place in range(3))
    what = "restarted, all versions forgotten" if compacted else "restarted"
    low = min(range(len(looks)), key=lambda place: looks[place][1])
    first_back, *times = (_reached(looks[low:], share * wanted) for share in (1 / wanted, 0.1, 0.5, 0.9, 1.0))
    shown = ", ".join(f"{each - first_back:.1f}" for each in times)
    return [
        Finding(
            f"the API server is {what}: 10, 50, 90, 100 % of {wanted} connections are back",
            f"{shown} s after the first",
        ),
        Finding("— full lists, octets to a server", f"{listed:.0f}, {octets / 1e6:.2f} MB"),
        Finding(
            "— the API server pays until all watch again",
            f"{last.seconds:.1f} s in {back - there:.0f} s ({first.seconds:.1f} in the first 2), "
            f"memory {_mib(last.resident)}",
        ),
        Finding("— lost, wrong of what was asked", f"{gone}, {wrong} of {asked:,}", "0, 0", gone + wrong == 0),
    ]


def _look(fleet: Fleet, looks: list[tuple[float, int]], stop: threading.Event) -> None:
    while not stop.wait(_LOOK):
        looks.append((time.monotonic(), fleet.watching()))


def _all_watch(fleet: Fleet) -> bool:
    time.sleep(0.5)
    try:
        return all(one.page("/metrics").count('state="watching"') == _KINDS for one in fleet.servers)
    except OSError:  # so many processes on few processors: one of them is busy
        return False


def _reached(looks: Sequence[tuple[float, int]], wanted: float) -> float:
    """Return when there were so many connections; infinity if that was never so."""
    return next((at for at, count in looks if count >= wanted), math.inf)


@contextmanager
def _asked(servers: Sequence[Follower]) -> Iterator[list[dict[str, Any]]]:
    """Ask servers until the block ends; the results are in the list then."""
    results: list[dict[str, Any]] = []
    command = [sys.executable, asking.__file__, "127.0.0.1"]
    askers = [
        subprocess.Popen(
            [*command, str(one.port), str(_ASKED_RATE), PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for one in servers
    ]
    try:
        yield results
        results += [msgspec.json.decode(asker.communicate()[0]) for asker in askers]
    finally:
        for asker in askers:
            asker.kill()
            asker.wait()


@contextmanager
def _server(kubeconfig: Path, folder: Path, nice: int) -> Iterator[Follower]:
    folder.mkdir()
    port, admin = free_port(), free_port()
    command: list[str | Path] = [sys.executable, "-m", "dnsserver", "serve", "--kubeconfig", kubeconfig]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--upstream", "127.0.0.1:9"]
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, preexec_fn=lambda: os.nice(nice))  # noqa: PLW1509
    try:
        yield Follower(process, port, admin, folder / "log")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _mib(octets: float) -> str:
    return f"{octets / 2**20:.0f} MiB"


def measure(at: Payer, count: int, seconds: float, *, restarts: bool) -> Iterator[list[Finding]]:
    """Play one scene after the other, and yield the rows of each."""
    at.prepare()
    alone = unfollowed(at, seconds / 2)
    with TemporaryDirectory(prefix="fleet-") as folder, ExitStack() as stack:
        fleet = Fleet([], at)
        yield started(fleet, count, stack, Path(folder))
        yield rested(fleet, seconds)
        yield changed(fleet, seconds, alone)
        if restarts:
            yield restarted(fleet, seconds, compacted=False)
            yield restarted(fleet, seconds, compacted=True)


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each scene")
    parser.add_argument("--kubeconfig", type=Path, help="of a real API server; default is that of the tests")
    parser.add_argument("--restart", default="", help="a command that kills a real one and starts it again")
    options = parser.parse_args()
    rows: list[Finding] = []
    with payer(options.kubeconfig, options.restart, SIZE) as at:
        restarts = options.kubeconfig is None or bool(options.restart)
        for some in measure(at, options.servers, options.seconds, restarts=restarts):
            rows += some
            for line in list(findings(some))[2:]:
                print(line, file=sys.stderr, flush=True)
    print("\n".join(findings(rows)))


if __name__ == "__main__":
    main()
