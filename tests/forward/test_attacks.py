"""Hostile upstreams: the most work that one question can cause, for any reply (docs/protocol.md, attacks)."""

from collections import Counter
from collections.abc import Callable

import pytest
import trio

from dnsserver.wire import message as m
from tests.clock import LoopbackClock
from tests.forward.scripted import Query, answers, ask, forwarder, helpful, route, shown, upstream, wait_outcome

QUESTIONS = 20
MOST = 4  # queries of one question: with and without EDNS, over UDP and over TCP


def _servers(count: int, owner: str = "example.com.", pattern: str = "ns{}.victim.example.") -> list[str]:
    return [f"{owner} 300 IN NS {pattern.format(number)}" for number in range(count)]


REFERRALS = {
    "NXNSAttack: very many servers without addresses": (_servers(500), []),
    "NRDelegation: many servers that do not answer": (
        _servers(200),
        [f"ns{number}.victim.example. 300 IN A 192.0.2.{number % 250}" for number in range(200)],
    ),
    "TsuNAME: domains that lead to each other": (_servers(1, pattern="ns.b.example.com."), []),
    "to itself": (_servers(1, pattern="q0.example.com."), ["q0.example.com. 300 IN A 127.0.0.1"]),
    "upwards": (_servers(13, owner=".", pattern="{}.root-servers.example."), []),
}


@pytest.mark.parametrize("resolves", [True, False])
@pytest.mark.parametrize("name", REFERRALS)
async def test_a_referral_is_never_followed(name: str, resolves: bool, clock: LoopbackClock) -> None:
    """The server never looks up or asks a server that a referral names, and a question costs only a few queries."""
    authority, additional = REFERRALS[name]

    async def refer(query: Query) -> None:
        wire = query.reply(authority=tuple(authority), additional=tuple(additional))
        await query.send(wire if resolves else wire[:3] + bytes((wire[3] & 0x7F,)) + wire[4:])

    async with upstream(refer) as first, forwarder(route(first)) as forward:
        for number in range(QUESTIONS):
            outcome = await wait_outcome(forward, ask(f"q{number}.example.com"))
            assert outcome.rcode == m.SERVFAIL or resolves
            assert not outcome.body.data
            assert outcome.expires <= outcome.stored + 1 or outcome.rcode == m.SERVFAIL, "it is kept"
    asked = Counter(query.name.lower() for query in first.queries)
    assert set(asked) <= {f"q{number}.example.com." for number in range(QUESTIONS)}
    assert max(asked.values()) <= MOST
    del clock


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("count", [1, 3])
async def test_errors_cost_a_few_queries_each_however_many_upstreams_there_are(
    rcode: int, count: int, clock: LoopbackClock
) -> None:
    script = answers(rcode=rcode)
    async with upstream(script) as one, upstream(script) as two, upstream(script) as three:
        servers = (one, two, three)[:count]
        async with forwarder(route(*servers)) as forward:
            begun = trio.current_time()
            for number in range(QUESTIONS):
                assert (await wait_outcome(forward, ask(f"q{number}.example.com"))).rcode != m.NOERROR
            assert trio.current_time() - begun < QUESTIONS
    asked = Counter(query.name.lower() for server in servers for query in server.queries)
    assert max(asked.values()) <= MOST * count
    del clock


FLOODS: dict[str, Callable[[bytes], list[bytes]]] = {
    "the same reply again and again": lambda right: [right] * 200,
    "errors before and behind it": lambda right: [_with(right, rcode) for rcode in range(1, 12)] + [right] * 50,
    "replies to other questions": lambda right: [right.replace(b"example", b"exomple")] * 5 + [right] * 100,
    "octets that are no message": lambda right: [right[:length] for length in range(len(right))] + [right],
}


def _with(wire: bytes, rcode: int) -> bytes:
    return (int.from_bytes(wire[:2]) ^ 1).to_bytes(2) + wire[2:3] + bytes((wire[3] & 0xF0 | rcode,)) + wire[4:]


@pytest.mark.parametrize("name", FLOODS)
async def test_more_replies_than_questions_change_nothing(name: str, clock: LoopbackClock) -> None:
    """A right reply among wrong ones is used once, and nothing of the wrong ones is kept."""

    async def flood(query: Query) -> None:
        right = query.reply(f"{query.name} 300 IN A 192.0.2.1")
        for wire in FLOODS[name](right) if query.protocol == "udp" else [right]:
            await query.send(wire)

    async with upstream(flood) as first, forwarder(route(first)) as forward:
        for number in range(10):
            asked = ask(f"q{number}.example.com")
            outcome = await wait_outcome(forward, asked)
            assert shown(asked, outcome) == [f"q{number}.example.com. 300 IN A 192.0.2.1"]
        assert forward.statistics().cache.entries == 10
    assert len(first.queries) <= MOST * 10
    del clock


async def test_pulses_are_answered_as_they_are_asked(clock: LoopbackClock) -> None:
    """DNSBomb: the server does not collect late answers: each client gets its one reply by the deadline."""
    late: list[float] = []

    async def held(query: Query) -> None:
        await trio.sleep(1.9 - trio.current_time() % 1.9)  # all at the same moment
        await helpful(query)

    async def one(name: str) -> None:
        begun = trio.current_time()
        outcome = await wait_outcome(forward, ask(name))
        late.append(trio.current_time() - begun)
        assert len(outcome.body.data) < 100

    async with upstream(held) as first, forwarder(route(first)) as forward, trio.open_nursery() as nursery:
        for number in range(10 * QUESTIONS):
            nursery.start_soon(one, f"q{number % 5}.example.com")
    asked = Counter(query.name.lower() for query in first.queries)
    assert len(asked) == 5
    assert max(asked.values()) <= 2 * MOST, "equal questions under way are one"
    assert max(late) <= 2.1
    del clock
