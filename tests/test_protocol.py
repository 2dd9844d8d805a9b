"""What clients may send, and what must happen: the rows of the protocol table, asked over loopback sockets.

`big` is a headless service of 120 endpoints, `mid` one of 25; the cluster domain is Z.

Over 400 lines, so that the rows stand in their order in one place.
"""

import socket
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.update
import pytest
import trio
import trio.testing

from dnsserver.app.server import Server
from dnsserver.config import Domain
from dnsserver.config.model import Forward, Local
from dnsserver.wire.message import FormatError
from dnsserver.wire.query import read_query
from tests.clock import LoopbackClock
from tests.cluster import endpoints, namespace, pod, service
from tests.forward.scripted import Query, Upstream, upstream
from tests.messages import SIZE, aa, addresses, d, header, negative_ttl, option, tc
from tests.running import HOST, ask_tcp, ask_udp, config, port_of, running, take_messages, upstream_at, write_objects

Z = "cluster.local."
BIG, MID, WEB = (f"{name}.shop.svc.{Z}" for name in ("big", "mid", "web"))
QUESTION = b"\x03web\x04shop\x03svc\x07cluster\x05local\0\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


class Release:
    """Lets the upstream answer."""

    def __init__(self) -> None:
        self.event = trio.Event()

    async def script(self, query: Query) -> None:
        await self.event.wait()
        await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))


@pytest.fixture
def release() -> Release:
    return Release()


@pytest.fixture
async def outside(release: Release) -> AsyncIterator[Upstream]:
    async with upstream(release.script) as server:
        yield server


@pytest.fixture
async def server(tmp_path: Path, outside: Upstream) -> AsyncIterator[Server]:
    things = [
        namespace("shop"),
        service("web", "10.96.0.1", ports=[("http", "TCP", 80)]),
        service("big"),
        endpoints("big", *(f"10.1.0.{n}" for n in range(1, 121))),
        service("mid"),
        endpoints("mid", *(f"10.2.0.{n}" for n in range(1, 26))),
        pod("web-1", "10.3.0.1"),
    ]
    settings = config(objects=write_objects(tmp_path, things), upstreams=upstream_at(outside.port))
    async with running(settings) as server:
        yield server


async def ask(server: Server, *queries: dns.message.Message | bytes, tcp: bool = False) -> list[dns.message.Message]:
    """The replies, each whole and to its question."""
    wires = [query if isinstance(query, bytes) else query.to_wire() for query in queries]
    return [dns.message.from_wire(wire) for wire in await (ask_tcp if tcp else ask_udp)(port_of(server), wires)]


async def ask_one(server: Server, query: dns.message.Message | bytes, *, tcp: bool = False) -> dns.message.Message:
    (reply,) = await ask(server, query, tcp=tcp)
    return reply


async def test_row_01_soa_without_edns(server: Server) -> None:
    reply = await ask_one(server, d(Z, "SOA", use_edns=None))
    assert (reply.rcode(), aa(reply), reply.edns) == (dns.rcode.NOERROR, True, -1)
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.SOA]


async def test_row_02_unknown_type(server: Server) -> None:
    for name in (Z, WEB):
        reply = await ask_one(server, d(name, "TYPE1000", use_edns=None))
        assert (reply.rcode(), aa(reply), reply.answer) == (dns.rcode.NOERROR, True, [])
        assert negative_ttl(reply) == 5


async def test_row_03_header_flags(server: Server) -> None:
    z_flag = 0x40
    for flags in (0, z_flag, dns.flags.CD, dns.flags.AD, dns.flags.RD, dns.flags.CD | dns.flags.AD | z_flag):
        reply = await ask_one(server, d(WEB, flags=flags))
        assert reply.rcode() == dns.rcode.NOERROR
        copied = dns.flags.CD | dns.flags.RD
        assert reply.flags == dns.flags.QR | dns.flags.AA | dns.flags.RA | flags & copied


