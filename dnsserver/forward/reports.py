"""Reports of the transports about queries: takes the answer from a reply, and learns from it about its upstream.

A bug in the handling of a reply costs only its own lookup.
"""

import msgspec

from dnsserver.faults import Faults, Place
from dnsserver.forward import failure
from dnsserver.forward import outcome as o
from dnsserver.forward.habits import CaseHabit
from dnsserver.forward.lookup import Attempt, Lookup, Owner
from dnsserver.forward.probes import Probes
from dnsserver.forward.watch import Watch
from dnsserver.logger import get_logger
from dnsserver.wire import upstream_reply
from dnsserver.wire.extended_errors import ExtendedError, read_errors
from dnsserver.wire.message import BADVERS, FORMERR, HEADER_SIZE, NOERROR, NOTIMP, NXDOMAIN, SERVFAIL, FormatError
from dnsserver.wire.upstream_reply import Reading, TTLLimits, Verdict, bare_rcode, is_truncated
from dnsserver.zone.record import Reason

log = get_logger(__name__)

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
    """Takes what comes back, and moves on the lookup that it is for."""

    def __init__(self, owner: Owner, watch: Watch, probes: Probes, limits: TTLLimits, faults: Faults) -> None:
        """`limits` bound the TTLs of what is taken."""
        self._owner = owner
        self._watch = watch
        self._probes = probes
        self.limits = limits
        self._faults = faults

    def replied(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take the reply to exactly this question; False when it is malformed, and the right one may follow."""
        lookup, upstream = attempt.lookup, attempt.upstream
        reading = None
        try:
            if lookup is not None and (attempt.over_stream or not reply[2] & _TRUNCATED):
                question = lookup.question
                try:
                    reading = upstream_reply.read(
                        reply, question.name, question.type, question.do, lookup.route.scope, self.limits
                    )
                except Exception as error:  # malformed, or a bug in reading it, which is as if it were
                    if not isinstance(error, FormatError):
                        self._faults.took("upstream-reply", error, upstream=upstream.name, reply=reply.hex())
                    self._spoil(attempt, now)
                    return False
            if attempt.heard(reply[3] & 0x0F, now):
                self._watch.came_up(upstream)
            if lookup is None:
                self._overtaken(attempt, reply[3] & 0x0F, now)
            elif reading is None:
                lookup.to_tcp(attempt, now)
            elif reading.verdict is not _GOOD or reading.errors:
                self._take_odd(attempt, lookup, reading, now)
            elif not (upstream.doubted or attempt.no_edns) or (reading := self._weighed(attempt, lookup, reading, now)):
                self._owner.finished(lookup, reading, now, upstream.name)
        except Exception as error:  # it must not cost others theirs
            self._took(attempt, lookup, error, now)
        return True

    def _took(
        self, attempt: Attempt, lookup: Lookup | None, error: Exception, now: float, place: Place = "upstream-reply"
    ) -> None:
        """End a lookup that a bug has stopped."""
        self._faults.took(place, error, upstream=attempt.upstream.name)
        if lookup is not None:
            self._owner.broken(lookup, now)

    def _take_odd(self, attempt: Attempt, lookup: Lookup, reading: Reading, now: float) -> None:
        """Go on after a complete reply that is no answer, or that has an extended error."""
        if reading.errors:
            told = failure.passed_on(attempt.upstream.name, reading.errors)
            reading = msgspec.structs.replace(reading, errors=told)
        if reading.verdict is _GOOD:
            doubted = attempt.upstream.doubted or attempt.no_edns
            weighed = self._weighed(attempt, lookup, reading, now) if doubted else reading
            if weighed is not None:
                self._owner.finished(lookup, weighed, now, attempt.upstream.name)
            return
        reason = _VERDICTS.get(reading.verdict)
        if reason is not None and reading.verdict in _HOPELESS:
            lookup.end(failure.with_errors(failure.of(attempt.upstream, reason), reading.errors), now)
        else:
            self._rejected(attempt, lookup, reading.rcode, reason, now, told=reading.errors)

    def errored(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        """Take a reply that repeats no question; False when it is not an error, and the right one may follow."""
        rcode = bare_rcode(reply)
        if rcode is None:
            return False
        lookup = attempt.lookup
        try:
            if attempt.heard(rcode, now):
                self._watch.came_up(attempt.upstream)
            if lookup is None:
                self._overtaken(attempt, rcode, now)
            elif is_truncated(reply) and not attempt.over_stream:
                lookup.to_tcp(attempt, now)
            else:
                told = failure.passed_on(attempt.upstream.name, read_errors(reply, HEADER_SIZE))
                self._rejected(attempt, lookup, rcode, None, now, told=told, bare=True)
        except Exception as error:
            self._took(attempt, lookup, error, now)
        return True

    def _overtaken(self, attempt: Attempt, rcode: int, now: float) -> None:
        """Record a reply for which nobody waits, or a reply to a probe."""
        upstream = attempt.upstream
        if upstream.doubted and not attempt.no_edns and rcode in {NOERROR, NXDOMAIN}:
            upstream.edns_habit.answered_with()
            upstream.settle()
        if attempt.probe:
            self._probes.answered(attempt, rcode, now)

    def _weighed(self, attempt: Attempt, lookup: Lookup, reading: Reading, now: float) -> Reading | None:
        """Learn from an answer how to ask its upstream; None if the answer has to be confirmed first."""
        upstream = attempt.upstream
        if not attempt.no_edns:
            if attempt.over_stream is not upstream.udp:
                upstream.edns_habit.answered_with()
        elif upstream.edns:
            # If it was silence that had EDNS left out, who asks next may get signatures.
            if lookup.question.do and lookup.tries > len(lookup.order):
                reading = msgspec.structs.replace(reading, ttl=0)
            if upstream.edns_habit.answered_without(lookup.question.name, now):
                log.info("upstream without EDNS", upstream=upstream.name)
            self._probes.suspect(upstream, now)
        good = attempt.over_stream or self._is_right(attempt, lookup, reading, now)
        upstream.settle()
        return reading if good else None

    def _is_right(self, attempt: Attempt, lookup: Lookup, reading: Reading, now: float) -> bool:
        """Tell whether an answer is accepted; False if the upstream is now asked again in lower case."""
        upstream, name = attempt.upstream, lookup.question.name
        habit, found = upstream.case_habit, reading.body.an > 0
        if attempt.section.startswith(name):
            if attempt.confirms and self._is_other(lookup, reading, habit, now):
                log.warning("upstream compares the case of names", upstream=upstream.name)
            return True
        if found:
            habit.found()
            return True
        if lookup.unconfirmed is not None or not habit.take_confirmation(now):
            return True
        return not lookup.confirm(attempt, reading, now)

    def _is_other(self, lookup: Lookup, reading: Reading, habit: CaseHabit, now: float) -> bool:
        """Tell whether the answer to a name in lower case shows that its upstream compares the case of names."""
        first = lookup.unconfirmed
        if first is None:
            return habit.errs(lookup.question.name, now)
        if not reading.body.an and reading.rcode >= first.rcode:
            return False
        habit.compares(now)
        return True

    def _rejected(
        self,
        attempt: Attempt,
        lookup: Lookup,
        rcode: int,
        reason: Reason | None,
        now: float,
        *,
        told: tuple[ExtendedError, ...],
        bare: bool = False,
    ) -> None:
        """Go on after a reply that is no answer; `told` are its extended errors."""
        if rcode in (_BARE_NO_EDNS if bare else _NO_EDNS) and not attempt.no_edns and lookup.without_edns(attempt, now):
            return
        if reason is None and self._confirmed_later(attempt, lookup, now):
            return
        self._watch.erred(attempt.upstream, now)
        lookup.failed(attempt, failure.with_errors(reason or failure.rejected(rcode), told), now)

    def _confirmed_later(self, attempt: Attempt, lookup: Lookup, now: float) -> bool:
        """Ask once more in lower case for a name that brought an error in mixed case; False if there is no need.

        If there is another upstream, that one is asked first.
        """
        upstream = attempt.upstream
        if attempt.over_stream or lookup.tries < len(lookup.order) or lookup.unconfirmed is not None:
            return False
        if attempt.section.startswith(lookup.question.name):
            return False
        asked = upstream.case_habit.take_confirmation(now) and lookup.confirm(attempt, None, now)
        upstream.settle()
        return asked

    def case_mismatch(self, attempt: Attempt, now: float) -> None:
        """Record that a reply over UDP had the right ID and question, in another case."""
        upstream = attempt.upstream
        self._spoil(attempt, now)
        if upstream.case_habit.case_mismatched(sure=attempt.probe):
            log.warning("upstream does not keep the case of names", upstream=upstream.name)
        upstream.settle()

    def too_many_bad_replies(self, attempt: Attempt, now: float) -> None:
        """Record that so much of what came was wrong that the question must leave UDP."""
        lookup = attempt.lookup
        try:
            if lookup is not None:
                lookup.to_tcp(attempt, now)
        except Exception as error:
            self._took(attempt, lookup, error, now)

    def unreachable(self, attempt: Attempt, error: OSError, now: float) -> None:
        """Record that the upstream cannot be reached over UDP, as the system says why."""
        lookup, why = attempt.lookup, failure.unreachable(error)
        try:
            self._watch.unreachable(attempt.upstream, why, now)
            if lookup is not None:
                lookup.failed(attempt, why, now)
        except Exception as bug:
            self._took(attempt, lookup, bug, now)

    def lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        """Record that no connection brought an answer; `reached` is False where none could even be opened."""
        lookup = attempt.lookup
        try:
            self._watch.stream_lost(attempt, why, now, reached=reached)
            if lookup is not None:
                lookup.failed(attempt, why, now, streamless=attempt.upstream.udp)
        except Exception as error:
            self._took(attempt, lookup, error, now, "upstream-stream")

    def _spoil(self, attempt: Attempt, now: float) -> None:
        """Let a question whose reply was spoilt go on over TCP, unless the right reply follows at once."""
        if attempt.lookup is not None and not attempt.over_stream:
            attempt.lookup.hurry(now + _MENDED)
