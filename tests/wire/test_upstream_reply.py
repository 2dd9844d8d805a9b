"""What is kept of an upstream's reply, and the result for any octets."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire import upstream_query, upstream_reply
from dnsserver.wire.message import Body, FormatError, aged, with_ttl
from dnsserver.wire.name import ROOT, from_text
from dnsserver.wire.records import Names, read_records
from dnsserver.wire.scope import Scope
from dnsserver.wire.upstream_reply import Reading, TTLLimits, Verdict, bare_rcode, is_truncated
from tests.wire.hostile import Shape, cost, reply
from tests.wire.replies import RECORDS, SOA_TEXT, message

NAME = from_text("www.example.com")
A, CNAME, MX, SOA, TXT = 1, 5, 15, 6, 16


def read(
    wire: bytes, type_: int = A, *, do: bool = False, scope: Scope | None = None, limits: TTLLimits | None = None
) -> Reading:
    return upstream_reply.read(wire, NAME, type_, do, scope or Scope(), limits or TTLLimits())


def lines(body: Body, type_: int = A, name: bytes = NAME) -> list[str]:
    """Return the body's records as dnspython reads them behind a question."""
    counts = b"".join(count.to_bytes(2, "big") for count in (1, body.an, body.ns, body.ar))
    wire = b"\0\0\x81\x80" + counts + upstream_query.write(name, type_, False, False)[0] + body.data
    parsed = dns.message.from_wire(wire, one_rr_per_rrset=True)
    return [rrset.to_text() for section in (parsed.answer, parsed.authority, parsed.additional) for rrset in section]


@pytest.mark.parametrize(
    ("type_", "kept"),
    [
        (A, ["www.example.com. 300 IN A 192.0.2.1"]),
        (A, ["www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"]),
        (A, ["www.example.com. 300 IN CNAME web.example.com.", "web.example.com. 60 IN A 192.0.2.1"]),
        (A, ["www.example.com. 300 IN CNAME cdn.example.net.", "cdn.example.net. 60 IN A 192.0.2.1"]),
        (CNAME, ["www.example.com. 300 IN CNAME web.example.com."]),
        (MX, ["www.example.com. 300 IN MX 10 mail.example.com.", "www.example.com. 300 IN MX 20 mx.www.example.com."]),
        (TXT, ['www.example.com. 300 IN TXT "one" "two"']),
        (33, ["www.example.com. 300 IN SRV 1 2 443 host.example.com."]),
        (35, ['www.example.com. 300 IN NAPTR 1 2 "s" "SIP+D2U" "" _sip._udp.example.com.']),
        (65, ['www.example.com. 300 IN HTTPS 1 . alpn="h2"']),
        (6, ["www.example.com. 900 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"]),
        (1000, [r"www.example.com. 300 IN TYPE1000 \# 3 abcdef"]),
    ],
)
def test_answers_are_kept_as_they_are(type_: int, kept: list[str]) -> None:
    wire = message(*kept, type_=type_, additional=("mail.example.com. 300 IN A 192.0.2.7",))
    reading = read(wire, type_)
    assert lines(reading.body, type_) == kept
    assert reading.ttl == min(int(line.split()[1]) for line in kept)
    # It fits the same question in any case, and every TTL is where the offsets say.
    assert lines(reading.body, type_, NAME.upper().replace(b"\3WWW", b"\3WwW"))
    assert {line.split()[1] for line in lines(with_ttl(reading.body, 7), type_)} == {"7"}
    assert {line.split()[1] for line in lines(aged(reading.body, 86_400), type_)} == {"0"}


def test_signatures_are_kept_with_do_only() -> None:
    kept = [
        "www.example.com. 300 IN A 192.0.2.1",
        "www.example.com. 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.com. AAAA",
    ]
    assert lines(read(message(*kept), do=True).body) == kept
    assert lines(read(message(*kept)).body) == kept[:1]


@pytest.mark.parametrize("rcode", [0, 3])
def test_negative_answers_keep_the_soa_with_its_negative_ttl(rcode: int) -> None:
    nsec = "example.com. 300 IN NSEC zzz.example.com. A NS"
    ns = "example.com. 300 IN NS ns.example.com."
    wire = message(authority=(ns, SOA_TEXT, nsec), rcode=rcode)
    shown = SOA_TEXT.replace(" 900 ", " 60 ")
    reading = read(wire)
    assert (reading.rcode, reading.ttl, lines(reading.body)) == (rcode, 60, [shown])
    assert lines(read(wire, do=True).body) == [shown, nsec]
    plain = read(message(authority=(SOA_TEXT,), rcode=rcode))
    assert (plain.rcode, plain.ttl, lines(plain.body)) == (rcode, 60, [shown])


