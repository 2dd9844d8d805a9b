"""What is learnt of an upstream: one odd name says nothing about others, and an odd upstream is recognized once."""

import dns.flags
import pytest
import trio

from dnsserver.forward.settings import Policy
from dnsserver.wire.message import FORMERR, NOERROR, NXDOMAIN, REFUSED, SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    Query,
    ask,
    begin,
    events,
    forwarder,
    helpful,
    route,
    silent,
    upstream,
    wait_outcome,
)

SOA = "example.com. 300 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"


def is_odd(query: Query) -> bool:
    return query.name.lower().startswith("odd")


async def formerr_to_edns(query: Query) -> None:
    await (query.send(query.reply(rcode=FORMERR)) if query.message.edns >= 0 else helpful(query))


async def silent_to_edns(query: Query) -> None:
    await (silent(query) if query.message.edns >= 0 else helpful(query))


async def odd_formerr(query: Query) -> None:
    await (formerr_to_edns(query) if is_odd(query) else helpful(query))


async def odd_silent_to_edns(query: Query) -> None:
    await (silent_to_edns(query) if is_odd(query) else helpful(query))


async def missing(query: Query) -> None:
    await query.send(query.reply(rcode=NXDOMAIN, authority=(SOA,)))


# ---- EDNS


@pytest.mark.parametrize("script", [odd_formerr, odd_silent_to_edns])
async def test_row_58_odd_names_take_edns_and_do_from_no_other(clock: LoopbackClock, script: object) -> None:
    async with upstream(script) as server, forwarder(route(server)) as forward:  # type: ignore[arg-type]
        for i in range(6):
            assert (await wait_outcome(forward, ask(f"odd{i}.example.com"))).rcode == NOERROR
            await wait_outcome(forward, ask(f"w{i}.example.com", do=i % 2 == 1))
            last = server.queries[-1].message
            assert last.edns == 0
            assert bool(last.ednsflags & dns.flags.DO) is (i % 2 == 1)
        assert forward.statistics().upstreams[0].up


async def test_row_58_nor_do_odd_names_alone_while_probes_are_answered_with_edns(clock: LoopbackClock) -> None:
    async with upstream(odd_formerr) as server, forwarder(route(server)) as forward:
        for i in range(6):
            await wait_outcome(forward, ask(f"odd{i}.example.com"))
            await trio.sleep(1.5)
        server.queries.clear()
        await wait_outcome(forward, ask("www.example.com"))
        assert [query.message.edns for query in server.queries] == [0]


@pytest.mark.parametrize(("script", "longest"), [(formerr_to_edns, 0.05), (silent_to_edns, 0.5)])
async def test_row_58_an_upstream_without_edns_is_found_out_and_tried_again(
    clock: LoopbackClock, script: object, longest: float
) -> None:
    async with upstream(script) as server:  # type: ignore[arg-type]
        server.script_probes = script  # type: ignore[assignment]
        async with forwarder(route(server)) as forward:
            for i in range(3):
                began = trio.current_time()
                assert (await wait_outcome(forward, ask(f"w{i}.example.com"))).rcode == NOERROR
                assert trio.current_time() - began < longest
            server.queries.clear()
            for i in range(5):
                began = trio.current_time()
                assert (await wait_outcome(forward, ask(f"v{i}.example.com"))).rcode == NOERROR
                assert trio.current_time() - began < 0.05
            assert [query.message.edns for query in server.queries] == [-1] * 5
            server.queries.clear()
            await wait_outcome(forward, ask("do.example.com", do=True))
            assert server.queries[0].message.ednsflags & dns.flags.DO, "nothing else brings signatures"
            await trio.sleep(62)
            server.script = server.script_probes = helpful
            server.queries.clear()
            for i in range(2):
                await wait_outcome(forward, ask(f"u{i}.example.com"))
            assert [query.message.edns for query in server.queries] == [0, 0]


async def test_row_58_an_answer_without_signatures_after_silence_is_not_kept(clock: LoopbackClock) -> None:
    async with upstream(silent_to_edns) as server, forwarder(route(server)) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com", do=True))
        assert outcome.rcode == NOERROR
        assert outcome.expires == outcome.stored
        server.script = helpful
        server.queries.clear()
        await wait_outcome(forward, ask("www.example.com", do=True))
        sent = [query for query in server.queries if query.protocol == "udp"]
        assert [query.message.ednsflags & dns.flags.DO for query in sent] == [dns.flags.DO]


