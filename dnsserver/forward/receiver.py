"""The interface through which transports report what became of their queries."""

from typing import Protocol

from dnsserver.forward.lookup import Attempt
from dnsserver.zone.record import Reason

BAD_REPLIES = 10  # on one socket or connection: from then on it is of no use
FORGET_AFTER = 5.0  # seconds for which a reply can still show how its upstream does


class Receiver(Protocol):
    """Who is told what became of an attempt."""

    def replied(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take the reply to exactly this question; False when it is malformed, and the right one may follow."""

    def errored(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take a reply that repeats no question; False when it is not an error, and the right one may follow."""

    def case_mismatch(self, attempt: Attempt, now: float) -> None:
        """Record that a reply over UDP had the right ID and question, in another case."""

    def too_many_bad_replies(self, attempt: Attempt, now: float) -> None:
        """Record that so much of what came was wrong that the question must leave UDP."""

    def unreachable(self, attempt: Attempt, error: OSError, now: float) -> None:
        """Record that the upstream cannot be reached over UDP, as the system says why."""

    def lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        """Record that no connection brought an answer; `reached` is False where none could even be opened."""
