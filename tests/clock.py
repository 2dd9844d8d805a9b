"""Virtual time for tests with real loopback sockets: it jumps only when no packet is under way."""

import math
import os
import socket

import trio
from trio.abc import Clock, Instrument

_ROUNDS = 3  # a handshake goes back and forth within one wait


class LoopbackClock(Clock, Instrument):
    """A clock that stands still while something happens, and then jumps to the next deadline.

    trio's own `MockClock` jumps when nothing came for a moment of real time, and on a busy machine the kernel may keep
    a packet on loopback for longer than that. This clock sends a packet of its own on every processor before each wait:
    when that packet has arrived, all earlier ones have arrived as well. It also waits for work in threads.
    """

    def __init__(self, patience: float = 0.015) -> None:
        """`patience`: the clock jumps after so many real seconds without an event. It has to be longer than the cushion
        of any `wait_all_tasks_blocked`, and longer than any timer of the kernel on which a test relies."""
        self._patience = patience
        self._now = 0.0
        self._quiet = False  # no task has run since the wait began

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""
        self._mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mark.bind(("127.0.0.1", 0))
        self._mark.settimeout(5)
        trio.lowlevel.add_instrument(self)

    def after_run(self) -> None:
        """See `trio.abc.Instrument`."""
        self._mark.close()

    def current_time(self) -> float:
        """Return the seconds of virtual time since the start."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let this much time pass at once."""
        self._now += seconds

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return how long to wait in real seconds; trio asks when there is nothing to run."""
        if self._quiet and math.isfinite(deadline) and not _threads():
            self._now = max(self._now, deadline)
        self._quiet = True
        return self._patience if deadline > self._now else 0.0

    def before_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`."""
        if timeout:
            for _ in range(_ROUNDS):
                self._wait_delivered()

    def task_scheduled(self, _: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._quiet = False

    def _wait_delivered(self) -> None:
        """Wait until all that was sent over loopback has arrived: each processor has a queue that keeps the order."""
        if not hasattr(os, "sched_getaffinity"):
            return  # `patience` has to suffice
        ours = os.sched_getaffinity(0)
        try:
            for processor in ours:
                os.sched_setaffinity(0, {processor})
                self._mark.sendto(b"", self._mark.getsockname())
                self._mark.recv(1)
        finally:
            os.sched_setaffinity(0, ours)


def _threads() -> int:
    return trio.to_thread.current_default_thread_limiter().borrowed_tokens
