"""Zone files with wildcards: every name and type as NSD and Knot answer it from the same file (RFC 4592)."""

from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from dnsserver.wire.name import from_text
from dnsserver.wire.zonefile import read_zone
from dnsserver.zone.static import StaticZone
from loadtest.questions import Question
from tests.bench.processes import found
from tests.bench.yardsticks import ALL, Yardstick, Zone, serving
from tests.zone.asking import lines

pytestmark = pytest.mark.e2e

ORIGIN = "wild.example"
# The zone of RFC 4592 section 2.2.1 without its delegation, and what that leaves out.
RECORDS = """\
@ 3600 IN SOA ns hostmaster 1 7200 1800 86400 60
@ 3600 IN NS ns
ns 300 IN A 192.0.2.53
* 300 IN TXT "this is a wildcard"
* 300 IN MX 10 host1
sub.* 300 IN TXT "this is not a wildcard"
host1 300 IN A 192.0.2.1
_ssh._tcp.host1 300 IN SRV 0 0 22 host1
_ssh._tcp.host2 300 IN SRV 0 0 22 host2
*.addr 300 IN A 192.0.2.2
*.addr 60 IN AAAA 2001:db8::2
known.addr 300 IN TXT "only text"
a.deep.addr 300 IN A 192.0.2.3
*.alias 300 IN CNAME host1
*.dangling 300 IN CNAME nothing.host1
*.onward 300 IN CNAME x.addr
*.twice 300 IN CNAME x.alias
*.itself 300 IN CNAME y.known.addr
plain 300 IN CNAME z.addr
text.*.empty 300 IN TXT "below a wildcard that is empty"
*.* 300 IN TXT "two asterisks"
*.star.host1 300 IN A 192.0.2.4
x*.odd 300 IN A 192.0.2.5
**.odd 300 IN A 192.0.2.6
"""
_NAMES = """\
@ ns * host1 host2 host3 foo.bar *.foo sub.* ghost.* sub.sub.* a.b.* *.* x.*.*
_tcp.host1 _ssh._tcp.host1 _telnet._tcp.host1 _tcp.host2 _ssh._tcp.host2 x.host1 x.ns
addr *.addr x.addr x.y.addr X.ADDR known.addr x.known.addr deep.addr a.deep.addr b.deep.addr x.a.deep.addr *.deep.addr
x.*.addr *.*.addr alias *.alias x.alias x.y.alias *.x.alias dangling x.dangling *.dangling x.onward x.y.onward *.onward
x.twice *.twice x.itself plain x.plain empty *.empty x.empty x.y.empty text.*.empty text.x.empty z.*.empty
star.host1 x.star.host1 x.y.star.host1 *.star.host1 odd x*.odd xy.odd **.odd y.odd x.x*.odd \\042 \\042.addr
"""
TYPES = ("A", "AAAA", "TXT", "MX", "CNAME", "SRV", "NS", "SOA", "TYPE1000")

Shown = tuple[str, list[str], list[str]]


def full(name: str) -> str:
    return f"{ORIGIN}." if name == "@" else f"{name}.{ORIGIN}."


def ours(zone: StaticZone, name: str, type_: str) -> Shown:
    answer = zone.answer(from_text(name).lower(), dns.rdatatype.from_text(type_))
    assert answer is not None
    records = [f"{rrset.ttl} {line}" for rrset in answer.answer for line in lines(rrset)]
    negative = [f"{rrset.ttl} {rrset.type}" for rrset in answer.authority]
    return dns.rcode.to_text(dns.rcode.Rcode(answer.rcode)), records, negative


def theirs(port: int, name: str, type_: str) -> Shown:
    query = dns.message.make_query(name, type_, flags=0)
    reply = dns.query.udp(query, "127.0.0.1", port=port, timeout=5, one_rr_per_rrset=True)
    assert reply.flags & dns.flags.AA
    records = [
        f"{rrset.ttl} {rrset.name.to_text().lower()} {dns.rdatatype.to_text(rrset.rdtype)} {rrset[0].to_text()}"
        for rrset in reply.answer
    ]
    negative = [f"{rrset.ttl} {rrset.rdtype}" for rrset in reply.authority if rrset.rdtype == dns.rdatatype.SOA]
    return dns.rcode.to_text(reply.rcode()), records, negative


@pytest.fixture(scope="module", params=[one for one in ALL if one.name in {"NSD", "Knot"}], ids=lambda one: one.name)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a server that answers from the same zone file."""
    other: Yardstick = request.param
    if found(other.program) is None:
        pytest.skip(f"needs {other.program} (Debian: {other.package})")
    folder: Path = tmp_path_factory.mktemp("other")
    with serving(other, folder, Zone(ORIGIN, RECORDS.splitlines(), Question(f"host1.{ORIGIN}", "A"))) as running:
        yield running.port


def test_every_name_and_type_is_answered_as_others_do(port: int) -> None:
    zone = StaticZone(read_zone(RECORDS, ORIGIN))
    different = {}
    for name in map(full, _NAMES.split()):
        for type_ in TYPES:
            mine, other = ours(zone, name, type_), theirs(port, name, type_)
            if mine != other:
                different[name, type_] = (mine, other)
    assert not different
