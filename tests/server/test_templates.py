"""Templates of outside questions give the same octets as the long way, which parses."""

import dns.flags
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.wire import message as m
from dnsserver.wire.message import EMPTY
from dnsserver.wire.query import Query, read_query
from tests.outside import Late, Outside
from tests.server.ways import AWAY, NOW, OUTCOMES, Server, query


def raw(labels: bytes, like: bytes) -> bytes:
    """Return a query with these octets in place of the name of another one."""
    return like[:12] + labels + like[like.index(0, 12) + 1 :]


_EDNS: tuple[dict[str, int], ...] = (
    {},
    {"use_edns": 0, "payload": 1232},
    {"use_edns": 0, "payload": 4096},
    {"use_edns": 0, "payload": 512, "want_dnssec": True},
    {"use_edns": 0, "payload": 1233},
)
_labels = st.sampled_from(
    (b"www", b"WWW", b"example", b"com", b"svc", b"a" * 63, b"b" * 64, b"c" * 200, b"n\0l", b"cluster\5local", b"")
)
_questions = st.builds(
    lambda labels, type_, edns, flags, number: raw(
        b"".join(bytes((len(label),)) + label for label in labels) + b"\0", query("x", type_, number, flags, **edns)
    ),
    st.lists(_labels, min_size=1, max_size=6),
    st.sampled_from(("A", "AAAA", "TXT", "SRV", "HTTPS", "ANY", "AXFR")),
    st.sampled_from(_EDNS),
    st.sampled_from((0, dns.flags.RD, dns.flags.RD | dns.flags.AD, dns.flags.RD | dns.flags.CD, dns.flags.TC)),
    st.integers(0, 65535),
)
# Those of a form that was learned: with a name like any other they go the short way.
_TYPES = ("A", "AAAA", "TXT")
_usual = st.builds(
    lambda name, type_, edns, number: query(name, type_, number, **edns),
    st.sampled_from(("www.example.com", "a.example", "n1.example.com", "web.shop.svc.cluster.local", "x.y.z.")),
    st.sampled_from(_TYPES),
    st.sampled_from(_EDNS),
    st.integers(0, 65535),
)


LATE: dict[str, Late] = {
    "at once": False,
    "late": True,
    "late in the end": lambda ask: ask.name == AWAY,
    "late at first": lambda ask: ask.name != AWAY,
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize(
    "outcome", [pytest.param(name, marks=[pytest.mark.made_up] * (name == "unreadable")) for name in OUTCOMES]
)
@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(_usual, _questions), min_size=1, max_size=12), st.booleans())
def test_both_ways_say_the_same(outcome: str, late: str, packets: list[bytes], stream: bool) -> None:
    learned = [query("learn.example.net", type_, 1, **edns) for type_ in _TYPES for edns in _EDNS]
    said, asked = [], []
    for short in (True, False):
        server = Server(Outside(OUTCOMES[outcome], late=LATE[late]), short=short, stream=stream)
        said.append(server.replies_to([*learned, *packets, *packets]))
        asked.append(server.outside.asked)
    assert said[0] == said[1]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "labels",
    [
        (b"\x3f" + b"a" * 63) * 4 + b"\0",
        (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0",
        b"\x07ab",  # and the root, type and class that follow are the rest of a label that ends with the packet
        b"\x40" + b"a" * 64 + b"\0",
        b"\x01a\xc0\x0c",
        b"\0",
    ],
)
def test_names_that_are_none_and_the_longest_there_is(labels: bytes) -> None:
    learned = query("learn.example.net")
    packet = learned[:12] + labels.removesuffix(b"\0") + b"\0" + learned[-4:]
    both = [Server(Outside(OUTCOMES["address"], late=True), short=short) for short in (True, False)]
    assert both[0].replies_to([learned, packet]) == both[1].replies_to([learned, packet])
    assert both[0].outside.asked == both[1].outside.asked


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The packets that are read, as they come."""
    found: list[bytes] = []

    def counting(packet: bytes) -> Query:
        found.append(packet)
        return read_query(packet)

    monkeypatch.setattr("dnsserver.server.respond.read_query", counting)
    return found


def test_the_short_way_is_taken(read: list[bytes]) -> None:
    server = Server(Outside(OUTCOMES["address"], late=True), short=True)
    assert len(server.replies_to([query(f"n{number}.example.com", number=number) for number in range(50)])) == 50
    assert len(read) == 1
    assert server.port.table.traffic().replies.total() == 50


def test_an_unknown_form_is_read_and_their_number_is_bounded() -> None:
    server = Server(Outside(OUTCOMES["address"], late=True), short=True)
    packets = [raw(b"\3www\0", query("x"))[:-4] + number.to_bytes(2) + b"\0\1" for number in range(1000, 2000)]
    assert len(server.replies_to(packets)) == 1000
    assert len(server.responder.templates) == 256


def test_odd_packets_push_out_no_template_that_is_in_use(read: list[bytes]) -> None:
    server = Server(Outside(OUTCOMES["address"], late=True), short=True)
    odd = [raw(b"\3www\0", query("x"))[:-4] + number.to_bytes(2) + b"\0\1" for number in range(1000, 3000)]
    for number, packet in enumerate(odd):
        server.replies_to([packet, query(f"n{number}.example.com")])
    assert len(read) == len(odd) + 1
    server.replies_to([odd[0]])
    assert len(read) == len(odd) + 2  # and one of them, which is out of use, was


def test_a_reply_is_kept_when_its_outcome_was_known() -> None:
    server = Server(Outside(OUTCOMES["address"], late=True), short=True)
    packet = query("www.example.com")
    for _ in range(3):
        server.replies_to([packet])
        assert not server.port.table.replies
    server.outside.late = False
    assert server.responder.respond(packet, server.port, 0) == server.port.sent[0][1]
    assert packet[2:] in server.port.table.replies


def test_a_bug_on_the_way_out_costs_that_question_only() -> None:
    server = Server(Outside(OUTCOMES["address"], late=True), short=True)
    server.replies_to([query("learn.example.com")])

    def broken(ask: Question, now: float) -> Outcome:
        return Outcome(0, EMPTY, False, FORWARDED, NOW, "never")  # type: ignore[arg-type]

    server.outside.tell = broken
    server.outside.late = False
    reply = server.responder.respond(query("www.example.com"), server.port, 0)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == m.SERVFAIL
