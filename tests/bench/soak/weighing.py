"""What processes weigh, and whether it grows: a value a minute, a line through them, and how sure its slope is."""

import itertools
import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

Samples = Sequence[tuple[float, float]]  # seconds and MiB

_MINUTE = 60.0
_HOUR = 3600.0
_SURE = 2.0  # standard errors


def mib(pid: int) -> float:
    """Return the proportional set size of a process, in MiB; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Growth(NamedTuple):
    """The first and the last value by the line, the growth per hour, and two standard errors of that."""

    first: float
    last: float
    slope: float
    error: float

    def text(self, unit: str) -> str:
        """Return the growth as a cell of a table."""
        return f"{self.first:.1f} to {self.last:.1f} {unit}, {self.slope:+.1f} ± {self.error:.1f} an hour"


def growth(samples: Samples) -> Growth | None:
    """Return how the memory grew, by the medians of the minutes; None if there are fewer than four."""
    minutes = [
        (_MINUTE * number, statistics.median(mib for _, mib in group))
        for number, group in itertools.groupby(samples, lambda sample: sample[0] // _MINUTE)
    ]
    if len(minutes) < 4:
        return None
    times, values = zip(*minutes, strict=True)
    line = statistics.linear_regression(times, values)
    left = [value - line.intercept - line.slope * time for time, value in minutes]
    spread = sum((time - statistics.mean(times)) ** 2 for time in times)
    error = math.sqrt(sum(rest**2 for rest in left) / (len(minutes) - 2) / spread)
    first, last = (line.intercept + line.slope * time for time in (times[0], times[-1]))
    return Growth(first, last, line.slope * _HOUR, _SURE * error * _HOUR)
