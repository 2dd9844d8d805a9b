"""All that clients can do to a server's memory at once, inside one memory cgroup with the manifest's limit.

    python -m tests.bench.ceiling [SECONDS [WORKERS]]      as root, on Linux; traffic stays on loopback

Each attack is run alone first, for the peak of its own part beside what `dnsserver check` counts for it; then all of
them together, with a victim that asks on: at a share of their rates, and at full rate with the loader's and a command's
memory beside the server's. It holds when nothing was killed and the peak stayed below the limit. Over 400 lines: each
attack stands beside the part of the ceiling that it fills.
"""

import contextlib
import itertools
import json
import os
import random
import resource
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from dnsserver.app import ceiling
from tests.deployment import base

MIB = 1024 * 1024
HOST = "127.0.0.1"
VICTIM, ATTACKER = "127.0.0.2", "127.0.0.3"
_READY = 20.0
_A, _TXT = 1, 16
_TOGETHER = 12  # a share of the rates at which a processor is left for the victim: here it is about memory
_OBJECTS = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
"""


# ---- one memory cgroup


class Group:
    """A memory cgroup of either version."""

    def __init__(self, limit: int) -> None:
        """Make the group. Raises OSError if that is not possible."""
        root = Path("/sys/fs/cgroup")
        self.first = (root / "memory/memory.limit_in_bytes").exists()
        self.path = (root / "memory" if self.first else root) / f"dnsserver-ceiling-{os.getpid()}"
        self.path.mkdir()
        (self.path / ("memory.limit_in_bytes" if self.first else "memory.max")).write_text(str(limit))

    def enter(self) -> None:
        """Move this process into the group."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int:
        """Return the peak of the memory in use, in octets, including the page cache."""
        return int((self.path / ("memory.max_usage_in_bytes" if self.first else "memory.peak")).read_text())

    def kills(self) -> int:
        """Return how many processes the kernel has killed because the group was full."""
        text = (self.path / ("memory.oom_control" if self.first else "memory.events")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def remove(self) -> None:
        """Remove the group, after its processes have ended."""
        for _ in range(50):
            with contextlib.suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.1)


# ---- the outside


def upstream(port: str) -> None:
    """Answer TXT with 63 kB over TCP and TC over UDP, other types with one address; ignore `silent` names over UDP."""
    address = (HOST, int(port))
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
    udp.bind(address)
    listener = socket.create_server(address, backlog=100)
    ready = selectors.DefaultSelector()
    for each in (udp, listener):
        ready.register(each, selectors.EVENT_READ, each)
    waiting: dict[socket.socket, bytes] = {}
    sock: socket.socket
    while True:
        for key, _ in ready.select():
            sock = key.data
            if sock is udp:
                packet, client = udp.recvfrom(4096)
                if b"\6silent" not in packet.lower():
                    udp.sendto(_answer(packet, stream=False), client)
            elif sock is listener:
                made, _ = listener.accept()
                waiting[made] = b""
                ready.register(made, selectors.EVENT_READ, made)
            else:
                data = b""
                with contextlib.suppress(OSError):
                    data = sock.recv(65536)
                waiting[sock] += data
                if not data:
                    ready.unregister(sock)
                    sock.close()
                    continue
                while len(waiting[sock]) > 2 and len(waiting[sock]) >= (end := 2 + int.from_bytes(waiting[sock][:2])):
                    reply = _answer(waiting[sock][2:end], stream=True)
                    waiting[sock] = waiting[sock][end:]
                    with contextlib.suppress(OSError):
                        sock.sendall(len(reply).to_bytes(2) + reply)


