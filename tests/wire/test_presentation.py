"""Records as text: dnspython and our own reader read back what was written."""

import dns.message
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from dnsserver.wire import message as m
from dnsserver.wire.message import RRset
from dnsserver.wire.name import from_text
from dnsserver.wire.presentation import answer_records, lines, rdata_text
from dnsserver.wire.zonefile import read_record

NAME = from_text("www.Example.com")
RDATAS = [
    (m.A, bytes((192, 0, 2, 1)), "192.0.2.1"),
    (m.AAAA, bytes.fromhex("20010db8" + "00" * 11 + "01"), "2001:db8::1"),
    (m.CNAME, NAME, "www.Example.com."),
    (m.NS, b"\0", "."),
    (m.PTR, from_text(r"a\.b.example"), r"a\046b.example."),
    (m.MX, b"\0\x0a" + NAME, "10 www.Example.com."),
    (m.SRV, bytes((0, 1, 0, 2, 0x1F, 0x90)) + NAME, "1 2 8080 www.Example.com."),
    (m.TXT, b'\x05hello\x03a"\\\x02\xff ', '"hello" "a\\034\\092" "\\255 "'),
    (m.TXT, b"\0", '""'),
    (m.HINFO, b"\x07RFC8482\0", '"RFC8482" ""'),
    (
        m.SOA,
        NAME + from_text("hostmaster.example.com") + b"".join(number.to_bytes(4, "big") for number in (1, 2, 3, 4, 5)),
        "www.Example.com. hostmaster.example.com. 1 2 3 4 5",
    ),
    (257, b"\0\x05issueca.example", r"\# 17 0005697373756563612e6578616d706c65"),
    (65280, b"", r"\# 0"),
    (m.A, b"\1\2", r"\# 2 0102"),
]


@pytest.mark.parametrize(("type_", "rdata", "text"), RDATAS)
def test_data_as_text(type_: int, rdata: bytes, text: str) -> None:
    assert rdata_text(type_, rdata) == text


@pytest.mark.parametrize(("type_", "rdata", "text"), [row for row in RDATAS if row[:2] != (m.A, b"\1\2")])
def test_others_read_it_back(type_: int, rdata: bytes, text: str) -> None:
    read = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.RdataType.make(type_), text)
    assert read.to_wire() == rdata
    assert read_record(f"{m.type_name(type_)} {text}", NAME)[1::2] == (type_, rdata)


def test_a_line_for_each_record() -> None:
    rrset = RRset(NAME, m.A, 5, (bytes(4), bytes((1, 2, 3, 4))))
    assert list(lines(rrset)) == ["www.Example.com. 5 IN A 0.0.0.0", "www.Example.com. 5 IN A 1.2.3.4"]


def test_the_answer_of_a_reply() -> None:
    reply = dns.message.make_response(dns.message.make_query("www.example.com", "A"))
    reply.answer = [
        dns.rrset.from_text("www.example.com.", 5, "IN", "CNAME", "a.example.com."),
        dns.rrset.from_text("a.example.com.", 6, "IN", "A", "192.0.2.1"),
    ]
    reply.authority = [dns.rrset.from_text("example.com.", 5, "IN", "NS", "ns.example.com.")]
    records, position = answer_records(reply.to_wire())
    shown = [(record.owner, record.ttl, rdata_text(record.type, record.uncompressed)) for record in records]
    assert shown == [
        (from_text("www.example.com"), 5, "a.example.com."),
        (from_text("a.example.com"), 6, "192.0.2.1"),
    ]
    assert position == 12 + 17 + 4
