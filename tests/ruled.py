"""A server with rules, without sockets and clock: it takes the text of a configuration, and answers questions."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from dnsserver.app.local_data import LocalData, read_texts
from dnsserver.config import Config, load
from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.resolver.chain import Chain, Source
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.resolver.search import Search
from dnsserver.server.families import WithoutIPv6
from dnsserver.server.respond import Responder
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.reply import whole_body
from dnsserver.wire.zonefile import read_zone
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import KINDS, Event, Put, Remove
from dnsserver.zone.static import SpecialNames, StaticZone
from tests.cluster import Thing, decoded, endpoint, endpoints, listed, namespace, service
from tests.outside import Outside, Tell, rrset, text
from tests.port import Port

PORTS = (("http", "TCP", 80),)
THINGS = (
    namespace("shop"),
    namespace("pay"),
    service("web", "10.9.0.1", ports=PORTS),
    service("db", ports=PORTS),
    endpoints("db", endpoint("10.1.0.1", "db-0"), ports=PORTS),
    service("api", "10.9.0.2", namespace="pay"),
    service("alias", external="www.example.com"),
    service("local", external="nas.home.example"),
)
SOA = "example.com. 300 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 300"
# What the outside answers: the question, then the answer section, or nothing at all for NODATA.
WORLD = {
    "www.example.com. A": ["www.example.com. 300 IN A 192.0.2.1"],
    "www.example.com. AAAA": ["www.example.com. 300 IN AAAA 2001:db8::1"],
    "mail.example.com. A": ["mail.example.com. 60 IN CNAME www.example.com.", "www.example.com. 300 IN A 192.0.2.1"],
    "example.com. MX": ["example.com. 60 IN MX 10 mail.example.com."],
    "_sip._tcp.example.com. SRV": ["_sip._tcp.example.com. 60 IN SRV 1 2 5060 sip.example.com."],
    "host.dn.example.com. A": [
        "dn.example.com. 60 IN DNAME example.com.",
        "host.dn.example.com. 60 IN CNAME www.example.com.",
        "www.example.com. 300 IN A 192.0.2.1",
    ],
    "nas.example.com. A": ["nas.example.com. 60 IN CNAME nas.home.example.", "nas.home.example. 60 IN A 198.51.100.9"],
    "web.pay.svc.cluster.local. A": ["web.pay.svc.cluster.local. 60 IN A 203.0.113.7"],
}
ZONE = """\
$ORIGIN corp.example.
@ 300 IN SOA ns hostmaster 1 7200 1800 86400 60
files 300 IN A 192.0.2.20
store 300 IN CNAME nas.home.example.
"""


def told(world: dict[str, list[str]]) -> Tell:
    """Return what such a world says: a question's records; nothing of another type; else that there is no such name."""
    known = {key.split()[0] for key in world}

    def tell(ask: Question, now: float) -> Outcome:
        lines = world.get(text(ask))
        rcode = m.NOERROR if names.to_text(ask.name) in known else m.NXDOMAIN
        body = whole_body(ask.name, [rrset(line) for line in lines or ()], [] if lines else [rrset(SOA)])
        return Outcome(rcode, body, True, FORWARDED, now, now + 60)

    return tell


def config_of(text: str) -> Config:
    """Return the configuration that a text is; files it names are in a folder of their own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_text(text)
        return load(path)


class Ruled:
    """A server of some objects and these rules, asked over TCP."""

    def __init__(
        self,
        text: str = "",
        *things: Thing,
        later: bool = False,
        world: dict[str, list[str]] | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.now = 0.0
        self.cluster = Cluster()
        for event in listed([*THINGS, *things]):
            self.cluster.apply(event, 0, 1)
        self.replies = ReplyCache()
        self.port = Port(self.replies.add_table("tcp", "1"))
        self.outside = outside or Outside(told(WORLD if world is None else world), late=later)
        self.outside.clock = lambda: self.now
        self.config = config = config_of(text)
        found = LocalData(config, read_texts(config)).rules
        sources: list[Source] = [self.cluster, StaticZone(read_zone(ZONE)), SpecialNames()]
        search = Search(self.cluster.domain) if config.search.enabled else None
        self.chain = Chain(sources, search, found)
        self.cluster.elsewhere = None if found is None else found.concerns
        seen = self.outside if config.ipv6 == "on" else WithoutIPv6(self.outside)
        self.responder = Responder(self.chain, seen, self.replies, lambda: self.now, services=self.cluster)

    def reply(self, name: str, rtype: str = "A", **more: Any) -> dns.message.Message | None:
        """Return the reply to a question, None for none."""
        query = dns.message.make_query(name, rtype, use_edns=0, **more)
        made = self.responder.answer(query.to_wire(), self.port, 0, self.now)
        if made is None:
            self.outside.finish()
            made = self.port.sent.pop()[1] if self.port.sent else None
        assert not self.responder.panics
        if made is None:
            return None
        message = dns.message.from_wire(made, one_rr_per_rrset=True)
        assert message.question == query.question
        return message

    def ask(self, name: str, rtype: str = "A", **more: Any) -> str:
        """Return rcode and records of the reply as one text: `NOERROR aa: OWNER TTL TYPE DATA; ... SOA OWNER TTL`."""
        message = self.reply(name, rtype, **more)
        return "no reply" if message is None else shown(message)

    def apply(self, event: Event) -> None:
        self.replies.drop(self.cluster.apply(event, self.now, 1))

    def put(self, thing: Thing) -> None:
        self.apply(Put(decoded(thing)))

    def remove(self, thing: Thing) -> None:
        put = decoded(thing)
        self.apply(Remove(KINDS[type(put)], put.metadata.namespace, put.metadata.name))


def shown(message: dns.message.Message) -> str:
    """Return what a reply says."""
    head = dns.rcode.to_text(message.rcode()) + (" aa" if message.flags & dns.flags.AA else "")
    head += " ad" if message.flags & dns.flags.AD else ""
    records = [_line(rrset) for rrset in message.answer]
    soas = [f"SOA {rrset.name} {rrset.ttl}" for rrset in message.authority]
    return f"{head}: {'; '.join([*records, *soas])}"


def _line(found: dns.rrset.RRset) -> str:
    return f"{found.name} {found.ttl} {dns.rdatatype.to_text(found.rdtype)} {found[0]}"
