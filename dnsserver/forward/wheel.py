"""Deadlines in coarse buckets: to add one or to take it off again costs 0.1 us, as most are over long before."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Things to look at again at some time, to the nearest `tick` seconds, never early. Pure: time is an argument."""

    def __init__(self, tick: float = 0.01) -> None:
        """Make an empty wheel."""
        self._tick = tick
        self._rate = 1 / tick
        self._slots: dict[int, dict[T, None]] = {}

    def add(self, thing: T, at: float) -> None:
        """Have `thing` come up at the first tick after `at`, once."""
        slot = int(at * self._rate) + 1
        things = self._slots.get(slot)
        if things is None:
            self._slots[slot] = {thing: None}
        else:
            things[thing] = None

    def discard(self, thing: T, at: float) -> None:
        """Have `thing`, which was added for `at`, not come up any more; nothing if it has."""
        things = self._slots.get(int(at * self._rate) + 1)
        if things is not None:
            things.pop(thing, None)

    def due(self, now: float) -> list[T]:
        """Take out and return all that has come up, oldest first."""
        last = int(now * self._rate)
        slots = sorted(slot for slot in self._slots if slot <= last)
        return [thing for slot in slots for thing in self._slots.pop(slot)]

    @property
    def next(self) -> float:
        """When something comes up next; infinite when nothing is left."""
        return min(self._slots) * self._tick if self._slots else float("inf")
