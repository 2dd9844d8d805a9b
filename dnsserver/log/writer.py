"""Writes lines to a descriptor that may be slow, full or closed, from a thread of its own.

A descriptor that is shared with other programs cannot be made non-blocking, and a disk blocks all the same: so the
thread may wait, and the lines wait for it in a queue that is bounded in octets. The rejected alternative, to ask
poll(2) before writing from the event loop, is right for pipes only.
"""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from time import monotonic

CAPACITY = 256 * 1024  # octets that may wait to be written
_OVERHEAD = 64  # octets that a waiting line takes besides its own
_STACK = 256 * 1024  # octets of address space; the default is 8 MiB
_AGAIN = 0.5  # seconds between two attempts to tell of lost lines, or to start the thread


class LineWriter:
    """Writes lines in their order, and counts those that it could not write.

    `notice` makes the line that tells of lost ones. `overdue(final)` gives lines that are due by now, or all there are
    in the end; after `wake` it is asked again and again, until it gives None.
    """

    def __init__(
        self,
        descriptor: int | None,
        notice: Callable[[int], bytes],
        overdue: Callable[[bool], Iterable[bytes] | None] = lambda final: None,  # noqa: ARG005
        *,
        capacity: int = CAPACITY,
    ) -> None:
        """Start nothing yet. Without a descriptor every line is lost."""
        self.lost = 0
        self._descriptor = descriptor
        self._notice = notice
        self._overdue = overdue
        self._capacity = capacity
        self._queue: SimpleQueue[bytes | threading.Event | None] = SimpleQueue()
        self._woken = False
        self._waiting = 0  # octets
        self._reported = 0
        self._torn = False  # the last line was written in part
        # Reentrant: a finalizer that logs may run while this thread is in here.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._next_start = 0.0

    def write(self, line: bytes) -> None:
        """Have a line written, which ends with a line feed. Neither waits nor raises."""
        size = len(line) + _OVERHEAD
        with self._lock:
            if self._descriptor is None or self._waiting + size > self._capacity:
                self.lost += 1
                return
            self._waiting += size
            self._queue.put(line)
        self._start()

    def wake(self) -> None:
        """Have `overdue` asked from now on."""
        if not self._woken:
            self._woken = True
            self._queue.put(b"")
        self._start()

    def flush(self, patience: float) -> bool:
        """Wait until all that waits is written, or for so many seconds; return whether it is."""
        if self._thread is None:
            return self._queue.empty()
        done = threading.Event()
        self._queue.put(done)
        return done.wait(patience)

    def close(self, patience: float) -> bool:
        """Flush, and have the thread end."""
        done = self.flush(patience)
        self._queue.put(None)
        return done

    def _start(self) -> None:
        """Start the thread, unless it runs; where the system has none to give, try again later."""
        with self._lock:
            if self._thread is not None or monotonic() < self._next_start:
                return
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            before = threading.stack_size(_STACK)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                self._next_start = monotonic() + _AGAIN
            else:
                self._thread = thread
            finally:
                threading.stack_size(before)

    def _run(self) -> None:
        """Write until a None in the queue ends it."""
        look = monotonic()
        while True:
            try:
                line = self._queue.get(timeout=_AGAIN if self._woken or self.lost != self._reported else None)
            except Empty:
                line = b""
            if line is None:
                return
            if isinstance(line, threading.Event):
                self._idle(final=True)
                line.set()
                continue
            if line:
                with self._lock:
                    self._waiting -= len(line) + _OVERHEAD
                if self._written(line) and self._queue.empty():
                    self._report_lost()
            if monotonic() - look >= _AGAIN:
                look = monotonic()
                self._idle(final=False)

    def _idle(self, *, final: bool) -> None:
        """Write what is due without anybody writing it."""
        self._woken = False  # before looking: what comes in between wakes again
        lines = self._overdue(final)
        for line in lines or ():
            self._written(line)
        if lines is not None:
            self._woken = True
        self._report_lost()

    def _report_lost(self) -> None:
        """Write how many lines were lost since that was reported the last time."""
        lost = self.lost
        if lost != self._reported and self._attempt(self._notice(lost - self._reported)):
            self._reported = lost

    def _written(self, line: bytes) -> bool:
        """Write a line; a lost one is counted."""
        written = self._attempt(line)
        if not written:
            with self._lock:
                self.lost += 1
        return written

    def _attempt(self, line: bytes) -> bool:
        """Write a line, for however long that takes; return whether it is written."""
        descriptor = self._descriptor
        if descriptor is None:
            return False
        rest = memoryview(b"\n" + line if self._torn else line)
        whole = len(rest)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # another program made the descriptor that we share non-blocking
                with contextlib.suppress(OSError):
                    poll = select.poll()
                    poll.register(descriptor, select.POLLOUT)
                    poll.poll()
            except OSError:
                self._torn = self._torn or len(rest) != whole
                return False
        self._torn = False
        return True
