"""Questions to the outside, and their outcomes: the values between the chain, the cache and the forwarder."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

import msgspec

from dnsserver.wire.message import EDE, Body, aged
from dnsserver.zone.record import Reason


class Question(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """One question for the outside, class IN; it is also the key under which its outcome is cached.

    `name` is in lower case. DO and CD belong to the key, because they change what an upstream answers (RFC 4035
    section 3.2). Nothing else of a client's query does: no option of it is sent on.
    """

    name: bytes
    type: int
    do: bool = False
    cd: bool = False


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The answer to a Question: always one, since every failure is an outcome as well.

    `body` holds the TTLs as they were at `stored`; whoever sends it counts them down by `now - stored`. After `expires`
    it must not be given out any more. Both are seconds of the clock that the forwarder was given. `follow` is set when
    the chain of `body` leaves what the upstreams may answer for: the CNAMEs up to there are good, and the chain's next
    link decides about the name. `upstream` names who said it, and is empty where nobody outside did.
    """

    rcode: int
    body: Body
    ad: bool
    reason: Reason
    stored: float
    expires: float
    follow: bytes | None = None
    upstream: str = ""

    def body_at(self, now: float) -> Body:
        """Return the body with the TTLs that are left."""
        return aged(self.body, max(0, int(now - self.stored)))


# A client, and what none of its questions have in common unless they are equal; None where each has to be answered.
Asker = tuple[Hashable, Hashable | None]


class Waiter(Protocol):
    """Who waits for an outcome, and gets it once."""

    def deliver(self, outcome: Outcome) -> None:
        """Take the outcome."""

    def asker(self) -> Asker:
        """Return for whom it waits."""

    def give_up(self) -> None:
        """Wait no more: the same asker has asked the same again."""


class OwnQuestion(msgspec.Struct, gc=False, eq=False):
    """A question of this server itself, which `on_outcome` waits for.

    It may be for the rest of a chain, which has so many `aliases` already.
    """

    on_outcome: Callable[[Outcome], None]
    aliases: int = 0

    def deliver(self, outcome: Outcome) -> None:
        """Take the outcome."""
        self.on_outcome(outcome)

    def asker(self) -> Asker:
        """Return nobody, as there is no client."""
        return None, None

    def give_up(self) -> None:
        """Do nothing: no two of them are equal."""


class Cork(msgspec.Struct, gc=False, eq=False):
    """While it is `on`, `queries` over UDP are kept back, until whoever has set it calls the outside's `uncork`.

    An upstream that is woken once for many queries costs a third of the processor time of as many single ones. It is a
    value, as a batch of packets that asks nothing outside is not to pay for a call.
    """

    on: bool = False
    queries: list[Any] = []


FORWARDED = Reason("forwarded")
FORWARDED_NO_DATA = Reason("forwarded-no-data")  # only to count answers without records apart
STALE = Reason("stale", EDE.STALE_ANSWER, "the upstreams do not answer")
NO_UPSTREAMS = Reason("no-upstreams", EDE.NOT_AUTHORITATIVE, "no upstream is configured for this name")
UPSTREAM_TIMEOUT = Reason("upstream-timeout", EDE.NO_REACHABLE_AUTHORITY, "no upstream answered in time")
UPSTREAM_UNREACHABLE = Reason("upstream-unreachable", EDE.NETWORK_ERROR, "no upstream can be reached")
UPSTREAM_SERVFAIL = Reason("upstream-servfail", EDE.OTHER, "SERVFAIL")
UPSTREAM_REFUSED = Reason("upstream-refused", EDE.OTHER, "REFUSED")
UPSTREAM_LAME = Reason("upstream-lame", EDE.OTHER, "a referral, so it does not resolve for others")
UPSTREAM_FORMAT = Reason("upstream-format", EDE.INVALID_DATA, "sent what cannot be read")
CHAIN_TOO_LONG = Reason("chain-too-long", EDE.OTHER, "the CNAME chain is too long or a loop")
ANSWER_TOO_LARGE = Reason("answer-too-large", EDE.OTHER, "the answer has too many records")
CHAIN_TOO_SLOW = Reason(UPSTREAM_TIMEOUT.code, UPSTREAM_TIMEOUT.ede, "the rest of the CNAME chain took too long")
CLOSED = "upstream-closed"  # the code of those that say who closes connections in place of an answer
BUG = Reason("forward-internal-error", EDE.OTHER, "internal error")
OVERLOAD = Reason("forward-overload", EDE.OTHER, "too many questions wait for the upstreams")
DOMAIN_SHARE = Reason("forward-domain-share", EDE.OTHER, "too many questions below one domain wait for the upstreams")
CLIENT_SHARE = Reason("forward-client-share", EDE.OTHER, "too many questions of your address wait for the upstreams")
FULL = frozenset((OVERLOAD.code, DOMAIN_SHARE.code, CLIENT_SHARE.code))  # these say nothing about the name
# Nobody is asked then.
UNASKED = frozenset((NO_UPSTREAMS.code, "upstreams-unknown", "loop"))
OLD = UNASKED | {"failure-cached", BUG.code}  # those of the rest of a chain that say nothing new of the whole
LOOP = Reason("loop", EDE.OTHER, "the question came back, so it forwards to this server")
