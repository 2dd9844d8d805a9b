"""Replies to octets: dnspython reads what was meant, and so do we; what is cut, what stands in the OPT."""

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import EDE, EMPTY, Body, RRset
from dnsserver.wire.query import read_query
from dnsserver.wire.records import rrsets
from dnsserver.wire.reply import compose, cut, echo, opt_record, write_reply
from tests.messages import d

WEB = "web.shop.svc.cluster.local."
LIMIT = 1232

_label = st.sampled_from((b"a", b"b", b"svc", b"cluster", b"local", b"x" * 63))
_name = st.lists(_label, max_size=3).map(names.from_labels)
_asked = _name


def _names(count: int) -> st.SearchStrategy[bytes]:
    return st.lists(_name, min_size=count, max_size=count).map(b"".join)


_rdatas: dict[int, st.SearchStrategy[bytes]] = {
    m.A: st.binary(min_size=4, max_size=4),
    m.AAAA: st.binary(min_size=16, max_size=16),
    m.CNAME: _name,
    m.PTR: _name,
    m.NS: _name,
    m.SOA: st.builds(lambda two, numbers: two + numbers, _names(2), st.binary(min_size=20, max_size=20)),
    m.SRV: st.builds(lambda fixed, target: fixed + target, st.binary(min_size=6, max_size=6), _name),
    m.MX: st.builds(lambda preference, target: preference + target, st.binary(min_size=2, max_size=2), _name),
    m.TXT: st.binary(max_size=20).map(lambda text: bytes((len(text),)) + text),
    1000: st.binary(max_size=30),
}
_rrset = st.sampled_from(sorted(_rdatas)).flatmap(
    lambda type_: st.builds(
        RRset,
        _name,
        st.just(type_),
        st.integers(0, 2**31 - 1),
        st.lists(_rdatas[type_], min_size=1, max_size=4).map(tuple),
    )
)
_sections = st.tuples(*[st.lists(_rrset, max_size=4).map(tuple)] * 3)


def _flat(section: tuple[RRset, ...]) -> list[tuple[bytes, int, int, bytes]]:
    return [(rrset.name, rrset.type, rrset.ttl, rdata) for rrset in section for rdata in rrset.rdatas]


def message_of(name: bytes, body: Body) -> bytes:
    counts = b"".join(count.to_bytes(2) for count in (1, body.an, body.ns, body.ar))
    return b"\0\0\x84\0" + counts + name + b"\0\1\0\1" + body.data


@given(_asked, _sections)
def test_what_is_composed_is_read_back(asked: bytes, sections: tuple[tuple[RRset, ...], ...]) -> None:
    body = compose(asked, *sections)
    assert [_flat(section) for section in rrsets(body, asked)] == [_flat(section) for section in sections]


@given(_asked, _sections)
def test_dnspython_reads_the_same(asked: bytes, sections: tuple[tuple[RRset, ...], ...]) -> None:
    wire = message_of(asked, compose(asked, *sections))
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    for theirs, ours in zip((message.answer, message.authority, message.additional), sections, strict=True):
        read = [(r.name.to_wire(), int(r.rdtype), r.ttl, r[0].to_wire(origin=None)) for r in theirs]
        assert read == _flat(ours)


def test_names_are_compressed() -> None:
    asked = names.from_text("web.shop.svc.cluster.local")
    target, server = names.from_text("a.other.example"), names.from_text("ns.other.example")
    body = compose(
        asked,
        (RRset(asked, m.CNAME, 5, (target,)), RRset(target, m.A, 5, (bytes(4), bytes(4)))),
        (RRset(names.from_text("other.example"), m.NS, 5, (server,)),),
        (RRset(server, m.A, 5, (bytes(4),)),),
    )
    # Every name that was there before is a pointer: 12 octets and the rdata, but for what is new in a name.
    assert len(body.data) == (12 + len(target)) + 2 * 16 + (12 + 5) + 16


@given(_asked, st.lists(_rrset, max_size=5), st.integers(0, 5))
def test_ttls_that_count_down_are_those_from_outside(asked: bytes, answer: list[RRset], own: int) -> None:
    body = compose(asked, answer, own=own)
    outside = [rrset.ttl for rrset in answer[own:] for _ in rrset.rdatas]
    assert [int.from_bytes(body.data[at : at + 4]) for at in body.ttls] == outside


@given(_asked, st.lists(_rrset, max_size=3), st.lists(_rrset, max_size=2))
def test_the_ring_is_a_run_of_address_records_that_differ_in_nothing_else(
    asked: bytes, answer: list[RRset], additional: list[RRset]
) -> None:
    body = compose(asked, answer, (), additional)
    if body.ring is None:
        return
    start, step, count = body.ring
    records = [body.data[start + n * step : start + (n + 1) * step] for n in range(count)]
    size = step - 12
    assert size in {4, 16}
    assert len({record[:-size] for record in records}) == 1
    turned = compose(asked, answer, (), additional).data
    turned = turned[:start] + b"".join((*records[1:], records[0])) + turned[start + count * step :]
    before, after = rrsets(body, asked), rrsets(Body(body.an, body.ns, body.ar, turned), asked)
    assert sorted(_flat(before[0])) == sorted(_flat(after[0]))
    assert before[1:] == after[1:]


