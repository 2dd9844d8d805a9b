"""What upstreams do, over UDP, TCP and TLS, and what the client gets: rows 57 to 61 of the protocol table and more.

One line of `ROWS` is one behaviour; its script says what is special, and answers like any upstream otherwise. Nowhere
does a client wait for the deadline where an answer could be had.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import NamedTuple

import pytest
import trio
import trustme

from dnsserver.forward.outcome import Outcome
from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.wire.message import FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL, rcode_name
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    Query,
    ask,
    forwarder,
    route,
    upstream,
    wait_outcome,
)

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
AUTHORITY = trustme.CA()
SOA = "example.com. 300 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"
DEADLINE = 2.0
AT_ONCE = 0.1

# What an upstream does with a query, the protocol it is configured with, and the number of the query.
Script = Callable[[Query, str, int], Awaitable[None]]


class Gets(NamedTuple):
    """What the client gets, and after how many seconds at most; `sent` is how many queries that takes at most."""

    what: str
    within: float = AT_ONCE
    sent: int = 3


ANSWER = Gets("192.0.2.1")
ANSWER_1 = ANSWER._replace(sent=1)
ANSWER_2 = ANSWER._replace(sent=2)
FAILS = Gets("SERVFAIL")
FAILS_1 = FAILS._replace(sent=1)
GARBLED = Gets("SERVFAIL", 0.6)  # the right reply might have followed
NO_NAME = Gets("NXDOMAIN")
NO_DATA = Gets("NODATA")


def later(gets: Gets, seconds: float) -> Gets:
    """Return what the client gets with this much time for it."""
    return gets._replace(within=seconds)


class Row(NamedTuple):
    """One behaviour, and what comes of it over each transport; `do` is asked with DO, `hopeless` has no answer.

    `down` upstreams may be found dead, `prompt` ones answer each query.
    """

    script: Script
    udp: Gets
    tcp: Gets
    tls: Gets
    do: bool = False
    hopeless: bool = False
    down: bool = False
    prompt: bool = False


def everywhere(script: Script, gets: Gets, *, do: bool = False) -> Row:
    return Row(script, gets, gets, gets, do)


def streams(script: Script, udp: Gets, stream: Gets, *, do: bool = False) -> Row:
    """Return a row of something that differs between packets and streams."""
    return Row(script, udp, stream, stream, do)


# ---- what upstreams send


def good(query: Query) -> bytes:
    return query.reply(f"{query.name} 300 IN A 192.0.2.1")


def header(query: Query, rcode: int, *, flags: int = 0, counts: bytes = bytes(8)) -> bytes:
    """Return a reply that is a header and no more."""
    return query.wire[:2] + bytes((0x81 | flags, 0x80 | rcode)) + counts


async def answer(query: Query, _: str, __: int) -> None:
    await query.send(good(query))


def to_edns(reply: Callable[[Query], bytes | None]) -> Script:
    """Return the script that says this to EDNS, or nothing."""

    async def script(query: Query, _: str, __: int) -> None:
        wire = reply(query) if query.message.edns >= 0 else good(query)
        if wire is not None:
            await query.send(wire)

    return script


def always(*replies: Callable[[Query], bytes]) -> Script:
    async def script(query: Query, _: str, __: int) -> None:
        for reply in replies:
            await query.send(reply(query))

    return script


def here(reply: Callable[[Query], bytes | None]) -> Script:
    """Return the script that says this, or nothing, over the transport that is configured, and answers over others."""

    async def script(query: Query, configured: str, _: int) -> None:
        wire = reply(query) if query.protocol == configured else good(query)
        if wire is not None:
            await query.send(wire)

    return script


async def loses_the_first(query: Query, _: str, number: int) -> None:
    if number > 1:
        await query.send(good(query))


async def closes_on_the_first(query: Query, _: str, number: int) -> None:
    """Close a connection in place of an answer, once."""
    await (query.send(good(query)) if number > 1 else query.close())


def rcode(code: int) -> Callable[[Query], bytes]:
    return lambda query: query.reply(rcode=code)


def bare(code: int, flags: int = 0) -> Callable[[Query], bytes]:
    return lambda query: header(query, code, flags=flags)


def with_opt(code: int, extended: int = 0) -> Callable[[Query], bytes]:
    """An error with an OPT and without a question."""
    opt = b"\0\0\x29\x04\xd0" + bytes((extended,)) + bytes(5)
    return lambda query: header(query, code, counts=bytes(7) + b"\1") + opt


def copied_counts(query: Query) -> bytes:
    """A header whose counts are the query's, and nothing of what they promise."""
    return header(query, FORMERR, counts=query.wire[4:12])


