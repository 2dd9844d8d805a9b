"""What a client is told of upstreams: what each one did, how long we waited for it, and its own extended errors."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from dnsserver.forward import failure
from dnsserver.forward import outcome as o
from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.outcome import Outcome
from dnsserver.forward.settings import CacheSettings, Policy, UpstreamSpec
from dnsserver.forward.upstream import Upstream as Described
from dnsserver.wire.extended_errors import MAX_TEXT
from dnsserver.wire.message import NOERROR, NXDOMAIN, SERVFAIL
from dnsserver.zone.record import Reason
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    Query,
    Script,
    Upstream,
    answers,
    ask,
    forwarder,
    helpful,
    route,
    rrset,
    silent,
    upstream,
    wait_outcome,
)

SOA = "example.com. 60 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"
ONE, TWO, THREE = (Described(UpstreamSpec(f"192.0.2.{n}"), f"192.0.2.{n}", b"\0") for n in (1, 2, 3))
SERVED = failure.rejected(SERVFAIL)


# ---- the text


@pytest.mark.parametrize(
    ("failures", "waiting", "text"),
    [
        ((), ((ONE, 0.0, False),), "192.0.2.1:53: silent for 2000 ms"),
        ((), ((ONE, 1.5, False), (ONE, 0.5, False)), "192.0.2.1:53: silent for 1500 ms"),
        ((), ((ONE, 1.123, False),), "192.0.2.1:53: silent for 877 ms"),
        ((), ((ONE, 2.0, False),), "192.0.2.1:53: silent for 1 ms"),
        ((), ((ONE, 0.0, False), (TWO, 0.0, False)), "192.0.2.1:53, 192.0.2.2:53: silent for 2000 ms"),
        (((ONE, SERVED),), (), "192.0.2.1:53: SERVFAIL"),
        (((ONE, SERVED), (TWO, SERVED)), (), "192.0.2.1:53, 192.0.2.2:53: SERVFAIL"),
        (((ONE, SERVED), (ONE, o.UPSTREAM_REFUSED)), (), "192.0.2.1:53: REFUSED"),
        (
            ((ONE, SERVED),),
            ((TWO, 0.0, False),),
            "192.0.2.1:53: SERVFAIL; 192.0.2.2:53: silent for 2000 ms",
        ),
        (((ONE, SERVED),), ((ONE, 0.0, False),), "192.0.2.1:53: SERVFAIL, and silent for 2000 ms"),
        ((), (), "SERVFAIL"),
    ],
)
def test_each_upstream_is_told_once_with_what_it_did(
    failures: tuple[tuple[Described, Reason], ...], waiting: tuple[tuple[Described, float, bool], ...], text: str
) -> None:
    found = failure.verdict(SERVED, failures, waiting, 2.0)
    assert found.text == (f"upstream {text}" if failures or waiting else text)
    assert (found.code, found.ede) == (SERVED.code, SERVED.ede)


def test_what_a_stream_waits_for_is_told() -> None:
    stuck = Described(UpstreamSpec(HOST), HOST, b"\0")
    stuck.stuck(Reason("upstream-timeout", text=f"{HOST}:53: it does not accept TCP connections in time"))
    assert failure.verdict(SERVED, (), ((stuck, 0.0, True),), 2.0).text == (
        f"upstream {HOST}:53: it does not accept TCP connections in time"
    )
    assert failure.verdict(SERVED, (), ((stuck, 0.0, False),), 2.0).text.endswith("silent for 2000 ms")


def test_the_text_is_bounded_however_many_upstreams_there_are() -> None:
    many = [Described(UpstreamSpec(f"2001:db8::{n}"), f"2001:db8::{n}", b"\0") for n in range(50)]
    found = failure.verdict(SERVED, [(each, SERVED) for each in many], (), 0.0)
    assert len(found.text.encode()) <= failure.LONGEST_TEXT
    assert found.text.endswith("…")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ((6, "no key"), (6, "192.0.2.1:53: no key")),
        ((22, ""), (22, "192.0.2.1:53")),
        ((3, "old"), (3, "192.0.2.1:53: old")),
        ((49152, "private"), (49152, "192.0.2.1:53: private")),
        ((0, ""), (0, "192.0.2.1:53")),
        ((13, ""), (0, "192.0.2.1:53: Cached Error")),
        ((14, "starting"), (0, "192.0.2.1:53: Not Ready: starting")),
        ((18, ""), (0, "192.0.2.1:53: Prohibited")),
        ((20, "no recursion"), (0, "192.0.2.1:53: Not Authoritative: no recursion")),
        ((21, ""), (0, "192.0.2.1:53: Not Supported")),
    ],
)
def test_what_an_upstream_says_is_told_with_its_name(error: tuple[int, str], told: tuple[int, str]) -> None:
    assert failure.passed_on("192.0.2.1:53", (error,)) == (told,)


def test_three_errors_are_passed_on_at_most_and_their_texts_are_cut() -> None:
    told = failure.passed_on("192.0.2.1:53", tuple((code, "x" * MAX_TEXT) for code in range(6, 12)))
    assert [code for code, _ in told] == [6, 7, 8]
    assert {len(text.encode()) for _, text in told} == {MAX_TEXT}


# ---- through the forwarder


def tells(
    *errors: tuple[int, str], rcode: int = 0, answer: str = "", edns: bool = True, then: Script | None = None
) -> Script:
    """Return the script of an upstream that tells these errors, the first time, and then does something else."""
    told = 0

    async def script(query: Query) -> None:
        nonlocal told
        told += 1
        if then is not None and told > 1:
            await then(query)
            return
        message = dns.message.make_response(query.message, recursion_available=True)
        message.set_rcode(dns.rcode.Rcode(rcode))
        if answer:
            message.answer = [rrset(answer.format(query.name))]
        elif rcode in {NOERROR, NXDOMAIN}:
            message.authority = [rrset(SOA)]
        options = [
            dns.edns.GenericOption(dns.edns.OptionType.EDE, code.to_bytes(2) + text.encode()) for code, text in errors
        ]
        message.use_edns(0 if edns else -1, options=list(options))
        await query.send(message.to_wire())

    return script


def also(server: Upstream, outcome: Outcome) -> list[tuple[int, str]]:
    """Return what is told beside the reason, less the name of the upstream."""
    return [(code, text.removeprefix(f"{HOST}:{server.port}").removeprefix(": ")) for code, text in outcome.reason.also]


ANSWERS = {
    "an address": (tells((3, "old"), answer="{} 60 IN A 192.0.2.1"), NOERROR, [(3, "old")]),
    "an alias": (tells((4, "forged"), answer="{} 60 IN CNAME b.example.com."), NOERROR, [(4, "forged")]),
    "no data": (tells((9, "")), NOERROR, [(9, "")]),
    "no such name": (tells((17, "malware"), (15, "list"), rcode=NXDOMAIN), NXDOMAIN, [(17, "malware"), (15, "list")]),
    "a failure": (tells((6, "no key"), rcode=SERVFAIL), SERVFAIL, [(6, "no key")]),
    "a refusal": (tells((18, "not you"), rcode=5), SERVFAIL, [(0, "Prohibited: not you")]),
    "a text that nobody can read": (tells((6, "a\nb"), rcode=SERVFAIL), SERVFAIL, [(6, "")]),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_row_65_what_an_upstream_tells_is_kept_with_its_answer(kind: str, clock: LoopbackClock) -> None:
    del clock
    script, rcode, told = ANSWERS[kind]
    async with upstream(script) as server, forwarder(route(server)) as forward:
        for _ in range(2):  # asked, and from the cache
            outcome = await wait_outcome(forward, ask("a.example.com"))
            assert outcome.rcode == rcode
            assert also(server, outcome) == told
        assert len({query.name.lower() for query in server.queries}) == 1
        assert outcome.reason.code == ("failure-cached" if rcode == SERVFAIL else "forwarded")


async def test_only_who_is_used_is_listened_to(clock: LoopbackClock) -> None:
    del clock
    async with (
        upstream(tells((6, "no key"), rcode=SERVFAIL)) as bad,
        upstream(helpful) as good,
        forwarder(route(bad, good, policy=Policy.SEQUENTIAL)) as forward,
    ):
        outcome = await wait_outcome(forward, ask("a.example.com"))
    assert (outcome.rcode, outcome.reason) == (NOERROR, o.FORWARDED)


async def test_several_upstreams_that_fail_are_all_told(clock: LoopbackClock) -> None:
    del clock
    async with (
        upstream(tells((6, "no key"), rcode=SERVFAIL)) as first,
        upstream(answers(rcode=5)) as second,
        upstream(silent) as third,
        forwarder(route(first, second, third, policy=Policy.SEQUENTIAL)) as forward,
    ):
        outcome = await wait_outcome(forward, ask("a.example.com"))
        one, two, three = (f"{HOST}:{server.port}" for server in (first, second, third))
        assert outcome.reason.text.startswith(f"upstream {one}: SERVFAIL; {two}: REFUSED; {three}: silent for ")
        assert outcome.reason.code == "upstream-refused"
        assert also(first, outcome) == [(6, "no key")]


async def test_an_expired_answer_says_how_old_it_is_why_and_what_was_told_with_it(clock: LoopbackClock) -> None:
    script = tells((4, "forged"), answer="{} 60 IN A 192.0.2.1", then=answers(rcode=SERVFAIL))
    async with upstream(script) as server, forwarder(route(server)) as forward:
        await wait_outcome(forward, ask("a.example.com"))
        clock.jump(60 + 3700)
        for _ in range(2):  # as the question fails, and from what is remembered of that
            outcome = await wait_outcome(forward, ask("a.example.com"))
            assert (outcome.reason.code, outcome.reason.ede) == ("stale", 3)
            assert outcome.reason.text == f"expired more than 1 h ago; upstream {HOST}:{server.port}: SERVFAIL"
            assert also(server, outcome) == [(4, "forged")]


async def test_what_is_told_of_both_parts_of_a_chain_is_told(clock: LoopbackClock) -> None:
    del clock
    head = tells((4, "head"), answer="{} 60 IN CNAME there.example.net.")
    tail = tells((3, "tail"), answer="{} 60 IN A 192.0.2.1")
    async with (
        upstream(head) as one,
        upstream(tail) as two,
        forwarder(route(two), route(one, domain="corp.example")) as forward,
    ):
        outcome = await wait_outcome(forward, ask("www.corp.example"))
        assert outcome.rcode == NOERROR
        assert outcome.reason.also == ((4, f"{HOST}:{one.port}: head"), (3, f"{HOST}:{two.port}: tail"))


async def test_an_upstream_that_is_not_there_is_told_with_the_systems_words(clock: LoopbackClock) -> None:
    del clock
    async with forwarder(route(UpstreamSpec(HOST, 1))) as forward:
        outcome = await wait_outcome(forward, ask("a.example.com"))
        assert outcome.reason == Reason(
            "upstream-unreachable", o.UPSTREAM_UNREACHABLE.ede, f"upstream {HOST}:1: unreachable: Connection refused"
        )


async def test_what_is_told_takes_room_in_the_cache(clock: LoopbackClock) -> None:
    del clock

    async def size(script: Script) -> int:
        async with upstream(script) as server, forwarder(route(server), cache=CacheSettings()) as forward:
            await wait_outcome(forward, ask("a.example.com"))
            return _size(forward)

    plain = await size(tells(answer="{} 60 IN A 192.0.2.1"))
    assert await size(tells((4, "x" * 100), (3, "y" * 100), answer="{} 60 IN A 192.0.2.1")) >= plain + 600


def _size(forward: Forwarder) -> int:
    return forward.statistics().cache.size


async def test_a_failure_takes_no_room_once_it_counts_for_nothing(clock: LoopbackClock) -> None:
    async with upstream(answers(rcode=2)) as server, forwarder(route(server)) as forward:
        for number in range(10):
            await wait_outcome(forward, ask(f"n{number}.example.com"))
        assert forward.statistics().cache.failed == 10
        # A question that began while one counted still is to find it at its end.
        await trio.sleep(2 * CacheSettings().failure_ttl + route(server).deadline + 2)
        assert forward.statistics().cache.failed == 0
