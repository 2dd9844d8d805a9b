"""Packets to queries: what is read, what is refused, and which share a key."""

import itertools

import dns.edns
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError
from dnsserver.wire.query import read_query
from dnsserver.wire.reply import opt_record
from tests.messages import d, header, option

WEB = "web.shop.svc.cluster.local."
LIMIT = 1232


def test_what_a_query_says() -> None:
    query = read_query(d("WEB.shop.SVC.cluster.local", "SRV", flags=dns.flags.RD, id=0x1234).to_wire())
    assert query.id == b"\x12\x34"
    assert query.name == names.from_text(WEB)
    assert (query.type, query.klass, query.flags) == (m.SRV, m.CLASS_IN, m.RD)
    assert query.question == names.from_text("WEB.shop.SVC.cluster.local") + b"\0\x21\0\1"
    assert (query.size, query.version, query.do) == (1232, 0, False)


@pytest.mark.parametrize(
    ("query", "size", "version", "do"),
    [
        (d(WEB, use_edns=None), 0, 0, False),
        (d(WEB, payload=0), 1, 0, False),  # EDNS with a size of 0 is EDNS all the same
        (d(WEB, payload=4096, ednsflags=dns.flags.DO), 4096, 0, True),
        (d(WEB, options=[option(10, b"12345678")]), 1232, 0, False),
        (d(WEB, use_edns=1), 1232, 1, False),
        (d(WEB, use_edns=255, ednsflags=dns.flags.DO), 1232, 255, True),
    ],
)
def test_edns(query: dns.message.Message, size: int, version: int, do: bool) -> None:
    read = read_query(query.to_wire())
    assert (read.size, read.version, read.do) == (size, version, do)


_TAIL = b"\0\1\0\1"


def opt_with(options: bytes, version: int = 0) -> bytes:
    return b"\0\0\x29\4\xd0\0" + bytes((version,)) + b"\0\0" + len(options).to_bytes(2) + options


