"""The one door to httpcore2: connections to one API server, over HTTP/1.1, one for each watch.

Not one HTTP/2 connection for all: there a stream that dies may take the others with it, the silence of one is hidden
by the noise of another, and to read 100 MB took httpx2 1.03 s of processor time over HTTP/2, 0.26 s over HTTP/1.1, and
0.10 s with the stream below (Python 3.11, h2 4.4).

httpcore2 connects, by a proxy if need be, keeps idle connections, and reads the head of a response. TLS and bodies in
chunks are read here. Processor time of reading 10,000 services and 14,300 slices, decoded, over TLS, on loopback:

                                                              pages of 500    streaming list
    as it is                                                  0.25 s          0.40 s
    chunks read by h11                                        0.25 s          0.50 s
    TLS by trio's SSLStream as well, so httpcore2's own way   0.40 s          0.97 s

(Python 3.11, `python -m tests.kube.read_lists --services 10000 --slices 14300 --pods 0`; memory is the same.) TLS comes
in records of at most 16 KiB, an event of a watch mostly in one of its own, and SSLStream gives one record a read; here
a read takes all that has arrived. An event mostly is a chunk of its own as well, and h11 takes 20 µs for one.
"""

import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpcore2
import trio

from dnsserver.kube.chunks import ChunkedDecoder
from dnsserver.kube.credentials import ApiEndpoint
from dnsserver.kube.errors import Disconnected, Undecodable
from dnsserver.kube.inflate import InflateError, Inflater
from dnsserver.kube.progress import Received, TimeSlice

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
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)


class ApiResponse:
    """The head of a response, and its body piece by piece."""

    def __init__(self, response: httpcore2.Response, read_timeout: float) -> None:
        self._response = response
        self._read_timeout = read_timeout
        self.status = response.status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}

    def iter_body(self, received: Received) -> AsyncGenerator[bytes]:
        """Give the body as it arrives, made plain, and count what arrives. Raises Undecodable and Disconnected."""
        inflater = self._inflater()
        return self._iter_sent(received) if inflater is None else self._inflated(inflater, received)

    async def _inflated(self, inflater: Inflater, received: Received) -> AsyncGenerator[bytes]:
        """Yield the inflated pieces of a compressed body. Raises Undecodable and Disconnected."""
        async with aclosing(self._iter_sent(received)) as pieces:
            async for piece in pieces:
                time_slice = TimeSlice()
                try:
                    for plain in inflater.received(piece):
                        yield plain
                        if time_slice.over:  # a piece may stand for a thousand times as much
                            await time_slice.pause()
                except InflateError as error:
                    raise Undecodable(str(error)) from None
        if not inflater.ended:
            raise Undecodable("the body ended before its gzip data did")

    def _inflater(self) -> Inflater | None:
        """Return the inflater for a compressed body; None if the body is not compressed. Raises Undecodable."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in {"", "identity"}:
            return None
        if encoding not in {"gzip", "x-gzip"}:  # RFC 9110 section 8.4.1.3: the same
            raise Undecodable(f"a body in the encoding {encoding[:40]!r}, which was not requested")
        return Inflater()

    async def _iter_sent(self, received: Received) -> AsyncGenerator[bytes]:
        """Yield the body as it is sent, and count its octets. Raises Disconnected if the body is cut short."""
        stream = self._response.extensions.get("network_stream")
        try:
            chunked = self.status == 200 and self.headers.get("transfer-encoding", "").lower() == "chunked"
            if chunked and isinstance(stream, _Stream):
                decoder = ChunkedDecoder()
                while not decoder.ended:
                    piece = decoder.received(await stream.receive(_READ, self._read_timeout))
                    if piece:
                        received.octets += len(piece)
                        yield piece
                    if decoder.error is not None:
                        raise Disconnected(str(decoder.error))
                stream.put_back(_EMPTY_BODY)  # of the body h11 knows nothing; its end makes the connection free again
            async with aclosing(self._response.aiter_stream()) as pieces:
                async for piece in pieces:
                    received.octets += len(piece)
                    yield piece
        except _FAILURES as error:
            raise _disconnected(error) from error

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, close it otherwise."""
        await self._response.aclose()


