"""Keeps the last minutes, and tells how the server is when somebody looks."""

import time
from collections.abc import Awaitable, Callable, Sequence

import trio

from dnsserver.metrics import Process, Readings
from dnsserver.page.history import STEP, History, totals
from dnsserver.page.status import Limits, Status, status
from dnsserver.server.pages import verdict

_FRESH = 1.0  # seconds for which what all processes counted is told again: adding it up takes milliseconds


class Overview:
    """What the page shows first."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Readings]],
        count: Callable[[], Awaitable[Sequence[Process]]],
        limits: Callable[[], Limits],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`read` gives everything at this moment, `count` what the processes have counted; `wall` gives unix time.

        Both let others run meanwhile.
        """
        self._read = read
        self._count = count
        self._limits = limits
        self._wall = wall
        self._history = History()
        self._readings: Readings | None = None
        self._reading = trio.Lock()

    async def watch(self) -> None:
        """Make a sample every few seconds, until cancelled."""
        while True:
            processes = await self._count()
            self._history.record(trio.current_time(), totals(processes))
            await trio.sleep(STEP)

    async def status(self) -> Status:
        """Return how the server is, and was in the last minutes."""
        async with self._reading:
            readings = self._readings
            if readings is None or trio.current_time() - readings.now >= _FRESH:
                readings = self._readings = await self._read()
        sums = totals(readings.processes)
        return status(readings, sums, self._history.samples, verdict(readings), self._limits(), self._wall())
