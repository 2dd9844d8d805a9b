"""Rows 40 to 53 and 55 to 56 of the protocol table: what upstreams do, and what the client gets.

Over 400 lines, so that the rows stand in their order in one place.
"""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import pairwise

import dns.edns
import dns.flags
import dns.message
import pytest
import trio
import trio.testing

from dnsserver.forward.outcome import Outcome, Question
from dnsserver.forward.settings import Limits, Policy, UpstreamSpec
from dnsserver.wire.message import NOERROR, NXDOMAIN, REFUSED, SERVFAIL, FormatError
from dnsserver.wire.name import from_text
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    AAAA,
    MX,
    TXT,
    Late,
    Query,
    Script,
    answers,
    ask,
    begin,
    forwarder,
    helpful,
    overtaking,
    route,
    shown,
    silent,
    upstream,
    wait_outcome,
)

SOA = "example.com. 300 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"
RIGHT = "{} 300 IN A 192.0.2.1"
WRONG = "{} 300 IN A 203.0.113.66"


async def pass_time(clock: LoopbackClock, seconds: float) -> None:
    """Let much time pass in one step, and what is due then be done."""
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked(0.01)


def flip_case(wire: bytes) -> bytes:
    """Return the message with its question in another case."""
    return wire[:12] + bytes(octet ^ 0x20 if chr(octet).isalpha() else octet for octet in wire[12:20]) + wire[20:]


BAD_REPLIES: dict[str, Callable[[bytes], bytes]] = {
    "id": lambda wire: bytes((wire[0] ^ 1,)) + wire[1:],
    "question": lambda wire: wire.replace(wire[12:16], bytes((wire[12],)) + b"zzz", 1),
    "case": flip_case,
    "not-a-reply": lambda wire: wire[:2] + bytes((wire[2] & 0x7F,)) + wire[3:],
    "malformed": lambda wire: wire[:-13],  # the OPT, and half of the address
}


