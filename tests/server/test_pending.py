"""Questions that wait for the outside, which answers when the test says so, while the zone changes under them.

Over 400 lines: what leads outside (CNAME, search list, chains back) times what can change meanwhile.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from dnsserver.forward.outcome import FORWARDED, LOOP, UPSTREAM_TIMEOUT, Asker, Cork, Outcome, Question, Waiter
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.resolver.search import Search
from dnsserver.server.guard import Guard
from dnsserver.server.respond import Responder
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import Body, RRset
from dnsserver.wire.reply import whole_body
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, Put, Remove
from dnsserver.zone.record import Reason
from dnsserver.zone.static import SpecialNames
from tests.cluster import Thing, decoded, listed, namespace, service
from tests.forward.scripted import rrset as parsed

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


def rrset(line: str) -> RRset:
    """Return the RRset that a line of a master file shows, as the server has it."""
    found = parsed(line)
    name = names.from_text(found.name.to_text()).lower()
    return RRset(name, int(found.rdtype), found.ttl, tuple(rdata.to_wire() for rdata in found))


class Outside:
    """Keeps the questions until the test answers them, but for those that are `known` already."""

    def __init__(self, server: "Server") -> None:
        self.cork = Cork()
        self.server = server
        self.known: dict[Question, Outcome] = {}
        self.said: dict[Question, Outcome] = {}
        self.waiting: list[tuple[Question, Waiter]] = []
        self.recorded: list[tuple[Question, int]] = []
        self.looping: set[bytes] = set()  # names of probes of our own, as they come back in a loop

    @property
    def asked(self) -> list[str]:
        return [f"{names.to_text(ask.name)} {m.type_name(ask.type)}" for ask, _ in self.waiting]

    def answer(
        self, *lines: str, authority: Sequence[str] = (), lasts: float | None = None, rcode: int = 0, **more: Any
    ) -> None:
        """Answer the oldest question; it `lasts` as long as its shortest TTL."""
        ask, waiter = self.waiting.pop(0)
        sections = [[rrset(line) for line in section] for section in (lines, authority)]
        body = whole_body(ask.name, *sections)
        if lasts is None:
            lasts = min((found.ttl for section in sections for found in section), default=0)
        self.said[ask] = self.deliver(waiter, body, lasts, rcode, **more)

    def deliver(
        self,
        waiter: Waiter,
        body: Body,
        lasts: float,
        rcode: int = 0,
        *,
        ad: bool = False,
        reason: Reason = FORWARDED,
        follow: str = "",
        age: float = 0,
    ) -> Outcome:
        stored = self.server.now - age
        left = names.from_text(follow) if follow else None
        outcome = Outcome(rcode, body, ad, reason, stored, stored + lasts, left)
        waiter.deliver(outcome)
        return outcome

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Have known for once what was said before, as the cache of outcomes does."""
        self.known = self.said
        yield
        self.known = {}

    def fail(self) -> None:
        self.answer(rcode=m.SERVFAIL, reason=UPSTREAM_TIMEOUT)

    def answer_now(self, ask: Question, now: float) -> Outcome | None:
        if ask.name in self.looping:
            return Outcome(m.REFUSED, m.EMPTY, False, LOOP, now, now)
        return self.known.get(ask)

    def start(self, ask: Question, waiter: Waiter, now: float, packet: bytes = b"") -> None:
        del now, packet
        self.waiting.append((ask, waiter))

    def record_hits(self, ask: Question, hits: int = 1) -> None:
        self.recorded.append((ask, hits))

    def uncork(self) -> None:
        pass


