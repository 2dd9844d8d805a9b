"""The clock of a process: the monotonic clock of the system, so that asking for the time is one call into C.

`trio.current_time` takes 0.3 µs, with three calls in Python. A forwarded question asks twice, and so does each batch.
"""

import time

import trio

now = time.monotonic  # seconds; inside `trio.run(..., clock=SystemClock())` the same as `trio.current_time`


class SystemClock(trio.abc.Clock):
    """Has trio's deadlines count in the seconds of `now`."""

    def start_clock(self) -> None:
        """Do nothing: it always runs."""

    def current_time(self) -> float:
        """Return `now()`."""
        return now()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return the seconds from now to the deadline."""
        return deadline - now()