@pytest.mark.parametrize(
    ("packet", "complaint"),
    [
        (header(questions=0) + b"\0" + _TAIL, "0 questions and 0 answers in a query, expected 1 and 0"),
        (header(questions=2) + b"\0" + _TAIL, "2 questions"),
        (header(answers=1) + b"\0" + _TAIL, "1 answers"),
        (header(), "question ends at octet 12"),
        (header() + b"\3we", "question ends at octet 15"),
        (header() + b"\0\0\1\0", "question ends at octet 16"),
        (header() + b"\xc0\x0c" + _TAIL, "label type 0b11 in the question"),
        (header() + b"\x40" + _TAIL, "label type 0b1 in the question"),
        (header() + b"\1x" * 128 + b"\0" + _TAIL, "question name of 257 octets, expected at most 255"),
        (header(extras=1) + b"\0" + _TAIL, "name at octet 17 of 17 does not end"),
        (header(extras=1) + b"\0" + _TAIL + b"\0\0\x29", "record 1 after the question ends past the message"),
        (header(extras=1) + b"\0" + _TAIL + b"\0\0\x29\4\xd0\0\0\0\0\0\1", "has 1 octets of data, past the message"),
        (header(authorities=1) + b"\0" + _TAIL + opt_record(512), "a second OPT, or one not at the root"),
        (header(extras=2) + b"\0" + _TAIL + opt_record(512) * 2, "a second OPT"),
        (header(extras=1) + b"\0" + _TAIL + b"\1x" + opt_record(512), "not at the root"),
        (header(extras=1) + b"\0" + _TAIL + b"\xc0\x11" + opt_record(512), "name at octet 17 of 30 does not end"),
        (header(extras=1) + b"\0" + _TAIL + b"\xc0\x13" + opt_record(512), "name pointer at octet 17 to 19"),
        (header(authorities=33, extras=32) + b"\0" + _TAIL + opt_record(512), "65 records after the question"),
        (header(extras=65535) + b"\0" + _TAIL, "65535 records after the question"),
        (
            header(extras=1) + b"\0" + _TAIL + opt_with(b"\0\x0a\0\x09" + bytes(8)),
            "option ends at octet 41, its OPT at 40",
        ),
        (header(extras=1) + b"\0" + _TAIL + opt_with(b"\0\x0a\0"), "option at octet 28 ends past its OPT, at 31"),
        (header(extras=1) + b"\0" + _TAIL + opt_with(b"\0\x03\0\0\0"), "option at octet 32 ends past its OPT"),
        (header(extras=1) + b"\0" + _TAIL + opt_with(b"\0\x0c\xff\xff") + bytes(40), "option ends at octet 65567"),
        (header(extras=1) + b"\0" + _TAIL + b"\x41" + opt_record(512), "label type 0x41 at octet 17"),
    ],
)
def test_what_is_malformed(packet: bytes, complaint: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_query(packet)
    assert complaint in str(caught.value)


@given(st.binary(min_size=12, max_size=300))
def test_any_octets_are_read_or_refused(packet: bytes) -> None:
    try:
        query = read_query(packet)
    except FormatError:
        return
    assert query.id == packet[:2]
    assert query.question in packet


def test_another_opcode_is_not_read_any_further() -> None:
    assert read_query(header(4 << 11, questions=7)).opcode == 4


def test_queries_of_one_meaning_share_a_key_and_others_do_not() -> None:
    plain = d(WEB)
    same = [plain, d(WEB.title()), d(WEB, payload=1233), d(WEB, payload=60000), d(WEB, ednsflags=0x40)]
    same += [d(WEB, payload=1400), d(WEB, options=[option(10, b"12345678")]), d(WEB, flags=0x40)]
    others = [d(WEB, use_edns=None), d(WEB, payload=600), d(WEB, payload=511), d(WEB, ednsflags=dns.flags.DO)]
    others += [d(WEB, "AAAA"), d("x." + WEB), d(WEB, flags=m.RD), d(WEB, flags=m.CD), d(WEB, flags=m.AD)]
    keys = [read_query(query.to_wire()).key(LIMIT) for query in (*same, *others)]
    assert keys[0] == plain.to_wire()[2:]
    assert set(keys[: len(same)]) == {keys[0]}
    assert len(set(keys[len(same) :])) == len(others)
    assert keys[0] not in keys[len(same) :]
    assert read_query(plain.to_wire() + b"tail").key(LIMIT) == keys[0]


def test_the_spellings_of_a_question_have_few_keys() -> None:
    """Whatever a client may alter in a question for the same name, type and class."""
    flags = [
        sum(bits) for bits in itertools.product((0, m.RD), (0, m.AD), (0, m.CD), (0, 0x40), (0, 0x0400), (0, 0x80))
    ]
    options: list[list[dns.edns.Option]] = [[], [option(10, b"12345678")], [option(65001, b"x" * 40)]]
    keys = set()
    for bits in flags:
        keys.add(read_query(d(WEB, use_edns=None, flags=bits).to_wire()).key(LIMIT))
        for do, more, name in itertools.product((0, dns.flags.DO, 0x4000), options, (WEB, WEB.upper())):
            query = d(name, flags=bits, ednsflags=do, options=more).to_wire()
            at = 12 + len(names.from_text(name)) + 4 + 3  # of the size: behind the question, the root and a type
            for size in (*range(0, 1300, 7), 4096, 8192, 65535):
                keys.add(read_query(query[:at] + size.to_bytes(2) + query[at + 2 :]).key(LIMIT))
    classes, regular = 4, 4  # no EDNS, least, between, limit; and the sizes that are found without being read
    assert len(keys) <= 8 * 2 * (classes + regular)


def test_a_regular_query_is_its_own_key() -> None:
    for size in (512, 1200, 1232, 4096):
        packet = d(WEB, payload=size, flags=m.RD).to_wire()
        assert read_query(packet).regular
        assert read_query(packet).key(LIMIT) == packet[2:]


@pytest.mark.parametrize("options", [b"", b"\0\3\0\0", b"\0\x0a\0\x08" + bytes(8) + b"\0\3\0\0"])
def test_options_that_fill_their_opt(options: bytes) -> None:
    assert read_query(header(extras=1) + b"\0" + _TAIL + opt_with(options)).size == 1232


def test_what_options_of_another_version_look_like_nobody_knows() -> None:
    assert read_query(header(extras=1) + b"\0" + _TAIL + opt_with(b"\0\x0a\0\x09", version=1)).version == 1


_text = st.lists(st.sampled_from(("web", "WEB", "x-1", "_tcp", "svc", "cluster")), min_size=1, max_size=6).map(".".join)


@given(
    _text,
    st.integers(1, 0xFFFF),
    st.sampled_from((dns.rdataclass.IN, dns.rdataclass.CH, dns.rdataclass.ANY)),
    st.sampled_from((0, dns.flags.RD, dns.flags.AD, dns.flags.CD, dns.flags.RD | dns.flags.CD, dns.flags.TC)),
    st.none() | st.tuples(st.integers(0, 0xFFFF), st.booleans(), st.lists(st.binary(max_size=12), max_size=3)),
)
def test_a_query_is_read_as_dnspython_wrote_it(
    name: str, type_: int, klass: dns.rdataclass.RdataClass, flags: int, edns: tuple[int, bool, list[bytes]] | None
) -> None:
    message = dns.message.make_query(name, dns.rdatatype.RdataType.make(type_), klass, flags=flags)
    if edns is not None:
        size, do, options = edns
        message.use_edns(0, dns.flags.DO if do else 0, size, options=[option(100, data) for data in options])
    query = read_query(message.to_wire())
    assert (query.name, query.type, query.klass) == (names.from_text(name.lower()), type_, klass)
    assert query.question[:-4] == names.from_text(name)
    assert query.flags == flags & (m.RD | m.AD | m.CD)
    assert (query.size, query.do) == ((0, False) if edns is None else (max(1, edns[0]), edns[1]))
    assert not query.regular or (name == name.lower() and not (edns and edns[2]) and not flags & m.TC)
