"""Which clients go on waiting if too many wait for one question."""

import random
from collections import Counter

import pytest
import trio
import trio.testing

from dnsserver.forward.crowd import CROWD, thinned
from dnsserver.forward.outcome import Outcome, OwnQuestion
from dnsserver.forward.settings import Limits
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    answers,
    ask,
    begin_for,
    forwarder,
    route,
    silent,
    upstream,
)


class Waiter:
    """A question of a client; those with the same number are equal, None is one that is equal to none."""

    def __init__(self, client: str, number: int | None) -> None:
        self.client, self.number = client, number
        self.outcomes: list[Outcome] = []
        self.given_up = False

    def asker(self) -> tuple[str, int | None]:
        return self.client, self.number

    def give_up(self) -> None:
        self.given_up = True

    def deliver(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


# Clients with how many questions each, of which so many different ones (0: none is equal to another); who is kept.
CASES = {
    "one that repeats itself": ({"a": (600, 1)}, {"a": 1}),
    "one that repeats itself among others": ({"a": (600, 3), "b": (1, 1), "c": (2, 2)}, {"a": 3, "b": 1, "c": 2}),
    "one with ever new questions": ({"a": (600, 0)}, {"a": 256}),
    "one with ever new questions among others": ({"a": (600, 0), "b": (1, 1), "c": (9, 9)}, {"a": 246, "b": 1, "c": 9}),
    "two of them": ({"a": (600, 0), "b": (300, 300), "c": (6, 0)}, {"a": 125, "b": 125, "c": 6}),
    "many clients": ({f"{n}": (1, 1) for n in range(600)}, {f"{n}": 1 for n in range(600)}),
    "few": ({"a": (5, 5), "b": (6, 6)}, {"a": 5, "b": 6}),
    "nobody": ({}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_ones_count_once_and_clients_share_the_room(case: str) -> None:
    clients, expected = CASES[case]
    waiters = [
        Waiter(client, number % different if different else None)
        for client, (count, different) in clients.items()
        for number in range(count)
    ]
    random.Random(7).shuffle(waiters)
    kept, again, over = thinned(waiters, 256)
    assert Counter(waiter.client for waiter in kept) == expected
    assert len(kept) + len(again) + len(over) == len(waiters)
    order = [waiters.index(waiter) for waiter in kept]
    assert order == sorted(order)
    newest = {(waiter.client, waiter.number): waiter for waiter in waiters}
    for waiter in again:
        assert waiter is not newest[waiter.asker()]


def test_questions_of_this_server_itself_share_the_room_too() -> None:
    kept, again, over = thinned([OwnQuestion(lambda _: None)] * 600, 256)
    assert (len(kept), len(again), len(over)) == (256, 0, 344)


@pytest.mark.parametrize("different", [1, 3, 0])
async def test_row_29_a_flood_of_questions_for_a_silent_name_is_small_and_costs_others_nothing(
    different: int, clock: LoopbackClock
) -> None:
    async with (
        upstream(silent) as dumb,
        upstream(answers("{} 300 IN A 192.0.2.1")) as lively,
        forwarder(route(dumb), route(lively, domain="corp")) as forward,
    ):
        attackers = [Waiter("attacker", number % different if different else None) for number in range(20_000)]
        victims = [Waiter(f"victim {number}", 1) for number in range(20)]
        for number, waiter in enumerate(attackers):
            begin_for(forward, ask("silent.example"), waiter)
            if number % 1000 == 500:
                begin_for(forward, ask("silent.example"), victims[number // 1000])
        await trio.sleep(0.1)
        left = sum(not (waiter.given_up or waiter.outcomes) for waiter in attackers)
        assert left <= CROWD
        elsewhere = Waiter("victim", 2)
        begin_for(forward, ask("www.corp"), elsewhere)
        await trio.sleep(0.1)
        assert [outcome.rcode for outcome in elsewhere.outcomes] == [0]
        await trio.sleep(3)
        assert [[outcome.reason.code for outcome in victim.outcomes] for victim in victims] == [
            ["upstream-timeout"]
        ] * 20
        assert all(waiter.given_up + len(waiter.outcomes) == 1 for waiter in attackers)


async def test_all_who_wait_for_anything_are_bounded(clock: LoopbackClock) -> None:
    async with upstream(silent) as dumb, forwarder(route(dumb), limits=Limits(in_flight=100)) as forward:
        waiters = [Waiter(f"{number}", None) for number in range(5000)]
        for number, waiter in enumerate(waiters):
            begin_for(forward, ask(f"n{number % 50}.example"), waiter)
            if number % 100 == 99:
                await trio.testing.wait_all_tasks_blocked(0.001)
                assert sum(not waiter.outcomes for waiter in waiters[: number + 1]) <= 200
        seen = {outcome.reason.code for waiter in waiters for outcome in waiter.outcomes}
        assert seen == {"forward-overload"}
        await trio.sleep(3)
        assert all(len(waiter.outcomes) == 1 for waiter in waiters)


async def test_a_crowd_of_many_clients_costs_each_little_and_others_nothing(clock: LoopbackClock) -> None:
    looks = 0

    class Counted(Waiter):
        def asker(self) -> tuple[str, int | None]:
            nonlocal looks
            looks += 1
            return super().asker()

    async with upstream(silent) as dumb, forwarder(route(dumb), limits=Limits(in_flight=2_000)) as forward:
        victim = Waiter("victim", 1)
        begin_for(forward, ask("other.example"), victim)
        waiters = [Counted(f"{number}", number) for number in range(10_000)]
        for waiter in waiters:
            begin_for(forward, ask("silent.example"), waiter)
        await trio.sleep(0.2)
        assert sum(not waiter.outcomes for waiter in waiters) <= 4_000
        assert looks <= 4 * len(waiters)
        assert not victim.outcomes, "room is made where the crowd is"
        await trio.sleep(3)
        assert [outcome.reason.code for outcome in victim.outcomes] == ["upstream-timeout"]
        assert all(len(waiter.outcomes) == 1 for waiter in waiters)
