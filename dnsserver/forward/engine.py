"""From a question to an upstream's answer: who is asked, when the next one is, and when to stop.

A Lookup is one question under way. It is not a task: it moves on when a reply comes, when a query fails, and when the
wheel brings it up. Its end is one call of `finished`. The wheel holds what a lookup asks and not the lookup: most have
ended long before they come up, and their memory serves the next ones while it is still in the processor's cache.
"""

from collections import deque
from collections.abc import Callable

import structlog

from dnsserver.faults import Faults
from dnsserver.forward import outcome as o
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.health import LONGEST_TIMEOUT
from dnsserver.forward.lookup import NEVER, Attempt, Lookup, Owner, detach
from dnsserver.forward.nonce import Nonces
from dnsserver.forward.outcome import Question
from dnsserver.forward.probes import Probes
from dnsserver.forward.reports import Reports
from dnsserver.forward.transport_stream import StreamTransport
from dnsserver.forward.transport_udp import UdpTransport
from dnsserver.forward.upstream import Upstream
from dnsserver.forward.wheel import Wheel
from dnsserver.wire import upstream_query
from dnsserver.wire.upstream_reply import Reading, TTLLimits
from dnsserver.zone.record import Reason

log = structlog.get_logger(__name__)

_MOST_ATTEMPTS = 6
# Lookups looked after before others get their turn: each may cost another query, 15 us, and when an upstream falls
# silent thousands come up at once.
_BITE = 8


