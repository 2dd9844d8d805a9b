"""Differences between two servers, and the numbers of the corrections that explain them."""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from dnsserver.app.difference import CORRECTIONS, Known, Said, correction, read
from dnsserver.app.questions import Question, of_lines
from dnsserver.wire.message import FormatError

ZONE = b"\x07cluster\x05local\0"
KNOWN = Known(ZONE, {question.name for question in of_lines(["web.shop.svc.cluster.local"])})


def question(text: str) -> Question:
    (found,) = of_lines([text])
    return found


def said(text: str, *records: str, rcode: str = "NOERROR", flags: str = "QR AA RA") -> Said:
    """What a reply says that has these records in its answer."""
    asked = question(text)
    name, rtype = str(asked).split()
    reply = dns.message.make_query(name, rtype)
    reply.flags = dns.flags.from_text(flags)
    reply.set_rcode(dns.rcode.from_text(rcode))
    for record in records:
        owner, kind, data = record.split(" ", 2)
        reply.answer.append(dns.rrset.from_text(owner, 30, "IN", kind, data))
    found = read(reply.to_wire(), asked)
    assert found is not None
    return found


WEB = "web.shop.svc.cluster.local"
EXT = "ext.shop.svc.cluster.local"

# The question, what ours says, what theirs says (records, rcode), and the number.
DIFFERENCES: list[tuple[str, tuple[list[str], str], tuple[list[str], str], int | None]] = [
    (f"{WEB} A", ([f"{WEB}. A 10.0.0.1"], "NOERROR"), ([f"{WEB}. A 10.0.0.1"], "NOERROR"), 0),
    (f"{WEB} A", ([f"{WEB}. A 10.0.0.1"], "NOERROR"), ([f"{WEB.upper()}. A 10.0.0.1"], "NOERROR"), 0),
    (f"{WEB} A", ([f"{WEB}. A 10.0.0.1"], "NOERROR"), ([f"{WEB}. A 10.0.0.2"], "NOERROR"), None),
    (f"{WEB} A", ([f"{WEB}. A 10.0.0.1"], "NOERROR"), ([], "NXDOMAIN"), None),
    (f"{WEB} A", ([], "NXDOMAIN"), ([f"{WEB}. A 10.0.0.1"], "NOERROR"), None),
    ("cluster.local SOA",
     (["cluster.local. SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5"], "NOERROR"),
     (["cluster.local. SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5"], "NOERROR"), 0),
    ("gone.shop.svc.cluster.local SOA", ([], "NXDOMAIN"), ([], "NOERROR"), 1),
    ("svc.cluster.local TXT", ([], "NOERROR"), ([], "NXDOMAIN"), 2),
    ("shop.svc.cluster.local TXT", ([], "NOERROR"), ([], "NXDOMAIN"), 2),
    ("1.0.0.10.in-addr.arpa A", ([], "NOERROR"), ([], "NXDOMAIN"), 3),
    ("a.10-0-0-1.shop.pod.cluster.local A", ([], "NXDOMAIN"),
     (["a.10-0-0-1.shop.pod.cluster.local. A 10.0.0.1"], "NOERROR"), 4),
    ("10-0-0-1.shop.pod.cluster.local SRV", ([], "NOERROR"),
     (["10-0-0-1.shop.pod.cluster.local. SRV 0 100 0 10-0-0-1.shop.pod.cluster.local."], "NOERROR"), 4),
    (f"{EXT} A", ([f"{EXT}. CNAME gone.example."], "NXDOMAIN"), ([f"{EXT}. CNAME gone.example."], "NOERROR"), 5),
    (f"{EXT} A", ([f"{EXT}. CNAME {WEB}."], "NOERROR"), ([], "NOERROR"), 5),
    (f"{WEB} SRV", ([f"{WEB}. SRV 0 50 80 {WEB}."], "NOERROR"), ([f"{WEB}. SRV 0 100 80 {WEB}."], "NOERROR"), 7),
    (f"{WEB} SRV", ([f"{WEB}. SRV 0 100 80 {WEB}."], "NOERROR"),
     ([f"{WEB}. SRV 0 50 80 {WEB}.", f"{WEB}. SRV 0 50 0 {WEB}."], "NOERROR"), 7),
    (f"{WEB} SRV", ([f"{WEB}. SRV 0 100 80 {WEB}."], "NOERROR"), ([f"{WEB}. SRV 0 100 81 {WEB}."], "NOERROR"), None),
    ("9.0.0.10.in-addr.arpa PTR", ([], "NXDOMAIN"),
     (["9.0.0.10.in-addr.arpa. PTR a.gone.shop.svc.cluster.local."], "NOERROR"), 14),
    ("9.0.0.10.in-addr.arpa PTR", ([], "NXDOMAIN"), ([f"9.0.0.10.in-addr.arpa. PTR {WEB}."], "NOERROR"), None),
    (f"_tcp.{WEB} A", ([], "NOERROR"), ([], "NXDOMAIN"), 16),
    ("www.example.org A", (["www.example.org. A 192.0.2.1"], "NOERROR"), ([], "NXDOMAIN"), None),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "ours", "theirs", "number"), DIFFERENCES)
