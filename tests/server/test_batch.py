"""Both kinds of UDP socket: they give the same replies, and none to packets that deserve none."""

import os
import socket
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.batch import BatchPort
from dnsserver.server.udp import bind
from dnsserver.server.udp_port import BATCH, UdpPort
from dnsserver.server.unbatched import UnbatchedPort
from tests.answering import Answering
from tests.cluster import listed
from tests.universe import BASE, PACKETS, zone

Kind = type[BatchPort] | type[UnbatchedPort]
HOST = "127.0.0.1"
WEB = dns.message.make_query("t.b.svc.cluster.local", "A", id=0).to_wire()


@pytest.fixture(params=[BatchPort, UnbatchedPort])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


class Bench:
    """One port, driven by hand: what is sent to it waits in the kernel until `serve`."""

    def __init__(self, kind: Kind, *, limit: int = 1 << 30) -> None:
        self.sock = bind(HOST, 0)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.connect(self.sock.getsockname())
        self.client.setblocking(False)
        cluster = zone()
        for event in listed(BASE):
            cluster.apply(event, 0, 1)
        self.answering = Answering(cluster, ReplyCache(limit))
        self.port: UdpPort = kind(self.sock, self.answering.replies.add_table("udp", "1"), self.answering.responder)

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.client.send(packet)

    def serve(self) -> int:
        """Answer all waiting packets; return their number."""
        total = 0
        while count := self.port.serve_batch(self.answering.responder.respond, 0.0):
            total += count
        return total

    def receive(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.client.recv(65535))
            except BlockingIOError:
                return found

    def ask(self, *packets: bytes) -> list[bytes]:
        self.send(*packets)
        self.serve()
        return self.receive()

    def close(self) -> None:
        self.sock.close()
        self.client.close()


@pytest.fixture
def bench(kind: Kind) -> Iterator[Bench]:
    with closing(Bench(kind)) as made:
        yield made


def numbered(packets: list[bytes]) -> list[bytes]:
    return [number.to_bytes(2) + packet[2:] for number, packet in enumerate(packets)]


def test_every_packet_gets_its_own_reply_in_order(bench: Bench) -> None:
    packets = numbered(PACKETS)
    bench.ask(*packets)
    replies = bench.ask(*packets)
    assert [reply[:2] for reply in replies] == [packet[:2] for packet in packets]
    assert all(reply[12 : len(packet) - 11] == packet[12:-11] for packet, reply in zip(packets, replies, strict=True))
    assert bench.port.statistics().received == 2 * len(packets)
    assert bench.port.statistics().unsent == 0


def test_more_than_a_batch_takes_several_turns(bench: Bench) -> None:
    bench.send(*[WEB] * (2 * BATCH + 1))
    assert bench.serve() == 2 * BATCH + 1
    assert len(bench.receive()) == 2 * BATCH + 1


_junk = st.binary(max_size=100)
_cut = st.builds(lambda packet, size: packet[:size], st.sampled_from(PACKETS), st.integers(0, 60))
_outside = st.builds(
    lambda name, type_, size: dns.message.make_query(name, type_, id=0, use_edns=0, payload=size).to_wire(),
    st.sampled_from(("www.example.com", "WWW.example.com", "none.example.com")),
    st.sampled_from(("A", "AAAA")),
    st.sampled_from((512, 1232)),
)
_any_packet = st.one_of(st.sampled_from(PACKETS), st.sampled_from(PACKETS), _outside, _cut, _junk)


@settings(deadline=None, max_examples=50)
@given(st.lists(_any_packet, min_size=1, max_size=100), st.booleans())
def test_both_kinds_give_the_same_replies_at_once_and_late(packets: list[bytes], late: bool) -> None:
    found = []
    for kind in (BatchPort, UnbatchedPort):
        with closing(Bench(kind)) as bench:
            outside = bench.answering.outside
            outside.late = late
            replies = bench.ask(*numbered(packets))
            outside.finish()
            bench.port.flush()
            replies += bench.receive()
            table = bench.port.table
            found.append((replies, outside.asked, bench.port.statistics(), table.traffic(), table.replies.keys()))
    assert found[0] == found[1]


