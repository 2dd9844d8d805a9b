"""A client for admin HTTP of a running server, for the commands that ask it: blocking, one request at a time.

Promises: every problem is an AdminError, whose text says what is wrong and what to do.
"""

import http.client
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from dnsserver.config import Address, Config
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_text

Value = TypeVar("Value")

_CONNECT_WAIT = 5.0  # seconds
_MOST_OCTETS = 256 * 1024 * 1024  # of a response that is read whole
_MOST_TOLD = 2_000  # characters of a refusal's text
_LONGEST_LINE = 1024 * 1024  # octets
_PIECE = 64 * 1024
_LOOPBACKS = {"::": ("127.0.0.1", "::1"), "0.0.0.0": ("127.0.0.1",)}
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_GONE = (OSError, http.client.HTTPException)


class AdminError(Exception):
    """The server was not reached, or did not do what it was asked; the text says why, and what to do."""


class AdminClient:
    """Asks one server.

    `hosts` are tried in order until somebody listens. `token` is sent to it, and empty if there is none. A response
    may be silent for `wait` seconds; None waits forever.
    """

    def __init__(self, hosts: tuple[str, ...], port: int, token: str = "", wait: float | None = 30.0) -> None:
        """Connect to nobody yet."""
        self._hosts = hosts
        self._port = port
        self._token = token
        self._wait = wait

    @property
    def shown(self) -> str:
        """The server's address, for people."""
        return shown(self._hosts[0], self._port)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return the body of a page. Raises AdminError."""
        with closing(self._connect()) as connection:
            response = self._ask(connection, "GET", path, query)
            try:
                body = response.read(_MOST_OCTETS)
            except _GONE as error:
                raise self._cut(error) from error
            if response.length:  # which is what has not come
                raise self._cut(http.client.IncompleteRead(body, response.length))
        return body

    def get_value(self, path: str, query: Mapping[str, str] | None, type_: type[Value]) -> Value:
        """Return what the JSON of a page says. Raises AdminError."""
        return self.value_of(path, self.get(path, query), type_)

    def value_of(self, path: str, text: bytes | str, type_: type[Value]) -> Value:
        """Return what the JSON says that came from a page, or one of its lines. Raises AdminError."""
        try:
            return msgspec.json.decode(text, type=type_)
        except msgspec.DecodeError as error:
            raise AdminError(f"{self.shown}{path} returned something unexpected ({error}): {_OTHER}") from error

    def lines(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[str]:
        """Give the lines of a page as they come, which may be without an end. Raises AdminError."""
        with closing(self._connect()) as connection:
            response = self._ask(connection, "GET", path, query)
            rest = b""
            while True:
                try:
                    piece = response.read1(_PIECE)
                except _GONE as error:
                    raise self._cut(error) from error
                *whole, rest = (rest + piece).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
                if not piece:
                    break
                if len(rest) > _LONGEST_LINE:
                    raise AdminError(f"{self.shown}{path} gave a line without an end: {_OTHER}")
            if rest:
                yield rest.decode("utf-8", "replace")

    def _connect(self) -> http.client.HTTPConnection:
        """Return a connection to the first host that takes one. Raises AdminError."""
        why = ""
        for host in self._hosts:
            connection = http.client.HTTPConnection(host, self._port, timeout=_CONNECT_WAIT)
            try:
                connection.connect()
            except OSError as error:
                why = why or f"{shown(host, self._port)}: {_reason(error)}"
                connection.close()
            else:
                assert connection.sock is not None
                connection.sock.settimeout(self._wait)
                return connection
        raise AdminError(
            f"no server answers at {why}. Give the admin HTTP of a running server with --server HOST:PORT, "
            "or its configuration with --config FILE"
        )

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, query: Mapping[str, str] | None
    ) -> http.client.HTTPResponse:
        """Return a response with status 200, its body unread. Raises AdminError."""
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request(method, target, headers=headers)
            response = connection.getresponse()
            if response.status == http.client.OK:
                return response
            text = response.read(_MOST_TOLD).decode("utf-8", "replace").strip()
        except _GONE as error:
            raise self._cut(error) from error
        raise AdminError(self._refusal(response.status, path, text))

    def _refusal(self, status: int, path: str, text: str) -> str:
        match status:
            case http.client.FORBIDDEN:
                return f"{self.shown} refuses {path} (403): {text}. {_SENT_OTHER if self._token else _ASK_NEAR}"
            case http.client.NOT_FOUND:
                return f"{self.shown} has no {path} (404): {_OTHER}"
            case http.client.BAD_REQUEST:
                return text or f"{self.shown} does not understand the request for {path} (400)"
            case _:
                return f"{self.shown}{path}: status {status}{': ' if text else ''}{text}"

    def _cut(self, error: BaseException) -> AdminError:
        if isinstance(error, TimeoutError):
            return AdminError(f"{self.shown} was silent for {self._wait:g} s")
        if isinstance(error, http.client.BadStatusLine | http.client.LineTooLong | http.client.UnknownProtocol):
            if isinstance(error, http.client.RemoteDisconnected):
                return AdminError(f"{self.shown} closed the connection without a response: {_OTHER}")
            return AdminError(f"what answers at {self.shown} is not HTTP: {_OTHER}")
        return AdminError(f"{self.shown} ended in the middle of its response: {_reason(error)}")


_OTHER = "it is not a dnsserver, or has another version"
_ASK_NEAR = "Ask it from its own machine (in its pod: `kubectl exec`), or give its admin token with --token-file FILE"
_SENT_OTHER = "The token that was sent is not the one of its `admin_token` file"


def client_of(config: Config, server: str | None, token_file: Path | None, wait: float | None = 30.0) -> AdminClient:
    """Return a client of the server at `server`, or else of the one that runs with `config` on this machine.

    The token is that of `token_file`, or else of the file that the configuration names, if it can be read and `server`
    does not say another place. Raises AdminError.
    """
    if server is not None:
        hosts, port = _parsed(server)
    else:
        hosts, port = reachable(config.admin)
    token = ""
    if token_file is not None:
        token = _read(token_file)
    elif server is None and config.admin_token is not None and config.admin_token.is_file():
        token = _read(config.admin_token)
    return AdminClient(hosts, port, token, wait)


def reachable(address: Address) -> tuple[tuple[str, ...], int]:
    """Return where a server that listens on an address is reached from its own machine. Raises AdminError."""
    if address.port == 0:
        raise AdminError("the system chose the port of admin HTTP (`admin` has port 0): give --server HOST:PORT")
    return _LOOPBACKS.get(address.host, (address.host,)), address.port


def shown(host: str, port: int) -> str:
    """Return an address as it is written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parsed(text: str) -> tuple[tuple[str, ...], int]:
    """Read HOST:PORT, where HOST is a name, an IPv4 address, or an IPv6 address in brackets. Raises AdminError."""
    host, colon, digits = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            host = ""
    elif not _HOST.fullmatch(host):
        host = ""
    else:
        try:
            from_text(host)
        except FormatError as error:
            raise AdminError(f'--server: found "{text}": {error}') from error
    if not (host and colon and digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) <= 0xFFFF):
        raise AdminError(f'--server: found "{text}", expected HOST:PORT, as in "127.0.0.1:8053" or "[::1]:8053"')
    return (host,), int(digits)


def _read(path: Path) -> str:
    """Return the secret in a file. Raises AdminError."""
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AdminError(f"{path}: cannot read the token: {_reason(error)}") from error
    if not token or not (token.isascii() and token.isprintable()):
        raise AdminError(f"{path}: expected a token of printable ASCII characters")
    return token


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
