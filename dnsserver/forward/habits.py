"""How an upstream treats EDNS and the case of names, learnt from its replies. Pure: time is an argument.

A single name shows nothing: the cause may be a broken server somewhere behind the upstream. And nothing is kept for
ever, because upstreams are repaired and replaced.
"""

_NAMES = 3  # different names that have to show it, with none between them that shows the contrary
_EDNS_AGAIN = 60.0
_CASE_AGAIN = 600.0

# Confirmations at once, and seconds for one more: an upstream that knows none of the names it is asked, as of a search
# list, is not asked everything twice.
_CONFIRMATIONS = 8
_CONFIRM_EVERY = 10.0


class EdnsHabit:
    """Whether an upstream takes EDNS (RFC 6891 section 7); `used` says whether it is asked with it."""

    __slots__ = ("_again_at", "_odd", "used")

    def __init__(self) -> None:
        """Begin with EDNS."""
        self.used = True
        self._odd: set[bytes] = set()
        self._again_at = 0.0

    @property
    def doubted(self) -> bool:
        """Whether a name was answered without EDNS only, and none with it since."""
        return bool(self._odd)

    def answered_without(self, name: bytes, now: float) -> bool:
        """Record that a name was answered, but not with EDNS; True when EDNS is left out from now on."""
        if not self.used:
            return False
        self._odd.add(name)
        if len(self._odd) < _NAMES:
            return False
        self.used = False
        self._again_at = now + _EDNS_AGAIN
        return True

    def answered_with(self) -> None:
        """Record that a name was answered with EDNS."""
        self._odd.clear()
        self.used = True

    def review(self, now: float) -> None:
        """Try EDNS again when its time has come; one more name without will be enough to leave it out again."""
        if not self.used and now >= self._again_at:
            self.used = True
            self._odd.pop()


class CaseHabit:
    """Whether an upstream takes names in mixed case, as it must (RFC 4343); `mixed` says whether it is asked so.

    Some compare octets: for these a name in mixed case does not exist, or is nothing they answer. Until a name asked so
    was found, the upstream is not `proven`, and what it does not know or refuses is asked once more in lower case.
    """

    __slots__ = ("_again_at", "_left", "_misses", "_odd", "_refill_at", "mixed", "proven", "wanted")

    def __init__(self, *, wanted: bool) -> None:
        """`wanted` is what the configuration says."""
        self.mixed = self.wanted = wanted
        self.proven = not wanted
        self._left = _CONFIRMATIONS
        self._misses = 0
        self._odd: set[bytes] = set()  # names with an error in mixed case and an answer in lower case
        self._refill_at = self._again_at = float("inf")

    @property
    def doubted(self) -> bool:
        """Whether replies still show something about it."""
        return not self.proven or bool(self._misses)

    def case_mismatched(self, *, sure: bool) -> bool:
        """Record a reply in another case; True when mixed case is left out from now on.

        So many of them, with none in the right case between them, are no forgery.
        """
        self._misses += 1
        if not self.mixed or (self._misses < _NAMES and not sure):
            return False
        self._leave_out(float("inf"))
        return True

    def case_matched(self) -> None:
        """Record a reply that keeps the case."""
        self._misses = 0

    def found(self) -> None:
        """Record that a name asked in mixed case was found: it compares as it should."""
        if not self.proven:
            self.proven = True
            self.mixed = self.wanted
            self._refill_at = float("inf")

    def take_confirmation(self, now: float) -> bool:
        """Tell whether what was not found in mixed case is to be asked in lower case, and count it.

        With the last one the upstream is asked in lower case until there are more.
        """
        if self.proven:
            return False
        self._left -= 1
        if self._left <= 0:
            self.mixed = False
            self._refill_at = now + _CONFIRM_EVERY
        return True

    def compares(self, now: float) -> None:
        """Record that a name was found in lower case only."""
        self._leave_out(now + _CASE_AGAIN)

    def errs(self, name: bytes, now: float) -> bool:
        """Record that a name brought an error, and then an answer in lower case; True when mixed case is left out.

        Errors pass, so one name shows nothing.
        """
        self._odd.add(name)
        if self.proven or len(self._odd) < _NAMES:
            return False
        self._leave_out(now + _CASE_AGAIN)
        return True

    def review(self, now: float) -> None:
        """Go back to mixed case when its time has come."""
        if now >= self._again_at or now >= self._refill_at:
            self._again_at = self._refill_at = float("inf")
            self.mixed, self.proven, self._left = self.wanted, False, 1

    def _leave_out(self, until: float) -> None:
        self._odd.clear()
        self.mixed = False
        self.proven = True
        self._again_at = until
        self._refill_at = float("inf")
