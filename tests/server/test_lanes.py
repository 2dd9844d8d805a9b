"""Lanes of real sockets: a source that floods gets a lane, other clients do not notice, and the lane is given back."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import dns.message
import pytest
import trio
from trio.testing import MockClock

from dnsserver.server.lanes import Alone, Lanes, ReportedLanes, SteeredLanes
from dnsserver.server.tcp import TcpLimits, TcpServer, listen
from dnsserver.server.udp import bind
from dnsserver.server.udp_listener import UdpListener
from tests.logs import capture_logs
from tests.messages import addresses, d
from tests.server.parts import HOST, Parts

ATTACKER, VICTIM = "127.0.0.3", "127.0.0.2"


def octets(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET, address)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with bind(HOST, 0) as sock:
        yield sock


@contextmanager
def udp_lanes(sock: socket.socket, clock: Callable[[], float] = lambda: 1.0) -> Iterator[Lanes]:
    port = sock.getsockname()[1]
    lanes = SteeredLanes(sock, "udp", clock, lambda _: bind(HOST, port, reuse_port=True))
    yield lanes
    for lane in lanes.sockets[1:]:
        lane.close()


def reached(lanes: Lanes, source: str) -> list[int]:
    """Return which sockets receive the packets of a source."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.sendto(b"question", lanes.sockets[0].getsockname())
    found = []
    for number, sock in enumerate(lanes.sockets):
        try:
            sock.recv(100)
        except BlockingIOError:
            continue
        found.append(number)
    return found


