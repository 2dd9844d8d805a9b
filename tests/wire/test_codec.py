"""The data of records as people write it: dnspython reads the same."""

import dns.name
import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import codec
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_labels, from_text, to_text

ORIGIN = "corp.example."


def read(rtype: str, words: list[str]) -> tuple[int, bytes]:
    return codec.read_rdata(rtype, words, from_text(ORIGIN))


@pytest.mark.parametrize(
    ("rtype", "text"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", "web"),
        ("CNAME", "Web.other."),
        ("CNAME", "@"),
        ("CNAME", r"a\.b"),
        ("CNAME", r"a\046b\226"),
        ("NS", "ns"),
        ("PTR", "host"),
        ("DNAME", "sub"),
        ("MX", "10 mail"),
        ("MX", "10 @"),
        ("AFSDB", "1 host"),
        ("KX", "10 host.x."),
        ("RP", "mail text"),
        ("SOA", "ns hm 1 7200 1800 86400 60"),
        ("SOA", r"ns a\.b 1 2h 30m 1d 60"),
        ("SRV", "0 5 80 web"),
        ("SRV", "0 5 80 web.x."),
        ("SRV", "0 5 80 ."),
        ("SRV", "0 5 80 @"),
        ("SRV", r"0 5 80 a\.b\032c"),
        ("NAPTR", '1 2 "s" "SIP+D2U" "" _sip._udp'),
        ("NAPTR", '1 2 u "E2U+sip" "!^.*$!sip:a@b!" .'),
        ("TXT", r'"a b" c \"d\226'),
        ("SPF", '"v=spf1 -all"'),
        ("HINFO", '"a" b'),
        ("HTTPS", "1 . alpn=h2"),
        ("HTTPS", "1 web alpn=h2"),
        ("HTTPS", "0 web"),
        ("HTTPS", "1 web.x. port=8443 ipv4hint=192.0.2.1 alpn=h2,h3 key9=a"),
        ("SVCB", "1 web ipv6hint=2001:db8::1 alpn=h2"),
        ("CAA", '0 issue "letsencrypt.org"'),
        ("SSHFP", "1 1 0123456789abcdef0123456789abcdef01234567"),
        ("TLSA", "3 1 1 " + "ab" * 16 + " " + "cd" * 16),
        ("DS", "12345 8 2 " + "ab" * 32),
        ("DNSKEY", "256 3 8 AwEA AaIzaAbc"),
        ("LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"),
        ("NSEC", "host A MX"),
        ("RRSIG", "A 8 2 300 20300101000000 20200101000000 12345 corp.example. AAAA"),
        ("TYPE999", r"\# 2 01 02"),
        ("TYPE1", r"\# 4 c0000201"),
        ("A", r"\# 4 c0000201"),
        ("SRV", r"\# 9 00000005005001 7800"),
        ("TXT", r"\# 3 026162"),
        ("TYPE65534", r"\# 0"),
    ],
)
def test_data_is_what_dnspython_reads(rtype: str, text: str) -> None:
    other = dns.rdata.from_text("IN", rtype, text, origin=dns.name.from_text(ORIGIN), relativize=False)
    words = [word for word in text.split(" ") if word] if '"' not in text else _words(text)
    assert read(rtype, words) == (dns.rdatatype.from_text(rtype), other.to_wire())


def test_a_long_text_becomes_several_strings() -> None:
    """CoreDNS 1.14.7 does the same with a zone file."""
    _, data = read("TXT", ['"' + "a" * 255 + r"\098" + "c" * 255 + '"', '""', "d"])
    assert data == b"\xff" + b"a" * 255 + b"\xffb" + b"c" * 254 + b"\x01c\x00\x01d"


def _words(text: str) -> list[str]:
    """Split at blanks outside of quotation marks."""
    found = [""]
    quoted = False
    for part in text.replace(r"\"", "\0").split('"'):
        inside = part.replace("\0", r"\"")
        if quoted:
            found[-1] += f'"{inside}"'
        else:
            first, *rest = inside.split(" ")
            found[-1] += first
            found += rest
        quoted = not quoted
    return [word for word in found if word]


