"""What was seen in the last minutes: a summary for each ten seconds of the last one, and for each minute before.

A window of 1, 5 or 15 minutes is the sum of the panes that overlap it. So it is up to one pane longer than its name
says, and shorter only if counting began later. Its length in seconds is shown with it, times without a key included.
"""

from collections import deque
from typing import Final

import msgspec

from dnsserver.traffic.summary import KEY, MOST, Heavy, Summary

WINDOWS: Final = (1, 5, 15)  # minutes
PANE: Final = 10  # seconds
NEVER: Final = float("inf")
_PANES: Final = 6  # in a minute
_FINE: Final = _PANES + 1  # panes of ten seconds, the present one included
_MINUTES: Final = WINDOWS[-1] + 1  # panes of a minute
_CERTAIN: Final = 1.96  # standard deviations: 95 of 100 times the truth is no further away


class Shown(msgspec.Struct, frozen=True):
    """A key of a window and its count, which differs by at most `plus_minus` in 95 of 100 cases.

    That is the error of sampling; where everything is counted it is 0. `peak` is the largest value that came with it.
    """

    key: bytes
    count: int
    plus_minus: int
    peak: float


class Top(msgspec.Struct, frozen=True):
    """The heaviest keys of `seconds`, in which all keys together counted for `total`.

    No count is too small, and none is too large by more than `slack`, errors of sampling apart.
    """

    seconds: float
    total: int
    slack: int
    items: tuple[Shown, ...]


class _Pane:
    __slots__ = ("end", "number", "start", "summary")

    def __init__(self, number: int, start: float, end: float) -> None:
        self.number = number
        self.start = start
        self.end = end
        self.summary = Summary()


class Window:
    """Counts keys, and shows the heaviest of the last minutes; `now` never goes back."""

    def __init__(self) -> None:
        """Begin with nothing seen; counting begins with `begin`, or else with the first key."""
        self._began = NEVER
        self._fine: deque[_Pane] = deque()
        self._minutes: deque[_Pane] = deque()

    def begin(self, now: float) -> None:
        """Record that keys are counted from now on; what was counted before stays."""
        self._began = now

    def add(self, key: bytes, now: float, weight: int = 1, peak: float = 0.0) -> None:
        """Count a key, as often as its weight says, with a value of which the largest one is remembered."""
        self.pane(now).add(key, weight, peak)

    def pane(self, now: float) -> Summary:
        """Return what counts now."""
        number = int(now // PANE)
        fine = self._fine
        if not fine or fine[-1].number < number:
            self._forget(now)
            self._began = min(self._began, now)
            fine.append(_Pane(number, max(number * PANE, self._began), (number + 1) * PANE))
        return fine[-1].summary

    def top(self, minutes: int, limit: int, now: float) -> Top:
        """Return the heaviest keys of the last minutes, at most `limit` of them."""
        self._forget(now)
        begin = now - 60 * minutes
        panes = [pane for pane in (*self._minutes, *self._fine) if pane.end > begin]
        whole = Summary(len(panes) * 2 * MOST + 1)  # nothing is given up
        for pane in panes:
            whole.merge(pane.summary)
        # Time without a key has no pane, and is a part of the window as well.
        start = min([now, max(begin, self._began), *(pane.start for pane in panes)])
        more = max(0.0, whole.squares / whole.total - 1) if whole.total else 0.0
        found = [heavy for heavy, _ in zip(whole.heaviest(), range(limit), strict=False)]
        return Top(now - start, whole.total, whole.slack, tuple(shown(heavy, more, whole.total) for heavy in found))

    def _forget(self, now: float) -> None:
        """Add up by minutes what is older than a minute, and forget what no window contains."""
        fine, minutes = self._fine, self._minutes
        oldest = int(now // PANE) - _FINE + 1
        while fine and fine[0].number < oldest:
            pane = fine.popleft()
            pane.summary.settle()
            number = pane.number // _PANES
            if not minutes or minutes[-1].number < number:
                minutes.append(_Pane(number, pane.start, pane.end))
            minutes[-1].end = pane.end
            minutes[-1].summary.merge(pane.summary)
            minutes[-1].summary.settle()
        while minutes and minutes[0].end <= now - 60 * WINDOWS[-1]:
            minutes.popleft()


def shown(heavy: Heavy, more: float, total: int) -> Shown:
    """Return a key with its error; `more` is N - 1 where one in N of `total` is sampled.

    If one in N is sampled of a known total, and a part P of it is the key's, the variance of the key's count is the
    count times (N - 1)(1 - P).
    """
    rest = max(0.0, 1 - heavy.count / total)
    return Shown(heavy.key, heavy.count, round(_CERTAIN * (heavy.count * more * rest) ** 0.5), heavy.peak)


def most_octets(key: int) -> int:
    """Return what a window takes at the most, if no key is longer than `key` octets."""
    return (_FINE + 1 + _MINUTES) * MOST * (KEY + key)