class Session:
    """All connections to a `host` that are made with one ApiEndpoint; `key` says which (`ApiEndpoint.tls_key`)."""

    def __init__(self, endpoint: ApiEndpoint, context: ssl.SSLContext) -> None:
        """Connect to nobody yet. Raises ValueError for what is no URL."""
        self.key = endpoint.tls_key()
        self._server = endpoint.server.rstrip("/")
        self.host = urlsplit(self._server).netloc.rpartition("@")[2]
        self._server_name = endpoint.server_name
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=8,
            keepalive_expiry=60.0,
            proxy=httpcore2.Proxy(endpoint.proxy) if endpoint.proxy else None,
            network_backend=_Network(),
            socket_options=_KEEP_ALIVE,
        )

    async def get(
        self,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        connect: float,
        read_timeout: float,
    ) -> ApiResponse:
        """Return the answer to a GET; `read_timeout` seconds may pass without a byte of it. Raises Disconnected."""
        extensions: dict[str, Any] = {
            "timeout": {"connect": connect, "write": connect, "pool": connect, "read": read_timeout}
        }
        if self._server_name:
            extensions["sni_hostname"] = self._server_name
        url = f"{self._server}{path}?{urlencode(params)}" if params else self._server + path
        fields = [("host", self.host), *headers.items()]
        request = httpcore2.Request("GET", url, headers=fields, extensions=extensions)
        try:
            return ApiResponse(await self._pool.handle_async_request(request), read_timeout)
        except _FAILURES as error:
            raise _disconnected(error) from error

    async def aclose(self) -> None:
        """Close all connections; a task that reads from one gets Disconnected."""
        await self._pool.aclose()


