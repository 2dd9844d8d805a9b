"""Rows 26 and 27 of the protocol table: which client may ask, and how much; other clients lose nothing by that."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_network
from typing import Literal, Protocol

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import msgspec
import pytest
from trio.testing import MockClock

from dnsserver.app.settings import guard as configured
from dnsserver.config import Config
from dnsserver.config.model import Clients
from dnsserver.config.values import Network
from dnsserver.server.batch import BatchPort
from dnsserver.server.guard import TOO_FAST, TOO_MANY, Guard
from dnsserver.server.unbatched import UnbatchedPort
from tests.logs import capture_logs
from tests.server.parts import Parts, UdpClient, query, tcp_client

EVERYBODY = [ip_network("0.0.0.0/0"), ip_network("::/0")]
OTHERS = [ip_network("127.0.0.2/31"), ip_network("::/0")]
FIRST, SECOND, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
ME, YOU = b"\x0a\0\0\1", b"\x0a\0\0\2"


# ---- the guard by itself


def test_a_second_s_worth_may_come_at_once_and_then_one_each_step() -> None:
    guard = Guard(EVERYBODY, rate=10)
    assert [guard.admission_denial(ME, 100.0) for _ in range(12)] == [None] * 10 + [TOO_FAST] * 2
    assert [guard.admission_denial(ME, 100.1) for _ in range(2)] == [None, TOO_FAST]
    assert [guard.admission_denial(ME, 200.0) for _ in range(11)] == [None] * 10 + [TOO_FAST]
    assert guard.limited == {"rate": 4}


@pytest.mark.parametrize("rate", [1, 3, 7, 100, 33_333])
def test_sums_of_steps_do_not_cost_a_query(rate: int) -> None:
    guard = Guard(EVERYBODY, rate=rate)
    assert sum(guard.admission_denial(ME, 1e6) is None for _ in range(rate + 5)) == rate


def test_clients_do_not_share_their_rate() -> None:
    guard = Guard(EVERYBODY, rate=1)
    assert guard.admission_denial(ME, 1.0) is None
    assert guard.admission_denial(ME, 1.0) is TOO_FAST
    assert guard.admission_denial(YOU, 1.0) is None


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("10.255.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fd00::1", True),
        ("fe80::1", False),
        ("::a01:203", False),  # the octets of 10.1.2.3, but not its family
    ],
)
def test_networks_of_both_families_and_any_prefix(address: str, allowed: bool) -> None:
    guard = Guard([ip_network(text) for text in ("10.0.0.0/9", "192.0.2.7", "fd00::/8")])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.inet_pton(family, address)
    for _ in range(2):  # judged, then remembered
        assert (guard.admission_denial(client, 1.0) is None) is allowed
        assert guard.allows(client) is allowed


def test_what_is_remembered_is_bounded_and_those_who_ask_on_are_not_forgotten() -> None:
    guard = Guard(EVERYBODY, rate=2, remembered=100)
    for number in range(10_000):
        guard.admission_denial(b"\x0b" + number.to_bytes(3), 1.0)
        verdict = guard.admission_denial(ME, 1.0)
        assert guard.clients <= 100
    assert verdict is TOO_FAST
    assert guard.limited == {"rate": 9_998}


def test_what_is_remembered_of_networks_is_bounded() -> None:
    guard = Guard(OTHERS, remembered=100)
    for number in range(10_000):
        guard.admission_denial(b"\x0b" + number.to_bytes(3), 1.0)
        assert guard.clients <= 100


def test_questions_under_way_are_counted_by_client() -> None:
    guard = Guard(EVERYBODY, in_flight=2)
    first = guard.begin(ME)
    assert guard.inflight_denial(ME, 1.0) is None
    second = guard.begin(ME)
    assert guard.inflight_denial(ME, 1.0) is TOO_MANY
    assert guard.inflight_denial(ME, 1.0, stream=True) is None, "who was sent to TCP has as much there"
    assert guard.inflight_denial(YOU, 1.0) is None
    first()
    assert guard.inflight_denial(ME, 1.0) is None
    second()
    assert guard.limited == {"in_flight": 1}


NETWORK = b"\xfd" + bytes(6) + b"\1"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ME, YOU, False),
        (NETWORK + bytes(7) + b"\1", NETWORK + b"\xff" * 8, True),  # one /64
        (NETWORK + bytes(7) + b"\1", NETWORK[:7] + b"\2" + bytes(7) + b"\1", False),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_network_of_64_bits(one: bytes, other: bytes, same: bool) -> None:
    guard = Guard(EVERYBODY, rate=1, in_flight=1)
    assert guard.admission_denial(one, 1.0) is None
    assert guard.admission_denial(other, 1.0) is (TOO_FAST if same else None)
    assert guard.admission_denial(other, 1.0, stream=True) is None
    guard.begin(one)
    assert guard.inflight_denial(other, 1.0) is (TOO_MANY if same else None)


def test_addresses_of_one_network_are_allowed_apart() -> None:
    guard = Guard([ip_network("fd00:0:0:1::8/125")], rate=9)
    for number in range(16):
        allowed = guard.admission_denial(NETWORK + number.to_bytes(8), 1.0) is None
        assert allowed is (number >= 8)


def test_where_it_only_watches_it_counts_and_tells_and_limits_nobody() -> None:
    told = []
    guard = Guard(EVERYBODY, rate=2, in_flight=1, watches=True, on_limited=lambda *what: told.append(what))
    assert [guard.admission_denial(ME, 1.0) for _ in range(5)] == [None] * 5
    ends = [guard.begin(ME), guard.begin(ME)]
    assert guard.inflight_denial(ME, 2.0) is None
    assert guard.limited == {"rate-watched": 3, "in_flight-watched": 1}
    assert told == [(ME, "rate", 1.0)] * 3 + [(ME, "in_flight", 2.0)]
    for end in ends:
        end()


@pytest.mark.parametrize("over", ["truncate", "drop", "log"])
def test_the_log_names_who_asks_too_much_once_a_minute(over: Literal["truncate", "drop", "log"]) -> None:
    guard = configured(msgspec.structs.replace(Config(), clients=Clients(rate=1, over=over)))
    assert guard is not None
    with capture_logs() as logs:
        for second in range(90):
            for client in (ME, ME, ME, NETWORK + bytes(8), NETWORK + bytes(8)):
                guard.admission_denial(client, second / 1.001)
    told = [(line["client"], line["setting"]) for line in logs]
    assert sorted(told) == [("10.0.0.1", "clients.rate")] * 2 + [("fd00:0:0:1::/64", "clients.rate")] * 2


def test_there_is_no_guard_where_nothing_is_limited() -> None:
    assert configured(Config()) is None
    for clients in (
        Clients(rate=5),
        Clients(in_flight=5),
        Clients(allow=(Network("0.0.0.0/0"),)),
        Clients(allow=(Network("10.0.0.0/8"), Network("::/0"))),
    ):
        assert configured(msgspec.structs.replace(Config(), clients=clients)) is not None


# ---- in front of the caches, over sockets


class Talk(Protocol):
    """The packets that a client sends, and the replies that it gets."""

    async def send(self, *packets: bytes) -> None: ...

    async def receive(self) -> dns.message.Message: ...

    async def wait_silence(self) -> None: ...


Connect = Callable[[str], AbstractAsyncContextManager[Talk]]
Way = Callable[[Parts], AbstractAsyncContextManager[Connect]]


def _udp(kind: type[BatchPort] | type[UnbatchedPort]) -> Way:
    @asynccontextmanager
    async def way(parts: Parts) -> AsyncIterator[Connect]:
        async with parts.udp(kind=kind) as port:

            @asynccontextmanager
            async def connect(host: str) -> AsyncIterator[Talk]:
                with UdpClient(port, host) as client:
                    yield client

            yield connect

    return way


@asynccontextmanager
async def _tcp(parts: Parts) -> AsyncIterator[Connect]:
    async with parts.tcp() as server:
        yield lambda host: tcp_client(server, host)


each_way = pytest.mark.parametrize(
    "way", [_udp(BatchPort), _udp(UnbatchedPort), _tcp], ids=["batch", "unbatched", "tcp"]
)


def _ede(reply: dns.message.Message) -> list[int]:
    return [int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption)]


@each_way
async def test_row_26_a_client_outside_the_networks_is_refused_before_cache_and_upstreams(way: Way) -> None:
    parts = Parts(Guard(OTHERS, refuses=True))
    async with way(parts) as connect:
        async with connect(SECOND) as allowed:
            await allowed.send(query("web.shop", 1))  # now it is in the cache
            assert (await allowed.receive()).rcode() == dns.rcode.NOERROR
        async with connect(FIRST) as client:
            asked = [query("web.shop", 1), query("www.example.com", 2), query("web.shop", 3, use_edns=0)]
            await client.send(*asked, b"\0\4" + asked[0][2:-1])
            replies = [await client.receive() for _ in range(4)]
            assert [reply.rcode() for reply in replies] == [dns.rcode.REFUSED] * 4
            assert [reply.id for reply in replies] == [1, 2, 3, 4]
            assert [reply.edns for reply in replies] == [-1, -1, 0, -1]
            assert _ede(replies[2]) == [dns.edns.EDECode.PROHIBITED]
            await client.wait_silence()
    assert not parts.outside.waiting
    assert _limited(parts) == {"allow": 4}


@pytest.mark.parametrize("kind", [BatchPort, UnbatchedPort])
async def test_row_26_or_its_packets_are_dropped(kind: type[BatchPort] | type[UnbatchedPort]) -> None:
    parts = Parts(Guard(OTHERS))
    async with parts.udp(kind=kind) as port:
        with UdpClient(port, FIRST) as client:
            await client.send(query("web.shop"), query("www.example.com"))
            await client.wait_silence()
    assert not parts.outside.waiting
    assert _limited(parts) == {"allow": 2}


async def test_row_26_or_its_connections_are_closed() -> None:
    parts = Parts(Guard(OTHERS))
    async with parts.tcp() as server:
        async with tcp_client(server, FIRST) as client:
            assert await client.wait_closed() == b""
        async with tcp_client(server, SECOND) as client:
            await client.send(query("web.shop"))
            await client.receive()
    assert _limited(parts) == {"allow": 1}


def _is_cut(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.TC) and reply.rcode() == dns.rcode.NOERROR and not reply.answer


@each_way
@pytest.mark.parametrize("truncates", [False, True])
@pytest.mark.parametrize("refuses", [False, True])
async def test_row_27_above_its_rate_a_client_is_sent_to_tcp_or_hears_nothing(
    way: Way, truncates: bool, refuses: bool, frozen: MockClock
) -> None:
    parts = Parts(Guard(EVERYBODY, rate=4, refuses=refuses, truncates=truncates))
    packets = [query("web.shop", number, use_edns=0) for number in range(7)]
    cut = 3 if truncates and way is not _tcp else 0
    async with way(parts) as connect:
        async with connect(FIRST) as client:
            await client.send(*packets)
            replies = sorted([await client.receive() for _ in range(4 + cut)], key=lambda reply: reply.id)
            assert [_is_cut(reply) for reply in replies] == [False] * 4 + [True] * cut
            assert {reply.rcode() for reply in replies} == {dns.rcode.NOERROR}
            assert {len(reply.to_wire()) for reply in replies[4:]} <= {len(packets[0])}, "no longer than the query"
            await client.wait_silence()
        async with connect(SECOND) as other:
            await other.send(*packets[:4])
            assert not any([_is_cut(await other.receive()) for _ in range(4)])
        frozen.jump(0.5)
        async with connect(FIRST) as client:
            await client.send(*packets[:2])
            assert not any([_is_cut(await client.receive()) for _ in range(2)])
    assert _limited(parts) == {"rate": 3}


@each_way
@pytest.mark.parametrize("truncates", [False, True])
async def test_row_27_above_its_questions_under_way_a_client_is_sent_to_tcp_or_hears_nothing(
    way: Way, truncates: bool
) -> None:
    parts = Parts(Guard(EVERYBODY, in_flight=2, truncates=truncates))
    outside = [query(f"{number}.example.com", number) for number in range(4)]
    cut = {2: True, 3: True} if truncates and way is not _tcp else {}
    async with way(parts) as connect, connect(FIRST) as client, connect(SECOND) as other:
        await client.send(*outside, query("web.shop", 9))
        early = [await client.receive() for _ in range(1 + len(cut))]
        # The server's own names do not wait.
        assert {reply.id: _is_cut(reply) for reply in early} == {**cut, 9: False}
        await other.send(outside[0])
        await parts.outside.wait_asked(3)
        parts.deliver()
        assert {(await client.receive()).id for _ in range(2)} == {0, 1}
        assert (await other.receive()).rcode() == dns.rcode.NOERROR
        await client.send(outside[3])
        await parts.outside.wait_asked(1)
        parts.deliver()
        assert (await client.receive()).id == 3
        await client.wait_silence()
    assert _limited(parts) == {"in_flight": 2}


async def test_row_27_who_is_sent_to_tcp_is_answered_there(frozen: MockClock) -> None:
    parts = Parts(Guard(EVERYBODY, rate=1, truncates=True))
    async with parts.udp() as port, parts.tcp() as server:
        with UdpClient(port, FIRST) as client:
            await client.send(query("web.shop", 1), query("web.shop", 2), b"\0\3" + bytes(9) + b"\1\xff")
            replies = [await client.receive() for _ in range(2)]
            assert sorted(_is_cut(reply) for reply in replies) == [False, True]
            await client.wait_silence()
        async with tcp_client(server, FIRST) as stream:
            await stream.send(query("web.shop", 2))
            assert len((await stream.receive()).answer) == 1


async def test_no_packet_of_a_refused_client_ends_the_server() -> None:
    parts = Parts(Guard(OTHERS, refuses=True))
    whole = query("web.shop", use_edns=0)
    odd = [b"", b"\0", bytes(11), bytes(12), whole[:2] + b"\x80" + whole[3:], bytes(5000), b"\xff" * 40]
    async with parts.udp() as port:
        with UdpClient(port, FIRST) as client:
            await client.send(*odd, *(whole[:end] for end in range(13, len(whole))))
            for _ in range(1 + len(whole) - 13):  # the header alone, and every cut of the query
                assert (await client.receive()).rcode() == dns.rcode.REFUSED
            await client.wait_silence()


@pytest.fixture
def frozen() -> MockClock:
    """Time that stands still until the test moves it."""
    return MockClock()


def _limited(parts: Parts) -> dict[str, int]:
    assert parts.responder.guard is not None
    return dict(parts.responder.guard.limited)
