"""HTTP for people, probes and Prometheus: a table of routes behind hypercorn, which nothing else here knows.

Promises: a request that fails costs itself only, an address that cannot be had costs HTTP only, and is tried again.
"""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import structlog
import trio

log = structlog.get_logger(__name__)

TEXT = "text/plain; charset=utf-8"

_RETRY = 10.0
_READ_TIMEOUT = 15  # a client that does not finish its request; probes and scrapers take milliseconds
_IDLE_TIMEOUT = 75.0  # longer than Prometheus's and kubelet's usual intervals, so that connections are used again
_SEND_BUFFER = 1024 * 1024
_SEND_TIMEOUT_MS = 3_000
_BACKLOG = 100

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Request(msgspec.Struct, frozen=True):
    """What a route gets to see; `client` is the peer's address, header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    client: str


class Response(msgspec.Struct, frozen=True):
    """What a route gives."""

    body: bytes | str
    status: int = 200
    type: str = TEXT


class Route(NamedTuple):
    """What answers the requests of one method (GET stands for HEAD too) to one path.

    `handle` runs on the event loop and must not wait. `text` is for the index page, empty to leave it out there.
    """

    method: str
    handle: Callable[[Request], Response]
    text: str = ""


class Admin:
    """Serves a table of routes, by path."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Open nothing yet; host `::` takes IPv4 too, port 0 lets the system choose."""
        self._host = host
        self._port = port
        self._routes = dict(routes)

    async def run(self, *, task_status: trio.TaskStatus[tuple[str, int] | None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; starts with the address that it got, or None if it has to go on trying for it."""
        shown = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        told = False
        while True:
            try:
                sock = bind(self._host, self._port)
            except OSError as error:
                if not told:
                    log.warning("admin HTTP cannot listen", address=shown, error=error.strerror, retry_seconds=_RETRY)
                    task_status.started(None)
                    told = True
                await trio.sleep(_RETRY)
                continue
            with sock:
                if not told:
                    host, port = sock.getsockname()[:2]
                    task_status.started((host, port))
                elif told:
                    log.info("admin HTTP listens at last", address=shown)
                await self._serve(sock)

    async def _serve(self, sock: socket.socket) -> None:
        """Serve on a listening socket, for ever."""
        # Here and not above: hypercorn and what it needs cost 75 ms and 5 MiB, which `dnsserver check` has no use for.
        from hypercorn.config import Config  # noqa: PLC0415
        from hypercorn.trio import serve  # noqa: PLC0415

        while True:
            config = Config()
            # hypercorn closes what it serves on, so it gets a duplicate and the port stays ours if it fails.
            config.bind = [f"fd://{os.dup(sock.fileno())}"]
            config.backlog = _BACKLOG
            config.errorlog = logging.getLogger("hypercorn.error")
            config.include_server_header = False
            config.keep_alive_timeout = _IDLE_TIMEOUT
            config.read_timeout = _READ_TIMEOUT
            config.h11_max_incomplete_size = 16 * 1024
            config.graceful_timeout = 0
            try:
                await serve(self._answer, config, mode="asgi")  # type: ignore[arg-type]  # its ASGI types are TypedDicts
            except Exception:  # hypercorn lets a connection's failure end them all
                log.exception("admin HTTP failed, and starts again")
            await trio.sleep(1)

    async def _answer(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Speak ASGI 3."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            response = self._respond(_request(scope))
            body = response.body.encode() if isinstance(response.body, str) else response.body
            headers = [(b"content-type", response.type.encode()), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        else:
            await send({"type": "websocket.close"})

    def _respond(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return Response("not found\n", 404)
        if request.method != route.method and not (request.method == "HEAD" and route.method == "GET"):
            return Response(f"use {route.method}\n", 405)
        try:
            return route.handle(request)
        except Exception:  # the border: a page's bug is that page's
            log.exception("admin page failed", path=request.path)
            return Response("internal error, see the log\n", 500)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises OSError. `::` takes IPv4 as well, or alone where there is no IPv6."""
    try:
        return _bound(host, port, socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if host != "::" or error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            raise
        return _bound("0.0.0.0", port, socket.AF_INET)


def _bound(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Connections inherit these two. hypercorn cannot be cancelled while it sends, so a client that does not read
        # would hold up the end of the process: the pages fit the buffer, and the kernel gives up on such a client.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SEND_TIMEOUT_MS)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


async def _live(receive: _Receive, send: _Send) -> None:
    """Take part in hypercorn's start and end; there is nothing to do."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


def _request(scope: _Message) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    client = scope["client"][0] if scope["client"] else ""
    return Request(scope["method"], scope["path"], query, headers, client)