def bad_version(query: Query) -> bytes:
    reply = query.reply()
    return reply[:-6] + b"\1" + reply[-5:]  # the OPT's upper octet of the RCODE


def cut(octets: int) -> Callable[[Query], bytes]:
    return lambda query: good(query)[:-octets]


def cut_in_question(query: Query) -> bytes:
    return good(query)[:20]


def too_long(query: Query) -> bytes:
    return query.reply(*(f'{query.name} 300 IN TXT "{i:04d}{"x" * 200}"' for i in range(30)))


def echo(query: Query) -> bytes:
    return query.wire


def other_id(query: Query) -> bytes:
    return bytes((query.wire[0] ^ 1,)) + good(query)[1:]


def other_name(query: Query) -> bytes:
    return good(query).replace(query.wire[12:16], bytes((query.wire[12],)) + b"zzz", 1)


def lower(query: Query) -> bytes:
    return query.wire[:2] + good(query)[2:].lower()


def referral(query: Query) -> bytes:
    wire = query.reply(authority=("com. 300 IN NS a.gtld-servers.net.",))
    return wire[:3] + bytes((wire[3] & 0x7F,)) + wire[4:]


def chain(length: int) -> Callable[[Query], bytes]:
    def reply(query: Query) -> bytes:
        names = [query.name, *(f"c{i}.example.com." for i in range(length))]
        links = [f"{a} 300 IN CNAME {b}" for a, b in pairwise(names)]
        return query.reply(*links, f"{names[-1]} 300 IN A 192.0.2.1")

    return reply


def comparing(missing: Callable[[Query], bytes]) -> Script:
    """Return the script of an upstream that keeps the case of names and compares them with it."""

    async def script(query: Query, _: str, __: int) -> None:
        await query.send(good(query) if query.name == query.name.lower() else missing(query))

    return script


def absent(query: Query) -> bytes:
    return query.reply(rcode=NXDOMAIN, authority=(SOA,))


def empty(query: Query) -> bytes:
    return query.reply(authority=(SOA,))


def cut_off(query: Query) -> bytes:
    """A reply that has to be fetched over TCP."""
    return query.reply(truncated=True) if query.protocol == "udp" else good(query)


async def truncated_and_closed(query: Query, _: str, __: int) -> None:
    await (query.send(query.reply(truncated=True)) if query.protocol == "udp" else query.close())


async def spoils_the_first_and_closes(query: Query, _: str, number: int) -> None:
    """Cut one reply over UDP, and have nothing to say over TCP."""
    if query.protocol != "udp":
        await query.close()
    else:
        await query.send(good(query)[: -13 if number == 1 else None])


async def cut_and_mended(query: Query, _: str, __: int) -> None:
    """Cut a reply, and send it whole a moment later."""
    await query.send(good(query)[:-13])
    await trio.sleep(0.02)
    await query.send(good(query))


async def silent_over_udp(query: Query, _: str, __: int) -> None:
    if query.protocol != "udp":
        await query.send(good(query))


async def never(query: Query, _: str, __: int) -> None:
    """Say nothing."""


async def slow(query: Query, _: str, __: int) -> None:
    await trio.sleep(0.3)
    await query.send(good(query))


