"""Replies as observers see them: each way to make a reply has a row, and successes are not recorded."""

from collections.abc import Callable
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any, NamedTuple

import dns.message
import dns.opcode
import dns.rdataclass
import pytest

from dnsserver.forward.outcome import UPSTREAM_TIMEOUT
from dnsserver.resolver.reply_cache import Reply, Wants
from dnsserver.server.guard import NOT_ALLOWED, TOO_FAST, TOO_MANY, Guard
from dnsserver.server.observer import observed
from dnsserver.traffic.observed import Observed
from dnsserver.traffic.who_asks import SLOW
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from tests.cluster import Thing, service
from tests.server.unplugged import ADDRESS, AskedPort, Server

EVERYBODY = [IPv4Network("0.0.0.0/0")]
NONE = "none.shop.svc.cluster.local"


def packet(name: str = NONE, type_: str = "A", **more: Any) -> bytes:
    return dns.message.make_query(name, type_, id=7, **{"use_edns": 0, "payload": 1232, **more}).to_wire()


def seen(server: Server, epoch: float = 0.0) -> list[Observed]:
    return [observed(row, epoch) for row in server.responder.observer.take()]


class Made(NamedTuple):
    """A packet, and what is seen of it: rcode, the reason's code, source, and the name that was asked."""

    packet: bytes
    rcode: int
    code: str
    source: str = "local"
    name: str | None = NONE


