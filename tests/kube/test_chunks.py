"""Merged or not, h11 reads the same: bodies, trailers, the octets after them, and every mistake."""

import string
from itertools import pairwise

import h11
import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from dnsserver.kube.chunks import Merger

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
        self.heads: list[h11.Response | h11.InformationalResponse] = []
        self.body = b""
        self.trailers: object = None
        self.chunks = 0
        self.failed = False

    def feed(self, data: bytes) -> None:
        if self.failed or self.trailers is not None:
            return
        try:
            self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if isinstance(event, h11.Data):
                    self.body += event.data
                    self.chunks += 1
                elif isinstance(event, h11.EndOfMessage):
                    self.trailers = event.headers.raw_items()
                    break
                elif isinstance(event, h11.Response | h11.InformationalResponse):
                    self.heads.append(event)
                else:
                    break
        except h11.RemoteProtocolError:
            self.failed = True

    @property
    def result(self) -> tuple[object, ...]:
        heads = [(head.status_code, head.headers.raw_items()) for head in self.heads]
        return heads, self.body, self.trailers, self.failed


def both(pieces: list[bytes]) -> tuple[Read, Read]:
    """What is read without and with a merger; a peer that closes comes last."""
    plain, merged, merger = Read(), Read(), Merger()
    for piece in [*pieces, b""]:
        plain.feed(piece)
        through = merger.received(piece)
        if through or not piece:  # nothing is the end of a connection
            merged.feed(through)
    return plain, merged


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(edges) if stop > start]


sizes = st.sampled_from(["{:x}", "{:X}", "{:04x}", "{:x};name=value", "{:x} ", "+{:x}", "0x{:x}", "{:020x}", "{:_x}"])
good = st.builds(chunk, st.binary(min_size=1, max_size=300))
odd = st.builds(chunk, st.binary(max_size=40), sizes)
broken = st.sampled_from(
    [b"\r\n", b"5\r\nhello", b"5\r\nhelloXX", b"\n", b"5\nhello\n", b"zz\r\n", b"ffffffff\r\nabc", b"-1\r\n"]
)
ends = st.sampled_from([b"", END, b"0\r\ntrailer: yes\r\n\r\n", b"000\r\n\r\n", END + b"more", b"0\r\n"])
heads = st.sampled_from(
    [
        HEAD,
        HEAD.title().replace(b"Http", b"HTTP").replace(b"Ok", b"OK"),
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + HEAD,
        HEAD.replace(b"200", b"404"),
        HEAD.replace(b"200", b"204"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b"chunked", b"gzip, chunked"),
        HEAD.replace(b"chunked", b"chunked\r\n gzip"),
        HEAD.replace(b"transfer-encoding: chunked", b"content-length: 20"),
        HEAD.replace(b"content-type: application/json", b"content-length: 7"),
        HEAD.replace(b"\r\n", b"\n"),
        b"not HTTP\r\n\r\n",
    ]
)
bodies = st.lists(st.one_of(good, good, good, odd, broken), max_size=12).map(b"".join)
cuts = st.lists(st.integers(0, 5000), max_size=12)


@given(heads, bodies, ends, cuts)
@example(HEAD, chunk(b"a"), END, list(range(200)))
@example(HEAD, chunk(b"a") * 50, END, [])
@example(HEAD, chunk(b"a", "{:x};x") + chunk(b"b"), END, [len(HEAD) + 4])
def test_h11_reads_the_same(head: bytes, body: bytes, end: bytes, places: list[int]) -> None:
    plain, merged = both(cut(head + body + end, places))
    assert merged.result == plain.result


@given(st.binary(max_size=400), cuts)
def test_any_octets_read_the_same(data: bytes, places: list[int]) -> None:
    for stream in (data, HEAD + data):
        plain, merged = both(cut(stream, places))
        assert merged.result == plain.result


@given(st.text(string.hexdigits + "\r\n;", max_size=60), cuts)
def test_what_looks_like_sizes_reads_the_same(text: str, places: list[int]) -> None:
    plain, merged = both(cut(HEAD + text.encode(), places))
    assert merged.result == plain.result


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=30), cuts)
def test_nothing_waits_for_more(parts: list[bytes], places: list[int]) -> None:
    merger, read = Merger(), Read()
    arrived = b""
    stream = HEAD + b"".join(map(chunk, parts))
    for piece in cut(stream, places):
        arrived += piece
        if through := merger.received(piece):
            read.feed(through)
        plain = Read()
        plain.feed(arrived)
        assert read.body == plain.body


def test_many_chunks_become_one() -> None:
    plain, merged = both([HEAD + chunk(b"x" * 1000) * 500, chunk(b"y" * 1000) * 500 + END])
    assert merged.body == plain.body
    assert (plain.chunks, merged.chunks) == (1000, 2)


def test_each_response_on_a_connection_has_its_own_head() -> None:
    merger = Merger()
    for _ in range(3):
        merger.sent()
        assert merger.received(HEAD) == HEAD
        assert merger.received(chunk(b"a") + chunk(b"b")) == chunk(b"ab")
        assert merger.received(END) == END


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_head_without_an_end_is_not_kept(size: int) -> None:
    merger = Merger()
    for _ in range(20):
        assert merger.received(b"x" * size) == b"x" * size
    assert len(merger._head) <= 65536 + size  # noqa: SLF001
