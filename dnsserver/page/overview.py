"""Collects the state of the server for the page when a client asks for it."""

import time
from collections.abc import Awaitable, Callable

import trio

from dnsserver.metrics import Readings
from dnsserver.page.history import History, totals
from dnsserver.page.status import Limits, Status, status
from dnsserver.server.pages import verdict

_FRESH = 1.0  # seconds for which what all processes counted is told again: adding it up takes milliseconds


class Overview:
    """What the page shows first."""

    def __init__(
        self,
        history: History,
        read: Callable[[], Awaitable[Readings]],
        limits: Callable[[], Limits],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`read` gives everything at this moment, and lets others run meanwhile; `wall` gives unix time."""
        self._history = history
        self._read = read
        self._limits = limits
        self._wall = wall
        self._readings: Readings | None = None
        self._reading = trio.Lock()

    async def status(self) -> Status:
        """Return how the server is, and was in the last minutes."""
        async with self._reading:
            readings = self._readings
            if readings is None or trio.current_time() - readings.now >= _FRESH:
                readings = self._readings = await self._read()
        sums = totals(readings.processes)
        return status(readings, sums, self._history.samples, verdict(readings), self._limits(), self._wall())
