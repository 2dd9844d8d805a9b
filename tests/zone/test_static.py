"""Fixed names: special-use ones, and a zone from a file."""

import dns.rcode
import dns.rdatatype
import pytest

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.zonefile import read_zone
from dnsserver.zone.record import Answer
from dnsserver.zone.static import SpecialNames, StaticZone
from tests.zone.asking import lines

ZONE = """\
$ORIGIN corp.example.
$TTL 300
@          3600 IN SOA ns hostmaster 1 7200 1800 86400 60
           IN NS ns
ns         IN A 192.0.2.53
a.b.c      IN A 192.0.2.1
alias      IN CNAME second
second     IN CNAME a.b.c
dangling   IN CNAME missing
away       IN CNAME www.example.org.
loop       IN CNAME loop
*.wild     IN A 192.0.2.7
x.y.wild   IN TXT "y is an empty non-terminal"
*.as       IN CNAME a.b.c
*.away     IN CNAME www.example.org.
*.turning  IN CNAME x.turning
"""


def shown(answer: Answer | None) -> tuple[str, list[str]]:
    assert answer is not None
    return dns.rcode.to_text(dns.rcode.Rcode(answer.rcode)), [line for rrset in answer.answer for line in lines(rrset)]


def ask(source: SpecialNames | StaticZone, name: str, type_: str = "A") -> Answer | None:
    return source.answer(names.from_text(name), dns.rdatatype.from_text(type_))


@pytest.mark.parametrize(
    ("name", "type_", "rcode", "records"),
    [
        ("localhost", "A", "NOERROR", ["localhost. A 127.0.0.1"]),
        ("x.localhost", "AAAA", "NOERROR", ["x.localhost. AAAA ::1"]),
        ("localhost", "MX", "NOERROR", []),
        ("invalid", "A", "NXDOMAIN", []),
        ("x.invalid", "TXT", "NXDOMAIN", []),
        ("abc.onion", "A", "NXDOMAIN", []),
        ("alt", "A", "NXDOMAIN", []),
        ("www.gnu.alt", "HTTPS", "NXDOMAIN", []),
        ("resolver.arpa", "A", "NOERROR", []),
        ("_dns.resolver.arpa", "SVCB", "NOERROR", []),
        ("x.y.resolver.arpa", "TXT", "NOERROR", []),
    ],
)
def test_special_names(name: str, type_: str, rcode: str, records: list[str]) -> None:
    answer = ask(SpecialNames(), name, type_)
    assert shown(answer) == (rcode, records)
    assert answer is not None
    assert bool(answer.authority) is not bool(records)


@pytest.mark.parametrize("name", ["internal", "db.internal", "1.1.168.192.in-addr.arpa"])
def test_local_domains_do_not_exist(name: str) -> None:
    kept = SpecialNames([names.from_text("internal"), names.from_text("168.192.in-addr.arpa")])
    answer = ask(kept, name)
    assert answer is not None
    assert shown(answer) == ("NXDOMAIN", [])
    assert answer.authority[0].name in kept.ends
    assert ask(SpecialNames(), name) is None
    assert ask(kept, "x.notinternal") is None


@pytest.mark.parametrize(
    "name",
    [
        "arpa",
        "xresolver.arpa",
        "home.arpa",
        "local",
        "salt",
        "localhost.example",
        "notlocalhost",
        "onion.example",
        r"x\009localhost",
        "example",
        ".",
    ],
)
def test_names_that_only_look_special(name: str) -> None:
    assert ask(SpecialNames(), name) is None


@pytest.fixture(scope="module")
def zone() -> StaticZone:
    return StaticZone(read_zone(ZONE))


