"""The one door to HTTP: lists page by page and watches line by line, with every way to fail as an exception of its own.

HTTP/1.1 with one connection a watch, not one HTTP/2 connection for all: a stream that dies takes nothing else with it, the
silence of one stream is the silence of one socket, and h2 in Python costs several times the processor time (figures beside
`Client`). Objects leave here as raw JSON; what they mean is `decode`'s and `reflector`'s business.
"""

import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import httpx2
import msgspec
import trio

from dnsserver.kube.credentials import Access, Credentials, CredentialsError, tls_context
from dnsserver.kube.decode import UNREADABLE
from dnsserver.kube.transport import Transport
from dnsserver.zone.model import Kind

_GROUPS = {
    Kind.NAMESPACES: ("/api/v1", ""),
    Kind.SERVICES: ("/api/v1", ""),
    Kind.ENDPOINTSLICES: ("/apis/discovery.k8s.io/v1", "discovery.k8s.io"),
    Kind.PODS: ("/api/v1", ""),
}
# Of namespaces only name and labels are wanted; a server that cannot cut an object down sends the whole one instead.
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


class Scope(msgspec.Struct, frozen=True):
    """Which objects one list and one watch are about: a kind, in one namespace or in all, cut down by selectors."""

    kind: Kind
    namespace: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def path(self) -> str:
        """The path of the URL."""
        root, _ = _GROUPS[self.kind]
        return f"{root}/namespaces/{self.namespace}/{self.kind}" if self.namespace else f"{root}/{self.kind}"

    @property
    def group(self) -> str:
        """The API group as RBAC rules name it."""
        return _GROUPS[self.kind][1]


class ApiError(Exception):
    """The API did not give what was asked for; `retry_after` is what it said about coming back, in seconds."""

    reason = "error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Disconnected(ApiError):
    """No connection, or the end of one in the middle of something, or silence."""

    reason = "disconnected"


class Unauthorized(ApiError):
    """401: these credentials are not, or no longer, known."""

    reason = "unauthorized"


class Forbidden(ApiError):
    """403: known, but without the right."""

    reason = "forbidden"


class NotFound(ApiError):
    """404: a server without this kind."""

    reason = "missing"


class Gone(ApiError):
    """410: the version or page asked for is no longer kept."""

    reason = "gone"


class Refused(ApiError):
    """400, 406, 422: the server does not understand this way of asking."""

    reason = "refused"


class TooManyRequests(ApiError):
    """429: come back later."""

    reason = "too-many-requests"


class TooLargeVersion(ApiError):
    """504 of a server that has not reached the version asked for."""

    reason = "version-ahead"


class ServerFailure(ApiError):
    """Any other answer but 200."""

    reason = "server-failure"


class Malformed(ApiError):
    """200, but not the JSON that belongs there."""

    reason = "malformed"


_BY_CODE: dict[int, type[ApiError]] = {
    400: Refused,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    406: Refused,
    410: Gone,
    422: Refused,
    429: TooManyRequests,
}


class Page(msgspec.Struct):
    """One page of a list: the list's version, its objects, and how many are still to come if the server says."""

    version: str
    items: list[msgspec.Raw]


class Line(msgspec.Struct):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: msgspec.Raw


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] = []
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_status = msgspec.json.Decoder(_Status)
_list = msgspec.json.Decoder(_List)
_line = msgspec.json.Decoder(Line)


def _uncounted(_: int) -> None:
    pass


