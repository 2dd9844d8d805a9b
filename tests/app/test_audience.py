"""Observers in one process: the replies that they want are noted and followed, and no others."""

from ipaddress import ip_network
from typing import Any

import dns.message
import pytest
import trio

from dnsserver.app.audience import Audience
from dnsserver.app.digest import Digest
from dnsserver.config.model import QueryLog
from dnsserver.config.values import Domain, Network, QuestionType
from dnsserver.faults import Faults
from dnsserver.logger import redirected
from dnsserver.server.observer import ROOM
from dnsserver.traffic.filters import Filter, prefixes
from dnsserver.traffic.observed import MOST_ROOM, Observed
from dnsserver.traffic.who_asks import SLOW
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from tests.server.unplugged import Server

NONE, WEB = "none.shop.svc.cluster.local", "web.shop.svc.cluster.local"


class Looking:
    """A server without sockets, and those who look on."""

    def __init__(self, *tables: QueryLog, processes: int = 1) -> None:
        self.server = Server()
        self.lines: list[bytes] = []
        responder = self.server.responder
        self.observer = responder.observer
        self.digest = Digest(self.observer, lambda: self.server.now, Faults())
        self.audience = Audience(
            self.observer, responder, self.digest, self.lines.append, lambda: self.server.now, lambda: 0.0
        )
        self.audience.use(tables, processes)

    async def ask(self, name: str, type_: str = "A", times: int = 1) -> list[bytes]:
        for _ in range(times):
            self.server.udp.ask(dns.message.make_query(name, type_, id=7, use_edns=0, payload=1232).to_wire())
        before = len(self.lines)
        await self.digest.tell()
        return self.lines[before:]


class Followed:
    def __init__(self, of: Filter, sample: int = 1) -> None:
        self.filter, self.sample = of, sample
        self.seen: list[Observed] = []

    def take(self, seen: Observed) -> None:
        self.seen.append(seen)


COUNTS: dict[str, tuple[list[QueryLog], int, int, int]] = {  # lines of 4 denials, 4 successes, 4 without data
    "no log": ([], 0, 0, 0),
    "as it is written without keys": ([QueryLog()], 4, 0, 4),
    "errors": ([QueryLog(classes=("error",))], 0, 0, 0),
    "successes": ([QueryLog(classes=("success",))], 0, 4, 0),
    "all": ([QueryLog(classes=("all",))], 4, 4, 4),
    "two tables": ([QueryLog(classes=("success",)), QueryLog(classes=("denial",))], 4, 4, 4),
    "a domain": ([QueryLog(classes=("all",), below=(Domain.parse(WEB),))], 0, 4, 4),
    "a type": ([QueryLog(classes=("all",), types=(QuestionType.parse("AAAA"),))], 0, 0, 4),
    "an rcode": ([QueryLog(classes=("all",), rcodes=("NXDOMAIN",))], 4, 0, 0),
    "its client": ([QueryLog(classes=("all",), clients=(Network("10.0.0.0/24"),))], 4, 4, 4),
    "another client": ([QueryLog(classes=("all",), clients=(Network("10.0.1.0/24"),))], 0, 0, 0),
}


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
async def test_each_query_that_a_table_wants_has_a_line_kept_or_not(
    counts: tuple[list[QueryLog], int, int, int],
) -> None:
    tables, denials, successes, empty = counts
    looking = Looking(*tables)
    assert len(await looking.ask(NONE, times=4)) == denials
    assert len(await looking.ask(WEB, times=4)) == successes
    assert len(await looking.ask(WEB, "AAAA", times=4)) == empty
    assert looking.audience.statistics().lines == denials + successes + empty


