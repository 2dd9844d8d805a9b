"""The most frequent of many keys: found among any others, with an error that is reported and bounded."""

import random
from collections import Counter
from collections.abc import Iterable

import pytest

from dnsserver.traffic.summary import KEY, MOST, Summary
from tests.reach import octets


def counted(keys: Iterable[int], most: int = MOST) -> tuple[Summary, Counter[bytes]]:
    summary, truth = Summary(most), Counter[bytes]()
    for key in keys:
        summary.add(b"%d" % key)
        truth[b"%d" % key] += 1
    return summary, truth


def zipf(exponent: float, count: int, *, names: int = 10_000, seed: int = 1) -> list[int]:
    weights = [1 / (rank + 1) ** exponent for rank in range(names)]
    return random.Random(seed).choices(range(names), weights, k=count)


LOADS = {
    "few": [number % 50 for number in range(5000)],
    "all different": list(range(20_000)),
    "all alike": [7] * 1000,
    "zipf 0.8": zipf(0.8, 20_000),
    "zipf 1": zipf(1.0, 20_000),
    "zipf 1.2": zipf(1.2, 20_000),
    "the heavy ones last": [*range(10_000), *[-1] * 500],
    "the heavy ones first": [*[-1] * 500, *range(10_000)],
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
def test_no_count_is_wrong_by_more_than_the_slack(load: list[int]) -> None:
    summary, truth = counted(load)
    assert summary.total == len(load)
    assert summary.slack <= summary.total / (MOST + 1)
    for heavy in summary.heaviest():
        assert summary.counts[heavy.key] <= truth[heavy.key] <= heavy.count == summary.counts[heavy.key] + summary.slack
    found = set(summary.counts)
    assert not [key for key, count in truth.items() if count > summary.slack and key not in found]


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.2])
def test_merging_keeps_the_bound(exponent: float) -> None:
    load = zipf(exponent, 30_000)
    whole, truth = Summary(), Counter(b"%d" % key for key in load)
    for start in range(0, len(load), 3000):
        whole.merge(counted(load[start : start + 3000])[0])
    assert (whole.total, whole.squares) == (len(load), len(load))
    assert whole.slack <= whole.total / (MOST + 1)
    for heavy in whole.heaviest():
        assert whole.counts[heavy.key] <= truth[heavy.key] <= heavy.count == whole.counts[heavy.key] + whole.slack
    assert [heavy.key for heavy in whole.heaviest()][:3] == [key for key, _ in truth.most_common(3)]


def test_room_is_bounded_whatever_comes() -> None:
    summary = Summary()
    for number in range(100_000):
        summary.add(number.to_bytes(4, "big"))
        assert len(summary.counts) <= 2 * MOST


@pytest.mark.parametrize("size", [4, 60, 255])
def test_a_key_takes_what_the_ceiling_counts_for_it(size: int) -> None:
    summary = Summary()
    for number in range(MOST):
        summary.add(number.to_bytes(size, "big"), 1000 + number)
    assert octets(summary) <= MOST * (KEY + size)


def test_weights_and_peaks_go_with_their_keys() -> None:
    summary, other = Summary(2), Summary(2)
    for key, weight, peak in [(b"a", 10, 0.5), (b"b", 3, 0.1), (b"a", 1, 0.2), (b"c", 30, 0.0)]:
        summary.add(key, weight, peak)
    other.add(b"b", 20, 0.7)
    summary.merge(other)
    assert [(heavy.key, heavy.count, heavy.peak) for heavy in summary.heaviest()] == [
        (b"c", 30, 0.0), (b"b", 23, 0.7), (b"a", 11, 0.5)
    ]  # fmt: skip
    summary.settle()
    assert [(heavy.key, heavy.count) for heavy in summary.heaviest()] == [(b"c", 30), (b"b", 23)]
    assert (summary.slack, summary.total, summary.squares) == (11, 64, 100 + 9 + 1 + 900 + 400)
    assert set(summary.peaks) == {b"b"}
