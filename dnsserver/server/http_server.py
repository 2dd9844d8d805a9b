"""The connections of admin HTTP, and the limits for all of them together.

Promises: a silent, idle or slow client makes room for a new one, so that a probe is always answered. Unsent octets are
bounded. One request is worked on between two turns of the event loop.
"""

import select
import socket
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine
from collections.abc import Set as AbstractSet
from typing import TypeVar

import trio

from dnsserver.faults import Faults
from dnsserver.logger import get_logger
from dnsserver.server.http import GONE, Connection, Conversation, HttpLimits, Request, Response

Event = TypeVar("Event")
EventualResponse = Response | Coroutine[object, object, Response]

log = get_logger(__name__)

_STARTS = 2  # connections that begin to be answered before others get their turn
_ACCEPTS = 8  # connections taken in before those that are there get their turn
_REST = 0.1  # seconds without accepting when the system is out of something


class HttpServer:
    """Answers the connections of a listening socket."""

    def __init__(
        self,
        respond: Callable[[Request], EventualResponse],
        faults: Faults,
        *,
        costly: AbstractSet[str] = frozenset(),
        limits: HttpLimits | None = None,
    ) -> None:
        """`respond` must not wait, but may give what does, outside of its turn.

        Requests for `costly` paths wait for each other, and hold up no others.
        """
        self._respond = respond
        self._faults = faults
        self._costly = costly
        self._limits = limits or HttpLimits()
        self._open: OrderedDict[Connection, None] = OrderedDict()  # whose last response is longest ago first
        self._clients: Counter[str] = Counter()
        self._silent: dict[int, Connection] = {}  # those that have sent nothing yet, by descriptor
        self._arrived = trio.Event()
        self._ready: select.epoll
        self._unsent = 0
        self._leaving = False
        # One holder does its work in each turn of the event loop; the packets in between are answered.
        self._quick_turn = trio.Lock()
        self._costly_turn = trio.Lock()

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._open)

    async def serve(self, sock: socket.socket) -> None:
        """Serve until cancelled; the socket, which must not block, is closed then.

        Who has sent nothing costs a descriptor and no task: with one each, 1,000 clients that connect again at once
        took half of a processor.
        """
        with sock, select.epoll() as ready:
            self._ready = ready
            ready.register(sock, select.EPOLLIN)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._close_silent)
                    while True:
                        await trio.lowlevel.wait_readable(ready)
                        for descriptor, _ in ready.poll(0, _STARTS):
                            connection = self._silent.pop(descriptor, None)
                            if connection is not None:
                                ready.unregister(descriptor)
                                nursery.start_soon(self._live, connection)
                            elif descriptor == sock.fileno() and not self._accept(sock):
                                await trio.sleep(_REST)
            finally:
                for connection in tuple(self._silent.values()):
                    self._drop(connection)

    def _accept(self, sock: socket.socket) -> bool:
        """Accept the waiting connections; return False if the system has no descriptors or memory left."""
        for _ in range(_ACCEPTS):
            try:
                accepted, address = sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return True
            except OSError as error:  # out of file descriptors or memory
                log.warning("cannot accept a connection", error=str(error), connections=len(self._open))
                self._evict(None)
                return False
            accepted.setblocking(False)
            due = trio.current_time() + self._limits.first_wait
            self._admit(Connection(accepted, str(address[0]), str(accepted.getsockname()[0]), due))
        return True

    def _admit(self, connection: Connection) -> None:
        """Start to serve a connection; if there are too many, close another one."""
        client = connection.client
        self._open[connection] = None
        self._clients[client] += 1
        self._silent[connection.sock.fileno()] = connection
        self._arrived.set()
        self._ready.register(connection.sock, select.EPOLLIN)
        of_others = len(self._open) - self._clients[client]
        if self._clients[client] > max(1, (self._limits.connections - of_others) // 2):
            self._evict(connection, client)
        elif len(self._open) > self._limits.connections:
            self._evict(connection)

    async def _close_silent(self) -> None:
        """Close connections on which nothing has come for too long."""
        while True:
            if not self._silent:
                self._arrived = trio.Event()
                await self._arrived.wait()
            now = trio.current_time()
            for connection in [each for each in self._silent.values() if each.due <= now]:
                self._drop(connection)
            await trio.sleep_until(min((each.due for each in self._silent.values()), default=now))

    def _drop(self, connection: Connection) -> None:
        """Close a connection, whether it has a task or not."""
        self._forget(connection)
        if self._silent.pop(connection.sock.fileno(), None) is None:
            connection.scope.cancel()
        else:
            self._ready.unregister(connection.sock)
            connection.sock.close()

    def _evict(self, newest: Connection | None, client: str | None = None) -> None:
        """Close the connection whose last response is the oldest; prefer one that waits for a request."""
        those = [each for each in self._open if each is not newest and (client is None or each.client == client)]
        chosen = next((each for each in those if not each.busy), those[0] if those else None)
        if chosen is not None:
            self._drop(chosen)

    def _forget(self, connection: Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._clients[connection.client] -= 1
            if not self._clients[connection.client]:
                del self._clients[connection.client]

    async def _live(self, connection: Connection) -> None:
        """Answer the requests of one connection."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection.sock))
        try:
            with connection.scope:
                await Conversation(self, self._limits, connection, stream).run()
        except* GONE:
            pass
        except* Exception as group:
            self._faults.took("admin", group)
        finally:
            self._forget(connection)
            await trio.aclose_forcefully(stream)

    async def respond(self, connection: Connection, request: Request) -> Response:
        """Return the response to a request when it is its turn."""
        connection.busy = True
        if request.path in self._costly:
            async with self._costly_turn:
                answer = self._respond(request)
                response = answer if isinstance(answer, Response) else await answer
        else:
            async with self._quick_turn:
                answer = self._respond(request)
            response = answer if isinstance(answer, Response) else await answer
        if response.endless and not self._may_stream():
            if isinstance(response.body, AsyncGenerator):
                await response.body.aclose()
            return Response("too many of these at once, or this server is about to end\n", 503)
        return response

    def _may_stream(self) -> bool:
        return not self._leaving and sum(each.streaming is not None for each in self._open) < self._limits.streams

    def end_streams(self) -> None:
        """End the endless responses, and begin no more: this server is about to end."""
        self._leaving = True
        for connection in self._open:
            if connection.streaming is not None:
                connection.streaming.cancel()

    async def parse(self, parse: Callable[[], Event]) -> Event:
        """Return what `parse` makes of what has come, when it is its turn."""
        async with self._quick_turn:
            return parse()

    async def send(self, connection: Connection, stream: trio.SocketStream, data: bytes) -> None:
        """Send; raises one of GONE. Where too much is unsent, others that do not read give way."""
        connection.unsent = len(data)
        self._unsent += len(data)
        try:
            excess = self._unsent - self._limits.unsent
            for each in [each for each in self._open if each.unsent and each is not connection]:
                if excess > 0:
                    excess -= each.unsent
                    self._drop(each)
            with trio.fail_after(self._limits.write):
                await stream.send_all(data)
        finally:
            self._unsent -= connection.unsent
            connection.unsent = 0

    def answered(self, connection: Connection) -> None:
        """Record that a connection's client has got a response."""
        connection.busy = False
        if connection in self._open:
            self._open.move_to_end(connection)

    def failed(self, error: BaseException) -> None:
        """Record that a streamed page failed."""
        self._faults.took("page", error)
