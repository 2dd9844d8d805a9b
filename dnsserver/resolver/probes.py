"""Random names that no client asks for: any reply to one says that an upstream lives, its coming back that it loops."""

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from dnsserver.resolver.entropy import Entropy
from dnsserver.resolver.settings import Transport
from dnsserver.resolver.upstream import Attempt, Upstream
from dnsserver.wire import request
from dnsserver.wire.message import HINFO
from dnsserver.wire.name import ROOT

log = structlog.get_logger(__name__)

_LONGEST_DOMAIN = 200


class Listener(Protocol):
    """Who has to know which upstreams can be used."""

    def changed(self, upstream: Upstream, *, usable: bool) -> None:
        """Take in that an upstream is back, or gone for now."""


class Probes:
    """The probes under way; `names` are those that were asked.

    Each upstream gets one at first, and more while it is down or loops; one that loops is asked nothing else.
    """

    def __init__(
        self,
        entropy: Entropy,
        send: Callable[[Attempt, bytes, float], None],
        listener: Listener,
        loop_retry: float,
    ) -> None:
        """Send through `send`; ask an upstream that loops again after `loop_retry` seconds."""
        self._entropy = entropy
        self._send = send
        self._listener = listener
        self._loop_retry = loop_retry
        self.names: dict[bytes, Upstream] = {}

    def tend(self, upstreams: Iterable[Upstream], now: float) -> None:
        """Send the probes that are due."""
        for upstream in upstreams:
            health = upstream.health
            if (not health.up or upstream.looping or not health.asked) and now >= health.probe_at:
                self._probe(upstream, now)

    def _probe(self, upstream: Upstream, now: float) -> None:
        self.names.pop(upstream.probe_name, None)
        label = b"\x10" + self._entropy.take(8).hex().encode()
        # Below the route's own domain, as another may go another way; for all names, one of two labels.
        below = upstream.domain != ROOT and len(upstream.domain) < _LONGEST_DOMAIN
        name = label + (upstream.domain if below else label + ROOT)
        upstream.probe_name = name
        self.names[name] = upstream
        upstream.queries += 1
        upstream.health.probed(now)
        identifier, mixed = self._entropy.disguise(name)
        spelled = mixed if upstream.mixed_case and upstream.spec.transport is Transport.UDP else name
        attempt = Attempt(None, upstream, request.question(spelled, HINFO), now, identifier)
        self._send(attempt, request.write(attempt.section, False, False, upstream.edns), now)

    def is_probe(self, attempt: Attempt) -> bool:
        """Tell whether an attempt is a probe that is under way."""
        return attempt.section[:-4].lower() in self.names

    def answered(self, upstream: Upstream) -> None:
        """Take in a reply to a probe that did not come back: there is no loop."""
        self.names.pop(upstream.probe_name, None)
        upstream.probe_name = b""
        if upstream.looping:
            upstream.looping = False
            log.info("upstream does not loop any more", upstream=upstream.name)
            self._listener.changed(upstream, usable=True)

    def came_back(self, name: bytes, now: float) -> None:
        """Take in that a client asks for a probe's name."""
        self.loops(self.names[name], now)

    def loops(self, upstream: Upstream, now: float) -> None:
        """Ask an upstream nothing but probes until one of them does not come back."""
        self.names.pop(upstream.probe_name, None)
        upstream.probe_name = b""
        upstream.health.probe_at = now + self._loop_retry
        if not upstream.looping:
            upstream.looping = True
            log.error("upstream forwards to this server, taken out", upstream=upstream.name)
            self._listener.changed(upstream, usable=False)