class Port:
    """A UDP socket, or with `stream` a TCP connection, without the socket."""

    def __init__(self, server: "Server", *, stream: bool) -> None:
        self.server = server
        self.stream = stream
        self.table = server.replies.add_table("tcp" if stream else "udp", "1")
        self.sent: list[tuple[int, bytes]] = []

    def begin_deferred(self, index: int) -> int:
        return index

    def peer_address(self, index: int) -> bytes:
        return bytes((10, 0, 0, index))

    def asker(self, client: Any, identifier: bytes) -> Asker:
        return b"", (client, identifier)

    def send(self, wire: bytes, client: int) -> None:
        self.sent.append((client, wire))

    def ask(self, packet: bytes, client: int = 0) -> bytes | None:
        """Return the reply if it comes at once, as the real ports do."""
        return self.server.responder.answer(packet, self, client, self.server.now)


class Server:
    """What answers, less the sockets, the upstreams and the clock."""

    def __init__(self, *things: Thing, guard: Guard | None = None, node_domains: Sequence[str] = ()) -> None:
        self.now = 1000.0
        self.cluster = Cluster()
        self.replies = ReplyCache()
        self.outside = Outside(self)
        search = Search(self.cluster.domain, [names.from_text(domain) for domain in node_domains])
        chain = Chain([self.cluster, SpecialNames()], search)
        self.responder = Responder(chain, self.outside, self.replies, lambda: self.now, guard=guard)
        self.udp = Port(self, stream=False)
        self.tcp = Port(self, stream=True)
        for event in listed(things or THINGS):
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


@pytest.fixture
def server() -> Server:
    return Server()


def said(reply: dns.message.Message) -> tuple[str, list[str]]:
    """Return rcode and answer, with TTLs."""
    return dns.rcode.to_text(reply.rcode()), [line for found in reply.answer for line in found.to_text().splitlines()]


def is_authoritative(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.AA)


# --- a name outside


def test_who_asked_gets_what_the_outside_says(server: Server) -> None:
    query = server.start(WWW)
    assert server.outside.asked == [f"{WWW} A"]
    server.outside.answer(ADDRESS)
    reply = server.late()
    assert query.is_response(reply)
    assert said(reply) == ("NOERROR", [ADDRESS])
    assert not is_authoritative(reply)
    assert reply.flags & dns.flags.RA


def test_every_client_gets_a_reply_of_its_own(server: Server) -> None:
    for number in range(3):
        packet = dns.message.make_query(WWW, "A", id=number).to_wire()
        assert server.udp.ask(packet, client=number) is None
    for _ in range(3):
        server.outside.answer(ADDRESS)
    assert [(client, wire[:2]) for client, wire in server.udp.sent] == [(n, bytes((0, n))) for n in range(3)]


def test_a_kept_reply_counts_its_ttl_down_and_ends_with_it(server: Server) -> None:
    server.keep(WWW, ADDRESS)
    for age, ttl in ((0.0, 300), (0.9, 300), (1.1, 299), (59.9, 241), (299.9, 1)):
        server.now = 1000.0 + age
        assert said(server.at_once(WWW)) == ("NOERROR", [ADDRESS.replace("300", str(ttl))])
    server.now = 1300.0
    server.start(WWW)
    assert server.outside.asked == [f"{WWW} A"]


def test_an_outcome_from_the_cache_of_outcomes_is_as_old_as_it_is(server: Server) -> None:
    server.start(WWW)
    server.outside.answer(ADDRESS, age=100)
    assert said(server.late()) == ("NOERROR", [ADDRESS.replace("300", "200")])


def test_every_record_keeps_its_own_ttl(server: Server) -> None:
    lines = [f"{WWW} 300 IN CNAME cdn.example.net.", "cdn.example.net. 20 IN A 192.0.2.1"]
    server.keep(WWW, *lines)
    server.now += 5
    aged = [lines[0].replace("300", "295"), lines[1].replace("20 IN", "15 IN")]
    assert said(server.at_once(WWW)) == ("NOERROR", aged)
    server.now += 15
    server.start(WWW)


