from collections.abc import Iterable

import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.questions import Manner, Question, QuestionError, encode, encode_name, read, write


def test_a_question_file_is_read_as_dnsperf_reads_it() -> None:
    lines = ["; a comment", "www.example.com A", "", "# another", "  x.example.com.   aaaa  "]
    assert read([*lines, "_http._tcp.a.b SRV", ". NS", "x TYPE65280"], "f") == [
        Question("www.example.com", "A"),
        Question("x.example.com.", "aaaa"),
        Question("_http._tcp.a.b", "SRV"),
        Question(".", "NS"),
        Question("x", "TYPE65280"),
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a A", "b"], "f:2: expected `name type`, as in `www.example.com A`, got 'b'"),
        (["a IN A"], "f:1: expected `name type`, as in `www.example.com A`, got 'a IN A'"),
        (["", "a B"], "f:2: expected a type such as A, AAAA, SRV or TYPE65280, got 'B'"),
        (["a TYPE65536"], "f:1: expected a type such as A, AAAA, SRV or TYPE65280, got 'TYPE65536'"),
        (["a..b A"], "f:1: expected labels of 1 to 63 octets, got 0 octets in the name 'a..b'"),
        (["x" * 64 + " A"], "f:1: expected labels of 1 to 63 octets, got 64 octets"),
        (["a." * 128 + " A"], "f:1: expected a name of at most 255 octets, got 257"),
        ([r"a\25 A"], r"f:1: expected `\` and three digits up to 255"),
        (["a\\ A"], r"f:1: expected a character or three digits after `\`"),
        (["; nothing"], "f: expected at least one line `name type`, found none"),
    ],
)
def test_an_error_says_where_it_is_and_what_was_expected(lines: Iterable[str], said: str) -> None:
    with pytest.raises(QuestionError) as caught:
        read(lines, "f")
    assert str(caught.value).startswith(said)


def test_what_is_written_is_read_again() -> None:
    questions = [Question("a.example.", "A"), Question("b", "SRV")]
    assert read(write(questions).splitlines(), "f") == questions


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=8))
def test_a_name_is_encoded_as_dnspython_does(labels: list[bytes]) -> None:
    text = "".join("".join(f"\\{octet:03}" for octet in label) + "." for label in labels)
    assert encode_name(text) == dns.name.Name([*labels, b""]).to_wire()


def test_escaped_characters_stand_for_themselves() -> None:
    assert encode_name(r"a\.b.c") == b"\x03a.b\x01c\0"


@pytest.mark.parametrize(
    "manner", [Manner(), Manner(recursion=False), Manner(edns=1232), Manner(edns=4096, dnssec=True)]
)
def test_a_question_is_a_message_that_dnspython_reads(manner: Manner) -> None:
    encoded = encode(Question("_http._tcp.Svc.ns", "SRV"), manner)
    message = dns.message.from_wire(b"\x12\x34" + encoded.tail)
    assert str(message.question[0]) == "_http._tcp.Svc.ns. IN SRV"
    assert bool(message.flags & 0x0100) == manner.recursion
    assert message.edns == (-1 if manner.edns is None else 0)
    assert message.payload == (manner.edns or 0)
    assert bool(message.ednsflags & 0x8000) == manner.dnssec
    assert encoded.question == encode_name("_http._tcp.Svc.ns") + dns.rdatatype.SRV.to_bytes(2) + b"\0\1"
    assert encoded.question in encoded.tail
