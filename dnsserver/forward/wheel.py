"""Deadlines in coarse buckets: adding one is an append to a list, and most are never looked at again."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Things to look at again at some time, to the nearest `tick` seconds, never early. Pure: time is an argument."""

    def __init__(self, tick: float = 0.01) -> None:
        """Make an empty wheel."""
        self._tick = tick
        self._rate = 1 / tick
        self._slots: dict[int, list[T]] = {}

    def add(self, thing: T, at: float) -> None:
        """Have `thing` come up at the first tick after `at`."""
        slot = int(at * self._rate) + 1
        things = self._slots.get(slot)
        if things is None:
            self._slots[slot] = [thing]
        else:
            things.append(thing)

    def due(self, now: float) -> list[T]:
        """Take out and return all that has come up, oldest first."""
        last = int(now * self._rate)
        slots = sorted(slot for slot in self._slots if slot <= last)
        return [thing for slot in slots for thing in self._slots.pop(slot)]

    @property
    def next(self) -> float:
        """When something comes up next; infinite when nothing is left."""
        return min(self._slots) * self._tick if self._slots else float("inf")
