"""Runs all lookups under way: the transports that carry their queries, and the timer wheel that wakes them."""

from collections import deque

from dnsserver.forward.failure import unreachable
from dnsserver.forward.lookup import Attempt, Lookup, Means, Owner
from dnsserver.forward.nonce import Nonces
from dnsserver.forward.outcome import Question
from dnsserver.forward.probes import Probes
from dnsserver.forward.reports import Reports
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.transport_stream import StreamTransport
from dnsserver.forward.transport_udp import UdpTransport
from dnsserver.forward.upstream import Upstream
from dnsserver.forward.watch import Watch
from dnsserver.forward.wheel import Wheel
from dnsserver.wire.upstream_reply import TTLLimits

# Lookups looked after before others get their turn: each may cost another query, 15 us, and when an upstream falls
# silent thousands come up at once.
_YIELD_EVERY = 8


class LookupEngine:
    """The tools of all lookups (`means`), and the code that drives them; nothing is opened before it is needed."""

    def __init__(self, owner: Owner, limits: TTLLimits, nonces: Nonces, runtime: Runtime, loop_retry: float) -> None:
        """`limits` bound the TTLs of answers; `Probes` explains `loop_retry`."""
        self._faults = runtime.faults
        self._owner = owner
        self._overdue: deque[Question | Attempt] = deque()  # off the wheel, and not looked after yet
        self.probes = Probes(runtime, nonces, self._send_probe, owner, loop_retry)
        self._watch = watch = Watch(owner, self.probes, self._drop)
        self._reports = reports = Reports(owner, watch, self.probes, limits, runtime.faults)
        self.udp = UdpTransport(reports, runtime)
        self.streams = StreamTransport(reports, runtime)
        self.wheel: Wheel[Question | Attempt] = Wheel()
        self.means = Means(
            owner, runtime.entropy, self.wheel, self.udp.send, self.streams.submit, watch.silent, watch.unreachable
        )
        self.lookups = self.means.lookups
        self.counts = self.means.counts

    def use(self, limits: TTLLimits, loop_retry: float) -> None:
        """Use other settings from now on."""
        self._reports.limits = limits
        self.probes.loop_retry = loop_retry

    def process_due(self, now: float) -> bool:
        """Handle the lookups whose time has come; True when there are more than can be handled at once."""
        overdue = self._overdue
        if not overdue:
            overdue.extend(self.wheel.due(now))
        left = _YIELD_EVERY
        while overdue and left:
            thing = overdue.popleft()
            lookup = None
            try:
                if isinstance(thing, Attempt):
                    if not thing.late:
                        left -= 1
                        self._on_orphan_timeout(thing, now)
                    continue
                lookup = self.lookups.get(thing)
                if lookup is not None and lookup.due <= now:  # else it is a later one, which has its own place
                    left -= 1
                    lookup.on_timer(now)
            except Exception as error:  # the others whose time has come must not be forgotten for it
                self._faults.took("upstream-timer", error)
                if lookup is not None:
                    self._owner.broken(lookup, now)
        return bool(overdue)

    def _on_orphan_timeout(self, attempt: Attempt, now: float) -> None:
        """Count the silence of an overtaken query: otherwise an upstream that others overtake would never be down."""
        end = attempt.silent_at
        if now < end:
            self.wheel.add(attempt, end)
        else:
            attempt.give_up()
            self._watch.silent(attempt, now)

    def leave(self, upstream: Upstream, now: float) -> None:
        """Move all lookups that wait for a looping upstream to other upstreams."""
        for lookup in self.lookups.values():
            if any(attempt.upstream is upstream for attempt in lookup.attempts):
                lookup.hurry(now)

    def _drop(self, upstream: Upstream) -> None:
        self.streams.drop(upstream)

    def look_for_loop(self, lookup: Lookup, packet: bytes, now: float) -> None:
        """Probe the upstreams that a lookup waits for when a client asks the same: that client may be one of them.

        At once if his packet looks like a query of ours, else now and then: servers on the way change ID and case. It
        proves nothing. Clients ask the same all the time, and one who guesses has tried all IDs in 65,536 packets.
        """
        for attempt in lookup.attempts:
            same = packet.startswith(attempt.identifier) and packet.startswith(attempt.section, 12)
            if same or attempt.upstream.health.long_unprobed(now):
                self.probes.suspect(attempt.upstream, now)

    def _send_probe(self, attempt: Attempt, query: bytes, now: float) -> None:
        end = attempt.silent_at
        self.wheel.add(attempt, end)
        self._owner.hurry(end)
        if attempt.over_stream:
            self.streams.submit(attempt, query)
        elif (error := self.udp.send(attempt, query, now)) is not None:
            attempt.give_up()
            self._watch.unreachable(attempt.upstream, unreachable(error), now)
