"""An upstream with the behaviour that a test gives it: real sockets on loopback, UDP and TCP (or TLS) on one port.

dnspython reads and writes its messages, so that it shares no code with the server.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio
import trio.testing

from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.outcome import Outcome, OwnQuestion, Question, Waiter
from dnsserver.forward.settings import CacheSettings, ForwardSettings, Limits, Policy, UpstreamSpec
from dnsserver.wire.name import from_text
from tests.logs import capture_logs

HOST = "127.0.0.1"
A, AAAA, MX, TXT, SOA, CNAME = 1, 28, 15, 16, 6, 5


def rrset(text: str) -> dns.rrset.RRset:
    """Return the RRset that a line of a master file shows."""
    name, ttl, klass, type_, rdata = text.split(maxsplit=4)
    return dns.rrset.from_text(name, int(ttl), klass, type_, rdata)


@dataclass
class Query:
    """A query that an upstream received, and the way back."""

    wire: bytes
    protocol: str
    port: int
    send: Callable[[bytes], Awaitable[Any]]
    close: Callable[[], Awaitable[None]]
    message: dns.message.Message = field(init=False)

    def __post_init__(self) -> None:
        self.message = dns.message.from_wire(self.wire)

    @property
    def name(self) -> str:
        """The name as it was spelled."""
        return self.message.question[0].name.to_text()

    @property
    def type(self) -> int:
        return int(self.message.question[0].rdtype)

    def reply(
        self,
        *answer: str,
        authority: tuple[str, ...] = (),
        additional: tuple[str, ...] = (),
        rcode: int = 0,
        truncated: bool = False,
    ) -> bytes:
        """Return a reply with these records in the order given."""
        message = dns.message.make_response(self.message, recursion_available=True)
        message.set_rcode(dns.rcode.Rcode(rcode))
        message.answer = [rrset(line) for line in answer]
        message.authority = [rrset(line) for line in authority]
        message.additional = [rrset(line) for line in additional]
        if truncated:
            message.flags |= dns.flags.TC
        return message.to_wire(max_size=65535)


Script = Callable[[Query], Awaitable[None]]


class Upstream:
    """A scripted upstream and the queries that it got; without `script_probes` it answers probes with NXDOMAIN."""

    def __init__(self, port: int, script: Script) -> None:
        self.port = port
        self.script = script
        self.queries: list[Query] = []
        self.probes: list[Query] = []
        self.connections = 0
        self.open = 0
        self.resumed: list[bool] = []
        self.script_probes: Script | None = None

    @property
    def spec(self) -> UpstreamSpec:
        return UpstreamSpec(HOST, self.port)

    async def take(self, query: Query) -> None:
        if query.type == dns.rdatatype.HINFO:
            self.probes.append(query)
            if self.script_probes is not None:
                await self.script_probes(query)
            else:
                await query.send(query.reply(rcode=3))
            return
        self.queries.append(query)
        await self.script(query)


async def silent(query: Query) -> None:
    """Never answer, not even a probe."""


async def helpful(query: Query) -> None:
    """Answer every A question with one address."""
    await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))


class Late:
    """The script that answers like `helpful`, after so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    async def __call__(self, query: Query) -> None:
        await trio.sleep(self.seconds)
        await helpful(query)


@asynccontextmanager
async def overtaking(late: Late, warm: int) -> AsyncIterator[tuple[Upstream, Forwarder]]:
    """Run a forwarder that asks the late upstream first, and give its other one; so many questions were asked."""
    async with (
        upstream(late) as first,
        upstream() as second,
        forwarder(route(first, second, policy=Policy.SEQUENTIAL)) as forward,
    ):
        for i in range(warm):
            await wait_outcome(forward, ask(f"w{i}.example.com"))
        yield second, forward


def answers(*lines: str, **more: Any) -> Script:
    """Return the script that gives this reply to everything; `{}` in a line stands for the name asked."""

    async def script(query: Query) -> None:
        await query.send(query.reply(*(line.format(query.name) for line in lines), **more))

    return script


