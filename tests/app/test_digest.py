"""The task that informs observers: all of them, in order, in slices; a bug in one of them costs only one item."""

from itertools import pairwise

import dns.message
import pytest
import trio
import trio.testing

from dnsserver.app.digest import EVERY, Digest
from dnsserver.faults import Faults
from dnsserver.traffic.observed import Observed
from tests.server.unplugged import Server


def ask(server: Server, number: int) -> None:
    server.udp.ask(dns.message.make_query(f"n{number}.shop.svc.cluster.local", "A").to_wire())


async def test_everybody_is_told_of_each_once(autojump_clock: trio.testing.MockClock) -> None:
    server, faults = Server(), Faults()
    digest = Digest(server.responder.observer, lambda: server.now, faults)
    one: list[Observed] = []
    other: list[Observed] = []
    digest.consumers += [one.append, other.append]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(digest.run)
        for number in range(3):
            ask(server, number)
            await trio.sleep(2 * EVERY)
        nursery.cancel_scope.cancel()
    assert [seen.name for seen in one] == [b"\2n%d\4shop\3svc\7cluster\5local\0" % number for number in range(3)]
    assert one == other
    assert not faults.counts


@pytest.mark.parametrize("costs", [0.0, 0.0015])
async def test_others_have_their_turn_while_there_is_much_to_tell(costs: float) -> None:
    server = Server()
    for number in range(100):
        ask(server, number)
    digest = Digest(server.responder.observer, lambda: server.now, Faults())
    told: list[float] = []

    def take(seen: Observed) -> None:
        del seen
        server.now += costs
        told.append(server.now)

    digest.consumers.append(take)
    turns = []
    async with trio.open_nursery() as nursery:

        async def run_beside() -> None:
            while len(told) < 100:
                turns.append(len(told))
                await trio.lowlevel.checkpoint()

        nursery.start_soon(run_beside)
        await trio.lowlevel.checkpoint()
        await digest.tell()
    assert max(later - before for before, later in pairwise([0, *turns, 100])) <= (4 if costs else 100)  # two slices


async def test_a_bug_of_one_who_looks_on_costs_one_thing() -> None:
    server, faults = Server(), Faults()
    digest = Digest(server.responder.observer, lambda: server.now, faults)
    told: list[Observed] = []

    def take(seen: Observed) -> None:
        if b"n1" in seen.name:
            raise ValueError(seen)
        told.append(seen)

    digest.consumers.append(take)
    for number in range(3):
        ask(server, number)
    await digest.tell()
    assert len(told) == 2
    assert faults.counts == {"observed": 1}