def test_a_negative_answer_behind_a_chain() -> None:
    alias = "www.example.com. 30 IN CNAME web.example.com."
    reading = read(message(alias, authority=(SOA_TEXT,), rcode=3))
    assert lines(reading.body) == [alias, SOA_TEXT.replace(" 900 ", " 60 ")]
    assert (reading.rcode, reading.ttl) == (3, 30)


def test_without_soa_nothing_is_kept() -> None:
    assert read(message()).ttl == 0
    assert read(message(authority=("example.net. 1 IN SOA a. b. 1 2 3 4 5",), rcode=3)).ttl == 0


def test_the_case_that_was_asked_does_not_show_in_records() -> None:
    wire = message(
        "www.example.com. 300 IN CNAME web.www.example.com.",
        "bad.example.com. 300 IN A 192.0.2.9",
        "web.www.example.com. 60 IN A 192.0.2.1",
    )
    wire = wire[:12] + wire[12:].replace(b"\3www\7example", b"\3wWw\7eXample", 1)
    assert lines(read(wire).body)[0] == "www.example.com. 300 IN CNAME web.www.example.com."


def test_dname_stays_before_the_alias_it_makes() -> None:
    kept = [
        "example.com. 300 IN DNAME example.net.",
        "www.example.com. 300 IN CNAME www.example.net.",
        "www.example.net. 300 IN A 192.0.2.1",
    ]
    assert lines(read(message(*kept)).body) == kept


SIGNATURE = "{0} 300 IN RRSIG {1} 8 2 300 20300101000000 20200101000000 1 {2} AAAA"


def signed(owner: str, type_: str, rdata: str, signer: str = "example.com.") -> tuple[str, str]:
    """Return a record of the authority section and its signature."""
    return f"{owner} 300 IN {type_} {rdata}", SIGNATURE.format(owner, type_, signer)


NSEC = signed("a.example.com.", "NSEC", "zz.example.com. A RRSIG NSEC")
NSEC3 = signed("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.com.", "NSEC3", "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A")
OTHER_NSEC = signed("a.example.net.", "NSEC", "zz.example.net. A", "example.net.")
NS = signed("example.com.", "NS", "ns.example.com.")
SIGNED_SOA = (SOA_TEXT.replace(" 900 ", " 60 "), SIGNATURE.format("example.com.", "SOA", "example.com."))
OTHER_SOA = ("example.net. 60 IN SOA ns.example.net. a.example.net. 1 2 3 4 60",)
ADDRESS = "www.example.com. 300 IN A 192.0.2.1"
ALIAS = "www.example.com. 300 IN CNAME lb.example.net."
LED = "lb.example.net. 300 IN A 192.0.2.1"
CORP = Scope(from_text("www.example.com"))
CUT = Scope(ROOT, (from_text("a.example.com"),))
BESIDE = signed("x.a.example.com.", "NSEC", "y.a.example.com. A")


@pytest.mark.parametrize(
    ("answer", "rcode", "authority", "kept", "scope"),
    [
        ((ADDRESS,), 0, NSEC, NSEC, Scope()),
        ((ADDRESS,), 0, NSEC3, NSEC3, Scope()),
        ((ADDRESS,), 0, (*NS, *NSEC), NSEC, Scope()),
        ((ALIAS, LED), 0, NSEC, NSEC, Scope()),
        ((ALIAS,), 0, (*OTHER_SOA, *NSEC), (*OTHER_SOA, *NSEC), Scope()),
        ((ALIAS,), 0, (*NSEC3, *OTHER_SOA), (*NSEC3, *OTHER_SOA), Scope()),
        ((ALIAS,), 3, (*OTHER_SOA, *OTHER_NSEC, *NSEC), (*OTHER_SOA, *OTHER_NSEC, *NSEC), Scope()),
        ((ALIAS,), 0, NSEC, NSEC, Scope()),
        ((), 0, (*SIGNED_SOA, *NSEC), (*SIGNED_SOA, *NSEC), Scope()),
        ((), 3, (*SIGNED_SOA, *NSEC, *NSEC3), (*SIGNED_SOA, *NSEC, *NSEC3), Scope()),
        ((), 3, (*NSEC, *SIGNED_SOA), (*NSEC, *SIGNED_SOA), CORP),
        ((ADDRESS,), 0, NSEC, NSEC, CORP),
        ((ADDRESS,), 0, (*NSEC, *OTHER_NSEC), NSEC, CORP),
        ((ADDRESS,), 0, NSEC[:1], (), CORP),
        ((), 3, (*SIGNED_SOA, *NSEC), (*SIGNED_SOA, *NSEC), CUT),
        ((), 3, (*SIGNED_SOA, *BESIDE), SIGNED_SOA, CUT),
    ],
)
def test_proofs_are_kept_with_do(
    answer: tuple[str, ...], rcode: int, authority: tuple[str, ...], kept: tuple[str, ...], scope: Scope
) -> None:
    taken = answer if scope is not CORP else answer[:1]
    wire = message(*answer, authority=authority, rcode=rcode)
    assert lines(read(wire, do=True, scope=scope).body) == [*taken, *kept]
    assert lines(read(wire, scope=scope).body) == [*taken, *(line for line in kept if " SOA ns" in line)]