async def closing(query: Query, _: str, __: int) -> None:
    await query.send(good(query))
    await query.close()


EDNS = {
    "FORMERR": rcode(FORMERR),
    "NOTIMP": rcode(NOTIMP),
    "BADVERS": bad_version,
    "a header, FORMERR": bare(FORMERR),
    "a header, SERVFAIL": bare(SERVFAIL),
    "a header, NOTIMP": bare(NOTIMP),
    "a header and its OPT, FORMERR": with_opt(FORMERR),
    "a header and its OPT, BADVERS": with_opt(NOERROR, 1),
    "a header with the query's counts": copied_counts,
}
PACKETS = {  # what a stream cannot mend either, but TCP does for UDP
    "cut in the question": cut_in_question,
    "cut to ten octets": lambda query: good(query)[:10],
    "five octets of garbage": lambda query: query.wire[:2] + b"abc",
    "the query itself": echo,
    "another question": other_name,
    "a header, NOERROR": bare(NOERROR),
    "a header, NXDOMAIN": bare(NXDOMAIN),
}

ROWS: dict[str, Row] = {
    "answers": everywhere(answer, ANSWER_1),
    **{f"{kind}, to EDNS": everywhere(to_edns(reply), ANSWER_2) for kind, reply in EDNS.items()},
    **{f"{kind}, to EDNS with DO": everywhere(to_edns(EDNS[kind]), ANSWER, do=True) for kind in ("FORMERR", "BADVERS")},
    **{f"{kind}, each time": everywhere(always(EDNS[kind]), FAILS) for kind in EDNS if kind != "BADVERS"},
    **{f"{kind}, each time": streams(here(reply), later(ANSWER, 0.5), GARBLED) for kind, reply in PACKETS.items()},
    **{f"{kind}, then the answer": everywhere(always(reply, good), ANSWER_1) for kind, reply in PACKETS.items()},
    "cut before the OPT": everywhere(always(cut(11)), ANSWER_1),
    "silence, to EDNS": streams(to_edns(lambda _: None), later(ANSWER, 0.5), later(ANSWER, 0.5)),
    "silence, to EDNS with DO": everywhere(to_edns(lambda _: None), later(ANSWER, 1.6)._replace(sent=5), do=True),
    "a header, REFUSED": streams(always(bare(REFUSED)), FAILS_1._replace(sent=2), FAILS_1)._replace(prompt=True),
    "REFUSED": streams(always(rcode(REFUSED)), FAILS_1._replace(sent=2), FAILS_1)._replace(prompt=True),
    "SERVFAIL": streams(always(rcode(SERVFAIL)), FAILS_1._replace(sent=2), FAILS_1)._replace(prompt=True),
    "a referral": everywhere(always(referral), FAILS_1),
    "a chain of 20": everywhere(always(chain(20)), FAILS_1),
    "a chain of 3": everywhere(always(chain(3)), ANSWER_1),
    "no such name": streams(always(absent), NO_NAME._replace(sent=2), NO_NAME._replace(sent=1)),
    "no such data": streams(always(empty), NO_DATA._replace(sent=2), NO_DATA._replace(sent=1)),
    "cut in the address, each time": streams(here(cut(13)), later(ANSWER, 0.06), GARBLED),
    "cut in the address, then the answer": everywhere(always(cut(13), good), ANSWER_1),
    "cut in the address, the answer a moment later": everywhere(cut_and_mended, ANSWER_1),
    "another ID, each time": Row(
        here(other_id), later(ANSWER, 0.5), *(later(FAILS, 1.0)._replace(sent=9),) * 2, down=True),
    "another ID, then the answer": everywhere(always(other_id, good), ANSWER_1),
    "another case, each time": streams(here(lower), later(ANSWER, 0.2), ANSWER),
    "a reply of 6,000 octets": streams(here(too_long), later(ANSWER, 0.2), NO_DATA),
    "TC": streams(always(cut_off), ANSWER_2, ANSWER_1),
    "a header, TC": streams(here(bare(NOERROR, flags=2)), ANSWER_2, FAILS),
    "a header, TC and SERVFAIL": streams(here(bare(SERVFAIL, flags=2)), ANSWER_2, FAILS),
    "TC, and TCP closes": Row(truncated_and_closed, later(FAILS, 0.2)._replace(sent=9), FAILS._replace(sent=9),
                              FAILS._replace(sent=9), hopeless=True, down=True),
    "compares the case, no such name": everywhere(comparing(absent), ANSWER_2),
    "compares the case, no such data": everywhere(comparing(empty), ANSWER_2),
    "compares the case, REFUSED": everywhere(comparing(rcode(REFUSED)), ANSWER_2),
    "compares the case, SERVFAIL": everywhere(comparing(rcode(SERVFAIL)), ANSWER_2),
    "compares the case, a header with REFUSED": everywhere(comparing(bare(REFUSED)), ANSWER_2),
    "compares the case, a header with SERVFAIL": everywhere(comparing(bare(SERVFAIL)), ANSWER._replace(sent=3)),
    "compares the case, FORMERR": everywhere(comparing(rcode(FORMERR)), ANSWER._replace(sent=3)),
    "slow": everywhere(slow, later(ANSWER, 0.4)),
    "loses the first packet": streams(loses_the_first, later(ANSWER, 0.5), later(ANSWER, 0.5)),
    "closes in place of the first answer": streams(closes_on_the_first, later(ANSWER, 0.5), ANSWER),
    "cuts the first reply, and TCP closes": Row(
        spoils_the_first_and_closes, later(ANSWER, 0.2)._replace(sent=9), *(FAILS._replace(sent=9),) * 2, down=True),
    "silent over UDP": Row(silent_over_udp, later(ANSWER, 0.5)._replace(sent=4), ANSWER, ANSWER, down=True),
    "silent": Row(never, *(Gets("SERVFAIL", DEADLINE + 0.1, 9),) * 3, hopeless=True, down=True),
    "closes after each answer": streams(closing, ANSWER, ANSWER),
}  # fmt: skip


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("dns.example").configure_cert(made)
    return made


