"""After a process has stood still: who has waited too long is dropped, the newest is answered first."""

import pytest
import trio
import trio.testing

from dnsserver.server.backlog import STUB_TIMEOUT, catch_up
from dnsserver.server.batch import BatchPort, UnbatchedPort
from dnsserver.server.udp import bind
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
    async with parts.udp() as port:
        with UdpClient(port) as client:
            await client.send(query("web.shop", 1))
            await client.receive()
            await client.send(*(query("web.shop", number) for number in range(60)))
            clock.jump(6 * STUB_TIMEOUT)
            await trio.sleep(0.1)
            assert [(await client.receive()).id for _ in range(10)] == list(range(59, 49, -1))
            await client.send(query("web.shop", 100))
            assert (await client.receive()).id == 100
