"""Zone files to RRsets."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire.message import FormatError, RRset
from dnsserver.wire.name import from_text
from dnsserver.wire.zonefile import ZoneFileError, read_zone

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


ORIGIN = "$ORIGIN a.\n" + SOA


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "0 SOA records, expected one"),
        ("@ 60 IN SOA ns h 1 2 3 4 5\n", "line 1: the zone is the root, and would have every name; expected $ORIGIN"),
        ("$ORIGIN a.\nwww 300 IN A 192.0.2.1\n", "0 SOA records, expected one"),
        (ORIGIN + "$ORIGIN b.\n" + SOA, "line 4: 2 SOA records, expected one"),
        (ORIGIN + "www.b. 300 IN A 192.0.2.1\n", "line 3: www.b. is not in the zone a."),
        (ORIGIN + "www 300 CH A 192.0.2.1\n", "line 3: www.a. is of class CH, expected IN"),
        (ORIGIN + "www 300 IN A no-address\n", "line 3: A no-address: not an address"),
        (ORIGIN + "www A 192.0.2.1 192.0.2.2\n", "line 3: A has 2 words of data, expected 1"),
        (ORIGIN + "www A\n", "line 3: A has 0 words of data, expected 1"),
        (ORIGIN + "www 300 IN\n", "line 3: www.a. has no type"),
        (ORIGIN + "mail MX www\n", "line 3: MX has 1 words of data, expected 2"),
        (ORIGIN + "mail MX ten www\n", "line 3: MX ten www: not the data of a record"),
        ("what is this", "line 1: there is no type IS"),
        (
            ORIGIN + f"{'x' * 64} 300 IN A 192.0.2.1\n",
            f'line 3: the label "{"x" * 64}" has 64 octets, expected 1 to 63',
        ),
        (
            ORIGIN + "sub NS ns\n",
            "line 3: sub.a. NS is a delegation; zone files here have none, write a [[forward]] for it",
        ),
        (ORIGIN + "* NS ns\n", "line 3: *.a. NS is a delegation"),
        (ORIGIN + "*.b. A 192.0.2.1\n", "line 3: *.b. is not in the zone a."),
        (ORIGIN + "sub DNAME b.\n", "line 3: sub.a. DNAME is not followed; write a CNAME for each name"),
        (ORIGIN + "x CNAME y\nx A 192.0.2.1\n", "line 4: x.a. has a CNAME and other records; it may have one"),
        (ORIGIN + "x CNAME y\nx CNAME z\n", "line 4: x.a. has a CNAME and other records; it may have one"),
        (ORIGIN + "$INCLUDE more.zone\n", "line 3: found $INCLUDE: files that include others are not read"),
        (ORIGIN + "$GENERATE 1-9 x$ A 192.0.2.$\n", "line 3: found $GENERATE: write out what it stands for"),
        (ORIGIN + "$TLL 5\n", "line 3: found $TLL: there is no such directive"),
        (ORIGIN + "$TTL soon\n", "line 3: expected $TTL and one time"),
        (ORIGIN + "x 3000000000 A 192.0.2.1\n", "line 3: found the TTL 3000000000, expected at most 2147483647"),
        (ORIGIN + "x TXT (a\n", "line 3: a parenthesis that is not closed"),
        (ORIGIN + "x TXT a)\n", "line 3: an unmatched parenthesis, `)`"),
        (ORIGIN + 'x TXT "a\n', "line 3: found '\"a\\n', a text that does not end"),
        (ORIGIN + f"x HINFO {'a' * 256} b\n", f"line 3: HINFO {'a' * 54}"),
        (" A 192.0.2.1\n", "line 1: a record without a name, and none before it"),
        (
            ORIGIN + "x TYPE999 \\# 3 0102\n",
            "line 3: \\# 3 0102: expected \\# and as many octets in hexadecimal as it says",
        ),
    ],
)
def test_what_is_no_zone_file_says_its_line(text: str, complaint: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_zone(text)
    assert str(caught.value).startswith(complaint)


def test_all_mistakes_of_a_zone_file_are_told_at_once_and_not_too_many() -> None:
    with pytest.raises(ZoneFileError) as caught:
        read_zone(ORIGIN + "x A y\n* NS ns\nz.b. A 192.0.2.1\n")
    assert [line for line, _ in caught.value.mistakes] == [3, 4, 5]
    with pytest.raises(ZoneFileError) as caught:
        read_zone(ORIGIN + "x A y\n" * 1000)
    assert caught.value.mistakes[-1] == (0, "and 980 more mistakes")
    assert len(caught.value.mistakes) == 21


@pytest.mark.parametrize(
    ("record", "ttl"),
    [
        ("x A 192.0.2.1", 60),
        ("$TTL 1h30m\nx A 192.0.2.1", 5400),
        ("y 7 A 192.0.2.9\nx A 192.0.2.1", 7),
        ("x IN 9 A 192.0.2.1", 9),
    ],
)
def test_a_record_without_a_ttl_has_the_files_or_the_one_before_or_the_soas_minimum(record: str, ttl: int) -> None:
    found = {rrset.name: rrset for rrset in read_zone("$ORIGIN a.\n@ SOA ns h 1 2 3 4 60\n" + record + "\n")}
    assert found[from_text("x.a")].ttl == ttl


def test_words_as_the_rfc_has_them() -> None:
    zone = read_zone(ORIGIN + 'x CNAME @\nt TXT "a;\\"b" (c\n \\226d) ; not this\nu TYPE999 \\# 2 01 02\n')
    found = {(rrset.name, rrset.type): rrset.rdatas for rrset in zone}
    assert found[from_text("x.a"), m.CNAME] == (from_text("a"),)
    assert found[from_text("t.a"), m.TXT] == (b'\x04a;"b\x01c\x02\xe2d',)
    assert found[from_text("u.a"), 999] == (b"\1\2",)


@given(
    st.text()
    | st.lists(st.sampled_from([*'@$*"(); \n\t\\0', "SOA ", "A ", "TXT ", "IN ", "$TTL "]), max_size=60).map("".join)
)
def test_any_text_is_a_zone_or_a_format_error(text: str) -> None:
    with suppress(FormatError):
        read_zone(text)
