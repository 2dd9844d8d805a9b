"""How long a reflector waits, and how long it works."""

import bisect
import random
import time

import pytest
import trio
import trio.testing

from dnsserver.kube.errors import ApiError, Forbidden, Gone, Status, TooManyRequests, error_of
from dnsserver.kube.progress import Backoff, TimeSlice, Timing


@pytest.mark.parametrize("seed", range(5))
def test_back_off(seed: int) -> None:
    timing = Timing(backoff_first=1.0, backoff_max=30.0, denied_retry=60.0)
    backoff = Backoff(timing, random.Random(seed))
    for ceiling in (1, 2, 4, 8, 16, 30, 30, 30):
        assert ceiling / 10 <= backoff.next(Gone("")) <= ceiling
    backoff.reset()
    assert 0.1 <= backoff.next(None) <= 1
    assert 5.0 <= backoff.next(TooManyRequests("", retry_after=5.0)) <= 10.0
    assert 600.0 <= backoff.next(TooManyRequests("", retry_after=600.0)) <= 630.0
    backoff.reset()
    for ceiling in (1, 2, 4, 8, 16, 32, 60, 60):
        assert ceiling / 10 <= backoff.next(Forbidden("")) <= ceiling


@pytest.mark.parametrize("error", [None, Gone(""), TooManyRequests("", retry_after=1.0)], ids=str)
def test_a_thousand_come_back_one_by_one(error: ApiError | None) -> None:
    """Of clients that are cut off at the same moment, at most a sixth come back within any tenth of a second."""
    pauses = sorted(Backoff(Timing(), random.Random(seed)).next(error) for seed in range(1000))
    assert max(bisect.bisect(pauses, pause + 0.1) - place for place, pause in enumerate(pauses)) < 1000 / 6


async def test_a_bite_is_over_in_time() -> None:
    time_slice = TimeSlice()
    start = time.perf_counter()
    while not time_slice.over:
        pass
    assert time.perf_counter() - start < 2  # half a millisecond, on a machine that may stall
    with trio.testing.assert_checkpoints():
        await time_slice.pause()


@pytest.mark.parametrize(
    ("said", "waited"), [("7", 7.0), ("86400", 600.0), ("9" * 400, 600.0), ("Fri, 01 Jan 2027", None)]
)
def test_what_a_server_says_about_coming_back_has_a_bound(said: str, waited: float | None) -> None:
    assert error_of(Status(), 503, said).retry_after == waited
