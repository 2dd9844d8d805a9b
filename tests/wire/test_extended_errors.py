"""Extended DNS errors: written short, left out where there is no room, and read out of whatever an upstream sends."""

import dns.edns
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import extended_errors as e
from dnsserver.wire.message import EDE, FormatError
from dnsserver.wire.reply import opt_record

START = 12 + len(b"\3www\7example\3com\0") + 4


def reply(*options: dns.edns.Option, answer: str = "", additional: str = "") -> bytes:
    """A reply about www.example.com with these options."""
    query = dns.message.make_query("www.example.com", "A", use_edns=0)
    message = dns.message.make_response(query)
    message.use_edns(0, options=list(options))
    for section, line in ((message.answer, answer), (message.additional, additional)):
        if line:
            section.append(dns.rrset.from_text(*line.split(" ", 4)))  # type: ignore[arg-type]
    return message.to_wire(max_size=65_535)


def option(code: int, data: bytes) -> dns.edns.Option:
    return dns.edns.GenericOption(dns.edns.OptionType.make(code), data)


def error(code: int, text: str = "") -> dns.edns.Option:
    return option(15, code.to_bytes(2) + text.encode())


def told(opt: bytes) -> list[tuple[int, str | None]]:
    """What dnspython reads out of an OPT of ours."""
    header = bytes(10) + b"\0\1"
    options = dns.message.from_wire(header + opt).options
    return [(int(each.code), each.text) for each in options if isinstance(each, dns.edns.EDEOption)]


@pytest.mark.parametrize(
    ("text", "octets"),
    [("", 0), ("a" * 128, 128), ("a" * 129, 128), ("é" * 64, 128), ("é" * 65, 127), ("a" * 124 + "ééé", 127)],
)
def test_a_text_has_at_most_128_octets_and_whole_characters(text: str, octets: int) -> None:
    cut = e.cut_text(text)
    assert len(cut.encode()) == octets
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


@given(st.text(), st.integers(3, 300))
def test_any_text_is_cut(text: str, most: int) -> None:
    assert len(e.cut_text(text, most).encode(errors="replace")) <= most


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1, "0 s"), (0.9, "0 s"), (1, "1 s"), (4.9, "2 s"), (59, "30 s"), (60, "1 min"), (299, "2 min")),
        *((300, "5 min"), (3599, "30 min"), (3600, "1 h"), (86_399, "12 h"), (86_400, "1 d"), (1e9, "7 d")),
    ],
)
def test_an_age_is_rounded_down_to_one_of_few_steps(seconds: float, text: str) -> None:
    assert e.age_text(seconds) == text


def test_an_opt_has_four_errors_at_most() -> None:
    also = tuple((code, f"text {code}") for code in range(1, 9))
    assert told(opt_record(1232, ede=EDE.OTHER, text="ours", also=also)) == [(0, "ours"), *also[:3]]
    assert told(opt_record(1232, also=also)) == list(also[:4])


OPT = opt_record(1232, do=True, ede=EDE.NOT_READY, text="waiting", also=((6, "bogus"), (7, "")))
BARE = e.BARE_OPT


@pytest.mark.parametrize(
    ("room", "left"),
    [
        (BARE + 30, [(14, "waiting"), (6, "bogus"), (7, None)]),
        (BARE + 29, [(14, "waiting"), (6, None), (7, None)]),
        (BARE + 25, [(14, "waiting"), (6, None), (7, None)]),
        (BARE + 24, [(14, None), (6, None), (7, None)]),
        (BARE + 17, [(14, None), (6, None)]),
        (BARE + 6, [(14, None)]),
        (BARE + 5, []),
        (BARE, []),
        (-100, []),
    ],
)
def test_without_room_texts_go_and_then_errors_from_the_last_one_on(
    room: int, left: list[tuple[int, str | None]]
) -> None:
    opt = e.shortened(OPT, room)
    assert told(opt) == left
    assert len(opt) <= max(room, BARE)
    assert opt[: BARE - 2] == OPT[: BARE - 2]


ERRORS = {
    "none": ((), ()),
    "a cookie": ((option(10, b"12345678"),), ()),
    "one": ((error(6, "no valid signature"),), ((6, "no valid signature"),)),
    "one without a text": ((error(9),), ((9, ""),)),
    "two": ((error(6, "a"), error(22, "b")), ((6, "a"), (22, "b"))),
    "behind others": ((option(3, b"id"), error(17, "x")), ((17, "x"),)),
    "a code that nobody knows": ((option(15, b"\xff\xfeprivate"),), ((0xFFFE, "private"),)),
    "more than four": (
        tuple(error(n, str(n)) for n in range(1, 7)),
        tuple((n, str(n)) for n in range(1, 5)),
    ),
    "no code": ((option(15, b"\0"), error(6, "a")), ((6, "a"),)),
    "not UTF-8": ((option(15, b"\0\6\xff\xfe"),), ((6, ""),)),
    "a control character": ((option(15, b"\0\6a\nb"),), ((6, ""),)),
    "an escape": ((option(15, b"\0\6\x1b[31m"),), ((6, ""),)),
    "turned round": ((error(6, "\u202eabc"),), ((6, ""),)),
    "a NUL at its end": ((option(15, b"\0\6text\0"),), ((6, "text"),)),
    "a long text": ((error(6, "é" * 1000),), ((6, "é" * 62 + "…"),)),
    "another script": ((error(15, "заблокировано"),), ((15, "заблокировано"),)),
}
RECORDS = {
    "no record": {},
    "an answer": {"answer": "www.example.com. 60 IN A 192.0.2.1"},
    "something like an OPT": {"answer": r'www.example.com. 60 IN TXT "\000\000\041\000\015"'},
    "a record before it": {"additional": "ns.example.com. 60 IN A 192.0.2.2"},
}


@pytest.mark.parametrize("records", RECORDS)
@pytest.mark.parametrize("kind", ERRORS)
def test_row_65_what_a_reply_tells(kind: str, records: str) -> None:
    options, errors = ERRORS[kind]
    assert e.read_errors(reply(*options, **RECORDS[records]), START) == errors


def test_an_option_that_runs_over_its_opt_is_none() -> None:
    whole = reply(error(6, "no valid signature"))
    at = whole.index(b"\0\x0f\0\x14")
    for length in (b"\0\x15", b"\xff\xff"):
        assert e.read_errors(whole[: at + 2] + length + whole[at + 4 :], START) == ()


@given(st.binary(max_size=60), st.integers(0, 80))
def test_any_octets_give_errors_or_none(junk: bytes, end: int) -> None:
    whole = reply(error(6, "no valid signature"), answer="www.example.com. 60 IN A 192.0.2.1")
    for damaged in (whole[:end] + junk, whole[:end] + junk + whole[end:], whole[:12] + junk + b"\0\0\x29" + junk):
        try:
            errors = e.read_errors(damaged, START)
        except FormatError:
            pytest.fail("nothing is raised")
        assert all(
            0 <= code < 65536 and len(text.encode()) <= e.MAX_TEXT and text.isprintable() for code, text in errors
        )
