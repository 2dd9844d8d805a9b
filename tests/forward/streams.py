"""An upstream whose TCP or TLS side does what no DNS library does: it sends any octets that a test gives it."""

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import trio

from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.outcome import Outcome
from dnsserver.forward.settings import ForwardSettings, Transport, UpstreamSpec
from tests.forward.scripted import (
    HOST,
    ask,
    route,
    rrset,
    wait_outcome,
)


class Peer:
    """One accepted connection; `number` counts them from 1."""

    def __init__(self, stream: Any, raw: trio.SocketStream, number: int) -> None:
        self.stream = stream
        self.number = number
        self._raw = raw
        self._buffer = b""

    async def query(self) -> bytes | None:
        """Return the next query, None when the other side has closed."""
        while len(self._buffer) < 2 or len(self._buffer) < 2 + int.from_bytes(self._buffer[:2]):
            data = await self.stream.receive_some(65536)
            if not data:
                return None
            self._buffer += data
        size = 2 + int.from_bytes(self._buffer[:2])
        wire, self._buffer = self._buffer[2:size], self._buffer[size:]
        return wire

    async def send(self, data: bytes) -> None:
        """Send octets as they are."""
        await self.stream.send_all(data)

    async def answer(self, query: bytes) -> None:
        """Answer with the address, properly."""
        await self.send(framed(answered(query)))

    def reset(self) -> None:
        """Have the connection end with an RST."""
        self._raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._raw.socket.close()


Behaviour = Callable[[Peer], Awaitable[None]]


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def answered(query: bytes, *, rcode: int = 0, truncated: bool = False) -> bytes:
    """Return a reply with one address, or with none for an error or a reply that is cut."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    if truncated:
        reply.flags |= dns.flags.TC
    elif not rcode:
        reply.answer.append(rrset(f"{reply.question[0].name} 300 IN A 192.0.2.1"))
    return reply.to_wire()


class StreamUpstream:
    """Where it listens, and what it saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0


@asynccontextmanager
async def stream_upstream(
    behave: Behaviour | None,
    *,
    tls: ssl.SSLContext | None = None,
    truncates: Callable[[bytes], bool] = lambda _: True,
) -> AsyncIterator[StreamUpstream]:
    """Run it; what it sends over UDP is cut where `truncates` says so. Without a behaviour nobody listens on TCP."""
    udp, tcp = _bind()
    server = StreamUpstream(tcp.getsockname()[1])

    async def answer_udp() -> None:
        while True:
            query, client = await udp.recvfrom(65535)
            await udp.sendto(answered(query, truncated=truncates(query)), client)

    async def serve(raw: trio.SocketStream) -> None:
        server.connections += 1
        number = server.connections
        stream: Any = raw
        try:
            async with raw:
                if tls is not None:
                    stream = trio.SSLStream(raw, tls, server_side=True, https_compatible=True)
                    await stream.do_handshake()
                await (behave or _nothing)(Peer(stream, raw, number))
                if tls is not None and raw.socket.fileno() >= 0:
                    await stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    with udp, tcp:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_udp)
            if behave is not None:
                tcp.listen(128)
                nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(tcp)])
            yield server
            nursery.cancel_scope.cancel()


async def _nothing(_: Peer) -> None:
    """Close at once."""


def _bind() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """Return a UDP socket and a TCP one of the same port, which does not listen yet."""
    while True:
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        tcp.bind((HOST, 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return trio.socket.from_stdlib_socket(udp), trio.socket.from_stdlib_socket(tcp)


def over_tcp(server: StreamUpstream) -> ForwardSettings:
    return route(UpstreamSpec(HOST, server.port, Transport.TCP))


async def ask_all(forward: Forwarder, *names: str) -> dict[str, Outcome]:
    """Ask all at once; return the outcomes."""
    outcomes: dict[str, Outcome] = {}

    async def one(name: str) -> None:
        outcomes[name] = await wait_outcome(forward, ask(name))

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(one, name)
    return outcomes


def closes_after(answers: int) -> Behaviour:
    async def behave(peer: Peer) -> None:
        for _ in range(answers):
            if query := await peer.query():
                await peer.answer(query)

    return behave


async def answers(peer: Peer) -> None:
    while query := await peer.query():
        await peer.answer(query)
