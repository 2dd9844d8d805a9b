"""HTTP as it is spoken by those who do it right, those who do not, and those who mean harm; in virtual time."""

import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import h11
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dnsserver.faults import Faults
from dnsserver.server.admin import bind
from dnsserver.server.http import HttpLimits, Request, Response
from dnsserver.server.http_server import HttpServer
from tests.clock import LoopbackClock
from tests.logs import capture_logs

GET = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = 4_000_000  # more than the buffers of both ends of a connection hold


class Rig:
    """A server, and what it was asked."""

    def __init__(self, limits: HttpLimits) -> None:
        self.faults = Faults()
        self.asked: list[Request] = []
        self.http = HttpServer(self.respond, self.faults, costly={"/costly"}, limits=limits)
        self.address = ("", 0)
        self.clients: list[trio.SocketStream] = []
        self.stream_ended = trio.Event()

    def respond(self, request: Request) -> Response:
        self.asked.append(request)
        match request.path:
            case "/big":
                return Response("x" * BIG)
            case "/stream":
                return Response(self.pieces())
            case "/broken-stream":
                return Response(self.broken())
            case _:
                return Response("done\n")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(1, 4):
                yield b"piece %d\n" % number
                await trio.sleep(100)
        finally:
            self.stream_ended.set()

    async def broken(self) -> AsyncGenerator[bytes, None]:
        yield b"piece 1\n"
        raise RuntimeError("a bug")

    async def connect(self, host: str = "127.0.0.1") -> trio.SocketStream:
        sock = trio.socket.socket()
        await sock.bind((host, 0))
        await sock.connect(self.address)
        self.clients.append(trio.SocketStream(sock))
        return self.clients[-1]

    async def talk(self, sent: bytes) -> bytes:
        """Send, and return all that comes until the server closes."""
        stream = await self.connect()
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(sent)
            return await rest(stream)


async def rest(stream: trio.SocketStream) -> bytes:
    """Read until the other side closes."""
    got = b""
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(1 << 20):
            got += data
    return got


