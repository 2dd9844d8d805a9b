"""To look at what is known of an outside name leaves no trace, and an answer names the upstream that gave it."""

import msgspec
import pytest
import trio
import trio.testing

from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.outcome import Outcome, Question
from dnsserver.wire.message import SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import Script, answers, ask, forwarder, route, shown, silent, upstream, wait_outcome

ASKED = ask("www.example.com")
SOA = "example.com. 9 IN SOA ns.example.com. h.example.com. 1 2 3 4 9"
ALIAS = "{} 300 IN CNAME www.other.example."


def counted(forward: Forwarder) -> bytes:
    return msgspec.json.encode(forward.statistics())


def peeked(forward: Forwarder, asked: Question) -> Outcome | None:
    """Return what a peek gives, which must leave no trace."""
    before = counted(forward)
    outcome = forward.answer_now(asked, trio.current_time(), counts=False)
    assert counted(forward) == before
    return outcome


async def pass_time(clock: LoopbackClock, seconds: float) -> None:
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize(
    ("script", "seconds", "records"),
    [
        (answers("{} 10 IN A 192.0.2.1"), 0.0, ["www.example.com. 10 IN A 192.0.2.1"]),
        (answers(rcode=3, authority=(SOA,)), 0.0, [SOA]),
        (answers("{} 10 IN A 192.0.2.1"), 11.0, None),
        (silent, 0.0, []),
        (silent, 60.0, None),
    ],
)
async def test_a_peek_sees_what_a_client_would_get(
    script: Script, seconds: float, records: list[str] | None, clock: LoopbackClock
) -> None:
    async with upstream(script) as server, forwarder(route(server)) as forward:
        assert peeked(forward, ASKED) is None
        await wait_outcome(forward, ASKED)
        server.script_probes = None  # the upstream lives, so that it would be asked again
        await pass_time(clock, seconds)
        found = peeked(forward, ASKED)
        assert found == forward.answer_now(ASKED, trio.current_time())
        assert (None if found is None else shown(ASKED, found)) == records


async def test_a_peek_sees_a_stale_answer_as_well(clock: LoopbackClock) -> None:
    async with upstream(answers("{} 10 IN A 192.0.2.1")) as server, forwarder(route(server)) as forward:
        await wait_outcome(forward, ASKED)
        server.script = server.script_probes = silent
        await pass_time(clock, 11)
        await wait_outcome(forward, ASKED)
        found = peeked(forward, ASKED)
        assert found is not None
        assert (found.reason.code, found.upstream) == ("stale", f"127.0.0.1:{server.spec.port}")


async def test_an_answer_says_which_upstream_gave_it_and_a_failure_none(clock: LoopbackClock) -> None:
    async with (
        upstream(answers(rcode=2)) as broken,
        upstream(answers("{} 10 IN A 192.0.2.1")) as good,
        forwarder(route(broken, good), route(broken, domain="broken.example")) as forward,
    ):
        first = await wait_outcome(forward, ASKED)
        assert first.upstream == f"127.0.0.1:{good.spec.port}"
        kept = peeked(forward, ASKED)
        assert kept is not None
        assert kept.upstream == first.upstream
        failed = await wait_outcome(forward, ask("www.broken.example"))
        assert (failed.rcode, failed.upstream) == (SERVFAIL, "")


async def test_a_chain_over_two_routes_names_the_upstream_that_had_its_end(clock: LoopbackClock) -> None:
    async with (
        upstream(answers(ALIAS)) as first,
        upstream(answers("{} 10 IN A 192.0.2.1")) as second,
        forwarder(route(first, domain="example.com"), route(second)) as forward,
    ):
        outcome = await wait_outcome(forward, ASKED)
        assert outcome.upstream == f"127.0.0.1:{second.spec.port}"
