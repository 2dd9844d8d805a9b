"""Finds the most frequent of many keys in limited memory: its counts have a known error.

The algorithm is that of Misra and Gries, with many keys given up at once (Anderson and others, "A High-Performance
Algorithm for Identifying Frequent Items in Data Streams", 2017): a table that has grown to twice its size keeps its
larger half, and every count in it is lowered by the largest count that was given up. Two summaries are merged by adding
their counts and their errors, and giving up what is too much (Agarwal and others, "Mergeable Summaries", 2012).

Rejected: Space-Saving, which has the same bound, but finds its least key at every new one: 4 µs where this takes 0.3.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

MOST: Final = 128  # keys of a summary at rest; while it is filled it has up to twice as many
# What a key takes beside its own octets: the object's head (33), its place in a dict (about 100 at the worst filling),
# and the count (32). Measured in `tests/traffic/test_summary.py`.
KEY: Final = 200


class Heavy(msgspec.Struct, frozen=True):
    """A key that was seen at most `count` times; `peak` is the largest value that came with it."""

    key: bytes
    count: int
    peak: float = 0.0


class Summary:
    """Counts keys. A key was seen at least as often as `counts` says, and at most `slack` times more; `total` is exact.

    `slack` is never above `total / (most + 1)`, also after merging: any key with more than that is found. `squares` is
    the sum of the squares of all weights: with it the error of sampling can be told.
    """

    __slots__ = ("_most", "counts", "peaks", "slack", "squares", "total")

    def __init__(self, most: int = MOST) -> None:
        """Keep `most` keys at rest."""
        self._most = most
        self.counts: dict[bytes, int] = {}
        self.peaks: dict[bytes, float] = {}
        self.total = self.slack = self.squares = 0

    def add(self, key: bytes, weight: int = 1, peak: float = 0.0) -> None:
        """Count a key once, or as often as its weight says; a peak of 0 is not remembered."""
        counts = self.counts
        counts[key] = counts.get(key, 0) + weight
        self.total += weight
        self.squares += weight * weight
        if peak > 0.0 and peak > self.peaks.get(key, 0.0):
            self.peaks[key] = peak
        if len(counts) > 2 * self._most:
            self.settle()

    def merge(self, other: "Summary") -> None:
        """Count in what another one has counted."""
        counts, peaks = self.counts, self.peaks
        for key, count in other.counts.items():
            counts[key] = counts.get(key, 0) + count
        for key, peak in other.peaks.items():
            peaks[key] = max(peak, peaks.get(key, 0.0))
        self.total += other.total
        self.slack += other.slack
        self.squares += other.squares
        if len(counts) > 2 * self._most:
            self.settle()

    def settle(self) -> None:
        """Give up all keys but the heaviest ones, as many as are kept at rest."""
        if len(self.counts) <= self._most:
            return
        cut = sorted(self.counts.values(), reverse=True)[self._most]
        self.counts = {key: count - cut for key, count in self.counts.items() if count > cut}
        self.peaks = {key: peak for key, peak in self.peaks.items() if key in self.counts}
        self.slack += cut

    def heaviest(self) -> Iterator[Heavy]:
        """Give the keys, the heaviest first, those of equal counts by peak and then in their own order.

        The counts have `slack` added: they are exact for a key that was never given up, and never too small.
        """
        peaks, slack = self.peaks, self.slack
        order = sorted(self.counts.items(), key=lambda item: (-item[1], -peaks.get(item[0], 0.0), item[0]))
        return (Heavy(key, count + slack, peaks.get(key, 0.0)) for key, count in order)
