"""What the kernel does for UDP: the source address of a reply, and the count of packets that it dropped."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from dnsserver.server.batch import BatchPort
from dnsserver.server.udp import UdpServer, bind
from dnsserver.server.unbatched import UnbatchedPort
from tests.server.parts import HOST, Parts, query

Kind = type[BatchPort] | type[UnbatchedPort]
kinds = pytest.mark.parametrize("kind", [BatchPort, UnbatchedPort])


@pytest.fixture
async def client() -> AsyncIterator[socket.socket]:
    """Not connected: it takes replies from any address, and sees which one it was."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((HOST, 0))
        yield sock


@kinds
async def test_replies_leave_from_the_address_that_was_asked(kind: Kind, client: socket.socket) -> None:
    parts = Parts()
    async with parts.udp("0.0.0.0", kind) as port:
        asked = [("127.0.0.9", port), ("127.1.2.3", port), ("127.0.0.1", port)]
        for number in range(6):  # the first time, and from the cache
            client.sendto(query("web.shop", number), asked[number % 3])
            await trio.lowlevel.wait_readable(client)
            reply, source = client.recvfrom(4096)
            assert (reply[1], source) == (number, asked[number % 3])


@kinds
async def test_late_replies_do_too(kind: Kind, client: socket.socket) -> None:
    parts = Parts()
    async with parts.udp("0.0.0.0", kind) as port:
        asked = [("127.0.0.9", port), ("127.1.2.3", port), ("127.0.0.1", port)]
        for number, address in enumerate(asked):
            client.sendto(query(f"{number}.example.com", number), address)
        await parts.outside.wait_asked(3)
        client.sendto(query("web.shop", 9), ("127.0.0.4", port))  # its peer's data must not be taken for theirs
        await trio.lowlevel.wait_readable(client)
        assert client.recvfrom(4096)[1] == ("127.0.0.4", port)
        parts.deliver()
        for _ in asked:
            await trio.lowlevel.wait_readable(client)
            reply, source = client.recvfrom(4096)
            assert source == asked[reply[1]]


@kinds
async def test_replies_leave_from_the_ipv6_address_that_was_asked(kind: Kind, ipv6: list[str]) -> None:
    parts = Parts()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind(("::1", 0))
        async with parts.udp("::", kind) as port:
            for number, address in enumerate(ipv6):
                client.sendto(query("web.shop", number), (address, port))
                await trio.lowlevel.wait_readable(client)
                assert client.recvfrom(4096)[1][:2] == (address, port)
                client.sendto(query("www.example.com", number), (address, port))
            await parts.outside.wait_asked(len(ipv6))
            parts.deliver()
            for _ in ipv6:
                await trio.lowlevel.wait_readable(client)
                reply, source = client.recvfrom(4096)
                assert source[:2] == (ipv6[reply[1]], port)


@kinds
async def test_replies_leave_from_a_link_local_address_to_any_other(
    kind: Kind, link_local: tuple[str, int, str]
) -> None:
    """Such a source needs its interface, which the destination does not name here (RFC 4007 section 6)."""
    address, interface, other = link_local
    parts = Parts()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind((other, 0))
        async with parts.udp("::", kind) as port:
            for name in ("web.shop", "www.example.com"):
                client.sendto(query(name, 7), (address, port, 0, interface))
                if name == "www.example.com":
                    await parts.outside.wait_asked(1)
                    parts.deliver()
                with trio.fail_after(5):
                    await trio.lowlevel.wait_readable(client)
                assert client.recvfrom(4096)[1] == (address, port, 0, interface)


@pytest.fixture
def link_local() -> tuple[str, int, str]:
    """Return a link-local address of this machine, the number of its interface, and another address of the same."""
    table = Path("/proc/net/if_inet6")
    found: dict[str, dict[str, str]] = {}
    for line in table.read_text().splitlines() if table.exists() else ():
        raw, index, _, scope, *_ = line.split()
        found.setdefault(index, {})[scope] = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw))
    for index, by_scope in found.items():
        if {"20", "00"} <= by_scope.keys():
            return by_scope["20"], int(index, 16), by_scope["00"]
    pytest.skip("no interface of this machine has a link-local IPv6 address and another one")


@pytest.fixture
def ipv6() -> list[str]:
    """Return this machine's IPv6 addresses that a socket can be bound to, link-local ones apart."""
    found = []
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else ():
        raw, _, _, scope, *_ = line.split()
        if scope != "20":
            found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw)))
    if not found:
        pytest.skip("no IPv6 on this machine")
    return found


async def test_packets_that_found_the_buffer_full_are_counted() -> None:
    parts = Parts()
    with bind(HOST, 0) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server = UdpServer(sock, parts.responder)
        assert server.kernel_drops() == 0
        client.connect(sock.getsockname())
        sent = 200
        for number in range(sent):  # loopback puts them into the buffer, or drops them, before `send` returns
            client.send(query("web.shop", number))
        dropped = server.kernel_drops()
        assert 0 < dropped < sent
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            while server.port.statistics().received < sent - dropped:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert server.port.statistics().received == sent - dropped


def test_no_icmp_message_makes_the_kernel_send_fragments() -> None:
    """RFC 9715: 1232 octets fit everywhere, whatever somebody says of the way."""
    ip_mtu_discover, ip_pmtudisc_omit = 10, 5  # linux/in.h
    with bind(HOST, 0) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, ip_mtu_discover) == ip_pmtudisc_omit


async def test_what_a_socket_had_lost_before_it_was_taken_over_is_not_counted_again() -> None:
    parts = Parts()
    with bind(HOST, 0) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        first = UdpServer(sock, parts.responder)
        client.connect(sock.getsockname())
        for number in range(200):
            client.send(query("web.shop", number))
        before = first.kernel_drops()
        assert before > 0
        with sock.dup() as handed:  # as a worker has it
            second = UdpServer(handed, parts.responder)
            assert second.kernel_drops() == 0
            for number in range(20):  # the buffer is still full
                client.send(query("web.shop", number))
            assert (first.kernel_drops(), second.kernel_drops()) == (before + 20, 20)
        assert second.kernel_drops() == 20, "the count stays when the socket is closed"