@pytest.mark.parametrize("kind", BAD_REPLIES)
async def test_row_40_bad_replies_are_counted_and_the_right_one_is_used(kind: str, clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        bad = BAD_REPLIES[kind](query.reply(WRONG.format(query.name)))
        await query.send(bad)
        await query.send(query.reply(RIGHT.format(query.name)))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        outcome = await wait_outcome(forward, asked)
        assert shown(asked, outcome) == ["www.example.com. 300 IN A 192.0.2.1"]
        (counted,) = forward.statistics().upstreams
        assert counted.bad == {kind: 1}
        assert [query.protocol for query in server.queries] == ["udp"]


async def test_row_40_a_reply_from_another_source_is_not_used(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as stranger:
            await stranger.sendto(query.reply(WRONG.format(query.name)), ("127.0.0.1", query.port))
        await query.send(query.reply(RIGHT.format(query.name)))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        assert shown(asked, await wait_outcome(forward, asked)) == ["www.example.com. 300 IN A 192.0.2.1"]


async def test_row_41_after_ten_bad_replies_the_question_goes_on_over_tcp(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        if query.protocol == "udp":
            for guess in range(10):
                wire = query.reply(WRONG.format(query.name))
                await query.send(bytes((wire[0] ^ (guess + 1),)) + wire[1:])
        else:
            await query.send(query.reply(RIGHT.format(query.name)))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        assert shown(asked, await wait_outcome(forward, asked)) == ["www.example.com. 300 IN A 192.0.2.1"]
        assert [query.protocol for query in server.queries] == ["udp", "tcp"]
        assert forward.statistics().upstreams[0].bad == {"id": 10}


async def test_row_42_records_outside_the_chain_are_not_passed_on_and_not_cached(clock: LoopbackClock) -> None:
    script = answers(
        "{} 300 IN CNAME web.example.com.",
        "www.bank.example. 300 IN A 203.0.113.66",
        "web.example.com. 300 IN A 192.0.2.1",
        authority=("example.com. 300 IN NS ns.bank.example.", "bank.example. 300 IN NS ns.evil.example."),
        additional=("ns.bank.example. 300 IN A 203.0.113.66",),
    )
    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        assert shown(asked, await wait_outcome(forward, asked)) == [
            "www.example.com. 300 IN CNAME web.example.com.",
            "web.example.com. 300 IN A 192.0.2.1",
        ]
        for name in ("www.bank.example", "ns.bank.example", "web.example.com"):
            server.script = answers(RIGHT)
            asked = ask(name)
            assert shown(asked, await wait_outcome(forward, asked)) == [f"{name}. 300 IN A 192.0.2.1"]


async def test_row_43_an_upstream_is_not_believed_about_other_domains(clock: LoopbackClock) -> None:
    corp = answers("{} 300 IN CNAME www.example.com.", "www.example.com. 300 IN A 203.0.113.66")
    async with (
        upstream(corp) as inner,
        upstream(answers(RIGHT)) as outer,
        forwarder(route(inner, domain="corp.example"), route(outer)) as forward,
    ):
        asked = ask("a.corp.example")
        assert shown(asked, await wait_outcome(forward, asked)) == [
            "a.corp.example. 300 IN CNAME www.example.com.",
            "www.example.com. 300 IN A 192.0.2.1",
        ]
        # And the other way: who serves the rest is not believed about corp.example.
        outer.script = answers("{} 300 IN CNAME b.corp.example.", "b.corp.example. 300 IN A 203.0.113.66")
        inner.script = answers(RIGHT)
        asked = ask("b.example.net")
        assert shown(asked, await wait_outcome(forward, asked)) == [
            "b.example.net. 300 IN CNAME b.corp.example.",
            "b.corp.example. 300 IN A 192.0.2.1",
        ]


@pytest.mark.parametrize(
    ("said", "shown_of_it"),
    [
        ((), []),
        (("www.example.com. 300 IN A 203.0.113.66",), ["www.example.com. 300 IN A 203.0.113.66"]),
        (
            ("www.example.com. 300 IN CNAME x.example.net.", "x.example.net. 300 IN A 203.0.113.66"),
            ["www.example.com. 300 IN CNAME x.example.net.", "x.example.net. 300 IN A 203.0.113.66"],
        ),
        (
            ("www.example.com. 300 IN CNAME y.sub.corp.example.", "y.sub.corp.example. 300 IN A 203.0.113.66"),
            ["www.example.com. 300 IN CNAME y.sub.corp.example.", "y.sub.corp.example. 300 IN A 203.0.113.66"],
        ),
        (
            (
                "www.example.com. 300 IN CNAME db.prod.svc.cluster.local.",
                "db.prod.svc.cluster.local. 9 IN A 203.0.113.66",
            ),
            ["www.example.com. 300 IN CNAME db.prod.svc.cluster.local."],
        ),
    ],
)
async def test_row_43_a_trusted_upstream_is_believed_about_all_but_the_cluster(
    said: tuple[str, ...], shown_of_it: list[str]
) -> None:
    async with (
        upstream(answers("{} 300 IN CNAME www.example.com.", *said)) as inner,
        upstream(answers(RIGHT)) as outer,
        forwarder(
            route(inner, domain="corp.example", trusted=True),
            route(outer, domain="sub.corp.example"),
            route(outer),
            own=(from_text("cluster.local"),),
        ) as forward,
    ):
        asked = ask("a.corp.example")
        rest = shown_of_it or ["www.example.com. 300 IN A 192.0.2.1"]  # what it does not know is asked of who may
        assert shown(asked, await wait_outcome(forward, asked)) == [
            "a.corp.example. 300 IN CNAME www.example.com.",
            *rest,
        ]


async def test_row_43_an_upstream_is_not_believed_about_the_cluster(clock: LoopbackClock) -> None:
    script = answers("{} 300 IN CNAME db.prod.svc.cluster.local.", "db.prod.svc.cluster.local. 300 IN A 203.0.113.66")
    own = (from_text("cluster.local"),)
    async with upstream(script) as server, forwarder(route(server), own=own) as forward:
        asked = ask("www.example.com")
        outcome = await wait_outcome(forward, asked)
        assert shown(asked, outcome) == ["www.example.com. 300 IN CNAME db.prod.svc.cluster.local."]
        assert outcome.follow == from_text("db.prod.svc.cluster.local")


async def test_row_44_a_truncated_reply_is_asked_again_over_tcp(clock: LoopbackClock) -> None:
    lines = [f"www.example.com. 300 IN A 192.0.2.{i}" for i in range(200)]

    async def script(query: Query) -> None:
        cut = query.protocol == "udp"
        await query.send(query.reply(*(lines[:3] if cut else lines), truncated=cut))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        assert sorted(shown(asked, await wait_outcome(forward, asked))) == sorted(lines)
        assert [query.protocol for query in server.queries] == ["udp", "tcp"]


@pytest.mark.parametrize(
    ("ttl", "shown_ttl", "queries"), [(0, 0, 2), (0x8000_0001, 0, 2), (604_800, 86_400, 1), (300, 300, 1)]
)
async def test_row_45_ttls_are_bounded(ttl: int, shown_ttl: int, queries: int, clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        wire = query.reply(f"{query.name} 305419896 IN A 192.0.2.1")
        await query.send(wire.replace(b"\x12\x34\x56\x78", ttl.to_bytes(4)))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        for _ in range(2):
            outcome = await wait_outcome(forward, asked)
            assert shown(asked, outcome) == [f"www.example.com. {shown_ttl} IN A 192.0.2.1"]
            assert outcome.expires - outcome.stored == pytest.approx(shown_ttl)
        assert len(server.queries) == queries


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
async def test_row_46_after_a_failure_the_next_upstream_is_asked(rcode: int, clock: LoopbackClock) -> None:
    async with (
        upstream(answers(rcode=rcode)) as first,
        upstream(answers(RIGHT)) as second,
        forwarder(route(first, second, policy=Policy.SEQUENTIAL)) as forward,
    ):
        asked = ask("www.example.com")
        assert shown(asked, await wait_outcome(forward, asked)) == ["www.example.com. 300 IN A 192.0.2.1"]
        assert (len(first.queries), len(second.queries)) == (1, 1)
        assert forward.statistics().retries == 0, "it was asked because of the failure, not of any waiting"


async def test_row_47_a_failure_is_remembered(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        await wait_outcome(forward, ask("good.example.com"))  # it takes mixed case, so nothing is asked twice
        server.script = answers(rcode=SERVFAIL)
        server.queries.clear()
        asked = ask("www.example.com")
        first = await wait_outcome(forward, asked)
        second = await wait_outcome(forward, asked)
        assert (first.rcode, first.reason.code) == (SERVFAIL, "upstream-servfail")
        assert (second.rcode, second.reason.ede) == (SERVFAIL, 13)
        assert len(server.queries) == 1
        await trio.sleep(1.1)
        await wait_outcome(forward, asked)
        assert len(server.queries) == 2
        await trio.sleep(1.1)  # the second failure in a row lasts longer
        await wait_outcome(forward, asked)
        assert len(server.queries) == 2


@pytest.mark.parametrize(
    ("probes", "pauses"),
    [
        pytest.param(None, [3, 4, 6, 10], id="to this name: a deadline of 2 seconds, and 1, 2, 4, 8"),
        pytest.param(silent, [3, 3, 3, 3], id="to everybody, which says nothing of the name"),
    ],
)
async def test_row_47_silence_is_remembered_longer_each_time(
    clock: LoopbackClock, probes: Script | None, pauses: list[int]
) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        server.script, server.script_probes = silent, probes
        asked, times = ask("www.example.com"), []
        for _ in range(100):
            before = len(server.queries)
            await wait_outcome(forward, asked)
            if len(server.queries) > before:
                times.append(trio.current_time())
            await trio.sleep(0.5)
        assert [round(after - before) for before, after in pairwise(times)][:4] == pauses


async def test_row_48_silence_ends_with_the_deadline(clock: LoopbackClock) -> None:
    async with upstream(silent) as server, forwarder(route(server)) as forward:
        server.script_probes = silent
        began = trio.current_time()
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.ede) == (SERVFAIL, 22)
        assert 1.9 < trio.current_time() - began < 2.1


async def test_row_48_one_upstream_is_asked_three_times_over_udp_at_most(clock: LoopbackClock) -> None:
    async with upstream(helpful) as server, forwarder(route(server)) as forward:
        for number in range(20):  # it is known to be fast, so there would be time for many more
            await wait_outcome(forward, ask(f"n{number}.example.com"))
        server.script = server.script_probes = silent
        server.queries.clear()
        await wait_outcome(forward, ask("www.example.com"))
        assert Counter(query.protocol for query in server.queries) == {"udp": 3, "tcp": 1}


async def test_row_48_a_question_has_its_own_time_also_after_one_of_the_same_name(clock: LoopbackClock) -> None:
    async def asked_at(first: str, second: str) -> list[float]:
        """Return when the upstream was asked: it answers the first time, and then never again."""
        times: list[float] = []

        async def script(query: Query) -> None:
            if not times:
                await query.send(query.reply(f"{query.name} 0 IN A 192.0.2.1"))
            times.append(round(trio.current_time() - began, 2))

        async with upstream(script) as server, forwarder(route(server)) as forward:
            began = trio.current_time()
            assert (await wait_outcome(forward, ask(first))).rcode == NOERROR
            server.script_probes = silent
            await trio.sleep(0.05)
            assert (await wait_outcome(forward, ask(second))).rcode == SERVFAIL
            assert forward.statistics().in_flight == 0
        return times

    times = await asked_at("www.example.com", "www.example.com")
    assert times == await asked_at("other.example.com", "www.example.com")
    assert len(times) > 2


async def test_row_48_a_closed_port_is_noticed_at_once(clock: LoopbackClock) -> None:
    async with upstream() as server:
        spec = server.spec
    async with forwarder(route(spec)) as forward:
        began = trio.current_time()
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.ede) == (SERVFAIL, 23)
        assert trio.current_time() - began < 0.2


@pytest.mark.parametrize("policy", [Policy.SEQUENTIAL, Policy.FASTEST])
async def test_row_48_after_one_silence_the_healthy_upstream_is_asked_first(
    clock: LoopbackClock, policy: Policy
) -> None:
    async with (
        upstream(silent) as first,
        upstream(answers(RIGHT)) as second,
        forwarder(route(first, second, policy=policy)) as forward,
    ):
        first.script_probes = silent
        times = []
        for i in range(20):
            began = trio.current_time()
            outcome = await wait_outcome(forward, ask(f"w{i}.example.com"))
            times.append(trio.current_time() - began)
            assert outcome.rcode == NOERROR
        assert max(times) < 0.5
        assert max(times[3:]) < 0.1


async def test_row_48_an_upstream_that_is_back_is_asked_again(clock: LoopbackClock) -> None:
    async with (
        upstream(silent) as first,
        upstream(answers(RIGHT)) as second,
        forwarder(route(first, second, policy=Policy.SEQUENTIAL)) as forward,
    ):
        first.script_probes = silent
        await wait_outcome(forward, ask("a.example.com"))
        await wait_outcome(forward, ask("b.example.com"))
        await trio.sleep(0.5)
        assert [server.up for server in forward.statistics().upstreams] == [False, True]
        assert len(second.queries) == 2
        first.script, first.script_probes = answers(RIGHT), None
        await pass_time(clock, 20)
        await wait_outcome(forward, ask("c.example.com"))
        assert len(second.queries) == 2


async def test_row_49_a_slow_upstream_is_overtaken(clock: LoopbackClock) -> None:
    late = Late()
    async with overtaking(late, 20) as (second, forward):
        assert not second.queries
        late.seconds = 1.0
        began = trio.current_time()
        assert (await wait_outcome(forward, ask("slow.example.com"))).rcode == NOERROR
        assert trio.current_time() - began < 0.1
        assert len(second.queries) == 1
        assert forward.statistics().hedges == 1


async def test_row_49_each_question_has_its_hedge_also_when_there_are_few(clock: LoopbackClock) -> None:
    late = Late()
    async with overtaking(late, 60) as (second, forward):
        late.seconds = 0.095  # not yet silent, but later than usual
        for i in range(3):
            began = trio.current_time()
            await wait_outcome(forward, ask(f"slow{i}.example.com"))
            assert trio.current_time() - began < 0.04
            await trio.sleep(0.025)  # what the last one left on the wheel comes up later than the next one's hedge
        assert forward.statistics().hedges == 3
        assert len(second.queries) == 3


async def test_row_49_hedges_stay_within_their_budget(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        await trio.sleep(0.05 if query.name.lower().startswith("slow") else 0)
        await helpful(query)

    async with (
        upstream(script) as first,
        upstream(script) as second,
        forwarder(route(first, second, policy=Policy.SEQUENTIAL)) as forward,
    ):
        for i in range(30):
            await wait_outcome(forward, ask(f"w{i}.example.com"))
        for i in range(100):
            await wait_outcome(forward, ask(f"slow{i}.example.com"))
        assert len(first.queries) == 130
        assert len(second.queries) <= 10 + 0.05 * 130


async def test_row_50_equal_questions_share_one_query(clock: LoopbackClock) -> None:
    async with upstream(Late(0.05)) as server, forwarder(route(server)) as forward:
        outcomes: list[Outcome] = []
        for _ in range(8):
            begin(forward, ask("www.EXAMPLE.com"), outcomes.append)
        await trio.sleep(0.1)
        assert [outcome.rcode for outcome in outcomes] == [NOERROR] * 8
        assert len(server.queries) == 1
        assert forward.statistics().coalesced == 7
        assert len(server.queries) == 1


async def test_row_51_ports_ids_and_case_are_unpredictable(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        for i in range(40):
            await wait_outcome(forward, ask(f"name{i}.example.com"))
        queries = server.queries
        assert len({query.port for query in queries}) >= 32
        ids = [query.message.id for query in queries]
        assert len(set(ids)) >= 38
        assert max(ids) - min(ids) > 20_000
        assert len({query.name.split(".", 1)[1] for query in queries}) >= 30


async def test_row_51_also_when_the_first_sockets_are_used_up(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        for i in range(1200):
            await wait_outcome(forward, ask(f"name{i}.example.com"))
        ports = [query.port for query in server.queries]
        assert min(len(set(ports[i : i + 40])) for i in range(len(ports) - 40)) >= 32
        assert max(map(ports.count, set(ports))) <= 20


@pytest.mark.parametrize("do", [False, True])
async def test_row_52_a_query_carries_nothing_of_the_clients(do: bool, clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        await wait_outcome(forward, ask("www.example.com", do=do, cd=do))
        (query,) = server.queries
        assert (query.message.edns, query.message.payload, query.message.options) == (0, 1232, ())
        assert bool(query.message.ednsflags & dns.flags.DO) is do
        assert bool(query.message.flags & dns.flags.CD) is do
        assert query.message.flags & dns.flags.RD


async def test_row_53_a_stale_answer_is_given_when_every_upstream_is_dead(clock: LoopbackClock) -> None:
    async with upstream(answers("{} 10 IN A 192.0.2.1")) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        await wait_outcome(forward, asked)
        server.script = server.script_probes = silent
        await pass_time(clock, 11)
        began = trio.current_time()
        outcome = await wait_outcome(forward, asked)
        assert shown(asked, outcome) == ["www.example.com. 30 IN A 192.0.2.1"]
        assert outcome.reason.ede == 3
        assert 1.7 < trio.current_time() - began < 1.9
        # From now on the upstream is known to be dead, and nobody has to wait.
        await pass_time(clock, 5)
        began = trio.current_time()
        assert (await wait_outcome(forward, asked)).reason.ede == 3
        assert trio.current_time() - began < 0.05
        await pass_time(clock, 86_400)
        assert (await wait_outcome(forward, asked)).rcode == SERVFAIL


@pytest.mark.parametrize(
    ("then", "asked_then"),
    [
        (answers("{} 0 IN A 192.0.2.9"), ask("www.example.com")),
        (answers("{} 0 IN A 192.0.2.9"), ask("www.example.com", do=True)),
        (answers(authority=(SOA,)), ask("www.example.com")),
        (answers(authority=(SOA,)), ask("www.example.com", do=True)),
        (answers(authority=(SOA,), rcode=3), ask("www.example.com")),
        (answers(authority=(SOA,), rcode=3), ask("www.example.com", AAAA)),
        (answers(authority=(SOA,), rcode=3), ask("www.example.com", TXT, do=True)),
        (answers(rcode=3), ask("www.example.com")),
        (answers(rcode=3), ask("www.example.com", AAAA)),
        (answers(), ask("www.example.com")),
        (answers("{} 0 IN CNAME x.example.com.", authority=(SOA,), rcode=3), ask("www.example.com")),
    ],
)
async def test_row_62_what_is_gone_does_not_come_back(then: Script, asked_then: Question, clock: LoopbackClock) -> None:
    async with upstream(answers("{} 10 IN A 192.0.2.1")) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        await wait_outcome(forward, asked)
        await pass_time(clock, 11)
        server.script = then
        assert (await wait_outcome(forward, asked_then)).reason.code == "forwarded"
        server.script = server.script_probes = silent
        await pass_time(clock, 70)
        outcome = await wait_outcome(forward, asked)
        assert "192.0.2.1" not in str(shown(asked, outcome))
        assert "192.0.2.9" not in str(shown(asked, outcome))


@pytest.mark.parametrize("asked_then", [ask("www.example.com", AAAA), ask("www.example.com", do=True, cd=True)])
async def test_row_62_what_was_not_seen_gone_does(asked_then: Question, clock: LoopbackClock) -> None:
    async with upstream(answers("{} 10 IN A 192.0.2.1")) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        await wait_outcome(forward, asked)
        await pass_time(clock, 11)
        server.script = answers(authority=(SOA,))
        await wait_outcome(forward, asked_then)
        server.script = server.script_probes = silent
        await pass_time(clock, 70)
        assert shown(asked, await wait_outcome(forward, asked)) == ["www.example.com. 30 IN A 192.0.2.1"]


async def test_row_53_a_fresh_answer_replaces_the_stale_one(clock: LoopbackClock) -> None:
    async with upstream(answers("{} 10 IN A 192.0.2.1")) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        await wait_outcome(forward, asked)
        server.script = server.script_probes = silent
        await pass_time(clock, 11)
        assert (await wait_outcome(forward, asked)).reason.ede == 3
        server.script, server.script_probes = answers("{} 10 IN A 192.0.2.9"), None
        await pass_time(clock, 15)
        assert shown(asked, await wait_outcome(forward, asked)) == ["www.example.com. 10 IN A 192.0.2.9"]


@pytest.mark.parametrize("policy", list(Policy))
async def test_row_46_every_upstream_is_asked_before_a_question_fails(policy: Policy, clock: LoopbackClock) -> None:
    async with AsyncExitStack() as stack:
        bad = [await stack.enter_async_context(upstream(answers(rcode=REFUSED))) for _ in range(7)]
        good = await stack.enter_async_context(upstream())
        forward = await stack.enter_async_context(forwarder(route(*bad, good, policy=policy)))
        for number in range(20):
            assert (await wait_outcome(forward, ask(f"n{number}.example.com"))).rcode == NOERROR


async def test_row_55_a_long_chain_is_cut(clock: LoopbackClock) -> None:
    chain = ["{} 300 IN CNAME c0.example.com."]
    chain += [f"c{i}.example.com. 300 IN CNAME c{i + 1}.example.com." for i in range(19)]
    script = answers(*chain, "c19.example.com. 300 IN A 192.0.2.1")
    async with upstream(script) as server, forwarder(route(server)) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "chain-too-long")


async def test_row_55_too_many_records_are_refused(clock: LoopbackClock) -> None:
    records = [f"www.example.com. 300 IN A 10.0.{i >> 8}.{i & 255}" for i in range(2000)]

    async def script(query: Query) -> None:
        await query.send(query.reply(*([] if query.protocol == "udp" else records), truncated=query.protocol == "udp"))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "answer-too-large")


async def test_row_55_64_kib_are_taken(clock: LoopbackClock) -> None:
    records = [f'www.example.com. 300 IN TXT "{i:04d}{"x" * 240}"' for i in range(250)]

    async def script(query: Query) -> None:
        await query.send(query.reply(*([] if query.protocol == "udp" else records), truncated=query.protocol == "udp"))

    async with upstream(script) as server, forwarder(route(server)) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com", 16))
        assert (outcome.rcode, outcome.body.an) == (NOERROR, 250)
        assert len(outcome.body.data) > 60_000


def resident() -> int:
    """Return the octets of memory that this process holds."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - /proc
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_row_56_questions_under_way_are_bounded(clock: LoopbackClock) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as nobody:
        await nobody.bind(("127.0.0.1", 0))
        spec = UpstreamSpec("127.0.0.1", nobody.getsockname()[1])
        async with forwarder(route(spec), limits=Limits(in_flight=10_000)) as forward:
            outcomes: list[Outcome] = []
            before = resident()
            for i in range(12_000):
                begin(forward, ask(f"name{i}.example.com"), outcomes.append)
            statistics = forward.statistics()
            assert (statistics.in_flight, statistics.dropped, len(outcomes)) == (10_000, 2_000, 0)
            await trio.sleep(0.1)
            assert len(outcomes) == 2_000
            assert {outcome.reason.code for outcome in outcomes} == {"forward-overload"}
            await trio.sleep(1)
            assert resident() - before < 40 * 1024 * 1024
            await trio.sleep(1.5)
            assert len(outcomes) == 12_000
            assert forward.statistics().in_flight == 0


# ---- beyond the table


async def test_no_upstreams_is_refused(clock: LoopbackClock) -> None:
    async with forwarder(route()) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (REFUSED, "no-upstreams")


async def test_the_longest_domain_wins(clock: LoopbackClock) -> None:
    async with (
        upstream(answers("{} 300 IN A 192.0.2.1")) as root,
        upstream(answers("{} 300 IN A 192.0.2.2")) as corp,
        upstream(answers("{} 300 IN A 192.0.2.3")) as lab,
        forwarder(route(root), route(corp, domain="corp.example"), route(lab, domain="lab.corp.example")) as forward,
    ):
        for name, last in (("example", 1), ("a.corp.example", 2), ("corp.example", 2), ("x.lab.corp.example", 3)):
            asked = ask(name)
            assert shown(asked, await wait_outcome(forward, asked)) == [f"{name}. 300 IN A 192.0.2.{last}"]


async def test_negative_answers_are_kept_as_long_as_the_soa_says(clock: LoopbackClock) -> None:
    script = answers(authority=(SOA, "example.com. 300 IN NS ns.example.com."), rcode=NXDOMAIN)
    async with upstream(script) as server, forwarder(route(server)) as forward:
        asked = ask("nope.example.com", AAAA)
        outcome = await wait_outcome(forward, asked)
        assert outcome.rcode == NXDOMAIN
        assert shown(asked, outcome) == [SOA.replace(" 300 ", " 60 ")]
        await pass_time(clock, 59)
        await wait_outcome(forward, asked)
        assert len(server.queries) == 2, "the first time it was asked in lower case besides"
        await trio.sleep(2)
        await wait_outcome(forward, asked)
        assert len(server.queries) == 4


async def test_an_upstream_that_spoils_the_case_is_found_out_by_the_first_probe(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        await query.send(query.wire[:2] + query.reply(RIGHT.format(query.name)).lower()[2:])

    async def probe(query: Query) -> None:
        await query.send(query.wire[:2] + query.reply(rcode=3).lower()[2:])

    async with upstream(script) as server:
        server.script_probes = probe
        async with forwarder(route(server)) as forward:
            began = trio.current_time()
            outcome = await wait_outcome(forward, ask("www.example.com"))
            assert outcome.rcode == NOERROR
            assert trio.current_time() - began < 0.1
            assert not forward.statistics().upstreams[0].mixed_case


async def test_an_upstream_that_begins_to_spoil_the_case_costs_no_question(clock: LoopbackClock) -> None:
    async def script(query: Query) -> None:
        reply = query.reply(RIGHT.format(query.name))
        await query.send(query.wire[:2] + reply.lower()[2:])

    async with upstream(script) as server, forwarder(route(server)) as forward:
        for i in range(10):
            assert (await wait_outcome(forward, ask(f"w{i}.example.com"))).rcode == NOERROR
        assert not forward.statistics().upstreams[0].mixed_case
        assert [query.protocol for query in server.queries].count("tcp") <= 3


async def test_popular_answers_are_renewed_before_they_end(clock: LoopbackClock) -> None:
    async with upstream(answers("{} 20 IN A 192.0.2.1")) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        await wait_outcome(forward, asked)
        forward.record_hits(asked, 50)
        await pass_time(clock, 18.5)
        forward.record_hits(asked)
        forward.record_hits(asked)
        await trio.sleep(0.1)
        assert len(server.queries) == 2
        await pass_time(clock, 10)
        assert (await wait_outcome(forward, asked)).rcode == NOERROR
        assert len(server.queries) == 2
        await pass_time(clock, 30)
        assert len(server.queries) == 2  # nobody asked since


async def test_flush_forgets_a_name_or_a_domain(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        names = ["example.com", "www.example.com", "a.www.example.com", "www.example.net"]
        for name in names:
            await wait_outcome(forward, ask(name))
        assert forward.flush(from_text("www.example.com")) == [ask("www.example.com")]
        assert {a.name for a in forward.flush(from_text("example.com"), below=True)} == {
            from_text("example.com"),
            from_text("a.www.example.com"),
        }
        for name in names:
            await wait_outcome(forward, ask(name))
        assert len(server.queries) == 7


async def test_records_in_any_order_make_the_chain(clock: LoopbackClock) -> None:
    lines = ("web.example.com. 60 IN A 192.0.2.1", "www.example.com. 300 IN CNAME web.example.com.")
    async with upstream(answers(*lines)) as server, forwarder(route(server)) as forward:
        asked = ask("www.example.com")
        outcome = await wait_outcome(forward, asked)
        assert shown(asked, outcome) == [lines[1], lines[0]]
        assert outcome.expires - outcome.stored == pytest.approx(60)


async def test_a_referral_is_no_answer(clock: LoopbackClock) -> None:
    async def lame(query: Query) -> None:
        wire = query.reply(authority=("com. 300 IN NS a.gtld-servers.net.",))
        await query.send(wire[:3] + bytes((wire[3] & 0x7F,)) + wire[4:])

    async with (
        upstream(lame) as first,
        upstream() as second,
        forwarder(route(first, second, policy=Policy.SEQUENTIAL)) as forward,
    ):
        assert (await wait_outcome(forward, ask("www.example.com"))).body.an == 1
        assert len(second.queries) == 1


async def test_mail_names_stay_readable(clock: LoopbackClock) -> None:
    lines = ("example.com. 300 IN MX 10 mail.example.com.", "example.com. 300 IN MX 20 mail.example.net.")
    async with upstream(answers(*lines)) as server, forwarder(route(server)) as forward:
        asked = ask("example.com", MX)
        assert shown(asked, await wait_outcome(forward, asked)) == list(lines)


async def test_what_cannot_be_joined_is_a_failure(monkeypatch: pytest.MonkeyPatch, clock: LoopbackClock) -> None:
    def refuse(*_: object) -> None:
        raise FormatError("no such body")

    monkeypatch.setattr("dnsserver.forward.join.rrsets", refuse)
    async with (
        upstream(answers("{} 300 IN CNAME www.example.net.")) as one,
        upstream(answers(RIGHT)) as other,
        forwarder(route(one, domain="corp.example"), route(other)) as forward,
    ):
        outcome = await wait_outcome(forward, ask("x.corp.example"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstream-format")


async def test_a_bug_in_one_answer_costs_the_others_nothing(clock: LoopbackClock) -> None:
    async with upstream(answers(RIGHT)) as server, forwarder(route(server)) as forward:

        def broken(outcome: Outcome) -> None:
            raise RuntimeError(outcome.reason.code)

        begin(forward, ask("www.example.com"), broken)
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR, "it waited for the same reply"
        assert (await wait_outcome(forward, ask("two.example.com"))).rcode == NOERROR


async def test_a_route_takes_no_more_questions_than_it_may_and_others_go_on(clock: LoopbackClock) -> None:
    async with (
        upstream(silent) as slow,
        upstream(answers(RIGHT)) as well,
        forwarder(route(slow, domain="slow.example", max_in_flight=2), route(well, domain="example")) as forward,
    ):
        slow.script_probes = silent
        ended: list[Outcome] = []
        for number in range(2):
            begin(forward, ask(f"a{number}.slow.example"), ended.append)
        outcome = await wait_outcome(forward, ask("a2.slow.example"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "forward-overload")
        assert (await wait_outcome(forward, ask("www.example"))).rcode == NOERROR
        assert not ended
        await trio.sleep(3)
        assert len(ended) == 2
        outcome = await wait_outcome(forward, ask("a3.slow.example"))  # there is room again
        assert outcome.reason.code == "upstream-timeout"


async def test_what_a_route_excepts_goes_where_it_would_without_it(clock: LoopbackClock) -> None:
    async with (
        upstream(answers("{} 300 IN A 192.0.2.1")) as corp,
        upstream(answers("{} 300 IN A 192.0.2.2")) as rest,
        forwarder(
            route(corp, domain="corp.example", excepted=(from_text("lab.corp.example"),)), route(rest)
        ) as forward,
    ):
        for name, address in {
            "www.corp.example": "192.0.2.1",
            "corp.example": "192.0.2.1",
            "lab.corp.example": "192.0.2.2",
            "a.lab.corp.example": "192.0.2.2",
            "slab.corp.example": "192.0.2.1",
            "www.example": "192.0.2.2",
        }.items():
            asked = ask(name)
            assert shown(asked, await wait_outcome(forward, asked)) == [f"{name}. 300 IN A {address}"]
