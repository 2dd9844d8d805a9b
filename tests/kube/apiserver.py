"""An API server for tests: real HTTP/1.1 over TLS, faithful to `recordings/`, and able to fail in every way.

    server = ApiServer(); await nursery.start(server.run)      in the test's own process
    python -m tests.kube.apiserver --services 10000 --pods 150000      in its own; prints one JSON line: server,
    token, ca

Offers list (limit, continue, Exact, selectors, metadata only), watch (versions, bookmarks, initial events, timeouts),
GET, PUT and DELETE of single objects. `faults` apply to requests, `disturb` to open watches. Over 400 lines, as each
fault interrupts the protocol at another place.
"""

import base64
import bisect
import json
import socket
import ssl
import struct
import sys
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from itertools import islice
from urllib.parse import SplitResult, parse_qs, urlsplit

import h11
import msgspec
import trio
import trustme

from dnsserver.zone.model import Kind
from tests.kube.apistore import API_VERSION, BOOKMARK_REST, Entry, GoneError, Selector, Store, Stored
from tests.kube.compressed import encoded

WRITE_SIZE = 4096
BATCH = 64  # changes that are sent between two looks at the command of a watch
INITIAL_END = b',"annotations":{"k8s.io/initial-events-end":"true"}'


class Fault(msgspec.Struct):
    """What happens to the next `times` requests that match `kind` and `verb`.

    `action` is one of: `status` (with `status`, `headers`, `body`), `reset`, `close`, `hang` (never an answer),
    `silent` (a head, then nothing), `half` (half a page, or half an event, then a close), `half-reset`, `garbage` (200
    and HTML), `slow` (pieces with `delay` seconds between), `goaway` (a good list, then a close), `too-large` (the
    resource version is too large), `gone` (410, in the words for each verb: see recordings), for lists those of
    `tests.kube.compressed`, and for streaming lists `late-end` (`delay` seconds before the bookmark at its end, for
    changes to be shown) and `no-end` (a normal end of the stream instead).
    """

    action: str
    kind: Kind | None = None
    verb: str = ""  # "list", "page" (a list with a token) or "watch"
    times: int = 1
    status: int = 500
    headers: dict[str, str] = {}
    body: bytes | None = None
    delay: float = 0.05


class Request(msgspec.Struct):
    """An authorized request; kept in `ApiServer.requests`."""

    method: str
    kind: Kind
    namespace: str
    name: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float = 0.0  # trio.current_time

    @property
    def verb(self) -> str:
        if self.query.get("watch") in {"true", "1"}:
            return "watch"
        return "page" if "continue" in self.query else "list"

    @property
    def about(self) -> set[str]:
        """The one namespace that it is about, if it is."""
        _, _, name = self.query.get("fieldSelector", "").partition("metadata.name=")
        return {self.namespace, name} - {""}


class _Denied(Exception):  # noqa: N818
    """A failure, which is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, **rest: object) -> None:
        super().__init__(message)
        self.code = code
        metadata: object = rest.pop("metadata", {})
        self.retry_after = rest.pop("retry_after", None)
        self.body = json.dumps(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": metadata,
                "status": "Failure",
                "message": message,
                "reason": reason,
                **rest,
                "code": code,
            }
        ).encode()


class _Hangup(Exception):  # noqa: N818
    """Close this connection now."""


class _Watch:
    """An open watch, and the command of `disturb` that it has to obey."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.version = 0  # the last one that was sent
        self.command = ""
        self.wake = trio.Event()