async def test_row_58_a_lost_packet_costs_nobody_the_signatures(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:

        async def script(query: Query) -> None:
            await (helpful(query) if len(server.queries) > 1 else silent(query))

        server.script = script
        assert (await wait_outcome(forward, ask("www.example.com", do=True))).rcode == NOERROR
        assert [bool(query.message.ednsflags & dns.flags.DO) for query in server.queries] == [True, True]


# ---- the case of names


async def test_row_61_what_exists_is_found_by_who_compares_the_case(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        known = query.name in {f"w{i}.example.com." for i in range(5)}
        await (helpful(query) if known else missing(query))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        with events() as logged:
            assert (await wait_outcome(forward, ask("nope.example.com"))).rcode == NXDOMAIN
            for i in range(5):
                assert (await wait_outcome(forward, ask(f"w{i}.example.com"))).rcode == NOERROR
        assert logged == ["upstream compares the case of names"]
        assert len(server.queries) == 2 + 2 + 4
        assert not forward.statistics().upstreams[0].mixed_case
        await trio.sleep(602)
        assert (await wait_outcome(forward, ask("nope2.example.com"))).rcode == NXDOMAIN
        assert (await wait_outcome(forward, ask("w3.example.com"))).rcode == NOERROR


async def test_row_61_after_one_name_was_found_nothing_is_asked_twice(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        await wait_outcome(forward, ask("www.example.com"))
        server.script = missing
        server.queries.clear()
        for i in range(50):
            assert (await wait_outcome(forward, ask(f"nope{i}.example.com"))).rcode == NXDOMAIN
        assert len(server.queries) == 50
        assert sum(query.name != query.name.lower() for query in server.queries) > 45


async def test_row_61_where_nothing_is_ever_found_little_is_asked_twice(clock: LoopbackClock) -> None:
    async with upstream(missing) as server, forwarder(route(server)) as forward:
        for i in range(200):
            assert (await wait_outcome(forward, ask(f"nope{i}.example.com"))).rcode == NXDOMAIN
        assert len(server.queries) <= 210


@pytest.mark.parametrize("code", [REFUSED, SERVFAIL])
async def test_row_61_who_errs_for_mixed_case_is_asked_in_lower_case(clock: LoopbackClock, code: int) -> None:
    async def script(query: Query) -> None:
        await (helpful(query) if query.name == query.name.lower() else query.send(query.reply(rcode=code)))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        with events() as logged:
            for i in range(6):
                assert (await wait_outcome(forward, ask(f"www{i}.example.com"))).rcode == NOERROR
        assert logged == ["upstream compares the case of names"]
        assert len(server.queries) == 3 * 2 + 3
        assert forward.statistics().upstreams[0].failures == 0


async def test_row_61_who_errs_whatever_is_asked_is_asked_little_twice(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        await query.send(query.reply(rcode=SERVFAIL))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        for i in range(100):
            assert (await wait_outcome(forward, ask(f"www{i}.example.com"))).rcode == SERVFAIL
        assert len(server.queries) <= 110


@pytest.mark.parametrize("how", ["silent", "SERVFAIL", "garbage"])
async def test_row_61_the_first_answer_is_good_enough_where_the_second_does_not_come(
    clock: LoopbackClock, how: str
) -> None:
    async def script(query: Query) -> None:
        if query.name != query.name.lower():
            await missing(query)
        elif how == "SERVFAIL":
            await query.send(query.reply(rcode=SERVFAIL))
        elif how == "garbage":
            await query.send(query.wire[:2] + b"x")

    async with upstream(script) as server, forwarder(route(server)) as forward:
        began = trio.current_time()
        assert (await wait_outcome(forward, ask("nope.example.com"))).rcode == NXDOMAIN
        assert trio.current_time() - began < 0.5
        assert len(server.queries) == 2


# ---- health


async def test_silent_names_alone_take_no_upstream_down(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        await (silent(query) if is_odd(query) else helpful(query))

    async with (
        upstream(script) as first,
        upstream(script) as second,
        forwarder(route(first, second, policy=Policy.SEQUENTIAL)) as forward,
    ):
        await wait_outcome(forward, ask("www.example.com"))
        with events() as logged:
            for i in range(8):  # a client who has names that nobody answers
                assert (await wait_outcome(forward, ask(f"odd{i}.example.com"))).rcode == SERVFAIL
                (one, other) = forward.statistics().upstreams
                assert one.up
                assert other.up
        assert "upstream down" not in logged
        assert len(first.probes) <= 2 * 8 + 4
        first.queries.clear()
        await wait_outcome(forward, ask("www2.example.com"))
        assert len(first.queries) == 1, "it is still the first"


async def test_a_dead_upstream_is_down_within_a_second_whatever_is_asked(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        await wait_outcome(forward, ask("www.example.com"))
        server.script = server.script_probes = silent
        with events() as logged:
            for name in ("a", "a", "a"):  # one name is enough, with the probe
                begin(forward, ask(f"{name}.example.com"), lambda _: None)
            await trio.sleep(1)
        assert logged.count("upstream down") == 1
        assert forward.statistics().upstreams[0].probe_failures >= 1


async def test_an_upstream_that_answers_no_probe_is_down_by_three_silent_names(clock: LoopbackClock) -> None:
    async with upstream() as server:
        server.script_probes = silent
        async with forwarder(route(server)) as forward:
            await wait_outcome(forward, ask("www.example.com"))
            server.script = silent
            for i in range(2):
                await wait_outcome(forward, ask(f"w{i}.example.com"))
            assert forward.statistics().upstreams[0].up
            await wait_outcome(forward, ask("w3.example.com"))
            assert not forward.statistics().upstreams[0].up


async def test_errors_for_one_name_do_not_change_the_order(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        await (query.send(query.reply(rcode=SERVFAIL)) if is_odd(query) else helpful(query))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        with events() as logged:
            for _ in range(3):
                await wait_outcome(forward, ask("odd.example.com"))
                await trio.sleep(5)
        assert logged == []
        assert forward.statistics().upstreams[0].up


async def test_row_60_silence_over_tcp_says_nothing_about_udp(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        if query.protocol == "udp":
            await query.send(query.reply(truncated=True))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == SERVFAIL
        assert forward.statistics().upstreams[0].up
        assert len(server.probes) == 1, "nothing is suspected"
