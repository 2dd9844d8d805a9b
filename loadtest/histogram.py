"""Latencies counted in buckets: fixed memory, any number of values, and no percentile off by more than 1/128.

The buckets are those of an HDR histogram: linear below 256 ns, then 128 equal ones for each doubling. The
`hdrhistogram` package has the same, but needs one call for each value, which costs the loop too much time.
"""

import math
from collections.abc import Collection

_BITS = 8  # a value keeps its 8 leading bits: half of those 256 steps, 128, to each doubling
_EXACT = (1 << _BITS) - 1
_LIMIT_BITS = 40
LIMIT = (1 << _LIMIT_BITS) - 1
"""Where the buckets end, in nanoseconds: 18 minutes, above any time-out; larger values share the last bucket."""

_BUCKETS = ((_LIMIT_BITS - _BITS + 2) << (_BITS - 1)) + 1


class Histogram:
    """Counts of durations in whole nanoseconds; negative ones, which only a clock set back gives, count as 0."""

    __slots__ = ("_buckets", "count", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.total = 0
        self.minimum = LIMIT
        self.maximum = 0

    def record_all(self, values: Collection[int]) -> None:
        """Count each value once; there has to be one. This loop runs for every reply, so it does not call `record`."""
        buckets = self._buckets
        for value in values:
            shift = value.bit_length() - _BITS
            if shift <= 0 or value < 0:
                buckets[max(value, 0)] += 1
            elif value <= LIMIT:
                buckets[(shift << (_BITS - 1)) + (value >> shift)] += 1
            else:
                buckets[-1] += 1
        self.count += len(values)
        self.total += sum(values)
        self.minimum = max(0, min(self.minimum, *values))
        self.maximum = max(self.maximum, *values)

    def record(self, value: int, times: int = 1) -> None:
        """Count one value `times` times."""
        value = min(max(value, 0), LIMIT)
        shift = max(value.bit_length() - _BITS, 0)
        self._buckets[(shift << (_BITS - 1)) + (value >> shift)] += times
        self.count += times
        self.total += value * times
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)

    def percentile(self, percent: float) -> int:
        """Return the nanoseconds that `percent` of the values do not exceed, or up to 1/128 more; 0 without values."""
        rank = max(1, math.ceil(self.count * percent / 100 - 1e-6))  # less the rounding of, say, 99.9
        seen = 0
        for index, times in enumerate(self._buckets):
            seen += times
            if seen >= rank:
                return min(_upper_edge(index), self.maximum)
        return 0

    def mean(self) -> float:
        """Return the mean in nanoseconds, 0 without values."""
        return self.total / self.count if self.count else 0.0

    def copy(self) -> "Histogram":
        """Return the counts as they are now."""
        twin = Histogram()
        twin._buckets = self._buckets.copy()
        twin.count, twin.total = self.count, self.total
        twin.minimum, twin.maximum = self.minimum, self.maximum
        return twin

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return what was counted after `earlier`, a copy of this one; minimum and maximum are those of all values."""
        part = self.copy()
        both = zip(self._buckets, earlier._buckets, strict=True)  # noqa: SLF001 - its own class
        part._buckets = [now - then for now, then in both]  # noqa: SLF001 - its own class
        part.count, part.total = self.count - earlier.count, self.total - earlier.total
        return part


def _upper_edge(index: int) -> int:
    if index <= _EXACT:
        return index
    shift = (index >> (_BITS - 1)) - 1
    lead = index - (shift << (_BITS - 1))
    return ((lead + 1) << shift) - 1
