"""The one door to httpx2: connections to one API server, over HTTP/1.1, one for each watch.

Not one HTTP/2 connection for all: there a stream that dies may take the others with it, the silence of one is hidden
by the noise of another, and to read 100 MB took httpx2 1.03 s of processor time over HTTP/2, 0.26 s over HTTP/1.1, and
0.10 s with the transport below (Python 3.11, h2 4.4).

The transport is our own, over httpcore2's pool, for three reasons. TLS comes in records of at most 16 KiB, an event of
a watch mostly in one of its own, and trio's SSLStream gives one record a read; here a read takes all that has arrived.
An event mostly is an HTTP chunk of its own as well, so a body in chunks is read here too, past h11 and the six layers
that a piece of a body comes through (`python -m tests.kube.read_lists` compares them). And httpx2 2.16 leaves the
iterator of a body that is not read to its end to the garbage collector, which cannot close it in trio.
"""

import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, cast

import httpcore2
import httpx2
import trio

from dnsserver.kube.chunks import ChunkedDecoder
from dnsserver.kube.credentials import ApiEndpoint
from dnsserver.kube.errors import Disconnected

_PIECE = 256 * 1024  # bytes asked of the socket at a time
_READ = 64 * 1024  # bytes of a body taken at a time
_HEAD_END = re.compile(rb"\n\r?\n")  # as h11 finds it
_EMPTY_BODY = b"0\r\n\r\n"
# A peer that is gone (a node that lost power) is noticed after 30 s, without waiting for a bookmark to be missed.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class Answer:
    """The head of a response, and its body piece by piece."""

    def __init__(self, response: httpx2.Response, read_timeout: float) -> None:
        self._response = response
        self._read_timeout = read_timeout
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def iter_body(self) -> AsyncGenerator[bytes]:
        """The body as it arrives. Raises Disconnected if it does not arrive whole."""
        stream = self._response.extensions.get("network_stream")
        try:
            chunked = self.status == 200 and self.headers.get("transfer-encoding", "").lower() == "chunked"
            if chunked and isinstance(stream, _Stream):
                decoder = ChunkedDecoder()
                while not decoder.ended:
                    piece = decoder.received(await stream.receive(_READ, self._read_timeout))
                    if piece:
                        yield piece
                    if decoder.error is not None:
                        raise Disconnected(str(decoder.error))
                stream.put_back(_EMPTY_BODY)  # of the body h11 knows nothing; its end makes the connection free again
            async with aclosing(self._response.aiter_raw()) as pieces:
                async for piece in pieces:
                    yield piece
        except (httpx2.HTTPError, httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            raise Disconnected(_text(error)) from error

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, close it otherwise."""
        await self._response.aclose()


class Session:
    """All connections that are made with one ApiEndpoint; `key` says which (`ApiEndpoint.tls_key`)."""

    def __init__(self, endpoint: ApiEndpoint, context: ssl.SSLContext) -> None:
        self.key = endpoint.tls_key()
        self._server = endpoint.server.rstrip("/")
        self._server_name = endpoint.server_name
        self._client = httpx2.AsyncClient(transport=_Transport(context, endpoint.proxy), trust_env=False)

    async def get(
        self,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        connect: float,
        read_timeout: float,
    ) -> Answer:
        """The answer to a GET; at most `read_timeout` seconds may pass without a byte of it. Raises Disconnected."""
        extensions: dict[str, Any] = {
            "timeout": {"connect": connect, "write": connect, "pool": connect, "read": read_timeout}
        }
        if self._server_name:
            extensions["sni_hostname"] = self._server_name
        request = httpx2.Request("GET", self._server + path, params=params, headers=headers, extensions=extensions)
        try:
            return Answer(await self._client.send(request, stream=True), read_timeout)
        except httpx2.HTTPError as error:
            raise Disconnected(_text(error)) from error

    async def aclose(self) -> None:
        """Close all connections; who reads from one gets Disconnected."""
        await self._client.aclose()


class _Transport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 connections, over TLS if the URL says so, through `proxy` if given."""

    def __init__(self, context: ssl.SSLContext, proxy: str) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=8,
            keepalive_expiry=60.0,
            proxy=httpcore2.Proxy(proxy) if proxy else None,
            network_backend=_Network(),
            socket_options=_KEEP_ALIVE,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response, its body still to be read. Raises httpx2.TransportError."""
        url = request.url
        inner = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            response = await self._pool.handle_async_request(inner)
        except _FAILURES as error:
            raise httpx2.TransportError(_text(error)) from error
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close all connections, those in use as well."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(self._response.aiter_stream()) as pieces:
                async for piece in pieces:
                    yield piece
        except _FAILURES as error:
            raise httpx2.TransportError(_text(error)) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class _Network(httpcore2.AsyncNetworkBackend):
    """Connects by trio, as httpcore2's own does, but with `_Stream`."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore2's signature)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with trio.fail_after(_seconds(timeout)):
                stream = await trio.open_tcp_stream(host, port, local_address=local_address)
        except trio.TooSlowError as error:
            raise httpcore2.ConnectTimeout(f"{host}:{port} took longer than {timeout} s") from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        for level, option, value in socket_options or ():
            stream.setsockopt(level, option, value)
        return _Stream(stream, None)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    """A TCP connection, or TLS on it; one reader and one writer at a time.

    httpcore2 gets the head of a response by itself, so that the body is still to be had here.
    """

    def __init__(self, socket: trio.SocketStream, tls: "_Tls | None") -> None:
        self._socket = socket
        self._tls = tls
        self._head = b""
        self._in_head = False
        self._rest = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self.receive(max_bytes, float("inf") if timeout is None else timeout)
        if not self._in_head:
            return data
        before = len(self._head)
        self._head += data
        end = _HEAD_END.search(self._head, max(0, before - 2))
        if end is None:
            self._in_head = len(self._head) < _READ  # else h11 complains soon
            return data
        # An informational response is no more than a beginning (RFC 9110 section 15.2).
        self._in_head = self._head[8:10] == b" 1"
        self._head = b""
        self.put_back(data[end.end() - before :])
        return data[: end.end() - before]

    async def receive(self, max_bytes: int, seconds: float) -> bytes:
        """What comes next, b"" at the end. Raises httpcore2.ReadTimeout or ReadError."""
        if self._rest:
            data, self._rest = self._rest, b""
            await trio.lowlevel.checkpoint()
            return data
        with trio.CancelScope(deadline=trio.current_time() + seconds):
            try:
                return bytes(await (self._tls or self._socket).receive_some(max_bytes))
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise httpcore2.ReadError(_text(error)) from error
        raise httpcore2.ReadTimeout(f"nothing for {seconds} s")

    def put_back(self, data: bytes) -> None:
        """Have this be what comes next."""
        self._rest = data + self._rest

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if not buffer:
            return
        self._in_head = True
        try:
            with trio.fail_after(_seconds(timeout)):
                if self._tls is None:
                    await self._socket.send_all(buffer)
                else:
                    await self._tls.write(buffer)
        except trio.TooSlowError as error:
            raise httpcore2.WriteTimeout(f"not taken for {timeout} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            raise httpcore2.WriteError(_text(error)) from error

    async def aclose(self) -> None:
        # No TLS goodbye: HTTP frames its bodies, and a peer that has gone silent would keep us waiting.
        self._socket.socket.close()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        tls = _Tls(self._socket, ssl_context, server_hostname)
        try:
            with trio.fail_after(_seconds(timeout)):
                await tls.handshake()
        except trio.TooSlowError as error:
            await self.aclose()
            raise httpcore2.ConnectTimeout(f"TLS handshake took longer than {timeout} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            await self.aclose()
            raise httpcore2.ConnectError(_text(error)) from error
        except BaseException:
            await self.aclose()
            raise
        return _Stream(self._socket, tls)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls.session if self._tls is not None else None
        if info == "is_readable":
            # An idle connection has nothing to say; if it is readable it is being closed.
            return self._socket.socket.fileno() < 0 or self._socket.socket.is_readable()
        return None


class _Tls:
    """The TLS of one connection, by way of memory: ciphertext at the socket's side, plaintext at ours."""

    def __init__(self, socket: trio.SocketStream, context: ssl.SSLContext, hostname: str | None) -> None:
        self._socket = socket
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._plain = memoryview(bytearray())  # a new object of 64 KiB for each record costs more than the record
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    async def handshake(self) -> None:
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                return await self._flush()

    async def receive_some(self, max_bytes: int) -> memoryview:
        """Between 1 and `max_bytes` bytes: all records that have arrived, as far as they fit; none at the end.

        They stand in the buffer of this connection until the next call.
        """
        if len(self._plain) < max_bytes:
            self._plain = memoryview(bytearray(max_bytes))
        end = 0
        while end < max_bytes:
            if end and not self._incoming.pending and not self.session.pending():
                break
            try:
                # With a buffer the answer is a number, whatever typeshed says.
                size = cast("int", self.session.read(max_bytes - end, self._plain[end:]))
            except ssl.SSLWantReadError:
                if end:
                    break
                await self._fill()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # With or without goodbye; whether the message was complete is for HTTP to say.
                break
            if not size:
                break
            end += size
        if self._outgoing.pending:
            await self._flush()  # the answer to a key update
        elif end == max_bytes or self._incoming.pending:
            await trio.lowlevel.checkpoint()  # a peer that is always faster than we are must not keep the loop
        return self._plain[:end]

    async def write(self, data: bytes) -> None:
        self.session.write(data)
        await self._flush()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._socket.send_all(self._outgoing.read())

    async def _fill(self) -> None:
        # To wait first and then read is what a quiet stream wants; trio's own reads, waits, and reads again.
        socket = self._socket.socket
        while True:
            try:
                await trio.lowlevel.wait_readable(socket)
                data = os.read(socket.fileno(), _PIECE)
            except BlockingIOError:
                continue
            except (OSError, ValueError) as error:  # ValueError: closed by us
                raise trio.BrokenResourceError(str(error)) from error
            break
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


_FAILURES = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, httpcore2.ProxyError)


def _seconds(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout


def _text(error: BaseException) -> str:
    """What went wrong, from as deep as it is said; trio's own errors are often without words."""
    while not str(error) and (error.__cause__ or error.__context__) is not None:
        error = error.__cause__ or error.__context__ or error
    return str(error) or type(error).__name__
