"""Random names that no client knows: any reply to one shows that an upstream works; if it comes back, there is a loop.

Nothing else proves a loop. A client can repeat a question, and guess what this server sends. So anything that looks
like a loop only makes the server probe the upstream, at most once a second.
"""

from collections.abc import Callable, Collection, Iterable

from dnsserver.forward.lookup import Attempt, Owner
from dnsserver.forward.nonce import Nonces
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.upstream import Upstream
from dnsserver.logger import get_logger
from dnsserver.wire import upstream_query
from dnsserver.wire.message import HINFO, NOERROR, NXDOMAIN
from dnsserver.wire.name import ROOT

log = get_logger(__name__)

_LONGEST_DOMAIN = 200

# Probes in a row that an upstream under suspicion answers with an error, and that are not seen here, until the errors
# are taken for its own. A server that forwards back, and has found that out itself, gives them as well.
_ERRORS = 3

_UNDER_WAY = 4  # of one upstream: what another process saw is told half a second later
_MOST_STRANGERS = 64


class Probes:
    """The probes under way; `names` are those that were asked, `strangers` those of other processes seen here.

    Each upstream gets one at first, and more while it is down, is suspected or loops; one that loops is asked nothing
    else.
    """

    def __init__(
        self,
        runtime: Runtime,
        nonces: Nonces,
        send: Callable[[Attempt, bytes, float], None],
        owner: Owner,
        loop_retry: float,
    ) -> None:
        """Send through `send`; after `loop_retry` seconds, errors count as the upstream's own."""
        self._entropy = runtime.entropy
        self._nonces = nonces
        self._send = send
        self._owner = owner
        self.loop_retry = loop_retry
        self.names: dict[bytes, Upstream] = {}
        self.strangers: list[bytes] = []
        self.returned = 0
        self._faults = runtime.faults

    def send_due_probes(self, upstreams: Iterable[Upstream], now: float) -> None:
        """Send the probes that are due, and retry upstreams and features that were left out for a while."""
        for upstream in upstreams:
            try:
                self._send_probe_if_due(upstream, now)
            except Exception as error:  # a bug with one upstream must not cost the others their probes
                self._faults.took("upstream-probes", error, upstream=upstream.name)

    def _send_probe_if_due(self, upstream: Upstream, now: float) -> None:
        upstream.review_habits(now)
        health = upstream.health
        wanted = not health.up or upstream.looping or health.suspected or not health.asked
        if wanted and now >= health.probe_at:
            self._probe(upstream, now)

    def forget_others(self, upstreams: Collection[Upstream]) -> None:
        """Forget the probes of upstreams that are not asked any more: no reply can tell anything now."""
        for gone in {upstream for upstream in self.names.values() if upstream not in upstreams}:
            self.forget(gone)

    def suspect(self, upstream: Upstream, now: float) -> None:
        """Record a sign that the upstream loops or is dead, and probe it if it was not probed a moment ago."""
        if upstream.health.suspect(now):
            self._probe(upstream, now)

    def _probe(self, upstream: Upstream, now: float) -> None:
        while len(upstream.probes) >= _UNDER_WAY:
            del self.names[upstream.forget_probe()]
        # Below the route's own domain, as another may go another way.
        below = upstream.domain if len(upstream.domain) < _LONGEST_DOMAIN else ROOT
        name = self._nonces.make() + below
        self.names[name] = upstream
        upstream.probed(name, now)
        identifier, mixed = self._entropy.randomize_case(name)
        section, query = upstream_query.write(
            mixed if upstream.mixed_case else name, HINFO, False, False, upstream.edns
        )
        attempt = Attempt(None, upstream, section, now, identifier, over_stream=not upstream.udp, probe=True)
        self._send(attempt, query, now)

    def answered(self, attempt: Attempt, rcode: int, now: float) -> None:
        """Record the reply to a probe: where it did not come back before, there is no loop.

        An error shows less: a server that forwards back here may have found the loop as well, and answers with errors.
        """
        upstream = attempt.upstream
        upstream.health.probe_replied()
        name = attempt.section[:-4].lower()
        if self.names.get(name) is not upstream:
            return
        if rcode not in {NOERROR, NXDOMAIN}:
            errors = upstream.probe_failed()
            if now < upstream.looped_at + self.loop_retry or errors < _ERRORS:
                upstream.health.keep_suspecting()
                return
        self.forget(upstream)
        upstream.health.cleared()
        if upstream.loop_gone():
            log.info("upstream does not loop any more", upstream=upstream.name)
            self._owner.changed(upstream, usable=True)

    def is_probe(self, name: bytes) -> bool:
        """Tell whether a lower-case name is a probe of this server, of whichever process and time."""
        return self._nonces.ours(name)

    def came_back(self, name: bytes, now: float) -> None:
        """Record that a probe's name was asked of this process.

        If it is not one of ours under way it is over, or another process's, which has to be told.
        """
        self.returned += 1
        if not self.seen(name, now) and len(self.strangers) < _MOST_STRANGERS:
            self.strangers.append(name)

    def take_strangers(self) -> list[bytes]:
        """Return the probes' names of other processes that were asked of this one since the last time."""
        names, self.strangers = self.strangers, []
        return names

    def seen(self, name: bytes, now: float) -> bool:
        """Record that a probe's name was asked of some process; True when it is one of ours and proves a loop."""
        upstream = self.names.get(name)
        if upstream is None:
            return False
        self.forget(upstream)
        if upstream.loop_seen(now):
            log.error("upstream forwards to this server, taken out", upstream=upstream.name)
            self._owner.changed(upstream, usable=False)
        return True

    def forget(self, upstream: Upstream) -> None:
        """Forget the probes of an upstream, when their result is known or no longer needed."""
        for name in upstream.forget_probes():
            del self.names[name]
