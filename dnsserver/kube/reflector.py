"""One kind of API object kept true in the zone: list, watch, resume, relist, check. One concern a layer, outermost first:

    run                 for ever, with back-off: whatever ends below is told, counted and begun again
    _list_then_watch    a full list framed by ListStarted and ListDone, then watches, until a version is gone (410)
    _keep               one scope of it (all namespaces, or one of those named): its list, then its watch
    _follow             one watch for ever: cuts, silence and the server's own time limit are resumed where it stopped
    Client.watch        one HTTP stream

An object that cannot be decoded counts as absent, in a list as in a watch, so that the order of events never matters.
"""

import enum
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import datetime

import msgspec
import structlog
import trio

from dnsserver.kube.api import (
    ApiError,
    Client,
    Disconnected,
    Forbidden,
    Gone,
    Line,
    Malformed,
    NotFound,
    Page,
    Refused,
    Scope,
    TooLargeVersion,
)
from dnsserver.kube.decode import UNREADABLE, BadObject, from_json, identity
from dnsserver.zone.model import EndpointSlice, Event, Kind, ListDone, ListStarted, Put, Remove

# Written by the endpoint slice controller: when the pod or service changed that made it change the slice.
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
_PUTS = frozenset({"ADDED", "MODIFIED"})
_INITIAL_END = "k8s.io/initial-events-end"
_BITE = 64  # objects applied between two checkpoints, about a millisecond
_FRUITLESS = 3  # streams in a row that brought nothing usable, before a list is tried instead
_BAD_LOGGED = 1000  # bad objects remembered so that each is logged once


class State(enum.StrEnum):
    """What a reflector is doing."""

    STARTING = "starting"
    LISTING = "listing"
    WATCHING = "watching"
    WAITING = "waiting"  # for the next attempt, after a failure
    FORBIDDEN = "forbidden"
    MISSING = "missing"  # the server does not have this kind


class Timing(msgspec.Struct, frozen=True):
    """Seconds, all of them. `check_interval` 0 turns the consistency check off."""

    backoff_first: float = 0.25
    backoff_max: float = 30.0
    denied_retry: float = 60.0  # after 403 and 404, which only a person changes
    check_interval: float = 3600.0
    check_retry: float = 60.0  # a check that could not be done: by then there is a bookmark, or a newer event
    check_page_pause: float = 0.1
    watch_shortest: int = 300  # the server ends a watch after 5 to 10 minutes, so that load balancers rebalance
    watch_longest: int = 600


class Statistics(msgspec.Struct, frozen=True):
    """What is known about one kind; times are `trio.current_time`, None is never."""

    kind: Kind
    state: State
    synced: bool  # listed completely at least once
    streaming: bool  # the server offers streaming lists, as far as known
    puts: int
    removes: int
    bookmarks: int
    bad_objects: int
    bytes_received: int
    lists: int
    resyncs: dict[str, int]  # lists after the first, by what made them necessary
    reconnects: dict[str, int]  # watches resumed after a failure, by what it was
    checks: int
    checks_failed: int
    repairs: int  # changes that a check made: each one is a bug that was healed
    last_event: float | None
    last_bookmark: float | None
    last_heard: float | None  # an event, a bookmark or a complete list: how old the data may be
    last_list: float | None
    last_check: float | None  # the last complete comparison, a list or a check
    last_error: str
    forbidden: bool
    missing: bool


class _Backoff:
    """Exponential, with jitter, so that a thousand clients of a restarted server do not return together."""

    def __init__(self, timing: Timing, rng: random.Random) -> None:
        self._timing = timing
        self._rng = rng
        self.failures = 0

    def next(self, error: ApiError | None) -> float:
        timing = self._timing
        if isinstance(error, Forbidden | NotFound):
            return timing.denied_retry * self._rng.uniform(0.75, 1.25)
        delay = min(timing.backoff_max, timing.backoff_first * 2.0 ** min(self.failures, 16))
        self.failures += 1
        delay *= self._rng.uniform(0.5, 1.0)
        if error is not None and error.retry_after is not None:
            delay = error.retry_after + delay  # never before the time it said, nor all at that time
        return delay

    def reset(self) -> None:
        self.failures = 0


