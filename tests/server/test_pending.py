"""Questions that wait for the outside, which answers on a test's command, while the zone changes."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsserver.forward.outcome import LOOP, STALE, UPSTREAM_TIMEOUT, Outcome, Question
from dnsserver.server.guard import Guard
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import Body
from dnsserver.zone.model import Kind
from tests.cluster import service
from tests.server.unplugged import ADDRESS, ALIAS, SOA, THINGS, WWW, Server, is_authoritative, said


@pytest.fixture
def server() -> Server:
    return Server()


# --- a name outside


def test_who_asked_gets_what_the_outside_says(server: Server) -> None:
    query = server.start(WWW)
    assert server.outside.open == [f"{WWW} A"]
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
    assert server.outside.open == [f"{WWW} A"]


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
    assert server.outside.open == ["mail.example.com. A"]
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


def test_what_ends_when_an_upstream_is_back_is_not_kept(server: Server) -> None:
    packet = dns.message.make_query(WWW, "A", id=7, use_edns=0, payload=1232).to_wire()
    for rcode, reason in ((m.SERVFAIL, UPSTREAM_TIMEOUT), (m.NOERROR, STALE)):
        assert server.udp.ask(packet) is None
        server.outside.answer(rcode=rcode, reason=reason, lasts=30)
        with server.outside.remembering():
            assert server.udp.ask(packet) is not None
        assert packet[2:] not in server.udp.table.replies


def test_popularity_is_told(server: Server) -> None:
    server.keep(WWW, ADDRESS)
    for _ in range(5):
        server.at_once(WWW)
    server.now += 10
    server.at_once(WWW)
    assert [(ask.name, hits) for ask, hits in server.outside.hits] == [(names.from_text(WWW), 5)]


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
    server.outside.known[Question(names.from_text(WWW), m.A)] = Outcome(m.REFUSED, m.EMPTY, False, LOOP, 0, 0)
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
    assert server.outside.open == [f"{WWW} A"]
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
        assert server.outside.open == ["new.example.com. A"]
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
    assert server.outside.open == ["far.example.com. A"]
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


# --- limits


@pytest.mark.parametrize("truncates", [False, True])
def test_a_client_with_too_many_questions_under_way_waits_for_its_answers(truncates: bool) -> None:
    server = Server(guard=Guard([], in_flight=1, truncates=truncates))
    packets = [dns.message.make_query(f"{number}.example.com", "A", id=number).to_wire() for number in range(3)]
    assert server.udp.ask(packets[0], client=1) is None
    turned_away = server.udp.ask(packets[1], client=1)
    assert (turned_away is not None) == truncates
    assert server.udp.ask(packets[1], client=2) is None
    assert server.outside.open == ["0.example.com. A", "1.example.com. A"]
    server.outside.fail()
    assert server.udp.ask(packets[2], client=1) is None
    assert server.outside.open == ["1.example.com. A", "2.example.com. A"]
