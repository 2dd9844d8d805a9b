"""Admin HTTP over real loopback connections: what probes, Prometheus and people get, and which faults it survives."""

import contextlib
import errno
import gzip
import itertools
import socket
from collections.abc import AsyncGenerator, AsyncIterator

import h11
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.metrics import Kind, Process, Readings, Zone, ZoneSnapshot
from dnsserver.server.admin import Admin, Request, Response, Route, bind
from dnsserver.server.http import HttpLimits
from dnsserver.server.pages import standard_routes
from tests.clock import LoopbackClock
from tests.logs import capture_logs

NOT_READY = Readings(
    now=100.0,
    missing=("services", "pods"),
    kinds=(
        Kind(kind="services", objects=7, state="listing"),
        Kind(
            kind="namespaces", objects=3, synced=True, state="watching", last_event=97.5, last_heard=99.0,
            last_error="gone",
        ),
    ),
    zone=Zone(stale=True),
    zone_snapshot=ZoneSnapshot(serving=True, as_of=40.0),
)  # fmt: skip

WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Answer:
    """A response: status, headers, body."""

    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Server:
    """A running Admin whose Readings the test may change."""

    def __init__(self) -> None:
        self.readings = NOT_READY
        self.flushed: list[tuple[bytes, bool]] = []
        self.address = ("", 0)
        self.admin: Admin

    def flush(self, name: bytes, below: bool) -> int:
        self.flushed.append((name, below))
        return 3

    async def ask(self, target: str, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        """Send one request on a connection of its own."""
        stream = await trio.open_tcp_stream(*self.address)
        async with stream:
            connection = h11.Connection(h11.CLIENT)
            host = f"[{self.address[0]}]" if ":" in self.address[0] else self.address[0]
            fields = {"host": f"{host}:{self.address[1]}", "connection": "close", **(headers or {})}
            request = h11.Request(method=method, target=target, headers=list(fields.items()))
            await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            body = b""
            response = None
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Response):
                    response = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    assert isinstance(event, h11.EndOfMessage)
                    assert response is not None
                    found = {name.decode(): value.decode() for name, value in response.headers}
                    if found.get("content-encoding") == "gzip":
                        body = gzip.decompress(body)
                    return Answer(response.status_code, found, body.decode())


@contextlib.asynccontextmanager
async def running(
    host: str = "127.0.0.1", more: dict[str, Route] | None = None, limits: HttpLimits | None = None
) -> AsyncIterator[Server]:
    server = Server()

    async def read() -> Readings:
        return server.readings

    routes = standard_routes(read, lambda: server.readings, server.flush, more)
    server.admin = Admin(host, 0, routes, limits=limits)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(server.admin.run)
        server.address = ("::1" if host == "::1" else "127.0.0.1", address[1])
        yield server
        nursery.cancel_scope.cancel()


async def test_healthz_answers_while_nothing_is_ready() -> None:
    async with running() as server:
        for path in ("/healthz", "/health"):
            answer = await server.ask(path)
            assert (answer.status, answer.body) == (200, "ok\n")


async def test_readyz_is_503_until_it_is_ready() -> None:
    async with running() as server:
        for path in ("/readyz", "/ready"):
            answer = await server.ask(path)
            assert answer.status == 503
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.body.startswith("not ready, not read yet: services, pods\n")
        server.readings = Readings(ready=True)
        answer = await server.ask("/readyz")
        assert (answer.status, answer.body) == (200, "ready\n")


