"""One question under way, as a value that the exchange moves on, and who learns how it ends."""

from typing import Protocol

import msgspec

from dnsserver.forward.outcome import Ask, Deliver
from dnsserver.forward.route import Route
from dnsserver.forward.upstream import Attempt, Upstream
from dnsserver.wire.response import Reading
from dnsserver.zone.record import Reason

NEVER = float("inf")


class Flight(msgspec.Struct, gc=False, eq=False):
    """One question under way, and who waits for it.

    `tries` counts the queries sent for it, to all upstreams. The `_at` times are when to ask the next upstream because
    the last one is silent, or ahead of that because it is late; and when not to let a stale answer wait any longer,
    which is `stale_given` to whoever comes then.
    `due` is the first of them, for which it is on the wheel. `unconfirmed` is an answer that is being asked for once
    more, in lower case, and good enough if nothing comes of that. `streamless` are the UDP upstreams
    that cannot be reached over TCP.
    """

    ask: Ask
    route: Route
    order: list[Upstream]
    waiting: list[Deliver]
    deadline: float
    attempts: list[Attempt] = []
    tries: int = 0
    retry_at: float = NEVER
    hedge_at: float = NEVER
    stale_at: float = NEVER
    due: float = NEVER
    stale_given: bool = False
    failure: Reason | None = None
    unconfirmed: Reading | None = None
    streamless: tuple[Upstream, ...] = ()
    done: bool = False


class Owner(Protocol):
    """Who starts flights and learns how they end."""

    def finished(self, flight: Flight, reading: Reading | None, now: float) -> None:
        """Take the end of a flight: what the upstream said, or None for the failure that the flight carries."""

    def broken(self, flight: Flight, now: float) -> None:
        """Have done with a flight that a bug has stopped."""

    def overdue(self, flight: Flight, now: float) -> None:
        """Take in that the flight goes on, but whoever waits has waited long enough for a fresh answer."""

    def changed(self, upstream: Upstream, *, usable: bool) -> None:
        """Take in that an upstream is back, or gone for now."""

    def hurry(self, at: float) -> None:
        """Have the wheel looked at by then, which may be earlier than what is on it was due."""


def detach(attempt: Attempt) -> None:
    """Take an attempt out of its flight."""
    flight, attempt.flight = attempt.flight, None
    if flight is not None:
        flight.attempts.remove(attempt)