async def test_row_04_other_opcodes(server: Server) -> None:
    notify = d(Z, "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    update = dns.update.UpdateMessage(Z)
    update.add("web.shop.svc", 5, "A", "10.96.0.2")
    for query in (header(15 << 11, questions=0), notify.to_wire(), update.to_wire()):
        (reply,) = await ask_udp(port_of(server), [query])
        flags = int.from_bytes(reply[2:4])
        assert flags & 15 == dns.rcode.NOTIMP
        assert flags & 0x7800 == int.from_bytes(query[2:4]) & 0x7800
        assert not flags & dns.flags.AA


@pytest.mark.parametrize("more", [{}, {"options": [option(100, b"x")]}, {"ednsflags": 0x40}, "DO"])
async def test_row_05_unknown_edns_version(server: Server, more: Any) -> None:
    query = d(WEB)
    query.use_edns(1, payload=SIZE, **({"ednsflags": dns.flags.DO} if more == "DO" else more))
    reply = await ask_one(server, query)
    assert (reply.rcode(), aa(reply), reply.answer) == (dns.rcode.BADVERS, False, [])
    assert (reply.edns, reply.payload, reply.options, reply.ednsflags & 0xFFFF) == (0, SIZE, (), 0)


@pytest.mark.parametrize("more", [{"options": [option(100, b"x")]}, {"ednsflags": 0x40}])
async def test_row_06_unknown_edns_option_and_flag(server: Server, more: Any) -> None:
    reply = await ask_one(server, d(Z, "SOA", **more))
    assert (reply.rcode(), reply.edns, reply.options, reply.ednsflags & 0xFFFF) == (dns.rcode.NOERROR, 0, (), 0)
    assert reply.answer


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(option(10, b"12345678"), id="client-cookie"),
        pytest.param(option(10, b"12345678" + bytes(16)), id="both-cookies"),
        pytest.param(option(3, b""), id="nsid"),
        pytest.param(option(9, b""), id="expire"),
        pytest.param(option(11, b""), id="keepalive"),
        pytest.param(dns.edns.ECSOption("192.0.2.0", 24), id="subnet"),
    ],
)
async def test_row_07_options_are_never_echoed(server: Server, option: dns.edns.Option) -> None:
    for reply in await ask(server, d(WEB, options=[option]), d(WEB, options=[option])):
        assert reply.options == ()
        assert addresses(reply) == {"10.96.0.1"}


@pytest.mark.parametrize(
    ("extras", "records"),
    [
        (2, OPT + OPT),
        (1, b"\1x" + OPT),
        (1, OPT[:-2] + b"\0\5"),
        (1, OPT[:-2] + b"\xff\xff" + b"x" * 20),
        (1, OPT[:-2] + b"\0\6\0\x0a\0\5xy"),
        (1, OPT[:-2] + b"\0\6\0\x0a\0\5xyzab"),
        (1, OPT[:-2] + b"\0\3\0\x0a\0"),
        (1, OPT[:-2] + b"\0\x0c\0\x0c\0\4pads\0\x0a\xff\xff"),
    ],
    ids=["two", "owner", "length", "long-length", "option", "option-over-end", "half-option", "second-option"],
)
async def test_row_08_broken_opt(server: Server, extras: int, records: bytes) -> None:
    reply = await ask_one(server, header(extras=extras) + QUESTION + records)
    assert reply.rcode() == dns.rcode.FORMERR


@pytest.mark.parametrize(("size", "limit"), [(None, 512), (512, 512), (4096, SIZE), (65535, SIZE)])
async def test_row_09_too_big_for_udp(server: Server, size: int | None, limit: int) -> None:
    query = d(BIG, use_edns=None) if size is None else d(BIG, payload=size)
    for wire in await ask_udp(port_of(server), [query.to_wire()] * 2):
        assert len(wire) <= limit
        reply = dns.message.from_wire(wire)  # raises for a record that is not whole
        assert tc(reply)
        assert len(addresses(reply)) == (limit - len(query.to_wire())) // 16


async def test_row_10_tiny_buffer_is_512(server: Server) -> None:
    tiny, usual = await ask(server, d(MID, payload=100), d(MID, payload=512))
    assert len(addresses(tiny)) == 25
    assert addresses(tiny) == addresses(usual)
    assert not tc(tiny)
    assert tiny.payload == SIZE


async def test_row_11_everything_over_tcp(server: Server) -> None:
    reply = await ask_one(server, d(BIG), tcp=True)
    assert not tc(reply)
    assert len(addresses(reply)) == 120


async def test_row_12_a_slow_answer_holds_up_nobody(server: Server, release: Release) -> None:
    async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:
        for query in (d("slow.example.", id=1, flags=dns.flags.RD), d(WEB, id=2)):
            await stream.send_all(query.to_wire(prepend_length=True))
        assert [reply.id for reply in await receive(stream, 1)] == [2]
        release.event.set()
        assert [addresses(reply) for reply in await receive(stream, 1)] == [{"192.0.2.1"}]


async def receive(stream: trio.SocketStream, count: int) -> list[dns.message.Message]:
    """The next replies of a connection."""
    buffer = bytearray()
    found: list[bytes] = []
    while len(found) < count:
        data = await stream.receive_some()
        assert data, "closed too early"
        buffer += data
        found += take_messages(buffer)
    assert len(found) == count
    assert not buffer
    return [dns.message.from_wire(wire) for wire in found]


