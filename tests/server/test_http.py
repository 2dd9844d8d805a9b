"""HTTP from correct clients, from incorrect ones, and from attackers; in virtual time."""

import contextlib

import pytest
import trio

from tests.clock import LoopbackClock
from tests.logs import capture_logs
from tests.server.web import CHUNKED, GET, rest, running, status


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
    """Upgrades are ignored, and a body is skipped, so that the next request on the connection is understood."""
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
