"""Asks one name all the time, and counts lost questions: `asking.py SERVER PORT RATE NAME` until its input ends.

It is an open loop: it asks at its rate and does not wait for answers. It asks over UDP with a new socket each time,
over UDP sockets that it keeps, and over TCP. It prints JSON for each way: `asked`, `lost` (no answer within four
seconds, or refused), `wrong` (an answer without records) with its `rcodes`, and `at`, the seconds since the start at
which lost and wrong questions were asked.

It runs in a pod or in a network namespace, so it needs only Python's own library.
"""

import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

PATIENCE = 4.0  # seconds, less than the 5 of resolvers: a second question must not hide a lost one
KEPT = 4  # sockets
KEPT_SHARE, TCP_SHARE = 0.25, 0.1  # of the rate
_TICK = 0.002  # seconds between two looks at the clock
_SHOWN = 10


def question(number: int, name: str) -> bytes:
    """A query for the name's A records."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def is_right(reply: bytes) -> bool:
    """Whether a reply has an answer."""
    return len(reply) > 12 and reply[3] & 15 == 0 and reply[6:8] != b"\0\0"


class Way:
    """The results of the questions of one way."""

    def __init__(self) -> None:
        self.asked = 0
        self.lost: list[float] = []
        self.wrong: list[float] = []
        self.rcodes: set[int] = set()
        self.slowest = 0.0

    async def ask(self, began: float, wait_reply: Callable[[], Awaitable[bytes]]) -> None:
        """Ask once; `wait_reply` raises OSError, or never returns, where the question is lost."""
        self.asked += 1
        asked = time.monotonic()
        try:
            reply = await asyncio.wait_for(wait_reply(), PATIENCE)
        except (TimeoutError, OSError, EOFError):
            self.lost.append(round(asked - began, 1))
            return
        self.slowest = max(self.slowest, time.monotonic() - asked)
        if not is_right(reply):
            self.wrong.append(round(asked - began, 1))
            self.rcodes.add(reply[3] & 15)

    def shown(self) -> dict[str, object]:
        return {
            "asked": self.asked,
            "lost": len(self.lost),
            "wrong": len(self.wrong),
            "rcodes": sorted(self.rcodes),
            "at": sorted(self.lost + self.wrong)[:_SHOWN],
            "slowest_ms": round(self.slowest * 1e3, 1),
        }


class Server(NamedTuple):
    """The server that is asked."""

    host: str
    port: int

    def connected(self) -> socket.socket:
        """Return a UDP socket that asks it."""
        client = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        client.setblocking(False)
        client.connect(self)
        return client


class Kept:
    """A UDP socket that is kept: its flow stays with one endpoint as long as connection tracking has it so."""

    def __init__(self, server: Server) -> None:
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._socket = server.connected()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def ask(self, name: str) -> bytes:
        number = random.randrange(65536)
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            self._socket.send(question(number, name))
            return await reply
        finally:
            self._waiting.pop(number, None)

    def _read(self) -> None:
        """Take all that has come: on a busy machine one reply a turn of the loop is too few, and others look lost."""
        while True:
            try:
                reply = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:  # a refusal does not say of which question
                continue
            waiting = self._waiting.get(int.from_bytes(reply[:2], "big"))
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)


async def ask_udp(server: Server, name: str) -> bytes:
    """Ask from a socket of this question's own."""
    with server.connected() as client:
        number = random.randrange(65536)
        client.send(question(number, name))
        while True:
            reply: bytes = await asyncio.get_running_loop().sock_recv(client, 4096)
            if reply[:2] == number.to_bytes(2, "big"):
                return reply


async def ask_tcp(server: Server, name: str) -> bytes:
    """Ask over a connection of this question's own."""
    reader, writer = await asyncio.open_connection(*server)
    try:
        message = question(random.randrange(65536), name)
        writer.write(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()


async def keep_asking(way: Way, rate: float, ask: Callable[[int], Awaitable[bytes]], ended: asyncio.Event) -> None:
    """Ask at a rate until the end, and wait for what is under way then; `ask` takes the number of the question."""
    began = time.monotonic()
    asking: set[asyncio.Task[None]] = set()
    number = 0
    while not ended.is_set():
        while number < (time.monotonic() - began) * rate:
            task = asyncio.create_task(way.ask(began, partial(ask, number)))
            asking.add(task)
            task.add_done_callback(asking.discard)
            number += 1
        await asyncio.sleep(_TICK)
    await asyncio.gather(*asking)


async def main(server: Server, rate: float, name: str) -> None:
    """Ask every way until standard input ends, and print what became of it."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    kept = [Kept(server) for _ in range(KEPT)]
    udp, same, tcp = Way(), Way(), Way()
    await asyncio.gather(
        keep_asking(udp, rate, lambda _: ask_udp(server, name), ended),
        keep_asking(same, rate * KEPT_SHARE, lambda number: kept[number % KEPT].ask(name), ended),
        keep_asking(tcp, rate * TCP_SHARE, lambda _: ask_tcp(server, name), ended),
    )
    json.dump({"udp": udp.shown(), "kept": same.shown(), "tcp": tcp.shown()}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(Server(sys.argv[1], int(sys.argv[2])), float(sys.argv[3]), sys.argv[4]))