async def test_row_13_tcp_query_in_pieces(server: Server) -> None:
    wire = d(WEB).to_wire(prepend_length=True)
    async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:
        for cut in (slice(1), slice(1, 2), slice(2, 9), slice(9, None)):
            await stream.send_all(wire[cut])
            await trio.testing.wait_all_tasks_blocked()
        assert addresses((await receive(stream, 1))[0]) == {"10.96.0.1"}


async def test_row_13_tcp_half_close(server: Server, release: Release) -> None:
    release.event.set()
    async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:
        for query in (d(WEB), d("a.example.", flags=dns.flags.RD)):
            await stream.send_all(query.to_wire(prepend_length=True))
        await stream.send_eof()
        replies = await receive(stream, 2)
        assert [addresses(reply) for reply in replies] == [{"10.96.0.1"}, {"192.0.2.1"}]
        assert await stream.receive_some() == b""


async def test_row_13_tcp_length_zero(server: Server) -> None:
    async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:
        await stream.send_all(b"\0\0")
        assert await stream.receive_some() == b""


@pytest.fixture
def clock() -> LoopbackClock:
    """Time that jumps when nothing is on its way; longer than the kernel delays an ACK where a window is small."""
    return LoopbackClock(patience=0.1)


@pytest.mark.parametrize(("sent", "seconds"), [(b"", 10), (b"\0", 3), (b"\0\x20" + bytes(12), 3)])
async def test_row_14_tcp_silence(clock: LoopbackClock, server: Server, sent: bytes, seconds: float) -> None:
    async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:
        await stream.send_all(sent)
        started = trio.current_time()
        assert await stream.receive_some() == b""
        assert seconds - 0.5 <= trio.current_time() - started <= seconds + 0.5


async def test_row_14_tcp_client_that_does_not_read(clock: LoopbackClock, server: Server) -> None:
    wire = d(BIG).to_wire(prepend_length=True) * 100
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    tracemalloc.start()
    async with trio.SocketStream(sock) as stream:
        await sock.connect((HOST, port_of(server)))
        started = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream, wire)
    assert trio.current_time() - started <= 10
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


async def send_for_ever(stream: trio.SocketStream, data: bytes) -> None:
    while True:
        await stream.send_all(data)


async def test_row_15_no_reply(server: Server) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect((HOST, port_of(server)))
        for wire in (header(dns.flags.QR) + QUESTION, header()[:11], b"", d(WEB, id=7).to_wire()):
            await sock.send(wire)
        assert (await sock.recv(SIZE))[:2] == b"\0\7"  # a reply to one of the others would have come first


@pytest.mark.parametrize(
    "counts", [{"questions": 0}, {"questions": 2}, {"answers": 1}, {"extras": 65535}, {"authorities": 65535}]
)
async def test_row_16_wrong_counts(server: Server, counts: dict[str, int]) -> None:
    tracemalloc.start()
    try:
        (reply,) = await ask_udp(port_of(server), [header(dns.flags.RD, **counts) + QUESTION])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert int.from_bytes(reply[2:4]) & 0xF80F == dns.flags.QR | dns.rcode.FORMERR
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",
        b"\xc0\x1e",
        b"\xc0\x10" * 100,
        b"\3web\xc0\x0c",
        b"\x40web\0",
        b"\x80web\0",
        b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 3 + b"\0",
        b"\x01x" * 128 + b"\0",
        b"\x40" + b"x" * 64 + b"\0",
        b"\x01x" * 2000,
    ],
    ids=["itself", "forward", "chain", "back", "0x40", "0x80", "257-octets", "257-labels", "64-octets", "endless"],
)
async def test_row_17_bad_names(server: Server, name: bytes) -> None:
    query = header() + name + b"\0\1\0\1"
    (reply,) = await ask_udp(port_of(server), [query])
    assert reply == b"\0\0" + (dns.flags.QR | dns.flags.RA | dns.rcode.FORMERR).to_bytes(2) + bytes(8)
    assert min(processor_time(query) for _ in range(5)) < 0.001


@pytest.mark.parametrize(
    "records",
    [
        b"\xc0\x2c" + bytes(10),  # an owner that points to itself
        b"\xc0\x2e" + bytes(10),
        b"".join(b"\xc0" + bytes((44 + 2 * number,)) for number in range(100)),
        b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 3 + bytes(11),
    ],
    ids=["itself", "forward", "chain", "long"],
)
async def test_row_17_bad_names_behind_the_question(server: Server, records: bytes) -> None:
    query = header(extras=1) + QUESTION + records
    (reply,) = await ask_udp(port_of(server), [query])
    assert int.from_bytes(reply[2:4]) & 0xF == dns.rcode.FORMERR
    assert min(processor_time(query) for _ in range(5)) < 0.001


