"""Judges upstreams by the results of queries: up or down, suspected of a loop, or not working properly."""

from collections.abc import Callable

from dnsserver.forward import outcome as o
from dnsserver.forward.lookup import Attempt, Owner
from dnsserver.forward.probes import Probes
from dnsserver.forward.upstream import Upstream
from dnsserver.logger import get_logger
from dnsserver.zone.record import Reason

log = get_logger(__name__)


class Watch:
    """Judges upstreams, and tells the owner of those that came or went."""

    def __init__(self, owner: Owner, probes: Probes, drop: Callable[[Upstream], None]) -> None:
        """`probes` find out what is only suspected; `drop` ends the connections to an upstream that is down."""
        self._owner = owner
        self._probes = probes
        self._drop = drop

    def came_up(self, upstream: Upstream) -> None:
        """Record that something was heard of an upstream that was down."""
        log.info("upstream up", upstream=upstream.name)
        self._owner.changed(upstream, usable=True)

    def erred(self, upstream: Upstream, now: float) -> None:
        """Record a reply that does not answer: it lives, but it may loop."""
        upstream.failed()
        upstream.health.failed()
        self._probes.suspect(upstream, now)

    def silent(self, attempt: Attempt, now: float) -> None:
        """Count that nothing came in time: one name says little, and nothing is believed that a probe does not show."""
        upstream = attempt.upstream
        upstream.timed_out(probe=attempt.probe)
        if not attempt.probe and attempt.over_stream and upstream.udp:  # it says nothing about UDP
            return
        if self._is_dead(attempt, now):
            self._went_down(upstream, self._why_silent(upstream, now))

    def unreachable(self, upstream: Upstream, why: Reason, now: float) -> None:
        """Record that an upstream cannot be reached."""
        upstream.failed()
        if upstream.health.broken(now):
            self._went_down(upstream, f"it is {why.text}")

    def stream_lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        """Record that streams brought no answer; for an upstream of UDP that says nothing about UDP.

        Connections that are closed in place of an answer count as silence: it may be the name that is odd.
        """
        upstream = attempt.upstream
        upstream.failed()
        down = False
        if not upstream.udp:
            upstream.health.failed()
            if not reached:
                down = upstream.health.broken(now)
            elif why.code == o.CLOSED:
                down = self._is_dead(attempt, now)
        said = why.text.removeprefix(f"{upstream.name}: ")
        is_news = upstream.is_news(why.text, now)
        if down:
            log.warning("upstream down", upstream=upstream.name, error=said)
            self._owner.changed(upstream, usable=False)
        elif is_news:
            log.warning("upstream connection failed", upstream=upstream.name, error=said)

    def _is_dead(self, attempt: Attempt, now: float) -> bool:
        """Record that an upstream was silent about a name; return True if the upstream counts as down now."""
        health = attempt.upstream.health
        if attempt.probe:
            return health.probe_silent(attempt.sent, now)
        dead = health.silent(attempt.section[:-4].lower(), attempt.sent, now)
        self._probes.suspect(attempt.upstream, now)
        return dead

    def _why_silent(self, upstream: Upstream, now: float) -> str:
        """Return why there is no reply, as far as the attempt to open a stream shows it, and note that reason."""
        if upstream.udp or upstream.trouble is None:
            return "it does not answer"
        upstream.is_news(upstream.trouble.text, now)
        return upstream.trouble.text.removeprefix(f"{upstream.name}: ")

    def _went_down(self, upstream: Upstream, why: str) -> None:
        log.warning("upstream down", upstream=upstream.name, error=why)
        if not upstream.udp:
            self._drop(upstream)
        self._owner.changed(upstream, usable=False)
