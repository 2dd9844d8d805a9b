"""Questions to a server on loopback, one at a time: the result of each, over UDP and TCP."""

import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from dnsserver.node.asker import PATIENCE, Asker, Outcome, Transport
from tests.free_port import free_port
from tests.node import responder

HOST = ip_address("127.0.0.1")
TRANSPORTS: list[Transport] = ["udp", "tcp"]


@pytest.fixture
def server() -> "Iterator[tuple[int, subprocess.Popen[str]]]":
    port = free_port()
    command = [sys.executable, responder.__file__, str(port), "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield port, process
        process.kill()


def outcome(asker: Asker, *, ask: bool = True) -> Outcome | None:
    found = asker.ask(time.monotonic()) if ask else None
    ends = time.monotonic() + 5
    while found is None and asker.sock is not None and time.monotonic() < ends:
        readable, writable, _ = select.select(
            [] if asker.writes else [asker.sock], [asker.sock] if asker.writes else [], [], 0.05
        )
        found = asker.look() if readable or writable else asker.expire(time.monotonic())
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_answers(server: "tuple[int, subprocess.Popen[str]]", transport: Transport) -> None:
    asker = Asker(HOST, transport, "localhost", server[0])
    assert [outcome(asker) for _ in range(3)] == ["answered"] * 3
    assert not asker.is_asking
    asker.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_hangs_is_silent(server: "tuple[int, subprocess.Popen[str]]", transport: Transport) -> None:
    port, process = server
    process.send_signal(19)  # SIGSTOP
    asker = Asker(HOST, transport, "localhost", port)
    began = time.monotonic()
    assert outcome(asker) == "silent"
    assert PATIENCE <= time.monotonic() - began < 2.0
    process.send_signal(18)  # SIGCONT
    assert outcome(asker) == "answered"
    asker.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_port_that_nobody_has_is_refused(transport: Transport) -> None:
    asker = Asker(HOST, transport, "localhost", free_port())
    assert outcome(asker) == "refused"
    assert outcome(asker) == "refused"
    asker.close()


def test_the_end_of_the_process_is_heard_at_once(server: "tuple[int, subprocess.Popen[str]]") -> None:
    port, process = server
    asker = Asker(HOST, "tcp", "localhost", port)
    assert outcome(asker) == "answered"
    process.kill()
    assert outcome(asker, ask=False) == "closed"
    assert outcome(asker) == "refused"
    asker.close()


def test_a_reply_to_something_else_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        asker = Asker(HOST, "udp", "localhost", sock.getsockname()[1])
        assert asker.ask(time.monotonic()) is None
        asked, client = sock.recvfrom(4096)
        sock.sendto(bytes([asked[0] ^ 1]) + asked[1:], client)
        time.sleep(0.01)
        assert asker.look() is None
        refused = bytearray(responder.answer(asked))
        refused[3] |= 5
        sock.sendto(bytes(refused), client)
        time.sleep(0.01)
        assert asker.look() == "wrong"
    asker.close()
