"""A socket that is about to be closed gets nothing new; what waits in it stays, and others get what comes."""

import socket
import sys
import time

import pytest
import trio

from dnsserver.server.last_packets import has_waiting, take_no_more, takes_no_more
from dnsserver.server.tcp import listen
from dnsserver.server.udp import bind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what other kernels do is not known")

ALL = {"127.0.0.1": "0.0.0.0", "::1": "::"}
PATIENCE = 5.0  # seconds


def wait_for(sock: socket.socket) -> None:
    end = time.monotonic() + PATIENCE
    while not has_waiting(sock):
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("host", ALL)
def test_a_udp_socket_keeps_what_it_has_and_another_one_gets_the_rest(host: str) -> None:
    with (
        bind(host, 0, reuse_port=True) as old,
        bind(ALL[host], old.getsockname()[1], reuse_port=True) as new,
        socket.socket(old.family, socket.SOCK_DGRAM) as client,
    ):
        client.connect(old.getsockname())
        client.send(b"early")
        wait_for(old)
        assert not takes_no_more(old)
        take_no_more(old)
        assert takes_no_more(old)
        client.send(b"late")
        wait_for(new)
        assert (old.recv(9), new.recv(9)) == (b"early", b"late")
        assert not has_waiting(old)


@pytest.mark.parametrize("host", ALL)
async def test_a_listening_socket_keeps_who_has_connected_and_another_one_gets_the_rest(host: str) -> None:
    """Not even a client that connects in the moment of the end is refused: it is a second late."""
    with listen(host, 0, reuse_port=True) as old, listen(ALL[host], old.getsockname()[1], reuse_port=True) as new:
        where = old.getsockname()[:2]
        with socket.create_connection(where) as early:
            take_no_more(old)
            late: list[socket.socket] = []

            async def connect() -> None:
                late.append(await trio.to_thread.run_sync(socket.create_connection, where, PATIENCE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(connect)
                await trio.sleep(0.2)
                assert not late
                wait_for(old)
                accepted, _ = old.accept()
                assert not has_waiting(old)
                old.close()
            early.sendall(b"asked")
            accepted.settimeout(PATIENCE)
            with accepted, late[0]:
                assert accepted.recv(9) == b"asked"
                wait_for(new)
                new.accept()[0].close()
