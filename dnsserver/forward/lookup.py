"""One question under way at the upstreams, the queries sent for it, and who learns how it ends.

States of a Lookup, in the order in which it may go through them:

    under way    `attempts` are the queries that may still be answered; `due` is when it is looked at next
    confirming   as before, and `unconfirmed` is an answer good enough to end with if nothing better comes
    overdue      as before, and a stale answer was given (`stale_given`) to those who waited; it goes on for the cache
    done         nobody waits, no attempt leads to it; it is in no table, and never leaves this state

The engine moves it on, when a reply comes (`reports`), a query fails, or the wheel brings its question up. `waiting`
and what is stale are the forwarder's, which adds who asks the same, and takes all of them out with the end.

An Attempt is one query. With its lookup's end, or once another one stands in for it, it is an orphan: `lookup` is None,
and it only tells how its upstream does, until it is answered or `late`.

What always holds:
- a Lookup that is not done is in `LookupEngine.lookups` under its question, and on the wheel for `due`, or earlier;
- one that is not done has an attempt, or an end that comes with its deadline;
- an attempt is in `attempts` of its lookup exactly while it leads to it;
- nobody who waits is called from `Forwarder.start`: what fails there is queued (`delivery`).

Rejected: a task for each question (a trio task costs 25 us, a forwarded question 30 in all); the wheel holding lookups
rather than questions (most have ended long before they come up, and their memory would not serve the next ones);
opening an ended lookup again for a chain that leaves its route (a Join waits for the rest, so `done` is final).
"""

from typing import Protocol

import msgspec

from dnsserver.forward.crowd import CROWD
from dnsserver.forward.outcome import OnOutcome, Question
from dnsserver.forward.route import Route
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.upstream_reply import Reading
from dnsserver.zone.record import Reason

NEVER = float("inf")


class Attempt(msgspec.Struct, gc=False, eq=False):
    """One query sent, or about to be, to one upstream.

    `lookup` is None for a probe, and once nobody waits for the answer any more: it still tells how the upstream does.
    `section` is the question exactly as sent; a reply over UDP must repeat it octet for octet. `late` says that its
    silence was counted or that it was answered, `plain` that it goes without EDNS, `spoilt` that something came instead
    of an answer that can be used, `confirms` that it asks in lower case for what was not found in mixed case.
    """

    lookup: "Lookup | None"
    upstream: Upstream
    section: bytes
    sent: float
    identifier: bytes = b""
    late: bool = False
    spoilt: bool = False
    over_stream: bool = False
    plain: bool = False
    probe: bool = False
    confirms: bool = False


class Lookup(msgspec.Struct, gc=False, eq=False):
    """One question under way, and who waits for it.

    `tries` counts the queries sent for it, to all upstreams. The `_at` times are when to ask the next upstream because
    the last one is silent, or ahead of that because it is late; and when not to let a stale answer wait any longer,
    which is `stale_given` to whoever comes then.
    `due` is the first of them, for which it is on the wheel. `unconfirmed` is an answer that is being asked for once
    more, in lower case, and good enough if nothing comes of that. `streamless` are the UDP upstreams
    that cannot be reached over TCP. When `crowd` wait it is looked who they are.
    """

    question: Question
    route: Route
    order: list[Upstream]
    waiting: list[OnOutcome]
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
    crowd: int = CROWD


class Owner(Protocol):
    """Who starts lookups and learns how they end."""

    def finished(self, lookup: Lookup, reading: Reading | None, now: float) -> None:
        """Take the end of a lookup: what the upstream said, or None for the failure that the lookup carries."""

    def broken(self, lookup: Lookup, now: float) -> None:
        """Have done with a lookup that a bug has stopped."""

    def overdue(self, lookup: Lookup, now: float) -> None:
        """Take in that the lookup goes on, but whoever waits has waited long enough for a fresh answer."""

    def changed(self, upstream: Upstream, *, usable: bool) -> None:
        """Take in that an upstream is back, or gone for now."""

    def hurry(self, at: float) -> None:
        """Have the wheel looked at by then, which may be earlier than what is on it was due."""


def detach(attempt: Attempt) -> None:
    """Take an attempt out of its lookup."""
    lookup, attempt.lookup = attempt.lookup, None
    if lookup is not None:
        lookup.attempts.remove(attempt)
