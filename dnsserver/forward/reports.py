"""What the transports report of queries: the answer is taken from a reply, and what it shows of its upstream is learnt.

A bug in handling what arrived costs the one lookup that it was for.
"""

from typing import Protocol

import msgspec
import structlog

from dnsserver.faults import Faults
from dnsserver.forward import outcome as o
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.lookup import Attempt, Lookup, Owner, detach
from dnsserver.forward.probes import Probes
from dnsserver.forward.upstream import Upstream
from dnsserver.wire import upstream_reply
from dnsserver.wire.message import BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL, FormatError
from dnsserver.wire.upstream_reply import Reading, TTLLimits, Verdict, bare_rcode, is_truncated
from dnsserver.zone.record import Reason

log = structlog.get_logger(__name__)

_TRUNCATED = 0x02

# How long the right reply may follow one that cannot be read, in seconds.
_MENDED = 0.05

_GOOD = Verdict.GOOD  # 57 ns each time it is looked up in the Enum
# Servers from before 2000 know no EDNS (RFC 6891 section 7); with a header only, SERVFAIL is one of their words for it.
_NO_EDNS = frozenset((FORMERR, NOTIMP, BADVERS))
_BARE_NO_EDNS = _NO_EDNS | {SERVFAIL}
_HOPELESS = (Verdict.TOO_LARGE, Verdict.CHAIN_TOO_LONG)
_VERDICTS = {
    Verdict.LAME: o.UPSTREAM_LAME,
    Verdict.TOO_LARGE: o.ANSWER_TOO_LARGE,
    Verdict.CHAIN_TOO_LONG: o.CHAIN_TOO_LONG,
}


class Steps(Protocol):
    """What a report can lead to."""

    probes: Probes

    def end(self, lookup: Lookup, reading: Reading | None, now: float) -> None:
        """End a lookup, and have its owner learn what became of it."""

    def give_up(self, lookup: Lookup | None, now: float) -> None:
        """Have done with a lookup that a bug has stopped."""

    def failed(self, attempt: Attempt, reason: Reason, now: float) -> None:
        """Go on after a query that came to nothing."""

    def to_tcp(self, attempt: Attempt, now: float) -> None:
        """Ask the same upstream the same thing again over TCP."""

    def ask(
        self, lookup: Lookup, upstream: Upstream, spelled: bytes, identifier: bytes, now: float, *, plain: bool
    ) -> bool:
        """Send one query over UDP; False when it cannot be sent."""

    def ask_stream(self, lookup: Lookup, upstream: Upstream, now: float, *, plain: bool = False) -> None:
        """Send one query over TCP or TLS."""

    def broken(self, upstream: Upstream, now: float) -> None:
        """Record that an upstream cannot be reached."""

    def hurry(self, lookup: Lookup) -> None:
        """Look after a lookup earlier than planned."""


