"""When the server's numbers are sampled, in virtual time."""

import trio

from dnsserver.metrics import Process, Readings, Traffic
from dnsserver.page.history import History
from dnsserver.page.overview import Overview
from dnsserver.page.recorder import Recorder
from dnsserver.page.status import Limits


class Counted:
    """A server that has answered ten more questions each time that it is looked at."""

    def __init__(self) -> None:
        self.looks = 0

    async def count(self) -> tuple[Process, ...]:
        self.looks += 1
        await trio.sleep(0.1)
        traffic = Traffic(server="a", protocol="udp", family="1", replies={(1, 0, "found"): 10 * self.looks})
        return (Process(traffic=(traffic,)),)

    async def read(self) -> Readings:
        return Readings(ready=True, processes=await self.count(), now=trio.current_time())


def overview(server: Counted, history: History | None = None) -> Overview:
    return Overview(history or History(), server.read, lambda: Limits(1, 2), lambda: 0.0)


async def test_it_is_sampled_whether_anybody_looks_or_not(autojump_clock: trio.testing.MockClock) -> None:
    server = Counted()
    recorder = Recorder(server.count)
    shown = overview(server, recorder.history)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.watch)
        await trio.sleep(52)
        assert server.looks == 11
        status = await shown.status()
        nursery.cancel_scope.cancel()
    assert len(status.history["answers"]) == 10
    assert status.verdict == "ready"
    assert (status.replies.limit, status.outside.limit) == (1, 2)


async def test_many_who_look_at_once_cost_one_look_a_second(autojump_clock: trio.testing.MockClock) -> None:
    server = Counted()
    shown = overview(server)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(shown.status)
    assert server.looks == 1
    await trio.sleep(0.5)
    assert (await shown.status()).answers == 10
    await trio.sleep(1)
    assert (await shown.status()).answers == 20
