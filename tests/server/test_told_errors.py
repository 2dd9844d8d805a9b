"""Extended errors displace no record, and a kept reply with extended errors equals a fresh one."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.wire import message as m
from dnsserver.wire.extended_errors import MAX_TEXT
from dnsserver.wire.message import EDE, RRset
from dnsserver.wire.reply import whole_body
from dnsserver.zone.record import Reason
from tests.cluster import endpoints, namespace, service
from tests.outside import Outside
from tests.scenes import option
from tests.server.unplugged import Server

TOLD = ((6, "a" * MAX_TEXT), (22, "b" * MAX_TEXT))
STALE = Reason("stale", EDE.STALE_ANSWER, "no word from the Kubernetes API for more than 5 min")
NAME = "www.example.com"


def saying(count: int, *, rcode: int = 0) -> Outside:
    """An outside that has so many addresses, and tells two long errors."""
    reason = Reason(FORWARDED.code, also=TOLD)

    def tell(ask: Question, now: float) -> Outcome:
        rrset = RRset(ask.name, m.A, 300, tuple(bytes((192, 0, 2, n)) for n in range(count)))
        body = whole_body(ask.name, (rrset,) if count else (), ())
        return Outcome(rcode, body, False, reason, now, now + 300)

    return Outside(tell)


def ask(server: Server, name: str = NAME, *, size: int = 1232, **more: object) -> tuple[dns.message.Message, int]:
    """Return the reply over UDP, and its octets."""
    packet = dns.message.make_query(name, "A", id=7, use_edns=0, payload=size, **more).to_wire()  # type: ignore[arg-type]
    wire = server.udp.ask(packet)
    assert wire is not None
    return dns.message.from_wire(wire), len(wire)


def told(reply: dns.message.Message) -> list[tuple[int, int]]:
    """Return the codes of errors, and the lengths of their texts."""
    return [(int(e.code), len(e.text or "")) for e in reply.options if isinstance(e, dns.edns.EDEOption)]


# An address takes 16 octets, an OPT 11, the two errors 2 * 6 without texts and 2 * 128 more.
BASE = 12 + len(b"\3www\7example\3com\0") + 4 + 11


@pytest.mark.parametrize("size", [512, 1200, 1232])
def test_row_32_an_answer_is_never_cut_for_an_error(size: int) -> None:
    seen = set()
    for count in range(1, (size - BASE) // 16 + 1):
        reply, octets = ask(Server(outside=saying(count)), size=size)
        assert len(reply.answer[0]) == count
        assert not reply.flags & dns.flags.TC
        assert octets <= size
        room = size - BASE - 16 * count
        expected = [(6, 128), (22, 128)]
        for least, left in (
            (268, [(6, 128), (22, 0)]),
            (140, [(6, 0), (22, 0)]),
            (12, [(6, 0)]),
            (6, []),
        ):
            if room < least:
                expected = left
        assert told(reply) == expected, count
        seen.add(len(expected))
    assert {0, 2} <= seen


def test_what_is_too_long_by_itself_is_cut_and_tells_nothing() -> None:
    reply, octets = ask(Server(outside=saying(100)), size=512)
    assert reply.flags & dns.flags.TC
    assert told(reply) == []
    assert octets <= 512


def test_over_tcp_all_is_told() -> None:
    server = Server(outside=saying(100))
    packet = dns.message.make_query(NAME, "A", id=7, use_edns=0, payload=512).to_wire()
    wire = server.tcp.ask(packet)
    assert wire is not None
    assert told(dns.message.from_wire(wire)) == [(6, 128), (22, 128)]


def test_without_edns_nothing_is_told() -> None:
    packet = dns.message.make_query(NAME, "A", id=7).to_wire()
    wire = Server(outside=saying(1)).udp.ask(packet)
    assert wire is not None
    assert dns.message.from_wire(wire).edns == -1


@pytest.mark.parametrize("count", [0, 1, 14, 26, 29, 60])
def test_a_kept_reply_tells_each_client_what_a_fresh_one_would(count: int) -> None:
    """That holds for every offered size: rare sizes share one kept reply."""
    sizes = (512, 513, 700, 1000, 1200, 1231, 1232, 4096)
    for order in (sizes, tuple(reversed(sizes))):
        server = Server(outside=saying(count, rcode=0 if count else m.NXDOMAIN))
        for _ in range(3):
            for size in order:
                for options in ([], [option(10, b"12345678")]):
                    fresh = ask(Server(outside=saying(count, rcode=0 if count else m.NXDOMAIN)), size=size)
                    kept = ask(server, size=size, options=options)
                    assert kept == fresh, (size, options)


@pytest.mark.parametrize("stale", [None, STALE])
def test_so_does_a_kept_reply_of_the_cluster(stale: Reason | None) -> None:
    many = (f"10.1.0.{n}" for n in range(1, 27))  # just fit into 512 octets with the text
    things = (namespace("shop"), service("db"), endpoints("db", *many))
    server = Server(*things)
    server.responder.mark_stale(stale)
    for _ in range(3):
        for size in (512, 600, 1000, 1232, 4096):
            for name in ("db.shop.svc.cluster.local", "nobody.shop.svc.cluster.local"):
                other = Server(*things)
                other.responder.mark_stale(stale)
                (kept, octets), (fresh, as_many) = ask(server, name, size=size), ask(other, name, size=size)
                assert (told(kept), octets, kept.flags) == (told(fresh), as_many, fresh.flags), (name, size)
                assert sorted(kept.answer[0]) == sorted(fresh.answer[0]) if kept.answer else not fresh.answer
