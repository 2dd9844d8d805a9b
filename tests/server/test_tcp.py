"""Rows 12 to 14 of the protocol table, and the demands of RFC 7766 on a server, over loopback connections."""

import socket
from contextlib import AsyncExitStack
from selectors import EVENT_READ, SelectorKey
from typing import NamedTuple

import pytest
import trio
import trio.testing

from dnsserver.server.connection import TcpLimits
from dnsserver.server.tcp import by_turns
from tests.clock import LoopbackClock
from tests.server.parts import LARGE, Parts, TcpClient, framed, query, tcp_client, wait_gone

LIMITS = TcpLimits()


@pytest.fixture
def clock() -> LoopbackClock:
    """Virtual time that jumps after a quiet moment longer than the delay with which the kernel acknowledges data."""
    return LoopbackClock(patience=0.06)


# ---- answers as they come


async def test_row_12_a_slow_name_does_not_hold_up_a_fast_one() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(query("www.example.com", 1), query("web.shop", 2), query("web.shop", 3))
        assert [(await client.receive()).id for _ in range(2)] == [2, 3]
        parts.deliver()
        assert (await client.receive()).id == 1


async def test_row_13_a_query_in_several_writes(clock: LoopbackClock) -> None:
    parts = Parts()
    octets = framed(query("web.shop", 1), query("web.shop", 2))
    async with parts.tcp() as server, tcp_client(server) as client:
        for octet in octets:
            await client.stream.send_all(bytes((octet,)))
            await trio.testing.wait_all_tasks_blocked()
        assert [(await client.receive()).id for _ in range(2)] == [1, 2]
    assert clock.current_time() < LIMITS.partial


async def test_row_13_half_close_is_answered_in_full() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.stream.send_all(
            framed(query("www.example.com", 1), query("web.shop", 2)) + b"\0\x1dhalf a message"
        )
        await client.stream.send_eof()
        assert (await client.receive()).id == 2
        await parts.outside.wait_asked()
        parts.deliver()
        assert (await client.receive()).id == 1
        assert await client.wait_closed() == b""


async def test_row_13_an_empty_message_ends_it_behind_the_replies_so_far() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(query("web.shop", 1), b"")
        assert (await client.receive()).id == 1
        assert await client.wait_closed() == b""


async def test_replies_to_what_came_together_leave_together() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(*(query("web.shop", number) for number in range(100)))
        first = await client.stream.receive_some(65536)
        assert len(first) > 50 * 40  # at most a few reads of the server's, not a hundred segments


async def test_many_questions_in_a_row_are_all_answered() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, *(query("web.shop", number) for number in range(20_000)))
        assert [(await client.receive()).id for _ in range(20_000)] == list(range(20_000))


# ---- time


async def test_row_14_a_silent_connection_is_closed(clock: LoopbackClock) -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        assert await client.wait_closed() == b""
    assert LIMITS.idle <= clock.current_time() < LIMITS.idle + 0.5


async def test_row_14_half_a_message_is_waited_for_from_its_first_octet(clock: LoopbackClock) -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client, trio.open_nursery() as nursery:

        async def drip() -> None:
            while True:
                await client.stream.send_all(b"\1")
                await trio.sleep(1.0)

        nursery.start_soon(drip)
        assert await client.wait_closed() == b""
        nursery.cancel_scope.cancel()
    assert LIMITS.partial <= clock.current_time() < LIMITS.partial + 1.0


async def test_half_a_message_that_is_not_read_on_has_its_time_once_it_is(clock: LoopbackClock) -> None:
    """Not the client keeps the rest back: the server does not read while as much as it allows is under way."""
    parts = Parts()
    octets = framed(query("web.shop", 9))
    async with parts.tcp(TcpLimits(in_flight=2)) as server, tcp_client(server) as client:
        await client.stream.send_all(b"".join(framed(query(f"{n}.example.com", n)) for n in range(2)) + octets[:9])
        await parts.outside.wait_asked(2)
        await trio.sleep(2 * LIMITS.partial)
        parts.deliver()
        assert {(await client.receive()).id for _ in range(2)} == {0, 1}
        await trio.sleep(LIMITS.partial - 0.5)
        await client.stream.send_all(octets[9:])
        assert (await client.receive()).id == 9
        await client.stream.send_all(octets[:9])
        assert await client.wait_closed() == b""


