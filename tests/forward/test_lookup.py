"""Lookups that meet each other, the limit, or a process that stood still."""

import gc
import itertools
import socket
import sys
import weakref
from collections import Counter

import dns.message
import dns.rrset
import pytest
import trio
import trio.testing

from dnsserver.forward.outcome import Asker, Outcome
from dnsserver.forward.settings import CacheSettings, Limits, Policy, UpstreamSpec
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    A,
    answers,
    ask,
    begin,
    begin_for,
    forwarder,
    route,
    shown,
    silent,
    upstream,
    wait_outcome,
)


def answer(server: socket.socket) -> int:
    """Answer all questions that have come, without letting anybody else run; return how many they were."""
    for count in itertools.count():
        try:
            wire, client = server.recvfrom(4096)
        except BlockingIOError:
            return count
        reply = dns.message.make_response(dns.message.from_wire(wire), recursion_available=True)
        if reply.question[0].rdtype == A:
            reply.answer.append(dns.rrset.from_text(reply.question[0].name, 300, "IN", "A", "192.0.2.1"))
        server.sendto(reply.to_wire(), client)
    raise AssertionError


async def test_replies_that_came_while_the_process_stood_still_are_no_silence(clock: LoopbackClock) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
        for server in (first, second):
            server.bind((HOST, 0))
            server.setblocking(False)
        specs = [UpstreamSpec(HOST, server.getsockname()[1]) for server in (first, second)]
        async with forwarder(route(*specs, policy=Policy.SEQUENTIAL)) as forward:
            answer(second)
            outcomes: list[Outcome] = []
            for i in range(5):
                begin(forward, ask(f"w{i}.example.com"), outcomes.append)
                answer(first)
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(outcomes) == 5
            begin(forward, ask("www.example.com"), outcomes.append)
            await trio.sleep(0.03)
            assert forward.statistics().hedges == 1
            assert (answer(second), answer(first)) == (1, 1)
            clock.jump(0.5)
            await trio.sleep(3)
            assert len(outcomes) == 6
            assert [(seen.up, seen.timeouts) for seen in forward.statistics().upstreams] == [(True, 0), (True, 0)]


async def test_a_question_that_the_limit_gives_rise_to_joins_the_one_that_needed_room(clock: LoopbackClock) -> None:
    ended = []
    async with upstream(silent) as server, forwarder(route(server), limits=Limits(in_flight=4)) as forward:

        def go_on(outcome: Outcome) -> None:
            ended.append(f"old: {outcome.reason.code}")
            begin(forward, ask("new.example"), lambda outcome: ended.append(f"old goes on: {outcome.reason.code}"))

        begin(forward, ask("old.example"), go_on)
        for i in range(3):
            begin(forward, ask(f"n{i}.example"), lambda _: None)
        begin(forward, ask("new.example"), lambda outcome: ended.append(f"new: {outcome.reason.code}"))
        assert ended == []  # whoever asks is never called inside the call that asks
        await trio.sleep(3)
        assert ended[0] == "old: forward-overload"
        assert sorted(ended[1:]) == ["new: upstream-timeout", "old goes on: upstream-timeout"]
        assert forward.statistics().in_flight == 0


async def test_nothing_keeps_a_question_that_has_its_outcome(clock: LoopbackClock) -> None:
    """A flood of answered questions would else be held until each of them would have been asked again."""
    asked = ask("www.example.com")
    before = sys.getrefcount(asked)
    cache = CacheSettings(size=0)
    async with upstream() as server, forwarder(route(server), cache=cache) as forward:
        await wait_outcome(forward, asked)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert sys.getrefcount(asked) == before


@pytest.mark.parametrize("timeouts", [1, 3])
async def test_a_question_is_asked_over_tcp_once_however_often_udp_is_silent(
    timeouts: int, clock: LoopbackClock
) -> None:
    async with upstream(silent) as server, forwarder(route(server)) as forward:
        for number in range(timeouts):  # with the second one it is down, and TCP is asked earlier
            await wait_outcome(forward, ask(f"n{number}.example.com"))
        count = Counter((query.name.lower(), query.protocol) for query in server.queries)
        assert {count[f"n{each}.example.com.", "tcp"] for each in range(timeouts)} == {1}
        assert min(count[f"n{each}.example.com.", "udp"] for each in range(timeouts)) > 1


async def test_who_asked_for_a_chain_that_goes_round_between_two_routes_is_let_go(clock: LoopbackClock) -> None:
    class Client:
        outcome: Outcome | None = None

        def deliver(self, outcome: Outcome) -> None:
            self.outcome = outcome

        def asker(self) -> Asker:
            return b"client", None

        def give_up(self) -> None:
            raise AssertionError("it has asked once")

    async with (
        upstream(answers("{} 300 IN CNAME www.corp.")) as first,
        upstream(answers("{} 300 IN CNAME www.example.com.")) as second,
        forwarder(route(first), route(second, domain="corp")) as forward,
    ):
        client = Client()
        begin_for(forward, ask("www.example.com"), client)
        await trio.sleep(5)
        assert client.outcome is not None
        assert forward.statistics().in_flight == 0
        trace = weakref.ref(client)
        del client
        gc.collect()
        assert trace() is None


async def test_what_another_routes_upstream_said_earlier_is_as_old_as_it_is(clock: LoopbackClock) -> None:
    async with (
        upstream(answers("{} 300 IN CNAME www.example.com.")) as corp,
        upstream(answers("{} 300 IN A 192.0.2.1")) as rest,
        forwarder(route(corp, domain="corp.example"), route(rest)) as forward,
    ):
        await wait_outcome(forward, ask("www.example.com"))
        clock.jump(100)
        asked = ask("a.corp.example")
        assert shown(asked, await wait_outcome(forward, asked)) == [
            "a.corp.example. 300 IN CNAME www.example.com.",
            "www.example.com. 200 IN A 192.0.2.1",
        ]
