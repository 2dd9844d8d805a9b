"""What one server knows about who asks what: from samples of all packets, and from the replies it sent.

Clients, names, domains and missing names come from the samples: a reply from the cache is seen by nothing else. A name
that the outside says is missing is not known yet when its packet is sampled, so it is counted when the reply is made,
each time. Slow names and failures are counted from replies that were made alone.

A domain is a name without its first label. Of a flood of random names no name is asked often, but their domain is.
"""

from collections.abc import Iterable
from typing import Final

from dnsserver.traffic import recent
from dnsserver.traffic.failures import FAILURE, ROOM, Failure, Failures
from dnsserver.traffic.observed import Observed
from dnsserver.traffic.sampler import Sample
from dnsserver.traffic.window import Window, most_octets
from dnsserver.wire.message import NOERROR, NXDOMAIN
from dnsserver.wire.name import MAX_NAME, ancestors

SLOW: Final = 0.1  # seconds that a reply took, for a name to be called slow: most upstreams take less than half of that
_ADDRESS: Final = 16


class WhoAsks:
    """The clients and names of the last minutes, the packets looked at last, and the failures just seen."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.clients = Window()
        self.names = Window()
        self.domains = Window()
        self.missing = Window()
        self.slow = Window()
        self.recent = recent.RecentPackets()
        self.failures = Failures()
        self._sampling: bool | None = None  # None before anything is counted

    def begin(self, now: float, *, sampling: bool) -> None:
        """Record whether packets are sampled from now on. The first call is when the counting of replies begins."""
        if self._sampling is None:
            self.slow.begin(now)
        if sampling and not self._sampling:
            for window in (self.clients, self.names, self.domains, self.missing):
                window.begin(now)
        self._sampling = sampling

    def sampled(self, samples: Iterable[Sample], now: float) -> None:
        """Count packets that were sampled."""
        clients, names, missing = self.clients.pane(now), self.names.pane(now), self.missing.pane(now)
        domains = self.domains.pane(now)
        for sample in samples:
            weight, name = sample.weight, sample.name
            clients.add(sample.client, weight)
            if name is not None:
                names.add(name, weight)
                domains.add(next(ancestors(name), name), weight)
                self.recent.add(sample.client, name, weight, now)
                if sample.rcode == NXDOMAIN:
                    missing.add(name, weight)

    def observed(self, seen: Observed, now: float) -> None:
        """Record a reply that was made, if it failed or was slow."""
        if not is_telling(seen):
            return
        name = seen.name.lower()
        if seen.rcode == NXDOMAIN and seen.source == "upstream":
            self.missing.add(name, now)
        if seen.seconds >= SLOW and name:
            self.slow.add(name, now, peak=seen.seconds)
        if seen.rcode != NOERROR:
            reason = seen.reason
            self.failures.add(
                Failure(
                    seen.client,
                    name,
                    seen.type,
                    seen.rcode,
                    reason.code,
                    reason.text,
                    seen.seconds,
                    seen.time,
                    seen.time,
                )
            )


def is_telling(seen: Observed) -> bool:
    """Tell whether a reply says something here: it failed, or its client had to wait."""
    return seen.rcode != NOERROR or seen.seconds >= SLOW


def most_held() -> int:
    """Return the octets that all of it takes at the most."""
    return most_octets(_ADDRESS) + 4 * most_octets(MAX_NAME) + ROOM * FAILURE + recent.ROOM
