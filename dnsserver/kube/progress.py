"""The state of a reflector, how long it waits, and how: the values around it that do no I/O."""

import enum
import random
import time
from collections import Counter

import msgspec
import trio

from dnsserver import metrics
from dnsserver.kube.errors import ApiError, Forbidden, NotFound
from dnsserver.zone.model import Kind

_SOONEST = 0.1  # of a pause: to come back at once is what all others could do as well


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

    backoff_first: float = 1.0
    backoff_max: float = 30.0
    denied_retry: float = 30.0  # at most, after 403 and 404, which only a person changes
    check_interval: float = 3600.0
    check_retry: float = 60.0  # a check that could not be done: by then there is a bookmark, or a newer event
    check_page_pause: float = 0.1
    watch_shortest: int = 300  # the server ends a watch after 5 to 10 minutes, so that load balancers rebalance
    watch_longest: int = 600


class Received:
    """How many octets of bodies have been received; each reader adds to it."""

    octets = 0


class Progress:
    """The counts of one kind as they come about; `statistics` is their frozen form."""

    def __init__(self, kind: Kind, *, streaming: bool) -> None:
        self.kind = kind
        self.state = State.STARTING
        self.streaming = streaming
        self.synced = False
        self.denied: type[ApiError] | None = None  # Forbidden or NotFound, as long as it lasts
        self.rule = ""  # what grants the right, if it is Forbidden
        self.received = Received()
        self.puts = self.removes = self.bookmarks = self.bad_objects = 0
        self.lists = self.checks = self.checks_failed = self.repairs = 0
        self.resyncs: Counter[str] = Counter()
        self.reconnects: Counter[str] = Counter()
        self.last_event: float | None = None
        self.last_bookmark: float | None = None
        self.last_list: float | None = None
        self.last_check: float | None = None
        self.last_error = ""

    def listed(self, now: float) -> None:
        """Record that all of the kind has been listed."""
        self.synced = True
        self.lists += 1
        self.last_list = self.last_check = now

    def effect_of_denial(self) -> str:
        """Return what it means that the kind may not be read."""
        if self.synced:
            return "their last known state is served on"
        if self.kind is Kind.PODS:
            return "names of pods fail until it is allowed"
        return "not ready: names of the cluster fail until it is allowed, unless a snapshot has them"

    def statistics(self, last_heard: float | None) -> metrics.Kind:
        """Return the counts of this moment, times as `trio.current_time`."""
        return metrics.Kind(
            kind=self.kind,
            state=self.state,
            synced=self.synced,
            streaming=self.streaming,
            puts=self.puts,
            removes=self.removes,
            bookmarks=self.bookmarks,
            bad_objects=self.bad_objects,
            bytes_received=self.received.octets,
            lists=self.lists,
            resyncs=dict(self.resyncs),
            reconnects=dict(self.reconnects),
            checks=self.checks,
            checks_failed=self.checks_failed,
            repairs=self.repairs,
            last_event=self.last_event,
            last_bookmark=self.last_bookmark,
            last_heard=last_heard,
            last_list=self.last_list,
            last_check=self.last_check,
            last_error=self.last_error,
            forbidden=self.denied is Forbidden,
            missing=self.denied is NotFound,
            rule=self.rule if self.denied is Forbidden else "",
        )


class TimeSlice:
    """Says when to let others run: after half a millisecond of work, be it for one object or for a hundred.

    Several kinds are listed at once, each has such a slice in a turn of the event loop, and the sockets wait for all.
    """

    _LENGTH = 0.0005

    def __init__(self) -> None:
        self._end = time.perf_counter() + self._LENGTH

    @property
    def over(self) -> bool:
        """Whether it is time."""
        return time.perf_counter() >= self._end

    async def pause(self) -> None:
        """Let others run; then the next one begins."""
        await trio.lowlevel.checkpoint()
        self._end = time.perf_counter() + self._LENGTH


class Backoff:
    """Exponential with random times, so that thousands of clients do not come back to one server at once."""

    def __init__(self, timing: Timing, rng: random.Random) -> None:
        self._timing = timing
        self._rng = rng
        self.failures = 0

    def next(self, error: ApiError | None) -> float:
        """Return the seconds until the next attempt, after a failure (None: one without an error)."""
        timing = self._timing
        # A binding mostly is applied a moment after the Deployment that needs it, so the first retries come soon.
        longest = timing.denied_retry if isinstance(error, Forbidden | NotFound) else timing.backoff_max
        delay = min(longest, timing.backoff_first * 2.0 ** min(self.failures, 16))
        self.failures += 1
        earliest = 0.0
        if error is not None and error.retry_after is not None:
            # Never before the time it said; and as it says the same to all, not all within a moment of it either.
            earliest = error.retry_after
            delay = max(delay, min(earliest, timing.backoff_max))
        return earliest + delay * self._rng.uniform(_SOONEST, 1.0)

    def reset(self) -> None:
        """Record that it works again."""
        self.failures = 0