def processor_time(packet: bytes) -> float:
    """How many seconds it takes to see that a packet is malformed."""
    before = time.process_time()
    with pytest.raises(FormatError):
        read_query(packet)
    return time.process_time() - before


@pytest.mark.parametrize("tcp", [False, True])
async def test_row_18_trailing_bytes_and_long_queries(server: Server, tcp: bool) -> None:
    padded = d(WEB, options=[option(12, bytes(600))])
    for reply in await ask(server, d(WEB).to_wire() + b"trailing", header() + QUESTION + b"\0", padded, tcp=tcp):
        assert addresses(reply) == {"10.96.0.1"}


@pytest.mark.parametrize("klass", ["CH", "NONE", "ANY"])
async def test_row_19_other_classes(server: Server, klass: str) -> None:
    for name in (WEB, "version.bind."):
        reply = await ask_one(server, d(name, "TXT", rdclass=klass))
        assert (reply.rcode(), aa(reply), reply.answer) == (dns.rcode.REFUSED, False, [])


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("type_", ["AXFR", "IXFR"])
async def test_row_20_transfers(server: Server, type_: str, tcp: bool) -> None:
    query = d(Z, type_)
    if type_ == "IXFR":
        soa = dns.rrset.from_text(Z, 0, "IN", "SOA", "ns.dns.cluster.local. h.cluster.local. 1 2 3 4 5")
        query.authority.append(soa)
    reply = await ask_one(server, query, tcp=tcp)
    assert (reply.rcode(), reply.answer) == (dns.rcode.REFUSED, [])


async def test_row_21_any(server: Server, outside: Upstream) -> None:
    inside = (Z, WEB, BIG, f"_tcp.{WEB}", "1.0.96.10.in-addr.arpa.", "localhost.")
    for name in (*inside, "www.example.com.", "example.com.", "9.9.9.9.in-addr.arpa."):
        (wire,) = await ask_udp(port_of(server), [d(name, "ANY", flags=dns.flags.RD).to_wire()])
        reply = dns.message.from_wire(wire)
        assert len(wire) < 100
        assert addresses(reply) == {'"RFC8482" ""'}
        assert not tc(reply)
        assert aa(reply) == (name in inside)
    gone = await ask(server, *(d(name, "ANY") for name in (f"gone.shop.svc.{Z}", "x.invalid.", f"_udp.{WEB}")))
    assert [reply.rcode() for reply in gone] == [dns.rcode.NXDOMAIN] * 3
    assert outside.queries == []


async def test_row_22_empty_and_missing_names(server: Server) -> None:
    empty = [Z, f"_tcp.{WEB}", f"svc.{Z}", f"shop.svc.{Z}", f"pod.{Z}", f"shop.pod.{Z}"]
    below_leaf = [f"x.10-3-0-1.shop.pod.{Z}", f"a.b.{WEB}", f"a.b.c.{BIG}", f"x.dns-version.{Z}", f"nothing.{Z}"]
    below_leaf += [f"_udp.{WEB}", f"tcp.{WEB}", f"x._tcp.{WEB}", f"x._http._tcp.{WEB}"]
    for names, rcode in ((empty, dns.rcode.NOERROR), (below_leaf, dns.rcode.NXDOMAIN)):
        for reply in await ask(server, *(d(name, "TXT") for name in names)):
            assert (reply.rcode(), reply.answer, aa(reply)) == (rcode, [], True), reply
            assert negative_ttl(reply) == 5


async def test_row_23_negative_answers(server: Server) -> None:
    for name, type_ in ((WEB, "AAAA"), (WEB, "MX"), (f"nobody.shop.svc.{Z}", "A"), (f"x.nowhere.svc.{Z}", "A")):
        for reply in await ask(server, *[d(name, type_)] * 3):
            assert (aa(reply), reply.answer) == (True, [])
            assert negative_ttl(reply) == 5


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("edns", [{}, {"use_edns": None}])
async def test_row_24_case_is_kept(server: Server, tcp: bool, edns: dict[str, Any]) -> None:
    for base in (WEB, MID, f"nobody.shop.svc.{Z}", f"shop.svc.{Z}"):
        names = [base.title(), base, base.upper(), base.upper(), base.title(), base]  # the first one finds none cached
        replies = await ask(server, *(d(name, **edns) for name in names), tcp=tcp)
        assert [reply.question[0].name.to_text() for reply in replies] == names
        assert len({frozenset(addresses(reply)) for reply in replies}) == 1
        assert all(
            reply.answer[0].name.to_text() == name for name, reply in zip(names, replies, strict=True) if reply.answer
        )


