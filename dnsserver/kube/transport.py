"""The sockets under httpx2: httpcore2's connection pool with TLS that is read in large pieces.

Two reasons not to use httpx2's own transport. TLS comes in records of at most 16 KiB, an event of a watch mostly in one of
its own, and trio's SSLStream gives one record a read; here a read takes all that has arrived. Measured with 50,000 pods in
pages of 500 (300 MB), processor time to read them: see `python -m tests.bench.read_pages`. And httpx2 2.16 leaves the
iterator of a body that is not read to its end to the garbage collector, which cannot close it in trio.
"""

import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

import httpcore2
import httpx2
import trio

_PIECE = 256 * 1024  # bytes asked of the socket at a time
_SocketOption = tuple[int, int, int]


class Transport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 connections to one server, over TLS if its URL says so, through `proxy` if given."""

    def __init__(self, context: ssl.SSLContext, *, proxy: str, socket_options: Iterable[_SocketOption]) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=8,
            keepalive_expiry=60.0,
            proxy=httpcore2.Proxy(proxy) if proxy else None,
            network_backend=_Network(),
            socket_options=list(socket_options),
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
    """A TCP connection, or TLS on it; one reader and one writer at a time."""

    def __init__(self, socket: trio.SocketStream, tls: "_Tls | None") -> None:
        self._socket = socket
        self._tls = tls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            with trio.fail_after(_seconds(timeout)):
                if self._tls is None:
                    return bytes(await self._socket.receive_some(max_bytes))
                return await self._tls.read(max_bytes)
        except trio.TooSlowError as error:
            raise httpcore2.ReadTimeout(f"nothing for {timeout} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            raise httpcore2.ReadError(_text(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if not buffer:
            return
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
    """The TLS of one connection, by way of memory: ciphertext in and out of trio's socket, plaintext in and out of here."""

    def __init__(self, socket: trio.SocketStream, context: ssl.SSLContext, hostname: str | None) -> None:
        self._socket = socket
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
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

    async def read(self, max_bytes: int) -> bytes:
        """Between 1 and `max_bytes` bytes: all records that have arrived, as far as they fit; b"" at the end."""
        pieces: list[bytes] = []
        room = max_bytes
        while room:
            try:
                piece = self.session.read(room)
            except ssl.SSLWantReadError:
                if pieces:
                    break
                await self._fill()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # With or without goodbye; whether the message was complete is for HTTP to say.
                break
            if not piece:
                break
            pieces.append(piece)
            room -= len(piece)
        if self._outgoing.pending:
            await self._flush()  # the answer to a key update
        elif not room or self._incoming.pending:
            await trio.lowlevel.checkpoint()  # a peer that is always faster than we are must not keep the loop
        return b"".join(pieces)

    async def write(self, data: bytes) -> None:
        self.session.write(data)
        await self._flush()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._socket.send_all(self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._socket.receive_some(_PIECE)
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
