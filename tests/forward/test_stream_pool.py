"""How many connections there are to an upstream, and how many questions each is given."""

import pytest
import trio

from dnsserver.forward.lookup import Attempt
from dnsserver.forward.receiver import FORGET_AFTER
from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.forward.stream_pool import Connection, Pool, StreamQuery
from dnsserver.forward.upstream import Upstream
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


def test_what_nobody_waits_for_any_more_is_forgotten_in_time() -> None:
    upstream = Upstream(UpstreamSpec(HOST, 53, Transport.TCP), HOST, b"\0")
    pool = Pool(upstream)
    connection = Connection(0.0)
    pool.connections.append(connection)
    most = 0
    for number in range(20_000):
        now = number / 100  # seconds, of a silent upstream
        pool.sweep(now)
        question = StreamQuery(Attempt(None, upstream, b"", now), number.to_bytes(2), wanted=True)
        pool.add(question)
        if number % 2:
            pool.queue.remove(question)
            connection.put(question, now)
        most = max(most, len(pool.asked))
    # Those that wait in the queue go at once, those that were sent when no answer is believed any more.
    assert most < 2 * (256 + 100 * FORGET_AFTER)


@pytest.mark.parametrize("sent", [False, True])
def test_what_somebody_waits_for_is_not_forgotten(sent: bool) -> None:
    upstream = Upstream(UpstreamSpec(HOST, 53, Transport.TCP), HOST, b"\0")
    pool = Pool(upstream)
    connection = Connection(0.0)
    pool.connections.append(connection)
    for number in range(1000):
        probe = StreamQuery(Attempt(None, upstream, b"", 0.0, probe=True), number.to_bytes(2), wanted=False)
        pool.add(probe)
        if sent:
            connection.put(probe, 0.0)
    pool.sweep(1000.0)
    assert len(pool.asked) == 1000