class Reports:
    """Takes what comes back, for an engine that goes on with it."""

    def __init__(self, engine: Steps, owner: Owner, limits: TTLLimits, entropy: Entropy, faults: Faults) -> None:
        """`engine` has its probes already."""
        self._engine = engine
        self._probes = engine.probes
        self._owner = owner
        self._limits = limits
        self._entropy = entropy
        self._faults = faults

    def replied(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take the reply to exactly this question; False when it is malformed, and the right one may follow."""
        lookup = attempt.lookup
        try:
            if lookup is None or (reply[2] & _TRUNCATED and not attempt.over_stream):
                self._heard(attempt, now)
                if lookup is None:
                    self._overtaken(attempt, reply[3] & 0x0F, now)
                else:
                    self._engine.to_tcp(attempt, now)
                return True
            try:
                question = lookup.question
                reading = upstream_reply.read(
                    reply, question.name, question.type, question.do, lookup.route.scope, self._limits
                )
            except Exception as error:  # malformed, or a bug in reading it, which is as if it were
                if not isinstance(error, FormatError):
                    self._faults.took("upstream-reply", error, upstream=attempt.upstream.name, reply=reply.hex())
                self._spoil(attempt, now)
                return False
            self._heard(attempt, now)
            if reading.verdict is not _GOOD:
                self._rejected_reading(attempt, lookup, reading, now)
                return True
            if attempt.upstream.doubted or attempt.plain:
                weighed = self._weighed(attempt, lookup, reading, now)
                if weighed is None:
                    return True
                reading = weighed
            lookup.attempts.remove(attempt)
            self._engine.end(lookup, reading, now)
        except Exception as error:  # it must not cost others theirs
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name)
            self._engine.give_up(lookup, now)
        return True

    def _rejected_reading(self, attempt: Attempt, lookup: Lookup, reading: Reading, now: float) -> None:
        """Go on after a whole reply that is no answer."""
        reason = _VERDICTS.get(reading.verdict)
        if reading.verdict in _HOPELESS:
            lookup.failure = reason
            self._engine.end(lookup, None, now)
        else:
            self._rejected(attempt, lookup, reading.rcode, reason, now)

    def errored(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take a reply that repeats no question; False when it is not an error, and the right one may follow."""
        rcode = bare_rcode(reply)
        if rcode is None:
            return False
        lookup = attempt.lookup
        try:
            self._heard(attempt, now)
            if lookup is None:
                self._overtaken(attempt, rcode, now)
            elif is_truncated(reply) and not attempt.over_stream:
                self._engine.to_tcp(attempt, now)
            else:
                self._rejected(attempt, lookup, rcode, None, now, bare=True)
        except Exception as error:
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name)
            self._engine.give_up(lookup, now)
        return True

    def _heard(self, attempt: Attempt, now: float) -> None:
        """Record that an upstream answered; what carries UDP's questions on says nothing about UDP."""
        attempt.late = True  # it was answered: no silence to count
        upstream = attempt.upstream
        upstream.replies += 1
        if attempt.over_stream:
            if upstream.udp:
                return
        elif upstream.doubted:
            upstream.case_habit.case_matched()
        if upstream.health.replied(now - attempt.sent, now):
            log.info("upstream up", upstream=upstream.name)
            self._owner.changed(upstream, usable=True)

    def _overtaken(self, attempt: Attempt, rcode: int, now: float) -> None:
        """Record a reply that nobody waits for, or to a probe."""
        upstream = attempt.upstream
        if upstream.doubted and not attempt.plain and rcode in {NOERROR, NXDOMAIN}:
            upstream.edns_habit.answered_with()
            upstream.settle()
        if attempt.probe:
            self._probes.answered(attempt, rcode, now)

    def _weighed(self, attempt: Attempt, lookup: Lookup, reading: Reading, now: float) -> Reading | None:
        """Learn from an answer how its upstream has to be asked; None when the answer has to be confirmed first."""
        upstream = attempt.upstream
        if not attempt.plain:
            if attempt.over_stream is not upstream.udp:
                upstream.edns_habit.answered_with()
        elif upstream.edns:
            if lookup.question.do and lookup.tries > len(
                lookup.order
            ):  # it was silence: who asks next may get signatures
                reading = msgspec.structs.replace(reading, ttl=0)
            if upstream.edns_habit.answered_without(lookup.question.name, now):
                log.info("upstream without EDNS", upstream=upstream.name)
            self._probes.suspect(upstream, now)
        good = attempt.over_stream or self._is_right(attempt, lookup, reading, now)
        upstream.settle()
        return reading if good else None

    def _is_right(self, attempt: Attempt, lookup: Lookup, reading: Reading, now: float) -> bool:
        """Tell whether an answer holds; False when the upstream is asked in lower case first."""
        upstream, name = attempt.upstream, lookup.question.name
        habit, found = upstream.case_habit, reading.body.an > 0
        if attempt.section.startswith(name):
            first = lookup.unconfirmed
            if attempt.confirms and first is not None and (found or reading.rcode < first.rcode):
                habit.compares(now)
                log.warning("upstream compares the case of names", upstream=upstream.name)
            return True
        if found:
            habit.found()
            return True
        if lookup.unconfirmed is not None or not habit.take_confirmation(now):
            return True
        if not self._engine.ask(lookup, upstream, name, self._entropy.take(2), now, plain=attempt.plain):
            return True
        lookup.attempts[-1].confirms = True
        lookup.unconfirmed = reading
        lookup.retry_at = now + upstream.health.timeout
        detach(attempt)
        return False

    def _rejected(
        self, attempt: Attempt, lookup: Lookup, rcode: int, reason: Reason | None, now: float, *, bare: bool = False
    ) -> None:
        """Go on after a reply that does not answer."""
        upstream = attempt.upstream
        if rcode in (_BARE_NO_EDNS if bare else _NO_EDNS) and not attempt.plain:
            if attempt.over_stream:
                self._engine.ask_stream(lookup, upstream, now, plain=True)
                sent = True
            else:
                spelled = attempt.section[:-4]
                sent = self._engine.ask(lookup, upstream, spelled, self._entropy.take(2), now, plain=True)
            if sent:
                detach(attempt)
                lookup.retry_at = now + upstream.health.timeout
                return
        upstream.failed()
        upstream.health.failed()
        self._probes.suspect(upstream, now)
        self._engine.failed(attempt, reason or (o.UPSTREAM_REFUSED if rcode == REFUSED else o.UPSTREAM_SERVFAIL), now)

    def case_mismatch(self, attempt: Attempt, now: float) -> None:
        """Record that a reply had the right ID and question, in another case."""
        upstream = attempt.upstream
        self._spoil(attempt, now)
        if upstream.case_habit.case_mismatched(sure=attempt.probe):
            log.warning("upstream does not keep the case of names", upstream=upstream.name)
        upstream.settle()

    def too_many_bad_replies(self, attempt: Attempt, now: float) -> None:
        """Record that so much of what came was wrong that the question must leave UDP."""
        lookup = attempt.lookup
        try:
            self._engine.to_tcp(attempt, now)
        except Exception as error:
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name)
            self._engine.give_up(lookup, now)

    def unreachable(self, attempt: Attempt, now: float) -> None:
        """Record that the upstream cannot be reached this way."""
        lookup, upstream = attempt.lookup, attempt.upstream
        try:
            self._engine.broken(upstream, now)
            self._engine.failed(attempt, o.UPSTREAM_UNREACHABLE, now)
        except Exception as error:
            self._faults.took("upstream-reply", error, upstream=upstream.name)
            self._engine.give_up(lookup, now)

    def lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        """Record that streams brought no answer; for an upstream of UDP that says nothing about UDP."""
        lookup, upstream = attempt.lookup, attempt.upstream
        try:
            self._lost(attempt, why, now, reached=reached)
        except Exception as error:
            self._faults.took("upstream-stream", error, upstream=upstream.name)
            self._engine.give_up(lookup, now)

    def _lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        lookup, upstream = attempt.lookup, attempt.upstream
        upstream.failed()
        down = False
        if not upstream.udp:
            upstream.health.failed()
            if not reached:
                down = upstream.health.broken(now)
            elif why.code == o.CLOSED:
                down = self._unanswered(attempt, now)
        elif lookup is not None:
            lookup.streamless = (*lookup.streamless, upstream)
        if upstream.is_news(why.text, now) or down:
            said = why.text.removeprefix(f"{upstream.name}: ")
            if down:
                log.warning("upstream down", upstream=upstream.name, error=said)
            else:
                log.warning("upstream connection failed", upstream=upstream.name, error=said)
        if down:
            self._owner.changed(upstream, usable=False)
        self._engine.failed(attempt, why, now)

    def _unanswered(self, attempt: Attempt, now: float) -> bool:
        """Take connections closed in place of an answer for silence: it may be the name that is odd."""
        health = attempt.upstream.health
        if attempt.probe:
            return health.probe_silent(attempt.sent, now)
        self._probes.suspect(attempt.upstream, now)
        return health.silent(attempt.section[:-4].lower(), attempt.sent, now)

    def _spoil(self, attempt: Attempt, now: float) -> None:
        """Have a question whose reply was spoilt go on over TCP, if the right one does not follow at once."""
        lookup = attempt.lookup
        if lookup is not None and not attempt.over_stream and now + _MENDED < lookup.retry_at:
            lookup.retry_at = now + _MENDED
            self._engine.hurry(lookup)
