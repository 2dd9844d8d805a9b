"""A server without sockets, upstreams and clock: the test gives it packets, and decides what the outside answers."""

from collections.abc import Sequence
from typing import Any

import dns.flags
import dns.message
import dns.rcode

from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache, ReplyTable
from dnsserver.resolver.search import Search
from dnsserver.server.guard import Guard
from dnsserver.server.respond import Responder
from dnsserver.wire import name as names
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, Put, Remove
from dnsserver.zone.static import SpecialNames
from tests.cluster import Thing, decoded, listed, namespace, service
from tests.outside import Outside
from tests.port import Port

WWW = "www.example.com."
ALIAS = "alias.shop.svc.cluster.local."
EXPANDED = "www.example.com.shop.svc.cluster.local."
ADDRESS = f"{WWW} 300 IN A 192.0.2.1"
SOA = "example.com. 900 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"
THINGS = (
    namespace("shop"),
    service("alias", external="www.example.com"),
    service("web", "10.9.0.1"),
    service("away", external="far.example.com"),
)


class AskedPort(Port):
    """A port of a server, which can be asked."""

    idle_timeout = 10.0  # seconds, of a stream's connection

    def __init__(self, table: ReplyTable, server: "Server") -> None:
        super().__init__(table)
        self._server = server

    def ask(self, packet: bytes, client: int = 0) -> bytes | None:
        """Return the reply if it comes at once, as the real ports do."""
        return self._server.responder.answer(packet, self, client, self._server.now)


class Server:
    """What answers for these objects, or for a namespace with a service and two that stand for names outside.

    A `cluster` that is given has seen its objects already.
    """

    def __init__(
        self,
        *things: Thing,
        guard: Guard | None = None,
        node_domains: Sequence[str] = (),
        outside: Outside | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.now = 1000.0
        self.cluster = cluster or Cluster()
        self.replies = ReplyCache()
        self.outside = outside or Outside()
        self.outside.clock = lambda: self.now
        search = Search(self.cluster.domain, [names.from_text(domain) for domain in node_domains])
        chain = Chain([self.cluster, SpecialNames()], search)
        self.responder = Responder(chain, self.outside, self.replies, lambda: self.now, guard=guard)
        self.udp = AskedPort(self.replies.add_table("udp", "1"), self)
        self.tcp = AskedPort(self.replies.add_table("tcp", "1"), self)
        for event in listed(things or THINGS) if cluster is None else ():
            self.replies.drop(self.cluster.apply(event, self.now, 1))

    def put(self, *things: Thing) -> None:
        for thing in things:
            self.replies.drop(self.cluster.apply(Put(decoded(thing)), self.now, 1))

    def remove(self, kind: Kind, name: str, space: str = "shop") -> None:
        self.replies.drop(self.cluster.apply(Remove(kind, space, name), self.now, 1))

    def start(self, name: str, type_: str = "A", **more: Any) -> dns.message.Message:
        """Ask what has to wait, and return the query."""
        query = dns.message.make_query(name, type_, id=7, **{"use_edns": 0, "payload": 1232, **more})
        assert self.udp.ask(query.to_wire()) is None
        return query

    def late(self) -> dns.message.Message:
        """Return the one reply that has come late."""
        ((_, wire),) = self.udp.sent
        self.udp.sent.clear()
        return dns.message.from_wire(wire)

    def at_once(self, name: str, type_: str = "A", **more: Any) -> dns.message.Message:
        query = dns.message.make_query(name, type_, id=7, **{"use_edns": 0, "payload": 1232, **more})
        wire = self.udp.ask(query.to_wire())
        assert wire is not None
        return dns.message.from_wire(wire)

    def keep(self, name: str, *lines: str, **more: Any) -> None:
        """Ask until the reply is a kept one: what was never asked before is not worth that."""
        packet = dns.message.make_query(name, "A", id=7, use_edns=0, payload=1232).to_wire()
        assert self.udp.ask(packet) is None
        self.outside.answer(*lines, **more)
        assert packet[2:] not in self.udp.table.replies
        with self.outside.remembering():
            assert self.udp.ask(packet) == self.udp.sent[-1][1]
        assert packet[2:] in self.udp.table.replies
        self.udp.sent.clear()


def said(reply: dns.message.Message) -> tuple[str, list[str]]:
    """Return rcode and answer, with TTLs."""
    return dns.rcode.to_text(reply.rcode()), [line for found in reply.answer for line in found.to_text().splitlines()]


def is_authoritative(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.AA)
