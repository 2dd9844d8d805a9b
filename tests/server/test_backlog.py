"""After a process has stood still: packets that waited too long are dropped, and the newest is answered first."""

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from dnsserver.server.backlog import STUB_TIMEOUT, LateQuestions, catch_up
from dnsserver.server.batch import BatchPort
from dnsserver.server.udp import bind
from dnsserver.server.unbatched import UnbatchedPort
from tests.clock import LoopbackClock
from tests.server.parts import HOST, Parts, UdpClient, query


@pytest.mark.parametrize("kind", [BatchPort, UnbatchedPort])
@pytest.mark.parametrize(("gap", "kept"), [(30.0, 20), (60.0, 10), (5.0, 120), (0.0, 120), (1e9, 1)])
async def test_the_newest_part_is_answered_newest_first(
    gap: float, kept: int, kind: type[BatchPort] | type[UnbatchedPort]
) -> None:
    parts = Parts()
    with bind(HOST, 0) as sock, UdpClient(sock.getsockname()[1]) as client:
        port = kind(sock, parts.replies.add_table("udp", "1"), parts.responder)
        await client.send(*(query("web.shop", number) for number in range(120)))
        assert catch_up(port, parts.responder, gap, trio.current_time()) == 120 - kept
        assert [(await client.receive()).id for _ in range(kept)] == list(range(119, 119 - kept, -1))
        with pytest.raises(BlockingIOError):
            client.sock.recv(4096)


@pytest.mark.parametrize("kind", [BatchPort, UnbatchedPort])
async def test_what_has_to_wait_for_the_outside_is_answered_when_it_comes(
    kind: type[BatchPort] | type[UnbatchedPort],
) -> None:
    parts = Parts()
    with bind(HOST, 0) as sock, UdpClient(sock.getsockname()[1]) as client:
        port = kind(sock, parts.replies.add_table("udp", "1"), parts.responder)
        await client.send(query("www.example.com", 7), b"", b"junk")
        catch_up(port, parts.responder, 0.0, trio.current_time())
        parts.deliver()
        port.flush()
        assert (await client.receive()).id == 7


async def test_a_server_that_stood_still_notices(clock: LoopbackClock) -> None:
    parts = Parts()
    async with trio.open_nursery() as nursery, parts.udp() as port:
        nursery.start_soon(parts.responder.standstill.run)
        with UdpClient(port) as client:
            await client.send(query("web.shop", 1))
            await client.receive()
            await client.send(*(query("web.shop", number) for number in range(60)))
            clock.jump(6 * STUB_TIMEOUT)
            await trio.sleep(0.1)
            assert [(await client.receive()).id for _ in range(10)] == list(range(59, 49, -1))
            await client.send(query("web.shop", 100))
            assert (await client.receive()).id == 100
        nursery.cancel_scope.cancel()


# ---- questions that are put off


class Late:
    """Questions put off at a socket with a clock of our own; what was asked comes back as packets."""

    def __init__(self, parts: Parts, sock: socket.socket, client: UdpClient) -> None:
        self.port = BatchPort(sock, parts.replies.add_table("udp", "1"), parts.responder)
        self.questions = LateQuestions(parts.responder, self.port, b"\x03web\x04shop\x00")
        self.client = client

    async def put_off(self, *packets: bytes) -> None:
        await self.client.send(*packets)
        assert self.port.serve_batch(self.questions.put_off, trio.current_time()) == len(packets)

    async def answered(self, count: int) -> list[int]:
        return [(await self.client.receive()).id for _ in range(count)]


@pytest.fixture
async def late() -> AsyncIterator[Late]:
    """Give the questions; each test asks for the clock itself: one that only a fixture asks for is not in force."""
    with bind(HOST, 0) as sock, UdpClient(sock.getsockname()[1]) as client:
        yield Late(Parts(), sock, client)


async def test_the_newest_question_of_the_cluster_comes_first_then_those_of_the_outside(
    late: Late, clock: LoopbackClock
) -> None:
    del clock
    await late.put_off(query("a.shop", 1), query("web.shop", 2), query("b.shop", 3), query("WEB.Shop", 4))
    assert late.questions.waiting == 4
    late.questions.answer()
    assert await late.answered(4) == [4, 2, 3, 1]
    assert (late.questions.waiting, late.questions.dropped) == (0, 0)


async def test_what_has_waited_longer_than_a_stub_waits_is_dropped(late: Late, clock: LoopbackClock) -> None:
    await late.put_off(query("web.shop", 1), query("web.shop", 2))
    clock.jump(STUB_TIMEOUT + 1)
    await late.put_off(query("web.shop", 3))
    late.questions.answer()
    assert await late.answered(1) == [3]
    assert (late.questions.waiting, late.questions.dropped) == (0, 2)


async def test_too_many_cost_the_oldest_of_their_class_their_places(late: Late, clock: LoopbackClock) -> None:
    del clock
    await late.put_off(query("web.shop", 0))
    for start in range(1, 577, 64):
        await late.put_off(*(query("a.shop", number) for number in range(start, start + 64)))
    assert late.questions.waiting == 513
    assert late.questions.dropped == 64
    late.questions.answer()
    assert (await late.answered(2)) == [0, 576]


async def test_a_packet_that_is_longer_than_any_stub_s_is_answered_at_once(late: Late, clock: LoopbackClock) -> None:
    del clock
    await late.put_off(query("web.shop", 1, use_edns=0, pad=400))
    assert late.questions.waiting == 0
    assert await late.answered(1) == [1]