class ApiServer:
    """One API server; all its state may be changed at any time from its own event loop."""

    def __init__(
        self,
        *,
        streaming: bool = True,
        version: str = "1.33",
        bookmark_interval: float = 60.0,
        host: str = "localhost",
    ) -> None:
        """`version` is that of Kubernetes: up to 1.33, dnsserver asks for streaming lists, from 1.34 on for pages."""
        self.host = host
        self.version = version
        self.store = Store()
        self.streaming = streaming
        self.bookmark_interval = bookmark_interval
        self.token = "the-token"
        self.forbidden: set[Kind] = set()
        self.closed: set[str] = set()  # namespaces that may not be read, as those without a Role
        self.may_get = True  # single objects, where their kind may be read
        self.missing: set[Kind] = set()
        self.versions_told = 0
        self.groups = ["apps", "discovery.k8s.io"]  # what GET /apis lists
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.watches: set[_Watch] = set()
        self.connections = 0  # accepted so far
        self.port = 0
        self.new_certificate()
        self._connected: set[trio.SSLStream[trio.SocketStream]] = set()
        self._accepting = trio.CancelScope()
        self._up = trio.Event()
        self._up.set()

    # What a test does to it

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def new_certificate(self, authority: trustme.CA | None = None) -> None:
        """Use a new certificate, of `authority` or of a new CA; connections from now on get it."""
        self.authority = authority or trustme.CA()
        self.ca = self.authority.cert_pem.bytes().decode()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(self.host, "127.0.0.1").configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        self._context = context

    def put(self, kind: Kind, thing: dict[str, object]) -> Stored:
        stored = self.store.put(kind, thing)
        self.wake(kind)
        return stored

    def put_split(self, kind: Kind, namespace: str, name: str, head: bytes, tail: bytes) -> Stored:
        stored = self.store.put_split(kind, namespace, name, head, tail)
        self.wake(kind)
        return stored

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        self.store.delete(kind, namespace, name)
        self.wake(kind)

    def compact(self) -> None:
        self.store.compact()

    def disturb(self, command: str, kind: Kind | None = None) -> None:
        """Give a command to all open watches, or to those of `kind`: `end` (as by timeout), `cut` (mid-stream close),
        `reset`, `silence` (for ever), `half` (half an event, then a normal end), `gone` and `fail` (ERROR events of
        410 and 500), `garbage` (a line that is no JSON), `repeat` (the last event again), `bookmark`, `idle-event` (an
        event of unknown type).
        """
        for watch in self.watches:
            if kind is None or watch.kind is kind:
                watch.command = command
                watch.wake.set()

    def stop(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._up = trio.Event()
        self._accepting.cancel()
        for stream in list(self._connected):
            _reset(stream)

    def start(self) -> None:
        self._up.set()

    async def wait_told(self) -> None:
        """Wait until all changes have been sent to every watch."""
        while not self.all_told:  # noqa: ASYNC110
            await trio.sleep(0.001)

    @property
    def all_told(self) -> bool:
        return not any(next(self.store.since(watch.kind, watch.version), None) for watch in self.watches)

    def streams(self, kind: Kind) -> int:
        return sum(watch.kind is kind for watch in self.watches)

    # Serving

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as connections:
            while True:
                await self._up.wait()
                host = "127.0.0.1" if self.host == "localhost" else self.host
                listeners = await trio.open_tcp_listeners(self.port, host=host)
                self.port = listeners[0].socket.getsockname()[1]
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                with trio.CancelScope() as self._accepting:
                    await trio.serve_listeners(self._connection, listeners, handler_nursery=connections)

    async def _connection(self, transport: trio.SocketStream) -> None:
        self.connections += 1
        stream = trio.SSLStream(transport, self._context, server_side=True, https_compatible=True)
        self._connected.add(stream)
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                received = await _receive(stream, connection)
                if received is None:
                    break
                await self._answer(_Exchange(stream, connection), *received)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except* (
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            trio.BusyResourceError,
            h11.ProtocolError,
            _Hangup,
        ):
            pass
        finally:
            self._connected.discard(stream)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1), suppress(trio.BrokenResourceError):
                await stream.aclose()

    async def _answer(self, exchange: "_Exchange", head: h11.Request, body: bytes) -> None:
        try:
            if head.target.startswith(b"/-/"):
                await self._control(exchange, urlsplit(head.target.decode()))
                return
            if head.target == b"/apis":
                groups = [{"name": group} for group in self.groups]
                await exchange.whole(200, json.dumps({"kind": "APIGroupList", "groups": groups}).encode(), {})
                return
            if head.target == b"/version":
                self.versions_told += 1
                major, _, minor = self.version.partition(".")
                await exchange.whole(200, json.dumps({"major": major, "minor": minor}).encode(), {})
                return
            request = _parse(head)
            self._admit(request)
            if request.method != "GET":
                await self._write(exchange, request, body)
                return
            fault = self._fault(request)
            if fault is not None and await _misbehave(exchange, request, fault):
                return
            if request.name:
                await self._get(exchange, request)
            elif request.verb == "watch":
                await self._watch(exchange, request, fault)
            else:
                await self._list(exchange, request, fault)
        except _Denied as denied:
            headers = {"retry-after": str(denied.retry_after)} if denied.retry_after is not None else {}
            await exchange.whole(denied.code, denied.body, headers)

    def _admit(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise _Denied(401, "Unauthorized", "Unauthorized")
        self.requests.append(request)
        if request.kind in self.forbidden or request.about & self.closed:
            message = (
                f'{request.kind} is forbidden: User "dns" cannot list resource "{request.kind}" '
                'in API group "" at the cluster scope'
            )
            raise _Denied(403, "Forbidden", message, details={"kind": request.kind})
        if request.kind in self.missing:
            raise _Denied(404, "NotFound", "the server could not find the requested resource", details={})

    async def _write(self, exchange: "_Exchange", request: Request, body: bytes) -> None:
        """Create or replace an object for PUT, delete it for DELETE; answer with the new resource version."""
        if request.method == "PUT":
            self.put(request.kind, json.loads(body))
        else:
            self.delete(request.kind, request.namespace, request.name)
        await exchange.whole(200, json.dumps({"resourceVersion": str(self.store.version)}).encode(), {})

    async def _get(self, exchange: "_Exchange", request: Request) -> None:
        if not self.may_get:
            raise _Denied(403, "Forbidden", f'{request.kind} "{request.name}" is forbidden: cannot get resource')
        things = self.store.chosen(request.kind, self.store.version, request.namespace, "", "")
        found = next((thing for thing in things if thing.name == request.name), None)
        if found is None:
            raise _Denied(404, "NotFound", f'{request.kind} "{request.name}" not found', details={})
        await exchange.whole(200, found.full(), {})

    async def _control(self, exchange: "_Exchange", url: SplitResult) -> None:
        """Obey a benchmark: `POST /-/compact`, `/-/churn?count=1000`, `/-/restart?seconds=3&compact=1`, or any command
        of `disturb` (`?kind=pods`).
        """
        query = parse_qs(url.query)
        kind = query.get("kind")
        command = url.path.removeprefix("/-/")
        if command == "compact":
            self.compact()
        elif command == "restart":
            await exchange.whole(200, b"{}", {})
            self.stop()
            if int(query["compact"][0]):
                self.compact()
            await trio.sleep(float(query["seconds"][0]))
            self.start()
            raise _Hangup
        elif command == "churn":
            from tests.kube.generated import churn  # noqa: PLC0415

            await churn(self, int(query["count"][0]))
        else:
            self.disturb(command, Kind(kind[0]) if kind else None)
        await exchange.whole(200, b"{}", {})

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.kind in {None, request.kind} and fault.verb in {"", request.verb}:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def wake(self, kind: Kind) -> None:
        for watch in self.watches:
            if watch.kind is kind:
                watch.wake.set()

    async def _list(self, exchange: "_Exchange", request: Request, fault: Fault | None) -> None:
        query, kind = request.query, request.kind
        limit = int(query.get("limit", "0")) or sys.maxsize
        after = ""
        match, asked = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
        version = self.store.version
        try:
            if "continue" in query:
                if asked or match:
                    raise _Denied(400, "BadRequest", "specifying resource version is not allowed when using continue")
                token = json.loads(base64.urlsafe_b64decode(query["continue"] + "=="))
                version, after = token["rv"], token["start"]
                if version == -1:
                    version = self.store.version
            elif asked.isdigit() and int(asked) > version:
                raise _too_large(int(asked), version)
            elif match == "Exact":
                version = int(asked)
            labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
            things = self.store.chosen(kind, version, request.namespace, labels, fields)
        except GoneError:
            if not after:
                raise _Denied(410, "Expired", "The resourceVersion for the provided list is too old.") from None
            raise _Denied(410, "Expired", PAGE_GONE, metadata={"continue": _token(-1, after)}) from None
        start = bisect.bisect_right(things, after, key=lambda thing: thing.key)
        page = things[start : start + limit]
        left = len(things) - start - len(page)
        metadata: dict[str, object] = {"resourceVersion": str(version)}
        if left:
            metadata["continue"] = _token(version, page[-1].key)
            if not (labels or fields):
                metadata["remainingItemCount"] = left
        partial = _partial(request, "PartialObjectMetadataList")
        kind_name, api = API_VERSION[kind]
        list_kind = ("PartialObjectMetadataList", "meta.k8s.io/v1") if partial else (f"{kind_name}List", api)
        body = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[%b]}\n' % (
            list_kind[0].encode(),
            list_kind[1].encode(),
            msgspec.json.encode(metadata),
            b",".join([thing.partial() for thing in page] if partial else [thing.json for thing in page]),
        )
        action = fault.action if fault else ""
        body, headers = encoded(body, request.headers.get("accept-encoding", ""), action)
        if action.startswith("half"):
            await exchange.head(200, {**headers, "content-length": str(len(body))})
            await exchange.send(body[: len(body) // 2])
            exchange.hang_up(reset=action == "half-reset")
        elif action == "slow" and fault:
            await exchange.head(200, {**headers, "content-length": str(len(body))})
            for start in range(0, len(body), max(1, len(body) // 8)):
                await exchange.send(body[start : start + max(1, len(body) // 8)])
                await trio.sleep(fault.delay)
            await exchange.end()
        else:
            await exchange.whole(200, body, {**headers, "connection": "close"} if action == "goaway" else headers)

    async def _watch(self, exchange: "_Exchange", request: Request, fault: Fault | None) -> None:
        kind, query = request.kind, request.query
        initial = query.get("sendInitialEvents") == "true"
        if query.get("resourceVersionMatch") and not (initial and self.streaming):
            raise _Denied(422, "Invalid", WATCHLIST_REFUSED, details={"group": "meta.k8s.io", "kind": "ListOptions"})
        version = int(query.get("resourceVersion") or self.store.version)
        watch = _Watch(kind)
        stream = _WatchStream(
            exchange,
            watch,
            Selector(query.get("labelSelector", ""), query.get("fieldSelector", "")),
            request.namespace,
            _partial(request, "PartialObjectMetadata"),
            query.get("allowWatchBookmarks") in {"true", "1"},
        )
        await exchange.head(200, {})
        if version < self.store.compacted[kind] and not initial:
            await stream.gone(version, self.store.compacted[kind])
            return
        if fault is not None and fault.action == "slow":
            await trio.sleep(fault.delay)
        self.watches.add(watch)
        try:
            async with exchange.while_client_listens():
                await stream.run(
                    self.store,
                    version,
                    initial=initial,
                    fault=fault,
                    deadline=trio.current_time() + int(query.get("timeoutSeconds", "1800")),
                    bookmark_interval=self.bookmark_interval,
                )
        finally:
            self.watches.discard(watch)


class _WatchStream:
    """The answer to one watch."""

    def __init__(
        self,
        exchange: "_Exchange",
        watch: _Watch,
        selector: Selector,
        namespace: str,
        partial: bool,
        bookmarks: bool,
    ) -> None:
        self._exchange = exchange
        self._watch = watch
        self._selector = selector
        self._namespace = namespace
        self._partial = partial
        self._bookmarks = bookmarks
        self._last = b""

    async def run(
        self,
        store: Store,
        version: int,
        *,
        initial: bool,
        fault: Fault | None,
        deadline: float,
        bookmark_interval: float,
    ) -> None:
        kind = self._watch.kind
        if initial:
            version = store.version
            shown = filter(self._shown, store.lists(kind, version))
            await self._exchange.send_all(_line(b"ADDED", self._object(thing)) for thing in shown)
            if fault is not None and fault.action == "no-end":
                await self._exchange.end()
                return
            if fault is not None and fault.action == "late-end":
                await trio.sleep(fault.delay)
                changes = list(store.since(kind, version))
                await self._exchange.send_all(filter(None, map(self._change, changes)))
                version = store.version
            await self._send(b"BOOKMARK", self._bookmark(version, INITIAL_END))
        self._watch.version = version
        next_bookmark = trio.current_time() + bookmark_interval
        while True:
            while not self._watch.command and (some := list(islice(store.since(kind, version), BATCH))):
                await self._exchange.send_all(filter(None, map(self._change, some)))
                version = self._watch.version = some[-1].version
            if self._watch.command:
                if await self._obey(store, version):
                    return
                continue
            self._watch.wake = trio.Event()
            with trio.move_on_at(min(deadline, next_bookmark)):
                await self._watch.wake.wait()
            now = trio.current_time()
            if now >= min(deadline, next_bookmark) and self._bookmarks:
                version = await self._send_bookmark(store, version)
                next_bookmark = now + bookmark_interval
            if now >= deadline:
                await self._exchange.end()
                return

    async def gone(self, version: int, compacted: int) -> None:
        denied = _Denied(410, "Expired", f"too old resource version: {version} ({compacted})")
        await self._send(b"ERROR", denied.body)
        await self._exchange.end()

    async def _send_bookmark(self, store: Store, version: int) -> int:
        """Send a bookmark of `version`, or of the store's version if no change is left to send; return that version.

        From a version of the future on nothing is sent until that is reached, not even at the end of the watch.
        """
        if version > store.version:
            return version
        if next(store.since(self._watch.kind, version), None) is None:
            version = store.version
        await self._send(b"BOOKMARK", self._bookmark(version))
        return version

    async def _obey(self, store: Store, version: int) -> bool:
        command, self._watch.command = self._watch.command, ""
        if command == "end":
            await self._exchange.end()
        elif command in {"cut", "reset"}:
            self._exchange.hang_up(reset=command == "reset")
        elif command == "half":
            await self._exchange.send(b'{"type":"MODIFIED","object":{"kind":"Pod","metadata":{"name":"ha')
            await self._exchange.end()
        elif command == "silence":
            await trio.sleep_forever()
        elif command == "gone":
            await self.gone(version, store.version)
        elif command == "fail":
            denied = _Denied(500, "InternalError", "etcd event received with PrevKv=nil")
            await self._send(b"ERROR", denied.body)
            await self._exchange.end()
        elif command == "garbage":
            await self._exchange.send(b"<html>not an event</html>\n")
            return False
        elif command == "repeat":
            if self._last:
                await self._exchange.send(self._last)
            return False
        elif command == "bookmark":
            await self._send_bookmark(store, version)
            return False
        elif command == "idle-event":
            await self._send(b"UNHEARD-OF", b'{"metadata":{"name":"nobody"}}')
            return False
        return True

    def _shown(self, thing: Stored | None) -> bool:
        return (
            thing is not None
            and (not self._namespace or thing.namespace == self._namespace)
            and self._selector.matches(thing)
        )

    def _change(self, entry: Entry) -> bytes:
        before, after = self._shown(entry.old), self._shown(entry.new)
        if after and entry.new:
            self._last = _line(b"MODIFIED" if before else b"ADDED", self._object(entry.new))
        elif before and entry.old:
            # A deletion, or a change that took it out of the selector: the old state under the new version.
            self._last = _line(b"DELETED", self._object(msgspec.structs.replace(entry.old, version=entry.version)))
        else:
            return b""
        return self._last

    def _object(self, thing: Stored) -> bytes:
        return thing.partial() if self._partial else thing.full()

    def _bookmark(self, version: int, annotations: bytes = b"") -> bytes:
        if self._partial:
            kind, api, rest = b"PartialObjectMetadata", b"meta.k8s.io/v1", b""
        else:
            name, group = API_VERSION[self._watch.kind]
            kind, api, rest = name.encode(), group.encode(), BOOKMARK_REST[self._watch.kind]
        return b'{"kind":"%b","apiVersion":"%b","metadata":{"resourceVersion":"%d"%b}%b}' % (
            kind,
            api,
            version,
            annotations,
            rest,
        )

    async def _send(self, change: bytes, thing: bytes) -> None:
        await self._exchange.send(_line(change, thing))


def _line(change: bytes, thing: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (change, thing)


class _Exchange:
    """The answer to one request on its connection."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], connection: h11.Connection) -> None:
        self._stream = stream
        self._connection = connection

    @asynccontextmanager
    async def while_client_listens(self) -> AsyncIterator[None]:
        """Cancel the block when the client closes the connection, and raise _Hangup then."""

        async def listen() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while await self._stream.receive_some(65536):
                    pass
            nursery.cancel_scope.cancel()
            gone.append(True)

        gone: list[bool] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            yield
            nursery.cancel_scope.cancel()
        if gone:
            raise _Hangup

    async def whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        # Go's server counts short bodies and sends long ones in chunks.
        if len(body) < 3000:
            headers = {**headers, "content-length": str(len(body))}
        await self.head(status, headers)
        await self.send(body)
        await self.end()

    async def head(self, status: int, headers: dict[str, str]) -> None:
        every = {
            "audit-id": str(uuid.uuid4()),
            "cache-control": "no-cache, private",
            "content-type": "application/json",
            "date": formatdate(usegmt=True),
        }
        if status != 401:
            every["x-kubernetes-pf-flowschema-uid"] = "fd3e8d17-8c79-4052-9068-a43b695b0543"
            every["x-kubernetes-pf-prioritylevel-uid"] = "61b619dc-2c80-4d55-a814-e9f116b26be7"
        if status == 403:
            every["x-content-type-options"] = "nosniff"
        if "content-length" not in headers:
            headers = {**headers, "transfer-encoding": "chunked"}
        await self._out(h11.Response(status_code=status, headers=list({**every, **headers}.items())))

    async def send(self, data: bytes) -> None:
        await self._out(h11.Data(data=data))

    async def send_all(self, pieces: Iterable[bytes]) -> None:
        """Send each piece as a chunk, but several chunks at once, as Go's server writes 4 KiB while more is waiting.

        h11 needs more time to write a chunk than any client to read it, so the chunks are written here. h11 does not
        notice, as it does not count chunks.
        """
        waiting = bytearray()
        for piece in pieces:
            waiting += b"%x\r\n%b\r\n" % (len(piece), piece)
            if len(waiting) >= WRITE_SIZE:
                await self._stream.send_all(waiting)
                waiting = bytearray()
        if waiting:
            await self._stream.send_all(waiting)

    async def end(self) -> None:
        await self._out(h11.EndOfMessage())

    async def _out(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._connection.send(event)
        if data:
            await self._stream.send_all(data)

    def hang_up(self, *, reset: bool) -> None:
        if reset:
            _reset(self._stream)
        raise _Hangup


WATCHLIST_REFUSED = (
    'ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for '
    "watch, sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate "
    "is enabled]"
)
PAGE_GONE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


async def _misbehave(exchange: _Exchange, request: Request, fault: Fault) -> bool:
    """Do what the fault says; return True if the request needs no other answer."""
    action = fault.action
    if action == "status":
        body = fault.body
        if body is None:
            body = _Denied(fault.status, "InternalError", "made to fail").body
        await exchange.whole(fault.status, body, fault.headers)
    elif action == "garbage":
        await exchange.whole(200, b"<html>a captive portal</html>\n", {"content-type": "text/html"})
    elif action in {"reset", "close"}:
        exchange.hang_up(reset=action == "reset")
    elif action == "hang":
        await trio.sleep_forever()
    elif action == "silent" or (action.startswith("half") and request.verb == "watch"):
        await exchange.head(200, {})
        if action == "silent":
            await trio.sleep_forever()
        await exchange.send(b'{"type":"ADDED","object":{"metadata":{"na')
        exchange.hang_up(reset=action == "half-reset")
    elif action == "too-large":
        raise _too_large(999999999, 592)
    elif action == "gone":
        if request.verb == "page":
            raise _Denied(410, "Expired", PAGE_GONE, metadata={"continue": request.query["continue"]})
        raise _Denied(410, "Expired", "The resourceVersion for the provided list or watch is too old.")
    else:
        return False
    return True


def _too_large(asked: int, current: int) -> _Denied:
    return _Denied(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
        retry_after=1,
    )


def _partial(request: Request, wanted: str) -> bool:
    return f"as={wanted};" in request.headers.get("accept", "")


def _token(version: int, start: str) -> str:
    token = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}).encode()
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _reset(stream: trio.SSLStream[trio.SocketStream]) -> None:
    sock = stream.transport_stream.socket
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def _receive(
    stream: trio.SSLStream[trio.SocketStream], connection: h11.Connection
) -> tuple[h11.Request, bytes] | None:
    """Return the next request and its body; None at the end of the connection."""
    request = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return (request, body) if request is not None else None
        else:
            return None


def _parse(head: h11.Request) -> Request:
    url = urlsplit(head.target.decode())
    parts = url.path.strip("/").split("/")
    del parts[: 2 if parts[0] == "api" else 3]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace = parts[1]
        del parts[:2]
    query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Request(
        head.method.decode(),
        Kind(parts[0]),
        namespace,
        parts[1] if len(parts) > 1 else "",
        query,
        headers,
        trio.current_time(),
    )


@asynccontextmanager
async def serving(server: ApiServer) -> AsyncIterator[ApiServer]:
    """Run the server during the block."""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        nursery.cancel_scope.cancel()


async def _main(arguments: list[str]) -> None:
    import argparse  # noqa: PLC0415

    from tests.kube.generated import Size, fill, keep_changing  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    for name in ("namespaces", "services", "slices", "endpoints", "pods"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size(), name))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default="the-token")
    parser.add_argument("--no-streaming", action="store_true", help="refuse streaming lists, as before Kubernetes 1.32")
    parser.add_argument("--version", default="1.33", help="of Kubernetes; from 1.34 on, dnsserver asks for pages")
    parser.add_argument("--changes", type=float, default=0.0, help="changes a second, from the first watch on")
    options = parser.parse_args(arguments)
    server = ApiServer(streaming=not options.no_streaming, version=options.version)
    server.token = options.token
    server.port = options.port
    fill(server.store, Size(options.namespaces, options.services, options.slices, options.endpoints, options.pods))
    async with serving(server):
        sys.stdout.write(json.dumps({"server": server.url, "token": server.token, "ca": server.ca}) + "\n")
        sys.stdout.flush()
        if options.changes:
            await keep_changing(server, options.changes)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_main, sys.argv[1:])