def test_ttl_0_is_not_kept(server: Server) -> None:
    for _ in range(4):
        server.start(WWW)
        server.outside.answer(ADDRESS.replace("300", "0"))
        assert said(server.late()) == ("NOERROR", [ADDRESS.replace("300", "0")])


def test_case_is_echoed_and_shared(server: Server) -> None:
    server.keep(WWW, ADDRESS)
    for spelled in ("WWW.EXAMPLE.COM.", "wWw.eXaMpLe.cOm."):
        reply = server.at_once(spelled)
        assert reply.question[0].name.to_text() == spelled
        assert said(reply) == ("NOERROR", [ADDRESS.replace(WWW, spelled)])
    server.start("Mail.Example.Com.")
    assert server.outside.asked == ["mail.example.com. A"]
    server.outside.answer("mail.example.com. 300 IN A 192.0.2.2")
    assert server.late().question[0].name.to_text() == "Mail.Example.Com."


def test_what_the_outside_does_not_know(server: Server) -> None:
    server.start(WWW)
    server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN)
    reply = server.late()
    assert said(reply) == ("NXDOMAIN", [])
    assert [found.to_text() for found in reply.authority] == [SOA]
    server.start(WWW, "AAAA")
    server.outside.answer(authority=[SOA])
    reply = server.late()
    assert said(reply) == ("NOERROR", [])
    assert [found.to_text() for found in reply.authority] == [SOA]


def test_a_failure_says_why_and_is_not_kept(server: Server) -> None:
    for _ in range(3):
        server.start(WWW)
        server.outside.fail()
        reply = server.late()
        assert said(reply) == ("SERVFAIL", [])
        assert "no upstream answered in time" in reply.options[0].to_text()


def test_popularity_is_told(server: Server) -> None:
    server.keep(WWW, ADDRESS)
    for _ in range(5):
        server.at_once(WWW)
    server.now += 10
    server.at_once(WWW)
    assert [(ask.name, hits) for ask, hits in server.outside.recorded] == [(names.from_text(WWW), 5)]


def test_ad_is_for_who_asks_for_it(server: Server) -> None:
    for flags, do, expected in ((0, False, False), (dns.flags.AD, False, True), (0, True, True)):
        server.start(WWW, flags=flags, want_dnssec=do)
        server.outside.answer(ADDRESS, ad=True)
        assert bool(server.late().flags & dns.flags.AD) is expected
    server.start(ALIAS, flags=dns.flags.AD)
    server.outside.answer(ADDRESS, ad=True)
    assert not server.late().flags & dns.flags.AD  # the first record is nobody's signed data


def test_an_own_question_that_comes_back_is_refused(server: Server) -> None:
    query = dns.message.make_query(WWW, "A", id=7, use_edns=0)
    server.outside.looping.add(names.from_text(WWW))
    wire = server.udp.ask(query.to_wire())
    assert wire is not None
    reply = dns.message.from_wire(wire)
    assert said(reply) == ("REFUSED", [])
    assert "it forwards to this server" in reply.options[0].to_text()
    assert not server.outside.waiting


def test_a_large_answer_is_whole_over_tcp_and_cut_over_udp(server: Server) -> None:
    lines = [f'{WWW} 300 IN TXT "{number:03} {"x" * 200}"' for number in range(20)]
    packet = dns.message.make_query(WWW, "TXT", id=7, use_edns=0, payload=4096).to_wire()
    for port in (server.tcp, server.udp):
        assert port.ask(packet) is None
        server.outside.answer(*lines)
    whole, cut = (dns.message.from_wire(port.sent[0][1]) for port in (server.tcp, server.udp))
    assert sorted(said(whole)[1]) == sorted(lines)
    assert not whole.flags & dns.flags.TC
    assert cut.flags & dns.flags.TC
    assert len(server.udp.sent[0][1]) <= 1232
    assert said(cut)[1] == said(whole)[1][: len(said(cut)[1])]