def shows(outcome: Outcome) -> str:
    """Return what an outcome is in one word, or its address."""
    if outcome.rcode:
        return rcode_name(outcome.rcode)
    body = outcome.body
    return socket.inet_ntoa(body.data[-4:]) if body.an else "NODATA"


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("name", ROWS)
async def test_what_the_client_gets(name: str, transport: Transport, authorities: str, clock: LoopbackClock) -> None:
    row = ROWS[name]
    gets: Gets = getattr(row, transport.value)
    async with upstream(tls=context() if transport is TLS else None) as server:

        async def script(query: Query) -> None:
            await row.script(query, transport.value, len(server.queries))

        server.script = script
        server.script_probes = script
        spec = UpstreamSpec(HOST, server.port, transport, server_name="dns.example", authorities=authorities)
        async with forwarder(route(spec, deadline=DEADLINE)) as forward:
            began = trio.current_time()
            outcome = await wait_outcome(forward, ask("www.example.com", do=row.do))
            took = trio.current_time() - began
            await trio.sleep(0.5)
            (seen,) = forward.statistics().upstreams
    assert (shows(outcome), took <= gets.within + 0.02) == (gets.what, True), took
    assert len(server.queries) <= gets.sent
    assert seen.up or row.down, "it answers, or one name says nothing about it"
    assert seen.replies == seen.queries + seen.probes or not row.prompt, "an error is an answer"


def test_no_client_waits_for_the_deadline_where_an_answer_could_be_had() -> None:
    cells = [(name, row, gets) for name, row in ROWS.items() for gets in (row.udp, row.tcp, row.tls)]
    assert len(cells) >= 60
    waits = {name for name, row, gets in cells if gets.within >= DEADLINE and not row.hopeless}
    assert not waits
