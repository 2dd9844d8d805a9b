"""The state of an upstream, from live traffic: round trips, silence, errors. Pure: time is an argument."""

from collections import deque

_SAMPLES = 64
_EVERY = 16

# Until a round trip was seen an upstream gets this long, as long as any gets, before another one is asked: Unbound
# starts with 376 ms, and a resolver far away or at a cold name often needs more than 100.
LONGEST_TIMEOUT = 0.4
SHORTEST_TIMEOUT = 0.1
SHORTEST_HEDGE = 0.01

# Whatever clients ask, an upstream gets no more than so many probes for it in so many seconds.
PROBES_AT_ONCE = 3
PROBES_WITHIN = 3.0

# Silent names that take down an upstream that answers questions, but never a probe.
_SILENT_NAMES = 3

# What one failure costs in the order of upstreams, in seconds: about what a client loses by it.
_PENALTY = 0.2
_FIRST_PROBE = 0.25
_LAST_PROBE = 10.0

# Seconds between two probes of an upstream that loops, at most: they come back, so nobody else is bothered by them, and
# whoever repairs the loop is waiting.
_LOOPING_EVERY = 2.0


class Health:
    """One upstream's condition.

    `up` is False from its silence about a probe, or a refused connection, on until anything is heard from it. What
    clients ask takes nothing down: names that are slow or lead nowhere are easily found. Silence about one only has
    the upstream probed, and so has whatever else makes it `suspected`. `probe_at` says when the next probe is due,
    where one is. `worry` puts the upstreams in order: 1 while a probe is under
    way because of silence, 2 when it is down.
    """

    __slots__ = (
        "_backoff",
        "_count",
        "_probe_replies",
        "_probe_silent",
        "_probed",
        "_samples",
        "_silent",
        "asked",
        "failing",
        "heard",
        "p95",
        "probe_at",
        "rtt",
        "suspected",
        "timeout",
        "up",
        "worry",
    )

    def __init__(self) -> None:
        """Begin in good health, with nothing known."""
        self.up = True
        self.worry = 0
        self.asked = False  # a probe was sent, once
        self.suspected = False
        self.rtt = 0.0  # smoothed, seconds; 0 before the first reply
        self.p95 = 0.0
        self.timeout = LONGEST_TIMEOUT  # how long to wait for a reply before another upstream is asked
        self.failing = 0.0  # share of late questions that were not answered, or with an error
        self.heard = float("-inf")
        self.probe_at = float("-inf")
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._count = 0
        self._silent: set[bytes] = set()  # names without an answer since it was heard
        self._probe_silent = False
        self._probe_replies = 0
        self._probed = deque([float("-inf")] * PROBES_AT_ONCE, maxlen=PROBES_AT_ONCE)  # when the last ones were sent
        self._backoff = _FIRST_PROBE

    def replied(self, trip: float, now: float) -> bool:
        """Record a reply after `trip` seconds; True when the upstream was down until now."""
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
            self.timeout = min(max(3 * self.p95, SHORTEST_TIMEOUT), LONGEST_TIMEOUT)
        self.heard = now
        if self._silent or self._probe_silent:
            self._silent.clear()
            self._probe_silent = False
            self.worry = 0
        if self.up:
            return False
        self.up = True
        self.worry = 0
        self._backoff = _FIRST_PROBE
        return True

    def failed(self) -> None:
        """Record a reply that was an error: it lives, but others are better."""
        self.failing += (1 - self.failing) / 10

    def silent(self, name: bytes, sent: float, now: float) -> bool:
        """Record that a question of the time `sent` got no answer in time; True when that takes the upstream down.

        It does so only beside a probe that is not answered either. It does not count when anything else was heard
        since: then the name is slow, and not the upstream.
        """
        self.failing += (1 - self.failing) / 10
        if self.heard > sent:
            return False
        if len(self._silent) < _SILENT_NAMES:
            self._silent.add(name)
        return self._is_dead() and self.broken(now)

    def probe_silent(self, sent: float, now: float) -> bool:
        """Record that a probe got no answer in time; True when that takes the upstream down."""
        if self.heard > sent:
            return False
        self._probe_silent = True
        return self._is_dead() and self.broken(now)

    def _is_dead(self) -> bool:
        if self._samples and not self._probe_replies:  # it answers no probe in the best of times
            return len(self._silent) >= _SILENT_NAMES
        return self._probe_silent and bool(self._silent)

    def broken(self, now: float) -> bool:
        """Record that it cannot be reached at all; True when it was up until now."""
        if not self.up:
            return False
        self.up = False
        self.worry = 2
        self.probe_at = now + self._backoff
        return True

    def suspect(self, now: float) -> bool:
        """Record a sign that something is wrong; True when a probe is to find out at once."""
        self.suspected = True
        self.probe_at = min(self.probe_at, max(now, self._probed[0] + PROBES_WITHIN))
        return self.probe_at <= now

    def probed(self, now: float, *, looping: bool = False) -> None:
        """Record that a probe is on its way: the next one follows later and later, but for one that is `looping`."""
        self.asked = True
        self._probed.append(now)
        if self._silent and self.up:
            self.worry = 1
        self._backoff = min(self._backoff * 2, _LAST_PROBE)
        self.probe_at = now + (min(self._backoff, _LOOPING_EVERY) if looping else self._backoff)

    def long_unprobed(self, now: float) -> bool:
        """Tell whether the last probe was sent so long ago that a small sign is enough for one."""
        return now > self._probed[-1] + _LAST_PROBE

    def probe_replied(self) -> None:
        """Record that a probe was answered in whatever way."""
        self._probe_replies += 1

    def keep_suspecting(self) -> None:
        """Record that a probe has not shown what is wrong."""
        self.suspected = True

    def explained(self) -> None:
        """Record that a probe has shown what is wrong."""
        self.suspected = False

    def cleared(self) -> None:
        """Record that a probe has shown that nothing is wrong."""
        self.suspected = False
        self._backoff = _FIRST_PROBE

    @property
    def probe_timeout(self) -> float:
        """How long to wait for the reply to a probe: its name is in no cache."""
        return min(2 * self.timeout, LONGEST_TIMEOUT)

    @property
    def hedge_after(self) -> float | None:
        """After how many seconds a reply is later than usual, None while nothing is known."""
        return max(self.p95, SHORTEST_HEDGE) if self._samples else None

    @property
    def score(self) -> float:
        """What a question to it is expected to take, in seconds; failures count as lost time."""
        return (self.rtt if self._samples else SHORTEST_TIMEOUT) + self.failing * _PENALTY
