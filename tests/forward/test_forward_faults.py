"""A bug in a timer, a probe, a reply or a renewal costs only that: it is counted, and the next answer is right."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from dnsserver.faults import Faults
from dnsserver.forward import answer_cache, entropy, forwarder, habits, health, lookup, probes
from dnsserver.forward.outcome import Outcome
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.settings import CacheSettings
from dnsserver.wire import upstream_reply
from dnsserver.wire.message import FORMERR, NOERROR, SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    Query,
    ask,
    begin,
    helpful,
    route,
    silent,
    upstream,
    wait_outcome,
)


async def header(query: Query) -> None:
    """Answer with an error that repeats no question."""
    await query.send(query.wire[:2] + bytes((0x81, 0x80 | FORMERR)) + bytes(8))


async def garbage(query: Query) -> None:
    """Send ten replies to other questions, and then over TCP the answer."""
    if query.protocol == "udp":
        for _ in range(10):
            await query.send(bytes((query.wire[0] ^ 1,)) + query.wire[1:])
    else:
        await helpful(query)


# Where the bug is, what the upstream does, and the place that counts it.
PLACES: dict[str, tuple[Any, str, Any, str]] = {
    "reading a reply": (upstream_reply, "read", helpful, "upstream-reply"),
    "a reply's health": (health.Health, "replied", helpful, "upstream-reply"),
    "what a reply shows": (habits.CaseHabit, "found", helpful, "upstream-reply"),
    "a look at what was learnt": (habits.EdnsHabit, "review", header, "upstream-probes"),
    "an error reply": (health.Health, "failed", header, "upstream-reply"),
    "keeping an answer": (answer_cache.AnswerCache, "put", helpful, "upstream-outcome"),
    "asking": (entropy.Entropy, "randomize_case", helpful, "upstream-query"),
    "a timer": (health.Health, "silent", silent, "upstream-timer"),
    "a probe": (probes.Probes, "_probe", silent, "upstream-timer"),
    "leaving UDP": (lookup.Lookup, "to_tcp", garbage, "upstream-reply"),
}


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("where", PLACES)
async def test_a_bug_costs_the_question_that_meets_it(
    where: str, monkeypatch: pytest.MonkeyPatch, clock: LoopbackClock
) -> None:
    owner, name, script, place = PLACES[where]
    faults = Faults()
    async with upstream() as server:
        made = forwarder.Forwarder([route(server)], CacheSettings(failure_ttl=0.0), runtime=Runtime(faults=faults))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            await trio.sleep(0.2)
            assert faults.counts == {}
            server.script = script
            with monkeypatch.context() as patched:
                patched.setattr(owner, name, broken)
                first = await wait_outcome(made, ask("www.example.com"))
                await trio.sleep(1.5)
            server.script = helpful
            assert first.rcode == SERVFAIL
            assert faults.counts[place] >= 1
            assert made.statistics().in_flight == 0
            for again in ("www.example.com", "other.example.com"):
                assert (await wait_outcome(made, ask(again))).rcode == NOERROR
            nursery.cancel_scope.cancel()


async def test_a_bug_in_a_renewal_costs_the_renewal(monkeypatch: pytest.MonkeyPatch, clock: LoopbackClock) -> None:
    faults = Faults()
    async with upstream() as server:
        made = forwarder.Forwarder([route(server)], CacheSettings(), runtime=Runtime(faults=faults))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            await trio.sleep(0.1)
            await wait_outcome(made, ask("www.example.com"))
            with monkeypatch.context() as patched:
                patched.setattr(answer_cache.AnswerCache, "renewal_due", broken)
                made.record_hits(ask("www.example.com"), 5)
            assert faults.counts == {"prefetch": 1}
            outcomes: list[Outcome] = []
            take: Callable[[Outcome], None] = outcomes.append
            begin(made, ask("www.example.com"), take)
            assert [outcome.rcode for outcome in outcomes] == [NOERROR]
            nursery.cancel_scope.cancel()
