"""Records given back under the name that was asked."""

# ruff: noqa: E501, Q003 - a case stands on one line

import dns.rdata
import dns.rdatatype
import pytest

from dnsserver.wire.message import RRset
from dnsserver.wire.name import from_text, to_text
from dnsserver.wire.renaming import Renaming

ASKED, NEW = from_text("a.old.example"), from_text("a.new.example")
OWNER = Renaming(ASKED, NEW)
NAMES = Renaming(ASKED, NEW, (from_text("new.example"), from_text("old.example")))


def rrset(line: str) -> RRset:
    owner, rtype, data = line.split(" ", 2)
    rdata = dns.rdata.from_text("IN", rtype, data).to_wire()
    assert rdata is not None
    return RRset(from_text(owner), int(dns.rdatatype.from_text(rtype)), 60, (rdata,))


def line(found: RRset) -> str:
    rtype = dns.rdatatype.RdataType.make(found.type)
    rdata = dns.rdata.from_wire("IN", rtype, found.rdatas[0], 0, len(found.rdatas[0]))
    return f"{to_text(found.name)} {dns.rdatatype.to_text(rtype)} {rdata.to_text()}"


@pytest.mark.parametrize(
    ("given", "by_owner", "by_names"),
    [
        ("a.new.example. A 192.0.2.1", "a.old.example. A 192.0.2.1", "a.old.example. A 192.0.2.1"),
        ("A.New.example. A 192.0.2.1", "a.old.example. A 192.0.2.1", "a.old.example. A 192.0.2.1"),
        ("b.new.example. A 192.0.2.1", "b.new.example. A 192.0.2.1", "b.old.example. A 192.0.2.1"),
        ("b.renew.example. A 192.0.2.1", "b.renew.example. A 192.0.2.1", "b.renew.example. A 192.0.2.1"),
        ("a.new.example. CNAME B.new.example.", "a.old.example. CNAME B.new.example.", "a.old.example. CNAME B.old.example."),
        ("a.new.example. CNAME a.new.example.", "a.old.example. CNAME a.new.example.", "a.old.example. CNAME a.old.example."),
        ("a.new.example. MX 5 new.example.", "a.old.example. MX 5 new.example.", "a.old.example. MX 5 old.example."),
        ("a.new.example. SRV 1 2 3 x.new.example.", "a.old.example. SRV 1 2 3 x.new.example.", "a.old.example. SRV 1 2 3 x.old.example."),
        ("a.new.example. NAPTR 1 2 \"U\" \"E2U\" \"\" x.new.example.", "a.old.example. NAPTR 1 2 \"U\" \"E2U\" \"\" x.new.example.", "a.old.example. NAPTR 1 2 \"U\" \"E2U\" \"\" x.old.example."),
        ("a.new.example. HTTPS 1 . alpn=\"h2\"", "a.old.example. HTTPS 1 . alpn=\"h2\"", "a.old.example. HTTPS 1 . alpn=\"h2\""),
        ("a.new.example. SVCB 1 s.new.example. port=\"8\"", "a.old.example. SVCB 1 s.new.example. port=\"8\"", "a.old.example. SVCB 1 s.old.example. port=\"8\""),
        ("new.example. SOA ns.new.example. h.example. 1 2 3 4 5", "new.example. SOA ns.new.example. h.example. 1 2 3 4 5", "old.example. SOA ns.old.example. h.example. 1 2 3 4 5"),
        ("a.new.example. TXT \"a.new.example.\"", "a.old.example. TXT \"a.new.example.\"", "a.old.example. TXT \"a.new.example.\""),
        ("b.new.example. NSEC c.new.example. A", "b.new.example. NSEC c.new.example. A", "b.old.example. NSEC c.new.example. A"),
    ],
)  # fmt: skip
def test_names_are_turned_round(given: str, by_owner: str, by_names: str) -> None:
    assert [line(found) for found in OWNER.apply([rrset(given)])] == [by_owner]
    assert [line(found) for found in NAMES.apply([rrset(given)])] == [by_names]


def test_signatures_of_what_was_altered_are_left_out() -> None:
    signature = "5 3 60 20300101000000 20200101000000 1 new.example. AAAA"
    records = [
        rrset("a.new.example. CNAME b.new.example."),
        rrset(f"a.new.example. RRSIG CNAME {signature}"),
        rrset("b.new.example. A 192.0.2.1"),
        rrset(f"b.new.example. RRSIG A {signature}"),
    ]
    assert [found.split(" ")[:2] for found in map(line, OWNER.apply(records))] == [
        ["a.old.example.", "CNAME"],
        ["b.new.example.", "A"],
        ["b.new.example.", "RRSIG"],
    ]
    assert [found.split(" ")[1] for found in map(line, NAMES.apply(records))] == ["CNAME", "A"]


def test_what_would_be_too_long_is_left_out() -> None:
    long = Renaming(ASKED, NEW, (from_text("new.example"), from_text(".".join(["x" * 60] * 4))))
    records = [rrset("b.new.example. A 192.0.2.1"), rrset(f"{'y' * 20}.new.example. A 192.0.2.1")]
    records += [rrset(f"a.new.example. CNAME {'y' * 20}.new.example.")]
    assert [to_text(found.name).count("x") for found in long.apply(records)] == [240]
