"""A further process of this program: two pipes, a wait for its end, and a promise that it does not outlive us.

Not trio's `open_process`: that forks in a thread, and the kernel takes a thread's end for the parent's (prctl(2),
PR_SET_PDEATHSIG). This one forks where it is called, 1 ms; the child starts with our signals blocked until it has said
what they do, so that ^C to the whole group does not meet it in the middle of its imports.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress

import trio

from dnsserver.kube.orphan import end_with_parent

_POLL = 0.1  # seconds, where there is no pidfd
_FAREWELL = 1.0  # seconds until a process that was killed is left to itself: it may hang in the kernel
_OURS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


class Child:
    """One process: `down` is its standard input, `up` its standard output."""

    def __init__(self, module: str, descriptors: Collection[int] = ()) -> None:
        """Start `python -m module PID`, PID being ours, with these open `descriptors`; raises OSError."""
        down_end, down = os.pipe()
        try:
            up, up_end = os.pipe()
        except OSError:
            os.close(down_end)
            os.close(down)
            raise
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            command = [sys.executable, "-m", module, str(os.getpid())]
            self._process = subprocess.Popen(command, stdin=down_end, stdout=up_end, pass_fds=descriptors)  # noqa: S603
        except BaseException:
            os.close(down)
            os.close(up)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(down_end)
            os.close(up_end)
        self.pid = self._process.pid
        self.down = trio.lowlevel.FdStream(down)
        self.up = trio.lowlevel.FdStream(up)

    async def wait(self) -> int:
        """Wait for its end, and return the exit status: minus the signal's number for one that was killed."""
        try:
            handle = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            handle = None
        try:
            while (status := self._process.poll()) is None:
                if handle is None:
                    await trio.sleep(_POLL)
                else:
                    await trio.lowlevel.wait_readable(handle)
        finally:
            if handle is not None:
                trio.lowlevel.notify_closing(handle)
                os.close(handle)
        return status

    async def end(self) -> None:
        """Kill it if it still runs, and let go of its pipes; waits a moment, cancelled or not."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self.down)
            await trio.aclose_forcefully(self.up)
            if self._process.poll() is None:
                self._process.kill()
                with trio.move_on_after(_FAREWELL):
                    await self.wait()


def settle_in(parent: int | None) -> None:
    """Be a good child: leave the signals of the terminal to the parent, and end when it has, however that was.

    `parent` is its process ID, None when who started this one does not want that.
    """
    for number in _OURS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
    if parent is None:
        return
    with suppress(AttributeError):  # where there is no prctl, the end of the pipe has to do
        end_with_parent(parent, signal.SIGKILL)
