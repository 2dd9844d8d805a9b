"""The observers in one process: the log of queries, and everybody who follows the server with `tail`.

Their wishes decide what is noted of replies, and which kept replies are followed. Without observers nothing is noted.
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from random import Random
from typing import Protocol

import trio

from dnsserver import metrics
from dnsserver.app.digest import EVERY, Digest
from dnsserver.config.model import QueryLog as QueryLogTable
from dnsserver.log.query_lines import LINES
from dnsserver.logger import get_logger
from dnsserver.resolver.reply_cache import Reply, Wants
from dnsserver.server.observer import ROOM, Observer
from dnsserver.server.respond import Responder
from dnsserver.traffic.filters import NEVER, Filter, prefixes
from dnsserver.traffic.observed import MOST_ROOM, Observed
from dnsserver.traffic.query_log import QueryLog, Rule
from dnsserver.traffic.who_asks import SLOW
from dnsserver.wire import message as m

log = get_logger(__name__)

_OFTEN = 0.1  # seconds between two looks while somebody looks on: with the most room, some 5,000 of a kind a second
_TELL_EVERY = 10.0  # seconds between two lines about lines that there are not
_RCODES = {name: number for number, name in m.RCODE_NAMES.items()} | {"DROP": m.DROP}


class Follower(Protocol):
    """An observer that follows the replies for a while."""

    filter: Filter
    sample: int

    def take(self, seen: Observed) -> None:
        """Take replies that match the filter, or one in `sample` of them."""


class Audience:
    """The log and the followers of one process; `not_followed` counts what followers had no room for."""

    def __init__(
        self,
        observer: Observer,
        responder: Responder,
        digest: Digest,
        write: Callable[[bytes], None],
        clock: Callable[[], float],
        chance: Callable[[], float] | None = None,
    ) -> None:
        """Start without followers. `write` takes the lines of the log, `chance` returns numbers from 0 up to 1."""
        self._chance = chance or Random().random  # noqa: S311 - for samples
        self.log = QueryLog(write, clock, self._chance)
        self.followers: dict[Follower, None] = {}
        self.not_followed = 0
        self._observer = observer
        self._responder = responder
        self._digest = digest
        self._sweep: Iterator[None] = iter(())
        self._changed = trio.Event()
        self._told = 0, 0

    def use(self, tables: Iterable[QueryLogTable], processes: int) -> None:
        """Log by these tables from now on; their rates are for all processes together."""
        self.log.use([_rule(table, processes) for table in tables])
        self._refresh()

    def join(self, follower: Follower) -> None:
        """Add a follower."""
        self.followers[follower] = None
        self._refresh()

    def leave(self, follower: Follower) -> None:
        """Remove a follower."""
        self.followers.pop(follower, None)
        self._refresh()

    def _take(self, seen: Observed) -> None:
        self.log.take(seen)
        for follower in tuple(self.followers):
            if follower.filter.wants(seen) and (follower.sample == 1 or self._chance() * follower.sample < 1):
                follower.take(seen)

    def _refresh(self) -> None:
        """Let the observer record the replies that somebody wants now, and no others."""
        who: list[Rule | Follower] = [*self.log.rules, *self.followers]
        filters = [each.filter for each in who]
        observer = self._observer
        observer.everything = any(wanted.wants_successes for wanted in filters)
        observer.slow = min([SLOW, *(wanted.slow_from for wanted in filters)])
        self._digest.every = _OFTEN if who else EVERY
        consumers = [consumer for consumer in self._digest.consumers if consumer != self._take]
        self._digest.consumers[:] = [*consumers, self._take] if who else consumers
        observer.room = max(map(_room, who), default=ROOM)
        self._sweep = self._responder.follow(_wants(filters) if filters else None)
        self._changed.set()

    async def run(self) -> None:
        """Update cached replies when what is wanted changes, and log how many had no line; until cancelled."""
        while True:
            with trio.move_on_after(_TELL_EVERY if self.log.rules else NEVER):
                await self._changed.wait()
            self._changed = trio.Event()
            for _ in self._sweep:
                await trio.lowlevel.checkpoint()
            self.tell()

    @property
    def missed(self) -> int:
        """How many replies were not observed because too many came at once."""
        return self._observer.missed

    def statistics(self) -> metrics.Audience:
        """Return how many lines and replies were passed on."""
        return metrics.Audience(
            lines=self.log.lines,
            over_rate=self.log.left_out,
            missed=self._observer.missed,
            followers=len(self.followers),
            not_followed=self.not_followed,
        )

    def tell(self) -> None:
        """Log how many queries had no line since the last time, if any."""
        if not self.log.rules:
            self._told = self.log.left_out, self._observer.missed
            return
        over, missed = self.log.left_out - self._told[0], self._observer.missed - self._told[1]
        if over or missed:
            self._told = self.log.left_out, self._observer.missed
            log.warning("query log lines left out", over_rate=over, not_looked_at=missed)


def _rule(table: QueryLogTable, processes: int) -> Rule:
    return Rule(filter_of(table), LINES[table.format], table.sample, table.rate / processes)


def filter_of(table: QueryLogTable) -> Filter:
    """Return the filter of a table of the configuration."""
    return Filter(
        classes=frozenset(table.classes),
        slow=table.slow,
        clients=prefixes(ip_network(network.text) for network in table.clients),
        below=tuple(domain.wire for domain in table.below),
        types=frozenset(kind.number for kind in table.types),
        rcodes=frozenset(_RCODES[rcode] for rcode in table.rcodes),
    )


def _wants(filters: list[Filter]) -> Wants:
    """Return a function that tells whether somebody may want a cached reply."""

    def wants(key: bytes, reply: Reply) -> bool:
        records = reply.wire[4:6] != b"\0\0"
        return any(wanted.may_want(key, reply.labels[1], records=records) for wanted in filters)

    return wants


def _room(who: Rule | Follower) -> int:
    """Return how many rows of a kind are searched each time, to find as many as may be shown."""
    rate = who.rate if isinstance(who, Rule) else 0
    if not rate or who.filter.is_selective:
        return MOST_ROOM
    return min(MOST_ROOM, max(ROOM, int(rate * _OFTEN * who.sample)))
