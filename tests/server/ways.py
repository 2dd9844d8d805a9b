"""One server twice, with templates of outside questions and without: what either says, asks and keeps is the same."""

from collections.abc import Sequence
from ipaddress import ip_network

import dns.flags
import dns.message

from dnsserver.forward.outcome import FORWARDED, LOOP, UPSTREAM_TIMEOUT, Outcome, Question
from dnsserver.forward.outcome import STALE as OLD
from dnsserver.server.guard import Guard
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import EMPTY, Body, RRset
from dnsserver.wire.reply import whole_body
from dnsserver.zone.cluster import Cluster
from tests.cluster import namespace, service
from tests.outside import Outside, Tell
from tests.server import unplugged

NOW = 1000.0
ALIAS = names.from_text("away.shop.svc.cluster.local")
AWAY = names.from_text("far.example.net")
THINGS = (namespace("shop"), service("web", "10.9.0.1"), service("away", external="far.example.net"))
SOA = RRset(b"\x07example\0", m.SOA, 60, (b"\0\0" + bytes(20),))


def _said(
    ask: Question, answer: Sequence[RRset] = (), authority: Sequence[RRset] = (), rcode: int = 0, ad: bool = False
) -> Outcome:
    return Outcome(rcode, whole_body(ask.name, answer, authority), ad, FORWARDED, NOW, NOW + 60)


def _addresses(ask: Question, count: int) -> tuple[RRset, ...]:
    return (RRset(ask.name, m.A, 60, tuple(bytes((192, 0, 2, n)) for n in range(count))),)


OUTCOMES: dict[str, Tell] = {
    "address": lambda ask, _: _said(ask, _addresses(ask, 1)),
    "validated": lambda ask, _: _said(ask, _addresses(ask, 1), ad=True),
    "many": lambda ask, _: _said(ask, _addresses(ask, 120)),
    "nodata": lambda ask, _: _said(ask, (), (SOA,)),
    "missing": lambda ask, _: _said(ask, (), (SOA,), m.NXDOMAIN),
    "failure": lambda *_: Outcome(m.SERVFAIL, EMPTY, False, UPSTREAM_TIMEOUT, NOW, NOW),
    "stale": lambda ask, _: Outcome(0, whole_body(ask.name, _addresses(ask, 1), ()), False, OLD, NOW, NOW),
    "loop": lambda *_: Outcome(m.REFUSED, EMPTY, False, LOOP, NOW, NOW),
    "aged": lambda ask, _: Outcome(
        0, whole_body(ask.name, _addresses(ask, 1), ()), False, FORWARDED, NOW - 20, NOW + 40
    ),
    "leads back": lambda ask, _: Outcome(
        0,
        whole_body(ask.name, (RRset(ask.name, m.CNAME, 60, (names.from_text("web.shop.svc.cluster.local"),)),), ()),
        False,
        FORWARDED,
        NOW,
        NOW + 60,
        names.from_text("web.shop.svc.cluster.local"),
    ),
    "leads back and out again": lambda ask, _: (
        _said(ask, _addresses(ask, 1))
        if ask.name == AWAY
        else Outcome(
            0,
            whole_body(
                ask.name, (RRset(ask.name, m.CNAME, 60, (names.from_text("away.shop.svc.cluster.local"),)),), ()
            ),
            False,
            FORWARDED,
            NOW,
            NOW + 60,
            names.from_text("away.shop.svc.cluster.local"),
        )
    ),
    "unreadable": lambda *_: Outcome(0, Body(3, 0, 0, b"\xc0\x0c"), False, FORWARDED, NOW, NOW + 60),
}


class Server(unplugged.Server):
    """A server on one port; one whose guard counts what each client has under way knows the long way only."""

    def __init__(self, outside: Outside, *, short: bool, stream: bool = False, cluster: Cluster | None = None) -> None:
        guard = None if short else Guard([ip_network("0.0.0.0/0")], in_flight=1000)
        super().__init__(*THINGS, outside=outside, guard=guard, cluster=cluster)
        self.port = self.tcp if stream else self.udp

    def replies_to(self, packets: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """Return (client, reply) of all packets, each of another client."""
        replies = []
        for number, packet in enumerate(packets):
            reply = self.responder.respond(packet, self.port, number)
            if reply is not None:
                replies.append((number, reply))
        self.outside.finish()
        return sorted(replies + self.port.sent)


def query(name: str, type_: str = "A", number: int = 7, flags: int = dns.flags.RD, **edns: int) -> bytes:
    return dns.message.make_query(name, type_, id=number, flags=flags, **edns).to_wire()  # type: ignore[arg-type]