@pytest.mark.parametrize("name", [WWW, ALIAS])
def test_a_reply_that_was_cut_ages_in_its_records_and_nowhere_else(server: Server, name: str) -> None:
    # Behind the last record that had room stands the OPT, and its flags are not a TTL.
    lines = [f"{WWW} 300 IN A 192.0.2.{number}" for number in range(120)]
    server.start(name, want_dnssec=True)
    server.outside.answer(*lines)
    server.late()
    with server.outside.remembering():
        server.at_once(name, want_dnssec=True)
    server.now += 10
    reply = server.at_once(name, want_dnssec=True)
    assert reply.flags & dns.flags.TC
    assert (reply.edns, reply.payload, reply.ednsflags) == (0, 1232, dns.flags.DO)
    assert {found.ttl for found in reply.answer} == ({290} if name == WWW else {290, 5})


def test_what_cannot_be_read_fails_this_one_question(server: Server) -> None:
    server.start(ALIAS)
    _, waiter = server.outside.waiting.pop()
    server.outside.deliver(waiter, Body(3, 0, 0, b"\xc0\x0c"), 60)
    assert said(server.late()) == ("SERVFAIL", [])
    server.start(ALIAS)


# --- an ExternalName


@pytest.mark.parametrize(
    ("answer", "authority", "rcode", "expected"),
    [
        ([ADDRESS], [], m.NOERROR, "NOERROR"),
        ([], [SOA], m.NOERROR, "NOERROR"),
        ([], [SOA], m.NXDOMAIN, "NXDOMAIN"),
        ([f"{WWW} 60 IN CNAME gone.example.com."], [SOA], m.NXDOMAIN, "NXDOMAIN"),
        ([], [], m.SERVFAIL, "SERVFAIL"),
        ([], [], m.REFUSED, "REFUSED"),
    ],
)
def test_an_alias_has_the_rcode_and_soa_of_its_last_step(
    server: Server, answer: list[str], authority: list[str], rcode: int, expected: str
) -> None:
    server.start(ALIAS)
    assert server.outside.asked == [f"{WWW} A"]
    server.outside.answer(*answer, authority=authority, rcode=rcode)
    reply = server.late()
    assert said(reply) == (expected, [f"{ALIAS} 5 IN CNAME {WWW}", *answer])
    assert [found.to_text() for found in reply.authority] == authority
    assert is_authoritative(reply)


def test_only_what_came_from_outside_counts_down(server: Server) -> None:
    server.keep(ALIAS, ADDRESS)
    server.now += 100
    assert said(server.at_once(ALIAS))[1] == [f"{ALIAS} 5 IN CNAME {WWW}", ADDRESS.replace("300", "200")]


def test_a_kept_alias_goes_with_its_service(server: Server) -> None:
    for _ in range(2):
        server.keep(ALIAS, ADDRESS)
        server.put(service("alias", "10.9.0.2"))
        assert said(server.at_once(ALIAS)) == ("NOERROR", [f"{ALIAS} 5 IN A 10.9.0.2"])
        server.put(service("alias", external="www.example.com"))


def test_a_service_that_stops_being_an_alias_meanwhile(server: Server) -> None:
    for _ in range(2):  # the second time a finished reply would be worth keeping
        server.put(service("alias", external="www.example.com"))
        server.start(ALIAS)
        server.put(service("alias", "10.9.0.2"))
        server.outside.answer(ADDRESS)
        assert said(server.late()) == ("NOERROR", [f"{ALIAS} 5 IN A 10.9.0.2"])
        assert said(server.at_once(ALIAS)) == ("NOERROR", [f"{ALIAS} 5 IN A 10.9.0.2"])


