"""One upstream server, and all that is known about it."""

import copy
import socket
from collections import Counter, defaultdict, deque
from collections.abc import Iterable

from dnsserver import metrics
from dnsserver.forward.habits import CaseHabit, EdnsHabit
from dnsserver.forward.health import Health
from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.zone.record import Reason

_REPORT_NEXT = 1.0
_REPORT_AGAIN = 600.0


class Upstream:
    """One address that questions are sent to, and all that is known about it.

    What becomes of it is recorded by its methods only, and those of its `health` and its habits. But `queries` and
    `replies` are counted where they pass, as a call costs time there.

    `edns` and `mixed_case` say how it is asked, `doubted` that its replies still show something about that: they are
    what its habits come to, and looked at for each question.
    """

    __slots__ = (
        "_reported",
        "_reported_at",
        "address",
        "asked_probes",
        "bad",
        "case_habit",
        "domain",
        "doubted",
        "durations",
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
        "trouble",
        "udp",
        "zone",
    )

    def __init__(self, spec: UpstreamSpec, address: str, domain: bytes, *, mixed_case: bool = True) -> None:
        """Describe the upstream of `spec` at `address`, an IP address, serving the names below `domain`."""
        self.spec = spec
        self.udp = spec.transport is Transport.UDP
        self.address = (address, spec.real_port)
        self.domain = domain
        self.zone = address.partition("%")[2]
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
        self.durations: defaultdict[int, metrics.Histogram] = defaultdict(metrics.Histogram)  # of replies, by rcode
        self.asked_probes = 0
        self.queries = self.replies = self.failures = self.timeouts = 0
        self.bad: Counter[str] = Counter()
        self.trouble: Reason | None = None  # what a stream that is being opened waits for
        self._reported = ""  # the last failure of a stream that was logged
        self._reported_at = float("-inf")

    def learn_from(self, others: Iterable["Upstream"]) -> None:
        """Copy what is known about the same server under another domain, another name, or other authorities.

        Counts go on where the domain is the same, as they are shown under it.
        """
        same = [
            other for other in others if (other.address, other.spec.transport) == (self.address, self.spec.transport)
        ]
        for other in sorted(same, key=lambda other: other.domain == self.domain):
            self.health = copy.deepcopy(other.health)
            self.edns_habit = copy.deepcopy(other.edns_habit)
            if other.case_habit.wanted == self.case_habit.wanted:
                self.case_habit = copy.deepcopy(other.case_habit)
            self.looping, self.looped_at = other.looping, other.looped_at
            if other.domain == self.domain:
                self.queries, self.replies = other.queries, other.replies
                self.failures, self.timeouts = other.failures, other.timeouts
                self.probe_failures, self.bad = other.probe_failures, other.bad.copy()
                self.durations, self.asked_probes = copy.deepcopy(other.durations), other.asked_probes
        self.settle()

    def want_mixed_case(self, wanted: bool) -> None:
        """Start asking in mixed case, if the upstream supports that, or stop it."""
        self.case_habit = CaseHabit(wanted=wanted and self.udp)
        self.settle()

    def timed_out(self, *, probe: bool) -> None:
        """Record that nothing came in time."""
        self.timeouts += 1
        self.probe_failures += probe

    def failed(self) -> None:
        """Record that a query got an error, or could not be sent."""
        self.failures += 1

    def sent_rubbish(self, kind: str) -> None:
        """Record a reply that was not used, by what was wrong."""
        self.bad[kind] += 1

    def stuck(self, reason: Reason | None) -> None:
        """Record what a stream that is being opened waits for; None when one is open."""
        self.trouble = reason

    def probed(self, name: bytes, now: float) -> None:
        """Record that a probe with this name is on its way."""
        self.probes.append(name)
        self.asked_probes += 1
        self.health.probed(now, looping=self.looping)

    def forget_probe(self) -> bytes:
        """Forget the oldest probe under way; return its name."""
        return self.probes.popleft()

    def probe_failed(self) -> int:
        """Record that a probe was answered with an error; return how many in a row were."""
        self.probe_errors += 1
        return self.probe_errors

    def forget_probes(self) -> tuple[bytes, ...]:
        """Record that the result of the open probes is known; return their names."""
        names = tuple(self.probes)
        self.probes.clear()
        self.probe_errors = 0
        return names

    def loop_seen(self, now: float) -> bool:
        """Record that a probe came back; True when it was not known to loop."""
        known, self.looping, self.looped_at = self.looping, True, now
        self.health.explained()
        return not known

    def loop_gone(self) -> bool:
        """Record that a probe was answered by somebody else; True when it was known to loop."""
        known, self.looping = self.looping, False
        return known

    def review_habits(self, now: float) -> None:
        """Retry what was left out for a while."""
        self.edns_habit.review(now)
        self.case_habit.review(now)
        self.settle()

    def settle(self) -> None:
        """Update how the upstream is asked, after its habits have changed."""
        self.edns = self.edns_habit.used
        self.mixed_case = self.case_habit.mixed
        self.doubted = self.edns_habit.doubted or self.case_habit.doubted

    def socket_address(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return what a socket is connected to; raises OSError while there is no interface of an address's zone.

        Python looks a zone up only in a tuple of four, and an interface may come, or another one with its name.
        """
        if not self.zone:
            return self.address
        host, port = self.address
        number = int(self.zone) if self.zone.isdecimal() else socket.if_nametoindex(self.zone)
        return host.partition("%")[0], port, 0, number

    def is_news(self, failure: str, now: float) -> bool:
        """Tell whether a failure of a stream is to be logged: each once, and again after a while."""
        if now < self._reported_at + (_REPORT_AGAIN if failure == self._reported else _REPORT_NEXT):
            return False
        self._reported = failure
        self._reported_at = now
        return True

    def statistics(self) -> metrics.Upstream:
        """Return the upstream in numbers."""
        return metrics.Upstream(
            name=self.name,
            domain=self.domain,
            up=self.health.up,
            looping=self.looping,
            queries=self.queries,
            probes=self.asked_probes,
            replies=self.replies,
            failures=self.failures,
            timeouts=self.timeouts,
            probe_failures=self.probe_failures,
            rtt=self.health.rtt,
            p95=self.health.p95,
            mixed_case=self.mixed_case,
            bad=dict(self.bad),
            durations=dict(self.durations),
        )
