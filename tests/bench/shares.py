"""What 64 clients lose, and how long they wait, while one client or a thousand send all they can.

    .venv/bin/python -m tests.bench.shares                  all rows: 7 minutes
    .venv/bin/python -m tests.bench.shares --only udp       rows that have this in their names
    .venv/bin/python -m tests.bench.shares --seconds 3

Each of the 64 asks 100 names a second over UDP, each from an address of its own; the one who loses most is shown. The
attacker is a process beside the server, on the same processors. All on loopback, and each attack ends by itself.
"""

import argparse
import json
import multiprocessing
import random
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from loadtest.deck import Deck
from loadtest.mmsg import BATCH, Calls, Outbox
from loadtest.questions import Manner, Question, encode
from tests.bench.processes import free_port

HOST = "127.0.0.1"
_SERVICES = 2000
_VICTIMS, _RATE = 64, 100.0  # clients, questions a second of each
_SETTLE = 1.0  # seconds of attack before it is looked at
_GRACE = 2.0  # seconds that an answer may take
_NAMES = 60_000  # different ones of an attack: more than what does not exist is kept of
_SOURCES = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)]
_ONE = ["127.0.0.3"]
_NOERROR = 0


class Attack(NamedTuple):
    """What is sent: names with `{}` for something random, or what is done with TCP connections."""

    title: str
    name: str = ""
    sources: Sequence[str] = _ONE
    rate: float = 0.0  # a second, 0 for as many as can be
    upstream: str = "answers"
    connections: str = ""
    workers: int = 1


def _attacks() -> Iterator[Attack]:
    for workers in (1, 2):
        beside = f", {workers} processes" if workers > 1 else ""
        for count, sources in (("one client", _ONE), ("1,000 clients", _SOURCES)):
            who = f"udp, {count}{beside}: "
            yield Attack(who + "existing names", "s{}.shop.svc.cluster.local", sources, workers=workers)
            yield Attack(who + "missing names", "n{}.shop.svc.cluster.local", sources, workers=workers)
            yield Attack(who + "missing namespaces", "web.n{}.svc.cluster.local", sources, workers=workers)
            yield Attack(who + "outside names", "n{}.example.org", sources, workers=workers)
            yield Attack(
                who + "outside, nobody answers", "n{}.example.org", sources, upstream="silent", workers=workers
            )
        yield Attack(f"udp, one client{beside}: one silent name, 20,000/s", "www.example.org", _ONE, 20_000, "silent")
        yield Attack(f"udp, one client{beside}: one silent name", "www.example.org", _ONE, 0, "silent")
    for kind in ("half", "noread", "idle"):
        yield Attack(f"tcp, one client: 1,100 connections, {kind}", connections=kind)


