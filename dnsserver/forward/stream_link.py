"""Opens a TCP or TLS connection to an upstream, and says in a sentence why that failed.

TLS is RFC 7858 with the strict profile of RFC 8310: the name in the certificate is checked, or nothing is asked.
Sessions are resumed.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import trio

from dnsserver.forward import outcome as o
from dnsserver.forward.settings import Transport
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.message import EDE
from dnsserver.zone.record import Reason

CONNECT_TIME = 3.0

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

# What OpenSSL says of a certificate (X509_V_ERR_*), by what is wrong with it.
_NO_AUTHORITY = frozenset((2, 18, 19, 20, 21, 24))
_OTHER_NAME = frozenset((62, 64))
_NOT_YET, _EXPIRED = 9, 10
# What it says of octets that are no TLS.
_NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE"))


class OpenError(Exception):
    """No connection could be opened; `reason` says why, for clients and for the log."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Authorities(NamedTuple):
    """What certificates are checked against, and what the files were like that it was read from."""

    context: ssl.SSLContext
    stamps: frozenset[tuple[int, ...]]


class Opener:
    """Opens connections to one upstream, the next one faster than the first."""

    def __init__(self, upstream: Upstream) -> None:
        """Open nothing yet."""
        self._upstream = upstream
        self._authorities: Authorities | None = None
        self._is_doubted = False
        self._reading = trio.Lock()
        self._session: Any = None

    async def open(self) -> Stream:
        """Connect, within CONNECT_TIME; raises OpenError.

        Until that has succeeded the upstream's `trouble` says what is in the way, for questions that end before.
        """
        upstream = self._upstream
        try:
            with trio.fail_after(CONNECT_TIME):
                stream = await self._open()
        except trio.TooSlowError as error:
            raise OpenError(upstream.trouble or o.UPSTREAM_TIMEOUT) from error
        except OpenError as error:
            upstream.stuck(error.reason)
            raise
        upstream.stuck(None)
        return stream

    async def _open(self) -> Stream:
        self._upstream.stuck(self._reason("it does not accept TCP connections in time", o.UPSTREAM_TIMEOUT))
        stream = await self._connect()
        if self._upstream.spec.transport is not Transport.TLS:
            return stream
        slow = "it does not complete the TLS handshake in time; does it speak TLS?"
        self._upstream.stuck(self._reason(slow, o.UPSTREAM_TIMEOUT))
        return await self._secure(stream)

    async def _connect(self) -> trio.SocketStream:
        family = trio.socket.AF_INET6 if ":" in self._upstream.address[0] else trio.socket.AF_INET
        try:
            address = self._upstream.socket_address()
            socket = trio.socket.socket(family, trio.socket.SOCK_STREAM)
            try:
                await socket.connect(address)
            except BaseException:
                socket.close()
                raise
        except OSError as error:
            raise OpenError(self._reason(f"no TCP connection: {_errno_text(error)}")) from error
        return trio.SocketStream(socket)  # sets TCP_NODELAY

    async def _secure(self, stream: trio.SocketStream) -> Stream:
        try:
            secure = trio.SSLStream(stream, await self._tls(), server_hostname=self._name, https_compatible=True)
            if self._session is not None:
                secure.session = self._session
            await secure.do_handshake()
        except (OSError, trio.BrokenResourceError, ValueError) as error:
            await trio.aclose_forcefully(stream)
            self.doubt_authorities()  # they may have come right
            raise OpenError(self._reason(self._tls_trouble(error))) from error
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure

    async def _tls(self) -> ssl.SSLContext:
        """Return what certificates are checked against; raises OSError or SSLError where there is nothing."""
        async with self._reading:
            if self._authorities is None or self._is_doubted:
                self._is_doubted = False
                # That takes 20 ms with the authorities of a system: not on the event loop.
                file, known = self._upstream.spec.authorities, self._authorities
                try:
                    self._authorities = await trio.to_thread.run_sync(_read_authorities, file, known)
                except Exception:
                    self._authorities = None
                    raise
            return self._authorities.context

    @property
    def _name(self) -> str:
        """The name that the certificate has to have; without a zone, which is of this machine and in no certificate."""
        spec = self._upstream.spec
        return spec.server_name or spec.host.partition("%")[0]

    def doubt_authorities(self) -> None:
        """Have the next connection read files of authorities that have changed, and show the certificate again."""
        self._is_doubted, self._session = True, None

    def keep_session(self, stream: Stream) -> None:
        """Keep what makes the next handshake short; TLS 1.3 sends it after the handshake."""
        known = None if self._is_doubted else self._authorities
        if isinstance(stream, trio.SSLStream) and known is not None and stream.context is known.context:
            self._session = stream.session

    def _reason(self, why: str, like: Reason = o.UPSTREAM_UNREACHABLE) -> Reason:
        return Reason(like.code, EDE.NETWORK_ERROR, f"{self._upstream.name}: {why}")

    def _tls_trouble(self, error: BaseException) -> str:
        """Return what is wrong with TLS, and with which name or file."""
        authorities = self._upstream.spec.authorities
        of = authorities or "the system"
        cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) and error.__cause__ else error
        match cause:
            case ssl.SSLCertVerificationError(verify_code=code) if code in _OTHER_NAME:
                return f'its certificate is not for "{self._name}"'
            case ssl.SSLCertVerificationError(verify_code=code) if code == _EXPIRED:
                return f'the certificate for "{self._name}" has expired'
            case ssl.SSLCertVerificationError(verify_code=code) if code == _NOT_YET:
                return f'the certificate for "{self._name}" is not valid yet'
            case ssl.SSLCertVerificationError(verify_code=code) if code in _NO_AUTHORITY:
                return f"its certificate is not signed by an authority of {of}"
            case ssl.SSLCertVerificationError():
                return f"its certificate cannot be trusted: {cause.verify_message}"
            case ssl.SSLEOFError() | ConnectionError():
                return "it closed the connection in the TLS handshake"
            case ssl.SSLError(reason=reason) if reason in _NO_TLS:
                return "it does not speak TLS on this port"
            case ssl.SSLError() if self._authorities is None and authorities:
                return f"the file of authorities {authorities} has no certificate that can be read"
            case ssl.SSLError():
                return f"TLS failed: {cause.reason or cause}"
            case OSError() if self._authorities is None and authorities:
                return f"the file of authorities {authorities} cannot be read: {_errno_text(cause)}"
        return f"TLS failed: {cause}"


def _read_authorities(file: str | None, known: Authorities | None) -> Authorities:
    """Return the authorities of a file, or those of the system; the `known` ones if their files are as they were.

    Raises OSError or SSLError.
    """
    system = ssl.get_default_verify_paths()
    stamps = frozenset(_stamps(*((system.cafile, system.capath) if file is None else (file,))))
    if known is not None and known.stamps == stamps:
        return known
    context = ssl.create_default_context(cafile=file)
    context.set_alpn_protocols(["dot"])
    return Authorities(context, stamps)


def _stamps(*paths: str | None) -> Iterator[tuple[int, ...]]:
    """Yield what is other values when files have changed, or those in folders; they need not be there."""
    for path in filter(None, paths):
        here = Path(path)
        for each in (here, *(here.iterdir() if here.is_dir() else ())):
            with suppress(OSError):
                status = each.stat()
                yield status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _errno_text(error: OSError) -> str:
    """Return the system's text of an error, without the address that trio puts in front of it."""
    return os.strerror(error.errno) if error.errno else str(error)
