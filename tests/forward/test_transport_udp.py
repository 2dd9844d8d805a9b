"""The UDP transport by itself: a reply from close by is there when its query was released."""

import errno
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from dnsserver.forward import transport_udp
from dnsserver.forward.lookup import Attempt
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.settings import UpstreamSpec
from dnsserver.forward.transport_udp import UdpTransport
from dnsserver.forward.upstream import Upstream
from dnsserver.wire import upstream_query
from dnsserver.wire.name import from_text
from dnsserver.zone.record import Reason
from tests.forward.scripted import HOST, A
from tests.free_port import free_port
from tests.reach import reached

SECTION, QUERY = upstream_query.write(from_text("www.example.com"), A, False, False)


class Receiver:
    """Takes replies, and nothing else should come."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []

    def replied(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        assert reply.startswith(attempt.identifier)
        assert now == 0.0
        self.replies.append(reply)
        return True

    def errored(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        raise AssertionError(attempt, reply, now)

    def case_mismatch(self, attempt: Attempt, now: float) -> None:
        raise AssertionError(attempt, now)

    def too_many_bad_replies(self, attempt: Attempt, now: float) -> None:
        raise AssertionError(attempt, now)

    def unreachable(self, attempt: Attempt, error: OSError, now: float) -> None:
        raise AssertionError(attempt, error, now)

    def lost(self, attempt: Attempt, why: Reason, now: float, *, reached: bool) -> None:
        raise AssertionError(attempt, why, now, reached)


@pytest.fixture
def near() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(10)
        yield sock


def ask(near: socket.socket, trip: float, count: int = 1) -> tuple[UdpTransport, Receiver, Upstream]:
    """Send so many queries to an upstream that usually takes `trip` seconds."""
    upstream = Upstream(UpstreamSpec(HOST, near.getsockname()[1]), HOST, b"\0")
    upstream.health.rtt = trip
    receiver = Receiver()
    transport = UdpTransport(receiver, Runtime(clock=lambda: 0.0))
    send(transport, upstream, count)
    return transport, receiver, upstream


def send(transport: UdpTransport, upstream: Upstream, count: int = 1) -> None:
    transport.cork.on = True
    for number in range(count):
        assert transport.send(Attempt(None, upstream, SECTION, 0.0, number.to_bytes(2)), QUERY, 0.0) is None
    transport.uncork()


@pytest.mark.parametrize(("trip", "count", "at_once"), [(0.0001, 1, 1), (0.0001, 2, 0), (0.001, 1, 0), (0.0, 1, 0)])
def test_one_reply_from_close_by_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, near: socket.socket, trip: float, count: int, at_once: int
) -> None:
    monkeypatch.setattr(
        transport_udp, "BUSY_POLLS", 10_000_000
    )  # a busy machine may take its time over the other thread
    asked = threading.Event()

    def reply() -> None:
        for _ in range(count):
            wire, client = near.recvfrom(4096)
            if not at_once:
                asked.wait(10)
            near.sendto(wire[:2] + b"\x81\x80" + wire[4:], client)

    thread = threading.Thread(target=reply)
    thread.start()
    transport, receiver, _ = ask(near, trip, count)
    with closing(transport):
        assert len(receiver.replies) == at_once
        asked.set()
        thread.join()
        deadline = time.monotonic() + 10
        while len(receiver.replies) < count and time.monotonic() < deadline:
            transport.drain()
        assert len(receiver.replies) == count


def test_replies_that_do_not_come_are_not_looked_for_each_time(near: socket.socket) -> None:
    transport, receiver, upstream = ask(near, 0.0001)
    with closing(transport):
        sockets = transport.sockets[upstream]
        waits = [sockets.polls_to_skip]
        for _ in range(25):
            send(transport, upstream)
            waits.append(sockets.polls_to_skip)
        assert waits == [*range(8, -1, -1), *range(16, -1, -1)]
        assert not receiver.replies
        sockets.skip_next, sockets.polls_to_skip = 1024, 0
        send(transport, upstream)
        assert (sockets.polls_to_skip, sockets.skip_next) == (1024, 1024)


class Unreachable(Receiver):
    """Takes notice of attempts that cannot have reached anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[bytes] = []

    def unreachable(self, attempt: Attempt, error: OSError, now: float) -> None:
        assert now == 0.0
        assert error.errno in {errno.ECONNREFUSED, errno.EMSGSIZE}
        self.failed.append(attempt.identifier)


@pytest.fixture
def nobody() -> Upstream:
    """An upstream that does not listen, and whose host says so."""
    return Upstream(UpstreamSpec(HOST, free_port()), HOST, b"\0")


@pytest.mark.parametrize("corked", [False, True])
def test_what_an_earlier_packet_met_does_not_fail_the_next_one(
    nobody: Upstream, corked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_udp, "PORTS", 1)
    receiver = Unreachable()
    with closing(UdpTransport(receiver, Runtime(clock=lambda: 0.0))) as transport:
        transport.cork.on = corked
        # The kernel tells of the first one when the second is sent, which is sent again then.
        for each in (b"ab", b"cd"):
            assert transport.send(Attempt(None, nobody, SECTION, 0.0, each), QUERY, 0.0) is None
        transport.uncork()
        deadline = time.monotonic() + 10
        while len(receiver.failed) < 2 and time.monotonic() < deadline:
            transport.drain()
    assert receiver.failed == [b"ab", b"cd"]


