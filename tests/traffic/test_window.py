"""The most frequent keys of the last minutes: older ones are gone, younger ones are in, and the error is reported."""

import random
from collections import Counter

import pytest

from dnsserver.traffic.window import PANE, WINDOWS, Shown, Window, most_octets
from tests.reach import octets


@pytest.mark.parametrize("minutes", WINDOWS)
@pytest.mark.parametrize("begin", [0.0, 3.0, 59.0, 12_345.6])
def test_a_window_has_all_of_its_minutes_and_at_most_a_pane_more(minutes: int, begin: float) -> None:
    window = Window()
    end = begin + 2000
    for second in range(2001):
        window.add(b"second %d" % second, begin + second)
    top = window.top(minutes, 1, end)
    more = PANE if minutes == 1 else 60
    assert 60 * minutes <= top.seconds <= 60 * minutes + more
    assert abs(top.total - top.seconds) <= 1.1  # one a second


@pytest.mark.parametrize(
    ("age", "seen"),
    [
        (0.0, {1, 5, 15}), (59.0, {1, 5, 15}), (71.0, {5, 15}), (299.0, {5, 15}), (361.0, {15}), (899.0, {15}),
        (961.0, set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("phase", [0.0, 7.0, 31.0, 59.9])
def test_what_was_seen_a_while_ago_is_in_the_windows_that_reach_that_far(
    age: float, seen: set[int], phase: float
) -> None:
    window, begin = Window(), 6000 + phase
    window.add(b"once", begin, peak=0.3)
    assert {minutes for minutes in WINDOWS if window.top(minutes, 5, begin + age).items} == seen


@pytest.mark.parametrize("minutes", WINDOWS)
@pytest.mark.parametrize("phase", [0.0, 7.0, 31.0, 59.9])
def test_time_in_which_nobody_asked_is_a_part_of_the_window(minutes: int, phase: float) -> None:
    window, begin = Window(), 6000 + phase
    window.begin(begin - 2000)
    assert window.top(minutes, 1, begin).seconds == 60 * minutes
    for number in range(300):
        window.add(b"burst", begin + number / 150)
    for age in (4.0, 40.0):
        top = window.top(minutes, 1, begin + age)
        assert (top.seconds, top.total) == (60 * minutes, 300)


@pytest.mark.parametrize("minutes", WINDOWS)
def test_a_window_does_not_begin_before_counting_did(minutes: int) -> None:
    window = Window()
    window.begin(6003.0)
    assert window.top(minutes, 1, 6005.0).seconds == 2.0
    window.add(b"late", 6041.0)
    assert window.top(minutes, 1, 6045.0).seconds == 42.0
    window.begin(6048.0)  # again, after a pause: it begins with the first pane that has a key
    assert window.top(minutes, 1, 6050.0).seconds == 10.0
    assert window.top(minutes, 1, 6048.0 + 3600).seconds == 60 * minutes


def test_what_others_are_counted_meanwhile_does_not_matter() -> None:
    window = Window()
    for second in range(900):
        window.add(b"always", second)
        window.add(b"once %d" % second, second)
    for minutes in WINDOWS:
        top = window.top(minutes, 1, 899.0)
        assert top.items[0].key == b"always"
        assert abs(top.items[0].count - top.seconds) <= 1 + top.slack


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("minutes", WINDOWS)
def test_the_heaviest_of_a_zipf_load_are_found(exponent: float, minutes: int) -> None:
    """The figures in docs/benchmarks.md: 250 a second, 10,000 names, over the whole window."""
    chance, count = random.Random(1), 250 * 60 * minutes
    weights = [1 / (rank + 1) ** exponent for rank in range(10_000)]
    load = chance.choices(range(10_000), weights, k=count)
    window, truth = Window(), Counter[bytes]()
    for number, rank in enumerate(load):
        window.add(b"%d" % rank, number / 250)
        truth[b"%d" % rank] += 1
    top = window.top(minutes, 20, (count - 1) / 250)
    assert top.total == count
    assert top.slack <= count / 129
    assert {key for key, _ in truth.most_common(10)} <= {item.key for item in top.items}
    for item in top.items:
        assert truth[item.key] <= item.count <= truth[item.key] + top.slack
        assert item.plus_minus == 0
    worst = max(item.count / truth[item.key] - 1 for item in top.items[:10])
    assert worst < (0.05 if exponent < 1 else 0.01)


@pytest.mark.parametrize("part", [0.01, 0.3, 0.9, 1.0])
def test_of_samples_the_error_is_told_and_is_what_it_says(part: float) -> None:
    """One in 10 of 6,000 is taken, and weights are brought in line with the total, as a Sampler does."""
    chance, inside, rounds = random.Random(1), 0, 300
    for _ in range(rounds):
        window = Window()
        taken = [number < 6000 * part for number in range(6000) if chance.random() < 0.1]
        for number, heavy in enumerate(taken):
            weight = 6000 * (number + 1) // len(taken) - 6000 * number // len(taken)
            window.add(b"heavy" if heavy else b"rest", 1.0, weight)
        items = {item.key: item for item in window.top(1, 2, 2.0).items}
        found = items.get(b"heavy", Shown(b"heavy", 0, 0, 0.0))
        inside += abs(found.count - 6000 * part) <= found.plus_minus
    assert part == 1.0 or inside / rounds < 0.99
    assert inside / rounds > 0.9


def test_memory_is_bounded() -> None:
    window, chance = Window(), random.Random(1)
    for second in range(1000):
        for number in range(128):  # as many as are kept, each pane: the most that there can be
            window.add(b"%0255d" % (number + 128 * (second // PANE)), float(second))
        window.add(b"%0255d" % chance.getrandbits(64), float(second))
    assert octets(window) <= most_octets(255)