class _Stream:
    """Where one scope stands: the version up to which everything is applied, "" before its list is complete."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.version = ""
        self.heard = 0  # events and bookmarks
        self.touched: set[tuple[str, str]] | None = None  # by the watch, since a running check began


class Reflector:
    """Keeps one kind in the zone equal to the API: `apply` gets each event, on this thread, in order.

    `scopes`: see `scopes_of`. `changes`: how often the zone has really changed so far; it makes repairs of the check
    countable, and `on_programmed` blind to repeats. `on_programmed(slice, seconds, initial)`: an EndpointSlice was
    applied that long after the change that caused it; `initial` says that it came by a list. `wall` is the unix clock.
    """

    def __init__(
        self,
        client: Client,
        scopes: Sequence[Scope],
        apply: Callable[[Event], None],
        *,
        timing: Timing | None = None,
        changes: Callable[[], int] | None = None,
        on_programmed: Callable[[EndpointSlice, float, bool], None] | None = None,
        streaming: bool = True,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        (self._kind,) = {scope.kind for scope in scopes}
        self._client = client
        self._scopes = tuple(scopes)
        self._apply = apply
        self._timing = timing or Timing()
        self._changes = changes
        self._on_programmed = on_programmed
        self._streaming = streaming
        self._wall = wall
        self._rng = rng or random.Random()  # noqa: S311  (jitter)
        self._log = structlog.get_logger("dnsserver.kube").bind(kind=str(self._kind))

        self._backoff = _Backoff(self._timing, self._rng)
        self._state = State.STARTING
        self._started = False  # ListStarted is out, ListDone is not
        self._streams: list[_Stream] = []
        self._unlisted: set[Scope] = set()
        self._denied: type[ApiError] | None = None
        self._bad_seen: set[tuple[str, str, str]] = set()

        self._synced = False
        self._puts = self._removes = self._bookmarks = self._bad = self._bytes = 0
        self._lists = self._checks = self._checks_failed = self._repairs = 0
        self._resyncs: Counter[str] = Counter()
        self._reconnects: Counter[str] = Counter()
        self._last_event: float | None = None
        self._last_bookmark: float | None = None
        self._last_heard: float | None = None
        self._last_list: float | None = None
        self._last_check: float | None = None
        self._last_error = ""

    def statistics(self) -> Statistics:
        """The present figures."""
        return Statistics(
            kind=self._kind,
            state=self._state,
            synced=self._synced,
            streaming=self._streaming,
            puts=self._puts,
            removes=self._removes,
            bookmarks=self._bookmarks,
            bad_objects=self._bad,
            bytes_received=self._bytes,
            lists=self._lists,
            resyncs=dict(self._resyncs),
            reconnects=dict(self._reconnects),
            checks=self._checks,
            checks_failed=self._checks_failed,
            repairs=self._repairs,
            last_event=self._last_event,
            last_bookmark=self._last_bookmark,
            last_heard=self._last_heard,
            last_list=self._last_list,
            last_check=self._last_check,
            last_error=self._last_error,
            forbidden=self._denied is Forbidden,
            missing=self._denied is NotFound,
        )

    async def run(self) -> None:
        """Never returns; ends by cancellation only."""
        while True:
            error: ApiError | None = None
            try:
                await self._list_then_watch()
            except* ApiError as group:
                error = _first(group)
            # A list that a 410 makes necessary is begun at once the first time; one that fails waits longer each time.
            reason = "restart" if error is None else error.reason
            if self._synced:
                self._resyncs[reason] += 1
            self._note(error, "lists again")
            await trio.sleep(self._backoff.next(error))

    async def _list_then_watch(self) -> None:
        """Everything from the start. Raises ApiError, mostly Gone, in a group."""
        if self._denied is None:
            self._state = State.LISTING
        self._started = False
        self._unlisted = set(self._scopes)
        self._streams = [_Stream(scope) for scope in self._scopes]
        async with trio.open_nursery() as nursery:
            for stream in self._streams:
                nursery.start_soon(self._keep, stream)
            if self._timing.check_interval:
                nursery.start_soon(self._check_forever)

    async def _keep(self, stream: _Stream) -> None:
        """One scope: all of it, then what changes. Raises Gone, or whatever broke the list."""
        if self._streaming:
            try:
                await self._read(stream)  # goes on as the watch, after the list
            except Refused:
                # An older server. It stays so until it is upgraded; a list in pages costs us nothing, so never ask again.
                self._streaming = False
            except ApiError as error:
                if not stream.version:
                    # Something in between may not let a streaming list through; next time the other way.
                    self._streaming = not isinstance(error, Disconnected | Malformed)
                    raise
                if isinstance(error, Gone):
                    raise
                self._note_cut(error)
            else:
                if not stream.version:
                    self._streaming = False
        if not stream.version:
            await self._list(stream)
        await self._follow(stream)

    async def _list(self, stream: _Stream) -> None:
        """The scope's objects, page by page, each applied as it is decoded, while the next page is being read."""
        version = ""
        send, receive = trio.open_memory_channel[Page](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_pages, stream.scope, send)
            async for page in receive:
                version = page.version
                self._list_begins()
                for count, raw in enumerate(page.items, 1):
                    self._put(raw, initial=True)
                    if count % _BITE == 0:
                        await trio.lowlevel.checkpoint()
        self._listed(stream, version)

    async def _read_pages(self, scope: Scope, send: trio.MemorySendChannel[Page]) -> None:
        async with send, aclosing(self._client.pages(scope, received=self._received)) as pages:
            async for page in pages:
                await send.send(page)

    async def _follow(self, stream: _Stream) -> None:
        """The scope's changes from its version on, through any number of streams. Raises Gone."""
        backoff = _Backoff(self._timing, self._rng)
        fruitless = 0
        while True:
            heard, began = stream.heard, trio.current_time()
            error: ApiError | None = None
            try:
                await self._read(stream)
            except Gone:
                raise
            except ApiError as caught:
                error = caught
            lived = trio.current_time() - began
            if stream.heard > heard:
                backoff.reset()
                fruitless = 0
            elif isinstance(error, Malformed | TooLargeVersion) or (error is None and lived < 1.0):
                # The same line again and again; or a version the server has not reached, to which it answers with an
                # empty stream. Its state may have been restored from a backup: then waiting for it to reach our
                # version would skip everything it did until then.
                fruitless += 1
                if fruitless >= _FRUITLESS:
                    raise error or TooLargeVersion("watches end at once, without an event")
            if error is None and (stream.heard > heard or lived >= 1.0):
                continue  # the server's own time limit
            if error is not None:
                self._note_cut(error)
            await trio.sleep(backoff.next(error))

    async def _read(self, stream: _Stream) -> None:
        """One HTTP stream, from the scope's version on, or from nothing if it has none. Raises ApiError."""
        seconds = self._rng.randint(self._timing.watch_shortest, self._timing.watch_longest)
        lines = self._client.watch(stream.scope, stream.version, seconds=seconds, received=self._received)
        async with aclosing(lines):
            async for line in lines:
                if stream.version:
                    self._watched(stream, line)
                elif line.type == "BOOKMARK":
                    mark = identity(line.object)
                    if _INITIAL_END in (mark.annotations or {}):
                        self._list_begins()  # of an empty cluster
                        self._listed(stream, mark.resource_version)
                elif line.type in _PUTS:
                    self._list_begins()
                    self._put(line.object, initial=True)

    def _watched(self, stream: _Stream, line: Line) -> None:
        """One line of a watch, applied."""
        now = trio.current_time()
        try:
            who = identity(line.object)
        except UNREADABLE:
            # Its version is unknown as well, so the place to resume from stays where it is.
            self._put(line.object, initial=False)
            return
        if line.type == "BOOKMARK":
            self._bookmarks += 1
            self._last_bookmark = now
        elif line.type == "DELETED":
            self._removes += 1
            self._apply(Remove(self._kind, who.namespace, who.name))
            self._last_event = now
        elif line.type in _PUTS:
            self._put(line.object, initial=False)
            self._last_event = now
        if stream.touched is not None and who.name:
            stream.touched.add((who.namespace, who.name))
        stream.version = who.resource_version or stream.version
        stream.heard += 1
        self._last_heard = now
        if self._state is not State.WATCHING:
            self._recovered()

    def _put(self, raw: msgspec.Raw, *, initial: bool) -> None:
        try:
            thing = from_json(self._kind, raw)
        except BadObject as bad:
            self._found_bad(bad)
            if bad.name:
                self._apply(Remove(self._kind, bad.namespace, bad.name))
            return
        before = self._changes() if self._changes else -1
        self._apply(Put(thing))
        self._puts += 1
        if self._on_programmed and isinstance(thing, EndpointSlice) and (before < 0 or self._zone_changed(before)):
            seconds = _since_trigger(thing, self._wall())
            if seconds is not None:
                self._on_programmed(thing, seconds, initial)

    def _zone_changed(self, before: int) -> int:
        return self._changes() - before if self._changes else 0

    def _list_begins(self) -> None:
        if not self._started:
            self._started = True
            self._apply(ListStarted(self._kind))

    def _listed(self, stream: _Stream, version: str) -> None:
        """A scope's list is complete; when it is the last one, so is the kind's."""
        stream.version = version
        self._unlisted.discard(stream.scope)
        if self._unlisted:
            return
        self._apply(ListDone(self._kind))
        self._synced = True
        self._lists += 1
        self._last_list = self._last_check = self._last_heard = trio.current_time()
        self._backoff.reset()
        self._recovered()

    async def _check_forever(self) -> None:
        while True:
            await trio.sleep(self._timing.check_interval * self._rng.uniform(0.75, 1.25))
            while self._unlisted or not await self._check():
                await trio.sleep(self._timing.check_retry)

    async def _check(self) -> bool:
        """Puts the whole kind into the zone once more, so that any difference is healed; False if it could not be done.

        The list is taken at exactly the version up to which the watch has been applied. There the API's state and the
        zone's must be the same, so putting an object again changes nothing, unless there was a difference. Objects that
        the watch touches from then on are left to the watch, whose word is newer: old state never comes back. What the
        zone holds without the API's having it goes at ListDone. No second copy, no table of versions, and errors of the
        zone itself are healed as well as lost events.
        """
        self._apply(ListStarted(self._kind))
        repairs = 0
        try:
            for stream in self._streams:
                touched = stream.touched = set[tuple[str, str]]()
                pages = self._client.pages(stream.scope, version=stream.version, received=self._received)
                async with aclosing(pages):
                    async for page in pages:
                        for count, raw in enumerate(page.items, 1):
                            repairs += self._check_one(raw, touched)
                            if count % _BITE == 0:
                                await trio.lowlevel.checkpoint()
                        await trio.sleep(self._timing.check_page_pause)
        except ApiError as error:
            # Gone: nothing has happened for so long that the version is compacted; the next bookmark brings a newer one.
            self._checks_failed += 1
            self._log.info("consistency check put off", error=str(error))
            return False
        finally:
            for stream in self._streams:
                stream.touched = None
        before = self._changes() if self._changes else 0
        self._apply(ListDone(self._kind))
        repairs += self._zone_changed(before)
        self._checks += 1
        self._repairs += repairs
        self._last_check = trio.current_time()
        if repairs:
            self._log.error("the consistency check found and repaired differences", repairs=repairs)
        return True

    def _check_one(self, raw: msgspec.Raw, touched: set[tuple[str, str]]) -> int:
        try:
            thing = from_json(self._kind, raw)
        except BadObject:
            return 0
        if (thing.metadata.namespace, thing.metadata.name) in touched:
            return 0
        before = self._changes() if self._changes else 0
        self._apply(Put(thing))
        return self._zone_changed(before)

    def _received(self, count: int) -> None:
        self._bytes += count

    def _found_bad(self, bad: BadObject) -> None:
        self._bad += 1
        key = (bad.namespace, bad.name, bad.problem)
        if key not in self._bad_seen and len(self._bad_seen) < _BAD_LOGGED:
            self._bad_seen.add(key)
            self._log.warning(
                "object skipped", object_namespace=bad.namespace, object_name=bad.name, problem=bad.problem
            )

    def _recovered(self) -> None:
        if self._denied is not None:
            self._log.info("allowed again")
        self._denied = None
        self._state = State.LISTING if self._unlisted else State.WATCHING

    def _note_cut(self, error: ApiError) -> None:
        self._reconnects[error.reason] += 1
        self._note(error, "resumes")

    def _note(self, error: ApiError | None, then: str) -> None:
        """Remember and log a failure; what only a person can change is logged once."""
        if error is None:
            return
        self._last_error = str(error)
        if isinstance(error, Forbidden | NotFound):
            self._state = State.FORBIDDEN if isinstance(error, Forbidden) else State.MISSING
            if self._denied is not type(error):
                self._denied = type(error)
                self._log.error(
                    "not allowed to read this kind; it is served without"
                    if isinstance(error, Forbidden)
                    else "the API server does not have this kind; it is served without",
                    error=str(error),
                    rule=_rbac_rule(self._scopes[0]),
                    retry_seconds=self._timing.denied_retry,
                )
            return
        self._state = State.WAITING
        self._log.info(f"watch ended, {then}", reason=error.reason, error=str(error))


