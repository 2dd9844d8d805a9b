"""Deadlines in coarse buckets, from which most are taken again long before they come up."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

Bucket = dict[T, None]  # what comes up together, in its order


class Wheel(Generic[T]):
    """Things to look at again at some time, to the nearest `tick` seconds, never early. Pure: time is an argument."""

    def __init__(self, tick: float = 0.01) -> None:
        """Make an empty wheel."""
        self._tick = tick
        self._rate = 1 / tick
        self._slots: dict[int, Bucket[T]] = {}

    def add(self, thing: T, at: float) -> Bucket[T]:
        """Have `thing` come up at the first tick after `at`, once; what is taken out of the bucket does not come up."""
        slot = int(at * self._rate) + 1
        bucket = self._slots.get(slot)
        if bucket is None:
            bucket = self._slots[slot] = {}
        bucket[thing] = None
        return bucket

    def due(self, now: float) -> list[T]:
        """Take out and return all that has come up, oldest first."""
        last = int(now * self._rate)
        slots = sorted(slot for slot in self._slots if slot <= last)
        return [thing for slot in slots for thing in self._slots.pop(slot)]

    @property
    def next(self) -> float:
        """When something comes up next; infinite when nothing is left."""
        return min(self._slots) * self._tick if self._slots else float("inf")
