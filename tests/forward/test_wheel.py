"""The timer wheel: what comes up, when, and what does not any more."""

import pytest

from dnsserver.forward.wheel import Wheel

TICK = 0.01


@pytest.mark.parametrize("at", [0.0, 0.004, 0.01, 0.0199999, 5.0, 86_400.005])
def test_a_thing_comes_up_within_two_ticks_and_never_early(at: float) -> None:
    wheel: Wheel[str] = Wheel(TICK)
    wheel.add("thing", at)
    assert at < wheel.next <= at + 2 * TICK
    assert wheel.due(at) == []
    assert wheel.due(at + 2 * TICK) == ["thing"]
    assert wheel.due(at + 100) == []
    assert wheel.next == float("inf")


def test_things_come_up_in_their_order_and_each_once() -> None:
    wheel: Wheel[str] = Wheel(TICK)
    for thing, at in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("a", 1.0), ("a", 2.0)):
        wheel.add(thing, at)
    assert wheel.due(10.0) == ["a", "b", "a", "c"]


def test_what_was_taken_off_does_not_come_up() -> None:
    wheel: Wheel[str] = Wheel(TICK)
    for thing, at in (("a", 1.0), ("b", 1.0), ("a", 2.0)):
        wheel.add(thing, at)
    bucket = wheel.add("c", 1.0)
    del bucket["c"]
    assert wheel.due(1.5) == ["a", "b"]
    assert wheel.due(5.0) == ["a"]