class LookupEngine:
    """All lookups and all transports to all upstreams; the owner puts lookups into `lookups` and takes them out."""

    def __init__(
        self,
        owner: Owner,
        limits: TTLLimits,
        entropy: Entropy,
        nonces: Nonces,
        clock: Callable[[], float],
        on_batch_end: Callable[[], None],
        loop_retry: float,
        faults: Faults,
    ) -> None:
        """Open nothing yet."""
        self._faults = faults
        self._owner = owner
        self._entropy = entropy
        self.lookups: dict[Question, Lookup] = {}
        # Beside lookups there are attempts that were overtaken, and probes, until they are answered or count as silent.
        self.wheel: Wheel[Question | Attempt] = Wheel()
        self._overdue: deque[Question | Attempt] = deque()  # off the wheel, and not looked after yet
        self.probes = Probes(entropy, nonces, self._send_probe, owner, loop_retry, faults)
        reports = Reports(self, owner, limits, entropy, faults)
        self.udp = UdpTransport(reports, entropy, clock, on_batch_end, faults)
        self.streams = StreamTransport(reports, entropy, clock, on_batch_end, faults)
        self.hedges = self.retries = self.over_tcp = 0

    # ---- a lookup from its first query to its end

    def launch(self, lookup: Lookup, now: float) -> bool:
        """Send the first query of a lookup; False when it cannot be sent to any upstream, and the lookup is over."""
        if not self._next(lookup, now):
            lookup.done = True
            return False
        order = lookup.order
        if len(order) > 1:
            if lookup.route.count_and_sample() and lookup.route.take_hedge():
                self._hedge(lookup, now)
            elif (after := order[0].health.hedge_after) is not None:
                lookup.hedge_at = now + after
        self._schedule(lookup)
        return True

    def process_due(self, now: float) -> bool:
        """Look after the lookups whose time has come; True when there are more than can be done in one go."""
        overdue = self._overdue
        if not overdue:
            overdue.extend(self.wheel.due(now))
        bite = _BITE
        while overdue and bite:
            thing = overdue.popleft()
            lookup = None
            try:
                if isinstance(thing, Attempt):
                    if not thing.late:
                        bite -= 1
                        self._on_orphan_timeout(thing, now)
                    continue
                lookup = self.lookups.get(thing)
                if lookup is not None and lookup.due <= now:  # else it is a later one, which has its own place
                    bite -= 1
                    self._on_timer(lookup, now)
            except Exception as error:  # the others whose time has come must not be forgotten for it
                self._faults.took("upstream-timer", error)
                self.give_up(lookup, now)
        return bool(overdue)

    def _on_timer(self, lookup: Lookup, now: float) -> None:
        """Do what a lookup's time has come for."""
        if now >= lookup.deadline:
            troubles = (attempt.upstream.trouble for attempt in lookup.attempts if attempt.over_stream)
            lookup.failure = lookup.failure or next((why for why in troubles if why), o.UPSTREAM_TIMEOUT)
            self.end(lookup, None, now)
            return
        if now >= lookup.stale_at:
            lookup.stale_at = NEVER
            self._owner.overdue(lookup, now)
        if now >= lookup.retry_at:
            self._retry(lookup, now)
        elif now >= lookup.hedge_at:
            lookup.hedge_at = NEVER
            if lookup.route.take_hedge():
                self._hedge(lookup, now)
        if not lookup.done:
            self._schedule(lookup)

    def end(self, lookup: Lookup, reading: Reading | None, now: float) -> None:
        """End a lookup, and have its owner learn what became of it."""
        if lookup.attempts:
            self.close(lookup)
        lookup.done = True
        self._owner.finished(lookup, lookup.unconfirmed if reading is None else reading, now)

    def close(self, lookup: Lookup) -> None:
        """End a lookup; queries still under way only tell how their upstreams do (see `_on_orphan_timeout`)."""
        lookup.done = True
        for attempt in lookup.attempts:
            attempt.lookup = None
            if not attempt.late:
                self.wheel.add(attempt, attempt.sent + attempt.upstream.health.timeout)

    def give_up(self, lookup: Lookup | None, now: float) -> None:
        """Have done with a lookup that a bug has stopped."""
        if lookup is not None:
            for attempt in lookup.attempts:
                attempt.lookup = None
            self._owner.broken(lookup, now)

    def leave(self, upstream: Upstream, now: float) -> None:
        """Have all lookups that wait for an upstream that loops go on elsewhere."""
        for lookup in self.lookups.values():
            if any(attempt.upstream is upstream for attempt in lookup.attempts):
                lookup.retry_at = now
                self._schedule(lookup)
        self._owner.hurry(now)

    def _on_orphan_timeout(self, attempt: Attempt, now: float) -> None:
        """Count the silence of one that was overtaken: else an upstream that others stand in for is never down."""
        health = attempt.upstream.health
        end = attempt.sent + (health.probe_timeout if attempt.probe else health.timeout)
        if now < end:
            self.wheel.add(attempt, end)
        else:
            attempt.late = True
            self._silent(attempt, now)

    def hurry(self, lookup: Lookup) -> None:
        """Look after a lookup earlier than planned."""
        self._schedule(lookup)
        self._owner.hurry(lookup.due)

    def _schedule(self, lookup: Lookup) -> None:
        at = lookup.retry_at
        # Three comparisons: 0.1 us, where min() of the four takes 0.28.
        if lookup.deadline < at:  # noqa: PLR1730
            at = lookup.deadline
        if lookup.hedge_at < at:  # noqa: PLR1730
            at = lookup.hedge_at
        if lookup.stale_at < at:  # noqa: PLR1730
            at = lookup.stale_at
        lookup.due = at
        self.wheel.add(lookup.question, at)

    def _next(self, lookup: Lookup, now: float) -> bool:
        """Ask the next upstream that a query can be sent to; False when there is none, and nothing pends."""
        order = lookup.order
        while (tries := lookup.tries) < _MOST_ATTEMPTS:
            upstream = order[tries % len(order)]
            if upstream.looping:  # since the lookup began
                lookup.tries += 1
                lookup.failure = o.LOOP
            elif self._try(lookup, upstream, now):
                # Each time round the upstreams get twice as long (RFC 1035 section 4.2.1).
                lookup.retry_at = now + upstream.health.timeout * (1 << tries // len(order))
                return True
            else:
                lookup.failure = o.UPSTREAM_UNREACHABLE
            if lookup.tries >= len(order):
                break
        return bool(lookup.attempts)

    def _hedge(self, lookup: Lookup, now: float) -> None:
        self.hedges += 1
        self._try(lookup, lookup.order[lookup.tries % len(lookup.order)], now)

    def _retry(self, lookup: Lookup, now: float) -> None:
        """The last query had its time: ask the next upstream, or this one again over TCP if UDP is spoilt."""
        lookup.retry_at = NEVER
        spoilt = looping = None
        for attempt in lookup.attempts:
            if attempt.upstream.looping:
                looping = attempt
            elif attempt.spoilt and not attempt.over_stream:
                spoilt = attempt
            elif not attempt.late and now >= attempt.sent + attempt.upstream.health.timeout:
                attempt.late = True
                self._silent(attempt, now)
        if lookup.unconfirmed is not None:
            self.end(lookup, None, now)
        elif looping is not None:
            self.failed(looping, o.LOOP, now)
        elif spoilt is not None:
            self.to_tcp(spoilt, now)
        elif lookup.tries < _MOST_ATTEMPTS:
            self.retries += 1
            if not self._next(lookup, now):
                self.end(lookup, None, now)

    def _try(self, lookup: Lookup, upstream: Upstream, now: float) -> bool:
        """Send one query; False when it cannot even be sent."""
        tries = lookup.tries
        lookup.tries = tries + 1
        question = lookup.question
        if tries >= len(lookup.order) or not upstream.udp:
            return self._try_again(lookup, upstream, tries // len(lookup.order), now)
        identifier, mixed = self._entropy.randomize_case(question.name)
        spelled = mixed if upstream.mixed_case else question.name
        return self.ask(lookup, upstream, spelled, identifier, now, plain=not (upstream.edns or question.do))

    def _try_again(self, lookup: Lookup, upstream: Upstream, again: int, now: float) -> bool:
        """Send one query after `again` in vain, or over a stream.

        Whoever was silent is asked again without EDNS, which some throw away, and the third time over TCP as well. With
        DO the second query still has EDNS: packets get lost as well, and nothing else brings signatures.
        """
        question = lookup.question
        plain = again > question.do or not (upstream.edns or question.do)
        if not upstream.udp:
            self.ask_stream(lookup, upstream, now, plain=plain)
            return True
        identifier, mixed = self._entropy.randomize_case(question.name)
        sent = self.ask(lookup, upstream, mixed if upstream.mixed_case else question.name, identifier, now, plain=plain)
        if (again > 1 or not upstream.health.up) and upstream not in lookup.streamless:
            self.ask_stream(lookup, upstream, now)
            return True
        return sent

    def ask(
        self, lookup: Lookup, upstream: Upstream, spelled: bytes, identifier: bytes, now: float, *, plain: bool
    ) -> bool:
        """Send one query over UDP; False when it cannot be sent."""
        question = lookup.question
        section = upstream_query.question(spelled, question.type)
        attempt = Attempt(lookup, upstream, section, now, identifier, plain=plain)
        upstream.queries += 1
        if not self.udp.send(attempt, upstream_query.write(section, question.do, question.cd, not plain), now):
            self.broken(upstream, now)
            return False
        lookup.attempts.append(attempt)
        return True

    def ask_stream(self, lookup: Lookup, upstream: Upstream, now: float, *, plain: bool = False) -> None:
        """Send one query over TCP or TLS, as soon as that is possible."""
        question = lookup.question
        attempt = Attempt(lookup, upstream, upstream_query.question(question.name, question.type), now, plain=plain)
        upstream.queries += 1
        lookup.attempts.append(attempt)
        self.streams.submit(attempt, upstream_query.write(attempt.section, question.do, question.cd, not plain))

    def to_tcp(self, attempt: Attempt, now: float) -> None:
        """Ask the same upstream the same thing again over TCP, unless that was in vain before."""
        lookup = attempt.lookup
        if lookup is None:
            return
        if attempt.upstream in lookup.streamless:
            self.failed(attempt, lookup.failure or o.UPSTREAM_UNREACHABLE, now)
            return
        self.over_tcp += 1
        detach(attempt)
        self.ask_stream(lookup, attempt.upstream, now)
        lookup.retry_at = now + LONGEST_TIMEOUT

    # ---- what becomes of queries

    def failed(self, attempt: Attempt, reason: Reason, now: float) -> None:
        """One query came to nothing: ask the next upstream, if there is one that was not asked.

        UDP is tried again where TCP, which was to carry it on, is closed and nothing else is under way.
        """
        lookup = attempt.lookup
        if lookup is None:
            return
        detach(attempt)
        lookup.failure = reason
        carried = attempt.over_stream and attempt.upstream.udp
        if lookup.unconfirmed is None and (lookup.tries < len(lookup.order) or (carried and not lookup.attempts)):
            if not self._next(lookup, now):
                self.end(lookup, None, now)
        elif not lookup.attempts:
            self.end(lookup, None, now)

    def _silent(self, attempt: Attempt, now: float) -> None:
        """Count that nothing came in time: one name says little, and nothing is believed that a probe does not show."""
        upstream, health = attempt.upstream, attempt.upstream.health
        upstream.timed_out(probe=attempt.probe)
        if attempt.probe:
            dead = health.probe_silent(attempt.sent, now)
        elif attempt.over_stream and upstream.udp:
            return
        else:
            dead = health.silent(attempt.section[:-4].lower(), attempt.sent, now)
            self.probes.suspect(upstream, now)
        if dead:
            self._went_down(upstream, self._why_silent(upstream, now))

    def _why_silent(self, upstream: Upstream, now: float) -> str:
        """Return why, as far as a stream that is being opened shows it; that is told with it."""
        if upstream.udp or upstream.trouble is None:
            return "it does not answer"
        upstream.is_news(upstream.trouble.text, now)
        return upstream.trouble.text.removeprefix(f"{upstream.name}: ")

    def broken(self, upstream: Upstream, now: float) -> None:
        """Record that an upstream cannot be reached."""
        upstream.failed()
        if upstream.health.broken(now):
            self._went_down(upstream, "it cannot be reached")

    def _went_down(self, upstream: Upstream, why: str) -> None:
        log.warning("upstream down", upstream=upstream.name, error=why)
        if not upstream.udp:
            self.streams.drop(upstream)
        self._owner.changed(upstream, usable=False)

    def look_for_loop(self, lookup: Lookup, packet: bytes, now: float) -> None:
        """Probe the upstreams that a lookup waits for, as a client asks the same: he may be one of them.

        At once if his packet looks like a query of ours, else now and then: servers on the way change ID and case. It
        proves nothing. Clients ask the same all the time, and one who guesses has tried all IDs in 65,536 packets.
        """
        for attempt in lookup.attempts:
            same = packet.startswith(attempt.identifier) and packet.startswith(attempt.section, 12)
            if same or attempt.upstream.health.long_unprobed(now):
                self.probes.suspect(attempt.upstream, now)

    def _send_probe(self, attempt: Attempt, query: bytes, now: float) -> None:
        end = now + attempt.upstream.health.probe_timeout
        self.wheel.add(attempt, end)
        self._owner.hurry(end)
        if not attempt.upstream.udp:
            self.streams.submit(attempt, query)
        elif not self.udp.send(attempt, query, now):
            attempt.late = True
            self.broken(attempt.upstream, now)