async def test_another_log_moves_what_is_kept_and_none_costs_nothing() -> None:
    looking = Looking()
    for name in (NONE, WEB):
        await looking.ask(name, times=4)
    table = looking.server.udp.table
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looking.audience.run)
        for classes, followed in ((("denial",), 1), (("all",), 2), (("slow",), 0), (("success", "error"), 1)):
            looking.audience.use([QueryLog(classes=classes)], 1)  # type: ignore[arg-type]
            await trio.testing.wait_all_tasks_blocked()
            assert (len(table.followed), len(table.replies)) == (followed, 2 - followed)
        looking.audience.use([], 1)
        await trio.testing.wait_all_tasks_blocked()
        assert (len(table.followed), len(table.replies)) == (0, 2)
        nursery.cancel_scope.cancel()
    assert await looking.ask(NONE, times=4) == []
    assert looking.server.responder.miss == looking.server.responder.respond
    assert looking.digest.consumers == []
    assert (looking.observer.everything, looking.observer.slow, looking.observer.room) == (False, SLOW, ROOM)


async def test_a_follower_sees_what_it_wants_while_it_is_there() -> None:
    looking = Looking()
    await looking.ask(NONE, times=4)
    one = Followed(Filter(frozenset(("denial",)), clients=prefixes([ip_network("10.0.0.0/8")])))
    other = Followed(Filter(frozenset(("success",)), below=(from_text(WEB),)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looking.audience.run)
        for _ in range(2):
            for change in (looking.audience.join, looking.audience.leave, looking.audience.leave):
                change(one)
                change(other)
                await trio.testing.wait_all_tasks_blocked()
                await looking.ask(NONE, times=2)
                await looking.ask(WEB, times=2)
        nursery.cancel_scope.cancel()
    assert [(seen.name, seen.rcode) for seen in one.seen] == [(from_text(NONE), m.NXDOMAIN)] * 4
    assert [(seen.name, seen.rcode) for seen in other.seen] == [(from_text(WEB), m.NOERROR)] * 4
    assert looking.lines == []


@pytest.mark.parametrize(
    ("of", "everything", "slow"),
    [
        (Filter(frozenset(("all",))), True, SLOW),
        (Filter(frozenset(("all",)), took=0.02), False, 0.02),
        (Filter(frozenset(("error", "success")), took=0.02), False, 0.02),
        (Filter(frozenset(("error",)), took=0.02), False, SLOW),
        (Filter(frozenset(("slow",)), slow=0.05), False, 0.05),
        (Filter(frozenset(("slow",)), slow=0.02, took=0.05), False, 0.05),
        (Filter(frozenset(("all",)), took=0.5), False, SLOW),
    ],
)
def test_of_successes_those_are_noted_that_took_as_long_as_somebody_wants(
    of: Filter, everything: bool, slow: float
) -> None:
    looking = Looking()
    looking.audience.join(Followed(of))
    assert (looking.observer.everything, looking.observer.slow) == (everything, slow)


@pytest.mark.parametrize(
    ("table", "room"),
    [
        (QueryLog(), ROOM),
        (QueryLog(rate=4000), 400),
        (QueryLog(rate=100, sample=40), 400),
        (QueryLog(rate=0), MOST_ROOM),
        (QueryLog(rate=1_000_000), MOST_ROOM),
        (QueryLog(below=(Domain.parse("example.com"),)), MOST_ROOM),
    ],
)
def test_as_much_is_looked_at_as_may_be_shown(table: QueryLog, room: int) -> None:
    assert Looking(table).observer.room == room


async def test_processes_share_the_rate() -> None:
    looking = Looking(QueryLog(rate=10), processes=2)
    assert len(await looking.ask(NONE, times=20)) == 5


async def test_what_has_no_line_is_told(autojump_clock: Any) -> None:
    looking = Looking(QueryLog(rate=10))
    told: list[dict[str, Any]] = []
    with redirected(lambda level, name, event: told.append(event)):  # noqa: ARG005
        async with trio.open_nursery() as nursery:
            nursery.start_soon(looking.audience.run)
            await trio.sleep(30)
            assert told == []
            await looking.ask(NONE, times=ROOM + 7)
            await trio.sleep(30)
            nursery.cancel_scope.cancel()
    assert told == [{"event": "query log lines left out", "over_rate": ROOM - 10, "not_looked_at": 7}]
