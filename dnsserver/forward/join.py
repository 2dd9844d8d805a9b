"""Completes a chain of aliases that leads from the upstreams of one route to those of another."""

import msgspec

from dnsserver.forward.crowd import CROWD
from dnsserver.forward.failure import with_errors
from dnsserver.forward.outcome import CHAIN_TOO_LONG, Outcome, Question, Waiter
from dnsserver.forward.wheel import Bucket
from dnsserver.wire.message import CNAME, EMPTY, MAX_CHAIN, SERVFAIL
from dnsserver.wire.records import rrsets
from dnsserver.wire.reply import whole_body
from dnsserver.wire.upstream_reply import Reading


class Join(msgspec.Struct, gc=False, eq=False):
    """The beginning of the chain, read at `read_at`, the question for its `rest`, and who waits for the whole.

    It may be the rest of another chain, which has so many aliases `before` it. When `crowd` wait it is looked who they
    are. The timer wheel has it in `bucket`.
    """

    question: Question
    waiting: list[Waiter]
    head: Reading
    rest: Question
    before: int
    read_at: float
    crowd: int = CROWD
    bucket: "Bucket[Join] | None" = None

    def close(self) -> list[Waiter]:
        """Record that nobody waits any more; return who did."""
        if self.bucket is not None:
            self.bucket.pop(self, None)
        waiting, self.waiting = self.waiting, []
        return waiting

    def outcome(self, rest: Outcome) -> Outcome:
        """Return the whole chain, SERVFAIL for one that is too long.

        Raises FormatError when its records cannot be put together.
        """
        head, name, now = self.head, self.question.name, self.read_at
        links, tail = rrsets(head.body, name)[0], rrsets(rest.body_at(now), self.rest.name)
        if head.aliases + sum(rrset.type == CNAME for rrset in tail[0]) > MAX_CHAIN:
            return Outcome(SERVFAIL, EMPTY, False, CHAIN_TOO_LONG, now, now)
        body = whole_body(name, (*links, *tail[0]), tail[1])
        expires = min(now + head.ttl, rest.expires) if rest.expires > rest.stored else now  # that may not be kept
        reason = with_errors(rest.reason, head.errors)
        return Outcome(rest.rcode, body, head.ad and rest.ad, reason, now, expires, rest.follow, rest.upstream)
