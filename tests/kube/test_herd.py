"""Servers on many nodes are cut off in the same moment, and do not come back in the same moment.

Time is virtual: each server's pauses pass, and the API server answers at once.
"""

import bisect
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import trio

from dnsserver.kube.progress import Timing
from dnsserver.zone.model import Kind
from tests.clock import LoopbackClock
from tests.kube.apiserver import ApiServer, Fault
from tests.kube.support import mirroring, thing, wait_for

COUNT = 24
_WINDOW = 0.1  # seconds


@pytest.fixture
def autojump_clock() -> LoopbackClock:
    return LoopbackClock()


async def away(server: ApiServer, seconds: float) -> None:
    server.stop()
    await trio.sleep(seconds)
    server.start()


async def cut(server: ApiServer) -> None:
    server.disturb("reset")


async def failed_over(server: ApiServer) -> None:
    """A balancer has the next API server at once."""
    await away(server, 0.0)


async def restarted(server: ApiServer) -> None:
    await away(server, 10.0)


async def ended(server: ApiServer) -> None:
    """End the streams as an API server does that shuts down in order."""
    server.disturb("end")


async def forgot(server: ApiServer) -> None:
    server.disturb("gone")


async def busy(server: ApiServer) -> None:
    server.faults.append(Fault("status", status=429, headers={"retry-after": "1"}, times=COUNT))
    server.disturb("gone")


@pytest.mark.parametrize("version", ["1.33", "1.36"])
@pytest.mark.parametrize("event", [cut, failed_over, restarted, ended, forgot, busy], ids=lambda event: event.__name__)
async def test_servers_do_not_come_back_all_at_once(
    server: ApiServer, event: Callable[[ApiServer], Awaitable[None]], version: str, autojump_clock: LoopbackClock
) -> None:
    server.version = version
    server.put(Kind.SERVICES, thing("web"))
    async with AsyncExitStack() as stack:
        for number in range(COUNT):
            pauses = random.Random(number)
            await stack.enter_async_context(
                mirroring(server, timing=Timing(check_interval=0), rng=pauses, read_timeout=90)
            )
        await wait_for(lambda: server.streams(Kind.SERVICES) == COUNT, 60)
        await trio.sleep(20)
        asked = len(server.requests)
        await event(server)
        began = trio.current_time()
        await trio.sleep(60)
        assert server.streams(Kind.SERVICES) == COUNT, "all are back"
        times = sorted(request.at - began for request in server.requests[asked:])
        assert len(times) >= COUNT
        most = max(bisect.bisect(times, at + _WINDOW) - place for place, at in enumerate(times))
        assert most <= COUNT / 2, f"{most} of {COUNT} within {_WINDOW} s: {times}"
