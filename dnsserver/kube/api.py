"""Requests to an API server: lists page by page and watches line by line.

Objects leave this module as values of `decode`, or as raw JSON. `reflector` knows what they mean.
"""

import random
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from urllib.parse import quote

import msgspec
import trio

from dnsserver import metrics
from dnsserver.kube import answers
from dnsserver.kube.credentials import ApiEndpoint, Credentials, CredentialsError, tls_context
from dnsserver.kube.decode import UNREADABLE, Change, line
from dnsserver.kube.endpoint_states import SERVICE_LABEL, EndpointState, of_list
from dnsserver.kube.errors import (
    Disconnected,
    Forbidden,
    Gone,
    Malformed,
    NotFound,
    ServerFailure,
    Status,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Undecodable,
    error_in_watch,
)
from dnsserver.kube.pod_dns import PodDns, of_json
from dnsserver.kube.progress import Backoff, Received, Timing
from dnsserver.kube.request_counts import NO_ANSWER, RequestCounts
from dnsserver.kube.scope import Scope
from dnsserver.kube.transport import ApiResponse, Session
from dnsserver.zone.model import Kind, Object

# Of namespaces only name and labels are wanted; a server that cannot cut an object down sends the whole one instead.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


LARGEST_PAGE = 64 << 20  # octets; 500 EndpointSlices of 100 endpoints have 13 MB, and a larger page is asked in parts
LONGEST_LINE = 16 << 20  # octets; etcd keeps objects of up to 1.5 MB, which is as much JSON or twice that
_MORE = "more of a list"
_AGAIN = 10  # times in a row that a page is asked for again
_AGAIN_FOR = 120.0  # seconds at most: etcd keeps what a page's token is for as little as five minutes


_status = msgspec.json.Decoder(Status)


def _unnoticed() -> None:
    pass