async def test_each_message_has_its_own_time(clock: LoopbackClock) -> None:
    parts = Parts()
    octets = framed(query("web.shop"))
    async with parts.tcp() as server, tcp_client(server) as client:
        for _ in range(5):
            await client.stream.send_all(octets[:9])
            await trio.sleep(LIMITS.partial - 0.5)
            await client.stream.send_all(octets[9:])
            await client.receive()
    assert clock.current_time() > 2 * LIMITS.partial


async def test_silence_is_counted_from_the_last_reply_and_not_while_an_answer_is_under_way(
    clock: LoopbackClock,
) -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(query("www.example.com"))
        await trio.sleep(3 * LIMITS.idle)
        parts.deliver()
        await client.receive()
        assert await client.wait_closed() == b""
    assert 4 * LIMITS.idle <= clock.current_time() < 4 * LIMITS.idle + 0.5


# ---- clients that do not read


async def test_row_14_a_client_that_asks_and_never_reads_is_closed_and_what_it_gets_is_bounded(
    clock: LoopbackClock,
) -> None:
    parts = Parts()
    limits = TcpLimits(backlog=100_000)
    questions = (query(LARGE, type_="TXT"),) * 50
    asked = 0

    async def ask_on(client: TcpClient) -> None:
        nonlocal asked
        while True:
            await client.send(*questions)
            asked += len(questions)

    async with parts.tcp(limits) as server, tcp_client(server, buffer=4096) as client:
        with pytest.raises(trio.BrokenResourceError):
            await ask_on(client)
        (reply,) = (reply for table in parts.replies.tables for reply in table.replies.values())
        kernel = 16 * 1024 * 1024  # what two sockets' buffers can hold at most, by far
        assert reply.hits * len(reply.wire) < kernel
        assert asked > reply.hits  # it was not read on
        await wait_gone(server)
    assert LIMITS.write <= clock.current_time() < 3 * LIMITS.write


async def test_a_slow_reader_gets_everything(clock: LoopbackClock) -> None:
    parts = Parts()
    limits = TcpLimits(backlog=70_000)
    count = 30
    async with parts.tcp(limits) as server, tcp_client(server, buffer=4096) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, *(query(LARGE, number, "TXT") for number in range(count)))
        ids = []
        for _ in range(count):
            ids.append((await client.receive()).id)
            await trio.sleep(0.5)
    assert sorted(ids) == list(range(count))
    assert clock.current_time() > 2 * LIMITS.write  # as a whole it took longer than any part may


async def test_questions_under_way_are_bounded_by_not_reading_on() -> None:
    parts = Parts()
    limits = TcpLimits(in_flight=4)
    async with parts.tcp(limits) as server, tcp_client(server) as client:
        await client.send(*(query(f"{number}.example.com", number) for number in range(10)), query("web.shop", 10))
        for expected in (range(4), range(4, 8), range(8, 10)):
            await parts.outside.wait_asked(len(expected))
            await trio.testing.wait_all_tasks_blocked()
            assert len(parts.outside.waiting) == len(expected)
            parts.deliver()
            found = [(await client.receive()).id for _ in expected]
            assert set(found) <= {*expected, 10}
        assert (await client.receive()).id in {8, 9, 10}


