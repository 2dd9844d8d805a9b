"""This process may have stood still: it was stopped, swapped out, or its machine paused.

What changed meanwhile waits in the sockets and pipes that changes come by, and questions wait in theirs. Both are ready
at the same moment. Who answers first tells clients what was true when the standstill began: without this, a worker that
had been stopped for 6 s gave three answers that were 6 s old.

A worker knows when it has read all: it asks the first process, whose answer comes after it. The first process reads
from the API server, which cannot be asked: it waits for a pause between changes.
"""

from collections.abc import Awaitable, Callable
from math import inf

import trio

from dnsserver.pace import next_look

_BEAT = 0.25  # seconds
_LATE = 0.5  # seconds without a beat; the event loop of a busy machine may be late by a part of that
_QUIET = 0.02  # seconds without a change, after which nothing is left of what came in a short standstill
CATCH_UP = 2.0  # seconds at most, where changes come all the time or nobody tells that they have come
_SHARE = 0.1  # of a standstill, that it takes at most to read what came meanwhile, where changes come all the time
# After 6 s there is more than a socket holds: the rest comes once the process that sends it has its turn, which takes
# longer than 0.02 s on a busy machine. An answer from before a standstill of 6 s was given after such a gap.
_LONGEST_QUIET, _QUIET_SHARE = 0.1, 1 / 60


async def quiet(changes: Callable[[], int], most: float, still: float) -> None:
    """Wait until a count of changes stands `still` for so many seconds, or for `most` seconds."""
    with trio.move_on_after(most):
        seen = -1
        while seen != (seen := changes()):  # noqa: ASYNC110 - no event tells that nothing has come
            await trio.sleep(still)


class Standstill:
    """Tells who answers when to let the changes go first: `await over()` where the clock is past `due`."""

    def __init__(self, clock: Callable[[], float], changes: Callable[[], int]) -> None:
        """Begin without a beat, so that nothing is ever `due` until `run`; `changes` counts those of the answers."""
        self._clock = clock
        self._changes = changes
        self._looking = trio.Lock()
        self.due = inf
        # Waits until all is read that changed before; None where nobody can tell, so that a pause has to.
        self.catch_up: Callable[[], Awaitable[None]] | None = None
        # Are told of each standstill how many seconds it took, once what changed meanwhile is read.
        self.listeners: list[Callable[[float], None]] = []

    async def run(self) -> None:
        """Note that the event loop goes round, until cancelled."""
        try:
            while True:
                await self.over()
                self.due = self._clock() + _LATE
                await trio.sleep_until(next_look(_BEAT))
        finally:
            self.due = inf

    async def over(self) -> None:
        """After a standstill, wait until what changed meanwhile is read."""
        async with self._looking:
            now = self._clock()
            if now > self.due:
                seconds = now - self.due + _LATE
                await self._read_changes(seconds)
                for listener in self.listeners:
                    listener(seconds)
                self.due = self._clock() + _LATE

    async def _read_changes(self, seconds: float) -> None:
        if self.catch_up is not None:
            with trio.move_on_after(CATCH_UP):
                await self.catch_up()
        else:
            still = min(_LONGEST_QUIET, max(_QUIET, _QUIET_SHARE * seconds))
            await quiet(self._changes, min(CATCH_UP, _SHARE * seconds), still)
