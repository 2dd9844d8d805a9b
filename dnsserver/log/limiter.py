"""Decides which events become lines: one a second and one traceback a minute for each cause.

A cause is an event about one thing (one upstream, one file), or one exception raised in one place. What clients send, a
number or the text of an error does not make another cause of it, so that nothing that comes from outside fills the log.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

QUIET = 1.0  # seconds in which a cause has one line
TRACEBACK_QUIET = 60.0  # seconds in which a cause has one traceback
BURST = 100  # lines of one event in a second, whatever they are about
_CAUSES = 1000  # remembered at once

# Fields that say what an event is about. All are taken from the configuration, the cluster or the machine.
ABOUT = frozenset(
    {
        "address", "field", "file", "folder", "host", "kind", "line", "note", "object_name", "object_namespace", "path",
        "place", "reason", "server", "setting", "upstream", "worker",
    }
)  # fmt: skip

Event = dict[str, Any]
Cause = tuple[str, ...]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class _Known:
    """How many lines of a cause were shown, and how many were not."""

    def __init__(self) -> None:
        self.shown = self.traced = -float("inf")
        self.held = 0
        self.last: Event = {}


class Limiter:
    """Takes events, and gives those to show."""

    def __init__(self, clock: Callable[[], float], on_held: Callable[[], None]) -> None:
        """`on_held` is called when there is something for `overdue` to give later."""
        self.suppressed = 0
        self._clock = clock
        self._on_held = on_held
        self._known: OrderedDict[Cause, _Known] = OrderedDict()
        self._holding: set[Cause] = set()
        self._second = -float("inf")
        self._counts: dict[str, int] = {}
        self._lock = threading.RLock()

    def admit(self, event: Event, origin: str | None = None) -> Event | None:
        """Return the event to show, or None if it was held.

        `origin` is what the event is called where its text varies. An exception's traceback is left in `exc_info` or
        taken out of it; `error` has its text either way.
        """
        raised = exc_info_of(event.pop("exc_info", None))
        if raised is not None:
            event.setdefault("error", text_of(raised[1]))
        cause = _cause(event, origin, raised)
        with self._lock:
            now = self._clock()
            cause = self._within_burst(cause, now)
            known = self._remember(cause)
            if now - known.shown < QUIET:
                known.held += 1
                known.last = event
                self.suppressed += 1
                if not self._holding:
                    self._on_held()
                self._holding.add(cause)
                return None
            known.shown = now
            if raised is not None and now - known.traced >= TRACEBACK_QUIET:
                known.traced = now
                event["exc_info"] = raised
            return self._released(cause, known, event)

    def overdue(self, *, final: bool = False) -> list[Event] | None:
        """Return the last held event of each cause whose second is over, or of every one; None if nothing is held."""
        with self._lock:
            now = self._clock()
            due = []
            for cause in tuple(self._holding):
                known = self._known[cause]
                if final or now - known.shown >= QUIET:
                    known.shown = now
                    due.append(self._released(cause, known, known.last))
            return due if due or self._holding else None

    def _released(self, cause: Cause, known: _Known, event: Event) -> Event:
        if known.held:
            event["repeated"] = known.held
            known.held, known.last = 0, {}
            self._holding.discard(cause)
        return event

    def _within_burst(self, cause: Cause, now: float) -> Cause:
        """Return the cause; if its event had many lines in this second, return the one that stands for all."""
        if now - self._second >= QUIET:
            self._second, self._counts = now, {}
        name = cause[0]
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return cause if count <= BURST else (name,)

    def _remember(self, cause: Cause) -> _Known:
        known = self._known.get(cause)
        if known is None:
            known = self._known[cause] = _Known()
            if len(self._known) > _CAUSES:
                forgotten, _ = self._known.popitem(last=False)
                self._holding.discard(forgotten)
        self._known.move_to_end(cause)
        return known


def exc_info_of(value: object) -> ExcInfo | None:
    """Return an exception as sys.exc_info() has it, from whatever a log call has as exc_info."""
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if isinstance(value, tuple) and len(value) == 3 and isinstance(value[1], BaseException):
        return type(value[1]), value[1], value[2]
    if value:
        kind, error, traceback = sys.exc_info()
        if kind is not None and error is not None:
            return kind, error, traceback
    return None


def text_of(error: BaseException) -> str:
    """Return an exception in one line."""
    try:
        text = str(error)
    except Exception:
        text = "(it has no text)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _cause(event: Mapping[str, Any], origin: str | None, raised: ExcInfo | None) -> Cause:
    about = [f"{name}={event[name]}"[:200] for name in sorted(ABOUT & event.keys())]
    if raised is not None:
        about += [raised[0].__name__, _place(raised[2])]
    elif "file" in event or "setting" in event:  # what a person wrote: every mistake in it is one of its own
        about.append(str(event.get("error", ""))[:200])
    return (f"{event.get('logger')}: {origin if origin is not None else event.get('event')}"[:300], *about)


def _place(traceback: TracebackType | None) -> str:
    """Return the file and line where an exception was raised."""
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"
