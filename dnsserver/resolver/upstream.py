"""One upstream server, and one query under way to it."""

from collections import Counter, deque
from typing import TYPE_CHECKING

import msgspec

from dnsserver.resolver.health import Health
from dnsserver.resolver.settings import Transport, UpstreamSpec
from dnsserver.zone.record import Reason

if TYPE_CHECKING:
    from dnsserver.resolver.exchange import Flight
    from dnsserver.resolver.transport_udp import Port

# So many replies in another case than asked, with none in the right one between them, are no forgery.
_CASE_MISSES = 3

# Queries whose replies are not looked for at once, after one for which that was in vain.
UNWATCHED = 8


_TOLD_NEXT = 1.0
_TOLD_AGAIN = 600.0


class UpstreamStatistics(msgspec.Struct, frozen=True):
    """One upstream in numbers; times in seconds. `bad` counts replies that were not used, by what was wrong."""

    name: str
    domain: bytes
    up: bool
    looping: bool
    queries: int
    replies: int
    failures: int
    timeouts: int
    rtt: float
    p95: float
    failing: float
    mixed_case: bool
    bad: dict[str, int]


class Upstream:
    """One address that questions are sent to, and all that is known about it."""

    __slots__ = (
        "address",
        "bad",
        "case_misses",
        "domain",
        "edns",
        "failures",
        "health",
        "looping",
        "mixed_case",
        "name",
        "pause",
        "ports",
        "probe_name",
        "queries",
        "replies",
        "retired",
        "spec",
        "timeouts",
        "told",
        "told_at",
        "trouble",
        "udp",
        "unwatched",
    )

    def __init__(self, spec: UpstreamSpec, address: str, domain: bytes, *, mixed_case: bool = True) -> None:
        """Describe the upstream of `spec` at `address`, an IP address, serving the names below `domain`."""
        self.spec = spec
        self.udp = spec.transport is Transport.UDP
        self.address = (address, spec.real_port)
        self.domain = domain
        shown = f"[{address}]" if ":" in address else address
        prefix = "" if spec.transport is Transport.UDP else f"{spec.transport}://"
        self.name = f"{prefix}{shown}:{spec.real_port}"
        self.health = Health()
        self.mixed_case = mixed_case
        self.edns = True
        self.looping = False
        self.probe_name = b""  # of the probe that is under way
        self.ports: deque[Port] = deque()  # those that take questions still
        self.retired = 0  # those that only wait for replies
        self.queries = self.replies = self.failures = self.timeouts = 0
        self.bad: Counter[str] = Counter()
        self.case_misses = 0
        self.trouble: Reason | None = None  # what a stream that is being opened waits for
        self.told = ""  # the last failure of a stream that was logged
        self.told_at = float("-inf")
        self.unwatched = 0  # queries to go before the reply to one is looked for at once again
        self.pause = UNWATCHED  # how many it will be when that one is not found

    def spelled_wrong(self, *, sure: bool = False) -> bool:
        """Take in a reply in another case; True when from now on it is asked in plain lower case."""
        self.case_misses += 1
        if not self.mixed_case or (self.case_misses < _CASE_MISSES and not sure):
            return False
        self.mixed_case = False
        return True

    def is_news(self, failure: str, now: float) -> bool:
        """Tell whether a failure of a stream is to be logged: each once, and again after a while."""
        if now < self.told_at + (_TOLD_AGAIN if failure == self.told else _TOLD_NEXT):
            return False
        self.told = failure
        self.told_at = now
        return True

    def statistics(self) -> UpstreamStatistics:
        """Return the upstream in numbers."""
        return UpstreamStatistics(
            name=self.name,
            domain=self.domain,
            up=self.health.up,
            looping=self.looping,
            queries=self.queries,
            replies=self.replies,
            failures=self.failures,
            timeouts=self.timeouts,
            rtt=self.health.rtt,
            p95=self.health.p95,
            failing=self.health.failing,
            mixed_case=self.mixed_case,
            bad=dict(self.bad),
        )


class Attempt(msgspec.Struct, gc=False, eq=False):
    """One query sent, or about to be, to one upstream.

    `flight` is None for a probe, and once nobody waits for the answer any more: it still tells how the upstream does.
    `section` is the question exactly as sent; a reply over UDP must repeat it octet for octet. `late` says that its
    silence was counted or that it was answered, `plain` that it goes without EDNS.
    """

    flight: "Flight | None"
    upstream: Upstream
    section: bytes
    sent: float
    identifier: bytes = b""
    late: bool = False
    misspelled: bool = False
    over_stream: bool = False
    plain: bool = False