async def test_metrics_are_what_prometheus_reads() -> None:
    async with running() as server:
        server.readings = Readings(ready=True, processes=(Process(panics=2),))
        answer = await server.ask("/metrics", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["content-encoding"] == "gzip"
    families = {family.name: family for family in text_string_to_metric_families(answer.body)}
    assert families["dnsserver_ready"].samples[0].value == 1
    assert families["coredns_panics"].samples[0].value == 2


async def test_the_index_tells_everything_that_there_is() -> None:
    extra = {"/extra": Route("GET", lambda _: Response("x"), "more & <more>")}
    async with running(more=extra) as server:
        answer = await server.ask("/")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.body.splitlines()
    for said in (
        "GET /healthz: ",
        "GET /readyz: ",
        "GET /metrics: ",
        "POST /cache/flush: ",
        "GET /extra: more & <more>",
    ):
        assert any(line.startswith(said) for line in lines), said
    assert "not ready, not read yet: services, pods: 7 services, 3 namespaces" in lines


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/healthz", 405),
        ("GET", "/cache/flush?name=a", 405),
        ("POST", "/cache/flush", 400),
        ("POST", "/cache/flush?name=a&domain=b", 400),
        ("POST", "/cache/flush?name=a..b", 400),
    ],
)
async def test_what_is_not_there_or_makes_no_sense(method: str, target: str, status: int) -> None:
    async with running() as server:
        assert (await server.ask(target, method)).status == status
        assert server.flushed == []


async def test_head_gives_the_length_and_no_body() -> None:
    async with running() as server:
        answer = await server.ask("/healthz", "HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "3", "")


async def test_flush_from_this_machine() -> None:
    async with running() as server:
        answer = await server.ask("/cache/flush?name=WWW.example.com.", "POST")
        assert (answer.status, answer.body) == (200, "forgotten: 3\n")
        await server.ask("/cache/flush?domain=example.com", "POST")
        assert server.flushed == [(b"\3www\7example\3com\0", False), (b"\7example\3com\0", True)]


async def test_a_page_that_fails_costs_itself_only() -> None:
    def fail(request: Request) -> Response:
        raise RuntimeError(request.path)

    async def fail_later(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise RuntimeError(request.path)

    with capture_logs() as logs:
        async with running(more={"/bad": Route("GET", fail), "/later": Route("GET", fail_later)}) as server:
            for path in ("/bad", "/later"):
                answer = await server.ask(path)
                assert (answer.status, answer.body) == (500, "internal error, see the log\n")
                assert (await server.ask("/healthz")).status == 200
    assert [(entry["place"], entry["page"]) for entry in logs] == [("page", "/bad"), ("page", "/later")]


async def test_answers_that_take_time_are_few_and_bounded(clock: LoopbackClock) -> None:
    """Slow answers delay no other client, and a client that asks for one too many gets an error at once."""
    limits = HttpLimits(waiting=2, wait=20)
    told = trio.Event()

    async def wait_told(request: Request) -> Response:
        await told.wait()
        return Response("told\n")

    async with (
        running(more={"/slow": Route("GET", wait_told)}, limits=limits) as server,
        trio.open_nursery() as nursery,
    ):
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await server.ask("/slow"))

        for _ in range(2):
            nursery.start_soon(ask)
        await trio.sleep(1)
        answer = await server.ask("/slow")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await server.ask("/healthz")).status == 200
        assert (await server.ask("/metrics")).status == 200  # it takes its turns, and waits for nobody
        await trio.sleep(20)
        assert [(answer.status, answer.body) for answer in answers] == [(504, "no answer within 20 s\n")] * 2
        nursery.start_soon(ask)
        await trio.sleep(1)
        told.set()
        await trio.sleep(1)
        assert (answers[-1].status, answers[-1].body) == (200, "told\n")


