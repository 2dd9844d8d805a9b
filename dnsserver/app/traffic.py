"""Counts who asks what, for all processes, and reports it.

Each process samples its packets. Workers send theirs with their numbers, twice a second. Here they are counted, a few
at a time, so that answers do not wait.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import trio

from dnsserver import __version__, metrics
from dnsserver.app.client_names import ClientNames, Owners
from dnsserver.app.dns_service import DnsService
from dnsserver.clients import shown_address
from dnsserver.metrics import Readings
from dnsserver.pace import next_look
from dnsserver.server.pages import verdict
from dnsserver.traffic import report
from dnsserver.traffic.failures import Failure
from dnsserver.traffic.gathered import Gathered, Gatherer
from dnsserver.traffic.upstream_history import EVERY, UpstreamHistory
from dnsserver.traffic.who_asks import SLOW, WhoAsks
from dnsserver.traffic.window import Shown, Top
from dnsserver.wire.message import DROP, NXDOMAIN, rcode_name, type_name
from dnsserver.wire.name import to_text

LISTS: Final = ("clients", "names", "domains", "missing", "slow", "upstreams")
TICK: Final = 0.5  # seconds
_SLICE: Final = 100  # samples or replies that are counted in one go: 0.5 ms
_QUEUE: Final = 128  # of what was gathered: 64 processes, and one more turn of each


class TrafficCounter:
    """Counts in the first process. `brief` gives the server's readings, `others` what the workers have counted."""

    def __init__(
        self, dns: DnsService, brief: Callable[[], Readings], others: Callable[[], Iterable[metrics.Process]]
    ) -> None:
        """Observe the replies of this process; nothing is counted until `run`."""
        self._dns = dns
        self._brief = brief
        self._others = others
        self._gatherer = Gatherer(dns.responder.sampler)
        dns.digest.consumers.append(self._gatherer.see)
        self._who = WhoAsks()
        self._upstreams = UpstreamHistory()
        self._names = ClientNames(dns.cluster.index)
        self._queue: deque[Gathered] = deque(maxlen=_QUEUE)
        self._every: dict[int, int] = {}  # by process
        self._unrecorded = 0
        self._due = 0.0  # when the next record of the upstreams is

    def take(self, gathered: Gathered, process: int = 0) -> None:
        """Take the statistics of a process, to be counted soon."""
        self._queue.append(gathered)
        self._every[process] = gathered.every
        self._unrecorded += gathered.left_out

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            await self.count()
            await trio.sleep_until(next_look(TICK))

    async def count(self) -> None:
        """Count what there is to count now."""
        now = trio.current_time()
        self._who.begin(now, sampling=self._sampling)
        if now >= self._due:
            self._due = now + EVERY
            self._upstreams.record(self._counted(), now)
        self.take(self._gatherer.take(now, self._dns.observer.missed))
        while self._queue:
            await self._count(self._queue.popleft())

    async def _count(self, gathered: Gathered) -> None:
        for start in range(0, len(gathered.samples), _SLICE):
            self._who.sampled(gathered.samples[start : start + _SLICE], trio.current_time())
            await trio.lowlevel.checkpoint()
        for start in range(0, len(gathered.seen), _SLICE):
            now = trio.current_time()
            for seen in gathered.seen[start : start + _SLICE]:
                self._who.observed(seen, now)
            await trio.lowlevel.checkpoint()

    @property
    def _sampling(self) -> bool:
        """Whether packets are looked at."""
        return bool(self._dns.responder.sampler.every)

    # ---- what is said of it

    async def top(self, lists: Collection[str], minutes: int, limit: int) -> report.Top:
        """Return some of the LISTS of a window, each with so many rows at most."""
        found: dict[str, Any] = {}
        for name in lists:
            found[name] = getattr(self, f"_list_{name}")(minutes, limit, trio.current_time())
            await trio.lowlevel.checkpoint()
        return self._about(minutes, **found)

    def asked_by(self, client: bytes, minutes: int, limit: int) -> report.Top:
        """Return the names that a client, by its packed address, asks for most."""
        names = _names(self._who.recent.names(client, minutes, limit, trio.current_time()), self._missing())
        return self._about(minutes, asks=shown_address(client), names=names)

    def askers_of(self, name: bytes, minutes: int, limit: int) -> report.Top:
        """Return the clients that ask most for a name in wire form and lower case."""
        clients = self._clients(self._who.recent.clients(name, minutes, limit, trio.current_time()))
        return self._about(minutes, asked=to_text(name), clients=clients)

    def _about(self, minutes: int, **found: Any) -> report.Top:
        return report.Top(
            server=self._state(),
            window=minutes,
            counting=self._sampling,
            one_in=max(self._every.values(), default=1),
            slow_from=SLOW,
            **found,
        )

    def failures(self, limit: int, *, missing: bool = True) -> report.FailureList:
        """Return the failures just seen, with or without names that do not exist."""
        found = [each for each in self._who.failures.latest() if missing or each.rcode != NXDOMAIN][:limit]
        owners = self._names.owners(each.client for each in found)
        now = time.time()
        rows = tuple(_failure_row(each, owners[each.client], now) for each in found)
        return report.FailureList(self._unrecorded, rows)

    def _list_clients(self, minutes: int, limit: int, now: float) -> report.Listing[report.Client]:
        return self._clients(self._who.clients.top(minutes, limit, now))

    def _clients(self, top: Top) -> report.Listing[report.Client]:
        owners = self._names.owners(item.key for item in top.items)
        rows = (
            report.Client(
                shown_address(item.key), *owners[item.key], item.count, item.plus_minus, _share(item.count, top)
            )
            for item in top.items
        )
        return report.Listing(top.seconds, top.total, top.slack, tuple(rows))

    def _list_names(self, minutes: int, limit: int, now: float) -> report.Listing[report.Name]:
        return _names(self._who.names.top(minutes, limit, now), {})

    def _list_domains(self, minutes: int, limit: int, now: float) -> report.Listing[report.Name]:
        return _names(self._who.domains.top(minutes, limit, now), {})

    def _list_missing(self, minutes: int, limit: int, now: float) -> report.Listing[report.Name]:
        return _names(self._who.missing.top(minutes, limit, now), self._missing())

    def _missing(self) -> dict[bytes, str]:
        """Return the reasons for which names of recent questions did not exist."""
        return {each.name: each.reason for each in self._who.failures.latest() if each.rcode == NXDOMAIN}

    def _list_slow(self, minutes: int, limit: int, now: float) -> report.Listing[report.SlowName]:
        top = self._who.slow.top(minutes, limit, now)
        rows = (report.SlowName(to_text(item.key), item.count, round(item.peak, 3)) for item in top.items)
        return report.Listing(top.seconds, top.total, top.slack, tuple(rows))

    def _list_upstreams(self, minutes: int, limit: int, now: float) -> report.Listing[report.UpstreamState]:
        """Return the state of the upstreams in this process, and the questions of all processes to them.

        One that serves several domains is as it is for the domain for which it is worst, and its times are the longest.
        """
        own: dict[str, list[metrics.Upstream]] = {}
        for upstream in self._dns.forwarder.statistics().upstreams:
            own.setdefault(upstream.name, []).append(upstream)
        seconds, windows = self._upstreams.window(self._counted(), minutes, now)
        rows = [
            report.UpstreamState(
                name=each.name,
                up=all(one.up for one in own[each.name]),
                looping=any(one.looping for one in own[each.name]),
                rtt=max(one.rtt for one in own[each.name]),
                p95=max(one.p95 for one in own[each.name]),
                queries=each.queries,
                replies=each.replies,
                causes=each.causes,
            )
            for each in windows
            if each.name in own
        ]
        rows.sort(key=lambda row: (row.up, -sum(row.causes.values()), -row.queries, row.name))
        return report.Listing(seconds, sum(row.queries for row in rows), 0, tuple(rows[:limit]))

    def _counted(self) -> list[metrics.Upstream]:
        found = list(self._dns.forwarder.statistics().upstreams)
        for process in self._others():
            found += process.forward.upstreams
        return found

    def _state(self) -> report.ServerState:
        readings = self._brief()
        heard = [kind.last_heard for kind in readings.kinds if kind.last_heard is not None]
        return report.ServerState(
            version=__version__,
            ready=readings.ready,
            verdict=verdict(readings),
            stale=readings.zone.stale,
            data_age=round(readings.now - min(heard), 1) if heard else None,
            processes=len(self._every) or 1,
        )


def _share(count: int, top: Top) -> float:
    return round(min(1.0, count / top.total), 4) if top.total else 0.0


def _names(top: Top, why: dict[bytes, str]) -> report.Listing[report.Name]:
    def row(item: Shown) -> report.Name:
        return report.Name(
            to_text(item.key), item.count, item.plus_minus, _share(item.count, top), why.get(item.key, "")
        )

    return report.Listing(top.seconds, top.total, top.slack, tuple(map(row, top.items)))


def _failure_row(failure: Failure, owners: Owners, now: float) -> report.FailureRow:
    return report.FailureRow(
        client=shown_address(failure.client),
        pods=owners.pods,
        services=owners.services,
        name=to_text(failure.name) if failure.name else "",
        type=type_name(failure.type) if failure.name else "",
        rcode="" if failure.rcode == DROP else rcode_name(failure.rcode),
        reason=failure.reason,
        text=failure.text,
        seconds=round(failure.seconds, 3),
        age=round(max(0.0, now - failure.last), 1),
        first_age=round(max(0.0, now - failure.first), 1),
        count=failure.count,
    )