def test_an_alias_whose_target_changes_meanwhile(server: Server) -> None:
    for _ in range(2):
        server.put(service("alias", external="www.example.com"))
        server.start(ALIAS)
        server.put(service("alias", external="new.example.com"))
        server.outside.answer(ADDRESS)
        assert not server.udp.sent
        assert server.outside.asked == ["new.example.com. A"]
        server.outside.answer("new.example.com. 60 IN A 192.0.2.9")
        found = [f"{ALIAS} 5 IN CNAME new.example.com.", "new.example.com. 60 IN A 192.0.2.9"]
        assert said(server.late()) == ("NOERROR", found)
    with server.outside.remembering():
        server.at_once(ALIAS)
    assert said(server.at_once(ALIAS)) == ("NOERROR", found)


def test_an_alias_that_goes_meanwhile(server: Server) -> None:
    for kind, name, space in ((Kind.SERVICES, "alias", "shop"), (Kind.NAMESPACES, "shop", "")):
        server.start(ALIAS)
        server.remove(kind, name, space)
        server.outside.answer(ADDRESS)
        reply = server.late()
        assert said(reply) == ("NXDOMAIN", [])
        assert is_authoritative(reply)
        assert said(server.at_once(ALIAS)) == ("NXDOMAIN", [])
        server.put(*THINGS)


def test_changes_elsewhere_do_not_disturb_who_waits(server: Server) -> None:
    server.start(ALIAS)
    server.put(service("other", "10.9.0.7"))
    server.outside.answer(ADDRESS)
    assert said(server.late()) == ("NOERROR", [f"{ALIAS} 5 IN CNAME {WWW}", ADDRESS])
    assert not server.outside.waiting


def test_a_zone_that_never_rests_ends_the_pursuit(server: Server) -> None:
    server.start(ALIAS)
    for number in range(40):
        server.put(service("alias", external=f"v{number}.example.com"))
        server.outside.answer(lasts=0)
        if server.udp.sent:
            break
    assert said(server.late()) == ("SERVFAIL", [])
    assert not server.outside.waiting


# --- the outside's CNAME leads back


def test_a_chain_that_comes_back_into_the_cluster(server: Server) -> None:
    head = f"{WWW} 300 IN CNAME web.shop.svc.cluster.local."
    for _ in range(3):  # it is never kept: partly the outside's, partly the zone's
        server.start(WWW)
        server.outside.answer(head, follow="web.shop.svc.cluster.local", age=100)
        reply = server.late()
        aged = [head.replace("300", "200"), "web.shop.svc.cluster.local. 5 IN A 10.9.0.1"]
        assert said(reply) == ("NOERROR", aged)
        assert not is_authoritative(reply)
    server.start(WWW)
    server.remove(Kind.SERVICES, "web")
    server.outside.answer(head, follow="web.shop.svc.cluster.local")
    assert said(server.late()) == ("NXDOMAIN", [head])


def test_a_chain_that_comes_back_and_goes_out_again(server: Server) -> None:
    server.start(ALIAS)
    server.outside.answer(f"{WWW} 60 IN CNAME away.shop.svc.cluster.local.", follow="away.shop.svc.cluster.local")
    assert server.outside.asked == ["far.example.com. A"]
    server.outside.answer("far.example.com. 60 IN A 192.0.2.7")
    reply = server.late()
    assert said(reply)[1] == [
        f"{ALIAS} 5 IN CNAME {WWW}",
        f"{WWW} 60 IN CNAME away.shop.svc.cluster.local.",
        "away.shop.svc.cluster.local. 5 IN CNAME far.example.com.",
        "far.example.com. 60 IN A 192.0.2.7",
    ]
    assert is_authoritative(reply)


def test_a_chain_in_and_out_without_end_is_given_up(server: Server) -> None:
    server.start(ALIAS)
    turns = 0
    while server.outside.waiting:
        turns += 1
        server.outside.answer(f"{WWW} 60 IN CNAME {ALIAS}", follow=ALIAS)
    assert turns <= 16
    assert said(server.late()) == ("SERVFAIL", [])


# --- what a pod's search list makes of an outside name


