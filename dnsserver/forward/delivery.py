"""Delivers outcomes to the clients that wait, a few at a time, across one guarded border.

A caller never gets its outcome within its own call: an outcome that is already known is queued here, and a task
delivers it. If thousands wait for one name, they get theirs in turns, because a reply takes up to 20 us.
"""

from collections import deque
from collections.abc import Sequence

import trio

from dnsserver.forward.outcome import Outcome, Waiter
from dnsserver.forward.runtime import Runtime

SLICE = 64  # given in one go: 1 ms
# Given in one go at most, where as many keep coming. In a flood of names that fail, 100 to 200 come from turn to turn:
# with SLICE alone up to 6,700 waited, at 0.5 KiB each.
_MOST = 256
_WEIGHT = 1 / 8  # of the last turn in the mean of how many come
_CROWD = int(SLICE / _WEIGHT)  # who come at once count as so many at most, so that they are given SLICE at a time
_PART = 64  # of those queued, so that the queue has an end when they come faster than that


class Deliveries:
    """Gives outcomes to who waits; a bug of one of them must not cost the others theirs."""

    def __init__(self, runtime: Runtime) -> None:
        """Begin with none."""
        self._faults = runtime.faults
        self._on_batch_end = runtime.on_batch_end
        self._queue: deque[tuple[Waiter, Outcome]] = deque()
        self._came = 0  # since the last turn
        self._mean = 0.0  # of what comes from turn to turn
        self._awake = trio.Event()

    @property
    def queued(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    def give(self, waiting: Sequence[Waiter], outcome: Outcome) -> None:
        """Give the outcome now, or by turns to many; only for the drain of a transport, or a timer."""
        if len(waiting) > SLICE:
            self.queue(waiting, outcome)
            return
        for waiter in waiting:
            try:
                waiter.deliver(outcome)
            except Exception as error:
                self._faults.took("delivery", error, reason=outcome.reason.code)

    def queue(self, waiting: Sequence[Waiter], outcome: Outcome) -> None:
        """Have the outcome given as soon as whoever runs now has ended."""
        if waiting:
            self._queue.extend([(waiter, outcome) for waiter in waiting])
            self._came += len(waiting)
            self._awake.set()

    async def run(self) -> None:
        """Give what is queued, for ever."""
        queue = self._queue
        while True:
            if not queue:
                self._awake = trio.Event()
                await self._awake.wait()
            self._mean += _WEIGHT * (min(self._came, _CROWD) - self._mean)
            self._came = 0
            for _ in range(min(len(queue), max(SLICE, min(round(self._mean), _MOST), len(queue) // _PART))):
                waiter, outcome = queue.popleft()
                self.give((waiter,), outcome)
            del waiter, outcome  # or the last one would stay here until the next comes
            self._on_batch_end()
            await trio.lowlevel.checkpoint()
