"""The inflated text equals that of Python's gzip, for any pieces, and never much of it is there at once."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.kube.inflate import PIECE, InflateError, Inflater

TEXT = b"".join(b'{"metadata":{"name":"service-%d"}},' % number for number in range(3_000))


def inflated(file: bytes, step: int) -> bytes:
    inflater = Inflater()
    pieces = [plain for start in range(0, len(file), step) for plain in inflater.received(file[start : start + step])]
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    if not inflater.ended:
        raise EOFError
    return b"".join(pieces)


@pytest.mark.parametrize("step", [1, 4096, 1 << 20])
@pytest.mark.parametrize(
    "members",
    [(TEXT,), (TEXT[:10_000], b"", TEXT[:1]), (b"",), (b" " * PIECE,), (bytes(3 * PIECE), b"x" * (2 * PIECE - 1))],
    ids=["one", "three", "of nothing", "just a piece", "that shrink to nothing"],
)
def test_what_gzip_wrote(members: tuple[bytes, ...], step: int) -> None:
    file = b"".join(gzip.compress(member) for member in members)
    assert inflated(file, step) == b"".join(members) == gzip.decompress(file)


@given(st.binary(max_size=2000), st.integers(1, 50), st.integers(0, 9))
def test_any_text(text: bytes, step: int, level: int) -> None:
    assert inflated(gzip.compress(text, level), step) == text


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(TEXT, id="plain"),
        pytest.param(zlib.compress(TEXT), id="zlib's own format"),
        pytest.param(gzip.compress(TEXT)[:-8] + bytes(8), id="another sum"),
        pytest.param(gzip.compress(TEXT) + b"more", id="more behind it"),
        pytest.param(gzip.compress(TEXT) + bytes(12), id="padding behind it"),
    ],
)
def test_what_gzip_did_not_write(file: bytes) -> None:
    with pytest.raises(InflateError, match="not gzip"):
        inflated(file, 4096)


def test_every_beginning_of_a_file_is_incomplete() -> None:
    file = gzip.compress(TEXT[:1000])
    for end in range(len(file)):
        with pytest.raises(EOFError):
            inflated(file[:end], 64)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 300))
def test_any_octets_are_text_or_an_error(file: bytes, step: int) -> None:
    try:
        assert inflated(file, step) == gzip.decompress(file)
    except (InflateError, EOFError):
        with pytest.raises((EOFError, OSError, zlib.error)):
            gzip.decompress(file)


def test_a_bomb_takes_a_piece_at_a_time() -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    assert len(bomb) < 100_000
    tracemalloc.start()
    size = sum(len(piece) for piece in Inflater().received(bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 64 << 20
    assert peak < 4 * PIECE + 3 * len(bomb)  # what is left of it is copied for each piece
