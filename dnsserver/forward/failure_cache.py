"""Questions that failed a short time ago, so that not every client that asks again has to wait (RFC 9520). Pure.

Bounded in octets, because failures have texts of different lengths about what their upstreams did.
"""

from collections.abc import Iterator
from itertools import islice

import msgspec

from dnsserver.forward.outcome import Outcome, Question
from dnsserver.wire.message import EDE, EMPTY, SERVFAIL
from dnsserver.zone.record import Reason

MOST = 5_300_000  # octets: at least 10,000 of the usual ones

# What a failure holds beside the octets of its name and texts: measured with tracemalloc over 10,000 of them, 64-bit
# CPython 3.11. A text that is no ASCII takes up to twice its octets.
_OVERHEAD = 330
_PER_ERROR = 130
_SWEPT = 2000  # at once, which takes 1 ms


class _Failure(msgspec.Struct, gc=False, eq=False):
    """Why a question failed, and until when it is given out; what it is given out as is made for who asks."""

    reason: Reason
    lasts: float
    expires: float

    def counts(self, now: float) -> bool:
        """Tell whether it is given out, or makes the next one last longer."""
        return now < self.expires + self.lasts

    def outcome(self) -> Outcome:
        """Return it as it is given out."""
        reason = Reason("failure-cached", EDE.CACHED_ERROR, self.reason.text, self.reason.also)
        return Outcome(SERVFAIL, EMPTY, False, reason, self.expires - self.lasts, self.expires)


class FailureCache:
    """The failures of a moment ago by their question; the oldest goes when there is no more room."""

    def __init__(self) -> None:
        """Know none."""
        self._failures: dict[Question, _Failure] = {}
        self.size = 0

    def __len__(self) -> int:
        """Return how many are held, those whose time is over included."""
        return len(self._failures)

    def __iter__(self) -> Iterator[Question]:
        """Iterate over their questions."""
        return iter(self._failures)

    def add(
        self, question: Question, reason: Reason, now: float, ttl: float, cap: float, began: float | None = None
    ) -> None:
        """Keep a failure for `ttl` seconds, twice as long each time it follows on another, up to `cap`.

        It follows on one that counted when its question `began` to be asked, which is now if nothing is said: to wait
        for an answer in vain takes longer than most failures are kept.
        """
        previous = self._failures.get(question)
        lasts = ttl
        if previous is not None and previous.counts(now if began is None else began):
            lasts = min(previous.lasts * 2, cap)
        self.forget(question)
        self._failures[question] = _Failure(reason, lasts, now + lasts)
        self.size += _size(question, reason)
        while self.size > MOST:
            self.forget(next(iter(self._failures)))

    def get(self, question: Question, now: float) -> Outcome | None:
        """Return the failure of a moment ago, if there was one."""
        failure = self._failures.get(question)
        return None if failure is None or failure.expires <= now else failure.outcome()

    def forget(self, question: Question) -> None:
        """Forget a failure, if there is one."""
        failure = self._failures.pop(question, None)
        if failure is not None:
            self.size -= _size(question, failure.reason)

    def sweep(self, then: float) -> None:
        """Forget the oldest ones that did not count any more then; call it every second, as it forgets some at a time.

        Then is when the oldest question under way may have begun.
        """
        for question, failure in tuple(islice(self._failures.items(), _SWEPT)):
            if failure.counts(then):
                return
            self.forget(question)

    def clear(self) -> None:
        """Forget all of them."""
        self._failures.clear()
        self.size = 0


def _size(question: Question, reason: Reason) -> int:
    texts = sum(_PER_ERROR + 2 * len(text) for _, text in reason.also)
    return _OVERHEAD + len(question.name) + 2 * len(reason.text) + texts
