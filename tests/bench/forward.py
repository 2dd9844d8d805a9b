"""Forwarding beside Unbound: the same names through both to the same NSD, in turns, in about three minutes.

    python -m tests.bench.forward

The forwarder under test runs alone on the last processor; NSD, dnsperf and this program share the first. Processor time
is the whole process's, user and system, from /proc. Every figure is the median of the rounds; only ratios of one run
count, as any of them moves by a third with what else the machine does.
"""

import argparse
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles

import dns.message
import dns.rcode

from tests.bench.cpu import Clock
from tests.bench.yardsticks import NSD

# Each port of ours has its admin HTTP on the next one.
NSD_PORT, UNBOUND_PORT, SERVER_PORT, LOSSY_PORT, SICK_PORT = 15401, 15402, 15403, 15405, 15411
ZONE = "bench.example"
CLUSTER_NAME = "web.bench.svc.cluster.local"
SERVER = (
    f"{sys.executable} -m dnsserver serve --config {{folder}}/none.toml --objects {{folder}}/objects.yaml"
    " --listen 127.0.0.1:{port} --admin 127.0.0.1:{admin} {upstreams}"
)
FIRST, LAST = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))

OBJECTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: bench, resourceVersion: "1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: bench, resourceVersion: "2"}
spec: {type: ClusterIP, clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{port: 80}]}
"""

# One thread, everything it caches in memory, no validation: what dnsserver does, too.
UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  num-threads: 1
  do-daemonize: no
  use-syslog: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  module-config: "iterator"
  do-not-query-localhost: no
  use-caps-for-id: yes
  msg-cache-size: 128m
  rrset-cache-size: 256m
  outgoing-range: 4096
  num-queries-per-thread: 2048
remote-control:
  control-enable: no
forward-zone:
  name: "."
"""


def find(program: str) -> str:
    """Return a program's path; ends the run when Debian's package is not installed."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        sys.exit(f"{program} is not installed: apt-get install nsd unbound dnsperf")
    return path


@contextmanager
def running(command: Sequence[str], port: int, processor: int, log: Path) -> Iterator[int]:
    """Run a server on one processor, and yield its process ID when it answers."""
    with log.open("ab") as out:
        process = subprocess.Popen(["taskset", "-c", str(processor), *command], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                ask(port, f"ready.{ZONE}", timeout=0.2)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command[0]} does not answer:\n{log.read_text()[-2000:]}")
                time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(port: int, name: str, timeout: float = 3.0) -> dns.message.Message:
    """Return one answer. Raises OSError if none comes in time."""
    query = dns.message.make_query(name, "A", use_edns=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", port))
        sock.send(query.to_wire())
        return dns.message.from_wire(sock.recv(4096))


class Names:
    """Names for which nobody has asked before."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> list[str]:
        self._next += count
        return [f"n{i}.{ZONE}" for i in range(self._next - count, self._next)]


