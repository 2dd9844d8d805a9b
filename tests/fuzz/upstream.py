"""What an upstream replies: read, kept, and given to clients now and later, whatever octets it sent."""

import random
from collections.abc import Sequence

from dnsserver.forward.answer_cache import AnswerCache
from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.forward.settings import CacheSettings
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire import upstream_query, upstream_reply
from dnsserver.wire.message import FormatError
from dnsserver.wire.scope import Scope
from dnsserver.wire.upstream_reply import TTLLimits, Verdict
from tests import strict
from tests.fuzz.pieces import Pieces
from tests.outside import Outside
from tests.server.unplugged import Server

NAME = names.from_text("www.example.com")
TYPES = (m.A, m.AAAA, m.CNAME, 15, 16, 33, 35, 65, 43, 48, 2, m.SOA, 12, 47, 1000, 255)
_SCOPES = (
    Scope(),
    Scope(denied=(names.from_text("cluster.local"),)),
    Scope(names.from_text("example.com"), trusted=True),
    Scope(names.from_text("example.com")),
)
_NOW = 1000.0
_DAY = 86_400
_WEB = bytes((10, 9, 0, 1))  # the address of a Service of the server, if a chain leads into the cluster
_CLUSTER = names.from_text("cluster.local")


# Owners and targets: the question's name, those beside and above it, one outside and one of the cluster.
_OWNERS = (
    *(b"\xc0\x0c", b"\xc0\x0c", b"\1a\xc0\x10", b"\1b\xc0\x10", b"\xc0\x10", b"\xc0\x18", b"\0"),
    *(names.from_text("a.example.net"), names.from_text("web.shop.svc.cluster.local")),
)
_TTLS = (0, 1, 60, 86_401, 0x8000_0000)


def _record(chance: random.Random) -> bytes:
    """Return a record of a type that is in use."""
    type_ = chance.choice((m.A, m.AAAA, m.CNAME, m.CNAME, m.CNAME, m.SOA, 2, 15, 16, 33, 39, 46, 47, 65))
    target = chance.choice(_OWNERS)
    rdata = {
        m.A: bytes((192, 0, 2, 1)),
        m.AAAA: bytes(16),
        m.SOA: target + target + bytes(20),
        15: b"\0\1" + target,
        16: b"\1x",
        33: bytes(6) + target,
        46: b"\0\1\x08\3" + bytes(14) + b"\0" + bytes(8),
        47: b"\0\0\1\x40",
        65: b"\0\1\0",
    }.get(type_, target)
    owner, ttl = chance.choice(_OWNERS), chance.choice(_TTLS)
    return owner + type_.to_bytes(2) + b"\0\1" + ttl.to_bytes(4) + len(rdata).to_bytes(2) + rdata


def _records(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the octets before the records, and the records, as far as they can be separated."""
    found, begun = [], 5
    while begun < len(data):
        at = begun
        while at < len(data) and data[at] and data[at] < 0xC0:
            at += 1 + data[at]
        at += 1 if data[at : at + 1] == b"\0" else 2
        end = at + 10 + int.from_bytes(data[at + 8 : at + 10])
        found.append(data[begun:end])
        begun = end
    return data[:5], found


def _joined(head: bytes, pieces: Sequence[bytes]) -> bytes:
    """Return an input whose answer section has the records that the other two sections leave."""
    what, flags, _, authority, additional = head.ljust(5, b"\0")
    answer = max(0, len(pieces) - authority - additional)
    return bytes((what, flags, min(answer, 255), authority, additional)) + b"".join(pieces)


PIECES = Pieces(_records, _joined, _record)


def run(data: bytes) -> None:
    """Read a reply about `NAME`: the input has the kind of question, flags and rcode, three counts, and the records."""
    if len(data) < 5:
        return
    what, flags, *counts = data[:5]
    type_, do, scope = TYPES[what & 15], bool(what & 16), _SCOPES[what >> 5 & 3]
    question = upstream_query.write(NAME, type_, False, False)[0]
    head = b"\0\1\x81" + bytes((0x80 | flags & 0x3F,)) + b"".join(count.to_bytes(2) for count in (1, *counts))
    try:
        reading = upstream_reply.read(head + question + data[5:], NAME, type_, do, scope, TTLLimits())
    except FormatError:
        return
    assert 0 <= reading.ttl <= _DAY
    if reading.verdict is not Verdict.GOOD:
        return
    if reading.follow is not None:
        assert not (scope.allows(reading.follow) and scope.is_home(reading.follow))
    outcome = Outcome(reading.rcode, reading.body, reading.ad, FORWARDED, _NOW, _NOW + reading.ttl, reading.follow)
    ask = Question(NAME, type_, do)
    cache = AnswerCache(CacheSettings())
    cache.put(ask, outcome)
    _see_by_clients(ask, cache, outcome, open_to_all=not scope.denied)


def _see_by_clients(ask: Question, cache: AnswerCache, outcome: Outcome, *, open_to_all: bool) -> None:
    """Ask for the outcome over UDP and TCP, with and without EDNS, when it is new, later, and when it is stale."""

    def tell(asked: Question, now: float) -> Outcome | None:
        if asked != ask:  # where a chain leads on
            return Outcome(m.NXDOMAIN, m.EMPTY, False, FORWARDED, now, now)
        return cache.get(asked, now) or cache.stale(asked, now) or outcome

    outside = Outside(tell)
    server = Server(outside=outside)
    for later in (0.0, 1.0, 59.5, 100_000.0):
        server.now = _NOW + later
        for port in (server.udp, server.tcp):
            for opt in (b"", _opt(1232, ask.do), _opt(512, ask.do)):
                if ask.do and not opt:
                    continue
                packet = _query(ask, opt)
                for _ in range(2):
                    wire = port.ask(packet)
                    outside.finish()
                    sent = [wire] if wire is not None else [wire for _, wire in port.sent]
                    port.sent.clear()
                    for reply in sent:
                        _check(strict.reply(reply, packet), opt, open_to_all=open_to_all)
                        assert port.stream or len(reply) <= (1232 if opt else 512)
    assert server.responder.panics == 0


def _check(reply: strict.Message, opt: bytes, *, open_to_all: bool) -> None:
    assert (reply.opt is not None) == bool(opt)
    for record in reply.records:
        assert record is reply.opt or record.ttl <= _DAY
        if record.type in {m.A, m.AAAA} and names.is_below(record.owner.lower(), _CLUSTER) and not open_to_all:
            assert record.rdata == _WEB, "an address of the cluster from outside"


def _query(ask: Question, opt: bytes) -> bytes:
    counts = (1).to_bytes(2) + bytes(4) + (1 if opt else 0).to_bytes(2)
    return b"\x12\x34\x01\x00" + counts + ask.name + ask.type.to_bytes(2) + b"\0\1" + opt


def _opt(size: int, do: bool) -> bytes:
    return b"\0" + (41).to_bytes(2) + size.to_bytes(2) + bytes(2) + (0x8000 if do else 0).to_bytes(2) + bytes(2)
