"""TCP: one task a connection reads, another writes what the first could not (RFC 7766: pipelined, out of order).

A question that the reply cache knows is answered where it is read; all replies to what one read brought go out in one
write. An answer that has to wait for the outside is put in line when it comes, so nobody waits behind it.
"""

import socket
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from dnsserver.resolver.reply_cache import Lane, ReplyCache
from dnsserver.server.respond import Responder
from dnsserver.server.udp import FAMILIES

_READ = 65536
_BACKLOG = 1024


class TcpLimits(msgspec.Struct, frozen=True):
    """What one client may take: times in seconds, `backlog` in octets of replies it does not read."""

    connections: int = 1024
    idle: float = 10.0
    partial: float = 3.0
    write: float = 5.0
    backlog: int = 256 * 1024
    in_flight: int = 256


def listen(host: str, port: int, *, reuse_port: bool = False) -> trio.SocketListener:
    """Return a listening TCP socket; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


class TcpServer:
    """Answers the connections of one listening socket."""

    def __init__(
        self,
        listener: trio.SocketListener,
        responder: Responder,
        replies: ReplyCache,
        clock: Callable[[], float],
        limits: TcpLimits,
    ) -> None:
        """Wire it up; connections above the limit are closed at once."""
        self._listener = listener
        self._responder = responder
        self._clock = clock
        self._limits = limits
        self.lane = replies.lane("tcp", FAMILIES[listener.socket.family])
        self.connections = 0
        self.refused = 0

    async def run(self) -> None:
        """Accept until cancelled."""
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._serve, [self._listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self.connections >= self._limits.connections:
            self.refused += 1
            await stream.aclose()
            return
        self.connections += 1
        connection = Connection(stream, self._responder, self.lane, self._clock, self._limits)
        try:
            await connection.serve()
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(stream)


class Connection:
    """One client's connection, from its first query to its last reply."""

    stream = True

    def __init__(
        self,
        stream: trio.SocketStream,
        responder: Responder,
        lane: Lane,
        clock: Callable[[], float],
        limits: TcpLimits,
    ) -> None:
        """Take over an accepted connection."""
        self.lane = lane
        self._stream = stream
        self._responder = responder
        self._clock = clock
        self._limits = limits
        self._out = bytearray()
        self._wake = trio.Event()
        self._waiting = 0
        self._ended = False

    async def serve(self) -> None:
        """Answer until the client is done, silent too long, or does not read."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read()
                self._ended = True
                self._wake.set()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # the client has gone, or is as good as gone

    async def _read(self) -> None:
        """Take in queries until the client's last one."""
        limits = self._limits
        buffer = bytearray()
        while True:
            with trio.move_on_after(limits.partial if buffer else limits.idle):
                data = await self._stream.receive_some(_READ)
                if not data:
                    return
                buffer += data
                used = self._answer(buffer)
                if used is None:
                    return
                del buffer[:used]
                while self._waiting >= limits.in_flight or len(self._out) > limits.backlog:
                    await self._writer_idle()
                continue
            if self._waiting and not buffer:
                continue  # it waits for us, not we for it
            return

    def _answer(self, buffer: bytearray) -> int | None:
        """Answer the whole messages in `buffer`; return how many octets they took, or None to hang up."""
        get = self.lane.replies.get
        now = self._clock()
        position = 0
        end = len(buffer)
        out = self._out
        while end - position >= 2:
            size = buffer[position] << 8 | buffer[position + 1]
            if size == 0:
                return None
            start = position + 2
            if start + size > end:
                break
            position = start + size
            reply = get(bytes(buffer[start + 2 : position]))
            wire = None
            if reply is not None:
                wire = reply.wire if reply.due > now else reply.renew(now)
            if reply is not None and wire is not None:
                reply.hits += 1
                out += (len(wire) + 2).to_bytes(2, "big")
                out += buffer[start : start + 2]
                out += wire
            else:
                message = self._responder.respond(bytes(buffer[start:position]), self, 0)
                if message is not None:
                    out += len(message).to_bytes(2, "big")
                    out += message
        if out:
            self._wake.set()
        return position

    def client(self, index: int) -> Any:
        """Note that an answer is under way."""
        del index
        self._waiting += 1

    def host(self, index: int) -> bytes:
        """Return the client's address, packed."""
        del index
        return socket.inet_pton(self._stream.socket.family, self._stream.socket.getpeername()[0].partition("%")[0])

    def send(self, wire: bytes, client: Any) -> None:
        """Put an answer in line that had to wait."""
        del client
        self._waiting -= 1
        self._out += len(wire).to_bytes(2, "big") + wire
        self._wake.set()

    async def _writer_idle(self) -> None:
        """Wait until the writer has caught up, or an answer that was waited for has come."""
        await trio.lowlevel.checkpoint()
        with trio.fail_after(self._limits.write + self._limits.idle):
            while self._out:
                await trio.sleep(0.01)

    async def _write(self) -> None:
        """Send what is in line until there is nothing left to come."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._out:
                data, self._out = bytes(self._out), bytearray()
                with trio.fail_after(self._limits.write):
                    await self._stream.send_all(data)
            if self._ended and not self._waiting:
                return