NEAR = "www.example.com.corp.example."
PREFER_NEAR = ("corp.example",)
_A, _AAAA, _MX = "192.0.2.3", "2001:db8::3", "10 mail.corp.example."
NOTHING: dict[str, str] = {}


class World:
    """What is outside: of each name its records by type; what is not in it does not exist, a str is its failure."""

    def __init__(self, server: Server, names_: dict[str, dict[str, str] | str]) -> None:
        self.server = server
        self.names = names_

    def ask(self, name: str, type_: str) -> dns.message.Message:
        """Return the reply to a question; all that it needs of the outside is answered late."""
        server = self.server
        server.start(name, type_)
        for _ in range(20):
            if not server.outside.waiting:
                return server.late()
            self._answer()
        raise AssertionError("asks on and on")

    def _answer(self) -> None:
        asked, type_ = self.server.outside.asked[0].split()
        known = self.names.get(asked)
        if isinstance(known, str):
            self.server.outside.fail()
        elif known is None:
            self.server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN)
        elif type_ in known:
            self.server.outside.answer(f"{asked} 60 IN {type_} {known[type_]}")
        else:
            self.server.outside.answer(authority=[SOA])


# Of the node's domain, of the name itself: which of them is meant, None for neither, a str for the failure.
CANDIDATES: dict[str, tuple[dict[str, str] | str | None, dict[str, str] | str | None, str | None]] = {
    "the first has A": ({"A": _A}, {"A": _A, "AAAA": _AAAA}, NEAR),
    "the first has AAAA only": ({"AAAA": _AAAA}, {"A": _A}, NEAR),
    "the first has both": ({"A": _A, "AAAA": _AAAA}, None, NEAR),
    "the first is empty": (NOTHING, {"A": _A}, WWW),
    "the first has only an MX": ({"MX": _MX}, {"A": _A, "MX": _MX}, WWW),
    "the first is not there": (None, {"AAAA": _AAAA}, WWW),
    "the first fails": ("SERVFAIL", {"A": _A}, "SERVFAIL"),
    "the second fails": (None, "SERVFAIL", "SERVFAIL"),
    "both are empty": (NOTHING, {"MX": _MX}, None),
    "neither is there": (None, None, None),
}


@pytest.mark.parametrize("type_", ["A", "AAAA", "MX", "TXT", "SRV", "HTTPS", "CNAME", "ANY"])
@pytest.mark.parametrize("case", CANDIDATES)
def test_all_types_speak_of_the_first_candidate_that_has_an_address(case: str, type_: str) -> None:
    near, far, meant = CANDIDATES[case]
    server = Server(node_domains=PREFER_NEAR)
    names_ = {name: known for name, known in ((NEAR, near), (WWW, far)) if known is not None}
    reply = World(server, names_).ask(EXPANDED, type_)
    if meant is None:
        assert said(reply) == ("NXDOMAIN", [])
        assert [found.name.to_text() for found in reply.authority] == ["cluster.local."]
        return
    if meant == "SERVFAIL":
        assert said(reply) == ("SERVFAIL", [])
        return
    known = names_[meant]
    assert isinstance(known, dict)
    if type_ == "ANY":
        assert said(reply) == ("NOERROR", [f'{EXPANDED} 3789 IN HINFO "RFC8482" ""'])
        return
    data = [f"{meant} 60 IN {type_} {known[type_]}"] if type_ in known else []
    assert said(reply) == ("NOERROR", [f"{EXPANDED} 5 IN CNAME {meant}", *data])
    assert is_authoritative(reply)