def _answer(packet: bytes, *, stream: bool) -> bytes:
    end = packet.index(b"\0", 12) + 5
    if packet[end - 4 : end - 2] == b"\0\x10":
        if not stream:
            return packet[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + packet[12:end]
        records = b"".join(b"\xc0\x0c\0\x10\0\1\0\0\x0e\x10\0\xfb\xfa%08d" % n + b"x" * 242 for n in range(240))
        return packet[:2] + b"\x81\x80\0\1\0\xf0\0\0\0\0" + packet[12:end] + records
    return packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + packet[12:end] + b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"


# ---- attacks: each goes on until its time is over


def _query(name: str, kind: int = _A, flags: int = 0x100, edns: tuple[int, int] | None = None) -> bytes:
    """Return a query with a random ID; `edns` has the size and the flags of an OPT. A library would take too long."""
    head = struct.pack("!HHHHHH", random.getrandbits(16), flags, 1, 0, 0, edns is not None)
    labels = b"".join(bytes((len(label),)) + label for label in name.encode().split(b"."))
    opt = b"" if edns is None else struct.pack("!BHHIH", 0, 41, *edns, 0)
    return b"%b%b\0%b%b" % (head, labels, struct.pack("!HH", kind, 1), opt)


def spellings(port: int, until: float, share: int = 1) -> None:
    """Ask one question with a large answer, with all sizes and flags, over one TCP connection."""
    del share
    with socket.create_connection((HOST, port), source_address=(ATTACKER, 0)) as sock, sock.makefile("rb") as replies:
        for size, do, flags in itertools.product(range(512, 1500), (0, 0x8000), range(0, 0x140, 0x10)):
            if time.time() > until:
                return
            query = _query("big.example.org", _TXT, flags | 0x100, (size, do))
            for _ in range(2):
                sock.sendall(len(query).to_bytes(2) + query)
                replies.read(int.from_bytes(replies.read(2)))


def padded(port: int, until: float, share: int = 1) -> None:
    """Ask for one silent name in packets of 4,000 octets, 20,000 a second."""
    query = _query("silent.example.org") + bytes(3950)
    _flood(port, until, 20_000 / share, lambda number: (number & 0xFFFF).to_bytes(2) + query[2:])


def silent(port: int, until: float, share: int = 1) -> None:
    """Ask for 40,000 silent names of 183 octets, 5,000 a second."""
    label = "x" * 50
    queries = [_query(f"n{n:08}.{label}.{label}.{label}.silent.example.org") for n in range(40_000)]
    _flood(port, until, 5000 / share, lambda number: queries[number % len(queries)])


def missing(port: int, until: float, share: int = 1) -> None:
    """Ask for names of the cluster that do not exist, each three times, and for many types of one that exists."""
    names = [_query(f"n{n}.shop.svc.cluster.local") for n in range(15_000) for _ in range(3)]
    types = [_query("web.shop.svc.cluster.local", n) for n in range(256, 20_000)]
    queries = [query for pair in zip(names, itertools.cycle(types), strict=False) for query in pair]
    _flood(port, until, 8000 / share, lambda number: queries[number % len(queries)])


def outside(port: int, until: float, share: int = 1) -> None:
    """Ask for new outside names, 2,000 a second, each twice."""
    queries = [_query(f"o{n}.example.org") for n in range(60_000)]
    _flood(port, until, 4000 / share, lambda number: queries[number // 2 % len(queries)])


def _flood(port: int, until: float, rate: float, packet: Callable[[int], bytes]) -> None:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind((ATTACKER, 0))
    sock.connect((HOST, port))
    sock.setblocking(False)
    sent, began = 0, time.time()
    while (now := time.time()) < until:
        if sent >= (now - began) * rate:
            time.sleep(0.001)
            continue
        with contextlib.suppress(OSError):
            sock.send(packet(sent))
        sent += 1


def large(port: int, until: float, share: int = 1) -> None:
    """Ask for large answers, each time another one, on 60 connections that read slowly or not at all."""
    del share
    socks = []
    for number in range(60):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((f"127.0.3.{number}", 0))
        sock.connect((HOST, port))
        sock.setblocking(False)
        socks.append(sock)
    asked = itertools.count()
    while time.time() < until:
        for number, sock in enumerate(socks):
            query = _query(f"l{next(asked)}.example.org", _TXT)
            with contextlib.suppress(OSError):
                sock.send(len(query).to_bytes(2) + query)
            if number % 2:
                with contextlib.suppress(OSError):
                    sock.recv(2000)
        time.sleep(0.002)


def half_asked(port: int, until: float, share: int = 1) -> None:
    """Send messages of 60,000 octets on 1,100 connections, in pieces of 3,000 octets."""
    del share
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    socks: list[socket.socket] = []
    while time.time() < until:
        while len(socks) < 1100:
            sock = socket.socket()
            sock.bind((f"127.0.4.{len(socks) % 8}", 0))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect((HOST, port))
            socks.append(sock)
        for index, sock in enumerate(socks):
            try:
                sock.send(b"\xea\x60" + bytes(3000))
            except BlockingIOError:
                continue
            except OSError:
                sock.close()
                del socks[index]
                break
        time.sleep(0.01)


# Each with the parts of the ceiling that it tries to fill.
_REPLIES, _ANSWERS, _UNDER_WAY, _TCP = "finished replies", "answers from", "questions under way", "TCP connections"
ATTACKS: dict[str, tuple[Callable[[int, float, int], None], tuple[str, ...]]] = {
    "spellings": (spellings, (_REPLIES,)),
    "missing": (missing, (_REPLIES,)),
    "outside": (outside, (_REPLIES, _ANSWERS)),
    "padded": (padded, (_UNDER_WAY,)),
    "silent": (silent, (_UNDER_WAY, _ANSWERS)),
    "large": (large, (_TCP, _ANSWERS, "answers on their way")),
    "half_asked": (half_asked, (_TCP,)),
}


def victim(port: str, seconds: str) -> None:
    """Ask for a cluster name and for new outside names, up to 50 a second of each, and print how many were lost."""
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind((VICTIM, 0))
    sock.connect((HOST, int(port)))
    until = time.time() + float(seconds)
    times: list[float] = []
    lost = 0
    while time.time() < until:
        for name in ("web.shop.svc.cluster.local", f"v{random.getrandbits(40):x}.example.org"):
            query = _query(name)
            began = time.time()
            sock.send(query)
            sock.settimeout(1.0)
            try:
                while sock.recv(4096)[:2] != query[:2]:
                    pass
                times.append(time.time() - began)
            except TimeoutError:
                lost += 1
        time.sleep(0.02)
    times.sort()
    asked = len(times) + lost
    print(json.dumps({"asked": asked, "lost": lost, "p99_ms": round(1000 * times[len(times) * 99 // 100], 1)}))


# ---- runs


@contextlib.contextmanager
def served(group: Group, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Run a server in the group; yield its port and its process ID."""
    with tempfile.TemporaryDirectory() as folder:
        objects = Path(folder, "objects.yaml")
        objects.write_text(_OBJECTS)
        port, admin, outside_port = (_free() for _ in range(3))
        own = [sys.executable, "-m", "tests.bench.ceiling"]
        other = subprocess.Popen([*own, "upstream", str(outside_port)])
        flags = [
            "--workers",
            str(workers),
            "--objects",
            str(objects),
            "--listen",
            f"{HOST}:{port}",
            "--admin",
            f"{HOST}:{admin}",
        ]
        command = [sys.executable, "-m", "dnsserver", "serve", *flags, "--upstream", f"{HOST}:{outside_port}"]
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(command, preexec_fn=group.enter, stdout=log, stderr=log)  # noqa: PLW1509
        try:
            _wait_answer(port)
            yield port, server.pid
            if server.poll() is not None:
                raise SystemExit(f"the server has ended, status {server.returncode}: {Path(folder, 'log').read_text()}")
        finally:
            for process in (server, other):
                process.kill()
                process.wait()


def _free() -> int:
    with socket.create_server((HOST, 0)) as sock:
        found: int = sock.getsockname()[1]
        return found


def _wait_answer(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        until = time.time() + _READY
        while time.time() < until:
            sock.sendto(_query("web.shop.svc.cluster.local"), (HOST, port))
            with contextlib.suppress(OSError):
                if sock.recv(4096)[3] & 15 == 0:
                    return
    raise SystemExit("the server does not answer")


def _private(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) * 1024


def _under(attacks: list[str], port: int, pid: int, seconds: float, share: int = 1) -> int:
    """Run attacks, those by UDP at 1/`share` of their rate; return the peak of the first process's private memory."""
    own = [sys.executable, "-m", "tests.bench.ceiling", "attack"]
    running = [subprocess.Popen([*own, attack, str(port), str(seconds), str(share)]) for attack in attacks]
    most = 0
    while any(process.poll() is None for process in running):
        most = max(most, _private(pid))
        time.sleep(0.05)
    return most


@contextlib.contextmanager
def beside(group: Group) -> Iterator[None]:
    """Run in the group what else may run there: the loader of credentials, and a command by `kubectl exec`."""
    stay = "import time; time.sleep(3600)"
    programs = (
        f"import dnsserver.kube.loader, kubernetes.client, kubernetes.config; {stay}",
        f"import dnsserver.cli, dnsserver.app.preflight, dnsserver.app.rehearsal; {stay}",
    )
    running = [subprocess.Popen([sys.executable, "-c", each], preexec_fn=group.enter) for each in programs]  # noqa: PLW1509
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main(seconds: float, workers: int = 1) -> int:
    """Run each attack alone and all of them together; return 0 if the limit holds."""
    config, limit = base()
    config = msgspec.structs.replace(config, workers=workers)
    parts = ceiling.parts(config)
    print(f"{'attack':<12} {'peak above idle, MiB':>22} {'counted for its part':>22}")
    for attack, (_, names) in ATTACKS.items():
        group = Group(limit)
        try:
            with served(group) as (port, pid):
                idle = _private(pid)
                grown = _under([attack], port, pid, seconds) - idle
        finally:
            group.remove()
        counted = sum(part.octets for part in parts if part.name.startswith(names))
        print(f"{attack:<12} {grown / MIB:>22.1f} {counted / MIB:>22.1f}  {', '.join(names)}", flush=True)
    total = ceiling.total(parts)
    held = [_together(limit, 2 * seconds, workers, share, total) for share in (_TOGETHER, 1)]
    return int(not all(held))


def _together(limit: int, seconds: float, workers: int, share: int, total: int) -> bool:
    """Run all attacks together at 1/`share` of their rates, and return whether the limit holds."""
    group = Group(limit)
    try:
        with served(group, workers) as (port, pid), beside(group):
            ask = [sys.executable, "-m", "tests.bench.ceiling", "victim", str(port), str(seconds)]
            asking = subprocess.Popen(ask, stdout=subprocess.PIPE, text=True)
            most = _under(list(ATTACKS), port, pid, seconds, share)
            seen = json.loads(asking.communicate()[0])
        peak, kills = group.peak(), group.kills()
    finally:
        group.remove()
    rate = "full rate" if share == 1 else f"1/{share} of the rate"
    print(
        f"all together, {rate}, {workers} processes: "
        f"private {most / MIB:.0f} MiB, group {peak / MIB:.0f} of {limit / MIB:.0f}, ",
        end="",
    )
    print(f"counted {total / MIB:.0f}, killed {kills}; the victim: {seen}")
    return not kills and peak < limit


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream", port]:
            upstream(port)
        case ["victim", port, seconds]:
            victim(port, seconds)
        case ["attack", attack, port, seconds, share]:
            with contextlib.suppress(ConnectionError):
                ATTACKS[attack][0](int(port), time.time() + float(seconds), int(share))
        case _:
            given = sys.argv[1:] + ["10", "1"][len(sys.argv) - 1 :]
            sys.exit(main(float(given[0]), int(given[1])))
