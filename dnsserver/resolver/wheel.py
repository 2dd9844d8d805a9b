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
        self._last_at = float("nan")
        self._last: list[T] = []

    def add(self, thing: T, at: float) -> None:
        """Have `thing` come up at the first tick after `at`."""
        if at != self._last_at:  # what is asked in one batch comes up together
            self._last_at = at
            self._last = self._slots.setdefault(int(at * self._rate) + 1, [])
        self._last.append(thing)

    def due(self, now: float) -> list[T]:
        """Take out and return all that has come up, oldest first."""
        last = int(now * self._rate)
        self._last_at = float("nan")
        slots = sorted(slot for slot in self._slots if slot <= last)
        return [thing for slot in slots for thing in self._slots.pop(slot)]

    @property
    def next(self) -> float | None:
        """When something comes up next, or None when nothing is left."""
        return min(self._slots) * self._tick if self._slots else None
