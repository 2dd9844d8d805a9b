"""An HTTP server with a few pages, on loopback, and a client that can send any octets."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import trio

from dnsserver.faults import Faults
from dnsserver.server.admin import bind
from dnsserver.server.http import HttpLimits, Request, Response
from dnsserver.server.http_server import HttpServer

GET = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = 4_000_000  # more than the buffers of both ends of a connection hold


class Rig:
    """A server, and what it was asked."""

    def __init__(self, limits: HttpLimits) -> None:
        self.faults = Faults()
        self.asked: list[Request] = []
        self.http = HttpServer(self.respond, self.faults, costly={"/costly"}, limits=limits)
        self.address = ("", 0)
        self.clients: list[trio.SocketStream] = []
        self.stream_ended = trio.Event()

    def respond(self, request: Request) -> Response:
        self.asked.append(request)
        match request.path:
            case "/big":
                return Response("x" * BIG)
            case "/stream":
                return Response(self.pieces())
            case "/broken-stream":
                return Response(self.broken())
            case _:
                return Response("done\n")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(1, 4):
                yield b"piece %d\n" % number
                await trio.sleep(100)
        finally:
            self.stream_ended.set()

    async def broken(self) -> AsyncGenerator[bytes, None]:
        yield b"piece 1\n"
        raise RuntimeError("a bug")

    async def connect(self, host: str = "127.0.0.1") -> trio.SocketStream:
        sock = trio.socket.socket()
        await sock.bind((host, 0))
        await sock.connect(self.address)
        self.clients.append(trio.SocketStream(sock))
        return self.clients[-1]

    async def talk(self, sent: bytes) -> bytes:
        """Send, and return all that comes until the server closes."""
        stream = await self.connect()
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(sent)
            return await rest(stream)


async def rest(stream: trio.SocketStream) -> bytes:
    """Read until the other side closes."""
    got = b""
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(1 << 20):
            got += data
    return got


async def page(stream: trio.SocketStream) -> bytes:
    """Ask for a page and read it; b"" if the connection is closed."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(GET)
        got = b""
        while not got.endswith(b"done\n"):
            data = await stream.receive_some(4096)
            if not data:
                return b""
            got += data
        return got
    return b""


@contextlib.asynccontextmanager
async def running(**limits: Any) -> AsyncIterator[Rig]:
    rig = Rig(HttpLimits(**limits))
    sock = bind("127.0.0.1", 0)
    rig.address = sock.getsockname()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.http.serve, sock)
        yield rig
        nursery.cancel_scope.cancel()
    assert rig.http.connections == 0
    for stream in rig.clients:
        await trio.aclose_forcefully(stream)


def status(got: bytes) -> int:
    assert got.startswith(b"HTTP/1.1 "), got[:100]
    return int(got[9:12])