def test_a_reply_that_gives_way_to_another_of_its_batch_still_goes_out(kind: Kind) -> None:
    # With room for one reply, a miss pushes out the reply that the packet before it has just been answered with.
    with closing(Bench(kind, limit=1500)) as bench:
        others = [dns.message.make_query(f"10-1-0-{n}.a.svc.cluster.local", "TXT").to_wire() for n in range(40)]
        for name in ("t.b.svc.cluster.local", "t.b.pod.cluster.local", "s.a.svc.cluster.local"):
            for other in (PACKETS[0], PACKETS[1], *others):
                asked = dns.message.make_query(name, "TXT", id=1).to_wire()
                (expected,) = bench.ask(asked)
                assert bench.ask(asked, other, *others[:20])[0] == expected


def test_nothing_goes_out_through_a_descriptor_that_is_anothers_by_now(bench: Bench) -> None:
    (reply,) = bench.ask(WEB)
    bench.send(WEB)
    client = bench.port.take()[0][1]
    number = bench.sock.fileno()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        bench.sock.close()
        os.dup2(ours.fileno(), number)
        theirs.setblocking(False)
        for _ in range(BATCH + 1):
            bench.port.send(reply, client)
        bench.port.flush()
        with pytest.raises(BlockingIOError):
            theirs.recv(1000)
        os.close(number)
    assert bench.port.statistics().unsent == BATCH + 1


def test_a_packet_that_the_kernel_had_to_cut_is_dropped(bench: Bench) -> None:
    assert bench.ask(WEB + bytes(5000), b"\0\1" + WEB[2:])[0][:2] == b"\0\1"


def test_an_empty_packet_is_dropped(bench: Bench) -> None:
    assert [reply[:2] for reply in bench.ask(b"", b"\0\1" + WEB[2:])] == [b"\0\1"]


def test_a_client_that_has_gone_costs_the_others_nothing(bench: Bench) -> None:
    gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    gone.connect(bench.sock.getsockname())
    gone.send(WEB)
    gone.close()
    assert len(bench.ask(WEB)) == 1
    assert len(bench.ask(WEB)) == 1  # after the ICMP error for the first


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket takes root")
def test_row_15_source_port_zero_gets_no_reply(bench: Bench) -> None:
    port = bench.sock.getsockname()[1]
    bench.ask(WEB)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        for query in (WEB, b"\0\0\1\0"):  # one that is known, one that is not
            raw.sendto(struct.pack("!HHHH", 0, port, 8 + len(query), 0) + query, (HOST, 0))
    assert bench.serve() == 2
    # Where the reply was at hand it was tried, and the kernel did not take it.
    assert bench.port.table.traffic().replies.total() - bench.port.statistics().unsent == 1
    assert len(bench.ask(WEB)) == 1


@pytest.mark.made_up
@pytest.mark.parametrize("late", [False, True])
def test_replies_of_the_largest_size_stay_apart(kind: Kind, late: bool) -> None:
    """A slot of a batch holds a reply as large as `udp.size` may be; the next slot belongs to another client."""
    queries = [struct.pack("!H", number) + WEB[2:] + bytes((number,)) for number in range(16)]

    def large(packet: bytes, port: UdpPort, index: int) -> bytes | None:
        reply = packet[:2] + packet[-1:] * 4094
        if not late:
            return reply
        port.send(reply, port.begin_deferred(index))
        return None

    with closing(Bench(kind)) as bench:
        bench.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        bench.send(*queries)
        assert bench.port.serve_batch(large, 0.0)
        while bench.port.serve_batch(large, 0.0):
            pass
        bench.port.flush()
        assert sorted(bench.receive()) == [query[:2] + query[-1:] * 4094 for query in queries]


def test_who_sent_the_last_packets_is_told_and_nobody_who_sent_none(bench: Bench) -> None:
    for count in (2, BATCH):
        bench.send(*[WEB] * count)
        assert bench.serve() == count
        assert set(bench.port.senders(count)) == {socket.inet_aton(HOST)}
        assert len(bench.port.senders(count)) in {1, count}


def test_a_port_that_nobody_asks_takes_next_to_nothing(kind: Kind) -> None:
    with closing(Bench(kind)) as bench:
        tracemalloc.start()
        kept = kind(bench.sock, bench.port.table, bench.answering.responder)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept.statistics().received == 0
    assert taken < 64 << 10  # the room for a batch of packets is 260 KiB, twice in each port
