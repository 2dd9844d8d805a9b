"""One question under way at the upstreams: which one is asked, when to ask the next, when to stop, and the end.

States of a Lookup, in the order in which it may go through them:

    under way    `attempts` are the queries that may still be answered; `due` is when it is looked at next
    confirming   as before, and `unconfirmed` is an answer good enough to end with if nothing better comes
    overdue      as before, and a stale answer was given (`stale_given`) to those who waited; it goes on for the cache
    done         nobody waits, no attempt leads to it; it is in no table, and never leaves this state

Only the methods here write a Lookup's or an Attempt's state, but for the ID, which a transport may have to change, and
`waiting` and `crowd`, which are the forwarder's: it adds who asks the same. A Lookup is not a task: the forwarder
begins it, `reports` moves it on when something comes back, and the wheel brings up its question when it is due.

An Attempt is one query. With its lookup's end, or once another one stands in for it, it is an orphan: `lookup` is None,
and it only tells how its upstream does, until it is answered or `late`.

What always holds:
- one that has begun and is not done is in `Means.lookups` under its question, on the wheel for `due` or earlier; one
  that is done has left both, as many thousands may end before the first of them would have been due;
- one that is not done has an attempt, or an end that comes with its deadline;
- an attempt is in `attempts` of its lookup exactly while it leads to it;
- nobody who waits is called from `Forwarder.start`: what fails there is queued (`delivery`).

Rejected: a task for each question (a trio task costs 25 us, a forwarded question 30 in all); opening an ended lookup
again for a chain that leaves its route (a Join waits for the rest, so `done` is final).

Over 400 lines: one state with one writer, and this head, which says what holds of it.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from dnsserver.forward import failure as f
from dnsserver.forward import outcome as o
from dnsserver.forward.crowd import CROWD
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.health import LONGEST_TIMEOUT
from dnsserver.forward.outcome import Question, Waiter
from dnsserver.forward.route import Route
from dnsserver.forward.runtime import Counts
from dnsserver.forward.shares import Shares
from dnsserver.forward.upstream import Upstream
from dnsserver.forward.wheel import Bucket, Wheel
from dnsserver.wire import upstream_query
from dnsserver.wire.upstream_reply import Reading
from dnsserver.zone.record import Reason

NEVER = float("inf")
_FEW = 6  # upstreams; so many queries, or one to each
_MOST_EACH = 3  # queries of a question to one upstream (RFC 9520 section 3.1: for each transport)


class Owner(Protocol):
    """The owner of lookups: it begins them and learns how they end."""

    def finished(self, lookup: "Lookup", reading: Reading | None, now: float, upstream: str = "") -> None:
        """Close a lookup that has ended with what `upstream` said, or None for the failure that it carries."""

    def broken(self, lookup: "Lookup", now: float) -> None:
        """Close a lookup that a bug has stopped."""

    def overdue(self, lookup: "Lookup", now: float) -> None:
        """Give those who wait a stale answer, if there is one; the lookup goes on."""

    def changed(self, upstream: Upstream, *, usable: bool) -> None:
        """Record that an upstream is up again, or down."""

    def hurry(self, at: float) -> None:
        """Make sure that the wheel is looked at by then, even if nothing on it is due so early."""


class Means(msgspec.Struct, frozen=True):
    """What all lookups use to ask and to report; `lookups` are those under way.

    `send` sends a query over UDP, and returns why the system refuses; `submit` does so over a stream, as soon as there
    is one. The wheel holds questions, and attempts that were overtaken until they are answered or `silent`.
    """

    owner: Owner
    entropy: Entropy
    wheel: Wheel["Question | Attempt"]
    send: Callable[["Attempt", bytes, float], OSError | None]
    submit: Callable[["Attempt", bytes], None]
    silent: Callable[["Attempt", float], None]
    unreachable: Callable[[Upstream, Reason, float], None]
    lookups: dict[Question, "Lookup"] = {}
    counts: Counts = msgspec.field(default_factory=Counts)
    shares: Shares = msgspec.field(default_factory=Shares)


class Attempt(msgspec.Struct, gc=False, eq=False):
    """One query sent, or about to be, to one upstream.

    `lookup` is None for a probe, and once nobody waits for the answer any more: it still tells how the upstream does.
    `section` is the question exactly as sent; a reply over UDP must repeat it octet for octet. `late` says that its
    silence was counted or that it was answered, `no_edns` that it has no OPT, `spoilt` that something came instead of
    an answer that can be used, `confirms` that it asks in lower case for what was not found in mixed case.
    """

    lookup: "Lookup | None"
    upstream: Upstream
    section: bytes
    sent: float
    identifier: bytes = b""
    no_edns: bool = False
    late: bool = False
    spoilt: bool = False
    over_stream: bool = False
    probe: bool = False
    confirms: bool = False

    def heard(self, rcode: int, now: float) -> bool:
        """Record a reply; True when the upstream was down until now."""
        self.late = True  # there is no silence to count
        upstream, trip = self.upstream, now - self.sent
        upstream.replies += 1
        if not self.probe:
            upstream.durations[rcode].observe(trip)
        if self.over_stream:
            if upstream.udp:  # what carries UDP's questions on says nothing about UDP
                return False
        elif upstream.doubted:
            upstream.case_habit.case_matched()
        return upstream.health.replied(trip, now)

    def spoil(self) -> None:
        """Record that something other than an answer came on its socket."""
        self.spoilt = True

    def give_up(self) -> None:
        """Record that its silence is counted, or that it could not be sent."""
        self.late = True

    @property
    def silent_at(self) -> float:
        """When its time is over."""
        health = self.upstream.health
        return self.sent + (health.probe_timeout if self.probe else health.timeout)


class Lookup(msgspec.Struct, gc=False, eq=False):
    """One question under way, and who waits for it.

    It `began` when it was asked for. `tries` counts the queries sent for it, to all upstreams. The `_at` times are when
    to ask the next upstream because the last one is silent, or ahead of that because it is late; and when not to let a
    stale answer wait any longer, which is `stale_given` to whoever comes then. `due` is the first of them, for which it
    is on the wheel, in `bucket`. `streamless` are the UDP upstreams that cannot be reached over TCP. `failure` is the
    last of the `failures` of attempts, and at its end the one for those who wait. When `crowd` wait it is looked who
    they are.
    """

    means: Means
    question: Question
    route: Route
    order: list[Upstream]
    waiting: list[Waiter]
    began: float
    deadline: float
    stale_at: float = NEVER
    attempts: list[Attempt] = []
    tries: int = 0
    retry_at: float = NEVER
    hedge_at: float = NEVER
    due: float = NEVER
    bucket: Bucket[Question | Attempt] | None = None
    stale_given: bool = False
    failure: Reason | None = None
    failures: tuple[tuple[Upstream, Reason], ...] = ()
    unconfirmed: Reading | None = None
    streamless: tuple[Upstream, ...] = ()
    done: bool = False
    crowd: int = CROWD

    # ---- from its beginning to its end

    def begin(self, now: float) -> bool:
        """Send the first query; False when it cannot be sent to any upstream, and the lookup is over."""
        order = self.order
        upstream = order[0]
        self.tries = 1
        if self._ask(upstream, now):
            self.retry_at = now + upstream.health.timeout
        elif len(order) == 1 or not self._next(now):
            self.failure = self.verdict(now)
            return False
        self.means.lookups[self.question] = self
        self.route.in_flight += 1
        if len(order) > 1:
            if self.route.count_and_sample() and self.route.take_hedge():
                self._hedge(now)
            elif (after := upstream.health.hedge_after) is not None:
                self.hedge_at = now + after
        self._schedule()
        return True

    def on_timer(self, now: float) -> None:
        """Do what is due now."""
        if now >= self.deadline:
            self.end(self.verdict(now), now)
            return
        if now >= self.stale_at:
            self.stale_at = NEVER
            self.means.owner.overdue(self, now)
        if now >= self.retry_at:
            self._retry(now)
        elif now >= self.hedge_at:
            self.hedge_at = NEVER
            if self.route.take_hedge():
                self._hedge(now)
        if not self.done:
            self._schedule()

    def give_stale(self) -> list[Waiter]:
        """Record that the waiting clients get a stale answer, and return these clients."""
        self.stale_given = True
        waiting, self.waiting = self.waiting, []
        return waiting

    def verdict(self, now: float) -> Reason:
        """Return why there is no answer, as far as it is known now."""
        waiting = [(attempt.upstream, attempt.sent, attempt.over_stream) for attempt in self.attempts]
        troubles = (upstream.trouble for upstream, _, over_stream in waiting if over_stream)
        last = self.failure or next((why for why in troubles if why), o.UPSTREAM_TIMEOUT)
        return f.verdict(last, self.failures, waiting, now)

    def counts_from(self, now: float) -> float:
        """Return since when its failure counts: from its beginning, as silence lasts longer than failures are kept.

        From now, if nobody has heard of its upstreams since then: they are silent, whatever the name is.
        """
        heard = any(upstream.health.heard > self.began for upstream in self.order)
        return self.began if heard else now

    def end(self, failure: Reason | None, now: float) -> None:
        """End without an answer, or with one that could not be confirmed."""
        self.failure = failure
        self.means.owner.finished(self, self.unconfirmed, now)

    def close(self) -> list[Waiter]:
        """Record that it is over, and return the clients that waited; open queries still judge their upstreams."""
        self.done = True
        means, question = self.means, self.question
        if means.lookups.pop(question, None) is not None:
            if self.bucket is not None:
                self.bucket.pop(question, None)
            self.route.in_flight -= 1
        if means.shares.held:  # its place was taken before it began, also if it could not
            means.shares.leave(question)
        attempts, self.attempts = self.attempts, []
        for attempt in attempts:
            attempt.lookup = None
            if not attempt.late:
                means.wheel.add(attempt, attempt.silent_at)
        waiting, self.waiting = self.waiting, []
        return waiting

    def hurry(self, at: float) -> None:
        """Ask the next upstream by then."""
        if at < self.retry_at:
            self.retry_at = at
            self._schedule()
            self.means.owner.hurry(self.due)

    def _schedule(self) -> None:
        at = self.retry_at
        # Three comparisons: 0.1 us, where min() of the four takes 0.28.
        if self.deadline < at:  # noqa: PLR1730
            at = self.deadline
        if self.hedge_at < at:  # noqa: PLR1730
            at = self.hedge_at
        if self.stale_at < at:  # noqa: PLR1730
            at = self.stale_at
        self.due = at
        self.bucket = self.means.wheel.add(self.question, at)

    # ---- queries

    @property
    def _most_tries(self) -> int:
        return min(max(_FEW, len(self.order)), _MOST_EACH * len(self.order))

    def _next(self, now: float) -> bool:
        """Ask the next upstream to which a query can be sent; False if there is none, and no query is under way."""
        order = self.order
        while (tries := self.tries) < self._most_tries:
            self.tries = tries + 1
            again, place = divmod(tries, len(order))
            upstream = order[place]
            if upstream.looping:  # since the lookup began
                self._note(upstream, o.LOOP)
            elif self._ask_again(upstream, again, now) if again else self._ask(upstream, now):
                # Each time round the upstreams get twice as long (RFC 1035 section 4.2.1).
                self.retry_at = now + upstream.health.timeout * (1 << again)
                return True
            if self.tries >= len(order):
                break
        return bool(self.attempts)

    def _ask(self, upstream: Upstream, now: float, *, no_edns: bool = False, spelled: bytes | None = None) -> bool:
        """Send one query by the transport of its upstream; False if it cannot be sent."""
        means, question = self.means, self.question
        no_edns = no_edns or not (upstream.edns or question.do)
        if not upstream.udp:
            self._ask_stream(upstream, now, no_edns=no_edns)
            return True
        identifier, mixed = means.entropy.randomize_case(question.name)
        if spelled is None:
            spelled = mixed if upstream.mixed_case else question.name
        section, query = upstream_query.write(spelled, question.type, question.do, question.cd, not no_edns)
        attempt = Attempt(self, upstream, section, now, identifier, no_edns)
        upstream.queries += 1
        if (error := means.send(attempt, query, now)) is not None:
            self._note(upstream, why := f.unreachable(error))
            means.unreachable(upstream, why, now)
            return False
        self.attempts.append(attempt)
        return True

    def _ask_again(self, upstream: Upstream, again: int, now: float) -> bool:
        """Send a query to an upstream that was silent `again` times; False if it cannot be sent.

        The query has no EDNS, as some upstreams drop such queries; the third time it also goes over TCP. With DO the
        second query still has EDNS: the first packet may simply be lost, and only EDNS brings signatures.
        """
        sent = self._ask(upstream, now, no_edns=again > self.question.do)
        if not upstream.udp or (again == 1 and upstream.health.up) or upstream in self.streamless:
            return sent
        if not any(attempt.over_stream and attempt.upstream is upstream for attempt in self.attempts):
            self._ask_stream(upstream, now)
        return True

    def _ask_stream(self, upstream: Upstream, now: float, *, no_edns: bool = False) -> None:
        """Send one query over TCP or TLS, as soon as a connection is there."""
        question = self.question
        section, query = upstream_query.write(question.name, question.type, question.do, question.cd, not no_edns)
        attempt = Attempt(self, upstream, section, now, over_stream=True, no_edns=no_edns)
        upstream.queries += 1
        self.attempts.append(attempt)
        self.means.submit(attempt, query)

    def _hedge(self, now: float) -> None:
        """Ask a second upstream while the first one has not answered yet."""
        self.means.counts.hedges += 1
        retry_at = self.retry_at
        self._next(now)
        self.retry_at = retry_at

    def _retry(self, now: float) -> None:
        """Ask the next upstream after a timeout, or the same upstream over TCP after a spoilt reply over UDP."""
        self.retry_at = NEVER
        spoilt = looping = None
        for attempt in self.attempts:
            if attempt.upstream.looping:
                looping = attempt
            elif attempt.spoilt and not attempt.over_stream:
                spoilt = attempt
            elif not attempt.late and now >= attempt.silent_at:
                attempt.give_up()
                self.means.silent(attempt, now)
        if self.unconfirmed is not None:
            self.end(None, now)
        elif looping is not None:
            self.failed(looping, o.LOOP, now)
        elif spoilt is not None:
            self.to_tcp(spoilt, now)
        elif self.tries < self._most_tries:
            self.means.counts.retries += 1
            if not self._next(now):
                self.end(self.verdict(now), now)

    # ---- what becomes of queries

    def failed(self, attempt: Attempt, reason: Reason, now: float, *, streamless: bool = False) -> None:
        """Go on after a failed query: ask the next upstream that was not asked yet, if there is one.

        UDP is tried again where TCP, which was to carry it on, is closed and nothing else is under way; `streamless`
        says that it is.
        """
        self._detach(attempt)
        self._note(attempt.upstream, reason)
        if streamless:
            self.streamless = (*self.streamless, attempt.upstream)
        carried = attempt.over_stream and attempt.upstream.udp
        if self.unconfirmed is None and (self.tries < len(self.order) or (carried and not self.attempts)):
            if not self._next(now):
                self.end(self.verdict(now), now)
        elif not self.attempts:
            self.end(self.verdict(now), now)

    def _note(self, upstream: Upstream, reason: Reason) -> None:
        self.failure = reason
        self.failures = (*self.failures, (upstream, reason))

    def to_tcp(self, attempt: Attempt, now: float) -> None:
        """Ask the same upstream again over TCP, unless that has already failed."""
        if attempt.upstream in self.streamless:
            self.failed(attempt, self.failure or o.UPSTREAM_UNREACHABLE, now)
            return
        self.means.counts.over_tcp += 1
        self._detach(attempt)
        self._ask_stream(attempt.upstream, now)
        self.retry_at = now + LONGEST_TIMEOUT

    def without_edns(self, attempt: Attempt, now: float) -> bool:
        """Ask the same upstream again without EDNS; False when it cannot be sent."""
        if attempt.over_stream:
            self._ask_stream(attempt.upstream, now, no_edns=True)
        elif not self._ask(attempt.upstream, now, no_edns=True, spelled=attempt.section[:-4]):
            return False
        self._replace(attempt, now)
        return True

    def confirm(self, attempt: Attempt, reading: Reading | None, now: float) -> bool:
        """Ask again in lower case what mixed case may have spoilt, with None an error; False when it cannot be sent."""
        if not self._ask(attempt.upstream, now, no_edns=attempt.no_edns, spelled=self.question.name):
            return False
        self.attempts[-1].confirms = True
        self.unconfirmed = reading
        self._replace(attempt, now)
        return True

    def _replace(self, attempt: Attempt, now: float) -> None:
        """Record that another query to the same upstream has taken the place of this one."""
        self._detach(attempt)
        self.retry_at = now + attempt.upstream.health.timeout

    def _detach(self, attempt: Attempt) -> None:
        attempt.lookup = None
        self.attempts.remove(attempt)
