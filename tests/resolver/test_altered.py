"""Replies that a change can alter leave the caches, as their octets show; all others stay."""

import dns.message
import dns.name
import dns.rrset
import pytest

from dnsserver.resolver.altered import Alteration, Altered, Domains
from dnsserver.resolver.reply_cache import AgingReply, Reply
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from dnsserver.zone.record import Key, name_key

CORP = from_text("corp.example")
A_CORP = from_text("a.corp.example")
ROOT = b"\0"


def octets(text: str) -> tuple[bytes, bytes]:
    """Return the name and the whole reply, less its ID, of `NAME [ALIAS ...]`: an A record at the end of the chain."""
    first, *aliases = [dns.name.from_text(name) for name in text.split()]
    reply = dns.message.make_response(dns.message.make_query(first, "A"))
    owner = first
    for alias in aliases:
        reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", alias.to_text()))
        owner = alias
    reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "A", "192.0.2.1"))
    return from_text(text.split(maxsplit=1)[0].lower()), reply.to_wire()[2:]


@pytest.mark.parametrize(
    ("domains", "spared", "names", "touched"),
    [
        ([CORP], [], "host.corp.example", True),
        ([CORP], [], "corp.example", True),
        ([CORP], [], "host.CORP.example", True),
        ([CORP], [], "corp.example.com", False),
        ([CORP], [], "host.corp.test", False),
        ([CORP], [], "www.example", False),
        ([CORP], [], "xcorp.example", False),
        ([CORP], [], "www.test host.corp.example", True),
        ([CORP], [], "www.test host.CoRp.example", True),
        ([CORP], [], "www.example host.corp.example", True),
        ([CORP], [], "www.test www.example", False),
        ([CORP], [A_CORP], "host.a.corp.example", False),
        ([CORP], [A_CORP], "host.b.corp.example", True),
        ([A_CORP], [CORP], "host.a.corp.example", True),
        ([A_CORP], [CORP], "host.b.corp.example", False),
        ([ROOT], [CORP], "www.test", True),
        ([ROOT], [CORP], "host.corp.example", False),
        ([ROOT], [CORP], "host.corp.example www.test", True),
        ([ROOT], [], "host.corp.example", True),
        ([], [CORP], "host.corp.example", False),
        ([from_text(f"d{number}.test") for number in range(20)], [], "host.d7.test", True),
        ([from_text(f"d{number}.test") for number in range(20)], [], "host.d77.test", False),
        ([from_text(f"d{number}.test") for number in range(20)], [], "www.example host.d7.test", True),
    ],
)
def test_names_below_a_domain(domains: list[bytes], spared: list[bytes], names: str, touched: bool) -> None:
    name, reply = octets(names)
    assert Domains(domains, spared).touches(name, reply) is touched


def aging(names: str, lasts: float = 300.0, qtype: int = m.A, depends: tuple[Key, ...] = ()) -> AgingReply:
    _, reply = octets(names)
    made = AgingReply(reply, (qtype, 0, "forwarded"), depends, (), 0.0, lasts)
    made.key = reply[:10] + octets(names)[0]
    return made


def local(names: str, rcode: int = 0) -> Reply:
    _, reply = octets(names)
    made = Reply(reply, (m.A, rcode, "ok"), ((b"ns",),))
    made.key = reply[:10] + octets(names)[0]
    return made


SVC = b"\x03svc" + from_text("cluster.local")
WEB = "web.shop.svc.cluster.local"
REWRITTEN = name_key(from_text("host.corp.example"))


@pytest.mark.parametrize(
    ("altered", "reply", "is_altered"),
    [
        (Altered(), aging("www.test"), False),
        (Altered(everything=True), aging("www.test"), True),
        (Altered(everything=True), local(WEB), True),
        (Altered(cluster=True), local(WEB), True),
        (Altered(cluster=True), aging("www.test"), False),
        (Altered(cluster=True), aging(f"{WEB} www.test", depends=(b"ns",)), True),
        (Altered(domains=frozenset({CORP})), aging("host.corp.example"), True),
        (Altered(domains=frozenset({CORP})), local("host.corp.example"), True),
        (Altered(domains=frozenset({CORP})), local(f"{WEB} host.corp.example"), True),
        (Altered(domains=frozenset({CORP})), local(WEB), False),
        (Altered(routes=frozenset({CORP})), aging("host.corp.example"), True),
        (Altered(routes=frozenset({CORP})), local("host.corp.example"), False),
        (Altered(routes=frozenset({ROOT})), aging("www.test"), True),
        (Altered(routes=frozenset({ROOT})), local(WEB), False),
        (Altered(routes=frozenset({ROOT}), other_routes=frozenset({CORP})), aging("host.corp.example"), False),
        (Altered(types=frozenset({m.AAAA})), aging("www.test", qtype=m.AAAA), True),
        (Altered(types=frozenset({m.AAAA})), aging("www.test"), False),
        (Altered(completed=SVC), local(WEB), False),
        (Altered(completed=SVC), local("www.test.shop.svc.cluster.local", m.NXDOMAIN), True),
        (Altered(completed=SVC), aging("www.test.shop.svc.cluster.local www.test"), True),
        (Altered(completed=SVC), aging("www.test"), False),
        # the name that was looked up in place of the one that was asked
        (Altered(routes=frozenset({CORP})), aging("www.test", depends=(REWRITTEN,)), True),
        (Altered(domains=frozenset({CORP})), aging("www.test", depends=(REWRITTEN,)), True),
        (Altered(domains=frozenset({from_text("other")})), aging("www.test", depends=(REWRITTEN,)), False),
        (Altered(longer_than=60), aging("www.test", 300), True),
        (Altered(longer_than=60), aging("www.test", 60), False),
        (Altered(longer_than=60), local(WEB), False),
    ],
)
def test_a_reply_is_altered(altered: Altered, reply: Reply, is_altered: bool) -> None:
    assert Alteration(altered).of_reply(reply) is is_altered
    if is_altered:
        assert altered.of_replies
