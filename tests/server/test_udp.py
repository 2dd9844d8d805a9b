"""One UDP socket: how it is opened, served and closed."""

import socket

import dns.message
import pytest
import trio

from dnsserver.server.udp import UdpServer, bind
from dnsserver.server.udp_port import BATCH
from tests.messages import addresses, d
from tests.server.parts import HOST, Parts


def test_bind_takes_one_address_once() -> None:
    with bind(HOST, 0) as sock:
        assert not sock.getblocking()
        with pytest.raises(OSError, match="Address already in use"):
            bind(HOST, sock.getsockname()[1])


def test_processes_can_share_a_port() -> None:
    with bind(HOST, 0, reuse_port=True) as one, bind(HOST, one.getsockname()[1], reuse_port=True):
        pass


def test_ipv6_leaves_ipv4_to_others() -> None:
    with bind("::", 0) as sock, bind("0.0.0.0", sock.getsockname()[1]):
        assert sock.family == socket.AF_INET6


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_many_at_once_are_all_answered_and_timed(host: str) -> None:
    parts = Parts()
    sock = bind(host, 0)
    server = UdpServer(sock, parts.responder)
    count = 3 * BATCH
    with trio.socket.socket(sock.family, trio.socket.SOCK_DGRAM) as client:
        await client.connect(sock.getsockname())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            for number in range(count):
                await client.send(d("web.shop.", id=number).to_wire())
            replies = [dns.message.from_wire(await client.recv(4096)) for _ in range(count)]
            nursery.cancel_scope.cancel()
    assert [reply.id for reply in replies] == list(range(count))
    assert all(addresses(reply) == {"10.96.0.1"} for reply in replies)
    assert sum(server.port.table.durations.counts) == server.port.statistics().received == count
    assert server.kernel_drops() == 0
    assert sock.fileno() == -1
