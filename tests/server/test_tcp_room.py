"""More TCP connections than the room or the descriptors allow: which connection gives way."""

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from dnsserver.server.connection import TcpLimits
from dnsserver.server.room import Room
from tests.clock import LoopbackClock
from tests.server.parts import Parts, framed, query, tcp_client

LIMITS = TcpLimits()


@pytest.fixture
def clock() -> LoopbackClock:
    """Virtual time that jumps after a quiet moment longer than the delay with which the kernel acknowledges data."""
    return LoopbackClock(patience=0.06)


async def test_a_newcomer_takes_the_place_of_the_longest_silent_connection() -> None:
    parts = Parts()
    async with parts.tcp(TcpLimits(connections=3)) as server, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(tcp_client(server, f"127.0.1.{n}")) for n in range(3)]
        for client in clients:
            await client.send(query("web.shop"))
            await client.receive()
        await clients[0].send(query("web.shop"))  # now the second one has been silent longest
        await clients[0].receive()
        newcomer = await stack.enter_async_context(tcp_client(server))
        await newcomer.send(query("web.shop", 7))
        assert (await newcomer.receive()).id == 7
        assert await clients[1].wait_closed() == b""
        for client in (clients[0], clients[2]):
            await client.send(query("web.shop"))
            await client.receive()
        assert (server.connections, server.refused) == (3, 1)


async def test_a_newcomer_is_refused_when_all_others_wait_for_answers() -> None:
    parts = Parts()
    async with parts.tcp(TcpLimits(connections=2)) as server, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(tcp_client(server, f"127.0.1.{n}")) for n in range(2)]
        for client in clients:
            await client.send(query("www.example.com", 1))
        await parts.outside.wait_asked(2)
        async with tcp_client(server) as newcomer:
            assert await newcomer.wait_closed() == b""
        parts.deliver()
        assert [(await client.receive()).id for client in clients] == [1, 1]
        assert server.refused == 1


async def test_one_client_has_half_of_the_connections_at_most_and_pushes_out_its_own() -> None:
    parts = Parts()
    async with parts.tcp(TcpLimits(connections=4)) as server, AsyncExitStack() as stack:
        other = await stack.enter_async_context(tcp_client(server, "127.0.1.1"))
        clients = [await stack.enter_async_context(tcp_client(server)) for _ in range(5)]
        for client in clients[:3]:
            assert await client.wait_closed() == b""
        for client in (*clients[3:], other):
            await client.send(query("web.shop"))
            await client.receive()
        assert (server.connections, server.refused) == (3, 3)


async def test_one_client_that_waits_for_all_its_answers_gets_no_further_connection_and_others_do() -> None:
    parts = Parts()
    async with parts.tcp(TcpLimits(connections=4)) as server, AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(tcp_client(server))).send(query("www.example.com"))
        await parts.outside.wait_asked(2)
        assert await (await stack.enter_async_context(tcp_client(server))).wait_closed() == b""
        other = await stack.enter_async_context(tcp_client(server, "127.0.1.1"))
        await other.send(query("web.shop"))
        await other.receive()


async def test_who_has_half_asked_gives_way_after_who_is_silent() -> None:
    parts = Parts()
    async with parts.tcp(TcpLimits(connections=2)) as server, AsyncExitStack() as stack:
        half = await stack.enter_async_context(tcp_client(server, "127.0.1.1"))
        await half.stream.send_all(b"\0\x1dhalf a message")
        await trio.testing.wait_all_tasks_blocked(0.01)
        idle = await stack.enter_async_context(tcp_client(server, "127.0.1.2"))
        await idle.send(query("web.shop"))
        await idle.receive()
        waits = await stack.enter_async_context(tcp_client(server, "127.0.1.3"))
        assert await idle.wait_closed() == b""
        await waits.send(query("www.example.com", 1))
        await parts.outside.wait_asked(1)
        newcomer = await stack.enter_async_context(tcp_client(server, "127.0.1.4"))
        assert await half.wait_closed() == b""
        await newcomer.send(query("web.shop"))
        await newcomer.receive()
        parts.deliver()
        assert (await waits.receive()).id == 1


async def test_listeners_share_the_room() -> None:
    parts = Parts()
    room = Room(2, 1 << 20)
    async with parts.tcp(room=room) as one, parts.tcp(room=room) as two, AsyncExitStack() as stack:
        first = await stack.enter_async_context(tcp_client(one, "127.0.1.1"))
        await first.send(query("web.shop"))
        await first.receive()
        for number in (2, 3):
            client = await stack.enter_async_context(tcp_client(two, f"127.0.1.{number}"))
            await client.send(query("web.shop"))
            await client.receive()
        assert (one.connections, two.connections, len(room)) == (0, 2, 2)
        assert await first.wait_closed() == b""


class Descriptors:
    """The file descriptors of this process, of which there are few."""

    def __init__(self) -> None:
        self._taken: list[socket.socket] = []

    def take_all(self) -> None:
        try:
            while True:
                self._taken.append(socket.socket())
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise

    def give_back(self) -> None:
        for sock in self._taken:
            sock.close()
        self._taken.clear()


@pytest.fixture
def descriptors() -> Iterator[Descriptors]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    found = Descriptors()
    yield found
    found.give_back()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _is_answered(sock: socket.socket) -> bool:
    """Ask on a connection that was begun by hand: without a descriptor to spare, trio's streams do not help."""
    await trio.lowlevel.wait_writable(sock)
    sock.send(framed(query("web.shop")))
    await trio.lowlevel.wait_readable(sock)
    return bool(sock.recv(4096))


async def test_out_of_descriptors_the_server_rests_and_goes_on(descriptors: Descriptors, clock: LoopbackClock) -> None:
    parts = Parts()
    async with parts.tcp() as server:
        with socket.socket() as newcomer:
            newcomer.setblocking(False)
            descriptors.take_all()
            assert newcomer.connect_ex(server.address) == errno.EINPROGRESS
            await trio.sleep(5.0)  # time would not jump there if the server did not rest
            assert server.connections == 0
            descriptors.give_back()
            assert await _is_answered(newcomer)
    assert 5.0 <= clock.current_time() < LIMITS.idle


async def test_out_of_descriptors_the_longest_silent_connection_makes_room(descriptors: Descriptors) -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as silent, tcp_client(server) as lively:
        for client in (lively, silent, lively):
            await client.send(query("web.shop"))
            await client.receive()
        with socket.socket() as newcomer:
            newcomer.setblocking(False)
            descriptors.take_all()
            assert newcomer.connect_ex(server.address) == errno.EINPROGRESS
            assert await silent.wait_closed() == b""
            assert await _is_answered(newcomer)
        await lively.send(query("web.shop"))
        await lively.receive()
