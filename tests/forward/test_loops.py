"""Rows 54 and 28 of the protocol table: a loop is found, reported and ended; no packet of a client counts as one."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from dnsserver import metrics
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.nonce import Nonces
from dnsserver.forward.outcome import Outcome
from dnsserver.forward.settings import CacheSettings, ForwardSettings, Policy
from dnsserver.wire.message import HINFO, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, TXT
from dnsserver.wire.name import ROOT, from_text
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    Query,
    Script,
    Upstream,
    answers,
    ask,
    begin,
    events,
    helpful,
    route,
    silent,
    upstream,
    wait_outcome,
)
from tests.logs import capture_logs

SECRET = bytes(32)
TAKEN_OUT = "upstream forwards to this server, taken out"


@asynccontextmanager
async def forwarder(*settings: ForwardSettings, secret: bytes = SECRET) -> AsyncIterator[Forwarder]:
    """Run a forwarder that knows the probes of others with this secret."""
    made = Forwarder(settings, CacheSettings(), secret=secret)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield made
        nursery.cancel_scope.cancel()


def back_to(forward: Forwarder) -> Script:
    """Return the script of a server that forwards all it is asked to this server, under an ID and a case of its own."""

    async def script(query: Query) -> None:
        send, receive = trio.open_memory_channel[Outcome](1)
        begin(
            forward, ask(query.name, query.type), send.send_nowait, b"\0\0" + query.wire[2:12] + query.wire[12:].lower()
        )
        outcome = await receive.receive()
        await query.send(query.reply(rcode=outcome.rcode))

    return script


def loop(server: Upstream, forward: Forwarder) -> None:
    """Have the upstream forward everything to `forward`."""
    server.script = server.script_probes = back_to(forward)


def first(forward: Forwarder) -> metrics.Upstream:
    return forward.statistics().upstreams[0]


# ---- loops


async def test_row_54_an_upstream_that_forwards_back_from_the_start_is_found_by_the_first_probe(
    clock: LoopbackClock,
) -> None:
    async with upstream() as looping, upstream() as good:
        made: list[Forwarder] = []

        async def probe(query: Query) -> None:
            await back_to(made[0])(query)

        looping.script_probes = probe
        made.append(Forwarder([route(looping, good, policy=Policy.SEQUENTIAL)], CacheSettings()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made[0].run)
            await trio.sleep(0.1)
            assert [server.looping for server in made[0].statistics().upstreams] == [True, False]
            assert (await wait_outcome(made[0], ask("www.example.com"))).rcode == NOERROR
            assert not looping.queries
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("other", [True, False])
async def test_row_54_a_loop_that_begins_later_is_found_by_the_first_name(clock: LoopbackClock, other: bool) -> None:
    async with upstream() as looping, upstream() as good:
        servers = (looping, good) if other else (looping,)
        async with forwarder(route(*servers, policy=Policy.SEQUENTIAL)) as forward:
            assert (await wait_outcome(forward, ask("before.example.com"))).rcode == NOERROR
            await trio.sleep(11)
            loop(looping, forward)
            with events() as logged:
                outcome = await wait_outcome(forward, ask("www.example.com"))
                await trio.sleep(0.5)
            assert logged == [TAKEN_OUT]
            assert first(forward).looping
            assert outcome.rcode == (NOERROR if other else SERVFAIL)
            assert outcome.reason.code == ("forwarded" if other else "loop")
            began = trio.current_time()
            again = await wait_outcome(forward, ask("b.example.com"))
            assert again.reason.code == ("forwarded" if other else "loop")
            assert trio.current_time() - began < 0.05


async def test_row_54_a_query_of_ours_that_comes_back_as_it_was_has_the_upstream_probed_at_once(
    clock: LoopbackClock,
) -> None:
    async with upstream() as looping, forwarder(route(looping)) as forward:
        loop(looping, forward)

        async def unaltered(query: Query) -> None:
            begin(forward, ask(query.name), lambda _: None, query.wire[:-1] + b"\1")

        looping.script = unaltered
        began = trio.current_time()
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "loop")
        assert trio.current_time() - began < 0.05
        assert forward.statistics().loops == 1


async def test_row_54_two_servers_that_forward_to_each_other_both_find_it(clock: LoopbackClock) -> None:
    async with (
        upstream() as left,
        upstream() as right,
        forwarder(route(left), secret=b"left") as one,
        forwarder(route(right), secret=b"right") as two,
    ):
        loop(left, two)  # the one's upstream is the other server
        loop(right, one)
        await wait_outcome(one, ask("www.example.com"))
        await wait_outcome(two, ask("www.example.net"))
        await trio.sleep(3)
        assert first(one).looping
        assert first(two).looping
        began = trio.current_time()
        assert (await wait_outcome(one, ask("b.example.com"))).rcode == SERVFAIL
        assert (await wait_outcome(two, ask("b.example.net"))).rcode == SERVFAIL
        assert trio.current_time() - began < 0.1


async def test_row_54_a_probe_that_comes_back_to_another_process_is_told_to_its_sender(clock: LoopbackClock) -> None:
    async with (
        upstream() as looping,
        forwarder(route(looping)) as sender,
        forwarder() as sibling,
    ):
        loop(looping, sibling)
        await wait_outcome(sender, ask("www.example.com"))
        await trio.sleep(0.5)
        (name,) = set(sibling.take_strangers())
        assert sibling.take_strangers() == []
        assert sibling.statistics().loops >= 1
        assert not first(sender).looping
        with events() as logged:
            sender.probe_seen(name)
            sender.probe_seen(name)
        assert logged == [TAKEN_OUT]
        assert first(sender).looping


async def test_row_54_a_question_under_way_does_not_go_to_an_upstream_that_loops_since(clock: LoopbackClock) -> None:
    async with upstream() as slow, upstream() as looping:
        slow.script_probes = looping.script_probes = silent

        async def fail_late(query: Query) -> None:
            await trio.sleep(0.05)
            await query.send(query.reply(rcode=SERVFAIL))

        slow.script = fail_late
        async with forwarder(route(slow, looping, policy=Policy.SEQUENTIAL)) as forward:
            outcomes: list[Outcome] = []
            begin(forward, ask("www.example.com"), outcomes.append)
            await trio.sleep(0.02)
            forward.probe_seen(from_text(looping.probes[-1].name).lower())
            await trio.sleep(0.1)
            assert [outcome.reason.code for outcome in outcomes] == ["loop"]
            assert not looping.queries


# ---- the way back


PROPER = {"no such name": answers(rcode=NXDOMAIN), "no data": answers(), "an answer": answers('{} 60 IN HINFO "a" "b"')}


@pytest.mark.parametrize("kind", PROPER)
async def test_row_54_it_is_used_again_as_soon_as_a_probe_is_answered(clock: LoopbackClock, kind: str) -> None:
    async with upstream() as looping, forwarder(route(looping)) as forward:
        loop(looping, forward)
        await wait_outcome(forward, ask("www.example.com"))
        await trio.sleep(60)
        assert first(forward).looping
        looping.script, looping.script_probes = helpful, PROPER[kind]
        with events() as logged:
            await trio.sleep(2.5)
        assert logged == ["upstream does not loop any more"]
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
async def test_row_54_an_error_may_be_another_server_that_has_left_the_loop(clock: LoopbackClock, rcode: int) -> None:
    """So the server does not believe such an error for `loop_retry` seconds."""
    async with upstream() as looping, forwarder(route(looping)) as forward:
        loop(looping, forward)
        await wait_outcome(forward, ask("www.example.com"))
        looping.script, looping.script_probes = helpful, answers(rcode=rcode)
        await trio.sleep(59)
        assert first(forward).looping
        await trio.sleep(12)
        assert not first(forward).looping
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR


async def test_row_54_probes_of_an_upstream_that_loops_on_come_seldom(clock: LoopbackClock) -> None:
    async with upstream() as looping, forwarder(route(looping)) as forward:
        loop(looping, forward)
        await wait_outcome(forward, ask("www.example.com"))
        with events() as logged:
            await trio.sleep(60)
        assert len(looping.probes) < 35
        assert logged == []


# ---- what proves nothing


async def test_row_28_guessed_ids_take_nothing_out_and_cause_few_probes(clock: LoopbackClock) -> None:
    async with upstream(silent) as server, forwarder(route(server)) as forward:
        asked = ask("123.456")  # no letter, so there is no case to guess
        outcomes: list[Outcome] = []
        for _ in range(5):
            begin(forward, asked, outcomes.append)
            await trio.sleep(0.05)
            (wire, *_) = (query.wire for query in reversed(server.queries))
            for guess in range(0, 65_536, 97):
                begin(forward, asked, outcomes.append, guess.to_bytes(2) + wire[2:])
            begin(forward, asked, outcomes.append, wire)
            await trio.sleep(0.25)
        assert not first(forward).looping
        assert first(forward).up
        assert forward.statistics().loops == 0
        assert 1 <= len(server.probes) <= 5
        server.script = helpful
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR


async def test_row_28_a_probe_that_is_over_proves_nothing(clock: LoopbackClock) -> None:
    async with upstream() as server, forwarder(route(server)) as forward:
        name = server.probes[0].name
        with events() as logged:
            outcome = await wait_outcome(forward, ask(name, HINFO))
            forward.probe_seen(from_text(name).lower())
        assert (outcome.rcode, outcome.reason.code) == (REFUSED, "loop")
        assert not first(forward).looping
        assert logged == []


async def test_row_28_the_name_of_a_probe_is_in_no_log_and_no_metric(clock: LoopbackClock) -> None:
    async with upstream() as server:
        server.script_probes = silent
        with capture_logs() as logs:
            async with forwarder(route(server)) as forward:
                await wait_outcome(forward, ask("www.example.com"))
                await trio.sleep(1)
                shown = (repr(logs) + repr(forward.statistics())).lower()
        labels = [label for query in server.probes for label in query.name.lower().split(".") if label]
        assert labels
        assert not any(label in shown for label in labels)


@pytest.mark.parametrize("type_", [HINFO, TXT])
async def test_row_28_names_like_a_probe_are_asked_like_any_other(clock: LoopbackClock, type_: int) -> None:
    async with upstream(answers(rcode=NXDOMAIN)) as server, forwarder(route(server)) as forward:
        asked = len(server.probes)
        forged = Nonces(bytes(31) + b"\1", Entropy()).make() + ROOT
        outcome = await wait_outcome(forward, ask(text(forged), type_))
        assert outcome.rcode == NXDOMAIN
        assert len(server.queries) + len(server.probes) > asked
        assert forward.take_strangers() == []


def text(name: bytes) -> str:
    return f"{name[1:27].decode()}.{name[28:54].decode()}."


def test_nonces_are_known_in_every_process_and_cannot_be_made_outside() -> None:
    mine, sibling, stranger = Nonces(SECRET, Entropy()), Nonces(SECRET, Entropy()), Nonces(b"other", Entropy())
    labels = [mine.make() for _ in range(100)]
    assert len(set(labels)) == 100
    for label in labels:
        name = label + from_text("corp.example")
        assert sibling.ours(name)
        assert not stranger.ours(name)
        for position in (1, 20, 30, len(label) - 2):
            other = b"0" if name[position : position + 1] != b"0" else b"1"
            assert not mine.ours(name[:position] + other + name[position + 1 :])


@pytest.mark.parametrize(
    "name",
    [
        ROOT,
        from_text("www.example.com"),
        b"\x1a" + b"a" * 26 + ROOT,
        b"\x1a" + b"a" * 26 + b"\x1a" + b"a" * 26 + ROOT,
        b"\x1a" + b"z" * 26 + b"\x1a" + b"\xff" * 26 + ROOT,
        b"\x1a" + base64.b32hexencode(bytes(16)).lower()[:26] + b"\x1a" + b"0" * 26 + ROOT,
    ],
)
def test_other_names_are_no_nonces(name: bytes) -> None:
    assert not Nonces(SECRET, Entropy()).ours(name)


def test_a_nonce_has_128_random_bits() -> None:
    blocks: list[int] = []

    def source(count: int) -> bytes:
        blocks.append(count)
        return bytes(count)

    entropy = Entropy(source, block=16)
    Nonces(SECRET, entropy).make()
    Nonces(SECRET, entropy).make()
    assert blocks == [16, 16]
