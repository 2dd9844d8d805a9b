"""One upstream server, and all that is known about it."""

import socket
from collections import Counter, deque

import msgspec

from dnsserver.forward.habits import CaseHabit, EdnsHabit
from dnsserver.forward.health import Health
from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.zone.record import Reason

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
    probe_failures: int
    rtt: float
    p95: float
    failing: float
    mixed_case: bool
    bad: dict[str, int]


class Upstream:
    """One address that questions are sent to, and all that is known about it.

    `edns` and `mixed_case` say how it is asked, `doubted` that its replies still show something about that: they are
    what its habits come to, and looked at for each question.
    """

    __slots__ = (
        "_zone",
        "address",
        "bad",
        "case_habit",
        "domain",
        "doubted",
        "edns",
        "edns_habit",
        "failures",
        "health",
        "looped_at",
        "looping",
        "mixed_case",
        "name",
        "probe_errors",
        "probe_failures",
        "probes",
        "queries",
        "replies",
        "spec",
        "timeouts",
        "told",
        "told_at",
        "trouble",
        "udp",
    )

    def __init__(self, spec: UpstreamSpec, address: str, domain: bytes, *, mixed_case: bool = True) -> None:
        """Describe the upstream of `spec` at `address`, an IP address, serving the names below `domain`."""
        self.spec = spec
        self.udp = spec.transport is Transport.UDP
        self.address = (address, spec.real_port)
        self.domain = domain
        self._zone = address.partition("%")[2]
        shown = f"[{address}]" if ":" in address else address
        prefix = "" if spec.transport is Transport.UDP else f"{spec.transport}://"
        self.name = f"{prefix}{shown}:{spec.real_port}"
        self.health = Health()
        self.case_habit = CaseHabit(wanted=mixed_case and self.udp)
        self.edns_habit = EdnsHabit()
        self.settle()
        self.looping = False
        self.looped_at = float("-inf")  # when that was last seen
        self.probes: deque[bytes] = deque()  # names of those under way
        self.probe_errors = 0  # probes in a row that were answered with an error
        self.probe_failures = 0
        self.queries = self.replies = self.failures = self.timeouts = 0
        self.bad: Counter[str] = Counter()
        self.trouble: Reason | None = None  # what a stream that is being opened waits for
        self.told = ""  # the last failure of a stream that was logged
        self.told_at = float("-inf")

    def settle(self) -> None:
        """Bring up to date how it is asked, after its habits have changed."""
        self.edns = self.edns_habit.used
        self.mixed_case = self.case_habit.mixed
        self.doubted = self.edns_habit.doubted or self.case_habit.doubted

    def socket_address(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return what a socket is connected to; raises OSError while there is no interface of an address's zone.

        Python looks a zone up only in a tuple of four, and an interface may come, or another one with its name.
        """
        if not self._zone:
            return self.address
        host, port = self.address
        number = int(self._zone) if self._zone.isdecimal() else socket.if_nametoindex(self._zone)
        return host.partition("%")[0], port, 0, number

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
            probe_failures=self.probe_failures,
            rtt=self.health.rtt,
            p95=self.health.p95,
            failing=self.health.failing,
            mixed_case=self.mixed_case,
            bad=dict(self.bad),
        )
