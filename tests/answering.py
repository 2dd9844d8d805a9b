"""All parts that answer, without sockets and clock, for tests that give packets and check the replies."""

import dns.message
import dns.rcode
import dns.reversename

from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.resolver.search import Search
from dnsserver.server.respond import Responder
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import RRset
from dnsserver.wire.reply import compose
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Event, Put
from dnsserver.zone.static import SpecialNames
from tests.cluster import Thing, decoded, listed, namespace
from tests.outside import Outside
from tests.port import Port

_EXISTING = names.from_text("www.example.com")


def little(ask: Question, now: float) -> Outcome:
    """The whole outside: www.example.com has an IPv4 address."""
    del now
    if ask.name != _EXISTING:
        return Outcome(m.NXDOMAIN, m.EMPTY, ad=False, reason=FORWARDED, stored=0, expires=1e9)
    rrsets = (RRset(ask.name, m.A, 300, (b"\xc0\0\2\1",)),) if ask.type == m.A else ()
    return Outcome(m.NOERROR, compose(ask.name, rrsets), ad=False, reason=FORWARDED, stored=0, expires=1e9)


SHOP = namespace("shop")


class Answering:
    """A zone and all that stands in front of it, less the sockets."""

    def __init__(self, cluster: Cluster, replies: ReplyCache | None = None) -> None:
        self.cluster = cluster
        self.replies = replies or ReplyCache()
        self.port = Port(self.replies.add_table("tcp", "1"))
        self.chain = Chain([cluster, SpecialNames()], Search(cluster.domain))
        self.outside = Outside(little)
        self.responder = Responder(self.chain, self.outside, self.replies, lambda: 0.0)

    def ask(self, packet: bytes) -> bytes:
        """Return the reply, as the ports do: a kept one if there is one."""
        made = self.responder.answer(packet, self.port, 0, 0)
        assert made is not None, "the reply did not come at once"
        assert not self.responder.panics
        return made

    def apply(self, event: Event, now: float = 0) -> None:
        self.replies.drop(self.cluster.apply(event, now, 1))

    def put(self, *things: Thing) -> None:
        """Put these objects into the zone, as an event would."""
        for thing in things:
            self.apply(Put(decoded(thing)))

    def says(self, name: str, type_: str = "A") -> list[str]:
        """Return the records of the answer, or else the rcode, after so many questions that the reply is a kept one."""
        packet = dns.message.make_query(name, type_, id=0).to_wire()
        wires = [self.ask(packet) for _ in range(3)]
        reply = dns.message.from_wire(wires[-1])
        found = sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
        return found or [dns.rcode.to_text(reply.rcode())]

    def says_of(self, address: str) -> list[str]:
        """Return the names of an address."""
        return self.says(dns.reversename.from_address(address).to_text(), "PTR")


def synced(*things: Thing, cluster: Cluster | None = None) -> Answering:
    """Return all that answers, when it has seen one list of namespace `shop` and these objects."""
    made = Answering(cluster or Cluster())
    for event in listed([SHOP, *things]):
        made.apply(event)
    return made
