"""Names as octets and as text, compared with dnspython."""

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError

_labels = st.lists(st.binary(min_size=1, max_size=20), max_size=8)


@given(_labels)
def test_text_and_back(labels: list[bytes]) -> None:
    name = names.from_labels(labels)
    assert names.labels(name) == tuple(labels)
    assert names.from_text(names.to_text(name)) == name


@given(_labels)
def test_dnspython_reads_the_text_the_same(labels: list[bytes]) -> None:
    name = names.from_labels(labels)
    assert dns.name.from_text(names.to_text(name)).to_wire() == name
    assert names.from_text(dns.name.Name((*labels, b"")).to_text()) == name


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = names.from_text(text)
    except FormatError:
        return
    assert len(name) <= 255
    assert name.endswith(b"\0")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", b"\0"),
        (".", b"\0"),
        ("web", b"\3web\0"),
        ("web.", b"\3web\0"),
        ("Web.shop", b"\3Web\4shop\0"),
        (r"a\.b", b"\3a.b\0"),
        (r"a\046b.", b"\3a.b\0"),
        (r"\\", b"\1\\\0"),
        ("x" * 63, b"\x3f" + b"x" * 63 + b"\0"),
    ],
)
def test_names_from_text(text: str, name: bytes) -> None:
    assert names.from_text(text) == name


@pytest.mark.parametrize(
    "text",
    ["a..b", ".a", "..", "x" * 64, ".".join(["x" * 62] * 4) + ".xxx", "a\\", r"a\1", r"a\25", r"a\256", r"a\1x0"],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(FormatError):
        names.from_text(text)


def test_a_name_of_255_octets_is_one_and_of_256_is_not() -> None:
    labels = [b"x" * 62] * 4  # 252 octets
    assert len(names.from_labels([*labels, b"x"])) == 255
    with pytest.raises(FormatError, match="256 octets"):
        names.from_labels([*labels, b"xx"])


@pytest.mark.parametrize(
    ("name", "zone", "below"),
    [
        ("a.local", "local", True),
        ("local", "local", True),
        ("local", "a.local", False),
        ("xlocal", "local", False),
        ("anything", ".", True),
        (r"x\005local", "local", False),  # a label whose octets look like the zone
    ],
)
def test_is_below(name: str, zone: str, below: bool) -> None:
    assert names.is_below(names.from_text(name), names.from_text(zone)) is below


@pytest.mark.parametrize("text", ["\\", "a\\", "a\\1", "a\\12", "a\\1x2", "a\\256"])
def test_a_broken_escape_is_a_format_error(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        names.from_text(text)
    assert "escape" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "position", "end"),
    [(b"\0", 0, 1), (b"xx\1a\0yy", 2, 5), (b"\1a\xc0\0yy", 0, 4), (b"\xc0\x0cyy", 0, 2), (b"\3\xc0\xc0\0\0", 0, 5)],
)
def test_the_end_of_a_name(data: bytes, position: int, end: int) -> None:
    assert names.end_of_name(data, position) == end


_few = st.lists(st.binary(min_size=1, max_size=20), max_size=4)


@given(_few, _few)
def test_labels_below(front: list[bytes], zone: list[bytes]) -> None:
    name, top = names.from_labels([*front, *zone]), names.from_labels(zone)
    assert names.labels_below(name, top) == front
    assert list(names.labels(name)) == [*front, *zone]
    assert names.is_below(name, top)
    assert [len(names.labels(above)) for above in names.ancestors(name)] == list(range(len(front) + len(zone)))[::-1]
    assert (names.labels_below(top, name) is None) is (not names.is_below(top, name))


@pytest.mark.parametrize("zone", [b"\1x\3svc\0", b"\3svc\1x\0", b"\2svc\0"])
def test_octets_that_look_like_a_zones_are_none(zone: bytes) -> None:
    assert names.labels_below(names.from_labels([b"a" + zone[:-1]]), zone) is None