def scopes_of(
    kind: Kind, *, namespaces: Sequence[str] = (), labels: str = "", namespace_labels: str = ""
) -> tuple[Scope, ...]:
    """What to list and watch of a kind, for the settings CoreDNS calls `namespaces`, `labels` and `namespace_labels`.

    Named namespaces are watched one by one, so that a Role in each of them is enough. Pods that have ended are left out
    by the server.
    """
    if kind is Kind.NAMESPACES:
        if namespaces:
            return tuple(
                Scope(kind, labels=namespace_labels, fields=f"metadata.name={namespace}") for namespace in namespaces
            )
        return (Scope(kind, labels=namespace_labels),)
    fields = "status.phase!=Succeeded,status.phase!=Failed" if kind is Kind.PODS else ""
    return tuple(Scope(kind, namespace, labels, fields) for namespace in namespaces or ("",))


def _rbac_rule(scope: Scope) -> str:
    """The rule that a Role or ClusterRole lacks, as it stands in YAML."""
    return f'apiGroups: ["{scope.group}"], resources: ["{scope.kind}"], verbs: ["list", "watch"]'


def _since_trigger(thing: EndpointSlice, now: float) -> float | None:
    stamp = (thing.metadata.annotations or {}).get(TRIGGER_TIME)
    if stamp is None:
        return None
    try:
        return now - datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None


def _first(group: BaseExceptionGroup[ApiError]) -> ApiError:
    """One of the errors that ended the scopes: the one that says most about what to do."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