@pytest.mark.parametrize(
    ("rtype", "text", "complaint"),
    [
        ("A", "192.0.2.256", "A 192.0.2.256: not an address"),
        ("AAAA", "192.0.2.1", "AAAA 192.0.2.1: not an address"),
        ("CNAME", "a b", "CNAME has 2 words of data, expected 1"),
        ("CNAME", '"a"', 'CNAME "a": not the data of a record'),
        ("CNAME", "a..b", "CNAME a..b: not the data of a record"),
        ("MX", "65536 a", "MX 65536 a: not the data of a record"),
        ("MX", "-1 a", "MX -1 a: not the data of a record"),
        ("SRV", "0 5 80", "SRV has 3 words of data, expected 4"),
        ("SRV", "0 5 80 " + "a" * 64, "SRV 0 5 80 aaa"),
        ("SOA", "ns hm 1 2 3 4", "SOA has 6 words of data, expected 7"),
        ("DS", "1 8 2", "DS has 3 words of data, expected at least 4"),
        ("TXT", "", "TXT has 0 words of data, expected at least 1"),
        ("HINFO", "a" + " " + "a" * 256, "HINFO a aaa"),
        ("TXT", r"\256", r"TXT \256: not the data of a record"),
        ("HTTPS", "1 . alpn=h2 alpn=h3", "HTTPS 1 . alpn=h2 alpn=h3: not the data of a record"),
        ("HTTPS", "1 . port=many", "HTTPS 1 . port=many: not the data of a record"),
        ("NAPTR", r'1 2 \300 "" "" .', r"NAPTR 1 2 \300"),
        ("URI", '10 1 "https://a.example/"', r"URI is not read in words, expected \# LENGTH HEX (RFC 3597 section 5)"),
        ("TYPE999", "0102", r"TYPE999 is not read in words, expected \# LENGTH HEX (RFC 3597 section 5)"),
        ("NOPE", "a", "there is no type NOPE"),
        ("ANY", r"\# 0", "ANY is not the type of a record"),
        ("OPT", r"\# 0", "OPT is not the type of a record"),
        ("TYPE0", r"\# 0", "TYPE0 is not the type of a record"),
        ("TYPE99999", r"\# 0", "TYPE99999 is not the type of a record"),
        ("A", r"\# 3 010203", "rdata of type 1 has 3 octets, expected 4"),
        ("SOA", r"\# 1 00", "rdata of type 6 at octet 12 ends at 13, before its names"),
        ("SRV", r"\# 8 0000000500500178", "name at octet 18 of 20 does not end"),
        ("TXT", r"\# 2 0561", r"TXT \# 2 0561: ends in a string"),
        ("TXT", r"\# 3 0161", r"\# 3 0161: expected \# and as many octets in hexadecimal as it says"),
    ],
)
def test_what_is_no_data_says_why(rtype: str, text: str, complaint: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(rtype, _words(text))
    assert str(caught.value).startswith(complaint)


_name = st.lists(st.binary(min_size=1, max_size=9), max_size=4).map(from_labels)


@given(_name, st.integers(0, 0xFFFF), st.booleans())
def test_a_name_as_it_is_shown_is_read_as_it_was(name: bytes, number: int, absolute: bool) -> None:
    shown = to_text(name) if absolute or name == b"\0" else to_text(name).removesuffix(".")
    whole = name if shown.endswith(".") else name[:-1] + from_text(ORIGIN)
    fixed = number.to_bytes(2)
    assert read("CNAME", [shown])[1] == whole
    assert read("MX", [str(number), shown])[1] == fixed + whole
    assert read("SRV", [str(number), "1", "2", shown])[1] == fixed + b"\0\1\0\2" + whole


@given(
    st.sampled_from(("A", "MX", "SOA", "SRV", "TXT", "HTTPS", "CAA", "NAPTR", "LOC", "NSEC", "TYPE9")),
    st.lists(st.text()),
)
def test_any_words_are_data_or_refused(rtype: str, words: list[str]) -> None:
    try:
        number, data = read(rtype, words)
    except FormatError:
        return
    assert number == dns.rdatatype.from_text(rtype)
    assert len(data) <= 0xFFFF