async def page(stream: trio.SocketStream) -> bytes:
    """Ask for a page and read it; b"" if the connection is closed."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(GET)
        got = b""
        while not got.endswith(b"done\n"):
            data = await stream.receive_some(4096)
            if not data:
                return b""
            got += data
        return got
    return b""


@contextlib.asynccontextmanager
async def running(**limits: Any) -> AsyncIterator[Rig]:
    rig = Rig(HttpLimits(**limits))
    sock = bind("127.0.0.1", 0)
    rig.address = sock.getsockname()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.http.serve, sock)
        yield rig
        nursery.cancel_scope.cancel()
    assert rig.http.connections == 0
    for stream in rig.clients:
        await trio.aclose_forcefully(stream)


def status(got: bytes) -> int:
    assert got.startswith(b"HTTP/1.1 "), got[:100]
    return int(got[9:12])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"G\0T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\0" * 100, 400),
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /?" + b"a&" * 150 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"x" * 100_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (CHUNKED + b"8000\r\n%s\r\n" % (b"x" * 0x8000) * 3, 413),
        (CHUNKED + b"1\r\nx\r\n" * 60_000, 413),
        (CHUNKED + b"1;%s\r\nx\r\n" % (b"y" * 4000) * 5_000, 413),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, 505),
        (b"GET / HTTP/3.7\r\nHost: x\r\n\r\n", 505),
    ],
)  # fmt: skip
async def test_what_is_refused(clock: LoopbackClock, sent: bytes, expected: int) -> None:
    with capture_logs() as logs:
        async with running() as rig:
            got = await rig.talk(sent)
            assert status(got) == expected
            assert b"connection: close" in got.lower()
            assert got.count(b"HTTP/1.1 ") == 1
            assert rig.asked == []
            assert status(await rig.talk(GET)) == 200
    assert logs == []


@pytest.mark.parametrize(
    ("sent", "path", "query"),
    [
        (b"/page", "/page", {}),
        (b"/page?a=b&c", "/page", {"a": "b", "c": ""}),
        (b"/p%61ge?a=%62", "/page", {"a": "b"}),
        (b"http://other/page?x=y", "/page", {"x": "y"}),
        (b"http://other", "/", {}),
        (b"http://[/page", "/page", {}),
        (b"*", "*", {}),
        (b"/?a=%ff%zz", "/", {"a": "\ufffd%zz"}),
    ],
)
async def test_targets(clock: LoopbackClock, sent: bytes, path: str, query: dict[str, str]) -> None:
    async with running() as rig:
        got = await rig.talk(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % sent)
    assert status(got) == 200
    assert [(request.path, request.query) for request in rig.asked] == [(path, query)]


@pytest.mark.parametrize(
    "extra",
    [
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
        b"Connection: keep-alive\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: something\r\n",
    ],
)
async def test_what_is_answered_as_if_it_were_not_there(clock: LoopbackClock, extra: bytes) -> None:
    """No upgrade, and a body is read away: the next request on the connection is understood."""
    body = b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in extra else b"hello" if b"Length" in extra else b""
    async with running() as rig:
        got = await rig.talk(b"GET /page HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n" + body + GET)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"101" not in got


async def test_requests_sent_at_once_are_answered_in_order(clock: LoopbackClock) -> None:
    async with running() as rig:
        sent = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50))
        got = await rig.talk(sent)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 50
    assert [request.path for request in rig.asked] == [f"/{number}" for number in range(50)]


@pytest.mark.parametrize(
    ("request_line", "closed"),
    [
        (b"GET /page HTTP/1.0\r\n\r\n", True),
        (b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", True),
        (GET, False),
    ],
)
async def test_who_keeps_the_connection(clock: LoopbackClock, request_line: bytes, closed: bool) -> None:
    async with running() as rig:
        before = trio.current_time()
        got = await rig.talk(request_line)
        assert status(got) == 200
        assert (trio.current_time() - before < 70) == closed


async def test_head_has_the_length_and_no_body(clock: LoopbackClock) -> None:
    async with running() as rig:
        got = await rig.talk(GET.replace(b"GET", b"HEAD") + GET)
    head, _, after = got.partition(b"\r\n\r\n")
    assert b"content-length: 5" in head.lower()
    assert after.startswith(b"HTTP/1.1 200 OK")


async def test_a_response_says_what_http_wants(clock: LoopbackClock) -> None:
    async with running() as rig:
        got = (await rig.talk(GET)).lower()
    for header in (b"date: ", b"content-type: text/plain; charset=utf-8", b"cache-control: no-store"):
        assert b"\r\n" + header in got
    assert b"\r\nserver: " not in got


async def test_who_asks_whether_to_send_the_body_is_told(clock: LoopbackClock) -> None:
    head = b"POST /page HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
    async with running() as rig:
        stream = await rig.connect()
        async with stream:
            await stream.send_all(head + b"5\r\n\r\n")
            assert await stream.receive_some(1000) == b"HTTP/1.1 100 \r\n\r\n"
            await stream.send_all(b"hello")
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200 OK")
        assert status(await rig.talk(head + b"70000\r\n\r\n")) == 413  # without telling it to go on


@pytest.mark.parametrize(
    ("sent", "expected", "seconds"),
    [
        (b"", None, 10),
        (b"G", 408, 5),
        (GET[:-2], 408, 5),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell", 408, 5),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 408, 5),
        (GET, 200, 75),
        (GET + b"G", 200, 5),
    ],
)
async def test_how_long_a_client_is_waited_for(
    clock: LoopbackClock, sent: bytes, expected: int | None, seconds: float
) -> None:
    async with running() as rig:
        stream = await rig.connect()
        async with stream:
            before = trio.current_time()
            await stream.send_all(sent)
            got = await rest(stream)
            assert trio.current_time() - before == pytest.approx(seconds, abs=1.1)  # a second for it to read
        assert (status(got) if got else None) == expected


async def test_drop_by_drop_is_not_faster(clock: LoopbackClock) -> None:
    async with running() as rig:
        stream = await rig.connect()
        async with stream:
            before = trio.current_time()
            with contextlib.suppress(trio.BrokenResourceError):
                for number in range(100):
                    await stream.send_all(GET[number % len(GET) :][:1])
                    await trio.sleep(0.5)
                    if rig.http.connections == 0:
                        break
            assert trio.current_time() - before < 8
        assert rig.asked == []


async def test_a_slow_reader_is_let_go(clock: LoopbackClock) -> None:
    async with running() as rig:
        stream = await rig.connect()
        async with stream:
            await stream.send_all(GET.replace(b"page", b"big"))
            await trio.sleep(9)
            assert rig.http.connections == 1
            await trio.sleep(2)
            assert rig.http.connections == 0
            assert len(await rest(stream)) < BIG


async def test_what_is_unsent_is_bounded_over_all_connections(clock: LoopbackClock) -> None:
    async with running(unsent=3 * BIG + 10_000) as rig:
        streams = [await rig.connect() for _ in range(8)]
        for stream in streams:
            await stream.send_all(GET.replace(b"page", b"big"))
            await wait_all_tasks_blocked(0.001)
            assert rig.http.connections <= 3 + len(streams) - 1 - streams.index(stream)
        assert rig.http.connections == 3
        assert len(await rest(streams[-1])) > BIG  # the last one is served
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize("sent", [b"", b"G", GET[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", GET])
async def test_idle_and_broken_clients_make_room_for_a_probe(clock: LoopbackClock, sent: bytes) -> None:
    async with running(connections=16) as rig:
        others = []
        for number in range(100):
            stream = await rig.connect(f"127.0.0.{2 + number % 3}")
            others.append(stream)
            if sent:
                await stream.send_all(sent)
            await wait_all_tasks_blocked(0.0005)
            assert rig.http.connections <= 16
        before = trio.current_time()
        assert status(await page(await rig.connect())) == 200
        assert status(await page(await rig.connect("127.0.0.2"))) == 200  # from where the others are, too
        assert trio.current_time() - before < 1
        for stream in others:
            await stream.aclose()


async def test_one_address_has_half_of_what_the_others_leave(clock: LoopbackClock) -> None:
    async with running(connections=16) as rig:
        probe = await rig.connect()
        assert status(await page(probe)) == 200
        for _ in range(50):
            stream = await rig.connect("127.0.0.2")
            assert status(await page(stream)) == 200
        assert rig.http.connections == 1 + 7
        assert status(await page(probe)) == 200  # its own connection is still there


async def test_who_was_served_last_stays(clock: LoopbackClock) -> None:
    async with running(connections=4) as rig:
        probe = await rig.connect()
        for _ in range(20):
            await rig.connect()
            assert status(await page(probe)) == 200


async def test_readers_that_do_not_read_make_room_too(clock: LoopbackClock) -> None:
    async with running(connections=8) as rig:
        others = []
        for number in range(20):
            stream = await rig.connect(f"127.0.0.{2 + number}")
            await stream.send_all(GET.replace(b"page", b"big"))
            await wait_all_tasks_blocked(0.001)
            others.append(stream)
        assert status(await page(await rig.connect())) == 200
        for stream in others:
            await stream.aclose()


async def test_a_streamed_page_comes_piece_by_piece(clock: LoopbackClock) -> None:
    async with running() as rig:
        got = await rig.talk(GET.replace(b"page", b"stream"))
        assert b"transfer-encoding: chunked" in got.lower()
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        client.receive_data(got)
        events: list[Any] = []
        while not isinstance(events and events[-1], h11.EndOfMessage):
            events.append(client.next_event())
        pieces = [bytes(event.data) for event in events if isinstance(event, h11.Data)]
        assert pieces == [b"piece 1\n", b"piece 2\n", b"piece 3\n"]
        assert trio.current_time() >= 300


async def test_a_streamed_page_ends_when_its_reader_goes(clock: LoopbackClock) -> None:
    async with running() as rig:
        stream = await rig.connect()
        await stream.send_all(GET.replace(b"page", b"stream"))
        while b"piece 1" not in await stream.receive_some(1000):
            pass
        await stream.aclose()
        await rig.stream_ended.wait()
        assert trio.current_time() < 50
    assert rig.faults.counts == {}


async def test_a_streamed_page_that_fails_is_cut_off_and_told_once(clock: LoopbackClock) -> None:
    with capture_logs() as logs:
        async with running() as rig:
            got = await rig.talk(GET.replace(b"page", b"broken-stream"))
            assert b"piece 1" in got
            assert not got.endswith(b"0\r\n\r\n")
            assert status(await rig.talk(GET)) == 200
    assert rig.faults.counts == {"page": 1}
    assert len(logs) == 1


async def test_a_costly_page_holds_up_no_other(clock: LoopbackClock) -> None:
    """Costly requests are worked on one in a turn; a cheap one waits for one of them at most."""
    async with running() as rig:
        streams = [await rig.connect(f"127.0.0.{number}") for number in range(2, 42)]
        for stream in streams:
            await stream.send_all(GET.replace(b"page", b"costly"))
        probe = await rig.connect()
        await probe.send_all(GET)
        await probe.receive_some(1000)
        paths = [request.path for request in rig.asked]
        assert "/page" in paths[:-1] or paths[-1] == "/page"
        for stream in streams:
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200 OK")
            await stream.aclose()


async def test_a_client_that_hangs_up_costs_nothing(clock: LoopbackClock) -> None:
    with capture_logs() as logs:
        async with running() as rig:
            for sent in (b"", b"G", GET, GET * 100, GET.replace(b"page", b"big")):
                stream = await rig.connect()
                await stream.send_all(sent)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # with a reset
                await stream.aclose()
            assert status(await rig.talk(GET)) == 200
    assert logs == []
    assert rig.faults.counts == {}


async def test_out_of_descriptors_it_goes_on(clock: LoopbackClock, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files")] * 3
    accept = socket.socket.accept

    def failing(self: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(self)

    with capture_logs() as logs:
        async with running() as rig:
            idle = await rig.connect()
            monkeypatch.setattr(socket.socket, "accept", failing)
            assert status(await page(await rig.connect())) == 200
            await idle.aclose()
    assert {entry["event"] for entry in logs} == {"cannot accept a connection"}


async def test_the_end_waits_for_nobody(clock: LoopbackClock) -> None:
    async with running() as rig:
        for path in (b"page", b"big", b"stream"):
            stream = await rig.connect()
            await stream.send_all(GET.replace(b"page", path))
        await wait_all_tasks_blocked(0.001)
        before = trio.current_time()
    assert trio.current_time() == before