def test_a_candidate_in_the_cluster_is_judged_by_what_it_leads_to() -> None:
    # `db.prod` is an ExternalName whose target exists and has no address; `db.prod.corp.example` has one.
    expanded = "db.prod.shop.svc.cluster.local."
    things = (namespace("shop"), namespace("prod"), service("db", namespace="prod", external="far.example.com"))
    server = Server(*things, node_domains=PREFER_NEAR)
    world = World(server, {"far.example.com.": NOTHING, "db.prod.corp.example.": {"A": _A}})
    assert said(world.ask(expanded, "A"))[1][0] == f"{expanded} 5 IN CNAME db.prod.corp.example."
    world.names["far.example.com."] = {"AAAA": _AAAA}
    assert said(world.ask(expanded, "AAAA"))[1] == [
        f"{expanded} 5 IN CNAME db.prod.svc.cluster.local.",
        "db.prod.svc.cluster.local. 5 IN CNAME far.example.com.",
        f"far.example.com. 60 IN AAAA {_AAAA}",
    ]


def test_what_is_asked_to_find_the_candidate_is_not_asked_again(server: Server) -> None:
    server.start(EXPANDED)
    assert server.outside.asked == [f"{WWW} A"]
    server.outside.answer(f"{WWW} 0 IN A 192.0.2.1")  # of which nothing can be kept
    assert said(server.late()) == ("NOERROR", [f"{EXPANDED} 5 IN CNAME {WWW}", f"{WWW} 0 IN A 192.0.2.1"])


def test_an_expanded_name_is_an_alias_of_what_is_found_outside(server: Server) -> None:
    server.keep(EXPANDED, ADDRESS)
    reply = server.at_once(EXPANDED)
    assert said(reply) == ("NOERROR", [f"{EXPANDED} 5 IN CNAME {WWW}", ADDRESS])
    assert is_authoritative(reply)


def test_a_kept_completion_lasts_as_long_as_all_that_it_was_worked_out_of() -> None:
    server = Server(node_domains=PREFER_NEAR)
    now = server.now
    for known, type_, answer, lasts in ((NEAR, m.A, "", 300), (NEAR, m.AAAA, "", 20), (WWW, m.A, ADDRESS, 300)):
        ask = Question(names.from_text(known), type_)
        body = whole_body(ask.name, [rrset(answer)] if answer else [], [] if answer else [rrset(SOA)])
        server.outside.known[ask] = Outcome(0, body, False, FORWARDED, now, now + lasts)
    assert said(server.at_once(EXPANDED))[1] == [f"{EXPANDED} 5 IN CNAME {WWW}", ADDRESS]
    server.outside.known.clear()
    server.now += 19
    assert said(server.at_once(EXPANDED))[0] == "NOERROR"
    server.now += 2  # and from here on the first candidate may have an address
    server.start(EXPANDED)


def test_an_expanded_name_that_is_not_found_does_not_exist_as_long_as_the_outside_says_so(server: Server) -> None:
    server.start(EXPANDED)
    server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN, lasts=60)
    reply = server.late()
    assert said(reply) == ("NXDOMAIN", [])
    assert is_authoritative(reply)
    server.now += 59
    assert said(server.at_once(EXPANDED)) == ("NXDOMAIN", [])
    server.now += 2
    server.start(EXPANDED)


@pytest.mark.parametrize("rcode", [m.SERVFAIL, m.REFUSED, m.FORMERR, m.NOTIMP])
def test_a_failure_of_the_outside_is_no_word_about_an_expanded_name(server: Server, rcode: int) -> None:
    server.start(EXPANDED)
    server.outside.answer(rcode=rcode, reason=UPSTREAM_TIMEOUT)
    reply = server.late()
    assert said(reply) == ("SERVFAIL", [])
    assert [option.code for option in reply.options if isinstance(option, dns.edns.EDEOption)] == [22]
    server.start(EXPANDED)  # nothing is kept of it


def test_a_walk_that_would_never_end_is_a_failure() -> None:
    server = Server(node_domains=[f"d{number}.example" for number in range(40)])
    server.start(EXPANDED)
    asked = 0
    while server.outside.waiting:
        asked += 1
        server.outside.answer(authority=[SOA])
    assert asked == 64
    assert said(server.late()) == ("SERVFAIL", [])


