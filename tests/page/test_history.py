"""How the history of the last minutes is kept."""

import pytest

from dnsserver.metrics import TIME, Histogram, Process, Traffic
from dnsserver.page.history import History, Totals, quantile, totals
from dnsserver.wire import message as m


def durations(*seconds: float) -> Histogram:
    found = Histogram()
    for value in seconds:
        found.observe(value)
    return found


def test_a_sample_is_what_happened_between_two_records() -> None:
    history = History()
    history.record(100.0, Totals(1000, 900, 50, 5, durations(0.001)))
    assert list(history.samples) == []
    history.record(105.0, Totals(1100, 980, 60, 10, durations(0.001, 0.0001, 0.0001, 0.0001, 3.0)))
    [sample] = history.samples
    assert (sample.at, sample.answers, sample.cached, sample.missing, sample.failed) == (105.0, 20.0, 16.0, 2.0, 1.0)
    assert sample.p50 is not None
    assert sample.p99 is not None
    assert 0 < sample.p50 <= 0.00025
    assert 2.0 < sample.p99 <= 4.096


def test_nothing_asked_has_no_latency_and_a_count_that_goes_back_is_none() -> None:
    history = History()
    for now, answers in ((0.0, 50), (5.0, 50), (10.0, 20), (10.0, 20)):
        history.record(now, Totals(answers))
    assert [(sample.answers, sample.p50) for sample in history.samples] == [(0.0, None), (0.0, None)]


def test_a_quarter_of_an_hour_is_kept() -> None:
    history = History()
    for step in range(1000):
        history.record(5.0 * step, Totals(step))
    assert len(history.samples) == 180
    assert history.samples[-1].at - history.samples[0].at == 895.0


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, [0] * 17, None),
        (0.5, [10, *[0] * 16], 0.000125),  # even within the bucket
        (1.0, [10, *[0] * 16], 0.00025),
        (0.5, [0, 10, *[0] * 15], 0.000375),
        (0.75, [5, 5, *[0] * 15], 0.000375),
        (0.99, [*[0] * 16, 1], TIME[-1]),  # above the last bound
    ],
)
def test_a_quantile_is_prometheus_s(share: float, counts: list[int], expected: float | None) -> None:
    assert quantile(share, counts) == expected


def test_all_processes_and_listeners_count_together() -> None:
    udp = Traffic(
        server="dns://:53", protocol="udp", family="1",
        replies={(m.A, m.NOERROR, "found"): 5, (m.A, m.NXDOMAIN, "service-missing"): 2, (m.A, m.SERVFAIL, "x"): 1},
        from_cache={(m.A, m.NOERROR, "found"): 4}, durations=durations(0.1),
    )  # fmt: skip
    tcp = Traffic(server="dns://:53", protocol="tcp", family="1", replies={(m.A, m.REFUSED, "y"): 3})
    found = totals([Process(traffic=(udp, tcp)), Process(traffic=(udp,))])
    assert (found.answers, found.cached, found.missing, found.failed) == (19, 8, 4, 5)
    assert sum(found.durations.counts) == 2