class Client:
    """Lists and watches of one API server.

    `page_size` objects a page: 500 pods are 3 MB of JSON, whose split into raw items holds the loop for 1-2 ms.
    `silence`: seconds without a byte after which a watch is dead. An idle watch gets a bookmark about once a minute,
    so one and a half minutes is one bookmark missed for certain; and where bookmarks really are missing (a server just
    restarted sends none until it knows its version), the price of a wrong guess is one resumed request, not a list.
    Dead peers show sooner, by TCP keep-alive.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        page_size: int = 500,
        silence: float = 90.0,
        connect_timeout: float = 10.0,
        answer_timeout: float = 30.0,
        user_agent: str = "dnsserver",
    ) -> None:
        self._credentials = credentials
        self._page_size = page_size
        self._silence = silence
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._headers = {"user-agent": user_agent, "accept-encoding": "identity"}
        self._session: httpx2.AsyncClient | None = None
        self._session_key: tuple[object, ...] = ()
        self._lock = trio.Lock()

    async def aclose(self) -> None:
        """End all connections; running lists and watches end with Disconnected."""
        if self._session is not None:
            await self._session.aclose()
            self._session = None

    async def pages(
        self, scope: Scope, *, version: str = "", received: Callable[[int], None] = _uncounted
    ) -> AsyncGenerator[Page]:
        """All objects, as one consistent state: the newest, or exactly that of `version`. Raises ApiError.

        With no version given the server answers from its newest state, never an older one (version "0" could be older,
        and some servers ignore `limit` with it). When a page token has expired, this raises Gone: the token that comes
        with the 410 continues at a newer state, but what happened meanwhile to the objects on the pages already read
        would never be told, by no later page and by no watch.
        """
        params = {"limit": str(self._page_size)}
        if version:
            params |= {"resourceVersion": version, "resourceVersionMatch": "Exact"}
        while True:
            async with self._open(scope, params, _METADATA_LIST, self._answer_timeout) as response:
                body = await _body(response, received)
            try:
                page = _list.decode(body)
            except UNREADABLE as error:
                raise Malformed(f"a page of {scope.kind} is not a list: {error}") from None
            yield Page(page.metadata.resource_version, page.items or [])
            if not page.metadata.continue_:
                return
            params = {"limit": str(self._page_size), "continue": page.metadata.continue_}

    async def watch(
        self,
        scope: Scope,
        version: str,
        *,
        seconds: int,
        received: Callable[[int], None] = _uncounted,
    ) -> AsyncGenerator[Line]:
        """What changes after `version`, until the server ends the stream after about `seconds`. Raises ApiError.

        With no version, a streaming list: ADDED for each object there is, then a bookmark that carries the annotation
        `k8s.io/initial-events-end`, then the changes. Servers that do not offer it raise Refused.
        """
        params = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        if version:
            params["resourceVersion"] = version
        else:
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        async with self._open(scope, params, _METADATA, self._silence) as response:
            async with aclosing(_lines(response, received)) as lines:
                async for text in lines:
                    yield _event(scope, text)

    @asynccontextmanager
    async def _open(
        self, scope: Scope, params: dict[str, str], metadata: str, silence: float
    ) -> AsyncIterator[httpx2.Response]:
        """A 200 response whose body is still to be read; closed at the end of the block."""
        params = dict(params)
        if scope.labels:
            params["labelSelector"] = scope.labels
        if scope.fields:
            params["fieldSelector"] = scope.fields
        accept = metadata if scope.kind is Kind.NAMESPACES else "application/json"
        response = await self._send(scope.path, params, accept, silence)
        try:
            yield response
        except httpx2.HTTPError as error:
            raise Disconnected(str(error) or type(error).__name__) from error
        finally:
            await response.aclose()

    async def _send(self, path: str, params: dict[str, str], accept: str, silence: float) -> httpx2.Response:
        """The response, which is 200; a 401 makes it look for newer credentials, once, and ask again."""
        refused: Access | None = None
        while True:
            try:
                access = await self._credentials.current()
                session = await self._connected(access)
            except (CredentialsError, ssl.SSLError, OSError) as error:
                raise Unauthorized(f"no usable credentials: {error}") from error
            headers = {"accept": accept, **self._headers}
            if access.authorization:
                headers["authorization"] = access.authorization
            extensions: dict[str, object] = {"sni_hostname": access.server_name} if access.server_name else {}
            extensions["timeout"] = httpx2.Timeout(self._connect_timeout, read=silence).as_dict()
            request = httpx2.Request(
                "GET", access.server.rstrip("/") + path, params=params, headers=headers, extensions=extensions
            )
            try:
                with trio.fail_after(self._connect_timeout + self._answer_timeout):
                    response = await session.send(request, stream=True)
            except trio.TooSlowError:
                raise Disconnected("no answer to a request") from None
            except httpx2.HTTPError as error:
                if _is_tls(error):
                    self._credentials.distrust(access)
                raise Disconnected(str(error) or type(error).__name__) from error
            if response.status_code == 200:
                return response
            failure = await self._failure(response)
            if isinstance(failure, Unauthorized):
                self._credentials.distrust(access)
                if refused is None and await self._credentials.current() != access:
                    refused = access
                    continue
            raise failure

    async def _failure(self, response: httpx2.Response) -> ApiError:
        try:
            body = await _body(response, _uncounted)
        except httpx2.HTTPError:
            body = b""
        finally:
            await response.aclose()
        try:
            status = _status.decode(body)
        except UNREADABLE:
            # A proxy's or load balancer's own page.
            status = _Status(message=body[:200].decode(errors="replace"))
        return _error(status, response.status_code, response.headers.get("retry-after"))

    async def _connected(self, access: Access) -> httpx2.AsyncClient:
        """The session for this access. A change of certificates or CA ends the connections made with the old ones."""
        async with self._lock:
            key = access.tls_key()
            if self._session is None or key != self._session_key:
                context = await trio.to_thread.run_sync(tls_context, access)
                old = self._session
                transport = Transport(context, proxy=access.proxy, socket_options=_KEEP_ALIVE)
                self._session = httpx2.AsyncClient(transport=transport, trust_env=False)
                self._session_key = key
                if old is not None:
                    await old.aclose()
            return self._session


# A peer that is gone (a node that lost power) is noticed after 30 s, without waiting for a bookmark to be missed.
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


async def _body(response: httpx2.Response, received: Callable[[int], None]) -> bytes:
    chunks = []
    async for chunk in response.aiter_raw():
        received(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


async def _lines(response: httpx2.Response, received: Callable[[int], None]) -> AsyncGenerator[bytes]:
    """The lines of a stream, each a copy of its own; a last line without its end is a cut, not a line."""
    pending = bytearray()
    async with aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            received(len(chunk))
            head, *rest = chunk.split(b"\n")
            pending += head
            for part in rest:
                if pending:
                    yield bytes(pending)
                pending = bytearray(part)
    if pending:
        raise Disconnected("the stream ended in the middle of a line")


def _event(scope: Scope, text: bytes) -> Line:
    try:
        line = _line.decode(text)
        if line.type != "ERROR":
            return line
        status = _status.decode(line.object)
    except UNREADABLE as error:
        raise Malformed(f"a line of a watch of {scope.kind} is not an event: {error}") from None
    raise _error(status, 0, None)


def _error(status: _Status, http_code: int, retry_after: str | None) -> ApiError:
    """The exception for a Status, which came with an HTTP error or as an ERROR event in a 200 stream (http_code 0)."""
    code = http_code or status.code
    details = status.details or _Details()
    wait = details.retry_after_seconds
    if retry_after and retry_after.isdecimal():
        wait = float(retry_after)
    message = f"{code} {status.reason}: {status.message}"
    if any(cause.reason == "ResourceVersionTooLarge" for cause in details.causes):
        return TooLargeVersion(message, retry_after=wait)
    if status.reason in {"Expired", "Gone"}:
        return Gone(message)
    return _BY_CODE.get(code, ServerFailure)(message, retry_after=wait)


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