def test_a_walk_takes_as_many_domains_as_a_kubelet_gives_a_pod() -> None:
    server = Server(node_domains=[f"d{number}.example" for number in range(29)])
    server.start(EXPANDED)
    for _ in range(2 * 29):
        server.outside.answer(authority=[SOA])
    server.outside.answer(ADDRESS)
    assert said(server.late())[0] == "NOERROR"


def test_a_candidate_that_comes_to_be_while_a_later_one_is_asked_is_seen_and_nothing_old_is_kept() -> None:
    expanded = "db.prod.shop.svc.cluster.local."
    server = Server(namespace("shop"), namespace("prod"), node_domains=PREFER_NEAR)
    server.start(expanded)
    server.put(service("db", namespace="prod", external="far.example.com"))
    server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN)  # what was asked is not what is looked for any more
    assert server.outside.asked == ["far.example.com. A"]
    server.outside.answer("far.example.com. 60 IN A 192.0.2.9")
    assert said(server.late())[1][1] == "db.prod.svc.cluster.local. 5 IN CNAME far.example.com."


def test_an_expanded_name_that_is_a_services_meanwhile(server: Server) -> None:
    for _ in range(2):
        server.start(EXPANDED)
        server.put(service("com", "10.9.0.8"))
        server.outside.answer(ADDRESS)
        assert said(server.late()) == ("NXDOMAIN", [])  # too many labels left of a service
        assert said(server.at_once(EXPANDED)) == ("NXDOMAIN", [])
        server.remove(Kind.SERVICES, "com")


def test_an_expanded_name_that_is_completed_in_the_cluster_meanwhile(server: Server) -> None:
    name = "db.prod.shop.svc.cluster.local."
    server.start(name)
    server.put(namespace("prod"), service("db", "10.9.0.5", namespace="prod"))
    server.outside.answer("db.prod. 300 IN A 192.0.2.4")
    found = [f"{name} 5 IN CNAME db.prod.svc.cluster.local.", "db.prod.svc.cluster.local. 5 IN A 10.9.0.5"]
    assert said(server.late()) == ("NOERROR", found)
    assert said(server.at_once(name)) == ("NOERROR", found)


def test_a_kept_completion_goes_with_the_namespace_and_comes_back(server: Server) -> None:
    server.keep(EXPANDED, ADDRESS)
    server.remove(Kind.NAMESPACES, "shop", "")
    assert said(server.at_once(EXPANDED)) == ("NXDOMAIN", [])
    server.put(namespace("shop"))
    server.start(EXPANDED)


def test_a_kept_completion_depends_on_the_names_that_come_before_it(server: Server) -> None:
    name = "db.prod.shop.svc.cluster.local."
    server.keep(name, "db.prod. 300 IN A 192.0.2.4")
    server.put(namespace("prod"), service("db", "10.9.0.5", namespace="prod"))
    found = [f"{name} 5 IN CNAME db.prod.svc.cluster.local.", "db.prod.svc.cluster.local. 5 IN A 10.9.0.5"]
    assert said(server.at_once(name)) == ("NOERROR", found)


# --- limits


@pytest.mark.parametrize("refuses", [False, True])
def test_a_client_with_too_many_questions_under_way_waits_for_its_answers(refuses: bool) -> None:
    server = Server(guard=Guard([], in_flight=1, refuses=refuses))
    packets = [dns.message.make_query(f"{number}.example.com", "A", id=number).to_wire() for number in range(3)]
    assert server.udp.ask(packets[0], client=1) is None
    turned_away = server.udp.ask(packets[1], client=1)
    assert (turned_away is not None) == refuses
    assert server.udp.ask(packets[1], client=2) is None
    assert server.outside.asked == ["0.example.com. A", "1.example.com. A"]
    server.outside.fail()
    assert server.udp.ask(packets[2], client=1) is None
    assert server.outside.asked == ["1.example.com. A", "2.example.com. A"]