class _Network(httpcore2.AsyncNetworkBackend):
    """Connects with trio like httpcore2's own backend, but with `_Stream`."""

    def __init__(self) -> None:
        # A new object of 64 KiB for each record would cost more than the record, and one for each stream 0.1 MiB.
        self._plain = memoryview(bytearray(_READ))

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
                stream = await trio.open_tcp_stream(_octets(host), port, local_address=local_address)
        except trio.TooSlowError as error:
            raise httpcore2.ConnectTimeout(f"{host}:{port} took longer than {timeout} s") from error
        except OSError as error:
            raise httpcore2.ConnectError(f"cannot connect to {host}:{port}: {_reasons(error)}") from error
        for level, option, value in socket_options or ():
            stream.setsockopt(level, option, value)
        return _Stream(stream, self._plain)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    """A TCP connection, or TLS on it; one reader and one writer at a time.

    TLS works on two buffers in memory: one for what the socket brought, one for what it has to send. httpcore2 reads
    only the head of a response, so that the body can be read here. `plain` is the buffer for decrypted records; other
    streams use it in between.
    """

    def __init__(self, stream: trio.SocketStream, plain: memoryview) -> None:
        self._stream = stream
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._plain = plain
        self._head = b""
        self._in_head = False
        self._rest = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self.receive(max_bytes, _seconds(timeout))
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
        """Return 1 to `max_bytes` bytes, b"" at the end: all TLS records that have arrived, as far as they fit.

        Raises httpcore2.ReadTimeout or ReadError.
        """
        if self._rest:
            data, self._rest = self._rest, b""
            await trio.lowlevel.checkpoint()
            return data
        tls, sock = self._tls, self._stream.socket
        max_bytes = min(max_bytes, len(self._plain))
        with trio.CancelScope(deadline=trio.current_time() + seconds):
            try:
                while True:
                    if tls is not None and (plain := self._decrypted(tls, max_bytes)) is not None:
                        if self._outgoing.pending:
                            await self._flush()  # the answer to a key update
                        elif len(plain) == max_bytes or self._incoming.pending:
                            await trio.lowlevel.checkpoint()  # a peer that is always faster must not keep the loop
                        return plain
                    # To wait first and then read is what a quiet stream wants; trio's own reads, waits, reads again.
                    await trio.lowlevel.wait_readable(sock)
                    try:
                        data = os.read(sock.fileno(), max_bytes if tls is None else _PIECE)
                    except BlockingIOError:
                        continue
                    if tls is None:
                        return data
                    if data:
                        self._incoming.write(data)
                    else:
                        self._incoming.write_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ValueError) as error:
                raise httpcore2.ReadError(_text(error)) from error  # ValueError: closed by us
        raise httpcore2.ReadTimeout(f"nothing for {seconds} s")

    def _decrypted(self, tls: ssl.SSLObject, max_bytes: int) -> bytes | None:
        """Return the text of the records that have come, as far as it fits; b"" at the end, None if none is whole."""
        end = 0
        try:
            while end < max_bytes and (not end or self._incoming.pending or tls.pending()):
                # With a buffer the answer is a number, whatever typeshed says.
                size = cast("int", tls.read(max_bytes - end, self._plain[end:]))
                if not size:
                    break
                end += size
        except ssl.SSLWantReadError:
            if not end:
                return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass  # with or without goodbye; whether the message was complete is for HTTP to say
        return bytes(self._plain[:end])

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
                    await self._stream.send_all(buffer)
                else:
                    self._tls.write(buffer)
                    await self._flush()
        except trio.TooSlowError as error:
            raise httpcore2.WriteTimeout(f"not taken for {timeout} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            raise httpcore2.WriteError(_text(error)) from error

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._stream.send_all(self._outgoing.read())

    async def aclose(self) -> None:
        # No TLS goodbye: HTTP frames its bodies, and a peer that has gone silent would keep us waiting.
        self._stream.socket.close()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        self._in_head = False
        try:
            name = None if server_hostname is None else _octets(server_hostname)
            tls = ssl_context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
            with trio.fail_after(_seconds(timeout)):
                while True:
                    try:
                        tls.do_handshake()
                    except ssl.SSLWantReadError:
                        await self._flush()
                        if data := await self._stream.receive_some(_PIECE):
                            self._incoming.write(data)
                        else:
                            self._incoming.write_eof()
                    else:
                        break
                await self._flush()
        except trio.TooSlowError as error:
            await self.aclose()
            raise httpcore2.ConnectTimeout(f"TLS handshake took longer than {timeout} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            await self.aclose()
            raise httpcore2.ConnectError(_text(error)) from error
        except BaseException:
            await self.aclose()
            raise
        self._tls = tls
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls
        if info == "is_readable":
            # An idle connection has nothing to say; if it is readable it is being closed.
            return self._stream.socket.fileno() < 0 or self._stream.socket.is_readable()
        return None


def _seconds(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout


def _octets(host: str) -> str | bytes:
    """Return a host as octets if it is ASCII: for a host as text, Python loads its IDNA codec, 0.2 MiB."""
    return host.encode() if host.isascii() else host


def _reasons(error: OSError) -> str:
    """Return what the system says of a connection; of a host with several addresses, what it says of each of them."""
    cause = error.__cause__
    each = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (error,)
    known = (
        os.strerror(one.errno) if one.errno and one.errno > 0 else str(one.strerror or one)
        for one in each
        if isinstance(one, OSError)
    )
    return ", ".join(dict.fromkeys(text.lower() for text in known))


def _disconnected(error: BaseException) -> Disconnected:
    """Return what a failure of the library means to callers, and forget where in the library it happened.

    From Python 3.12 on, contextlib leaves cycles of an error and its frames. These hold the frames of all callers, and
    so the pages that have been read, until the garbage collector comes.
    """
    text = _text(error)
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return Disconnected(text)


def _text(error: BaseException) -> str:
    """Return the text of the innermost error that has one: trio's own errors often have no text."""
    while not str(error) and (error.__cause__ or error.__context__) is not None:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return _reasons(error)
    return str(error) or type(error).__name__
