"""How wrong `/top` is: a load by Zipf's law from many clients, and what the server says of it.

    python -m tests.bench.top [SECONDS]                    on Linux; 4 runs of so many seconds each, 55 unless told

Clients are addresses of 127.0.0.0/8, and each of them draws names: the server is asked as fast as one process can, so
of its packets one in some dozens is sampled. The truth is what was answered. A run has to end within the minute that
the server tells of.
"""

import http.client
import itertools
import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.questions import Manner, Question, encode

_HOST = "127.0.0.1"
_SERVICES, _CLIENTS = 10_000, 500
_SHOWN = 20
_WINDOW = 32  # questions of one client under way
_HEADER = struct.Struct("!H")
_READY = 30.0


class Case(NamedTuple):
    """Exponents of the laws by which names and clients are drawn, and how many processes answer."""

    names: float
    clients: float
    workers: int = 1


_CASES = [Case(0.8, 0.8), Case(1.0, 1.0), Case(1.2, 1.2), Case(1.0, 1.0, 2)]


def main(seconds: str = "55") -> None:
    """Print a row for each case and list."""
    print(
        "| list | asked | one sampled in | share of the first 10 | found of them | their error, mean | told, mean | "
        "shown with the truth inside the error | slack | error of the total |"
    )
    print(f"|---|{'---:|' * 9}")
    for case in _CASES:
        with serving(case.workers) as (port, admin):
            truth = ask(port, case, float(seconds))
            time.sleep(2)
            found = top(admin)
        for name in ("clients", "names"):
            print(row(case, name, truth[name], found), flush=True)


@contextmanager
def serving(workers: int) -> Iterator[tuple[int, int]]:
    """Run a server with many services, and yield its ports of DNS and of admin HTTP."""
    with tempfile.TemporaryDirectory() as folder:
        items: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}]
        for number in range(_SERVICES):
            spec = {"clusterIP": f"10.96.{number // 250}.{number % 250 + 1}", "ports": [{"port": 80}]}
            metadata = {"name": f"s{number}", "namespace": "shop"}
            items.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        (Path(folder) / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        command = [sys.executable, "-m", "dnsserver", "serve", "--objects", folder, "--workers", str(workers)]
        command += ["--listen", f"{_HOST}:0", "--admin", f"{_HOST}:0"]
        settings = Path(folder) / "dnsserver.toml"
        settings.write_text('drain = 0.0\nlog.format = "json"\nupstreams = []\n')
        with subprocess.Popen([*command, "--config", str(settings)], stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                line = next(json.loads(line) for line in process.stderr if '"serving"' in line)
                yield int(line["listen"][0].rpartition(":")[2]), int(line["admin"].rpartition(":")[2])
            finally:
                process.terminate()


def ask(port: int, case: Case, seconds: float) -> dict[str, Counter[str]]:
    """Ask for so long, and return how many answers each client got, and how many answers each name had."""
    chance = random.Random(1)
    names = [Question(f"s{number}.shop.svc.cluster.local.", "A") for number in range(_SERVICES)]
    tails = [encode(question, Manner()).tail for question in names]
    hosts = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(_CLIENTS)]
    by_name = list(itertools.accumulate((rank + 1) ** -case.names for rank in range(_SERVICES)))
    by_client = list(itertools.accumulate((rank + 1) ** -case.clients for rank in range(_CLIENTS)))
    clients: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    with ExitStack() as stack:
        socks = [stack.enter_context(_bound(host, port)) for host in hosts]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            turn = Counter(chance.choices(range(_CLIENTS), cum_weights=by_client, k=_WINDOW * 8))
            drawn = chance.choices(range(_SERVICES), cum_weights=by_name, k=_WINDOW * 8)
            for number, count in turn.items():
                for _ in range(count):
                    name = drawn.pop()
                    asked[names[name].name] += 1
                    socks[number].send(_HEADER.pack(name % 65536) + tails[name])
            for number, count in turn.items():
                clients[hosts[number]] += count
                for _ in range(count):
                    socks[number].recv(512)
    return {"clients": clients, "names": asked}


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.bind((host, 0))
    sock.connect((_HOST, port))
    return sock


def top(admin: int) -> dict[str, Any]:
    """Return what the server says of the last minute."""
    connection = http.client.HTTPConnection(_HOST, admin, timeout=_READY)
    connection.request("GET", f"/top?window=1&limit={_SHOWN}&what=clients,names")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def row(case: Case, what: str, truth: Counter[str], top: dict[str, Any]) -> str:
    """Return a row that compares a list with the truth."""
    listing = top[what]
    shown = {item["client" if what == "clients" else "name"]: item for item in listing["items"]}
    first = [key for key, _ in truth.most_common(10)]
    errors = [abs(shown[key]["count"] / truth[key] - 1) for key in first if key in shown]
    told = [shown[key]["plus_minus"] / truth[key] for key in first if key in shown]
    inside = sum(
        abs(item["count"] - truth[key]) <= item["plus_minus"] + listing["slack"] for key, item in shown.items()
    )
    total = truth.total()
    exponent = case.clients if what == "clients" else case.names
    return (
        f"| {what}, exponent {exponent}{f', {case.workers} processes' if case.workers > 1 else ''} | {total:,} | "
        f"{_every(listing):,.0f} | {100 * _share(truth, first):.0f} % | {len(errors)} | "
        f"{100 * sum(errors) / len(errors):.1f} % | {100 * sum(told) / len(told):.1f} % | {inside} of {len(shown)} | "
        f"{100 * listing['slack'] / total:.2f} % | {100 * (listing['total'] / total - 1):+.2f} % |"
    )


def _share(truth: Counter[str], first: list[str]) -> float:
    """Return the share that the first ones have of all answers."""
    return sum(truth[key] for key in first) / truth.total()


def _every(listing: dict[str, Any]) -> float:
    """Return how many packets a sample stood for, computed from the error that the server gives."""
    item = listing["items"][0]
    rest = 1 - item["count"] / listing["total"]
    return float(1 + (item["plus_minus"] / 1.96) ** 2 / item["count"] / rest)


if __name__ == "__main__":
    main(*sys.argv[1:])