async def test_row_25_special_names(server: Server, outside: Upstream) -> None:
    rd = dns.flags.RD
    for name in ("localhost.", "x.localhost.", "LOCALHOST."):
        v4, v6, text = await ask(server, d(name, flags=rd), d(name, "AAAA", flags=rd), d(name, "TXT", flags=rd))
        assert (addresses(v4), addresses(v6)) == ({"127.0.0.1"}, {"::1"})
        assert (text.rcode(), text.answer) == (dns.rcode.NOERROR, [])
    for reply in await ask(server, d("foo.invalid.", flags=rd), d("x.onion.", flags=rd)):
        assert reply.rcode() == dns.rcode.NXDOMAIN
    assert outside.queries == []


@pytest.mark.parametrize("trusted", [False, True])
async def test_row_25_an_alias_to_a_special_name_is_followed_here(tmp_path: Path, trusted: bool) -> None:
    """Neither asked outside, nor believed of whoever said where the alias leads."""
    aliases = {"a.corp.example.": "x.localhost.", "b.corp.example.": "x.invalid.", "c.corp.example.": "g.alt."}

    async def script(query: Query) -> None:
        target = aliases[query.name.lower()]
        await query.send(query.reply(f"{query.name} 300 IN CNAME {target}", f"{target} 300 IN A 192.0.2.66"))

    async with upstream(script) as corp, upstream(script) as other:
        forward = Forward(Domain.parse("corp.example"), upstream_at(corp.port), trusted=trusted)
        objects = write_objects(tmp_path, [namespace("shop")])
        settings = config(objects=objects, upstreams=upstream_at(other.port), forward=(forward,))
        async with running(settings) as server:
            replies = await ask(server, *(d(name, flags=dns.flags.RD) for name in aliases))
        assert [(reply.rcode(), addresses(reply)) for reply in replies] == [
            (dns.rcode.NOERROR, {"x.localhost.", "127.0.0.1"}),
            (dns.rcode.NXDOMAIN, {"x.invalid."}),
            (dns.rcode.NXDOMAIN, {"g.alt."}),
        ]
        assert other.queries == []


async def test_row_30_more_special_names(server: Server, outside: Upstream, release: Release) -> None:
    release.event.set()
    rd = dns.flags.RD
    for name in ("_dns.resolver.arpa.", "resolver.arpa.", "x.Resolver.ARPA."):
        (empty,) = await ask(server, d(name, "SVCB", flags=rd))
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
        assert negative_ttl(empty) > 0
    for name in ("alt.", "www.gnu.alt."):
        (missing,) = await ask(server, d(name, flags=rd))
        assert missing.rcode() == dns.rcode.NXDOMAIN
        assert negative_ttl(missing) > 0
    assert outside.queries == []
    elsewhere = [
        "db.internal.",
        "printer.local.",
        "nas.home.arpa.",
        "1.1.168.192.in-addr.arpa.",
        "resolver.arpa.example.",
    ]
    for name in elsewhere:
        await ask(server, d(name, flags=rd))
    assert [query.name.lower() for query in outside.queries] == elsewhere


async def test_row_30_local_domains_are_kept_here(tmp_path: Path, outside: Upstream) -> None:
    kept = tuple(Domain.parse(text) for text in ("internal", "home.arpa", "96.10.in-addr.arpa", "local"))
    things = [namespace("shop"), service("web", "10.96.0.1", ports=[("http", "TCP", 80)])]
    objects = write_objects(tmp_path, things)
    settings = config(objects=objects, upstreams=upstream_at(outside.port), local=Local(domains=kept))
    async with running(settings) as server:
        for name in ("internal.", "Db.Internal.", "nas.home.arpa.", "9.9.96.10.in-addr.arpa.", "printer.local."):
            (missing,) = await ask(server, d(name, "PTR", flags=dns.flags.RD))
            assert (missing.rcode(), negative_ttl(missing) > 0) == (dns.rcode.NXDOMAIN, True)
        web, reverse = await ask(server, d(WEB), d("1.0.96.10.in-addr.arpa.", "PTR"))
        assert addresses(web) == {"10.96.0.1"}
        assert addresses(reverse) == {WEB}
    assert outside.queries == []
