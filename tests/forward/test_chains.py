"""Chains of aliases that lead from the upstreams of one route to those of another, and where they end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing

from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.outcome import Outcome
from dnsserver.forward.settings import CacheSettings, Limits
from dnsserver.wire.message import MAX_CHAIN, NOERROR, NXDOMAIN, SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    Query,
    Script,
    Upstream,
    answers,
    ask,
    begin,
    forwarder,
    route,
    shown,
    silent,
    upstream,
    wait_outcome,
)

ALIAS = "{} 300 IN CNAME b.other."
ADDRESS = "{} 300 IN A 192.0.2.1"
ASKED = ask("a.corp")


@asynccontextmanager
async def two_routes(
    corp: Script, other: Script, cache: CacheSettings | None = None, deadline: float = 2.0
) -> AsyncIterator[tuple[Forwarder, Upstream, Upstream]]:
    """Run a forwarder with an upstream for `corp`, and one for all other names."""
    async with upstream(corp) as one, upstream(other) as two:
        routes = route(one, domain="corp", deadline=deadline), route(two, deadline=deadline)
        async with forwarder(*routes, cache=cache) as forward:
            yield forward, one, two


def steps(last: int) -> Script:
    """Return the script of h0.corp, an alias of h1.other, of h2.corp and so on, up to an address."""

    async def script(query: Query) -> None:
        number = int(query.name[1:].partition(".")[0])
        target = f"h{number + 1}.{'other' if number % 2 == 0 else 'corp'}."
        line = f"{query.name} 300 IN CNAME {target}" if number < last else f"{query.name} 300 IN A 192.0.2.1"
        await query.send(query.reply(line))

    return script


async def test_row_55_a_chain_between_two_routes_has_as_many_aliases_as_one_of_a_single_route(
    clock: LoopbackClock,
) -> None:
    async with two_routes(steps(MAX_CHAIN), steps(MAX_CHAIN)) as (forward, _, _):
        outcome = await wait_outcome(forward, ask("h0.corp"))
        assert outcome.rcode == NOERROR
        assert len(shown(ask("h0.corp"), outcome)) == MAX_CHAIN + 1


@pytest.mark.parametrize("last", [MAX_CHAIN + 1, 300])
async def test_row_55_a_longer_one_fails_after_no_more_questions(last: int, clock: LoopbackClock) -> None:
    async with two_routes(steps(last), steps(last)) as (forward, corp, other):
        for _ in range(3):  # the second and third time from what is remembered of that
            outcome = await wait_outcome(forward, ask("h0.corp"))
            assert outcome.rcode == SERVFAIL
            assert "the CNAME chain is too long or a loop" in outcome.reason.text
        assert len(corp.queries) + len(other.queries) <= MAX_CHAIN + 1
        near = ask(f"h{last - MAX_CHAIN}.{'corp' if (last - MAX_CHAIN) % 2 == 0 else 'other'}")
        assert (await wait_outcome(forward, near)).rcode == NOERROR  # its own chain is short enough
        assert forward.statistics().in_flight == 0


async def test_row_55_what_is_cached_of_a_chain_counts_too(clock: LoopbackClock) -> None:
    last = MAX_CHAIN + 4
    async with two_routes(steps(last), steps(last)) as (forward, _, _):
        assert (await wait_outcome(forward, ask("h8.corp"))).rcode == NOERROR
        outcome = await wait_outcome(forward, ask("h0.corp"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "chain-too-long")


async def test_a_circle_of_two_routes_fails_at_once(clock: LoopbackClock) -> None:
    async with two_routes(answers("{} 300 IN CNAME a.other."), answers("{} 300 IN CNAME a.corp.")) as (forward, *_):
        began = clock.current_time()
        outcome = await wait_outcome(forward, ASKED)
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "chain-too-long")
        assert clock.current_time() - began < 0.5
        assert forward.statistics().in_flight == 0


async def test_row_47_the_failure_of_a_rest_is_remembered_for_the_whole(clock: LoopbackClock) -> None:
    async with two_routes(answers(ALIAS), answers(rcode=SERVFAIL)) as (forward, corp, other):
        texts = set()
        for _ in range(4):
            outcome = await wait_outcome(forward, ASKED)
            assert outcome.rcode == SERVFAIL
            texts.add(outcome.reason.text)
        assert len(texts) == 1
        assert len(corp.queries) == 1
        assert len(other.queries) == 2  # the second one in lower case, as mixed case may have been the trouble


async def test_row_48_a_silent_rest_has_the_time_that_is_left_and_is_named(clock: LoopbackClock) -> None:
    async def late(query: Query) -> None:
        await trio.sleep(0.8)
        await query.send(query.reply(ALIAS.format(query.name)))

    async with two_routes(late, silent, deadline=1.0) as (forward, _, other):
        began = clock.current_time()
        outcome = await wait_outcome(forward, ASKED)
        assert outcome.rcode == SERVFAIL
        assert 0.9 <= clock.current_time() - began < 1.2
        assert f"{HOST}:{other.port}" in outcome.reason.text


async def test_row_53_a_stale_rest_makes_no_new_answer_of_the_whole(clock: LoopbackClock) -> None:
    cache = CacheSettings(stale=1000)
    async with two_routes(answers(ALIAS), answers(ADDRESS), cache) as (forward, _, other):
        assert (await wait_outcome(forward, ASKED)).rcode == NOERROR
        other.script = answers(rcode=SERVFAIL)
        texts = []
        for seconds in (320, 400, 400):
            clock.jump(seconds)
            outcome = await wait_outcome(forward, ASKED)
            assert (outcome.rcode, outcome.reason.code) == (NOERROR, "stale")
            texts.append(outcome.reason.text.partition(" ago")[0])
        assert texts == ["expired more than 20 s", "expired more than 5 min", "expired more than 10 min"]
        clock.jump(400)  # the rest is older than 1000 seconds now
        assert (await wait_outcome(forward, ASKED)).rcode == SERVFAIL


async def test_a_stale_rest_leaves_what_is_held_of_the_whole(clock: LoopbackClock) -> None:
    """The rest is under way, and its clients have a stale answer already, which must not be kept for a moment."""
    async with two_routes(answers(ALIAS), answers(ADDRESS)) as (forward, corp, other):
        assert (await wait_outcome(forward, ASKED)).rcode == NOERROR
        assert (await wait_outcome(forward, ask("b.other"))).rcode == NOERROR
        clock.jump(320)
        other.script = other.script_probes = silent
        assert (await wait_outcome(forward, ask("b.other"))).reason.code == "stale"
        assert (await wait_outcome(forward, ASKED)).reason.code == "stale"
        corp.script = answers(rcode=SERVFAIL)
        clock.jump(10)
        assert (await wait_outcome(forward, ASKED)).reason.code == "stale"


async def test_a_rest_that_does_not_exist_is_no_failure(clock: LoopbackClock) -> None:
    soa = ("other. 60 IN SOA ns.other. hostmaster.other. 1 60 60 60 60",)
    async with two_routes(answers(ALIAS), answers(rcode=NXDOMAIN, authority=soa)) as (forward, corp, _):
        for _ in range(2):
            outcome = await wait_outcome(forward, ASKED)
            assert outcome.rcode == NXDOMAIN
        assert len(corp.queries) == 1


async def test_a_rest_that_may_not_be_kept_is_not_kept_with_the_whole(clock: LoopbackClock) -> None:
    async with two_routes(answers(ALIAS), answers("{} 0 IN A 192.0.2.1")) as (forward, corp, other):
        assert (await wait_outcome(forward, ASKED)).rcode == NOERROR
        clock.jump(1)
        corp.script = other.script = answers(rcode=SERVFAIL)
        assert (await wait_outcome(forward, ASKED)).rcode == SERVFAIL


async def test_a_rest_that_failed_before_keeps_the_whole_from_failing_longer(clock: LoopbackClock) -> None:
    cache = CacheSettings(failure_ttl=10, failure_cap=10)
    async with two_routes(answers(ALIAS), answers(rcode=SERVFAIL), cache) as (forward, _, other):
        assert (await wait_outcome(forward, ask("b.other"))).rcode == SERVFAIL
        clock.jump(9)
        assert (await wait_outcome(forward, ASKED)).rcode == SERVFAIL
        other.script = answers(ADDRESS)
        clock.jump(2)
        assert (await wait_outcome(forward, ASKED)).rcode == NOERROR


async def test_a_long_chain_takes_nobody_along_who_waits_for_its_end(clock: LoopbackClock) -> None:
    """`www.corp` has two aliases, and `long.corp` has 16 to the name that both wait for, and one more behind it."""
    names = ["long.corp.", *(f"l{n}.corp." for n in range(MAX_CHAIN - 1)), "b.other."]
    long = [f"{one} 300 IN CNAME {other}" for one, other in pairwise(names)]

    async def corp(query: Query) -> None:
        lines = {"long.corp.": long, "www.corp.": ["www.corp. 300 IN CNAME b.other."], "c.corp.": [ADDRESS]}
        await query.send(query.reply(*(line.format(query.name) for line in lines[query.name.lower()])))

    async def late(query: Query) -> None:
        await trio.sleep(0.3)
        await query.send(query.reply(f"{query.name} 300 IN CNAME c.corp."))

    async with two_routes(corp, late) as (forward, _, _):
        found: dict[str, Outcome] = {}
        for name in ("www.corp", "long.corp", "b.other"):
            begin(forward, ask(name), partial(found.__setitem__, name))
        await trio.sleep(1.5)
        assert {name: outcome.rcode for name, outcome in found.items()} == {
            "www.corp": NOERROR,
            "long.corp": SERVFAIL,
            "b.other": NOERROR,
        }
        assert found["long.corp"].reason.code == "chain-too-long"
        assert (await wait_outcome(forward, ask("www.corp"))).rcode == NOERROR
        assert forward.statistics().in_flight == 0


async def test_row_55_chains_that_wait_for_each_other_are_as_many_as_an_answer_has_aliases(
    clock: LoopbackClock,
) -> None:
    """They are asked from the end, so that each finds the one behind it under way."""
    last = 400

    async def late_end(query: Query) -> None:
        if query.name.lower().startswith(f"h{last}."):
            await trio.sleep(1)
        await steps(last)(query)

    async with two_routes(late_end, late_end) as (forward, _, _):
        found: dict[int, Outcome] = {}
        for number in range(last, -1, -1):
            name = f"h{number}.{'corp' if number % 2 == 0 else 'other'}"
            begin(forward, ask(name), partial(found.__setitem__, number))
            await trio.testing.wait_all_tasks_blocked(0.001)
        await trio.sleep(1.5)
        assert len(found) == last + 1
        good = {number for number, outcome in found.items() if outcome.rcode == NOERROR}
        assert good == set(range(last - MAX_CHAIN, last + 1))
        assert forward.statistics().in_flight == 0


async def test_a_reload_lets_a_chain_be_asked_whose_rest_has_other_upstreams_now(clock: LoopbackClock) -> None:
    cache = CacheSettings(failure_ttl=100, failure_cap=100)
    async with upstream() as good, two_routes(answers(ALIAS), answers(rcode=SERVFAIL), cache) as (forward, corp, _):
        assert (await wait_outcome(forward, ASKED)).rcode == SERVFAIL
        routes = route(corp, domain="corp"), route(good)
        known = await forward.look_ahead(routes)
        forward.reconfigure(routes, cache, (), Limits(), known, lambda name, _: name.endswith(b"\x05other\0"))
        assert (await wait_outcome(forward, ASKED)).rcode == NOERROR