def flood(port: int, name: str, sources: Sequence[str], rate: float, seconds: float) -> None:
    """Send questions about random names from these addresses, a batch from each in turn."""
    names = [Question(name.format(_label(name, number)), "A") for number in range(_NAMES)]
    outbox = Outbox(deck := Deck(names if "{}" in name else names[:1], Manner()))
    clients = []
    for source in sources:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the kernel drops the replies early
        client.bind((source, 0))
        client.connect((HOST, port))
        clients.append(client)
    calls, sent, start = Calls(), 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        if rate and sent >= passed * rate:
            time.sleep(0.001)
            continue
        headers = outbox.number(sent // BATCH * BATCH % (len(deck) // BATCH * BATCH), sent % 60000, BATCH)
        with suppress(OSError):  # the server's buffer is full
            calls.send(clients[sent // BATCH % len(clients)].fileno(), headers, BATCH)
        sent += BATCH


def _label(name: str, number: int) -> str:
    return str(number % _SERVICES) if name.startswith("s{}") else f"{number:x}{random.getrandbits(32):x}"


def connect(port: int, kind: str, seconds: float) -> None:
    """Hold 1,100 connections that ask half a question, much and read nothing, or nothing; closed ones begin again."""
    end = time.monotonic() + seconds
    message = b"\0\1" + encode(Question("big.shop.svc.cluster.local", "A"), Manner()).tail
    data = {"half": b"\0", "noread": (len(message).to_bytes(2) + message) * 40, "idle": b""}[kind]
    selector = selectors.DefaultSelector()
    there = 0
    while time.monotonic() < end:
        for _ in range(min(100, 1100 - there)):
            client = socket.socket()
            client.setblocking(False)
            client.bind(("127.0.0.3", 0))
            client.connect_ex((HOST, port))
            selector.register(client, selectors.EVENT_READ | (selectors.EVENT_WRITE if data else 0))
            there += 1
        for key, events in selector.select(0.02):
            client = key.fileobj  # type: ignore[assignment]
            try:
                if events & selectors.EVENT_WRITE:
                    client.send(data)
                    if kind == "half":
                        selector.modify(client, selectors.EVENT_READ)
                if events & selectors.EVENT_READ and kind != "noread" and not client.recv(4096):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(client)
                client.close()
                there -= 1


class Victims(NamedTuple):
    """The worst of them: the share lost, and the time in which 99 of 100 answers came, in seconds."""

    lost: float
    p99: float


def victims(port: int, seconds: float, count: int = _VICTIMS) -> Victims:
    """Ask as `count` clients, at the moments when it is due, and count what comes back with an address."""
    clients = []
    selector = selectors.DefaultSelector()
    for number in range(count):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setblocking(False)
        client.bind((f"127.0.2.{number + 1}", 0))
        client.connect((HOST, port))
        selector.register(client, selectors.EVENT_READ, number)
        clients.append(client)
    tails = [encode(Question(f"s{number}.shop.svc.cluster.local", "A"), Manner()).tail for number in range(_SERVICES)]
    total = int(seconds * _RATE) * count
    sent: dict[tuple[int, int], float] = {}
    took: list[list[float]] = [[] for _ in range(count)]
    asked, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds + _GRACE and (asked < total or sent):
        now = time.perf_counter() - start
        while asked < total and asked / (count * _RATE) <= now:
            number, turn = asked % count, asked // count
            sent[number, turn & 0xFFFF] = time.perf_counter()
            with suppress(OSError):
                clients[number].send((turn & 0xFFFF).to_bytes(2) + random.choice(tails))
            asked += 1
        for key, _ in selector.select(0.0005):
            with suppress(BlockingIOError, ConnectionRefusedError):
                while True:
                    reply = clients[key.data].recv(512)
                    since = sent.pop((key.data, int.from_bytes(reply[:2])), None)
                    if since is not None and reply[3] & 15 == _NOERROR:
                        took[key.data].append(time.perf_counter() - since)
    wanted = total // count
    worst = min(took, key=len)
    return Victims(1 - len(worst) / wanted, max(_p99(each) for each in took))


def tcp_victims(port: int, seconds: float) -> Victims:
    """Ask ten times a second, each time over a new connection."""
    took: list[float] = []
    message = encode(Question("s1.shop.svc.cluster.local", "A"), Manner()).tail
    wanted, start = int(seconds * 10), time.perf_counter()
    for number in range(wanted):
        time.sleep(max(0, start + number / 10 - time.perf_counter()))
        began = time.perf_counter()
        with suppress(OSError), socket.create_connection((HOST, port), _GRACE, ("127.0.0.2", 0)) as client:
            client.sendall((len(message) + 2).to_bytes(2) + number.to_bytes(2) + message)
            if len(client.recv(4096)) > 12:
                took.append(time.perf_counter() - began)
    return Victims(1 - len(took) / wanted, _p99(took))


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else float("inf")


def upstream(sock: socket.socket, kind: str) -> None:
    """Answer every question with an address, or nothing."""
    while True:
        packet, client = sock.recvfrom(4096)
        if kind == "answers":
            end = packet.index(0, 12) + 5
            head = packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            sock.sendto(head + packet[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", client)


@contextmanager
def served(folder: Path, attack: Attack) -> Iterator[tuple[int, int]]:
    """Give the port of a server with 2,000 services, and its process ID."""
    port, admin = free_port(), free_port()
    ports = [{"name": "http", "port": 80}]
    items: list[dict[str, object]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}]
    items += (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{number}", "namespace": "shop"},
            "spec": {"clusterIP": f"10.96.{number // 250}.{number % 250 + 1}", "ports": ports},
        }
        for number in range(_SERVICES)
    )
    (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        answering = multiprocessing.Process(target=upstream, args=(sock, attack.upstream), daemon=True)
        answering.start()
        command = [sys.executable, "-m", "dnsserver", "serve", "--objects", str(folder / "objects.json")]
        command += ["--listen", f"{HOST}:{port}", "--admin", f"{HOST}:{admin}", "--workers", str(attack.workers)]
        command += ["--upstream", f"{HOST}:{sock.getsockname()[1]}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                while victims(port, 0.1, 4).lost:
                    time.sleep(0.2)
                time.sleep(1.0 if attack.workers > 1 else 0.0)  # until the others answer as well
                yield port, server.pid
            finally:
                server.terminate()
                answering.kill()


def _resident(process: int) -> float:
    """Return MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Print a row of each attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print("| attack | lost of the worst of 64 | p99 of the worst, ms | lost over TCP | MiB |")
    print("|:---|---:|---:|---:|---:|")
    for attack in _attacks():
        if options.only not in attack.title:
            continue
        with tempfile.TemporaryDirectory() as folder, served(Path(folder), attack) as (port, process):
            seconds = _SETTLE + options.seconds + _GRACE
            if attack.connections:
                attacker = multiprocessing.Process(target=connect, args=(port, attack.connections, seconds))
            else:
                arguments = (port, attack.name, attack.sources, attack.rate, seconds)
                attacker = multiprocessing.Process(target=flood, args=arguments)
            attacker.start()
            time.sleep(_SETTLE)
            with multiprocessing.Pool(1) as pool:
                over_tcp = pool.apply_async(tcp_victims, (port, options.seconds))
                found = victims(port, options.seconds)
                tcp = over_tcp.get()
            memory = _resident(process)
            attacker.kill()
            attacker.join()
        row = f"| {attack.title} | {found.lost:.2%} | {found.p99 * 1000:.1f} | {tcp.lost:.1%} | {memory:.0f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
