"""The outside without its IPv6 addresses, for clusters whose pods cannot reach any (`ipv6 = "off"`)."""

import msgspec

from dnsserver.forward.outcome import Asker, Outcome, Question, Waiter
from dnsserver.server.reply import Outside
from dnsserver.wire import message as m
from dnsserver.wire.records import rrsets
from dnsserver.wire.reply import whole_body
from dnsserver.zone.record import Reason, soa

_NO_IPV6 = Reason("ipv6-off", m.EDE.FILTERED, "this server hides AAAA records of outside names")
_TTL = 30  # seconds that a client may believe it
_SERVER, _MAILBOX = b"\x02ns\0", b"\x0ahostmaster\0"


class WithoutIPv6:
    """Asks for A where AAAA is asked: there is no such data where the name exists, and else what A says.

    So a name that does not exist, or cannot be resolved, is that in both families. What comes with DO or CD set is for
    somebody who validates, and is asked as it is: what was altered here would be bogus there.
    """

    def __init__(self, outside: Outside) -> None:
        """Stand in front of `outside`."""
        self._outside = outside
        self.cork = outside.cork
        self.uncork = outside.uncork

    def answer_now(self, question: Question, now: float) -> Outcome | None:
        """Return the outcome if it is known."""
        if not _is_hidden(question):
            return self._outside.answer_now(question, now)
        known = self._outside.answer_now(Question(question.name, m.A), now)
        return None if known is None else _hidden(question.name, known, now)

    def start(self, question: Question, waiter: Waiter, now: float, packet: bytes = b"") -> None:
        """Have `waiter` get the outcome once, later."""
        if _is_hidden(question):
            question, waiter = Question(question.name, m.A), _Hidden(waiter, question.name)
        self._outside.start(question, waiter, now, packet)

    def record_hits(self, question: Question, hits: int = 1) -> None:
        """Record that an outcome went out so many times from a cache in front."""
        self._outside.record_hits(Question(question.name, m.A) if _is_hidden(question) else question, hits)


def _is_hidden(question: Question) -> bool:
    return question.type == m.AAAA and not question.do and not question.cd


class _Hidden(msgspec.Struct, gc=False, eq=False):
    """A waiter for the AAAA of a name, in the form of a waiter for the name's A."""

    waiter: Waiter
    name: bytes

    def deliver(self, outcome: Outcome) -> None:
        self.waiter.deliver(_hidden(self.name, outcome, outcome.stored))

    def asker(self) -> Asker:
        return self.waiter.asker()

    def give_up(self) -> None:
        self.waiter.give_up()


def _hidden(name: bytes, outcome: Outcome, now: float) -> Outcome:
    """Return the outcome for the AAAA of a name that follows from the outcome for its A.

    It lasts as long as its SOA, whose TTL is a part of the time that the A has left, and is then made anew.
    """
    if outcome.rcode != m.NOERROR or outcome.follow is not None:
        return outcome
    answer = rrsets(outcome.body_at(now), name)[0]
    if all(rrset.type != m.A for rrset in answer):
        return outcome
    aliases = [rrset for rrset in answer if rrset.type == m.CNAME]
    last = aliases[-1].rdatas[0].lower() if aliases else name
    ttl = min(_TTL, *(rrset.ttl for rrset in answer))
    # Without an SOA it could not be kept (RFC 2308 section 5).
    body = whole_body(name, aliases, [soa(last, ttl, server=_SERVER, mailbox=_MAILBOX)])
    reason = outcome.reason
    if reason.ede is None:
        reason = msgspec.structs.replace(_NO_IPV6, also=reason.also)
    return Outcome(outcome.rcode, body, False, reason, now, min(outcome.expires, now + ttl))
