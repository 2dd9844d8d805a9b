"""Zone files to RRsets."""

import pytest

from dnsserver.wire import message as m
from dnsserver.wire.codec import read_zone
from dnsserver.wire.message import FormatError, RRset
from dnsserver.wire.name import from_text

SOA = "@ 3600 IN SOA ns hostmaster 1 7200 1800 86400 60\n"
ZONE = (
    "$ORIGIN Example.com.\n$TTL 300\n"
    + SOA
    + """\
        IN NS  ns
ns      IN A   192.0.2.53
www     IN A   192.0.2.80
        IN A   192.0.2.81
WWW     60 IN A 192.0.2.80 ; again, with another TTL
alias   IN CNAME www
mail    IN MX  10 www.example.com.
_x._tcp IN SRV 0 5 80 www
text    IN TXT "one; two" three
who     IN RP  mail text
"""
)


def test_a_zone_file() -> None:
    soa, *rest = read_zone(ZONE)
    assert (soa.type, soa.name, soa.ttl) == (m.SOA, from_text("example.com"), 3600)
    found = {(rrset.name, rrset.type): rrset for rrset in rest}
    www, target = from_text("www.example.com"), from_text("www.Example.com")  # data keeps its spelling
    assert found[www, m.A] == RRset(www, m.A, 60, (b"\xc0\0\2\x50", b"\xc0\0\2\x51"))
    assert found[from_text("alias.example.com"), m.CNAME].rdatas == (target,)
    assert found[from_text("mail.example.com"), m.MX].rdatas == (b"\0\x0a" + www,)
    assert found[from_text("_x._tcp.example.com"), m.SRV].rdatas == (b"\0\0\0\5\0\x50" + target,)
    assert found[from_text("text.example.com"), m.TXT].rdatas == (b"\x08one; two\x05three",)
    person = from_text("who.example.com")
    assert found[person, 17].rdatas == (from_text("mail.Example.com") + from_text("text.Example.com"),)
    assert len(found) == 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "0 SOA records, expected one"),
        ("$ORIGIN a.\nwww 300 IN A 192.0.2.1\n", "0 SOA records"),
        ("$ORIGIN a.\n" + SOA + "$ORIGIN b.\n" + SOA, "2 SOA records"),
        ("$ORIGIN a.\n" + SOA + "www.b. 300 IN A 192.0.2.1\n", "www.b. is not in the zone a."),
        ("$ORIGIN a.\n" + SOA + "www 300 CH A 192.0.2.1\n", "expected IN"),
        ("$ORIGIN a.\n" + SOA + "www 300 IN A no-address\n", "not a zone file"),
        ("what is this", "not a zone file"),
        ("$ORIGIN a.\n" + SOA + f"{'x' * 64} 300 IN A 192.0.2.1\n", ""),
    ],
)
def test_what_is_no_zone_file(text: str, complaint: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_zone(text)
    assert complaint in str(caught.value)
