"""The last minutes in numbers: what was answered, and how fast, every few seconds."""

from collections import deque
from collections.abc import Sequence

import msgspec

from dnsserver.metrics import TIME, Histogram, Process
from dnsserver.wire.message import NOERROR, NXDOMAIN

STEP = 5.0  # seconds between two samples
_SAMPLES = 180  # 15 minutes; some 40 KB


class Totals(msgspec.Struct, frozen=True, gc=False):
    """What all processes have answered since the start; `failed` is neither an answer nor "does not exist"."""

    answers: int = 0
    cached: int = 0
    missing: int = 0
    failed: int = 0
    durations: Histogram = msgspec.field(default_factory=Histogram)


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A few seconds: answers a second, parts of them, and quantiles of the seconds that they took.

    `at` is its end, on the clock that is handed in. A quantile is None where there was no answer.
    """

    at: float
    answers: float
    cached: float
    missing: float
    failed: float
    p50: float | None
    p95: float | None
    p99: float | None


class History:
    """Samples of the last minutes, the oldest first."""

    def __init__(self) -> None:
        """Begin with no sample."""
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._last: tuple[float, Totals] | None = None

    def record(self, now: float, totals: Totals) -> None:
        """Make a sample of what has happened since the last call."""
        if self._last is not None and now > self._last[0]:
            self.samples.append(_sample(now, now - self._last[0], self._last[1], totals))
        self._last = now, totals


def totals(processes: Sequence[Process]) -> Totals:
    """Add up what all processes have answered."""
    answers = cached = missing = failed = 0
    durations = Histogram()
    for process in processes:
        for traffic in process.traffic:
            for (_, rcode, _), count in traffic.replies.items():
                answers += count
                missing += count if rcode == NXDOMAIN else 0
                failed += count if rcode not in {NOERROR, NXDOMAIN} else 0
            cached += sum(traffic.from_cache.values())
            durations += traffic.durations
    return Totals(answers, cached, missing, failed, durations)


def _sample(now: float, seconds: float, before: Totals, after: Totals) -> Sample:
    def rate(earlier: int, later: int) -> float:
        return round(max(0, later - earlier) / seconds, 3)

    counts = [max(0, new - old) for old, new in zip(before.durations.counts, after.durations.counts, strict=True)]
    p50, p95, p99 = (quantile(share, counts) for share in (0.5, 0.95, 0.99))
    return Sample(
        now,
        rate(before.answers, after.answers),
        rate(before.cached, after.cached),
        rate(before.missing, after.missing),
        rate(before.failed, after.failed),
        p50,
        p95,
        p99,
    )


def quantile(share: float, counts: Sequence[int], bounds: Sequence[float] = TIME) -> float | None:
    """Return the value below which that share of the counted ones is; within a bucket they are taken to be even.

    Above the last bound that bound is returned, as Prometheus's `histogram_quantile` does; None if nothing was counted.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    below = 0
    for number, (bound, count) in enumerate(zip(bounds, counts, strict=False)):
        if below + count >= wanted:
            start = bounds[number - 1] if number else 0.0
            return round(start + (bound - start) * (wanted - below) / count, 6)
        below += count
    return bounds[-1]