def test_the_usual_answer_takes_16_octets_a_record() -> None:
    asked = names.from_text("web.shop.svc.cluster.local")
    body = compose(asked, (RRset(asked, m.A, 5, (b"\x0a\0\0\1", b"\x0a\0\0\2")),))
    assert body.data == b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1" + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\2"
    assert body.ring == (0, 16, 2)


def test_our_names_do_not_take_on_the_spelling_of_the_question() -> None:
    asked = names.from_text("web.shop.svc.cluster.local")
    target = names.from_text("a.web.shop.svc.cluster.local")
    sections = (
        (RRset(asked, m.CNAME, 5, (target,)), RRset(target, m.CNAME, 5, (asked,))),
        (),
        (RRset(target, m.A, 5, (b"\x0a\0\0\1",)),),
    )
    wire = message_of(names.from_text("WEB.SHOP.SVC.CLUSTER.LOCAL"), compose(asked, *sections))
    message = dns.message.from_wire(wire)
    for rrset in (*message.answer[1:], *message.additional):
        assert not {"WEB", "SHOP", "LOCAL"} & set(rrset.to_text().replace(".", " ").split()), rrset
    assert message.answer[0][0].to_text() == "a.web.shop.svc.cluster.local."
    assert message.answer[0].rdtype == dns.rdatatype.CNAME


def test_srv_targets_stay_whole() -> None:
    asked = names.from_text("web.shop.svc.cluster.local")
    rdata = bytes(6) + asked
    assert compose(asked, (RRset(asked, m.SRV, 5, (rdata,)),)).data.endswith(rdata)


def test_no_pointer_reaches_beyond_16_kib() -> None:
    asked = names.from_text("web.shop.svc.cluster.local")
    many = [RRset(names.from_text(f"n{n}.example"), m.TXT, 5, (b"\xff" + bytes(255),)) for n in range(100)]
    last = RRset(names.from_text("n99.example"), m.A, 5, (bytes(4),))
    body = compose(asked, [*many, last])
    assert rrsets(body, asked)[0][-1] == last


def _addresses(count: int) -> RRset:
    return RRset(names.from_text(WEB), m.A, 5, tuple(bytes((10, 0, n // 256, n % 256)) for n in range(count)))


@given(st.integers(0, 80), st.integers(0, 20), st.integers(60, 1400), st.booleans())
def test_a_reply_is_cut_at_a_record_from_its_end_and_says_so_if_an_answer_is_missing(
    answers: int, extras: int, limit: int, edns: bool
) -> None:
    query = read_query(d(WEB).to_wire())
    extra = RRset(names.from_text("extra.local"), m.AAAA, 5, tuple(bytes((n,)) * 16 for n in range(extras)))
    body = compose(query.name, (_addresses(answers),) if answers else (), (), (extra,) if extras else ())
    opt = opt_record(LIMIT) if edns else b""
    wire = query.id + write_reply(query, 0, m.AA, body, limit, opt)
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert len(wire) <= max(limit, 12 + len(query.question) + len(opt))
    assert bool(message.flags & dns.flags.TC) == (len(message.answer) < answers)
    if len(message.answer) < answers:
        assert not message.additional
    whole = 12 + len(query.question) + len(body.data) + len(opt)
    if len(wire) < whole:  # what was left out had no room
        assert len(wire) + 12 + 16 + 16 > limit
    assert (message.edns == 0) is edns


@pytest.mark.parametrize(("do", "is_cut"), [(True, True), (False, False)])
def test_a_reply_without_room_for_its_proofs_says_so_to_who_asked_for_them(do: bool, is_cut: bool) -> None:
    """RFC 4035 section 3.1.1: without TC, a validator takes what is left for forged."""
    query = read_query(d(WEB, ednsflags=dns.flags.DO if do else 0).to_wire())
    proofs = tuple(RRset(names.from_text(f"{n}.local"), 50, 5, (bytes(300),)) for n in range(5))  # NSEC3
    wire = query.id + write_reply(
        query, m.NXDOMAIN, 0, compose(query.name, (), proofs), LIMIT, opt_record(LIMIT, do=do)
    )
    assert len(wire) <= LIMIT
    assert 0 < int.from_bytes(wire[8:10]) < 5
    assert bool(wire[2] & 2) is is_cut


def test_cutting_keeps_the_offsets_of_the_ttls_that_are_left() -> None:
    name = names.from_text(WEB)
    body = compose(name, (_addresses(4),), own=0)
    half = cut(body, 40, 12 + len(name) + 4)
    assert (half.an, half.ttls) == (2, body.ttls[:2])


def test_opt_record() -> None:
    body = Body(0, 0, 0, b"")
    query = read_query(d(WEB, ednsflags=dns.flags.DO).to_wire())
    opt = opt_record(LIMIT, m.BADVERS, do=True, ede=EDE.NOT_READY, text="waiting")
    message = dns.message.from_wire(query.id + write_reply(query, m.BADVERS, 0, body, LIMIT, opt))
    assert (message.rcode(), message.payload, message.ednsflags & 0xFFFF) == (m.BADVERS, LIMIT, dns.flags.DO)
    (error,) = message.options
    assert error.to_text() == "EDE 14 (Not Ready): waiting"


def test_echo_puts_the_clients_spelling_in_place() -> None:
    lower, mixed = read_query(d(WEB).to_wire()), read_query(d(WEB.title()).to_wire())
    wire = write_reply(lower, 0, 0, EMPTY, LIMIT, b"")
    assert echo(wire, mixed.question) == write_reply(mixed, 0, 0, EMPTY, LIMIT, b"")