def test_differences_by_number(
    asked: str, ours: tuple[list[str], str], theirs: tuple[list[str], str], number: int | None
) -> None:
    outside = question(asked).name.endswith(b"arpa\0") and ours[1] == "NXDOMAIN"  # which upstreams say
    mine = said(asked, *ours[0], rcode=ours[1], flags="QR RA" if outside else "QR AA RA")
    other = said(asked, *theirs[0], rcode=theirs[1])
    assert correction(question(asked), mine, other, KNOWN) == number
    assert number in {0, None} or number in CORRECTIONS


def test_an_address_of_no_service_is_correction_14_in_reverse_zones_too() -> None:
    asked = "9.0.0.10.in-addr.arpa PTR"
    none = said(asked, rcode="NXDOMAIN")  # with AA: the zone is this server's own
    gone, web = (said(asked, f"9.0.0.10.in-addr.arpa. PTR {name}.") for name in (f"gone.{WEB}", WEB))
    assert correction(question(asked), none, gone, KNOWN) == 14
    assert correction(question(asked), none, web, KNOWN) is None
    assert correction(question(asked), web, gone, KNOWN) is None


def test_flags_alone_are_correction_12() -> None:
    asked = "www.example.org A"
    record = "www.example.org. A 192.0.2.1"
    ours, theirs = said(asked, record, flags="QR RA"), said(asked, record, flags="QR AA RA")
    assert correction(question(asked), ours, theirs, KNOWN) == 12


def test_pods_by_each_address_are_correction_6_where_they_are_verified() -> None:
    asked = "10-0-0-1.shop.pod.cluster.local A"
    ours = said(asked, "10-0-0-1.shop.pod.cluster.local. A 10.0.0.1")
    theirs = said(asked, rcode="NXDOMAIN")
    assert correction(question(asked), ours, theirs, Known(ZONE, (), verified=True)) == 6
    assert correction(question(asked), ours, theirs, KNOWN) is None


def test_a_reply_that_does_not_fit_is_none() -> None:
    reply = dns.message.make_response(dns.message.make_query("a.example", "A"))
    reply.flags |= dns.flags.TC
    assert read(reply.to_wire(), question("a.example A")) is None


@pytest.mark.made_up
@pytest.mark.parametrize(
    "spoil", [lambda wire: wire[:5], lambda wire: wire[:-3], lambda wire: wire[:2] + b"\0" + wire[3:]]
)
def test_what_is_no_reply(spoil: object) -> None:
    reply = dns.message.make_response(dns.message.make_query("a.example", "A"))
    reply.answer.append(dns.rrset.from_text("a.example.", 30, "IN", "A", "192.0.2.1"))
    assert callable(spoil)
    with pytest.raises(FormatError):
        read(spoil(reply.to_wire()), question("a.example A"))


def test_a_reply_to_another_question() -> None:
    reply = dns.message.make_response(dns.message.make_query("b.example", "A"))
    with pytest.raises(FormatError, match="another question"):
        read(reply.to_wire(), question("a.example A"))


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (said(f"{WEB} A", f"{WEB}. A 10.0.0.1"), "NOERROR aa ra A 10.0.0.1"),
        (said("a.example A", rcode="NXDOMAIN", flags="QR"), "NXDOMAIN"),
        (said(f"{WEB} SRV", f"{WEB}. SRV 0 100 80 {WEB}."), f"NOERROR aa ra SRV 0 100 80 {WEB}."),
        (Said(None), "no reply"),
    ],
)
def test_what_is_said_for_a_person(what: Said, text: str) -> None:
    assert str(what) == text


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (f"{WEB}. A 10.0.0.1", "A 10.0.0.1"),
        (f"{WEB}. AAAA fd00::1", "AAAA fd00::1"),
        (f"{WEB}. CNAME a.example.", "CNAME a.example."),
        (f"{WEB}. SRV 0 100 80 a.example.", "SRV 0 100 80 a.example."),
        (f"{WEB}. MX 10 mail.example.", "MX 10 mail.example."),
        (f'{WEB}. TXT "1.1.0" "a b"', 'TXT "1.1.0" "a b"'),
        (f"{WEB}. SOA ns.example. host.example. 9 7200 1800 86400 5", "SOA ns.example. host.example."),
    ],
)
def test_records_are_shown_as_master_files_have_them(record: str, shown: str) -> None:
    _, rtype, _ = record.split(" ", 2)
    assert shown in str(said(f"{WEB} {rtype}", record))
