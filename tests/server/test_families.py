"""`ipv6 = "off"`: what is said about the AAAA of an outside name, whatever its A says."""

from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsserver.forward.outcome import Question
from dnsserver.resolver.chain import Chain
from dnsserver.server.families import WithoutIPv6
from dnsserver.server.respond import Responder
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.zone.record import Reason
from dnsserver.zone.static import SpecialNames
from tests.cluster import service
from tests.server.unplugged import SOA, THINGS, WWW, Server, said

V4, V6 = f"{WWW} 300 IN A 192.0.2.1", f"{WWW} 300 IN AAAA 2001:db8::1"
NO_IPV6 = "ns. hostmaster. 1 7200 1800 86400 30"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server to whose pods no IPv6 address is of use."""
    made = Server(*THINGS, service("dual", "10.9.0.4", "fd00::4"))
    made.responder = Responder(
        Chain([made.cluster, SpecialNames()]), WithoutIPv6(made.outside), made.replies, lambda: made.now
    )
    yield made
    assert not made.responder.panics


def ask(server: Server, name: str, type_: str = "AAAA", **options: Any) -> bytes | None:
    return server.udp.ask(dns.message.make_query(name, type_, id=7, **options).to_wire())


@pytest.mark.parametrize(
    ("records", "authority", "rcode", "expected"),
    [
        ([V4], [], m.NOERROR, ("NOERROR", [])),
        ([f"{WWW} 60 IN CNAME far.example.", "far.example. 60 IN A 192.0.2.1"], [], m.NOERROR,
         ("NOERROR", [f"{WWW} 60 IN CNAME far.example."])),
        ([], [SOA], m.NOERROR, ("NOERROR", [])),
        ([f"{WWW} 60 IN CNAME far.example."], [SOA], m.NOERROR, ("NOERROR", [f"{WWW} 60 IN CNAME far.example."])),
        ([], [SOA], m.NXDOMAIN, ("NXDOMAIN", [])),
        ([f"{WWW} 60 IN CNAME gone.example.com."], [SOA], m.NXDOMAIN,
         ("NXDOMAIN", [f"{WWW} 60 IN CNAME gone.example.com."])),
        ([], [], m.SERVFAIL, ("SERVFAIL", [])),
        ([], [], m.REFUSED, ("REFUSED", [])),
    ],
)  # fmt: skip
def test_what_aaaa_says_follows_from_what_a_says(
    server: Server, records: list[str], authority: list[str], rcode: int, expected: tuple[str, list[str]]
) -> None:
    assert ask(server, WWW) is None
    assert server.outside.open == [f"{WWW} A"]
    server.outside.answer(*records, authority=authority, rcode=rcode)
    reply = server.late()
    assert said(reply) == expected
    if expected[0] == "NOERROR":
        assert [rrset.rdtype for rrset in reply.authority] == [m.SOA]  # without one nobody could keep it


@pytest.mark.parametrize("options", [{"want_dnssec": True, "use_edns": 0}, {"flags": dns.flags.RD | dns.flags.CD}])
def test_what_a_validator_asks_is_not_altered(server: Server, options: dict[str, Any]) -> None:
    assert ask(server, WWW, **options) is None
    assert server.outside.open == [f"{WWW} AAAA"]
    server.outside.answer(V6)
    assert said(server.late()) == ("NOERROR", [V6])


@pytest.mark.parametrize(("type_", "record"), [("A", V4), ("TXT", f'{WWW} 300 IN TXT "x"')])
def test_other_types_are_what_they_are(server: Server, type_: str, record: str) -> None:
    assert ask(server, WWW, type_) is None
    assert server.outside.open == [f"{WWW} {type_}"]
    server.outside.answer(record)
    assert said(server.late()) == ("NOERROR", [record])


def test_addresses_of_the_cluster_are_answered(server: Server) -> None:
    reply = ask(server, "dual.shop.svc.cluster.local.")
    assert reply is not None
    assert said(dns.message.from_wire(reply))[1] == ["dual.shop.svc.cluster.local. 5 IN AAAA fd00::4"]


def test_behind_an_external_name_it_is_the_same(server: Server) -> None:
    assert ask(server, "alias.shop.svc.cluster.local.") is None
    assert server.outside.open == [f"{WWW} A"]
    server.outside.answer(V4)
    reply = server.late()
    assert said(reply) == ("NOERROR", [f"alias.shop.svc.cluster.local. 5 IN CNAME {WWW}"])
    assert [rrset.to_text() for rrset in reply.authority] == [f"{WWW} 30 IN SOA {NO_IPV6}"]


def test_a_chain_that_leads_back_to_the_cluster_has_its_addresses(server: Server) -> None:
    assert ask(server, WWW) is None
    target = "dual.shop.svc.cluster.local."
    server.outside.answer(f"{WWW} 60 IN CNAME {target}", follow=target)
    assert said(server.late())[1] == [f"{WWW} 60 IN CNAME {target}", f"{target} 5 IN AAAA fd00::4"]


def test_it_lasts_no_longer_than_the_address_that_it_was_read_from(server: Server) -> None:
    assert ask(server, WWW) is None
    server.outside.answer(f"{WWW} 9 IN A 192.0.2.1")
    assert [rrset.ttl for rrset in server.late().authority] == [9]
    with server.outside.remembering():
        assert ask(server, WWW) is not None  # kept from here on
    server.now += 1
    assert ask(server, WWW) is not None
    server.now += 7
    reply = ask(server, WWW)
    assert reply is not None
    assert [rrset.ttl for rrset in dns.message.from_wire(reply).authority] == [1]
    assert server.outside.hits == [(Question(names.from_text(WWW), m.A), 1)]
    server.now += 1
    assert ask(server, WWW) is None


@pytest.mark.parametrize("kept", [True, False])
def test_it_can_be_kept_by_others_as_long_as_the_address_lasts(server: Server, *, kept: bool) -> None:
    assert ask(server, WWW) is None
    server.outside.answer(V4)
    with server.outside.remembering():
        for age in (0, 1, 29, 40, 200, 295):
            server.now = 1000.0 + age
            reply = ask(server, WWW if kept else WWW.upper())
            assert reply is not None
            (ttl,) = [rrset.ttl for rrset in dns.message.from_wire(reply).authority]
            assert 1 <= ttl <= min(30, 300 - age)


def test_a_stale_address_says_so_of_its_family(server: Server) -> None:
    assert ask(server, WWW, use_edns=0) is None
    server.outside.answer(V4, reason=Reason("stale", m.EDE.STALE_ANSWER))
    reply = server.late()
    assert said(reply) == ("NOERROR", [])
    assert [option.otype for option in reply.options] == [15]
