"""The borders that stop a bug: a failure there costs one reply or task, is counted by its place, and is logged.

A border is where one part calls another and has to survive its failure: a packet's reply, a timer, an event of the
API, a page. `tests/test_borders.py` injects a fault at each of them while a server runs.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal, get_args

import trio

from dnsserver.logger import get_logger

log = get_logger(__name__)

Place = Literal[
    "question",  # a packet that no kept reply answers: SERVFAIL
    "cache-hit",  # a kept reply that cannot be sent: it is forgotten, the question answered afresh
    "prefetch",  # telling the forwarder that a kept reply is popular
    "client-limits",  # judging one packet's sender: it is answered
    "udp",  # what else is done with a batch of packets
    "tcp",  # one connection: it is closed
    "tcp-accept",  # one connection that was to be taken in
    "tcp-deadlines",
    "upstream-query",  # one question on its way out: SERVFAIL
    "upstream-reply",  # one reply of an upstream, over whatever it came: as if it had not come
    "upstream-stream",  # one connection to an upstream
    "upstream-timer",  # one question whose time has come: it ends
    "upstream-outcome",  # keeping an outcome: who waits gets SERVFAIL
    "upstream-probes",
    "upstream-source",  # following a resolv.conf or a hostname
    "delivery",  # one client's share in an outcome
    "event",  # one event of the cluster, in one of those who hear of it
    "grace",  # letting go of what the zone held a moment longer
    "age",
    "objects",  # one look at the files of objects
    "api",  # one list or watch: it is begun again
    "snapshot",
    "observed",  # telling those who look on of one reply
    "memory",  # giving back what is free
    "metrics",
    "overview",  # what the page shows of the last minutes
    "page",  # one request to admin HTTP
    "admin",
    "announce",
    "takeover",  # what offers the addresses to the next server
    "reload",  # one look at the files of the configuration
    "workers",  # one process that was to be started or fed: another one is started
    "worker-frame",  # one thing that a worker is told, or tells
]
PLACES: tuple[Place, ...] = get_args(Place)

_FIRST_PAUSE = 0.05  # seconds until a task that failed is begun again
_LONGEST_PAUSE = 5.0
_RECOVERED = 60.0  # seconds after which a task counts as sound


class Faults:
    """Those of one process; `counts` are since its start."""

    def __init__(self) -> None:
        """Begin with none."""
        self.counts: Counter[str] = Counter()

    def took(self, place: Place, error: BaseException, **about: Any) -> None:
        """Count and log what went wrong; never raises."""
        self.counts[place] += 1
        with contextlib.suppress(Exception):
            log.error("internal error, the server goes on", place=place, exc_info=error, **about)

    async def once(self, place: Place, task: Callable[..., Awaitable[None]], *arguments: Any) -> bool:
        """Run a task; return whether it came to its end. Cancellation goes through."""
        sound = False
        try:
            await task(*arguments)
            sound = True
        except* Exception as group:
            self._took_group(place, group)
        return sound

    def _took_group(self, place: Place, group: ExceptionGroup[Exception]) -> None:
        self.took(place, group.exceptions[0] if len(group.exceptions) == 1 else group)

    async def keep(self, place: Place, task: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Run a task that is to run for ever, and again whenever it fails, after a pause that grows."""
        pause = _FIRST_PAUSE
        while True:
            began = trio.current_time()
            try:
                await task(*arguments)
            except* Exception as group:
                self._took_group(place, group)
            else:
                return
            if trio.current_time() - began > _RECOVERED:
                pause = _FIRST_PAUSE
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def keep_started(
        self,
        place: Place,
        task: Callable[..., Awaitable[None]],
        *arguments: Any,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Do what `keep` does with a task for `nursery.start`; one that fails first has started, with None."""
        status = _Once(task_status)

        async def run() -> None:
            try:
                await task(*arguments, task_status=status)
            finally:
                status.started()

        await self.keep(place, run)


class _Once:
    """A task status that may be told more than once."""

    def __init__(self, status: trio.TaskStatus[Any]) -> None:
        self._status: trio.TaskStatus[Any] | None = status

    def started(self, value: Any = None) -> None:
        status, self._status = self._status, None
        if status is not None:
            status.started(value)
