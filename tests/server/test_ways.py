"""Templates of outside questions compared with the long way, in the same seeded runs.

Names, forms, damaged packets, outcomes early and late, and time come in any order; what is said,
asked, counted and kept has to be the same.
"""

import random
from collections.abc import Callable

import dns.flags
import pytest

from dnsserver.forward.outcome import FORWARDED, UPSTREAM_TIMEOUT, Outcome, Question
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import EMPTY, RRset
from dnsserver.wire.reply import whole_body
from tests.outside import Outside
from tests.server.ways import ALIAS, AWAY, SOA, Server, query

WEB = names.from_text("web.shop.svc.cluster.local")
NAMES = (
    "www.example.com",
    "WWW.Example.com",
    "a.example",
    "b.c.d.example.org",
    "web.shop.svc.cluster.local",
    "away.shop.svc.cluster.local",
    "www.example.com.shop.svc.cluster.local",
    "x.invalid",
    "1.0.9.10.in-addr.arpa",
    ("a" * 63 + ".") * 3 + "b" * 61,
)
TYPES = ("A", "A", "A", "AAAA", "TXT", "ANY", "CNAME")
FLAGS = (*[dns.flags.RD] * 4, 0, dns.flags.RD | dns.flags.AD, dns.flags.RD | dns.flags.CD)
FORMS: tuple[dict[str, int], ...] = (
    {},
    {},
    {"use_edns": 0, "payload": 1232},
    {"use_edns": 0, "payload": 512, "want_dnssec": True},
    {"use_edns": 0, "payload": 4096},
    {"use_edns": 0, "payload": 1111},
)


def _one(ask: Question, ttl: int) -> tuple[RRset, ...]:
    type_, rdata = {m.A: (m.A, bytes(4)), m.AAAA: (m.AAAA, bytes(16))}.get(ask.type, (m.TXT, b"\3abc"))
    return (RRset(ask.name, type_, ttl, (rdata,)),)


def _texts(ask: Question, chance: random.Random) -> tuple[RRset, ...]:
    """Texts of sizes that just fit, or just do not fit."""
    room = chance.choice((512, 1232)) - 12 - len(ask.name) - 4 - chance.choice((0, 11)) + chance.randint(-2, 2)
    texts: list[bytes] = []
    while room > 13:
        size = min(room - 13, 100 + chance.randint(0, 100))
        texts.append(bytes((size,)) + bytes(97 + (len(texts) + n) % 26 for n in range(size)))
        room -= 13 + size
    return (RRset(ask.name, m.TXT, 300, tuple(texts)),)


def _alias(ask: Question, target: bytes, now: float) -> Outcome:
    body = whole_body(ask.name, (RRset(ask.name, m.CNAME, 60, (target,)),), ())
    return Outcome(0, body, False, FORWARDED, now, now + 60, target)


KINDS: tuple[Callable[[Question, float, random.Random], Outcome], ...] = (
    lambda ask, now, _: Outcome(0, whole_body(ask.name, _one(ask, 300), ()), True, FORWARDED, now, now + 300),
    lambda ask, now, chance: Outcome(
        0, whole_body(ask.name, _texts(ask, chance), ()), False, FORWARDED, now, now + 300
    ),
    lambda ask, now, _: Outcome(m.NXDOMAIN, whole_body(ask.name, (), (SOA,)), True, FORWARDED, now, now + 60),
    lambda ask, now, _: Outcome(0, whole_body(ask.name, _one(ask, 0), ()), False, FORWARDED, now, now),
    lambda _, now, __: Outcome(m.SERVFAIL, EMPTY, False, UPSTREAM_TIMEOUT, now, now),
    lambda ask, now, _: Outcome(0, whole_body(ask.name, _one(ask, 30), ()), False, FORWARDED, now - 5, now + 25),
    lambda ask, now, _: _alias(ask, WEB, now),
    lambda ask, now, _: _alias(ask, ALIAS, now),
)


class Upstreams(Outside):
    """Answers some of the waiting questions on command, and then such questions at once until the TTL has run down."""

    def __init__(self, seed: int) -> None:
        super().__init__(self._remembered)
        self.chance = random.Random(seed)

    def _remembered(self, ask: Question, now: float) -> Outcome | None:
        outcome = self.known.get(ask)
        return None if outcome is None or outcome.expires <= now else outcome

    def finish_some(self, share: float = 1.0) -> None:
        waiting, self.waiting = self.waiting, []
        said: dict[Question, Outcome] = {}
        for ask, waiter in waiting:
            if self.chance.random() >= share:
                self.waiting.append((ask, waiter))
                continue
            if ask not in said:
                kind = KINDS[0] if ask.name == AWAY else self.chance.choice(KINDS)
                said[ask] = outcome = kind(ask, self.clock(), self.chance)
                if outcome.expires > outcome.stored:
                    self.known[ask] = outcome
            waiter.deliver(said[ask])


def damaged(packet: bytes, chance: random.Random) -> bytes:
    """Return the packet; in one case of six, return it damaged."""
    kind = chance.randrange(18)
    if kind == 0:
        at = chance.randrange(2, len(packet))
        return packet[:at] + bytes((chance.choice((0, 1, 5, 64, 192, 255, packet[at] ^ 32)),)) + packet[at + 1 :]
    if kind == 1:
        return packet[: chance.randrange(len(packet))]
    if kind == 2:
        return packet + b"\0"
    return packet


def run(seed: int, *, short: bool) -> dict[str, object]:
    """Return all visible results of one run."""
    chance = random.Random(seed)
    outside = Upstreams(seed)
    server = Server(outside, short=short, stream=chance.random() < 0.3)
    replies = []
    for step in range(150):
        what = chance.random()
        if what < 0.75:
            number = chance.randrange(65536)
            packet = query(
                chance.choice(NAMES), chance.choice(TYPES), number, chance.choice(FLAGS), **chance.choice(FORMS)
            )
            reply = server.port.ask(damaged(packet, chance), step)
            if reply is not None:
                replies.append((step, reply))
        elif what < 0.9:
            outside.finish_some(0.8)
        else:
            server.now += chance.choice((0.3, 1.0, 7, 40))
    while outside.waiting:
        outside.finish_some()
    kept = {key: (reply.wire, reply.labels, reply.due) for key, reply in server.port.table.replies.items()}
    return {
        "replies": replies,
        "late replies": server.port.sent,
        "asked": outside.asked,
        "counted": dict(server.port.table.traffic().replies),
        "namespaces": server.port.table.namespaces.questions,
        "kept": kept,
        "panics": server.responder.panics,
    }


@pytest.mark.parametrize("seed", range(60))
def test_both_ways_leave_the_same_behind(seed: int) -> None:
    assert run(seed, short=True) == run(seed, short=False)
