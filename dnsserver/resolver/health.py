"""How an upstream does, from what live traffic shows: round trips, silence, errors. Pure: time is an argument."""

from collections import deque

_SAMPLES = 64
_EVERY = 16

# Until a round trip was seen an upstream gets this long, as long as any gets, before another one is asked: Unbound
# starts with 376 ms, and a resolver far away or at a cold name often needs more than 100.
LONGEST_PATIENCE = 0.4
SHORTEST_PATIENCE = 0.1
SHORTEST_HEDGE = 0.01

# An upstream that once answered may miss one question (packets get lost); one that never did is down at the first.
_SILENCES = 2

# What one failure costs in the order of upstreams, in seconds: about what a client loses by it.
_PENALTY = 0.2
_FIRST_PROBE = 0.25
_LAST_PROBE = 10.0


class Health:
    """One upstream's condition.

    `up` is False from silence or a refused connection on until anything is heard from it. While it is down,
    `probe_at` says when to ask it something that no client waits for.
    """

    __slots__ = (
        "_backoff",
        "_count",
        "_samples",
        "_silences",
        "asked",
        "failing",
        "heard",
        "p95",
        "patience",
        "probe_at",
        "rtt",
        "up",
    )

    def __init__(self) -> None:
        """Begin in good health, with nothing known."""
        self.up = True
        self.asked = False  # a probe was sent, once
        self.rtt = 0.0  # smoothed, seconds; 0 before the first reply
        self.p95 = 0.0
        self.patience = LONGEST_PATIENCE  # how long to wait for a reply before another upstream is asked
        self.failing = 0.0  # share of late questions that were not answered, or with an error
        self.heard = float("-inf")
        self.probe_at = float("-inf")
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._count = 0
        self._silences = 0
        self._backoff = _FIRST_PROBE

    def replied(self, trip: float, now: float) -> bool:
        """Take in a reply after `trip` seconds; True when the upstream was down until now."""
        samples = self._samples
        if samples:
            self.rtt += (trip - self.rtt) / 8  # RFC 6298 section 2
            self.failing *= 0.9
        else:
            self.rtt = trip
        samples.append(trip)
        self._count = count = self._count + 1
        if count % _EVERY == 0 or count < 4:
            self.p95 = sorted(samples)[len(samples) * 95 // 100]
            self.patience = min(max(3 * self.p95, SHORTEST_PATIENCE), LONGEST_PATIENCE)
        self.heard = now
        self._silences = 0
        if self.up:
            return False
        self.up = True
        self._backoff = _FIRST_PROBE
        return True

    def failed(self) -> None:
        """Take in a reply that was an error: it lives, but others are better."""
        self.failing += (1 - self.failing) / 10

    def silent(self, sent: float, now: float) -> bool:
        """Take in that a question of the time `sent` got no answer in time; True when that takes the upstream down.

        It does not count when anything else was heard since: then the name is slow, and not the upstream.
        """
        self.failing += (1 - self.failing) / 10
        if self.heard > sent:
            return False
        self._silences += 1
        if self._silences < _SILENCES and self._samples:
            return False
        return self.broken(now)

    def broken(self, now: float) -> bool:
        """Take in that it cannot be reached at all; True when it was up until now."""
        if not self.up:
            return False
        self.up = False
        self.probe_at = now + self._backoff
        return True

    def probed(self, now: float) -> None:
        """Take in that a probe is on its way: the next one follows later and later."""
        self.asked = True
        self._backoff = min(self._backoff * 2, _LAST_PROBE)
        self.probe_at = now + self._backoff

    @property
    def hedge_after(self) -> float | None:
        """After how many seconds a reply is later than usual, None while nothing is known."""
        return max(self.p95, SHORTEST_HEDGE) if self._samples else None

    @property
    def score(self) -> float:
        """What a question to it is expected to take, in seconds; failures count as lost time."""
        return (self.rtt if self._samples else SHORTEST_PATIENCE) + self.failing * _PENALTY
