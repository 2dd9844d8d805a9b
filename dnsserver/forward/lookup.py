"""One question under way, as a value that the engine moves on, and who learns how it ends."""

from typing import Protocol

import msgspec

from dnsserver.forward.outcome import Ask, Deliver
from dnsserver.forward.route import Route
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.response import Reading
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