WEB = "web.shop.svc.cluster.local"
MADE = {
    "a missing name": Made(packet(), m.NXDOMAIN, "service-missing"),
    "a missing name, without EDNS": Made(packet(use_edns=None), m.NXDOMAIN, "service-missing"),
    "nothing of the type": Made(
        packet("web.shop.svc.cluster.local", "AAAA"),
        m.NOERROR,
        "no-address-of-family",
        name="web.shop.svc.cluster.local",
    ),
    "another spelling": Made(packet("NoNe.shop.svc.cluster.local"), m.NXDOMAIN, "service-missing", name=None),
    "another class": Made(
        packet("version.bind", rdclass=dns.rdataclass.CH), m.REFUSED, "class-refused", name="version.bind"
    ),
    "another opcode": Made(b"\0\7\x20\0" + packet()[4:], m.NOTIMP, "opcode-not-implemented", name=None),
    "a transfer": Made(packet("cluster.local", "AXFR"), m.REFUSED, "transfer-refused", name="cluster.local"),
    "what cannot be read": Made(packet()[:20], m.FORMERR, "format-error", name=None),
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_each_reply_that_is_a_failure_is_seen(made: Made, protocol: str) -> None:
    server = Server()
    port: AskedPort = getattr(server, protocol)
    for number in range(3):  # the long way, by a template, and once more
        reply = port.ask(made.packet, number) or b""
        found = seen(server, 1_000_000.0)
        if port.table.traffic().from_cache.total():
            assert not found
            break
        (one,) = found
        assert (one.rcode, one.reason.code, one.source) == (made.rcode, made.code, made.source)
        if made.name is not None:
            assert one.name == from_text(made.name)
        assert (one.protocol, one.client, one.port) == (protocol, bytes((10, 0, 0, number)), 1000 + number)
        assert (one.request, one.reply, one.id) == (len(made.packet), len(reply), 7)
        assert one.flags == int.from_bytes(reply[2:4])
        assert one.time == 1_000_000.0 + server.now
        assert one.is_denial is (made.rcode in {m.NXDOMAIN, m.NOERROR})
        assert one.is_error is not one.is_denial


def test_a_success_is_seen_by_whoever_wants_everything_only() -> None:
    names = [f"web{number}.shop.svc.cluster.local" for number in range(4)]
    for everything in (False, True):
        server = Server()
        server.put(*(_service(name) for name in names))
        server.responder.observer.everything = everything
        for name in names:  # the first is read, the others are answered by a template
            assert server.at_once(name).answer
        found = seen(server)
        assert [one.name for one in found] == ([from_text(name) for name in names] if everything else [])
        assert all(one.reason.code == "found" and one.records and not one.is_denial for one in found)


def _service(name: str) -> Thing:
    return service(name.partition(".")[0], "10.9.1.1")


FINISHED: dict[str, tuple[Callable[[Server], None], int, str]] = {
    "nothing of the type": (lambda server: server.outside.answer(), m.NOERROR, "forwarded-no-data"),
    "no such name": (lambda server: server.outside.answer(rcode=m.NXDOMAIN), m.NXDOMAIN, "forwarded"),
    "nobody answers": (
        lambda server: server.outside.answer(rcode=m.SERVFAIL, reason=UPSTREAM_TIMEOUT),
        m.SERVFAIL,
        "upstream-timeout",
    ),
}


@pytest.mark.parametrize("finished", FINISHED.values(), ids=FINISHED)
def test_what_had_to_wait_is_seen_with_its_time(finished: tuple[Callable[[Server], None], int, str]) -> None:
    finish, rcode, code = finished
    server = Server()
    for number in range(3):  # read first, then asked by a template
        query = server.start(f"n{number}.example.com")
        assert seen(server) == []
        server.now += 1.25
        finish(server)
        (one,) = seen(server)
        assert (one.rcode, one.reason.code, one.source, one.seconds) == (rcode, code, "upstream", 1.25)
        assert (one.name, one.bufsize, one.request) == (from_text(f"n{number}.example.com"), 1232, len(query.to_wire()))
        server.udp.sent.clear()


@pytest.mark.parametrize(("seconds", "told"), [(SLOW - 0.01, False), (SLOW + 0.01, True), (3.0, True)])
def test_a_success_that_took_long_is_seen(seconds: float, told: bool) -> None:
    server = Server()
    for number in range(3):  # read first, then asked by a template
        server.start(f"n{number}.example.com")
        server.now += seconds
        server.outside.answer(f"n{number}.example.com. 300 IN A 192.0.2.1")
        found = [(one.name, one.rcode, one.source, one.records, round(one.seconds, 3)) for one in seen(server)]
        name = from_text(f"n{number}.example.com")
        assert found == ([(name, m.NOERROR, "upstream", True, round(seconds, 3))] if told else [])


def test_who_is_turned_away_is_seen_told_or_not() -> None:
    for told in (False, True):
        server = Server(guard=Guard(EVERYBODY, 1, 1, refuses=told, truncates=told))
        for reason in (NOT_ALLOWED, TOO_FAST):
            reply = server.responder.turn_away(packet(), server.udp, 5, reason)
            assert (reply is not None) is told
            (one,) = seen(server)
            wanted = m.DROP if not told else m.REFUSED if reason is NOT_ALLOWED else m.NOERROR
            assert (one.rcode, one.reason, one.client) == (wanted, reason, bytes((10, 0, 0, 5)))
            assert one.is_error
        assert server.udp.ask(packet("a.example.com")) is None
        assert (server.udp.ask(packet("b.example.com")) is not None) is told
        assert [(one.rcode, one.reason) for one in seen(server)] == [(m.NOERROR if told else m.DROP, TOO_MANY)]


def test_a_flood_of_one_kind_hides_no_other_and_what_is_missed_is_counted() -> None:
    server = Server()
    observer = server.responder.observer
    for number in range(observer.room + 10):
        server.at_once(f"x{number}.shop.svc.cluster.local")
    server.udp.ask(packet("cluster.local", "AXFR"))
    found = seen(server)
    assert [one.rcode for one in found] == [m.NXDOMAIN] * observer.room + [m.REFUSED]
    assert all(one.time <= other.time for one, other in pairwise(found))
    assert observer.missed == 10
    server.at_once("y.shop.svc.cluster.local")
    assert len(seen(server)) == 1


# ---- kept replies that are followed


def is_denial(key: bytes, reply: Reply) -> bool:
    del key
    return reply.labels[1] == m.NXDOMAIN or reply.wire[4:6] == b"\0\0"


def follow(server: Server, wants: Wants | None) -> None:
    for _ in server.responder.follow(wants):
        pass


KEPT = {
    "a missing name": packet(),
    "another spelling": packet("NoNe.shop.svc.cluster.local"),
    "nothing of the type": packet(WEB, "AAAA"),
    "a service": packet(WEB),
}


@pytest.mark.parametrize("asked", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("since", ["before", "after"])
def test_a_kept_reply_is_seen_while_it_is_followed(asked: bytes, protocol: str, since: str) -> None:
    server = Server()
    port: AskedPort = getattr(server, protocol)
    if since == "before":
        follow(server, is_denial)
    replies = [port.ask(asked) for _ in range(4)]
    if since == "after":
        follow(server, is_denial)
    server.responder.observer.take()
    wanted = asked != KEPT["a service"]
    assert bool(port.table.followed) is wanted
    assert bool(port.table.replies) is not wanted
    hits = port.table.traffic().from_cache.total()
    for number in range(5):
        assert port.ask(asked, number) == replies[-1]
        found = seen(server)
        assert [one.client for one in found] == ([bytes((10, 0, 0, number))] if wanted else [])
        assert all(one.reason.text for one in found if one.reason.ede is not None)
        assert port.table.traffic().from_cache.total() == hits + number + 1
    follow(server, None)
    assert not port.table.followed
    assert port.ask(asked) == replies[-1]
    assert seen(server) == []
    server.replies.drop([(b"shop",)])
    assert port.ask(asked) != b""
    assert port.table.traffic().replies.total() == 4 + 5 + 2


def test_a_followed_reply_is_dropped_by_a_change_and_ages_like_any_other() -> None:
    server = Server()
    follow(server, lambda key, reply: True)  # noqa: ARG005
    for _ in range(3):
        assert server.at_once(NONE).rcode() == 3
    server.put(service("none", "10.9.0.9"))
    assert server.at_once(NONE).answer
    assert server.udp.ask(packet("www.example.com")) is None
    server.outside.answer(ADDRESS)
    with server.outside.remembering():
        server.at_once("www.example.com")
    server.now += 7
    (answer,) = server.at_once("www.example.com").answer
    assert answer.ttl == 293
    found = [one for one in seen(server) if one.name == from_text("www.example.com")]
    assert [(one.source, one.rcode) for one in found[-1:]] == [("cache", m.NOERROR)]


def test_the_time_of_an_answer_is_taken_while_replies_are_followed() -> None:
    server = Server()
    ticks = iter(range(1000, 2000))
    server.responder.clock = lambda: float(next(ticks))
    server.udp.ask(packet("a.shop.svc.cluster.local"))
    follow(server, is_denial)
    server.responder.observer.take()
    server.now = 1000.5
    server.udp.ask(packet("b.shop.svc.cluster.local"))
    (one,) = seen(server)
    assert one.seconds == 0.5
    server.now += 3600
    server.responder.turn_away(packet(), server.udp, 0, TOO_FAST)  # whose time is not taken
    (one,) = seen(server)
    assert one.seconds == 0.0


def test_a_change_of_what_is_followed_voids_the_one_under_way() -> None:
    server = Server()
    for number in range(600):
        for _ in range(3):
            server.at_once(f"n{number}.shop.svc.cluster.local")
    first = server.responder.follow(is_denial)
    next(first)
    assert server.udp.table.replies
    assert server.udp.table.followed
    follow(server, None)
    assert list(first) == []
    assert not server.udp.table.followed