def load(port: int, pid: int, names: Sequence[str], folder: Path, times: int = 1) -> float:
    """Have dnsperf ask the names; return the server's processor time a query in microseconds."""
    questions = folder / "questions"
    questions.write_text("".join(f"{name} A\n" for name in names))
    before = Clock(pid).seconds()
    command = [find("dnsperf"), "-s", "127.0.0.1", "-p", str(port), "-d", str(questions)]
    output = subprocess.run(
        [*command, "-q", "50", "-c", "4", "-n", str(times)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    spent = Clock(pid).seconds() - before
    answered = re.search(r"NOERROR (\d+)", output)
    count = int(answered[1]) if answered else 0
    if count < 0.999 * len(names) * times:
        sys.exit(f"only {count} of {len(names) * times} answered:\n{output}")
    return spent / count * 1e6


class Waits:
    """Latencies of questions asked one after the other, in milliseconds, and how many failed."""

    def __init__(self, port: int, names: Sequence[str], pause: float = 0.0) -> None:
        self.times: list[float] = []
        self.failures = 0
        query = dns.message.make_query("x.", "A", use_edns=0).to_wire()
        head, tail = query[:12], query[-11 - 4 :]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect(("127.0.0.1", port))
            for name in names:
                labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
                began = time.perf_counter()
                sock.send(head + labels + b"\0" + tail)
                try:
                    self.failures += sock.recv(4096)[3] & 15 != 0
                except TimeoutError:
                    self.failures += 1
                self.times.append((time.perf_counter() - began) * 1000)
                if pause:
                    time.sleep(pause)


def percentile(times: Sequence[float], percent: int) -> float:
    """Return a percentile of some latencies."""
    return quantiles(times, n=100, method="inclusive")[percent - 1]


@contextmanager
def lossy(loss: float) -> Iterator[int]:
    """Relay UDP to NSD and drop this share of the queries; yield the port."""
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {FIRST})
        _relay(loss)
    try:
        yield LOSSY_PORT
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _relay(loss: float) -> None:
    """Pass on the queries that are not dropped, for ever, one after the other."""
    outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    outside.bind(("127.0.0.1", LOSSY_PORT))
    inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inside.connect(("127.0.0.1", NSD_PORT))
    inside.settimeout(1)
    while True:
        query, client = outside.recvfrom(4096)
        if random.random() >= loss:
            inside.send(query)
            outside.sendto(inside.recv(4096), client)


class Bench:
    """All servers and measurements of one run."""

    def __init__(self, folder: Path, server: str, rounds: int, count: int) -> None:
        self._folder = folder
        self._server = server
        self._rounds = rounds
        self._count = count
        self._names = Names()
        (folder / "objects.yaml").write_text(OBJECTS)
        (folder / "none.toml").write_text("")
        (folder / "zone").write_text(
            f"$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns host 1 7200 1800 86400 60\n@ NS ns\nns A 192.0.2.53\n* A 192.0.2.1\n"
        )
        (folder / "nsd.conf").write_text(NSD.format(port=NSD_PORT, folder=folder, zone=ZONE))

    @contextmanager
    def ours(self, *ports: int, port: int = SERVER_PORT) -> Iterator[int]:
        """Run dnsserver with these upstreams."""
        upstreams = " ".join(f"--upstream 127.0.0.1:{upstream}" for upstream in ports)
        command = self._server.format(folder=self._folder, port=port, admin=port + 1, upstreams=upstreams)
        with running(shlex.split(command), port, LAST, self._folder / "server.log") as pid:
            yield pid

    @contextmanager
    def unbound(self, *ports: int) -> Iterator[int]:
        """Run Unbound with these upstreams."""
        config = self._folder / "unbound.conf"
        forward = "".join(f"  forward-addr: 127.0.0.1@{port}\n" for port in ports)
        config.write_text(UNBOUND.format(port=UNBOUND_PORT, folder=self._folder) + forward)
        command = [find("unbound"), "-d", "-c", str(config)]
        with running(command, UNBOUND_PORT, LAST, self._folder / "unbound.log") as pid:
            yield pid

    def run(self) -> None:
        """Measure everything and print it."""
        nsd = [find("nsd"), "-d", "-c", str(self._folder / "nsd.conf")]
        with running(nsd, NSD_PORT, FIRST, self._folder / "nsd.log"):
            with self.ours(NSD_PORT) as pid, self.unbound(NSD_PORT) as peer:
                self._processor_time(pid, peer)
                self._latency()
                self._count_down()
            self._sick_upstreams()
            self._in_flight()

    def _processor_time(self, pid: int, peer: int) -> None:
        cold: tuple[list[float], list[float]] = ([], [])
        warm: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._rounds):
            names = self._names.take(self._count)
            for index, (port, process) in enumerate(((SERVER_PORT, pid), (UNBOUND_PORT, peer))):
                cold[index].append(load(port, process, names, self._folder))
                warm[index].append(load(port, process, names[-1000:], self._folder, self._count // 500))
        for title, limit, (ours, theirs) in (("1 never asked", 0.75, cold), ("2 cached", 1.0, warm)):
            a, b = median(ours), median(theirs)
            print(f"{title}: {a:.1f} us a query, Unbound {b:.1f}, ratio {a / b:.2f} (limit {limit})")

    def _latency(self) -> None:
        figures: list[tuple[int, list[float], list[float]]] = [(50, [], []), (99, [], [])]
        for _ in range(self._rounds):
            names = self._names.take(1500)
            ours, theirs = Waits(SERVER_PORT, names), Waits(UNBOUND_PORT, names)
            for percent, mine, peers in figures:
                mine.append(percentile(ours.times, percent))
                peers.append(percentile(theirs.times, percent))
        for percent, mine, peers in figures:
            a, b = median(mine), median(peers)
            print(f"3 p{percent} one at a time: {a:.3f} ms, Unbound {b:.3f}, ratio {a / b:.2f} (limit 1.2)")

    def _count_down(self) -> None:
        (name,) = self._names.take(1)
        ttls = []
        for _ in range(3):
            ttls.append(ask(SERVER_PORT, name).answer[0].ttl)
            time.sleep(1.1)
        print(f"2 TTLs seen: {ttls}")

    def _sick_upstreams(self) -> None:
        """Ask four servers in turns, so that other work of the machine delays all of them alike."""
        with ExitStack() as stack:
            silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            silent.bind(("127.0.0.1", 0))
            closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            closed.bind(("127.0.0.1", 0))
            dead = closed.getsockname()[1]
            closed.close()
            cases = {
                "healthy": (NSD_PORT,),
                "one dead": (dead, NSD_PORT),
                "one silent": (silent.getsockname()[1], NSD_PORT),
                "one loses 30 %": (stack.enter_context(lossy(0.3)), NSD_PORT),
            }
            ports = {title: SICK_PORT + 2 * number for number, title in enumerate(cases)}
            failures: Counter[str] = Counter()
            times: dict[str, list[float]] = {title: [] for title in cases}
            for title, port in ports.items():
                stack.enter_context(self.ours(*cases[title], port=port))
                failures[title] += Waits(port, self._names.take(100), 0.01).failures  # the first second
            for _ in range(10 * self._rounds):
                for title, port in ports.items():
                    waits = Waits(port, self._names.take(100), 0.001)
                    failures[title] += waits.failures
                    times[title] += waits.times
            healthy = percentile(times["healthy"], 99)
            for title in cases:
                p99 = percentile(times[title], 99)
                print(f"4 {title}: p99 {p99:.2f} ms ({p99 / healthy:.2f} of healthy), failures {failures[title]}")

    def _in_flight(self) -> None:
        """Ask for 10,000 names of an upstream that does not answer, and for a cluster name all the time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            with self._silent_server(silent.getsockname()[1]) as pid:
                if ask(SERVER_PORT, CLUSTER_NAME).rcode() != dns.rcode.NOERROR:
                    print("6 not measured: no cluster")
                    return
                before = Waits(SERVER_PORT, [CLUSTER_NAME] * 1000, 0.001)
                memory = Clock(pid).resident()
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.connect(("127.0.0.1", SERVER_PORT))
                    for i, name in enumerate(self._names.take(10_000)):
                        client.send(dns.message.make_query(name, "A", use_edns=0).to_wire())
                        if i % 100 == 99:
                            time.sleep(0.005)
                    during = Waits(SERVER_PORT, [CLUSTER_NAME] * 1000, 0.001)
                grown = (Clock(pid).resident() - memory) / 2**20
                print(f"6 10,000 in flight: {grown:.1f} MiB more (limit 40)", end=", ")
                p99 = percentile(before.times, 99), percentile(during.times, 99)
                print(f"cluster name p99 {p99[0]:.3f} ms before, {p99[1]:.3f} during")

    @contextmanager
    def _silent_server(self, port: int) -> Iterator[int]:
        with self.ours(port) as pid:
            yield pid


def main() -> None:
    """Parse the flags and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forward", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", type=int, default=30_000, help="never asked names in a round")
    parser.add_argument("--server", default=SERVER, help="another command to measure; {port}, {upstreams}, {folder}")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {FIRST})
    with tempfile.TemporaryDirectory(prefix="bench-forward-") as folder:
        Bench(Path(folder), arguments.server, arguments.rounds, arguments.names).run()


if __name__ == "__main__":
    main()