@pytest.mark.parametrize("type_", [A, CNAME, TXT])
def test_an_alias_made_by_a_dname_comes_with_it(type_: int) -> None:
    kept = [
        *signed("example.com.", "DNAME", "example.net."),
        "www.example.com. 300 IN CNAME www.example.net.",
    ]
    end = ["www.example.net. 300 IN A 192.0.2.1"] if type_ == A else []
    assert lines(read(message(*kept, *end, type_=type_), type_, do=True).body, type_) == kept + end


def test_scope_ends_the_chain() -> None:
    scope = Scope(ROOT, (from_text("cluster.local"),))
    wire = message("www.example.com. 300 IN CNAME x.cluster.local.", "x.cluster.local. 300 IN A 192.0.2.1")
    reading = read(wire, scope=scope)
    assert reading.follow == from_text("x.cluster.local")
    assert lines(reading.body) == ["www.example.com. 300 IN CNAME x.cluster.local."]
    assert not Scope(from_text("corp.example")).allows(from_text("notcorp.example"))


def test_limits_apply_to_each_record() -> None:
    wire = message("www.example.com. 999999 IN CNAME web.example.com.", "web.example.com. 2 IN A 192.0.2.1")
    reading = read(wire, limits=TTLLimits(cap=1000, floor=5))
    assert [line.split()[1] for line in lines(reading.body)] == ["1000", "5"]
    assert reading.ttl == 5


@pytest.mark.parametrize(
    ("wire", "verdict"),
    [
        (message(rcode=2), Verdict.FAILED),
        (message(rcode=5), Verdict.FAILED),
        (message(rcode=16), Verdict.FAILED),
        (message("www.example.com. 1 IN CNAME www.example.com."), Verdict.CHAIN_TOO_LONG),
    ],
)
def test_what_is_no_answer(wire: bytes, verdict: Verdict) -> None:
    assert read(wire).verdict is verdict


HEADS = st.tuples(st.sampled_from([0x8180, 0x8183, 0x8580]), *[st.integers(0, 4)] * 3)


@given(HEADS, st.binary(max_size=200), st.booleans(), st.sampled_from([A, CNAME, MX, SOA, 255]))
def test_any_octets_give_a_value_or_a_format_error(
    head: tuple[int, int, int, int], tail: bytes, do: bool, type_: int
) -> None:
    flags, an, ns, ar = head
    counts = b"".join(count.to_bytes(2, "big") for count in (1, an, ns, ar))
    _check(
        b"\0\1" + flags.to_bytes(2, "big") + counts + upstream_query.write(NAME, type_, False, False)[0] + tail,
        type_,
        do=do,
    )


