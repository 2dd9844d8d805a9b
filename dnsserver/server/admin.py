"""HTTP for people, probes and Prometheus: a table of routes, and the address on which they are served.

Promises: a request that fails costs only itself. An address that cannot be opened costs only HTTP, and is tried again.
A route is only for this machine and for clients with the token, unless it says that it is open.
"""

import errno
import socket
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import NamedTuple

import trio

from dnsserver.faults import Faults
from dnsserver.logger import get_logger
from dnsserver.server.access import Access
from dnsserver.server.http import TEXT, HttpLimits, Request, Response
from dnsserver.server.http_server import EventualResponse, HttpServer
from dnsserver.server.queries import QueryError

__all__ = ["TEXT", "Admin", "Request", "Response", "Route", "bind"]

log = get_logger(__name__)

_RETRY = 10.0
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_BACKLOG = 1024
# Kernel memory of a connection: requests are short, and a page of metrics is sent in a few parts.
_RECEIVE_BUFFER = 16 * 1024
_SEND_BUFFER = 64 * 1024


class Route(NamedTuple):
    """What answers the requests of one method (GET stands for HEAD too) to one path.

    `handle` runs on the event loop and must not wait; an `async` one may, and its steps must be short. It may give a
    Response that goes on without end, and may raise QueryError. `text` is for the index, empty to leave it out there;
    `costly` is one that takes milliseconds, in one step or in many: of these, one is answered at a time. `open` lets
    everybody in, from anywhere: for probes and Prometheus. All else is closed, as `Access` says; `denied` gives what a
    denied client gets in place of a line of text, None for that. What changes something has the method POST, so that
    no link does it.
    """

    method: str
    handle: Callable[[Request], EventualResponse]
    text: str = ""
    costly: bool = False
    open: bool = False
    denied: Callable[[Request], Response | None] = lambda _: None


class Admin:
    """Serves a table of routes, by path."""

    def __init__(
        self,
        host: str,
        port: int,
        routes: Mapping[str, Route],
        faults: Faults | None = None,
        limits: HttpLimits | None = None,
        token: Path | None = None,
        late: Callable[[], Mapping[str, Route]] = dict,
    ) -> None:
        """Open nothing yet; host `::` takes IPv4 too, port 0 lets the system choose.

        `token` is the file with the secret of those who may do everything from elsewhere. `late` gives routes that are
        made when somebody who may first asks for what is not among `routes`; none of them is open or costly.
        """
        self._host = host
        self._port = port
        self._routes = dict(routes)
        self._faults = faults or Faults()
        self._limits = limits or HttpLimits()
        self._access = Access(host, token)
        self._late = late
        self._waiting = 0
        costly = {path for path, route in self._routes.items() if route.costly}
        self._http = HttpServer(self.respond, self._faults, costly=costly, limits=self._limits)

    async def run(
        self,
        bound: socket.socket | None = None,
        *,
        task_status: trio.TaskStatus[tuple[str, int] | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; starts with the address that it got, or None if it has to go on trying for it.

        `bound` is what listens on the address already.
        """
        shown = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        started = False
        while True:
            try:
                sock, bound = bound or bind(self._host, self._port), None
            except OSError as error:
                if not started:
                    reason = error.strerror or str(error)
                    log.warning("admin HTTP cannot listen", address=shown, error=reason, retry_seconds=_RETRY)
                    task_status.started(None)
                    started = True
                await trio.sleep(_RETRY)
                continue
            with sock:
                if started:
                    log.info("admin HTTP listens now", address=shown)
                else:
                    host, port = sock.getsockname()[:2]
                    task_status.started((host, port))
                    started = True
                await self._faults.keep("admin", self._serve, sock)

    async def _serve(self, sock: socket.socket) -> None:
        """Serve on a duplicate of the socket, which is closed at the end: if that fails, the port stays ours."""
        await self._http.serve(sock.dup())

    def let_in(self, token: Path | None) -> None:
        """Go by another file with the secret from now on."""
        self._access = Access(self._host, token)

    def end_streams(self) -> None:
        """End the endless responses, and begin no more: this server is about to end."""
        self._http.end_streams()

    def respond(self, request: Request) -> EventualResponse:
        """Return the response to a request, or what waits for it."""
        route = self._routes.get(request.path)
        if route is None or not route.open:
            denial = self._access.denial(request)
            if denial is not None:
                return self._denied(route, request) or Response(f"{denial}\n", 403)
        if route is None:
            try:
                route = self._late().get(request.path)
            except Exception as error:
                return self._failed(request, error)
        if route is None:
            return Response("not found\n", 404)
        if request.method != route.method and not (request.method == "HEAD" and route.method == "GET"):
            allowed = "GET, HEAD" if route.method == "GET" else route.method
            return Response(f"use {route.method}\n", 405, headers={"Allow": allowed})
        try:
            answer = route.handle(request)
        except Exception as error:
            return self._failed(request, error)
        return answer if isinstance(answer, Response) else self._wait(request, answer, costly=route.costly)

    def _denied(self, route: Route | None, request: Request) -> Response | None:
        try:
            return None if route is None else route.denied(request)
        except Exception as error:
            return self._failed(request, error)

    async def _wait(self, request: Request, answer: Coroutine[object, object, Response], *, costly: bool) -> Response:
        """Wait for a response that takes time. Few may wait at once, and not for long; of costly ones only one runs."""
        if self._waiting >= self._limits.waiting and not costly:
            answer.close()
            return Response("too many of these are under way, try again\n", 503, headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            with trio.move_on_after(self._limits.wait):
                return await answer
        except Exception as error:
            return self._failed(request, error)
        finally:
            self._waiting -= 1
        return Response(f"no answer within {self._limits.wait:g} s\n", 504)

    def _failed(self, request: Request, error: Exception) -> Response:
        if isinstance(error, QueryError):
            return Response(f"{error}\n", 400)
        self._faults.took("page", error, page=request.path)
        return Response("internal error, see the log\n", 500)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises OSError. `::` takes IPv4 as well, or alone where there is no IPv6."""
    try:
        return _bound(host, port, socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if host != "::" or error.errno not in _NO_IPV6:
            raise
        return _bound("0.0.0.0", port, socket.AF_INET)


def _bound(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)  # connections inherit both
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