@pytest.mark.parametrize(
    ("name", "type_", "rcode", "records"),
    [
        ("ns.corp.example", "A", "NOERROR", ["ns.corp.example. A 192.0.2.53"]),
        ("ns.corp.example", "AAAA", "NOERROR", []),
        ("b.c.corp.example", "A", "NOERROR", []),
        ("c.corp.example", "TXT", "NOERROR", []),
        ("missing.corp.example", "A", "NXDOMAIN", []),
        ("x.a.b.c.corp.example", "A", "NXDOMAIN", []),
        ("alias.corp.example", "CNAME", "NOERROR", ["alias.corp.example. CNAME second.corp.example."]),
        (
            "alias.corp.example",
            "A",
            "NOERROR",
            [
                "alias.corp.example. CNAME second.corp.example.",
                "second.corp.example. CNAME a.b.c.corp.example.",
                "a.b.c.corp.example. A 192.0.2.1",
            ],
        ),
        ("dangling.corp.example", "A", "NXDOMAIN", ["dangling.corp.example. CNAME missing.corp.example."]),
        ("dangling.corp.example", "ANY", "NOERROR", ['dangling.corp.example. HINFO "RFC8482" ""']),
        ("web.wild.corp.example", "A", "NOERROR", ["web.wild.corp.example. A 192.0.2.7"]),
        ("a.web.wild.corp.example", "A", "NOERROR", ["a.web.wild.corp.example. A 192.0.2.7"]),
        ("web.wild.corp.example", "AAAA", "NOERROR", []),
        ("web.wild.corp.example", "ANY", "NOERROR", ['web.wild.corp.example. HINFO "RFC8482" ""']),
        ("*.wild.corp.example", "A", "NOERROR", ["*.wild.corp.example. A 192.0.2.7"]),
        ("wild.corp.example", "A", "NOERROR", []),
        ("y.wild.corp.example", "A", "NOERROR", []),
        ("z.y.wild.corp.example", "A", "NXDOMAIN", []),
        ("x.y.wild.corp.example", "A", "NOERROR", []),
        ("x.*.wild.corp.example", "A", "NXDOMAIN", []),
        (
            "web.as.corp.example",
            "A",
            "NOERROR",
            ["web.as.corp.example. CNAME a.b.c.corp.example.", "a.b.c.corp.example. A 192.0.2.1"],
        ),
        ("web.as.corp.example", "CNAME", "NOERROR", ["web.as.corp.example. CNAME a.b.c.corp.example."]),
        (
            "web.as.corp.example",
            "TXT",
            "NOERROR",
            ["web.as.corp.example. CNAME a.b.c.corp.example."],
        ),
    ],
)
def test_a_zone(zone: StaticZone, name: str, type_: str, rcode: str, records: list[str]) -> None:
    answer = ask(zone, name, type_)
    assert shown(answer) == (rcode, records)
    assert answer is not None
    if rcode == "NXDOMAIN" or not records or records[-1].split()[1] == "CNAME" != type_:
        assert [rrset.ttl for rrset in answer.authority] == [60]  # the SOA's minimum, less than its TTL


@pytest.mark.parametrize("name", ["away.corp.example", "x.away.corp.example"])
def test_an_alias_that_leads_away_is_followed_by_others(zone: StaticZone, name: str) -> None:
    answer = ask(zone, name)
    assert answer is not None
    assert answer.follow == names.from_text("www.example.org")


@pytest.mark.parametrize(("name", "steps"), [("loop", 1), ("x.turning", 1), ("y.turning", 2)])
def test_a_loop_ends_where_it_comes_round(zone: StaticZone, name: str, steps: int) -> None:
    answer = ask(zone, f"{name}.corp.example")
    assert answer is not None
    assert (answer.rcode, len(answer.answer), answer.reason.code) == (m.NOERROR, steps, "cname-loop")


@pytest.mark.parametrize(("steps", "rcode"), [(16, m.NOERROR), (17, m.SERVFAIL)])
def test_a_chain_has_so_many_aliases_and_no_more(steps: int, rcode: int) -> None:
    text = ZONE + "".join(f"n{number} CNAME n{number + 1}\n" for number in range(steps)) + f"n{steps} A 192.0.2.1\n"
    answer = ask(StaticZone(read_zone(text)), "n0.corp.example")
    assert answer is not None
    assert (answer.rcode, len(answer.answer)) == (rcode, min(steps, 16) + (rcode == m.NOERROR))


def test_other_zones_are_not_its(zone: StaticZone) -> None:
    assert zone.origin == names.from_text("corp.example")
    for name in ("example", "xcorp.example", "corp.example.org", "."):
        assert ask(zone, name) is None
