"""Clients that ask as clients do, and count what comes back."""

import random
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from loadtest.questions import Manner, Question, encode
from tests.bench.attacks import SERVICES, Address

GRACE = 2.0  # seconds that an answer may take
_RATE, _TCP_RATE = 100.0, 10.0  # questions a second of each client
_NOERROR = 0


class Loss(NamedTuple):
    """The largest share that a client lost, and the longest p99 of the answers to a client, in seconds."""

    lost: float
    p99: float


def ask(target: Address, sources: Sequence[str], seconds: float) -> Loss:
    """Ask over UDP as one client from each address, each of them 100 times a second."""
    clients = []
    selector = selectors.DefaultSelector()
    for number, source in enumerate(sources):
        client = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        client.setblocking(False)
        client.bind((source, 0))
        client.connect(target)
        selector.register(client, selectors.EVENT_READ, number)
        clients.append(client)
    count = len(clients)
    tails = [encode(Question(f"s{number}.shop.svc.cluster.local", "A"), Manner()).tail for number in range(SERVICES)]
    total = int(seconds * _RATE) * count
    sent: dict[tuple[int, int], float] = {}
    took: list[list[float]] = [[] for _ in range(count)]
    asked, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds + GRACE and (asked < total or sent):
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
    for client in clients:
        client.close()
    wanted = total // count
    worst = min(took, key=len)
    return Loss(1 - len(worst) / wanted, max(_p99(each) for each in took))


def ask_over_tcp(target: Address, source: str, seconds: float) -> Loss:
    """Ask ten times a second, each time over a new connection."""
    took: list[float] = []
    message = encode(Question("s1.shop.svc.cluster.local", "A"), Manner()).tail
    wanted, start = int(seconds * _TCP_RATE), time.perf_counter()
    for number in range(wanted):
        time.sleep(max(0, start + number / _TCP_RATE - time.perf_counter()))
        began = time.perf_counter()
        with suppress(OSError), socket.create_connection(target, GRACE, (source, 0)) as client:
            client.sendall((len(message) + 2).to_bytes(2) + number.to_bytes(2) + message)
            if len(client.recv(4096)) > 12:
                took.append(time.perf_counter() - began)
    return Loss(1 - len(took) / wanted, _p99(took))


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else float("inf")
