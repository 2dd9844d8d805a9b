"""How long a reflector waits, and how long it works."""

import random
import time

import trio
import trio.testing

from dnsserver.kube.errors import Forbidden, Gone, TooManyRequests
from dnsserver.kube.progress import Backoff, TimeSlice, Timing


def test_back_off() -> None:
    timing = Timing(backoff_first=1.0, backoff_max=30.0, denied_retry=60.0)
    backoff = Backoff(timing, random.Random(1))
    for ceiling in (1, 2, 4, 8, 16, 30, 30, 30):
        assert ceiling / 2 <= backoff.next(Gone("")) <= ceiling
    backoff.reset()
    assert 0.5 <= backoff.next(None) <= 1
    assert 5.0 <= backoff.next(TooManyRequests("", retry_after=5.0)) <= 7.0
    backoff.reset()
    for ceiling in (1, 2, 4, 8, 16, 32, 60, 60):
        assert ceiling / 2 <= backoff.next(Forbidden("")) <= ceiling


async def test_a_bite_is_over_in_time() -> None:
    time_slice = TimeSlice()
    start = time.perf_counter()
    while not time_slice.over:
        pass
    assert time.perf_counter() - start < 2  # half a millisecond, on a machine that may stall
    with trio.testing.assert_checkpoints():
        await time_slice.pause()
