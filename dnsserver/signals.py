"""What signals do before the event loop can handle them, from the first line of the program on.

After SIGHUP a running server looks at its files at once. SIGUSR1 and SIGUSR2 never do anything: a person who tries one
must not end the cluster's DNS. They get a handler, because a child would inherit that they are ignored.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

IDLE = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
ENDING = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # exit status, as shells have it for SIGINT


def pass_over() -> None:
    """Have the signals that mean nothing to us do nothing."""

    def nothing(number: int, frame: FrameType | None) -> None:
        del number, frame

    for number in IDLE:
        signal.signal(number, nothing)


def pass_over_to_the_last() -> None:
    """Have them do nothing while Python itself ends, which takes its handlers away first."""
    for number in IDLE:
        signal.signal(number, signal.SIG_IGN)


def end_at_once(clean_up: Callable[[], None] = lambda: None) -> None:
    """Let SIGTERM and SIGINT end this process at once, after `clean_up`: for times when it does not serve.

    No exception is raised for it, which an import could turn into a traceback.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        try:
            clean_up()
        finally:
            os._exit(INTERRUPTED if number == signal.SIGINT else 0)

    for number in ENDING:
        signal.signal(number, end)


@contextmanager
def held() -> Iterator[None]:
    """Have those that end us wait until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
