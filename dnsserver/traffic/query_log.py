"""The log of queries: which of the observed queries have a line, by rules, at random, and by their number."""

from collections.abc import Callable, Sequence

import msgspec

from dnsserver.traffic.filters import Filter
from dnsserver.traffic.observed import Observed

Format = Callable[[Observed], bytes]  # a line, with the line feed at its end


class Rule(msgspec.Struct, frozen=True):
    """What has a line, which form it has, and how many: one in `sample`, and `rate` a second at most, 0 for all."""

    filter: Filter
    line: Format
    sample: int = 1
    rate: float = 0


class Rate:
    """How many things may happen in a second; a second's worth may come at once."""

    def __init__(self, most: float) -> None:
        """`most` is how many in a second, 0 for any number."""
        self._rate = most
        self._most = max(1.0, most)
        self._left = self._most
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Tell whether one more may happen now, and count it."""
        if not self._rate:
            return True
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class QueryLog:
    """Writes a line for what the first rule that fits says has one.

    `lines` counts those that were written, `left_out` those that were too many in their second. What one rule in
    `sample` leaves out is in neither.
    """

    def __init__(self, write: Callable[[bytes], None], clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """Begin without rules. `chance` gives numbers from 0 up to 1, `clock` seconds."""
        self.rules: tuple[Rule, ...] = ()
        self.lines = 0
        self.left_out = 0
        self._write = write
        self._clock = clock
        self._chance = chance
        self._rates: tuple[Rate, ...] = ()

    def use(self, rules: Sequence[Rule]) -> None:
        """Go by these rules from now on."""
        self.rules = tuple(rules)
        self._rates = tuple(Rate(rule.rate) for rule in rules)

    def take(self, seen: Observed) -> None:
        """Write a line of a question and its reply, if there is to be one."""
        for rule, rate in zip(self.rules, self._rates, strict=True):
            if not rule.filter.wants(seen):
                continue
            if rule.sample > 1 and self._chance() * rule.sample >= 1:
                return
            if rate.take(self._clock()):
                self.lines += 1
                self._write(rule.line(seen))
            else:
                self.left_out += 1
            return
