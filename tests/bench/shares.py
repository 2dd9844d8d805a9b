"""What 64 clients lose, and how long they wait, while one client or a thousand send all they can.

    .venv/bin/python -m tests.bench.shares                  all rows: 8 minutes
    .venv/bin/python -m tests.bench.shares --only tcp       rows that have this in their names
    .venv/bin/python -m tests.bench.shares --seconds 2      less time for each row, 3 by default

Each of the 64 asks 100 names a second over UDP, each from an address of its own, the last one from the network of the
attacker; the one who fares worst is shown. One more asks over TCP, ten times a second, each time over a new connection.
The attacker is a process beside the server, on the same processors, and each attack ends by itself. All of it is in a
network namespace of its own, where each address of 127.0.0.0/8 and of 2001:db8::/32 is at hand (`unshare`, `ip`).
"""

import argparse
import json
import multiprocessing
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench import victims
from tests.bench.attacks import SERVICES, Address, connect, flood
from tests.free_port import free_port

_SETTLE = 1.0  # seconds of attack before it is looked at
_SHARE = 0.8  # of what one client can have answered, in the rows of an honest one
_IP4, _IP6 = "127.0.0.1", "2001:db8::53"
_ONE = {4: ["127.0.0.3"], 6: ["2001:db8:0:3::1"]}
_NETWORK = {
    4: [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)],
    6: [f"2001:db8:1::{number + 1:x}" for number in range(1000)],
}
_NETWORKS = {
    4: [f"127.{3 + number // 250}.{number % 250}.1" for number in range(1000)],
    6: [f"2001:db8:3:{number + 1:x}::1" for number in range(1000)],
}
_VICTIMS = {
    4: [*(f"127.0.2.{number + 1}" for number in range(63)), "127.0.0.4"],
    6: [*(f"2001:db8:2:{number + 1:x}::1" for number in range(63)), "2001:db8:0:3::2"],
}
_SOURCES = (
    ("one client", _ONE),
    ("1,000 clients of few networks", _NETWORK),
    ("1,000 clients of as many networks", _NETWORKS),
)


class Attack(NamedTuple):
    """What is done, from which addresses, and to which address of the server: `at` is dns, second or admin."""

    title: str
    kind: str
    sources: Sequence[str]
    rate: float = 0.0  # packets a second, 0 for as many as can be
    upstream: str = "answers"
    workers: int = 1
    family: int = 4
    stream: bool = False
    at: str = "dns"


_WORST = ("existing names", "missing names", "missing namespaces", "outside names")
_OTHERS = (
    "names of many outside domains",
    "one outside name, DNSSEC",
    "one name in many spellings",
    "names of addresses",
    "ANY",
    "SRV",
    "padding of 3,900 octets",
    "two octets",
    "garbage",
    "half questions",
    "replies",
)
_STREAMS = (
    "idle",
    "one octet each",
    "half a long message",
    "an octet at a time",
    "many questions, nothing read",
    "many questions, slowly read",
    "many questions",
    "outside names",
    "one question each",
    "messages of no octets",
    "garbage",
)


def _attacks() -> Iterator[Attack]:
    for family, workers in ((4, 1), (4, 2), (6, 1)):
        beside = ", IPv6" if family == 6 else f", {workers} processes" if workers > 1 else ""
        made = partial(Attack, workers=workers, family=family)
        for who, sources in _SOURCES:
            title = f"udp, {who}{beside}: "
            for kind in _WORST:
                yield made(title + kind, kind, sources[family])
            yield made(title + "outside, nobody answers", "outside names", sources[family], upstream="silent")
    one = _ONE[4]
    for workers, beside in ((1, ""), (2, ", 2 processes")):
        silent = partial(Attack, kind="one outside name", sources=one, upstream="silent", workers=workers)
        yield silent(f"udp, one client{beside}: one silent name, 20,000/s", rate=20_000)
        yield silent(f"udp, one client{beside}: one silent name")
    for kind in _OTHERS:
        yield Attack(f"udp, one client: {kind}", kind, one)
    yield Attack("udp, one client, at a second address: missing names", "missing names", one, at="second")
    for kind in _STREAMS:
        yield Attack(f"tcp, one client, 1,100 connections: {kind}", kind, one, stream=True)
    for kind in ("one octet each", "many questions, nothing read"):
        yield Attack(f"tcp, one client, IPv6: {kind}", kind, _ONE[6], family=6, stream=True)
        yield Attack(f"tcp, 1,000 clients: {kind}", kind, _NETWORKS[4], stream=True)
    for kind in ("64 that ask for metrics", "silent, at admin HTTP"):
        yield Attack(f"admin HTTP, one client: {kind}", kind, one, stream=True, at="admin")


class Served(NamedTuple):
    """Where a server answers, by `Attack.at`, and its process ID."""

    at: dict[str, Address]
    process: int


