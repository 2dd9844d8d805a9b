"""Tasks that check something from time to time do so at the same moments."""

import pytest
import trio

from dnsserver.pace import next_look
from tests.clock import LoopbackClock


@pytest.mark.parametrize(
    ("begun", "every", "expected"),
    [
        (0.0, 1.0, 1.0),
        (0.4, 1.0, 1.0),
        (0.6, 1.0, 2.0),  # sooner would be at once
        (7.0, 1.0, 8.0),
        (7.01, 0.25, 7.25),
        (0.3, 0.1, 0.4),
        (5.0, 3600.0, 3600.0),
    ],
)
async def test_the_next_look_is_at_a_multiple(
    begun: float, every: float, expected: float, clock: LoopbackClock
) -> None:
    del clock
    await trio.sleep_until(begun)
    assert next_look(every) == pytest.approx(expected)


async def test_tasks_that_begin_at_any_time_wake_together(clock: LoopbackClock) -> None:
    del clock
    woken: dict[str, list[float]] = {"early": [], "late": []}

    async def look(name: str, begin: float) -> None:
        await trio.sleep(begin)
        while trio.current_time() < 5:
            await trio.sleep_until(next_look(0.5))
            woken[name].append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, "early", 0.1)
        nursery.start_soon(look, "late", 3.3)
    assert len(woken["early"]) == 10
    assert set(woken["late"]) <= set(woken["early"])
