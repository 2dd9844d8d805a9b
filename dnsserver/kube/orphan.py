"""A process that ends when the one that started it does, however that ended."""

import ctypes
import os
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have this process sent a signal when `parent` ends; if it has ended already, end now.

    Strictly, when the thread of the parent ends that started this process (prctl(2)): it must be its main thread.
    """
    libc: Any = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
