"""Limits how much freed memory glibc's heap keeps, which would otherwise grow.

By itself it takes buffers of up to 32 MiB from the heap once one of that size was freed, and gives nothing back until
twice as much is free at its end. So the pages of the first list, and what was imported before, leave holes: 1.4 MiB
with 10,000 services. And it has a heap for each thread, of which those that read names and files leave another 0.2 MiB.
After a flood of questions, what it used is free, but lies between what stays: up to 9 MiB. So a server gives back all
free pages once a minute, which takes 2 ms. Where the C library is another than glibc, nothing of this is done.
"""

import ctypes
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_THRESHOLD = 128 << 10  # octets: glibc's own before it adapts them


def keep_little() -> None:
    """Have buffers that are larger, and what is free at the heap's end, go back as soon as they are freed.

    Threads that begin from now on share one heap.
    """
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _THRESHOLD)
        libc.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give back the pages that are free now, also those between others; it takes a few milliseconds."""
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
