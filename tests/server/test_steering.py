"""The program with which the kernel chooses a socket: which socket of a group gets which packet."""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from dnsserver.server.steering import Heavy, attach, program

FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@contextmanager
def group(family: socket.AddressFamily, size: int) -> Iterator[list[socket.socket]]:
    """Give sockets bound to one address, in their order."""
    with ExitStack() as stack:
        found: list[socket.socket] = []
        for _ in range(size):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((FAMILIES[family], found[0].getsockname()[1] if found else 0))
            sock.setblocking(False)
            found.append(sock)
        yield found


def sent(source: str, to: Sequence[socket.socket], count: int = 1) -> Counter[int]:
    """Send packets, each by a new socket; return how many came to which one of the group."""
    family = to[0].family
    for _ in range(count):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.bind((source, 0))
            client.sendto(b"question", to[0].getsockname())
    came: Counter[int] = Counter()
    for number, sock in enumerate(to):
        while True:
            try:
                sock.recv(100)
            except BlockingIOError:
                break
            came[number] += 1
    return came


def octets(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_heavy_sources_one_process_gets_all_in_its_first_socket(family: socket.AddressFamily) -> None:
    with group(family, 5) as sockets:
        attach(sockets[0], program(family, 1, [0]))
        assert sent(FAMILIES[family], sockets, 20) == {0: 20}


def test_a_heavy_source_gets_its_lane_and_nobody_else() -> None:
    heavy = [
        Heavy(octets("127.0.0.5"), 32, 2),
        Heavy(octets("127.0.0.6"), 32, 1),
        Heavy(octets("127.7.7.0"), 24, 3),
    ]
    with group(socket.AF_INET, 5) as sockets:
        attach(sockets[0], program(socket.AF_INET, 1, [0], heavy))
        table = {
            "127.0.0.4": 0,
            "127.0.0.5": 2,
            "127.0.0.6": 1,
            "127.0.0.7": 0,
            "127.7.7.1": 3,
            "127.7.7.255": 3,
            "127.7.6.255": 0,
            "127.7.8.0": 0,
        }
        assert {source: sent(source, sockets) for source in table} == {
            source: {number: 1} for source, number in table.items()
        }


@pytest.mark.parametrize(
    ("address", "bits", "fits"),
    [
        ("::1", 128, True),
        ("::2", 128, False),
        ("1::1", 128, False),
        ("0:0:0:1::1", 128, False),
        ("::", 64, True),
        ("0:0:0:1::", 64, False),
        ("0:1::", 64, False),
    ],
)
def test_all_octets_of_an_ipv6_address_count(address: str, bits: int, fits: bool) -> None:
    with group(socket.AF_INET6, 2) as sockets:
        attach(sockets[0], program(socket.AF_INET6, 1, [0], [Heavy(octets(address), bits, 1)]))
        assert sent("::1", sockets) == {int(fits): 1}


def test_the_most_sources_still_make_a_program_that_the_kernel_takes() -> None:
    heavy = [Heavy(bytes(14) + number.to_bytes(2), 128, 1 + number % 4) for number in range(2, 66)]
    with group(socket.AF_INET6, 5) as sockets:
        attach(sockets[0], program(socket.AF_INET6, 1, [0], heavy))
        assert sent("::1", sockets) == {0: 1}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("answering", [[0, 1, 2], [0, 2], [1]])
def test_flows_are_spread_over_the_processes_that_answer(family: socket.AddressFamily, answering: list[int]) -> None:
    with group(family, 6) as sockets:  # two lanes of three processes
        attach(sockets[0], program(family, 3, answering))
        came = sent(FAMILIES[family], sockets, 300)
        assert sorted(came) == answering
        assert min(came.values()) > 200 / len(answering) ** 2
        attach(sockets[0], program(family, 3, answering, [Heavy(octets(FAMILIES[family]), 32, 1)]))
        assert sorted(sent(FAMILIES[family], sockets, 300)) == [3 + process for process in answering]


def test_a_flow_stays_with_its_process() -> None:
    with group(socket.AF_INET, 3) as sockets, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        attach(sockets[0], program(socket.AF_INET, 3, [0, 1, 2]))
        for _ in range(20):
            client.sendto(b"question", sockets[0].getsockname())
        assert len(sent("127.0.0.1", sockets, 0)) == 1
