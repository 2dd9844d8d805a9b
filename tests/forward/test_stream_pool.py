"""How many connections there are to an upstream, and how many questions each is given."""

import trio

from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.wire.message import NOERROR
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    forwarder,
    route,
)
from tests.forward.streams import Peer, answers, ask_all, closes_after, over_tcp, stream_upstream


async def test_connections_at_once_are_bounded(clock: LoopbackClock) -> None:
    present = most = 0

    async def behave(peer: Peer) -> None:
        nonlocal present, most
        present += 1
        most = max(most, present)
        if query := await peer.query():
            await trio.sleep(0.05)
            await peer.answer(query)
        present -= 1

    async with stream_upstream(behave) as server:
        settings = route(UpstreamSpec(HOST, server.port, Transport.TCP), deadline=20)
        async with forwarder(settings) as forward:
            outcomes = await ask_all(forward, *(f"n{i}.example.com" for i in range(100)))
    assert {outcome.rcode for outcome in outcomes.values()} == {NOERROR}
    assert 8 < most <= 16


async def test_what_a_connection_takes_is_learnt(clock: LoopbackClock) -> None:
    async with stream_upstream(closes_after(2)) as server, forwarder(over_tcp(server)) as forward:
        await ask_all(forward, *(f"a{i}.example.com" for i in range(10)))
        before = server.connections
        await ask_all(forward, *(f"b{i}.example.com" for i in range(10)))
        assert server.connections == before + 5


async def test_what_was_learnt_is_forgotten_when_a_connection_takes_more(clock: LoopbackClock) -> None:
    async def behave(peer: Peer) -> None:
        await (closes_after(1)(peer) if peer.number < 4 else answers(peer))

    async with stream_upstream(behave) as server:
        async with forwarder(over_tcp(server)) as forward:
            for i in range(20):
                await ask_all(forward, f"a{i}.example.com", f"b{i}.example.com")
                clock.jump(0.3)
                await trio.sleep(0.3)
        assert server.connections < 20


async def test_one_connection_is_enough_for_who_answers_all(clock: LoopbackClock) -> None:
    async with stream_upstream(answers) as server:
        async with forwarder(over_tcp(server)) as forward:
            for turn in range(5):
                await ask_all(forward, *(f"n{i}.t{turn}.example.com" for i in range(200)))
        assert server.connections == 1
