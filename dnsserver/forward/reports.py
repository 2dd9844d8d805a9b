"""What the transports report of queries: the answer is taken from a reply, and what it shows of its upstream is learnt.

A bug in handling what arrived costs the one flight that it was for.
"""

from typing import TYPE_CHECKING

import msgspec
import structlog

from dnsserver.faults import Faults
from dnsserver.forward import outcome as o
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.flight import Flight, Owner, detach
from dnsserver.forward.upstream import Attempt
from dnsserver.wire import response
from dnsserver.wire.bare import bare_rcode, is_truncated
from dnsserver.wire.message import BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL, FormatError
from dnsserver.wire.response import Reading, TTLLimits, Verdict
from dnsserver.zone.record import Reason

if TYPE_CHECKING:
    from dnsserver.forward.exchange import Exchange

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


class Reports:
    """Takes what comes back, for an exchange that goes on with it."""

    def __init__(self, exchange: "Exchange", owner: Owner, limits: TTLLimits, entropy: Entropy, faults: Faults) -> None:
        """`exchange` has its probes already."""
        self._exchange = exchange
        self._probes = exchange.probes
        self._owner = owner
        self._limits = limits
        self._entropy = entropy
        self._faults = faults

    def replied(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take the reply to exactly this question; False when it is malformed, and the right one may follow."""
        flight = attempt.flight
        try:
            if flight is None or (reply[2] & _TRUNCATED and not attempt.over_stream):
                self._heard(attempt, now)
                if flight is None:
                    self._overtaken(attempt, reply[3] & 0x0F, now)
                else:
                    self._exchange.to_tcp(attempt, now)
                return True
            reading = self._read(attempt, flight, reply, now)
            if reading is None:
                return False
            self._heard(attempt, now)
            if reading.verdict is not _GOOD:
                self._rejected_reading(attempt, flight, reading, now)
                return True
            if attempt.upstream.doubted or attempt.plain:
                reading = self._weighed(attempt, flight, reading, now)
            if reading is not None:
                flight.attempts.remove(attempt)
                self._exchange.end(flight, reading, now)
        except Exception as error:  # it must not cost others theirs
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name)
            self._exchange.give_up(flight, now)
        return True

    def _read(self, attempt: Attempt, flight: Flight, reply: bytes, now: float) -> Reading | None:
        """Return what a reply says, None where it cannot be read."""
        ask = flight.ask
        try:
            return response.read(reply, ask.name, ask.type, ask.do, flight.route.scope, self._limits)
        except FormatError:
            pass
        except Exception as error:  # a bug in reading it: as if it could not be read
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name, reply=reply.hex())
        self._spoil(attempt, now)
        return None

    def _rejected_reading(self, attempt: Attempt, flight: Flight, reading: Reading, now: float) -> None:
        """Go on after a whole reply that is no answer."""
        reason = _VERDICTS.get(reading.verdict)
        if reading.verdict in _HOPELESS:
            flight.failure = reason
            self._exchange.end(flight, None, now)
        else:
            self._rejected(attempt, flight, reading.rcode, reason, now)

    def errored(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take a reply that repeats no question; False when it is not an error, and the right one may follow."""
        rcode = bare_rcode(reply)
        if rcode is None:
            return False
        flight = attempt.flight
        try:
            self._heard(attempt, now)
            if flight is None:
                self._overtaken(attempt, rcode, now)
            elif is_truncated(reply) and not attempt.over_stream:
                self._exchange.to_tcp(attempt, now)
            else:
                self._rejected(attempt, flight, rcode, None, now, bare=True)
        except Exception as error:
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name)
            self._exchange.give_up(flight, now)
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
            upstream.case_habit.spelled_right()
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

    def _weighed(self, attempt: Attempt, flight: Flight, reading: Reading, now: float) -> Reading | None:
        """Learn from an answer how its upstream has to be asked; None when the answer has to be confirmed first."""
        upstream = attempt.upstream
        if not attempt.plain:
            if attempt.over_stream is not upstream.udp:
                upstream.edns_habit.answered_with()
        elif upstream.edns:
            if flight.ask.do and flight.tries > len(flight.order):  # it was silence: who asks next may get signatures
                reading = msgspec.structs.replace(reading, ttl=0)
            if upstream.edns_habit.answered_without(flight.ask.name, now):
                log.info("upstream without EDNS", upstream=upstream.name)
            self._probes.suspect(upstream, now)
        good = attempt.over_stream or self._is_right(attempt, flight, reading, now)
        upstream.settle()
        return reading if good else None

    def _is_right(self, attempt: Attempt, flight: Flight, reading: Reading, now: float) -> bool:
        """Tell whether an answer holds; False when the upstream is asked in lower case first."""
        upstream, name = attempt.upstream, flight.ask.name
        habit, found = upstream.case_habit, reading.body.an > 0
        if attempt.section.startswith(name):
            first = flight.unconfirmed
            if attempt.confirms and first is not None and (found or reading.rcode < first.rcode):
                habit.compares(now)
                log.warning("upstream compares the case of names", upstream=upstream.name)
            return True
        if found:
            habit.found()
            return True
        if flight.unconfirmed is not None or not habit.take_confirmation(now):
            return True
        if not self._exchange.ask(flight, upstream, name, self._entropy.take(2), now, plain=attempt.plain):
            return True
        flight.attempts[-1].confirms = True
        flight.unconfirmed = reading
        flight.retry_at = now + upstream.health.patience
        detach(attempt)
        return False

    def _rejected(
        self, attempt: Attempt, flight: Flight, rcode: int, reason: Reason | None, now: float, *, bare: bool = False
    ) -> None:
        """Go on after a reply that does not answer."""
        upstream = attempt.upstream
        if rcode in (_BARE_NO_EDNS if bare else _NO_EDNS) and not attempt.plain:
            if attempt.over_stream:
                self._exchange.ask_stream(flight, upstream, now, plain=True)
                sent = True
            else:
                spelled = attempt.section[:-4]
                sent = self._exchange.ask(flight, upstream, spelled, self._entropy.take(2), now, plain=True)
            if sent:
                detach(attempt)
                flight.retry_at = now + upstream.health.patience
                return
        upstream.failures += 1
        upstream.health.failed()
        self._probes.suspect(upstream, now)
        self._exchange.failed(attempt, reason or (o.UPSTREAM_REFUSED if rcode == REFUSED else o.UPSTREAM_SERVFAIL), now)

    def misspelled(self, attempt: Attempt, now: float) -> None:
        """Record that a reply had the right ID and question, in another case."""
        upstream = attempt.upstream
        self._spoil(attempt, now)
        if upstream.case_habit.spelled_wrong(sure=attempt.probe):
            log.warning("upstream does not keep the case of names", upstream=upstream.name)
        upstream.settle()

    def besieged(self, attempt: Attempt, now: float) -> None:
        """Record that so much of what came was wrong that the question must leave UDP."""
        flight = attempt.flight
        try:
            self._exchange.to_tcp(attempt, now)
        except Exception as error:
            self._faults.took("upstream-reply", error, upstream=attempt.upstream.name)
            self._exchange.give_up(flight, now)

    def unreachable(self, attempt: Attempt, now: float) -> None:
        """Record that the upstream cannot be reached this way."""
        flight, upstream = attempt.flight, attempt.upstream
        try:
            self._exchange.broken(upstream, now)
            self._exchange.failed(attempt, o.UPSTREAM_UNREACHABLE, now)
        except Exception as error:
            self._faults.took("upstream-reply", error, upstream=upstream.name)
            self._exchange.give_up(flight, now)

    def lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        """Record that streams brought no answer; for an upstream of UDP that says nothing about UDP."""
        flight, upstream = attempt.flight, attempt.upstream
        try:
            self._lost(attempt, why, now, reached=reached)
        except Exception as error:
            self._faults.took("upstream-stream", error, upstream=upstream.name)
            self._exchange.give_up(flight, now)

    def _lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        flight, upstream = attempt.flight, attempt.upstream
        upstream.failures += 1
        down = False
        if not upstream.udp:
            upstream.health.failed()
            down = not reached and upstream.health.broken(now)
        elif flight is not None:
            flight.streamless = (*flight.streamless, upstream)
        if upstream.is_news(why.text, now) or down:
            said = why.text.removeprefix(f"{upstream.name}: ")
            if down:
                log.warning("upstream down", upstream=upstream.name, error=said)
            else:
                log.warning("upstream connection failed", upstream=upstream.name, error=said)
        if down:
            self._owner.changed(upstream, usable=False)
        self._exchange.failed(attempt, why, now)

    def _spoil(self, attempt: Attempt, now: float) -> None:
        """Have a question whose reply was spoilt go on over TCP, if the right one does not follow at once."""
        flight = attempt.flight
        if flight is not None and not attempt.over_stream and now + _MENDED < flight.retry_at:
            flight.retry_at = now + _MENDED
            self._exchange.hurry(flight)
