"""We read the same body as h11, for any mistake in it and for any pieces."""

import re
from itertools import pairwise

import h11
import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from dnsserver.kube.chunks import ChunkedDecoder

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes, size: str = "{:x}") -> bytes:
    return size.format(len(data)).encode() + b"\r\n" + data + b"\r\n"


class Read:
    """What h11 makes of a connection's octets."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        self._connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        self._connection.send(h11.EndOfMessage())
        self.body = b""
        self.ended = self.failed = False

    def feed(self, data: bytes) -> None:
        if self.failed or self.ended:
            return
        try:
            self._connection.receive_data(data)
            while not self.ended and (event := self._connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self.body += event.data
                self.ended = isinstance(event, h11.EndOfMessage)
        except h11.RemoteProtocolError:
            self.failed = True


def both(pieces: list[bytes]) -> tuple[Read, ChunkedDecoder, bytes]:
    """What h11 and what ours read of a body; a peer that closes comes last."""
    plain, ours, body = Read(), ChunkedDecoder(), b""
    plain.feed(HEAD)
    for piece in [*pieces, b""]:
        plain.feed(piece)
        if not ours.ended and ours.error is None:
            body += ours.received(piece)
    return plain, ours, body


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(edges) if stop > start]


SIZES = [
    "{:x}",
    "{:X}",
    "{:04x}",
    "{:x};name=value",
    "{:x} ",
    "{:x}\t ",
    "+{:x}",
    "0x{:x}",
    "{:_x}",
    " {:x}",
    "{:x} ;x",
]
good = st.builds(chunk, st.binary(min_size=1, max_size=300))
odd = st.builds(chunk, st.binary(min_size=1, max_size=40), st.sampled_from(SIZES))
broken = st.sampled_from(
    [
        b"\r\n",
        b"5\r\nhello",
        b"5\r\nhelloXX",
        b"\n",
        b"5\nhello\n",
        b"zz\r\n",
        b"ffffffff\r\nabc",
        b"-1\r\n",
        b";\r\n",
        b"",
    ]
)
ends = st.sampled_from(
    [b"", END, b"0\r\ntrailer: yes\r\n\r\n", b"000\r\n\r\n", b"0;x=y\r\n\r\n", b"0\r\n", b"0\r\na: b\r\n"]
)
bodies = st.lists(st.one_of(good, good, good, odd, broken), max_size=12).map(b"".join)
cuts = st.lists(st.integers(0, 5000), max_size=12)


def compare(stream: bytes, places: list[int]) -> None:
    plain, ours, body = both(cut(stream, places))
    assert body == plain.body
    assert (ours.ended, ours.error is not None) == (plain.ended, plain.failed)


@given(bodies, ends, cuts)
@example(chunk(b"a"), END, list(range(200)))
@example(chunk(b"a", "{:x};x") + chunk(b"b"), END, [4])
def test_h11_reads_the_same(body: bytes, end: bytes, places: list[int]) -> None:
    compare(body + end, places)


@given(st.text("0123456789abcdefABCDEF;x \r\n", max_size=60), cuts)
def test_what_looks_like_sizes_reads_the_same(text: str, places: list[int]) -> None:
    stream = text.encode()
    # Of a trailer nothing is read, and nothing may follow it; h11 reads it, and keeps what follows.
    hypothesis.assume(not re.search(rb"(^|\n)0+[ \t]*(;.*)?\r\n", stream))
    compare(stream, places)


@given(st.binary(max_size=400), cuts)
def test_any_octets_are_a_body_or_an_error(stream: bytes, places: list[int]) -> None:
    _, ours, _ = both(cut(stream, places))
    assert ours.ended != (ours.error is not None)


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=30), cuts)
def test_nothing_waits_for_more(parts: list[bytes], places: list[int]) -> None:
    ours, body, arrived = ChunkedDecoder(), b"", b""
    for piece in cut(b"".join(map(chunk, parts)), places):
        arrived += piece
        body += ours.received(piece)
        plain = Read()
        plain.feed(HEAD + arrived)
        assert body == plain.body


def test_an_error_comes_after_what_was_good() -> None:
    ours = ChunkedDecoder()
    assert ours.received(chunk(b"a") + chunk(b"b") + b"oops\r\n") == b"ab"
    assert "oops" in str(ours.error)


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\n"])
def test_nothing_may_follow(more: bytes) -> None:
    ours = ChunkedDecoder()
    assert ours.received(chunk(b"a") + END + more) == b"a"
    assert not ours.ended
    assert ours.error is not None


@pytest.mark.parametrize("begin", [b"1;" + b"x" * 5000, b"1" * 5000, b"0\r\nx: " + b"x" * 70000])
@pytest.mark.parametrize("step", [7, 1 << 20])
def test_lines_have_an_end(begin: bytes, step: int) -> None:
    ours = ChunkedDecoder()
    for position in range(0, len(begin), step):
        ours.received(begin[position : position + step])
    assert ours.error is not None