class Client:
    """Lists and watches of one API server.

    `page_size` objects a page, half as many Pods: 250 of them are 1.5 MB of JSON, and to decode them holds the loop for
    1.2 ms. With 500, the p99 of questions during lists of 150,000 pods was 5.6 ms in place of 4.3.
    `read_timeout`: seconds without a byte after which a watch is dead. An idle watch gets a bookmark about once a
    minute, so one and a half minutes is one bookmark missed for certain; and where bookmarks really are missing (a
    server just restarted sends none until it knows its version), the price of a wrong guess is one resumed request and
    a list of one object, not a whole list.
    Dead peers show sooner, by TCP keep-alive.
    `timing` has the times after which a page is asked for again.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        page_size: int = 500,
        read_timeout: float = 90.0,
        connect_timeout: float = 10.0,
        answer_timeout: float = 30.0,
        user_agent: str = "dnsserver",
        timing: Timing | None = None,
    ) -> None:
        self._credentials = credentials
        self._page_size = page_size
        self._read_timeout = read_timeout
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._headers = {"user-agent": user_agent, "accept-encoding": "identity"}
        self._list_encoding = "gzip"
        self._session: Session | None = None
        self._lock = trio.Lock()
        self._waits: set[answers.Wait] = set()
        self._requests = RequestCounts()
        self._timing = timing or Timing()
        self._rng = random.Random()  # noqa: S311  (jitter)

    def use(self, *, page_size: int, read_timeout: float) -> None:
        """List by pages of this size, and take a watch for dead after so many seconds, from the next request on."""
        self._page_size = page_size
        self._read_timeout = read_timeout

    def statistics(self) -> tuple[metrics.Request, ...]:
        """Return the requests in numbers."""
        return self._requests.statistics()

    def renew_credentials(self) -> None:
        """Load the client's credentials and trusted authorities again before the next request."""
        self._credentials.look_again()

    async def use_renewed(self) -> None:
        """Load them now, and end the connections that were made with other ones, perhaps to another server."""
        with self._waiting_for("credentials"):
            try:
                await self._session_for(await self._credentials.current())
            except (CredentialsError, ssl.SSLError, OSError, ValueError):
                return  # said by whoever asks next, and tried again

    async def aclose(self) -> None:
        """End all connections; running lists and watches end with Disconnected."""
        if self._session is not None:
            await self._session.aclose()
            self._session = None

    @property
    def server(self) -> str:
        """Return the API server's URL; empty before credentials are there."""
        return self._credentials.server

    def waiting(self) -> tuple[float, str] | None:
        """Return since when the oldest request waits (`trio.current_time`), and for what; None if none does."""
        return min(((wait.since, wait.what) for wait in self._waits), default=None)

    async def expect_way_in(self) -> None:
        """Return once there are credentials. Raises CredentialsError, and HopelessCredentialsError."""
        with self._waiting_for("credentials"):
            await self._credentials.current()

    @contextmanager
    def _waiting_for(self, what: str) -> Generator[answers.Wait]:
        """Record that this block waits for something; the block may change what that is, and since when it waits."""
        wait = answers.Wait(what)
        self._waits.add(wait)
        try:
            yield wait
        finally:
            self._waits.discard(wait)

    async def pages(
        self, scope: Scope, *, version: str = "", received: Received | None = None
    ) -> AsyncGenerator[answers.Page[Object | msgspec.Raw]]:
        """Yield all objects of one consistent state: the newest, or exactly that of `version`. Raises ApiError.

        With no version given the server answers from its newest state, never an older one (version "0" could be older,
        and some servers ignore `limit` with it). When a page token has expired, this raises Gone: the token that comes
        with the 410 continues at a newer state, but what happened meanwhile to the objects on the pages already read
        would never be told, by no later page and by no watch. Where it is the server or the connection that fails, the
        same page is asked for again; not the first one, without which nothing is lost.
        """
        limit = self._page_size // 2 or 1 if scope.kind is Kind.PODS else self._page_size
        params = {"limit": str(limit)}
        if version:
            params |= {"resourceVersion": version, "resourceVersionMatch": "Exact"}
        room = bytearray()
        while True:
            try:
                size = await self._read_page(room, scope, params, received)
            except Undecodable:
                self._list_encoding = "identity"  # something in between spoils it
                raise
            except TooLarge:
                if params["limit"] == "1":
                    raise
                params = {**params, "limit": str(max(1, int(params["limit"]) // 8))}
                continue
            try:
                with memoryview(room) as whole, whole[:size] as text:
                    page = answers.page(scope.kind, text)
            except UNREADABLE as error:
                raise Malformed(f"a page of {scope.kind} is not a list: {error}") from None
            yield page
            if not page.next:
                return
            params = {"limit": params["limit"], "continue": page.next}

    async def _read_page(self, room: bytearray, scope: Scope, params: dict[str, str], received: Received | None) -> int:
        """Read a page into `room`, and return how long it is. Raises ApiError.

        A list of 150,000 pods has 600 pages. If each failure began it again, then with a server that turns one request
        of a hundred away it would never be complete.
        """
        began, backoff, server = trio.current_time(), Backoff(self._timing, self._rng), self.server
        while True:
            try:
                asking = {"accept": METADATA_LIST, "accept-encoding": self._list_encoding}
                async with self._asked(scope, params, asking, self._answer_timeout) as answer:
                    with self._waiting_for(_MORE) as wait:
                        return await answers.read_into(room, answer, LARGEST_PAGE, received, wait)
            except (Disconnected, ServerFailure, TooManyRequests) as error:
                pause = backoff.next(error)
                is_late = trio.current_time() - began + pause > _AGAIN_FOR
                if "continue" not in params or backoff.failures > _AGAIN or is_late:
                    raise
            with self._waiting_for(_MORE) as wait:
                wait.since = began
                await trio.sleep(pause)
            if self.server != server:  # to which the token says nothing
                raise Gone(f"the API server was {server}, and is {self.server} now")

    async def watch(
        self,
        scope: Scope,
        version: str,
        *,
        seconds: int,
        on_started: Callable[[], None] = _unnoticed,
        received: Received | None = None,
    ) -> AsyncGenerator[Change]:
        """Yield what changes after `version`, until the server ends the stream after about `seconds`. Raises ApiError.

        With no version it is a streaming list: ADDED for each object there is, then a bookmark that carries the
        annotation `k8s.io/initial-events-end`, then the changes. Servers that do not offer it raise Refused.
        `on_started` is called when the server has agreed to it: in a quiet cluster the first line may be a minute away.
        """
        params = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        if version:
            params["resourceVersion"] = version
        else:
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        begin = b""  # of a line whose end is still to come
        async with self._asked(scope, params, {"accept": METADATA}, self._read_timeout) as answer:
            on_started()
            with ExitStack() as initial:  # up to the first bookmark: only these events are sure to come
                wait = None if version else initial.enter_context(self._waiting_for(_MORE))
                async with aclosing(answer.iter_body(received or Received())) as pieces:
                    async for piece in pieces:
                        if wait is not None:
                            wait.since = trio.current_time()
                        *texts, begin = (begin + piece).split(b"\n")
                        for text in filter(None, texts):
                            try:
                                change = line(scope.kind, text)
                                if change.type == "ERROR" and isinstance(change.object, msgspec.Raw):
                                    raise error_in_watch(_status.decode(change.object))
                            except UNREADABLE as error:
                                raise Malformed(f"a line of a watch of {scope.kind} is not an event: {error}") from None
                            if change.type == "BOOKMARK":
                                initial.close()
                            yield change
                        if len(begin) > LONGEST_LINE:
                            raise TooLarge(f"a line of more than {LONGEST_LINE} octets")
        if begin:
            raise Disconnected("the stream ended in the middle of a line")

    async def expect_version(self, scope: Scope, version: str) -> None:
        """Return if the server has reached a version. Raises TooLargeVersion if it has not, and ApiError.

        A watch does not tell: to one from a version of the future a server answers 200, and sends nothing until it
        reaches that version (Kubernetes: staging/src/k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go, `process`).
        """
        params = {"limit": "1", "resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}
        async with self._asked(scope, params, {"accept": METADATA_LIST}, self._answer_timeout) as answer:
            await answers.body(answer, LARGEST_PAGE)

    async def pod(self, namespace: str, name: str) -> PodDns:
        """Return what a pod's spec says of DNS. Raises ApiError: Forbidden where neither get nor list is allowed."""
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"
        try:
            body = await self.get(f"{path}/{quote(name, safe='')}", {})
        except Forbidden as denied:
            try:
                found = answers.split(await self.get(path, {"fieldSelector": f"metadata.name={name}"})).items
            except Forbidden:
                raise denied from None
            if not found:
                raise NotFound(f"there is no pod {namespace}/{name}") from None
            body = bytes(found[0])
        try:
            return of_json(body)
        except UNREADABLE as error:
            raise Malformed(f"the pod {namespace}/{name} cannot be read: {error}") from None

    async def endpoints(self, namespace: str, service: str) -> tuple[EndpointState, ...]:
        """Return all endpoints of a Service, ready or not. Raises ApiError."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{quote(namespace, safe='')}/endpointslices"
        body = await self.get(path, {"labelSelector": f"{SERVICE_LABEL}={service}"})
        try:
            return of_list(body)
        except UNREADABLE as error:
            raise Malformed(f"the EndpointSlices of {namespace}/{service} cannot be read: {error}") from None

    async def get(self, path: str, params: dict[str, str]) -> bytes:
        """Return what is at a path, as JSON. Raises ApiError."""
        answer = await self._send(path, params, {"accept": "application/json"}, self._answer_timeout)
        try:
            return await answers.body(answer, LARGEST_PAGE)
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def _asked(
        self, scope: Scope, params: dict[str, str], asking: dict[str, str], read_timeout: float
    ) -> AsyncGenerator[ApiResponse]:
        """Give an answer of status 200 with its body unread, and close it at the end of the block."""
        if scope.labels:
            params = {**params, "labelSelector": scope.labels}
        if scope.fields:
            params = {**params, "fieldSelector": scope.fields}
        if scope.kind is not Kind.NAMESPACES:
            asking = {**asking, "accept": "application/json"}
        answer = await self._send(scope.path, params, asking, read_timeout)
        try:
            yield answer
        finally:
            await answer.aclose()

    async def _send(
        self, path: str, params: dict[str, str], asking: dict[str, str], read_timeout: float
    ) -> ApiResponse:
        """Return an answer of status 200 in JSON; after a 401, ask once more if newer credentials are there by then."""
        with self._waiting_for("credentials") as wait:
            return await self._sent(path, params, asking, read_timeout, wait)

    async def _sent(
        self, path: str, params: dict[str, str], asking: dict[str, str], read_timeout: float, wait: answers.Wait
    ) -> ApiResponse:
        asked_again = False
        while True:
            wait.what = "credentials"
            try:
                endpoint = await self._credentials.current()
            except (CredentialsError, OSError, ValueError) as error:
                raise Unauthorized(f"no usable credentials: {error}") from error
            try:
                session = await self._session_for(endpoint)
            except (ssl.SSLError, OSError, ValueError) as error:  # certificates or a key that OpenSSL does not take
                self._credentials.invalidate(endpoint)
                raise Unauthorized(f"no usable credentials: {error}") from error
            headers = {**self._headers, **asking}
            if endpoint.authorization:
                if not (endpoint.authorization.isascii() and endpoint.authorization.isprintable()):
                    raise Unauthorized("no usable credentials: the token has characters that a token cannot have")
                headers["authorization"] = endpoint.authorization
            wait.what = "answer"
            began, code = trio.current_time(), NO_ANSWER
            try:
                with trio.fail_after(self._connect_timeout + self._answer_timeout):
                    answer = await session.get(path, params, headers, self._connect_timeout, read_timeout)
                code = str(answer.status)
            except trio.TooSlowError:
                raise Disconnected("no answer to a request") from None
            except Disconnected as error:
                if _is_tls(error):
                    self._credentials.invalidate(endpoint)
                raise
            finally:
                self._requests.add(session.host, code, trio.current_time() - began)
            try:
                return await answers.checked(answer)
            except Unauthorized:
                self._credentials.invalidate(endpoint)
                if asked_again or await self._credentials.current() == endpoint:
                    raise
                asked_again = True

    async def _session_for(self, endpoint: ApiEndpoint) -> Session:
        """Return the connections for an endpoint; new certificates or a new CA end the connections of the old ones."""
        async with self._lock:
            if self._session is None or endpoint.tls_key() != self._session.key:
                context = await trio.to_thread.run_sync(tls_context, endpoint)
                old, self._session = self._session, Session(endpoint, context)
                if old is not None:
                    await old.aclose()
            return self._session


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
