"""HTTP/1.1 (RFC 9112) on one connection: the one door to h11, which reads and writes what is sent.

Promises: heads, bodies and every wait are bounded; nothing that a client sends is logged; there is no upgrade.
"""

import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from http import HTTPStatus
from math import inf
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl, unquote

import h11
import msgspec
import trio

Event = TypeVar("Event")

TEXT = "text/plain; charset=utf-8"

# What a browser must not do with any response; a page of ours says what it may.
_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PIECE = 8 * 1024  # octets read at once
_LINGER = 1.0  # seconds in which a client may still read its response before the connection is gone
_LINGER_OCTETS = 256 * 1024
_LINGER_PIECE = 64 * 1024
GONE = (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


class Request(msgspec.Struct, frozen=True):
    """What is asked. Header names are in lower case; a body is read and left out.

    `client` is the peer's address, `local` the one of this machine that it came to.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    client: str
    local: str = ""


class Response(msgspec.Struct, frozen=True):
    """What is answered. A body that is a generator is sent piece by piece, as they come, until the client goes.

    `endless` is such a body that does not end by itself: there are few at once, and the drain ends them.
    """

    body: bytes | str | AsyncGenerator[bytes, None]
    status: int = 200
    type: str = TEXT
    headers: dict[str, str] = {}
    endless: bool = False


class HttpLimits(msgspec.Struct, frozen=True):
    """Seconds and octets. One address may have half of the connections that the others leave."""

    connections: int = 64
    head: int = 16 * 1024
    body: int = 64 * 1024
    unsent: int = 4 * 1024 * 1024  # of all connections together
    waiting: int = 8  # requests whose answers wait for something
    wait: float = 20.0  # for such an answer
    streams: int = 8  # endless ones
    first_wait: float = 10.0  # for a new connection's first octet
    idle: float = 75.0  # between two requests: longer than the usual intervals of Prometheus and the kubelet
    head_time: float = 5.0
    body_time: float = 5.0
    write: float = 10.0  # for a response, or a piece of a streamed one


class _RefusedError(Exception):
    """A request that is answered with an error status, after which the connection is closed."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


class Connection:
    """One client's connection, and what it holds. It has a task from its first octets on."""

    def __init__(self, sock: socket.socket, client: str, local: str, due: float) -> None:
        """Begin with nothing sent or received."""
        self.sock = sock
        self.client = client
        self.local = local
        self.due = due  # when it is closed if nothing has come
        self.scope = trio.CancelScope()
        self.busy = False
        self.unsent = 0
        self.streaming: trio.CancelScope | None = None  # of an endless response


class Owner(Protocol):
    """What bounds all conversations together: whose turn it is, and what may be unsent."""

    async def respond(self, connection: Connection, request: Request) -> Response:
        """Return the response to a request when it is its turn."""

    async def parse(self, parse: Callable[[], Event]) -> Event:
        """Return what `parse` makes of what has come, when it is its turn."""

    async def send(self, connection: Connection, stream: trio.SocketStream, data: bytes) -> None:
        """Send; raises one of GONE."""

    def answered(self, connection: Connection) -> None:
        """Record that a connection's client has got a response."""

    def failed(self, error: BaseException) -> None:
        """Record that a streamed page failed."""


class Conversation:
    """The requests and responses of one connection, one after the other."""

    def __init__(self, server: Owner, limits: HttpLimits, connection: Connection, stream: trio.SocketStream) -> None:
        """Take over a connection that has sent something."""
        self._server = server
        self._limits = limits
        self._connection = connection
        self._stream = stream
        self._allowance = inf  # octets that may still come; h11 bounds a head by itself
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)

    async def run(self) -> None:
        """Go on until one side closes."""
        while await self._begins():
            try:
                request = await self._head()
                if request is None:
                    return
                await self._body()
                response = await self._server.respond(self._connection, request)
                await self._send(response, request.method)
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint, str(error))
                return
            except _RefusedError as error:
                await self._refuse(error.status, str(error))
                return
            self._server.answered(self._connection)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                await self._linger()
                return
            self._http.start_next_cycle()

    async def _begins(self) -> bool:
        """Wait for the first octets of a request; return whether there are any."""
        if self._http.trailing_data[0]:
            return True
        with trio.move_on_after(self._limits.idle):
            data = await self._stream.receive_some(_PIECE)
            self._http.receive_data(data)
            return bool(data)
        return False

    async def _next(self) -> object:
        while True:
            event = await self._server.parse(self._http.next_event)
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                go_on = _sent(self._http, h11.InformationalResponse(status_code=100, headers=[]))
                await self._server.send(self._connection, self._stream, go_on)
            data = await self._stream.receive_some(_PIECE)
            self._allowance -= len(data)
            if self._allowance < 0:
                raise _RefusedError(413)
            self._http.receive_data(data)

    async def _head(self) -> Request | None:
        """Return the next request; None if the client closed. Raises _RefusedError and h11.RemoteProtocolError."""
        with trio.move_on_after(self._limits.head_time) as scope:
            event = await self._next()
        if scope.cancelled_caught:
            raise _RefusedError(408)
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        if event.http_version not in {b"1.0", b"1.1"}:
            raise _RefusedError(505)
        length = headers.get("content-length")
        if length is not None and "transfer-encoding" in headers:
            raise _RefusedError(400, "both Content-Length and Transfer-Encoding")
        if length is not None and int(length) > self._limits.body:
            raise _RefusedError(413)
        path, query = _target(event.target)
        return Request(
            event.method.decode("latin-1"), path, query, headers, self._connection.client, self._connection.local
        )

    async def _body(self) -> None:
        """Read a request's body. Raises _RefusedError and h11.RemoteProtocolError."""
        self._allowance = 2 * self._limits.body  # chunks have heads, which may be longer than they are
        size = 0
        with trio.move_on_after(self._limits.body_time):
            while isinstance(event := await self._next(), h11.Data):
                size += len(event.data)
                if size > self._limits.body:
                    raise _RefusedError(413)
            self._allowance = inf
            return
        raise _RefusedError(408)

    async def _send(self, response: Response, method: str) -> None:
        body = response.body.encode() if isinstance(response.body, str) else response.body
        headers = [("Date", _date()), ("Content-Type", response.type), *{**_SAFE, **response.headers}.items()]
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
            data = self._start(response.status, headers)
            if method != "HEAD":
                data += _sent(self._http, h11.Data(data=body))
            await self._server.send(self._connection, self._stream, data + _sent(self._http, h11.EndOfMessage()))
        else:
            start = self._start(response.status, [*headers, ("Connection", "close")])
            await self._send_stream(start, body, method, response.endless)

    async def _send_stream(self, start: bytes, body: AsyncGenerator[bytes, None], method: str, endless: bool) -> None:
        """Send pieces as they come, until there are no more or the client has gone."""
        whole = True
        async with aclosing(body), trio.open_nursery() as nursery:
            if endless:
                self._connection.streaming = nursery.cancel_scope
            await self._server.send(self._connection, self._stream, start)
            if method != "HEAD":
                nursery.start_soon(self._watch, nursery.cancel_scope)
                try:
                    async for piece in body:
                        whole = False
                        await self._server.send(self._connection, self._stream, _sent(self._http, h11.Data(data=piece)))
                        whole = True
                except GONE:
                    raise
                except Exception as error:
                    self._server.failed(error)
                    raise trio.BrokenResourceError from error  # without the end, so that the client sees it is not all
                nursery.cancel_scope.cancel()
        if not whole:
            raise trio.BrokenResourceError  # it ended within a piece
        await self._server.send(self._connection, self._stream, _sent(self._http, h11.EndOfMessage()))

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Wait until the client closes, or sends something too early."""
        await self._stream.receive_some(1)
        scope.cancel()

    def _start(self, status: int, headers: list[tuple[str, str]]) -> bytes:
        return _sent(self._http, h11.Response(status_code=status, headers=headers, reason=_reason(status)))

    async def _refuse(self, status: int, text: str) -> None:
        """Say what is wrong with a request, and close."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = f"{_reason(status).decode().lower()}{': ' if text else ''}{text[:200]}\n".encode()
            headers = [("Date", _date()), ("Content-Type", TEXT), ("Content-Length", str(len(body)))]
            data = self._start(status, [*headers, ("Connection", "close")])
            data += _sent(self._http, h11.Data(data=body)) + _sent(self._http, h11.EndOfMessage())
            await self._server.send(self._connection, self._stream, data)
        await self._linger()

    async def _linger(self) -> None:
        """Give the client time to read: if we closed before we read all its data, it could lose the response (RST)."""
        with trio.move_on_after(_LINGER):
            await self._stream.send_eof()
            size = 0
            while size < _LINGER_OCTETS and (data := await self._stream.receive_some(_LINGER_PIECE)):
                size += len(data)


def _sent(http: h11.Connection, event: h11.Event) -> bytes:
    return http.send(event) or b""


def _target(target: bytes) -> tuple[str, dict[str, str]]:
    """Return the path and the query of a request's target, in whichever form (RFC 9112 section 3.2)."""
    path, _, query = target.decode("latin-1").partition("?")
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path
    try:
        return unquote(path), dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise _RefusedError(400, "too many fields in the query") from error


def _date() -> str:
    """Return the present time in the form of HTTP (RFC 9110 section 5.6.7). No locale is set, so names are English."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())


def _reason(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()
