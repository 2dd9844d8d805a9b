"""After a process has stood still: it reads the changes of that time before it answers anybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from dnsserver.server.standstill import Standstill, quiet
from tests.clock import LoopbackClock
from tests.server.parts import Parts, TcpClient, UdpClient, query, tcp_client


@pytest.mark.parametrize(
    ("transport", "gap"), [("udp", 1.0), ("udp", 6.0), ("udp", 3600.0), ("tcp", 1.0), ("tcp", 6.0), ("tcp", 3600.0)]
)
async def test_changes_go_first(clock: LoopbackClock, transport: str, gap: float) -> None:
    parts = Parts()
    happened: list[str] = []

    async def change() -> None:
        await trio.sleep(gap + 0.01)  # the question is ready before
        parts.replies.clear()
        happened.append("changed")

    async with trio.open_nursery() as nursery, client(parts, transport) as asked:
        nursery.start_soon(parts.responder.standstill.run)
        for _ in range(2):
            await asked.send(query("web.shop"))
            await asked.receive()
        nursery.start_soon(change)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(gap)
        await asked.send(query("web.shop"))
        await asked.receive()
        happened.append("answered")
        nursery.cancel_scope.cancel()
    assert happened == ["changed", "answered"]


async def test_nobody_waits_where_it_went_on(clock: LoopbackClock) -> None:
    parts = Parts()
    async with trio.open_nursery() as nursery, client(parts, "udp") as asked:
        nursery.start_soon(parts.responder.standstill.run)
        for _ in range(20):
            began = trio.current_time()
            await asked.send(query("web.shop"))
            await asked.receive()
            assert trio.current_time() == began
            await trio.sleep(0.3)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(parts: Parts, transport: str) -> AsyncIterator[UdpClient | TcpClient]:
    if transport == "tcp":
        async with parts.tcp() as server, tcp_client(server) as connection:
            yield connection
    else:
        async with parts.udp() as port:
            with UdpClient(port) as sock:
                yield sock


async def test_quiet_waits_until_the_changes_have_come(clock: LoopbackClock) -> None:
    changes = 0

    async def change() -> None:
        nonlocal changes
        for _ in range(5):
            await trio.sleep(0.015)
            changes += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        await quiet(lambda: changes, most=0.5, still=0.02)
        assert changes == 5


async def test_quiet_does_not_wait_for_ever(clock: LoopbackClock) -> None:
    began = trio.current_time()
    numbers = iter(range(10**6))
    await quiet(lambda: next(numbers), most=0.5, still=0.02)
    assert trio.current_time() - began == 0.5


@pytest.mark.parametrize(("gap", "pause", "all_come"), [(6.0, 0.09, True), (6.0, 0.25, False), (1.0, 0.019, True)])
async def test_the_longer_it_stood_still_the_longer_a_pause_between_changes_may_be(
    clock: LoopbackClock, gap: float, pause: float, all_come: bool
) -> None:
    """More came than a socket holds, and who sends the rest has to get its turn."""
    changes = 0

    async def change() -> None:
        nonlocal changes
        for _ in range(3):
            changes += 1
            await trio.sleep(pause)

    standstill = Standstill(trio.current_time, lambda: changes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standstill.run)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(gap)
        nursery.start_soon(change)
        await standstill.over()
        assert (changes == 3) is all_come
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("gap", "waits"), [(1.0, 0.1), (3.0, 0.3), (60.0, 2.0)])
async def test_where_changes_never_end_clients_wait_a_tenth_of_the_standstill(
    clock: LoopbackClock, gap: float, waits: float
) -> None:
    numbers = iter(range(10**6))
    standstill = Standstill(trio.current_time, lambda: next(numbers))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standstill.run)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(gap)
        began = trio.current_time()
        await standstill.over()
        assert trio.current_time() - began == pytest.approx(waits)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("takes", "waits"), [(0.3, 0.3), (1.9, 1.9), (9.0, 2.0)])
async def test_who_can_be_asked_says_when_all_is_read(clock: LoopbackClock, takes: float, waits: float) -> None:
    standstill = Standstill(trio.current_time, lambda: 0)

    async def catch_up() -> None:
        await trio.sleep(takes)

    standstill.catch_up = catch_up
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standstill.run)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(1.0)
        began = trio.current_time()
        await standstill.over()
        assert trio.current_time() - began == pytest.approx(waits)
        nursery.cancel_scope.cancel()
