"""What upstreams did in the last minutes, from what they have counted since the start."""

import pytest

from dnsserver.metrics import Histogram, Upstream
from dnsserver.traffic.upstream_history import EVERY, UpstreamHistory
from tests.reach import octets


def durations(count: int) -> Histogram:
    found = Histogram()
    found.observe_many(0.01, count)
    return found


def upstream(name: str, second: int, domain: bytes = b"\0") -> Upstream:
    """One that is asked once a second, is silent every second time, and says SERVFAIL every tenth time."""
    return Upstream(
        name=name,
        domain=domain,
        queries=second,
        replies=second // 2,
        timeouts=second // 2,
        failures=second // 10,
        bad={"wrong-id": second // 100},
        durations={0: durations(second // 2), 2: durations(second // 10)},
    )


def counted(second: int) -> list[Upstream]:
    """Two upstreams, the second one for two domains."""
    return [upstream("one", second), upstream("two", second), upstream("two", second, b"\1x\0")]


def history(seconds: int) -> UpstreamHistory:
    found = UpstreamHistory()
    for second in range(0, seconds + 1, int(EVERY)):
        found.record(counted(second), float(second))
    return found


@pytest.mark.parametrize("minutes", [1, 5, 15])
@pytest.mark.parametrize("passed", [0, 3, 9])
def test_a_window_has_what_was_counted_in_it(minutes: int, passed: int) -> None:
    now = 2000 + passed
    seconds, (one, two) = history(2000).window(counted(now), minutes, float(now))
    assert 60 * minutes <= seconds <= 60 * minutes + (EVERY if minutes == 1 else 60 + EVERY)
    assert one.queries == seconds
    assert two.queries == 2 * seconds
    assert one.causes.keys() - {"unusable-wrong-id"} == {"silent", "SERVFAIL"}
    assert abs(one.causes["silent"] - seconds / 2) <= 1
    assert abs(one.causes["SERVFAIL"] - seconds / 10) <= 1


def test_a_failure_has_one_cause_and_a_probe_is_no_question() -> None:
    found = UpstreamHistory()
    found.record([Upstream(name="one")], 0.0)
    now = Upstream(name="one", queries=9, timeouts=5, probe_failures=3, failures=6, durations={2: durations(4)})
    _, (one,) = found.window([now], 1, 5.0)
    assert one.causes == {"silent": 2, "SERVFAIL": 4, "unreachable": 2}


def test_what_did_not_fail_has_no_causes() -> None:
    found = UpstreamHistory()
    found.record([Upstream(name="one", queries=5, timeouts=3)], 0.0)
    _, (one,) = found.window([Upstream(name="one", queries=9, timeouts=3)], 1, 5.0)
    assert (one.queries, one.causes) == (4, {})


def test_before_the_first_record_nothing_is_told_of_the_time_before() -> None:
    assert UpstreamHistory().window([Upstream(name="one", queries=5)], 1, 5.0)[0] == 0.0


def test_an_upstream_that_came_or_was_begun_anew_counts_from_zero_and_one_that_went_is_left_out() -> None:
    found = UpstreamHistory()
    found.record([Upstream(name="gone", queries=5), Upstream(name="anew", queries=100)], 0.0)
    _, shown = found.window([Upstream(name="anew", queries=3), Upstream(name="new", queries=7)], 1, 5.0)
    assert [(each.name, each.queries) for each in shown] == [("anew", 0), ("new", 7)]


def test_memory_is_bounded() -> None:
    assert octets(history(90_000)) <= 1.2 * octets(history(2000))