def upstream(sock: socket.socket, kind: str) -> None:
    """Answer every question with an address; answer none if `kind` is not `answers`."""
    while True:
        packet, client = sock.recvfrom(4096)
        if kind == "answers":
            end = packet.index(0, 12) + 5
            head = packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            sock.sendto(head + packet[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", client)


@contextmanager
def served(folder: Path, upstream_kind: str = "answers", workers: int = 1, family: int = 4) -> Iterator[Served]:
    """Run a server with 2,000 services."""
    host, ports = (_IP6 if family == 6 else _IP4), {"dns": free_port(), "second": free_port(), "admin": free_port()}
    items: list[dict[str, object]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}]
    items += (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{number}", "namespace": "shop"},
            "spec": {
                "clusterIP": f"10.96.{number // 250}.{number % 250 + 1}",
                "ports": [{"name": "http", "port": 80}],
            },
        }
        for number in range(SERVICES)
    )
    (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    shown = f"[{host}]" if family == 6 else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((_IP4, 0))
        answering = multiprocessing.Process(target=upstream, args=(sock, upstream_kind), daemon=True)
        answering.start()
        command = [sys.executable, "-m", "dnsserver", "serve", "--objects", str(folder / "objects.json")]
        for name in ("dns", "second"):
            command += ["--listen", f"{shown}:{ports[name]}"]
        command += ["--admin", f"{_IP4}:{ports['admin']}", "--workers", str(workers)]
        command += ["--upstream", f"{_IP4}:{sock.getsockname()[1]}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                at = {name: (_IP4 if name == "admin" else host, port) for name, port in ports.items()}
                while victims.ask(at["dns"], _VICTIMS[family][:4], 0.1).lost:
                    time.sleep(0.2)
                time.sleep(1.0 if workers > 1 else 0.0)  # until the others answer as well
                yield Served(at, server.pid)
            finally:
                server.terminate()
                answering.kill()


def _processes(process: int) -> Iterator[int]:
    yield process
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield from _processes(int(child))


def _most_held(process: int) -> tuple[float, int]:
    """Return the highest peak of memory (MiB) and the most open descriptors of any process of a tree."""
    peaks, descriptors = [0.0], [0]
    for each in _processes(process):
        status = Path(f"/proc/{each}/status").read_text()
        peaks += [int(found[1]) / 1024 for found in re.finditer(r"VmHWM:\s+(\d+)", status)]
        descriptors.append(sum(1 for _ in Path(f"/proc/{each}/fd").iterdir()))
    return max(peaks), max(descriptors)


def measure(attack: Attack, seconds: float) -> str:
    """Return the row of an attack."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), attack.upstream, attack.workers, attack.family) as server,
    ):
        target, dns = server.at[attack.at], server.at["dns"]
        lasts = _SETTLE + seconds + victims.GRACE
        if attack.stream:
            attacker = multiprocessing.Process(target=connect, args=(target, attack.kind, attack.sources, lasts))
        else:
            arguments = (target, attack.kind, attack.sources, attack.rate, lasts)
            attacker = multiprocessing.Process(target=flood, args=arguments)
        sources = _VICTIMS[attack.family]
        attacker.start()
        time.sleep(_SETTLE)
        with multiprocessing.Pool(1) as pool:
            over_tcp = pool.apply_async(victims.ask_over_tcp, (dns, sources[0], seconds))
            udp = victims.ask(dns, sources, seconds)
            held = _most_held(server.process)
            tcp = over_tcp.get()
        attacker.kill()
        attacker.join()
    cells = (f"{udp.lost:.2%}", f"{udp.p99 * 1000:.1f}", f"{tcp.lost:.1%}", f"{tcp.p99 * 1000:.1f}", f"{held[0]:.0f}")
    return f"| {attack.title} | {' | '.join(cells)} | {held[1]} |"


def honest(workers: int, seconds: float) -> str:
    """Return the row of a client that is alone, and asks at four fifths of the highest rate that is answered."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), workers=workers) as server:
        host, port = server.at["dns"]
        names = Path(folder, "names")
        names.write_text("".join(f"s{number}.shop.svc.cluster.local A\n" for number in range(SERVICES)))
        command = [sys.executable, "-m", "loadtest", "-s", host, "-p", str(port), "-d", str(names), "-c", "1"]
        command += ["--no-progress", "--json", "-", "--warmup", "1"]

        def load(*more: str) -> Load:
            found = subprocess.run([*command, *more], capture_output=True, check=True).stdout
            return msgspec.json.decode(found, type=Load)

        most = load("-l", "2").qps
        found = load("-l", f"{seconds:g}", "-Q", f"{most * _SHARE:.0f}")
        limited = _limited(server.at["admin"])
        memory, descriptors = _most_held(server.process)
    title = f"honest, one client, {workers} processes: {found.qps:,.0f} of {most:,.0f} a second, {limited} limited"
    return f"| {title} | {found.loss:.2%} | {found.latency.p99 / 1000:.1f} | | | {memory:.0f} | {descriptors} |"


class Spread(msgspec.Struct):
    """The latency in the load tool's report, in microseconds."""

    p99: float


class Load(msgspec.Struct):
    """The needed part of the load tool's report."""

    qps: float
    loss: float
    latency: Spread


def _limited(admin: Address) -> int:
    """Return how many packets the server has limited or given up, by its metrics."""
    with urllib.request.urlopen(f"http://{admin[0]}:{admin[1]}/metrics") as response:
        text = response.read().decode()
    found = re.findall(r"^dnsserver_(?:limited|udp_late_drops)_total\S* (\S+)", text, re.MULTILINE)
    return int(sum(map(float, found)))


def main() -> None:
    """Print a row for each attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        command = ["unshare", "--map-root-user", "--net", sys.executable, "-m", "tests.bench.shares", "--inside"]
        sys.exit(subprocess.run([*command, *sys.argv[1:]], check=False).returncode)
    for setting in ("link set lo up", "-6 route add local 2001:db8::/32 dev lo"):
        subprocess.run(["ip", *setting.split()], check=True)
    Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
    print("| attack | lost of the worst of 64 | p99 of the worst, ms | lost over TCP | p99, ms | MiB | descriptors |")
    print("|:---|---:|---:|---:|---:|---:|---:|")
    for attack in _attacks():
        if options.only in attack.title:
            print(measure(attack, options.seconds), flush=True)
    for workers in (1, 2):
        if options.only in "honest":
            print(honest(workers, options.seconds), flush=True)


if __name__ == "__main__":
    main()
