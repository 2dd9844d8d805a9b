"""Records the last minutes all the time, so that the page can show them to a client that comes later."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from dnsserver.metrics import Process
from dnsserver.page.history import STEP, History, totals


class Recorder:
    """Makes samples of what the processes count."""

    def __init__(self, count: Callable[[], Awaitable[Sequence[Process]]]) -> None:
        """`count` gives what the processes have counted, and lets others run meanwhile."""
        self.history = History()
        self._count = count

    async def watch(self) -> None:
        """Make a sample every few seconds, until cancelled."""
        while True:
            processes = await self._count()
            self.history.record(trio.current_time(), totals(processes))
            await trio.sleep(STEP)
