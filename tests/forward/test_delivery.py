"""Outcomes that are delivered by turns."""

import itertools
import time

import trio
import trio.testing

from dnsserver.faults import Faults
from dnsserver.forward.delivery import SLICE, Deliveries
from dnsserver.forward.outcome import FORWARDED, Outcome, OwnQuestion
from dnsserver.forward.runtime import Runtime
from dnsserver.wire.message import EMPTY

OUTCOME = Outcome(0, EMPTY, False, FORWARDED, 0, 1)


async def test_many_who_wait_are_given_theirs_by_turns_in_their_order() -> None:
    got: list[int] = []
    batches: list[int] = []
    deliveries = Deliveries(Runtime(on_batch_end=lambda: batches.append(len(got))))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliveries.run)
        deliveries.give([OwnQuestion(lambda _, n=n: got.append(n)) for n in range(1000)], OUTCOME)  # type: ignore[misc]
        assert got == []
        await trio.testing.wait_all_tasks_blocked()
        assert got == list(range(1000))
        steps = [after - before for before, after in itertools.pairwise([0, *batches])]
        assert max(steps) == SLICE
        assert len(steps) > 15
        nursery.cancel_scope.cancel()


async def test_few_are_given_theirs_at_once() -> None:
    got: list[Outcome] = []
    Deliveries(Runtime()).give([OwnQuestion(got.append)] * SLICE, OUTCOME)
    assert got == [OUTCOME] * SLICE


async def test_what_is_queued_is_never_given_in_the_call() -> None:
    got: list[Outcome] = []
    deliveries = Deliveries(Runtime())
    deliveries.queue([OwnQuestion(got.append)], OUTCOME)
    deliveries.queue([], OUTCOME)
    assert got == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliveries.run)
        await trio.testing.wait_all_tasks_blocked()
        assert got == [OUTCOME]
        nursery.cancel_scope.cancel()


async def test_one_who_fails_costs_the_others_nothing() -> None:
    def fail(_: Outcome) -> None:
        raise ValueError

    got: list[Outcome] = []
    faults = Faults()
    deliveries = Deliveries(Runtime(faults=faults))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliveries.run)
        deliveries.give([OwnQuestion(each) for each in (got.append, fail, got.append)], OUTCOME)
        deliveries.queue([OwnQuestion(each) for each in (got.append, fail, got.append)], OUTCOME)
        await trio.testing.wait_all_tasks_blocked()
        assert got == [OUTCOME] * 4
        assert faults.counts["delivery"] == 2
        nursery.cancel_scope.cancel()


async def test_other_tasks_get_their_turn_while_20_000_are_answered() -> None:
    def answer(_: Outcome) -> None:
        end = time.perf_counter() + 20e-6  # what a reply costs
        while time.perf_counter() < end:
            pass

    deliveries = Deliveries(Runtime())
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        nursery.start_soon(deliveries.run)
        deliveries.give([OwnQuestion(answer)] * 20_000, OUTCOME)
        with trio.move_on_after(5):
            while deliveries.queued:
                await trio.lowlevel.checkpoint()
        assert turns > 80
        nursery.cancel_scope.cancel()


async def test_those_who_keep_coming_do_not_wait_for_more_and_more_turns() -> None:
    deliveries = Deliveries(Runtime())
    longest = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliveries.run)
        for _ in range(300):
            deliveries.queue([OwnQuestion(lambda _: None)] * 150, OUTCOME)
            await trio.lowlevel.checkpoint()
            longest = max(longest, deliveries.queued)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert deliveries.queued == 0
    assert longest < 1200  # 6,000 with as many in each turn as of a crowd
