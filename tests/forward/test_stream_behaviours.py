"""What upstreams do over TCP and TLS, and behind a truncated UDP reply: one row each, and what the client gets."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trustme

from dnsserver.forward.settings import Policy, Transport, UpstreamSpec
from dnsserver.wire.message import NOERROR, SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    ask,
    forwarder,
    route,
    upstream,
    wait_outcome,
)
from tests.forward.streams import (
    Behaviour,
    Peer,
    StreamUpstream,
    answered,
    answers,
    ask_all,
    closes_after,
    framed,
    stream_upstream,
)

AUTHORITY = trustme.CA()
QUESTIONS = 20


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("dns.example").configure_cert(context)
    return context


@pytest.fixture(params=["udp", "tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """The transport that is configured; UDP goes on over TCP, since every UDP reply is truncated."""
    return Transport(request.param)


@pytest.fixture
def authorities(tmp_path: Path) -> str:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def spec(server: StreamUpstream, transport: Transport, authorities: str) -> UpstreamSpec:
    tls = transport is Transport.TLS
    name = "dns.example" if tls else None
    return UpstreamSpec(HOST, server.port, transport, name, authorities if tls else None)


def context(transport: Transport) -> ssl.SSLContext | None:
    return server_context() if transport is Transport.TLS else None


# ---- where an answer can be had


async def resets_after_an_answer(peer: Peer) -> None:
    if query := await peer.query():
        await peer.answer(query)
        await trio.sleep(0.01)
        peer.reset()


async def closes_within_an_answer(peer: Peer) -> None:
    for _ in range(3):
        if query := await peer.query():
            await peer.answer(query)
    if query := await peer.query():
        await peer.send(framed(answered(query))[:20])


async def leaves_all_but_the_first(peer: Peer) -> None:
    if query := await peer.query():
        await peer.answer(query)
    while await peer.query():
        pass


async def resets_once(peer: Peer) -> None:
    if peer.number == 1:
        peer.reset()
    else:
        await answers(peer)


def every_other(behave: Behaviour) -> Behaviour:
    """Return what resets the first, third, … connection when it is asked something, and does so on the others."""

    async def alternate(peer: Peer) -> None:
        if peer.number % 2 == 0:
            await behave(peer)
        elif await peer.query():
            peer.reset()

    return alternate


async def closes_twice(peer: Peer) -> None:
    if peer.number > 2:
        await answers(peer)


async def answers_in_another_order(peer: Peer) -> None:
    while query := await peer.query():
        queries = [query]
        with trio.move_on_after(0.05):
            while query := await peer.query():
                queries.append(query)
        for query in reversed(queries):
            await peer.answer(query)


async def answers_octet_by_octet(peer: Peer) -> None:
    while query := await peer.query():
        for octet in framed(answered(query)):
            await peer.send(bytes([octet]))


async def splits_the_length(peer: Peer) -> None:
    while query := await peer.query():
        reply = framed(answered(query))
        await peer.send(reply[:1])
        await trio.sleep(0.01)
        await peer.send(reply[1:])


async def half_closes(peer: Peer) -> None:
    queries = [await peer.query()]
    with trio.move_on_after(0.05):
        while query := await peer.query():
            queries.append(query)
    await peer.send(b"".join(framed(answered(query)) for query in queries if query))
    if isinstance(peer.stream, trio.SocketStream):
        await peer.stream.send_eof()
        await trio.sleep(1)


def sends_before(junk: Callable[[bytes], bytes]) -> Behaviour:
    """Return what sends a frame of junk before the right answer to each question."""

    async def behave(peer: Peer) -> None:
        while query := await peer.query():
            await peer.send(framed(junk(query)))
            await peer.answer(query)

    return behave


def other_question(query: bytes) -> bytes:
    reply = answered(query)
    return reply[:13] + b"x" + reply[14:]


def other_id(query: bytes) -> bytes:
    reply = answered(query)
    return bytes([reply[0] ^ 1]) + reply[1:]


def nothing(_: bytes) -> bytes:
    return b""


def short(query: bytes) -> bytes:
    return query[:5]


def query_again(query: bytes) -> bytes:
    return query


def bare(rcode: int) -> Callable[[bytes], bytes]:
    return lambda query: query[:2] + bytes([0x81, 0x80 | rcode]) + bytes(8)


GOOD: dict[str, Behaviour] = {
    "closes after each answer": closes_after(1),
    "closes after three answers": closes_after(3),
    "closes after seven answers": closes_after(7),
    "resets after each answer": resets_after_an_answer,
    "closes within an answer": closes_within_an_answer,
    "leaves all but the first": leaves_all_but_the_first,
    "resets the first connection": resets_once,
    "closes two connections without an answer": closes_twice,
    "resets every other connection": every_other(answers),
    "resets every other connection, closes others after an answer": every_other(closes_after(1)),
    "resets every other connection, closes others after three": every_other(closes_after(3)),
    "answers in another order": answers_in_another_order,
    "answers octet by octet": answers_octet_by_octet,
    "splits the length": splits_the_length,
    "half-closes behind its answers": half_closes,
    "sends empty frames": sends_before(nothing),
    "sends short frames": sends_before(short),
    "sends queries": sends_before(query_again),
    "answers another ID first": sends_before(other_id),
    "answers another question first": sends_before(other_question),
    "sends NOERROR without a question first": sends_before(bare(0)),
    "sends NXDOMAIN without a question first": sends_before(bare(3)),
}


@pytest.mark.parametrize("behaviour", GOOD)
async def test_what_can_be_answered_is(
    behaviour: str, transport: Transport, authorities: str, clock: LoopbackClock
) -> None:
    async with stream_upstream(GOOD[behaviour], tls=context(transport)) as server:
        async with forwarder(route(spec(server, transport, authorities))) as forward:
            for turn in "ab":  # the second time it is known how many questions a connection takes
                began = clock.current_time()
                outcomes = await ask_all(forward, *(f"{turn}{i}.example.com" for i in range(QUESTIONS)))
                assert [o.reason.text for o in outcomes.values() if o.rcode != NOERROR] == []
                assert clock.current_time() - began < 1.5
            (status,) = forward.statistics().upstreams
            assert status.up
        assert server.connections <= 4 * QUESTIONS


# ---- where none can be had


async def resets(peer: Peer) -> None:
    peer.reset()


async def closes(peer: Peer) -> None:
    """Close at once."""


async def closes_when_asked(peer: Peer) -> None:
    await peer.query()


def sends_only(junk: Callable[[bytes], bytes]) -> Behaviour:
    async def behave(peer: Peer) -> None:
        while query := await peer.query():
            await peer.send(framed(junk(query)))

    return behave


async def promises_more(peer: Peer) -> None:
    while query := await peer.query():
        await peer.send(b"\xff\xff" + answered(query))


async def is_silent(peer: Peer) -> None:
    while await peer.query():
        pass


def fails(rcode: int) -> Callable[[bytes], bytes]:
    return lambda query: answered(query, rcode=rcode)


# What it does, the reason's code, words of its text, and within how many seconds.
BAD: dict[str, tuple[Behaviour, str, str, float]] = {
    "resets": (resets, "upstream-closed", "closes connections without an answer", 0.5),
    "closes at once": (closes, "upstream-closed", "closes connections without an answer", 0.5),
    "closes when asked": (closes_when_asked, "upstream-closed", "closes connections without an answer", 0.5),
    "another ID": (sends_only(other_id), "upstream-format", "sends what is no answer", 1.5),
    "empty frames": (sends_only(nothing), "upstream-format", "sends what is no answer", 1.5),
    "short frames": (sends_only(short), "upstream-format", "cannot be read", 1.5),
    "another question": (sends_only(other_question), "upstream-format", "cannot be read", 1.5),
    "queries": (sends_only(query_again), "upstream-format", "cannot be read", 1.5),
    "NOERROR without a question": (sends_only(bare(0)), "upstream-format", "cannot be read", 1.5),
    "SERVFAIL without a question": (sends_only(bare(2)), "upstream-servfail", "SERVFAIL", 0.5),
    "REFUSED without a question": (sends_only(bare(5)), "upstream-refused", "REFUSED", 0.5),
    "SERVFAIL": (sends_only(fails(2)), "upstream-servfail", "SERVFAIL", 0.5),
    "REFUSED": (sends_only(fails(5)), "upstream-refused", "REFUSED", 0.5),
    "more promised than sent": (promises_more, "upstream-timeout", "", 2.05),
    "silent": (is_silent, "upstream-timeout", "", 2.05),
}


@pytest.mark.parametrize("behaviour", BAD)
async def test_what_cannot_be_answered_fails_in_time(
    behaviour: str, transport: Transport, authorities: str, clock: LoopbackClock
) -> None:
    behave, code, words, within = BAD[behaviour]
    async with stream_upstream(behave, tls=context(transport)) as server:
        async with forwarder(route(spec(server, transport, authorities))) as forward:
            began = clock.current_time()
            outcomes = await ask_all(forward, *(f"n{i}.example.com" for i in range(QUESTIONS)))
            assert clock.current_time() - began < within
            if transport is Transport.UDP:
                assert forward.statistics().upstreams[0].up
        assert {(o.rcode, o.reason.code) for o in outcomes.values()} == {(SERVFAIL, code)}
        assert all(words in outcome.reason.text for outcome in outcomes.values())
        assert server.connections <= 4 * QUESTIONS


@pytest.mark.parametrize("behaviour", BAD)
async def test_another_upstream_is_asked_instead(
    behaviour: str, transport: Transport, authorities: str, clock: LoopbackClock
) -> None:
    async with stream_upstream(BAD[behaviour][0], tls=context(transport)) as server, upstream() as other:
        specs = spec(server, transport, authorities), other.spec
        async with forwarder(route(*specs, policy=Policy.SEQUENTIAL)) as forward:
            outcomes = await ask_all(forward, *(f"n{i}.example.com" for i in range(QUESTIONS)))
    assert {outcome.rcode for outcome in outcomes.values()} == {NOERROR}


async def test_one_odd_name_costs_the_others_nothing(
    transport: Transport, authorities: str, clock: LoopbackClock
) -> None:
    async def behave(peer: Peer) -> None:
        while query := await peer.query():
            if b"odd" in query.lower():
                return
            await peer.answer(query)

    async with (
        stream_upstream(behave, tls=context(transport)) as server,
        forwarder(route(spec(server, transport, authorities))) as forward,
    ):
        outcomes = await ask_all(forward, "odd.example.com", *(f"n{i}.example.com" for i in range(QUESTIONS)))
        assert forward.statistics().upstreams[0].up
    assert outcomes.pop("odd.example.com").reason.code == "upstream-closed"
    assert {outcome.rcode for outcome in outcomes.values()} == {NOERROR}


async def test_many_odd_names_take_no_upstream_down(authorities: str, clock: LoopbackClock) -> None:
    """Connections that are closed in place of an answer are like silence: a probe has to meet the same."""

    async def behave(peer: Peer) -> None:
        while query := await peer.query():
            if b"odd" in query.lower():
                return
            await peer.answer(query)

    for transport in (Transport.TCP, Transport.TLS):
        async with (
            stream_upstream(behave, tls=context(transport)) as server,
            forwarder(route(spec(server, transport, authorities))) as forward,
        ):
            odd = [f"odd{i}.example.com" for i in range(QUESTIONS)]
            outcomes = await ask_all(forward, *odd, *(f"n{i}.example.com" for i in range(QUESTIONS)))
            for name in odd:
                assert outcomes.pop(name).reason.code == "upstream-closed"
            assert {outcome.rcode for outcome in outcomes.values()} == {NOERROR}
            assert (await wait_outcome(forward, ask("odd.example.com"))).rcode == SERVFAIL
            assert forward.statistics().upstreams[0].up


async def test_a_refused_connection_says_nothing_about_udp(clock: LoopbackClock) -> None:
    async with (
        stream_upstream(None, truncates=lambda query: b"big" in query.lower()) as server,
        forwarder(route(UpstreamSpec(HOST, server.port))) as forward,
    ):
        for i in range(5):
            outcome = await wait_outcome(forward, ask(f"big{i}.example.com"))
            assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstream-unreachable")
            assert "no TCP connection: Connection refused" in outcome.reason.text
            assert (await wait_outcome(forward, ask(f"small{i}.example.com"))).rcode == NOERROR
        assert forward.statistics().upstreams[0].up
        assert clock.current_time() < 0.5
