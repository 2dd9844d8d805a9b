import math

from hypothesis import given
from hypothesis import strategies as st

from loadtest.histogram import LIMIT, Histogram

values = st.lists(st.integers(0, LIMIT) | st.integers(0, 2000), min_size=1, max_size=200)


@given(values, st.sampled_from([1, 50, 90, 95, 99, 99.9, 100]))
def test_no_percentile_is_below_or_more_than_a_128th_above_the_exact_one(durations: list[int], percent: float) -> None:
    histogram = Histogram()
    histogram.record_all(durations)
    exact = sorted(durations)[max(1, math.ceil(len(durations) * percent / 100 - 1e-6)) - 1]
    assert exact <= histogram.percentile(percent) <= exact + exact / 128


@given(values)
def test_one_by_one_and_all_at_once_are_the_same(durations: list[int]) -> None:
    once, singly = Histogram(), Histogram()
    once.record_all(durations)
    for duration in durations:
        singly.record(duration)
    for percent in range(101):
        assert once.percentile(percent) == singly.percentile(percent)
    assert (once.count, once.minimum, once.maximum) == (len(durations), min(durations), max(durations))
    assert (once.mean(), singly.mean()) == (sum(durations) / len(durations),) * 2
    assert singly.count == once.count


@given(values, values)
def test_what_came_since_a_copy_is_what_was_recorded_since(first: list[int], then: list[int]) -> None:
    both, alone = Histogram(), Histogram()
    both.record_all(first)
    earlier = both.copy()
    both.record_all(then)
    alone.record_all(then)
    part = both.since(earlier)
    assert part.count == len(then)
    assert abs(part.percentile(50) - alone.percentile(50)) <= alone.percentile(50) / 128


def test_nothing_recorded_is_zero() -> None:
    assert Histogram().percentile(99) == 0
    assert Histogram().mean() == 0


def test_a_clock_set_back_counts_as_no_time_and_hours_as_the_limit() -> None:
    histogram = Histogram()
    histogram.record_all([-5, -(1 << 40), LIMIT * 8])
    histogram.record(-5)
    histogram.record(LIMIT * 8, 2)
    assert histogram.count == 6
    assert histogram.percentile(50) == 0
    assert histogram.percentile(99) >= LIMIT
