"""Keeps one kind of API object up to date in the zone: list, watch, resume, relist. Each layer does one thing:

    run                 for ever, with back-off: whatever ends below is told, counted and begun again
    _list_then_watch    a full list framed by ListStarted and ListDone, then watches, until a version is gone (410)
    _sync_scope         one scope of it (all namespaces, or one of those named): its list, then its watch; if one of
                        several may not be read, the others go on, and the zone keeps what it knew of that one
    _watch_forever      one watch for ever: cuts, silence and the server's own time limit are resumed where it stopped
    Client.watch        one HTTP stream

An object that cannot be decoded counts as absent, in a list as in a watch, so that the order of events never matters.
Over 400 lines, because the layers share one cursor of the stream and are read as one.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial

import msgspec
import trio
from cachetools import TTLCache

from dnsserver import metrics
from dnsserver.faults import Faults
from dnsserver.kube.answers import Page
from dnsserver.kube.api import Client
from dnsserver.kube.check import WatchCursor, check
from dnsserver.kube.decode import UNREADABLE, BadObject, Change, Identity, from_json, identity
from dnsserver.kube.discovery import lists_best_by_pages
from dnsserver.kube.errors import (
    ApiError,
    Disconnected,
    Forbidden,
    Gone,
    Malformed,
    NotFound,
    Refused,
    TooLargeVersion,
    WatchFailure,
    first_of,
)
from dnsserver.kube.outage import Outage
from dnsserver.kube.progress import Backoff, Progress, State, TimeSlice, Timing
from dnsserver.kube.scope import Scope, rbac_rule
from dnsserver.logger import get_logger
from dnsserver.zone.model import EndpointSlice, Event, Kind, ListDone, ListStarted, Metadata, Object, Put, Remove

# Written by the endpoint slice controller: when the pod or service changed that made it change the slice.
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
_PUTS = frozenset({"ADDED", "MODIFIED"})
_INITIAL_END = "k8s.io/initial-events-end"
_FRUITLESS = 3  # streams in a row that brought nothing usable, before a list is tried instead
_EARLY = 1.0  # seconds between a stream's end and its time, at which it has not come to its time
_LONG_ENOUGH = 10.0  # seconds that a stream has to last to have been one, though nothing came by it
_LOOK = 8  # lines of a stream between two looks at the clock: after an idle time the first would always be too late
# A bad object is logged once an hour, so that whoever looks later sees it too, and of all no more than a thousand.
_BAD_LOGGED = 1000
_BAD_SILENCE = 3600.0  # seconds

OnProgrammed = Callable[[EndpointSlice, float, bool], None]


class Reflector:
    """Keeps one kind in the zone equal to the API.

    `apply` gets each event, on this thread, in order, and returns whether it changed the zone: so repairs of the check
    are counted, and repeats are not taken for changes. `scopes`: see `scope.scopes_of`. `on_programmed(slice, seconds,
    initial)` is called when an EndpointSlice has changed the zone, so many seconds after the change in the cluster that
    caused it; `initial` says that it came by a list. `streaming`: try streaming lists first. `outage` reports for all
    kinds that the API fails. `wall` is the unix clock.
    """

    def __init__(
        self,
        client: Client,
        scopes: Sequence[Scope],
        apply: Callable[[Event], bool],
        *,
        timing: Timing | None = None,
        on_programmed: OnProgrammed | None = None,
        streaming: bool = True,
        outage: Outage | None = None,
        faults: Faults | None = None,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        (self._kind,) = {scope.kind for scope in scopes}
        self._client = client
        self._scopes = tuple(scopes)
        self._apply = apply
        self._timing = timing or Timing()
        self._on_programmed = on_programmed
        self._faults = faults or Faults()
        self._wall = wall
        self._rng = rng or random.Random()  # noqa: S311  (jitter)
        self._log = get_logger("dnsserver.kube").bind(kind=str(self._kind))
        self._progress = Progress(self._kind, streaming=streaming)
        self._outage = outage or Outage()
        self._backoff = Backoff(self._timing, self._rng)
        self._cursors: list[WatchCursor] = []
        self._unlisted: set[Scope] = set()
        self._server = ""
        self._is_fruitless = False  # lists are complete, and watches bring nothing: the pauses between lists grow
        self._started = False  # ListStarted is out for the present list
        self._in_part = False  # the present list ended without the scopes that may not be read
        self._retimed = trio.Event()  # by `use`
        self._bad_seen = TTLCache[tuple[str, str, str], None](_BAD_LOGGED, _BAD_SILENCE, trio.current_time)

    def use(self, timing: Timing) -> None:
        """Go by these times from the next wait on; the time of the next check begins anew."""
        self._timing = timing
        self._retimed.set()
        self._retimed = trio.Event()

    @property
    def kind(self) -> Kind:
        """Return the kind that it keeps."""
        return self._kind

    @property
    def server(self) -> str:
        """Return the URL of the API server whose objects were listed last; empty before."""
        return self._server

    def last_word(self) -> float | None:
        """Return when anything was heard of any scope; None before."""
        return max((cursor.last_heard for cursor in self._cursors if cursor.last_heard is not None), default=None)

    def versions(self) -> tuple[str, ...]:
        """Return the resourceVersion up to which each scope has been applied; "" where it is not listed yet."""
        return tuple(cursor.version for cursor in self._cursors)

    def statistics(self) -> metrics.Kind:
        """Return the counts of this moment; the kind is as old as the scope that was silent longest."""
        heard = [cursor.last_heard for cursor in self._cursors if cursor.last_heard is not None]
        return self._progress.statistics(min(heard, default=None))

    async def run(self) -> None:
        """Keep the kind until cancelled; whatever fails is begun again, with back-off."""
        while True:
            error: ApiError | None = None
            try:
                await self._list_then_watch()
            except* ApiError as group:
                error = first_of(group)
            assert error is not None, "a list and its watches end by an error only"
            if self._progress.synced:
                self._progress.resyncs[error.reason] += 1
            self._note(error)
            await trio.sleep(self._backoff.next(error))

    async def _list_then_watch(self) -> None:
        """List everything, then watch it. Raises ApiError, mostly Gone, in an exception group."""
        if self._progress.denied is None:
            self._progress.state = State.LISTING
        self._started = self._in_part = False
        self._unlisted = set(self._scopes)
        heard = {cursor.scope: cursor.last_heard for cursor in self._cursors}
        self._cursors = [WatchCursor(scope, heard.get(scope)) for scope in self._scopes]
        async with trio.open_nursery() as nursery:
            for cursor in self._cursors:
                nursery.start_soon(self._sync_scope, cursor, nursery)
            nursery.start_soon(self._check_forever)

    async def _sync_scope(self, cursor: WatchCursor, nursery: trio.Nursery) -> None:
        """List one scope, and start to watch its changes in `nursery`. Raises Gone, or what broke the list."""
        backoff = Backoff(self._timing, self._rng)
        while True:
            denied: ApiError | None = None
            try:
                pause = await self._list_scope(cursor)
            except* (Forbidden, NotFound) as group:
                if len(self._scopes) == 1:
                    raise
                denied = first_of(group)
            if denied is None:
                break
            cursor.denied = True
            self._note(denied)
            self._end_list()
            await trio.sleep(backoff.next(denied))
        await trio.sleep(pause)
        nursery.start_soon(self._watch_forever, cursor)

    async def _list_scope(self, cursor: WatchCursor) -> float:
        """List one scope, and return the seconds to wait before it is watched. Raises Gone, or what broke the list."""
        pause = 0.0
        if self._progress.streaming and await lists_best_by_pages(self._client):
            self._progress.streaming = False
        if self._progress.streaming:
            try:
                ended_early = await self._read(cursor)  # it goes on as the watch, after the list
            except Refused:
                self._progress.streaming = False  # an older server; pages are as good, so it is not asked again
            except ApiError as error:
                if not cursor.version:
                    # Something in between may not let a streaming list through; next time the other way.
                    self._progress.streaming = not isinstance(error, Disconnected | Malformed)
                    raise
                if isinstance(error, Gone):
                    raise
                self._note_cut(error)
                pause = self._backoff.next(error)
            else:
                self._progress.streaming = bool(cursor.version)  # a server that ignores what it does not know
                pause = self._backoff.next(None) if cursor.version and ended_early else 0.0
        if not cursor.version:
            await self._list(cursor)
        return pause

    async def _list(self, cursor: WatchCursor) -> None:
        """Apply the objects of a scope, page by page, while the next one arrives and the server makes the one after."""
        version = ""
        send, receive = trio.open_memory_channel[Page[Object | msgspec.Raw]](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_pages, cursor.scope, send)
            async for page in receive:
                if not version:
                    self._on_started(cursor)
                version = page.version
                self._list_begins()
                time_slice = TimeSlice()
                for item in page.items:
                    self._put(item, initial=True)
                    if time_slice.over:
                        await time_slice.pause()
        self._listed(cursor, version)

    async def _read_pages(self, scope: Scope, send: trio.MemorySendChannel[Page[Object | msgspec.Raw]]) -> None:
        async with send, aclosing(self._client.pages(scope, received=self._progress.received)) as pages:
            async for page in pages:
                await send.send(page)

    async def _watch_forever(self, cursor: WatchCursor) -> None:
        """Watch the changes of a scope from its version on, with any number of streams.

        Raises Gone and TooLargeVersion, and what has come several times in the place of any event.
        """
        backoff = Backoff(self._timing, self._rng)
        fruitless = 0
        while True:
            heard, began = cursor.heard, trio.current_time()
            error: ApiError | None = None
            ended_early = True
            try:
                await self._expect_version(cursor)
                ended_early = await self._read(cursor)
            except (Gone, TooLargeVersion):
                raise
            except ApiError as caught:
                error = caught
            lived = trio.current_time() - began
            if cursor.heard > heard or lived >= _LONG_ENOUGH:
                backoff.reset()
                self._is_fruitless = False
            if cursor.heard > heard:
                fruitless = 0
            elif isinstance(error, Malformed | Refused | WatchFailure) or (error is None and lived < 1.0):
                # The same line, or failure, again and again (from a version that is too old for it, etcd sends events
                # without the last state, and the API server an ERROR of 500); a version that the server does not take;
                # or something in between that lets no stream through.
                fruitless += 1
                if fruitless >= _FRUITLESS:
                    self._is_fruitless = True
                    raise error or Disconnected("watches end at once, without an event")
            if error is not None:
                cursor.denied |= isinstance(error, Forbidden | NotFound)
                self._note_cut(error)
            elif not ended_early:
                continue
            await trio.sleep(backoff.next(error))

    async def _expect_version(self, cursor: WatchCursor) -> None:
        """Where the last watch brought nothing, ask if the server has come to the version. Raises TooLargeVersion.

        Its state may have been restored from a backup. Then it sends nothing until it comes to our version, and no
        bookmark either; to wait for that would skip what happens until then.
        """
        if cursor.in_doubt:
            await self._client.expect_version(cursor.scope, cursor.version)
            cursor.in_doubt = False

    async def _read(self, cursor: WatchCursor) -> bool:
        """Apply one HTTP stream, from the scope's version on, or from the start if it has no version. Raises ApiError.

        Return whether it ended before the time that was asked for: then the server is about to end, for all clients.
        """
        seconds = self._rng.randint(self._timing.watch_shortest, self._timing.watch_longest)
        began = trio.current_time()
        lines = self._client.watch(
            cursor.scope,
            cursor.version,
            seconds=seconds,
            on_started=partial(self._on_started, cursor),
            received=self._progress.received,
        )
        async with aclosing(lines):
            count, time_slice, shows_any = 0, TimeSlice(), False
            async for line in lines:
                count += 1
                if count % _LOOK == 0 and time_slice.over:  # a read may bring hundreds
                    await time_slice.pause()
                if cursor.version:
                    self._watched(cursor, line)
                elif line.type == "BOOKMARK":
                    mark = identity(line.object)
                    if _INITIAL_END in (mark.annotations or {}):
                        self._list_begins()  # of an empty kind
                        self._listed(cursor, mark.resource_version)
                elif line.type in _PUTS:
                    shows_any = True
                    self._list_begins()
                    self._put(line.object, initial=True)
                elif line.type == "DELETED":  # while the list was being sent
                    with suppress(*UNREADABLE):  # it was not put either
                        self._remove(identity(line.object))
            if shows_any and not cursor.version:
                raise Disconnected("a streaming list ended before its last object")
        return trio.current_time() - began < seconds - _EARLY

    def _watched(self, cursor: WatchCursor, line: Change) -> None:
        """Apply one line of a watch."""
        now = trio.current_time()
        thing = line.object
        try:
            who = identity(thing) if isinstance(thing, msgspec.Raw) else thing.metadata
        except UNREADABLE:
            # Its version is unknown as well, so the place to resume from stays where it is.
            self._put(thing, initial=False)
            return
        if line.type == "BOOKMARK":
            self._progress.bookmarks += 1
            self._progress.last_bookmark = now
        elif line.type == "DELETED":
            self._progress.last_event = now
            self._remove(who)
        elif line.type in _PUTS:
            self._progress.last_event = now
            self._put(thing, initial=False)
        if cursor.touched is not None and who.name:
            cursor.touched.add((who.namespace, who.name))
        cursor.version = who.resource_version or cursor.version
        cursor.heard += 1
        cursor.in_doubt = False
        cursor.last_heard = now
        if self._progress.state is not State.WATCHING:
            self._recovered(cursor)

    def _remove(self, who: Identity | Metadata) -> None:
        self._progress.removes += 1
        self._apply(Remove(self._kind, who.namespace, who.name))

    def _decoded(self, raw: msgspec.Raw) -> Object | None:
        """Return an object; None after a bug in reading it, which must not cost the others theirs. Raises BadObject."""
        try:
            return from_json(self._kind, raw)
        except BadObject:
            raise
        except Exception as error:
            self._faults.took("event", error, kind=str(self._kind))
            return None

    def _put(self, raw: Object | msgspec.Raw, *, initial: bool) -> None:
        try:
            thing = self._decoded(raw) if isinstance(raw, msgspec.Raw) else raw
        except BadObject as bad:
            self._found_bad(bad)
            if bad.name:
                self._apply(Remove(self._kind, bad.namespace, bad.name))
            return
        if thing is None:
            return
        changed = self._apply(Put(thing))
        self._progress.puts += 1
        if changed and self._on_programmed and isinstance(thing, EndpointSlice):
            seconds = _since_trigger(thing, self._wall())
            if seconds is not None:
                try:
                    self._on_programmed(thing, seconds, initial)
                except Exception as error:
                    self._faults.took("metrics", error)

    def _list_begins(self) -> None:
        if not self._started:
            self._started = True
            self._apply(ListStarted(self._kind))

    def _listed(self, cursor: WatchCursor, version: str) -> None:
        """Record that a scope's list is complete; after the last scope, the list of the kind is complete, too.

        Raises Gone if that list has already ended without this scope.
        """
        if self._in_part:
            raise Gone(f"{cursor.scope.about} may be read again")
        self._expect_same_server(cursor)
        cursor.version = version
        cursor.last_heard = trio.current_time()
        self._unlisted.discard(cursor.scope)
        self._recovered(cursor)
        self._end_list()

    def _end_list(self) -> None:
        """Complete the list of the kind, if nothing more is to come.

        What may not be read is waited for only at the start, as nothing is known of it then.
        """
        denied = {cursor.scope for cursor in self._cursors if cursor.denied}
        if self._in_part or self._unlisted - denied or len(self._unlisted) == len(self._scopes):
            return
        if self._unlisted and not self._progress.synced:
            return
        self._in_part = bool(self._unlisted)
        self._list_begins()
        self._apply(ListDone(self._kind, tuple(scope.about for scope in self._unlisted)))
        self._server = self._client.server
        self._progress.listed(trio.current_time())
        if not self._is_fruitless:
            self._backoff.reset()

    async def _check_forever(self) -> None:
        done = True
        while True:
            timing = self._timing
            wait = (timing.check_interval if done else timing.check_retry) if timing.check_interval else math.inf
            with trio.move_on_after(wait * self._rng.uniform(0.75, 1.25)) as over:
                await self._retimed.wait()
            done = await self._check() if over.cancelled_caught else True

    async def _check(self) -> bool:
        """Compare the zone with the API, and repair the zone; return False if that is not possible now."""
        if self._unlisted:
            return False
        progress = self._progress
        try:
            repairs = await check(
                self._client,
                self._kind,
                self._cursors,
                self._apply,
                self._decoded,
                received=progress.received,
                page_pause=self._timing.check_page_pause,
            )
        except ApiError as error:
            # Gone: nothing has happened for so long that the version is compacted; the next bookmark has a newer one.
            progress.checks_failed += 1
            self._log.info("consistency check put off", error=str(error))
            return False
        progress.checks += 1
        progress.repairs += repairs
        progress.last_check = trio.current_time()
        if repairs:
            self._log.error("the consistency check found and repaired differences", repairs=repairs)
        return True

    def _found_bad(self, bad: BadObject) -> None:
        self._progress.bad_objects += 1
        key = (bad.namespace, bad.name, bad.problem)
        if key not in self._bad_seen and len(self._bad_seen) < _BAD_LOGGED:
            self._bad_seen[key] = None
            self._log.warning("object skipped", object_namespace=bad.namespace, object_name=bad.name, error=bad.problem)

    def _on_started(self, cursor: WatchCursor) -> None:
        """Record that a list or stream is open, although a stream may have brought nothing yet. Raises Gone."""
        if cursor.version:
            self._expect_same_server(cursor)
            cursor.in_doubt = True
        else:
            cursor.server = self._client.server
        self._outage.works(self._kind)
        if self._progress.state in {State.WAITING, State.FORBIDDEN, State.MISSING}:
            self._recovered(cursor)

    def _expect_same_server(self, cursor: WatchCursor) -> None:
        """Raise Gone if the credentials lead to another server by now: a version says nothing there."""
        if cursor.server != self._client.server:
            raise Gone(f"the API server was {cursor.server}, and is {self._client.server} now")

    def _recovered(self, cursor: WatchCursor) -> None:
        """Record that a scope can be read; the kind can, if no other scope is denied."""
        self._outage.works(self._kind)
        cursor.denied = False
        if any(other.denied for other in self._cursors):
            return
        if self._progress.denied is not None:
            self._log.info("these objects can be read again")
        self._progress.denied = None
        self._progress.state = State.LISTING if self._unlisted else State.WATCHING

    def _note_cut(self, error: ApiError) -> None:
        self._progress.reconnects[error.reason] += 1
        self._note(error)

    def _note(self, error: ApiError) -> None:
        """Record and log a failure; one that only a person can repair is logged once."""
        progress = self._progress
        progress.last_error = str(error)
        if not isinstance(error, Forbidden | NotFound):
            progress.state = State.WAITING
            if isinstance(error, Gone):
                self._outage.works(self._kind)
                self._log.info("watch ended, relisting", reason=error.reason, error=str(error))
            else:
                self._log.debug("list or watch ended, trying again", reason=error.reason, error=str(error))
                self._outage.failed(self._kind, error)
            return
        self._outage.works(self._kind)  # it answers, if only this
        progress.state = State.FORBIDDEN if isinstance(error, Forbidden) else State.MISSING
        progress.rule = rbac_rule(self._scopes[0])
        if progress.denied is not type(error):
            progress.denied = type(error)
            if isinstance(error, Forbidden):
                self._log.error(
                    "the API server does not allow to list and watch these objects",
                    error=str(error),
                    effect=progress.effect_of_denial(),
                    rule_to_add=progress.rule,
                )
            else:
                self._log.error(
                    "the API server does not know these objects",
                    error=str(error),
                    effect=progress.effect_of_denial(),
                )


def _since_trigger(thing: EndpointSlice, now: float) -> float | None:
    stamp = (thing.metadata.annotations or {}).get(TRIGGER_TIME)
    if stamp is None:
        return None
    try:
        return max(0.0, now - datetime.fromisoformat(stamp).timestamp())  # two clocks; a sum never goes back
    except ValueError:
        return None
