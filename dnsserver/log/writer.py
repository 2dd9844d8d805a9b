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
# Octets of several lines that are written at once: what a pipe takes in one piece (PIPE_BUF, pipe(7)), so that lines of
# other processes stand between lines and not within one. A busy process writes as many lines a second as it lets go of
# the interpreter's lock, some 500 times: with a write for each, 1,000 queries a second could not be logged.
_AT_ONCE = 4096
_AGAIN = 0.5  # seconds between two attempts to tell of lost lines, or to start the thread


_Item = bytes | threading.Event | None  # a line, who waits for those before it, or the end


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
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._next: list[_Item] = []  # taken from the queue already
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
        """Start the thread, unless it runs; if the system allows no new thread, try again later."""
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
                item = self._take(_AGAIN if self._woken or self.lost != self._reported else None)
            except Empty:
                item = b""
            if item is None:
                return
            if isinstance(item, threading.Event):
                self._idle(final=True)
                item.set()
                continue
            if item:
                lines = self._with_more(item)
                with self._lock:
                    self._waiting -= sum(map(len, lines)) + _OVERHEAD * len(lines)
                if self._written(lines) and self._queue.empty():
                    self._report_lost()
            if monotonic() - look >= _AGAIN:
                look = monotonic()
                self._idle(final=False)

    def _take(self, patience: float | None) -> _Item:
        """Wait for the next item of the queue, and return it; raises Empty."""
        return self._next.pop() if self._next else self._queue.get(timeout=patience)

    def _with_more(self, line: bytes) -> list[bytes]:
        """Return a line and the following ones that are written together with it."""
        lines, size = [line], len(line)
        while size < _AT_ONCE and not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, bytes) or size + len(item) > _AT_ONCE:
                self._next.append(item)
                break
            size += len(item)
            if item:
                lines.append(item)
        return lines

    def _idle(self, *, final: bool) -> None:
        """Write lines that are due, although no new line has come."""
        self._woken = False  # before looking: what comes in between wakes again
        lines = self._overdue(final)
        for line in lines or ():
            self._written([line])
        if lines is not None:
            self._woken = True
        self._report_lost()

    def _report_lost(self) -> None:
        """Write how many lines were lost since the last such report."""
        lost = self.lost
        if lost != self._reported and self._attempt(self._notice(lost - self._reported)):
            self._reported = lost

    def _written(self, lines: list[bytes]) -> bool:
        """Write lines; lost ones are counted."""
        written = self._attempt(b"".join(lines))
        if not written:
            with self._lock:
                self.lost += len(lines)
        return written

    def _attempt(self, line: bytes) -> bool:
        """Write lines, however long that takes; return whether all were written."""
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