@asynccontextmanager
async def upstream(script: Script = helpful, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run a scripted upstream; with `tls` its TCP side speaks that."""
    udp, listener = await _bind()
    with udp:
        port = udp.getsockname()[1]
        server = Upstream(port, script)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_udp, udp, server, nursery)
            nursery.start_soon(trio.serve_listeners, lambda s: _serve_stream(s, server, tls), [listener])
            yield server
            nursery.cancel_scope.cancel()


async def _bind() -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """Return a UDP and a TCP socket on one port; a port that is free for one may be in use for the other."""
    while True:
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        try:
            await udp.bind(listener.socket.getsockname())
        except OSError:
            udp.close()
            await listener.aclose()
        else:
            return udp, listener


async def _serve_udp(udp: trio.socket.SocketType, server: Upstream, nursery: trio.Nursery) -> None:
    while True:
        try:
            wire, address = await udp.recvfrom(65535)
        except ConnectionRefusedError:
            continue

        async def send(reply: bytes, address: Any = address) -> None:
            await udp.sendto(reply, address)

        nursery.start_soon(server.take, Query(wire, "udp", address[1], send, trio.lowlevel.checkpoint))


async def _serve_stream(raw: trio.SocketStream, server: Upstream, tls: ssl.SSLContext | None) -> None:
    server.connections += 1
    server.open += 1
    port = raw.socket.getpeername()[1]
    stream: Any = raw if tls is None else trio.SSLStream(raw, tls, server_side=True, https_compatible=True)
    lock = trio.Lock()
    protocol = "tls" if tls else "tcp"

    async def send(reply: bytes) -> None:
        async with lock:
            await stream.send_all(len(reply).to_bytes(2) + reply)

    buffer = b""
    try:
        async with stream, trio.open_nursery() as nursery:
            if tls is not None:
                await stream.do_handshake()
                server.resumed.append(stream.session_reused)
            while data := await stream.receive_some(65536):
                buffer += data
                while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2]):
                    size = 2 + int.from_bytes(buffer[:2])
                    wire, buffer = buffer[2:size], buffer[size:]
                    nursery.start_soon(server.take, Query(wire, protocol, port, send, stream.aclose))
            nursery.cancel_scope.cancel()
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        server.open -= 1


@asynccontextmanager
async def forwarder(
    *routes: ForwardSettings,
    cache: CacheSettings | None = None,
    own: tuple[bytes, ...] = (),
    limits: Limits | None = None,
) -> AsyncIterator[Forwarder]:
    """Run a forwarder, given a moment to send its first probes."""
    made = Forwarder(routes, cache or CacheSettings(), own=own, limits=limits)
    async with trio.open_nursery() as nursery:
        await nursery.start(_run, made)
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield made
        nursery.cancel_scope.cancel()


async def _run(made: Forwarder, *, task_status: trio.TaskStatus[None]) -> None:
    await made.run(task_status=task_status)


def route(*servers: Upstream | UpstreamSpec, domain: str = ".", **settings: Any) -> ForwardSettings:
    """Return the settings of a route to these upstreams."""
    specs = tuple(server.spec if isinstance(server, Upstream) else server for server in servers)
    return ForwardSettings(domain=from_text(domain), upstreams=specs, **settings)


def ask(name: str, type_: int = A, *, do: bool = False, cd: bool = False) -> Question:
    """Return the Question for a name in text."""
    return Question(from_text(name).lower(), type_, do, cd)


def shown(asked: Question, outcome: Outcome) -> list[str]:
    """Return the records of an outcome as dnspython reads them out of a message, one line each, sections in order."""
    body = outcome.body
    counts = b"".join(count.to_bytes(2) for count in (1, body.an, body.ns, body.ar))
    front = b"\0\0\x81\x80" + counts + asked.name + asked.type.to_bytes(2) + b"\0\1"
    message = dns.message.from_wire(front + body.data, one_rr_per_rrset=True)
    return [line.to_text() for section in (message.answer, message.authority, message.additional) for line in section]


def begin(forward: Forwarder, asked: Question, on_outcome: Callable[[Outcome], None], packet: bytes = b"") -> None:
    """Ask as the server does: `on_outcome` is called at once with a known outcome, and otherwise later."""
    begin_for(forward, asked, OwnQuestion(on_outcome), packet)


def begin_for(forward: Forwarder, asked: Question, waiter: Waiter, packet: bytes = b"") -> None:
    """Ask for a waiter: it gets a known outcome at once, and any other outcome later."""
    now = trio.current_time()
    known = forward.answer_now(asked, now)
    if known is not None:
        waiter.deliver(known)
    else:
        forward.start(asked, waiter, now, packet)


async def wait_outcome(forward: Forwarder, asked: Question) -> Outcome:
    """Return the outcome of one question."""
    send, receive = trio.open_memory_channel[Outcome](1)
    begin(forward, asked, send.send_nowait)
    return await receive.receive()


@contextmanager
def events() -> Iterator[list[str]]:
    """Yield the events that are logged within the block."""
    with capture_logs() as logs:
        seen: list[str] = []
        yield seen
        seen += [str(entry["event"]) for entry in logs]
