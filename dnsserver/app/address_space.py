"""Address space, if it is limited (RLIMIT_AS, `ulimit -v`): the program takes little, and reports too low a limit.

A thread takes 8 MiB for its stack and 64 MiB for a heap of its own, and uses almost none of it. After three threads a
limit of 200 MiB is reached, and a fourth thread, or a larger answer, finds no space. With smaller stacks and one heap
for all threads (`heap`), the whole server takes 70 MiB with 2,000 services.
"""

import resource
import threading

LEAST = 64 << 20  # octets: what it takes to start
_STACK = 1 << 20  # octets


def spare() -> None:
    """Have threads that start from now on take small stacks, if there is a limit."""
    if _limit() is not None:
        threading.stack_size(_STACK)


def shortage() -> str | None:
    """Return in a sentence that the limit is too low to start, or None."""
    limit = _limit()
    if limit is None or limit >= LEAST:
        return None
    return (
        f"cannot start: the address space of this process is limited to {limit >> 20} MiB (RLIMIT_AS, `ulimit -v`): "
        f"expected at least {LEAST >> 20} MiB, and more for a large cluster"
    )


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
