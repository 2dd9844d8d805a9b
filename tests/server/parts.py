"""The parts of a server without a cluster, on loopback: a fixed zone, an outside that answers on command."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import dns.message
import pytest
import trio

from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.batch import BatchPort
from dnsserver.server.connection import TcpLimits
from dnsserver.server.guard import Guard
from dnsserver.server.lanes import Alone
from dnsserver.server.respond import Responder
from dnsserver.server.room import Room
from dnsserver.server.tcp import TcpServer, listen
from dnsserver.server.udp import UdpServer, bind
from dnsserver.server.udp_port import UdpPort
from dnsserver.server.unbatched import UnbatchedPort
from dnsserver.wire.message import NOERROR, RRset
from dnsserver.wire.reply import compose
from dnsserver.wire.zonefile import read_zone
from dnsserver.zone.static import StaticZone
from tests.free_port import free_port
from tests.outside import Outside

HOST = "127.0.0.1"
LARGE = "large.shop."
ZONE = (
    """\
$ORIGIN shop.
@ 300 IN SOA ns hostmaster 1 7200 1800 86400 60
web 300 IN A 10.96.0.1
"""
    + "".join(f"medium 300 IN TXT {letter * 250}\n" for letter in "mn")
    + "".join(f"large 300 IN TXT {'x' * 250}{n:05}\n" for n in range(240))
)


class Parts:
    """A server's parts, and what was asked of them."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.outside = Outside()
        self.outside.clock = trio.current_time
        self.replies = ReplyCache()
        chain = Chain([StaticZone(read_zone(ZONE))])
        self.ports: list[UdpPort] = []
        self.responder = Responder(chain, self.outside, self.replies, trio.current_time, guard=guard)

    @asynccontextmanager
    async def udp(
        self, host: str = HOST, kind: type[BatchPort] | type[UnbatchedPort] = BatchPort
    ) -> AsyncIterator[int]:
        """Answer on UDP, and return the port."""
        sock = bind(host, 0)
        server = UdpServer(sock, self.responder)
        server.port = kind(sock, server.port.table, self.responder)
        self.ports.append(server.port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield sock.getsockname()[1]
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def tcp(self, limits: TcpLimits | None = None, room: Room | None = None) -> AsyncIterator[TcpServer]:
        """Answer on TCP; `address` tells where. No test's upstream has that port, so nobody else connects to it."""
        limits = limits or TcpLimits()
        server = TcpServer(Alone(listen(HOST, free_port())), self.responder, limits, room)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield server
            nursery.cancel_scope.cancel()

    def deliver(self, size: int = 1) -> None:
        """Have what waits answered, with `size` text records of 200 octets where it asks for TXT."""
        self.outside.finish(partial(_records, size))
        for port in self.ports:
            port.flush()


def query(name: str, number: int = 0, type_: str = "A", **more: Any) -> bytes:
    message = dns.message.make_query(name, type_, id=number, **more)
    return message.to_wire()


def framed(*packets: bytes) -> bytes:
    return b"".join(len(packet).to_bytes(2) + packet for packet in packets)


def _records(size: int, ask: Question, now: float) -> Outcome:
    rdatas = (b"\xc0\0\2\1",) if ask.type == 1 else tuple(b"\xc7%0199d" % number for number in range(size))
    body = compose(ask.name, (RRset(ask.name, ask.type, 0, rdatas),), ())
    return Outcome(NOERROR, body, False, FORWARDED, now, now)


class TcpClient:
    """One connection of a client, which reads message by message."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._in = bytearray()

    async def send(self, *packets: bytes) -> None:
        await self.stream.send_all(framed(*packets))

    async def receive(self) -> dns.message.Message:
        while len(self._in) < 2 or len(self._in) < 2 + int.from_bytes(self._in[:2]):
            data = await self.stream.receive_some()
            assert data, "closed"
            self._in += data
        size = 2 + int.from_bytes(self._in[:2])
        message = dns.message.from_wire(bytes(self._in[2:size]))
        del self._in[:size]
        return message

    async def wait_closed(self) -> bytes:
        """Wait until the server has closed, and return what came before."""
        left = bytes(self._in)
        try:
            while data := await self.stream.receive_some():
                left += data
        except trio.BrokenResourceError:
            pass
        return left

    async def wait_silence(self) -> None:
        """Half-close, and wait until the server closes without having said anything more."""
        await self.stream.send_eof()
        assert not await self.wait_closed()


@asynccontextmanager
async def tcp_client(server: TcpServer, host: str = HOST, *, buffer: int = 0) -> AsyncIterator[TcpClient]:
    """A connection from an address of this machine; `buffer` limits what the kernel takes in for it."""
    sock = trio.socket.socket()
    if buffer:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, buffer)
    await sock.bind((host, 0))
    await sock.connect(server.address)
    async with trio.SocketStream(sock) as stream:
        yield TcpClient(stream)


class UdpClient:
    """A client at an address of this machine."""

    def __init__(self, port: int, host: str = HOST, to: str | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = (to or host if family == socket.AF_INET6 else to or HOST, port)
        self._host = host
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))
        self.sock.connect(self._server)

    async def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.sock.send(packet)

    async def receive(self) -> dns.message.Message:
        await trio.lowlevel.wait_readable(self.sock)
        return dns.message.from_wire(self.sock.recv(65535))

    async def wait_silence(self) -> None:
        """Wait until the server has handled what was sent: it answers in order, so a later reply shows that."""
        with UdpClient(self._server[1], "127.0.0.3") as marker:
            await marker.send(query("web.shop"))
            await marker.receive()
        with pytest.raises(BlockingIOError):
            self.sock.recv(65535)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()


async def wait_gone(server: TcpServer, left: int = 0) -> None:
    """Wait until the server has noticed that its clients are gone."""
    while server.connections > left:
        await trio.lowlevel.checkpoint()
