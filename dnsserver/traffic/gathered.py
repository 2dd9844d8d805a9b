"""The statistics of one process: a worker sends them to the first process, which adds them all up.

So no two summaries of different processes are ever merged, and the error is that of one summary.
"""

from typing import Final

import msgspec

from dnsserver.traffic.observed import Observed
from dnsserver.traffic.sampler import Sample, Sampler
from dnsserver.traffic.who_asks import is_telling

ROOM: Final = 512  # replies; of further ones the number is told


class Gathered(msgspec.Struct, frozen=True):
    """Samples of packets, of which one in `every` was taken last, and replies that tell something.

    `left_out` is how many more of these there were.
    """

    samples: tuple[Sample, ...] = ()
    seen: tuple[Observed, ...] = ()
    every: int = 1
    left_out: int = 0


class Gatherer:
    """Gathers statistics in one process; the observer of replies calls `see`."""

    def __init__(self, sampler: Sampler, room: int = ROOM) -> None:
        """Gather the samples of `sampler`."""
        self._sampler = sampler
        self._room = room
        self._seen: list[Observed] = []
        self._left_out = 0

    def see(self, seen: Observed) -> None:
        """Gather a reply, if it tells something."""
        if not is_telling(seen):
            return
        if len(self._seen) < self._room:
            self._seen.append(seen)
        else:
            self._left_out += 1

    def take(self, now: float, missed: int = 0) -> Gathered:
        """Return what was gathered since the last call.

        `missed` is how many replies whoever calls `see` has not seen himself, since the start.
        """
        samples = tuple(self._sampler.take(now))
        seen, self._seen = tuple(self._seen), []
        left_out, self._left_out = self._left_out + missed, -missed
        return Gathered(samples, seen, self._sampler.every, left_out)
