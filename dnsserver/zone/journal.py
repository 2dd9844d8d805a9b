"""The journal of a zone: which Services changed, when, and what DNS showed of them before and after.

No answer needs it. It says what changed at 14:02, when a client could not find a name. The changes of a Service within
a minute of the first one are one row, so that a rollout of a hundred pods is a row or two. What breaks a Service begins
a row, so that the time of the row is the time of that. An event only leaves what it has replaced; rows are made of that
when many events have, or when somebody asks.
"""

from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from dnsserver.zone.index import Before, Index, Pair, ServiceView

ROWS = 1000  # the oldest one goes first
ROW = 1024  # octets that a row takes at most
TOGETHER = 60.0  # seconds
AT_ONCE = 1.0  # seconds between events of one cause, as when a Service and its endpoints are deleted together
EMPTIED, LOST = 1, 2  # how badly a Service breaks: its last ready address goes, or it goes itself
PENDING = 64  # events


class Shown(msgspec.Struct, frozen=True, gc=False):
    """What DNS shows of a Service at one moment, or whether there is a Namespace.

    `ready` counts the addresses of endpoints that are ready, and `unready` the endpoints that are not.
    """

    exists: bool
    service: ServiceView | None
    ready: int
    unready: int


class Change(msgspec.Struct, gc=False, eq=False):
    """What `count` events changed of a Service from `first` to `last`, which are unix times in seconds.

    After `present` of them there was such an object, and `fewest` is the lowest number of ready endpoints after any. In
    the key of a Namespace the name is empty. `worst` is the worst that happened: EMPTIED, LOST, or 0. `listed` says
    that a list brought the first of them, as after an outage of the API server: so it may have happened before.
    """

    key: Pair
    first: float
    last: float
    count: int
    present: int
    before: Shown
    after: Shown
    fewest: int
    worst: int = 0
    listed: bool = False


class Journal:
    """The last changes of an index; all of them that were over since the unix time `since`, which is 0 at first."""

    def __init__(self, index: Index) -> None:
        """Begin with no change."""
        # Unix times, whether the events are of a list, and what they replaced.
        self.pending: list[tuple[float, bool, Mapping[Pair, Before]]] = []
        self.since = 0.0
        self._index = index
        self._rows: deque[Change] = deque()
        self._latest: dict[Pair, Change] = {}  # of each Service that has a row

    def settle(self) -> None:
        """Make rows of the events that are pending; what one has left is what the next one of its Service replaced."""
        pending, self.pending = self.pending, []
        steps: list[tuple[float, bool, Pair, Before, Before]] = []
        later: dict[Pair, Before] = {}
        for wall, listed, before in reversed(pending):
            for key, earlier in before.items():
                steps.append((wall, listed, key, earlier, later.get(key) or self._now(key)))
                later[key] = earlier
        for wall, listed, key, earlier, after in reversed(steps):
            self._note(wall, key, _shown(earlier), _shown(after), listed=listed)

    def changes(self, namespace: bytes | None = None, service: bytes | None = None) -> Iterator[Change]:
        """Give the changes of everything, of a namespace, or of a Service; the row that began last comes first."""
        self.settle()
        for row in reversed(self._rows):
            if namespace in {None, row.key[0]} and service in {None, row.key[1]}:
                yield row

    def has(self, namespace: bytes | None = None, service: bytes | None = None) -> bool:
        """Return whether there is such a namespace, or Service, now; anything is there if none is named."""
        return namespace is None or self._now((namespace, service or b"")).exists

    def _note(self, wall: float, key: Pair, before: Shown, after: Shown, *, listed: bool) -> None:
        row, bad = self._latest.get(key), _break(before, after)
        if row is None or not 0 <= wall - row.first < (AT_ONCE if bad > row.worst else TOGETHER):
            row = Change(key, wall, wall, 0, 0, before, after, after.ready, listed=listed)
            self._add(row)
        row.last, row.after = wall, after
        row.count += 1
        row.present += after.exists
        row.fewest = min(row.fewest, after.ready)
        row.worst = max(row.worst, bad)

    def _add(self, row: Change) -> None:
        if len(self._rows) == ROWS:
            oldest = self._rows.popleft()
            self.since = max(self.since, oldest.last)
            if self._latest[oldest.key] is oldest:
                del self._latest[oldest.key]
        self._rows.append(row)
        self._latest[row.key] = row

    def _now(self, key: Pair) -> Before:
        if not key[1]:
            return Before(key[0] in self._index.namespaces)
        entry = self._index.entry(key)
        return Before(exists=False) if entry is None else Before(entry.service is not None, entry.service, entry.slices)


def _break(before: Shown, after: Shown) -> int:
    """Return how badly an event breaks a Service or a Namespace, 0 if it does not."""
    if not before.exists:
        return 0
    if not after.exists:
        return LOST
    return EMPTIED if before.ready and not after.ready else 0


def _shown(found: Before) -> Shown:
    ready, unready = sum(part.count for part in found.slices), sum(part.unready for part in found.slices)
    return Shown(found.exists, found.service, ready, unready)
