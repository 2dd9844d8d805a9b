"""What a cache gives up: the oldest entry that is not used; an entry in use stays."""

import random

import msgspec
import pytest

from dnsserver.clock_queue import ClockQueue


class Thing(msgspec.Struct, eq=False):
    name: str = ""
    size: int = 1
    hits: int = 0
    seen: int = 0
    held: bool = True


def put(queue: ClockQueue[Thing], thing: Thing) -> None:
    queue.append(thing)
    queue.size += thing.size


def drop(queue: ClockQueue[Thing], thing: Thing) -> None:
    thing.held = False
    queue.removed(thing)


def filled(*hits: int, spared: int = 8) -> ClockQueue[Thing]:
    queue: ClockQueue[Thing] = ClockQueue(100, spared)
    for number, count in enumerate(hits):
        put(queue, Thing(str(number), hits=count))
    return queue


@pytest.mark.parametrize(
    ("hits", "evicted"),
    [((0, 0, 0), "0"), ((1, 0, 0), "1"), ((1, 5, 0), "2"), ((1, 1, 1), "0"), ((1,) * 9 + (0,), "8")],
)
def test_the_oldest_that_was_not_used_goes_and_few_are_passed_over(hits: tuple[int, ...], evicted: str) -> None:
    assert filled(*hits).evict().name == evicted


def test_what_was_used_once_goes_when_it_comes_up_again() -> None:
    queue = filled(3, 0, 0)
    assert [queue.evict().name for _ in range(3)] == ["1", "2", "0"]


def test_what_is_gone_is_not_given_up_again() -> None:
    queue = filled(0, 0)
    drop(queue, queue[0])
    assert queue.evict().name == "1"


def test_what_is_gone_takes_no_more_places_than_what_is_held() -> None:
    queue: ClockQueue[Thing] = ClockQueue(1000)
    chance = random.Random(1)
    held: list[Thing] = []
    for _ in range(20_000):
        if held and chance.random() < 0.5:
            drop(queue, held.pop(chance.randrange(len(held))))
        else:
            held.append(Thing(size=chance.randrange(9)))
            put(queue, held[-1])
        assert queue.alive == len(held)
        assert queue.size == sum(thing.size for thing in held)
        assert len(queue) <= 2 * len(held) + 65
    while held:
        held.remove(evicted := queue.evict())
        drop(queue, evicted)
    assert (queue.alive, queue.size) == (0, 0)
