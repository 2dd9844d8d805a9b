"""Starts a process that our signals do not end, and that ends when we end, in whatever way."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PR_SET_PDEATHSIG = 1
_OURS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def signals_held() -> Iterator[None]:
    """Start a process in this block: signals wait for it until it has said, by `settle_in`, what they do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def settle_in(parent: int, number: signal.Signals) -> None:
    """Have this process end with `parent`, by that signal, and do nothing at signals that are for the parent."""
    for each in _OURS:
        signal.signal(each, _pass)  # not SIG_IGN, which what this process starts would be born with
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_OURS, signal.SIGTERM})  # it may have been started with that held too
    end_with_parent(parent, number)


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have this process sent a signal when `parent` ends, however that was; if it has ended already, end now.

    Strictly, when the thread of the parent ends that started this process (prctl(2)): it must be its main thread.
    """
    libc: Any = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _pass(*_: object) -> None:
    pass