def drained(sock: socket.socket) -> list[bytes]:
    """Return the packets that wait in a socket."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(sock.recv(100))
    return found


def test_only_who_sends_too_much_leaves_the_first_socket(bound: socket.socket) -> None:
    with udp_lanes(bound) as lanes:
        assert [reached(lanes, source) for source in (ATTACKER, VICTIM)] == [[0], [0]]
        for _ in range(4):
            lanes.behind(lambda: [octets(ATTACKER)] * 63 + [octets(VICTIM)])
        assert [reached(lanes, source) for source in (ATTACKER, VICTIM)] == [[1], [0]]
        assert lanes.heavy == 1


async def test_a_lane_is_given_back(bound: socket.socket, autojump_clock: MockClock) -> None:
    with udp_lanes(bound, autojump_clock.current_time) as lanes:
        for _ in range(4):
            lanes.behind(lambda: [octets(ATTACKER)] * 64)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lanes.run)
            await trio.sleep(59)
            assert reached(lanes, ATTACKER) == [1]
            await trio.sleep(3)
            assert reached(lanes, ATTACKER) == [0]
            nursery.cancel_scope.cancel()
        assert lanes.heavy == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_client_that_is_heavy_has_as_much_room_as_it_had(bound: socket.socket, processes: int) -> None:
    port = bound.getsockname()[1]
    lanes = SteeredLanes(
        bound, "udp", lambda: 1.0, lambda lane: bind(HOST, port, reuse_port=True, lane=lane), processes
    )
    for group in lanes.groups:
        room = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for sock in group]
        assert room[0] == room[1] >= room[2]  # equal where net.core.rmem_max is small
        assert len(set(room[2:])) == 1
    for sock in (sock for group in lanes.groups for sock in group):
        sock.close()


def test_where_the_kernel_cannot_steer_there_is_one_socket(bound: socket.socket) -> None:
    def refused(_: int) -> socket.socket:
        raise OSError(1, "Operation not permitted")

    lanes = SteeredLanes(bound, "udp", lambda: 1.0, refused)
    lanes.behind(lambda: [octets(ATTACKER)] * 1000)
    assert lanes.sockets == [bound]
    assert reached(lanes, ATTACKER) == [0]


def test_who_gives_way_gets_nothing_while_another_program_has_the_address(bound: socket.socket) -> None:
    with udp_lanes(bound) as lanes, bind(HOST, bound.getsockname()[1], reuse_port=True) as other:
        for _ in range(4):
            lanes.behind(lambda: [octets(ATTACKER)] * 64)
        lanes.give_way()
        assert [reached(lanes, source) for source in (ATTACKER, VICTIM) for _ in range(50)] == [[]] * 100
        assert len(drained(other)) == 100
        for _ in range(8):
            lanes.behind(lambda: [octets(VICTIM)] * 64)  # it stays so, whoever is heavy now
        assert reached(lanes, VICTIM) == []
        other.close()  # as it dies
        assert all(reached(lanes, source) for source in (ATTACKER, VICTIM) for _ in range(50))


def test_who_joined_another_program_gives_way_to_it(bound: socket.socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with bind(HOST, bound.getsockname()[1], reuse_port=True) as ours:
        lanes = Alone(ours)
        lanes.give_way()
        assert [reached(lanes, VICTIM) for _ in range(50)] == [[]] * 50
        assert len(drained(bound)) == 50
        bound.close()
        assert [reached(lanes, VICTIM) for _ in range(50)] == [[0]] * 50


def test_connections_go_to_the_other_program_as_well() -> None:
    with listen(HOST, 0) as first:
        port = first.getsockname()[1]
        lanes = SteeredLanes(first, "tcp", lambda: 1.0, lambda _: listen(HOST, port, reuse_port=True))
        with listen(HOST, port, reuse_port=True) as other:
            lanes.give_way()
            for _ in range(20):
                with socket.create_connection((HOST, port)):
                    connection, _ = other.accept()
                    connection.close()
            lanes.close()
            with socket.create_connection((HOST, port)):
                other.accept()[0].close()


def test_tcp_clients_are_steered_as_well() -> None:
    with listen(HOST, 0) as first:
        port = first.getsockname()[1]
        lanes = SteeredLanes(first, "tcp", lambda: 1.0, lambda _: listen(HOST, port, reuse_port=True))
        for _ in range(16):
            lanes.behind(lambda: [octets(ATTACKER)] * 16)
        found = {}
        for source in (ATTACKER, VICTIM):
            with socket.create_connection((HOST, port), source_address=(source, 0)):
                for number, listener in enumerate(lanes.sockets):
                    try:
                        connection, _ = listener.accept()
                    except BlockingIOError:
                        continue
                    connection.close()
                    found[source] = number
        assert found == {ATTACKER: 1, VICTIM: 0}
        for lane in lanes.sockets[1:]:
            lane.close()


async def test_a_lane_of_udp_answers_like_the_first_socket() -> None:
    parts = Parts()
    sock = bind(HOST, 0)
    port = sock.getsockname()[1]
    lanes = SteeredLanes(sock, "udp", lambda: 1.0, lambda _: bind(HOST, port, reuse_port=True))
    listener = UdpListener(lanes, parts.responder, b"\0")
    for _ in range(4):
        lanes.behind(lambda: [octets(ATTACKER)] * 64)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run)
        for source in (ATTACKER, VICTIM):
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                await client.bind((source, 0))
                await client.connect(sock.getsockname())
                await client.send(d("web.shop.", id=7).to_wire())
                assert addresses(dns.message.from_wire(await client.recv(4096))) == {"10.96.0.1"}
        nursery.cancel_scope.cancel()
    counts = listener.statistics()
    assert (counts.received, counts.heavy) == (2, 1)
    assert sum(listener.table.durations.counts) == 2


async def test_a_lane_of_tcp_answers_like_the_first_listener() -> None:
    parts = Parts()
    first = listen(HOST, 0)
    port = first.getsockname()[1]
    lanes = SteeredLanes(first, "tcp", lambda: 1.0, lambda _: listen(HOST, port, reuse_port=True))
    server = TcpServer(lanes, parts.responder, TcpLimits())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        for turn in range(2):
            for source in (ATTACKER, VICTIM):
                with trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                    await client.bind((source, 0))
                    await client.connect(server.address)
                    question = d("web.shop.", id=7).to_wire()
                    await client.send(len(question).to_bytes(2) + question)
                    assert addresses(dns.message.from_wire((await client.recv(4096))[2:])) == {"10.96.0.1"}
            if not turn:
                for _ in range(16):
                    lanes.behind(lambda: [octets(ATTACKER)] * 16)
        nursery.cancel_scope.cancel()


# ---- several processes


@pytest.fixture
def three(bound: socket.socket) -> Iterator[SteeredLanes]:
    port = bound.getsockname()[1]
    lanes = SteeredLanes(bound, "udp", lambda: 1.0, lambda _: bind(HOST, port, reuse_port=True), processes=3)
    yield lanes
    lanes.close_others()
    for lane in lanes.sockets[1:]:
        lane.close()


def spread(lanes: SteeredLanes, source: str, count: int = 60) -> set[tuple[int, int]]:
    """Return the processes and lanes that packets of a source come to, by many sockets."""
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((source, 0))
            client.sendto(b"question", lanes.sockets[0].getsockname())
    found = set()
    for process, group in enumerate(lanes.groups):
        for lane, sock in enumerate(group):
            with suppress(BlockingIOError):
                while sock.recv(100):
                    found.add((process, lane))
    return found


def test_clients_are_spread_over_the_processes_that_answer(three: SteeredLanes) -> None:
    assert spread(three, VICTIM) == {(0, 0)}
    three.answers(2, True)
    assert spread(three, VICTIM) == {(0, 0), (2, 0)}
    three.answers(1, True)
    assert spread(three, VICTIM) == {(0, 0), (1, 0), (2, 0)}
    three.answers(2, False)
    three.answers(2, False)
    assert spread(three, VICTIM) == {(0, 0), (1, 0)}


def test_a_process_that_ends_after_the_sockets_are_closed_is_no_news(three: SteeredLanes) -> None:
    three.answers(1, True)
    three.sockets[0].close()
    with capture_logs() as logs:
        three.answers(1, False)
    assert not logs


def test_a_client_that_another_process_found_heavy_has_a_lane_in_all_of_them(three: SteeredLanes) -> None:
    three.answers(1, True)
    reports: list[tuple[bytes, int]] = []
    worker = ReportedLanes(three.groups[1], lambda: 1.0, lambda address, bits: reports.append((address, bits)))
    for _ in range(8):
        worker.behind(lambda: [octets(ATTACKER)] * 64)
    assert reports == [(octets(ATTACKER), 32)]
    three.report(*reports[0])
    assert spread(three, ATTACKER) == {(0, 1), (1, 1)}
    assert spread(three, VICTIM) == {(0, 0), (1, 0)}
    assert (three.heavy, worker.heavy) == (1, 0)


async def test_a_client_that_stays_heavy_is_reported_again_before_it_is_forgotten(
    three: SteeredLanes, autojump_clock: MockClock
) -> None:
    times: list[float] = []
    worker = ReportedLanes(three.groups[1], trio.current_time, lambda *_: times.append(trio.current_time()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        with trio.move_on_after(100):
            while True:
                worker.behind(lambda: [octets(ATTACKER)] * 64)
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    assert len(times) > 1
    assert all(later - earlier < 60 for earlier, later in pairwise(times))
