"""DNS servers of a few lines: they read nothing but what they must, and misbehave as told."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

Answer = Callable[[bytes], Iterable[bytes]]
"""From a query to the replies that go to its sender now, those to earlier queries of one client among them."""


def question_end(message: bytes) -> int:
    at = 12
    while message[at]:
        at += message[at] + 1
    return at + 5


def reply(query: bytes, rcode: int = 0, flags: int = 0x8400) -> bytes:
    head = query[:2] + (flags | rcode).to_bytes(2) + query[4:6] + bytes(6)
    return head + query[12 : question_end(query)]


def echo(query: bytes) -> Iterable[bytes]:
    yield reply(query)


@asynccontextmanager
async def udp_server(answer: Answer) -> AsyncIterator[int]:
    sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 1 << 20)
    await sock.bind(("127.0.0.1", 0))

    async def serve() -> None:
        while True:
            query, client = await sock.recvfrom(65535)
            for message in answer(query):
                await sock.sendto(message, client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        yield sock.getsockname()[1]
        nursery.cancel_scope.cancel()
    sock.close()


@asynccontextmanager
async def tcp_server(answer: Answer, *, close_after: int | None = None) -> AsyncIterator[int]:
    """Closes each connection behind `close_after` queries."""

    async def serve(stream: trio.SocketStream) -> None:
        received = b""
        taken = 0
        with suppress(trio.BrokenResourceError):
            async for part in stream:
                received += part
                while len(received) >= 2 and len(received) >= (end := 2 + int.from_bytes(received[:2])):
                    query, received = received[2:end], received[end:]
                    for message in answer(query):
                        await stream.send_all(len(message).to_bytes(2) + message)
                    taken += 1
                    if taken == close_after:
                        return

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