@given(
    RECORDS,
    RECORDS,
    st.sampled_from([0, 3]),
    st.sampled_from([A, CNAME, MX, 255]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
)
def test_any_records_spoilt_or_not_give_a_body_that_can_be_read(
    answer: list[str], authority: list[str], rcode: int, type_: int, do: bool, spoilt: list[tuple[int, int]]
) -> None:
    wire = bytearray(message(*answer, authority=tuple(authority), rcode=rcode, type_=type_))
    question_end = 12 + len(NAME) + 4
    for at, octet in spoilt:
        if at + question_end < len(wire):
            wire[at + question_end] = octet
    _check(bytes(wire), type_, do=do)


def _check(wire: bytes, type_: int, *, do: bool) -> None:
    try:
        reading = read(wire, type_, do=do)
    except FormatError:
        return
    body = reading.body
    assert reading.ttl <= 86_400
    for offset in body.ttls:
        assert body.data[offset : offset + 4] <= (86_400).to_bytes(4, "big")
    assert len(body.ttls) == body.an + body.ns
    front = bytes(12) + NAME + bytes(4)
    names = Names(front + body.data)
    names.read(12)
    records = list(read_records(front + body.data, names, len(front), body.an + body.ns))
    assert [record.ttl_at - len(front) for record in records] == list(body.ttls)
    assert not records or records[-1].end == len(front) + len(body.data)


# The dearest shapes that `python -m tests.wire.hostile` finds: 6 to 8 ms of an idle processor for the worst of them.
DEAR = [
    Shape("label+long", "asked", SOA, "both", 1000, 3, do=True),
    Shape("label+long", "label+long", SOA, "answer", 1000, 0, do=True),
    Shape("label+long", "long", MX, "both", 1000, 0, do=False),
    Shape("label+long", "label+long", CNAME, "answer", 1000, 0, do=True),
    Shape("label+long", "long", m.NSEC, "authority", 1000, 0, do=True),
    Shape("asked", "own", m.RRSIG, "answer", 1000, 0, do=True),
    Shape("long", "own", MX, "authority", 1000, 0, do=True),
    Shape("asked", "chained", CNAME, "answer", 1000, 0, do=False),
    Shape("nested", "nested", CNAME, "answer", 1000, 0, do=False),
]


@pytest.mark.parametrize("shape", DEAR, ids=str)
def test_no_reply_costs_more_than_a_few_milliseconds(shape: Shape) -> None:
    wire = reply(shape)
    # Beside what a plain reply of as many addresses costs, so that a busy machine is no slow one.
    plain = reply(Shape("asked", "asked", A, "answer", 1000, 0, do=False))
    beside = min(cost(plain, do=False, scope=Scope())[0] for _ in range(5))
    dear = min(cost(wire, do=shape.do, scope=Scope())[0] for _ in range(5))
    assert dear < 8 * beside


_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def errored(rcode: int, *, flags: int = 0x8180, counts: tuple[int, int, int, int] = (0, 0, 0, 0)) -> bytes:
    return b"\x12\x34" + (flags | rcode).to_bytes(2) + b"".join(count.to_bytes(2) for count in counts)


@pytest.mark.parametrize(
    ("reply", "rcode"),
    [
        (errored(m.FORMERR), m.FORMERR),
        (errored(m.SERVFAIL), m.SERVFAIL),
        (errored(m.NOTIMP), m.NOTIMP),
        (errored(m.REFUSED), m.REFUSED),
        (errored(9), 9),
        (errored(m.FORMERR, flags=0x8000), m.FORMERR),
        (errored(m.FORMERR, flags=0x8580), m.FORMERR),
        (errored(m.FORMERR, counts=(1, 0, 0, 1)), m.FORMERR),  # copied from the query
        (errored(m.FORMERR, counts=(0, 0, 0, 1)) + _OPT, m.FORMERR),
        (errored(m.NOERROR, counts=(0, 0, 0, 1)) + _OPT.replace(b"\xd0\0", b"\xd0\1"), m.BADVERS),
        (errored(m.NOERROR, flags=0x8380), m.NOERROR),  # TC: there is more over TCP
        (errored(m.NXDOMAIN, flags=0x8380), m.NXDOMAIN),
    ],
)
def test_errors_are_read(reply: bytes, rcode: int) -> None:
    assert bare_rcode(reply) == rcode


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        errored(m.FORMERR)[:11],
        errored(m.NOERROR),
        errored(m.NXDOMAIN),
        errored(m.NOERROR, counts=(0, 0, 0, 1)) + _OPT,
        errored(m.NXDOMAIN, counts=(0, 0, 0, 1)) + _OPT,
        errored(m.FORMERR, flags=0x0180),  # a query
        errored(m.FORMERR, flags=0xA980),  # another opcode
        errored(m.FORMERR, counts=(1, 0, 0, 0)) + b"\1a\0\0\1\0\1",
        errored(m.FORMERR, counts=(0, 1, 0, 0)) + b"\0\0\1\0\1\0\0\0\0\0\4abcd",
        errored(m.FORMERR, counts=(0, 0, 1, 0)) + b"\0\0\1\0\1\0\0\0\0\0\4abcd",
    ],
)
def test_what_is_no_error_without_a_question(reply: bytes) -> None:
    assert bare_rcode(reply) is None


def test_truncation_is_seen() -> None:
    assert is_truncated(errored(m.NOERROR, flags=0x8380))
    assert not is_truncated(errored(m.NOERROR, flags=0x8580))
