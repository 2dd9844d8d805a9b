"""Passes the replies that were sent on to the observers, a few times a second and a few at a time."""

from collections.abc import Callable

import trio

from dnsserver.app.clock import Calendar
from dnsserver.faults import Faults
from dnsserver.pace import next_look
from dnsserver.server.observer import Observer, observed
from dnsserver.traffic.observed import Observed

EVERY = 0.25  # seconds between two looks: with what there is room for, some 1,000 failures a second of a kind
_SLICE = 0.002  # seconds in one go


class Digest:
    """The task behind an Observer. Whoever looks on adds himself to `consumers`, and is called with each Observed."""

    def __init__(self, observer: Observer, clock: Callable[[], float], faults: Faults) -> None:
        """Start without followers; `clock` is the observer's."""
        self.consumers: list[Callable[[Observed], None]] = []
        self.every = EVERY
        self._observer = observer
        self._clock = clock
        self._calendar = Calendar(clock)
        self._faults = faults

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await trio.sleep_until(next_look(self.every))
            await self.tell()

    async def tell(self) -> None:
        """Tell what there is to tell now."""
        clock = self._clock
        end = clock() + _SLICE
        epoch = self._calendar.epoch()
        for row in self._observer.take():
            try:
                seen = observed(row, epoch)
                for consumer in self.consumers:
                    consumer(seen)
            except Exception as error:
                self._faults.took("observed", error)
            if clock() > end:
                await trio.lowlevel.checkpoint()
                end = clock() + _SLICE