@pytest.mark.parametrize("corked", [False, True])
def test_what_cannot_be_sent_fails_at_once(near: socket.socket, corked: bool) -> None:
    receiver = Unreachable()
    upstream = Upstream(UpstreamSpec(HOST, near.getsockname()[1]), HOST, b"\0")
    with closing(UdpTransport(receiver, Runtime(clock=lambda: 0.0))) as transport:
        transport.cork.on = corked
        refusal = transport.send(Attempt(None, upstream, SECTION, 0.0, b"ab"), bytes(70_000), 0.0)
        assert (refusal is None) is corked
        transport.uncork()
    assert receiver.failed == ([b"ab"] if corked else [])


class Slow(Receiver):
    """Takes a tenth of a millisecond for each reply."""

    time = 0.0

    def replied(self, attempt: Attempt, reply: bytes, now: float) -> bool:
        del attempt, now
        self.time += 0.0001
        self.replies.append(reply)
        return True


def test_a_flood_of_replies_is_taken_by_turns(near: socket.socket) -> None:
    receiver = Slow()
    upstream = Upstream(UpstreamSpec(HOST, near.getsockname()[1]), HOST, b"\0")
    with closing(UdpTransport(receiver, Runtime(clock=lambda: receiver.time))) as transport:
        send(transport, upstream, 200)
        for _ in range(200):
            wire, client = near.recvfrom(4096)
            near.sendto(wire[:2] + b"\x81\x80" + wire[4:], client)
        taken = [0]
        while taken[-1] < 200:
            began = receiver.time
            transport.drain()
            assert receiver.time - began < 0.002 + 64 * 0.0001, "a turn ends behind the batch in which its time is over"
            taken.append(len(receiver.replies))
            assert taken[-1] > taken[-2]
        assert len(set(receiver.replies)) == 200
        assert len(taken) > 3


@pytest.mark.parametrize("upstreams", [1, 4, 16])
@pytest.mark.parametrize("ports", [2, 16])
def test_what_waits_on_silent_sockets_is_bounded_over_all_of_them(
    ports: int, upstreams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_udp, "PORTS", ports)
    monkeypatch.setattr(transport_udp, "ALL_WAITING", 1024)
    monkeypatch.setattr(transport_udp, "MOST_WAITING", 128)
    sockets = 2 * ports * upstreams
    most = 2 * min(128 * sockets, 1024) + 16 * sockets + 50

    with (
        closing(UdpTransport(Receiver(), Runtime(clock=lambda: 0.0))) as transport,
        socket.socket(type=socket.SOCK_DGRAM) as server,
    ):
        server.bind((HOST, 0))
        spec = UpstreamSpec(HOST, server.getsockname()[1])
        silent = [Upstream(spec, HOST, b"\0") for _ in range(upstreams)]

        def held() -> list[Attempt]:
            return [each for each in reached(transport) if isinstance(each, Attempt)]

        open_ones = []
        for number in range(20_000):
            now = number / 2000
            upstream = silent[number % upstreams]
            attempt = Attempt(None, upstream, SECTION, now, number.to_bytes(2))
            if number < 50:
                attempt.lookup = object()  # type: ignore[assignment]  # a question that is still open
                open_ones.append(attempt)
            assert transport.send(attempt, QUERY, now) is None
            if number % 500 == 0:
                assert len(held()) <= most
        kept = {id(each) for each in held()}
        assert all(id(each) in kept for each in open_ones)
        assert all(any(each.sent == number / 2000 for each in held()) for number in range(19_990, 20_000))


def test_a_reply_that_comes_after_its_query_was_forgotten_is_no_forgery() -> None:
    with (
        closing(UdpTransport(Receiver(), Runtime(clock=lambda: 0.0))) as transport,
        socket.socket(type=socket.SOCK_DGRAM) as server,
    ):
        server.bind((HOST, 0))
        server.settimeout(10)
        upstream = Upstream(UpstreamSpec(HOST, server.getsockname()[1]), HOST, b"\0")
        for number in range(3):
            assert transport.send(Attempt(None, upstream, SECTION, 0.0, number.to_bytes(2)), QUERY, 0.0) is None
        queries = [server.recvfrom(4096) for _ in range(3)]
        kept = Attempt(None, upstream, SECTION, 6.0, b"zz")
        assert transport.send(kept, QUERY, 6.0) is None
        transport.sweep(6.0)
        for query, asker in queries:
            server.sendto(query[:2] + b"\x81\x82" + query[4:], asker)
        transport.drain()
        assert not upstream.bad
        assert not kept.spoilt
        port = queries[0][1]
        server.sendto(b"??\x81\x80" + queries[0][0][4:], port)  # one more than were forgotten
        transport.drain()
        assert upstream.bad == {"id": 1}


def test_without_descriptors_the_sockets_that_are_there_do() -> None:
    with (
        closing(UdpTransport(Receiver(), Runtime(clock=lambda: 0.0))) as transport,
        socket.socket(type=socket.SOCK_DGRAM) as server,
    ):
        server.bind((HOST, 0))
        upstream = Upstream(UpstreamSpec(HOST, server.getsockname()[1]), HOST, b"\0")
        assert transport.send(Attempt(None, upstream, SECTION, 0.0, b"ab"), QUERY, 0.0) is None
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (server.fileno(), hard))
        try:
            assert transport.send(Attempt(None, upstream, SECTION, 0.0, b"cd"), QUERY, 0.0) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(transport.sockets[upstream].ports) == 1
        assert [server.recv(4096)[:2] for _ in range(2)] == [b"ab", b"cd"]
