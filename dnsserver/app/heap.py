"""Limits how much freed memory glibc's heap keeps, which would otherwise grow.

By itself it takes buffers of up to 32 MiB from the heap once one of that size was freed, and gives nothing back until
twice as much is free at its end. So the pages of the first list, and what was imported before, leave holes: 1.4 MiB
with 10,000 services. And it has a heap for each thread, of which those that read names and files leave another 0.2 MiB.
After a flood of questions, what it used is free, but lies between what stays: up to 9 MiB. So once a minute all free
pages go back, which takes 2 ms. Where the C library is another than glibc, nothing of this is done.
"""

import ctypes
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_THRESHOLD = 128 << 10  # octets: glibc's own before it adapts them
_EVERY = 60.0  # seconds between two times that free pages are given back


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


async def keep_giving_back() -> None:
    """Give back the pages that are free from time to time, until cancelled."""
    import trio  # noqa: PLC0415 - limits come before all other imports

    from dnsserver.pace import next_look  # noqa: PLC0415

    while True:
        await trio.sleep_until(next_look(_EVERY))
        give_back()