async def test_endless_responses_are_few_and_the_drain_ends_them(clock: LoopbackClock) -> None:
    ended = 0

    async def count() -> AsyncGenerator[bytes, None]:
        nonlocal ended
        try:
            for number in itertools.count():
                yield b"%d\n" % number
                await trio.sleep(1)
        finally:
            ended += 1

    routes = {"/count": Route("GET", lambda _: Response(count(), endless=True))}
    async with running(more=routes, limits=HttpLimits(streams=2)) as server, trio.open_nursery() as nursery:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await server.ask("/count"))

        for _ in range(2):
            nursery.start_soon(ask)
        await trio.sleep(2.5)
        assert (await server.ask("/count")).status == 503
        assert (await server.ask("/count", "HEAD")).status == 503
        assert (await server.ask("/healthz")).status == 200
        assert not answers
        server.admin.end_streams()
        await trio.sleep(1)
        assert [(answer.status, answer.body) for answer in answers] == [(200, "0\n1\n2\n")] * 2
        assert ended == 2
        assert (await server.ask("/count")).status == 503


async def test_who_leaves_an_endless_response_makes_room(clock: LoopbackClock) -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        while True:
            await trio.sleep(1000)
            yield b"still\n"

    routes = {"/tail": Route("GET", lambda _: Response(nothing(), endless=True))}
    async with running(more=routes, limits=HttpLimits(streams=1)) as server:
        for _ in range(3):
            with trio.move_on_after(1):
                await server.ask("/tail")
        stream = await trio.open_tcp_stream(*server.address)
        await stream.send_all(b"GET /tail HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        await stream.aclose()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * 100_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /?a=%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\nHTTP2-Settings: !\r\n\r\n",
        WEBSOCKET,
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_whatever_a_client_sends_the_next_one_is_served(sent: bytes) -> None:
    async with running() as server:
        stream = await trio.open_tcp_stream(*server.address)
        with contextlib.suppress(trio.BrokenResourceError):  # it may be hung up on in the middle
            await stream.send_all(sent)
            with trio.move_on_after(0.1):
                await stream.receive_some()
        await stream.aclose()
        with trio.fail_after(5):
            assert (await server.ask("/healthz")).status == 200


async def test_many_requests_on_one_connection() -> None:
    async with running() as server:
        stream = await trio.open_tcp_stream(*server.address)
        async with stream:
            got = b""
            for _ in range(3):
                await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                got += await stream.receive_some()
            while got.count(b"ok\n") < 3:
                got += await stream.receive_some()


@pytest.mark.parametrize("host", ["::", "::1", "127.0.0.1"])
async def test_it_listens_on(host: str) -> None:
    async with running(host) as server:
        assert (await server.ask("/healthz")).status == 200


async def test_an_address_in_use_is_told_and_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    with socket.socket() as taken, capture_logs() as logs:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with trio.open_nursery() as nursery:
            assert await nursery.start(Admin("127.0.0.1", port, {}).run) is None
            await trio.sleep(25)
            taken.close()
            await trio.sleep(25)
            nursery.cancel_scope.cancel()
    assert [entry["event"] for entry in logs] == ["admin HTTP cannot listen", "admin HTTP listens now"]
    assert logs[0]["address"] == f"127.0.0.1:{port}"
    assert logs[0]["error"] == "Address already in use"


async def test_the_port_is_free_again_afterwards() -> None:
    async with running() as server:
        await server.ask("/healthz")
    bind(*server.address).close()


async def test_a_method_that_is_not_allowed_is_told_which_is() -> None:
    async with running() as server:
        answer = await server.ask("/healthz", "DELETE")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        answer = await server.ask("/cache/flush?name=a")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT])
@pytest.mark.parametrize("host", ["::", "::1", "127.0.0.1"])
def test_a_kernel_without_ipv6(monkeypatch: pytest.MonkeyPatch, host: str, number: int) -> None:
    """Without IPv6, `::` means all IPv4 addresses, and an IPv6 address is an error."""

    class Socket(socket.socket):
        def __init__(self, family: int = -1, *rest: int, **more: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(number, "no IPv6")
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", Socket)
    if host == "::1":
        with pytest.raises(OSError, match="no IPv6"):
            bind(host, 0)
    else:
        with bind(host, 0) as sock:
            assert sock.family == socket.AF_INET
            assert sock.getsockname()[0] == {"::": "0.0.0.0"}.get(host, host)