@pytest.mark.parametrize("size", [1, 40, 300])
async def test_large_answers_are_asked_for_no_faster_than_they_are_taken(size: int) -> None:
    parts = Parts()
    limits = TcpLimits(backlog=200_000)
    count = 400
    async with parts.tcp(limits) as server, tcp_client(server, buffer=4096) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, *(query(f"{n}.example.com", n, "TXT") for n in range(count)))
        left = set(range(count))
        asked: list[int] = []
        while left:
            await parts.outside.wait_asked()
            await trio.testing.wait_all_tasks_blocked(0.01)
            asked.append(len(parts.outside.waiting))
            parts.deliver(size)
            for _ in range(asked[-1]):
                left.remove((await client.receive()).id)
    octets = size * 212
    assert max(asked) <= limits.in_flight
    assert all(after <= max(1, limits.backlog // octets) for after in asked[1:])
    if size == 1:
        assert asked[1] > 100


@pytest.mark.parametrize("clients", [1, 8])
async def test_row_29_answers_under_way_of_all_connections_are_bounded_in_sum(
    clients: int, clock: LoopbackClock
) -> None:
    parts = Parts()
    limits = TcpLimits(buffers=4 * 1024 * 1024)
    asking = [query(f"{n}.example.com", n, "TXT") for n in range(150)]
    async with parts.tcp(limits) as server, AsyncExitStack() as stack, trio.open_nursery() as nursery:
        for number in range(clients):
            client = await stack.enter_async_context(tcp_client(server, f"127.0.1.{number}", buffer=4096))
            nursery.start_soon(client.send, *asking)
        await parts.outside.wait_asked(clients)
        await trio.testing.wait_all_tasks_blocked(0.05)
        most = limits.buffers // 2 // 65_537 + clients * (limits.backlog // 65_537)
        assert clients < len(parts.outside.waiting) <= most
        nursery.cancel_scope.cancel()


async def test_the_connection_with_most_octets_unread_ends_when_all_have_too_many(clock: LoopbackClock) -> None:
    parts = Parts()
    limits = TcpLimits(buffers=1024 * 1024, backlog=400_000)
    async with parts.tcp(limits) as server, AsyncExitStack() as stack, trio.open_nursery() as nursery:
        clients = [
            await stack.enter_async_context(tcp_client(server, f"127.0.1.{number}", buffer=4096)) for number in range(4)
        ]
        for number, client in enumerate(clients):
            large = [query(LARGE, n, "TXT") for n in range(20 if number == 2 else 4)]
            await client.send(*large)
            await trio.testing.wait_all_tasks_blocked(0.02)
        for _ in range(3):  # the kernel takes some of each
            await clients[3].send(query(LARGE, 99, "TXT"))
            await trio.testing.wait_all_tasks_blocked(0.02)
        assert server.room.held <= limits.buffers
        assert server.connections == 3
        for number in (0, 1):
            assert [(await clients[number].receive()).id for _ in range(4)] == [0, 1, 2, 3]
        assert len(await clients[2].wait_closed()) < 20 * 60_000
        nursery.cancel_scope.cancel()


# ---- clients that vanish


async def test_answers_for_a_client_that_has_gone_are_forgotten() -> None:
    parts = Parts()
    async with parts.tcp() as server:
        async with tcp_client(server) as client:
            await client.send(*(query(f"{number}.example.com") for number in range(5)))
            await parts.outside.wait_asked(5)
            linger = b"\1\0\0\0\0\0\0\0"  # close with a reset, as a process that dies does
            client.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await wait_gone(server)
        parts.deliver()
        async with tcp_client(server) as client:
            await client.send(query("web.shop"))
            await client.receive()


async def test_answers_under_way_end_with_the_server() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(query("www.example.com"))
        await parts.outside.wait_asked()
    assert server.connections == 0
    parts.deliver()


# ---- whose turn it is


class Ready(NamedTuple):
    """A connection that can be read, as far as its turn is concerned."""

    name: str
    peer: bytes


@pytest.mark.parametrize(
    ("ready", "order"),
    [
        ("", ""),
        ("a1 a2 a3", "a1 a2 a3"),
        ("a1 a2 a3 b1", "a1 b1 a2 a3"),
        ("a1 a2 b1 c1 b2 a3", "a1 b1 c1 a2 b2 a3"),
        ("a1 a2 -1 -2 b1", "a1 -1 -2 b1 a2"),  # listeners have their turn in the first round
    ],
)
def test_each_client_s_first_connection_has_its_turn_before_anybody_s_second_one(ready: str, order: str) -> None:
    keys = [SelectorKey(0, 0, 0, Ready(name, name[0].strip("-").encode())) for name in ready.split()]
    found = by_turns([(key, EVENT_READ) for key in keys])
    assert " ".join(key.data.name for key, _ in found) == order
