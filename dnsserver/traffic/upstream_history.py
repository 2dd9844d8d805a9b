"""How often each upstream failed in the last minutes, and how: the differences of its counts since the start."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

import msgspec

from dnsserver.metrics import Upstream
from dnsserver.wire.message import NOERROR, NXDOMAIN, rcode_name

EVERY: Final = 10.0  # seconds between two records of what was counted
_KEPT: Final = 16 * 60.0 + EVERY
_FINE: Final = 60.0 + EVERY  # seconds; of what is older one record a minute is kept
_Counts = dict[str, Counter[str]]


class UpstreamWindow(msgspec.Struct, frozen=True):
    """What an upstream did in a window: `causes` are failures by cause, which may be more than `queries`.

    Each failure is counted once. A reply with an error is counted under its rcode, as `SERVFAIL`; no reply in time as
    `silent`, without the replies that probes did not get; a reply that could not be used as `unusable-` and what was
    wrong with it; a closed port or a lost connection as `unreachable`.
    """

    name: str
    queries: int
    replies: int
    causes: dict[str, int]


class UpstreamHistory:
    """What all upstreams had counted at some times of the last minutes. At most some 22 records are kept."""

    def __init__(self) -> None:
        """Begin without a record: until there is one, a window begins with the first one."""
        self._records: deque[tuple[float, _Counts]] = deque()

    def record(self, upstreams: Iterable[Upstream], now: float) -> None:
        """Record what was counted until now, in all processes."""
        records = self._records
        records.append((now, _counted(upstreams)))
        while records and records[0][0] < now - _KEPT:
            records.popleft()
        coarse = [time for time, _ in records if time < now - _FINE]
        if len(coarse) >= 2 and int(coarse[-1] // 60) == int(coarse[-2] // 60):
            del records[len(coarse) - 1]

    def window(
        self, upstreams: Iterable[Upstream], minutes: int, now: float
    ) -> tuple[float, tuple[UpstreamWindow, ...]]:
        """Return how many seconds the window has, and what each upstream did in it, by what is counted now."""
        begin, before = now, _counted(upstreams := tuple(upstreams))
        for time, counts in reversed(self._records):
            begin, before = time, counts
            if time <= now - 60 * minutes:
                break
        after = _counted(upstreams)
        return now - begin, tuple(_between(name, before.get(name, Counter()), counts) for name, counts in after.items())


def _counted(upstreams: Iterable[Upstream]) -> _Counts:
    """Return the counts by upstream; an upstream that serves several domains is one row."""
    found: _Counts = {}
    for upstream in upstreams:
        counts = found.setdefault(upstream.name, Counter())
        counts.update(queries=upstream.queries, replies=upstream.replies)
        counts.update(silent=upstream.timeouts - upstream.probe_failures)
        counts.update({f"unusable-{kind}": count for kind, count in upstream.bad.items()})
        errors = {
            rcode_name(rcode): sum(durations.counts)
            for rcode, durations in upstream.durations.items()
            if rcode not in {NOERROR, NXDOMAIN}
        }
        counts.update(errors)
        counts.update(unreachable=max(0, upstream.failures - sum(errors.values())))
    return found


def _between(name: str, before: Counter[str], after: Counter[str]) -> UpstreamWindow:
    """Return what was counted between the two; the counts of an upstream that was replaced may have become smaller."""
    grown = {what: count - before[what] for what, count in after.items() if count > before[what]}
    queries, replies = grown.pop("queries", 0), grown.pop("replies", 0)
    return UpstreamWindow(name, queries, replies, grown)
