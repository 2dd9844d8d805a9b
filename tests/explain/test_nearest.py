"""Names that are similar to a written name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.explain.nearest import allowed, distance, near

_words = st.text("abc-", min_size=1, max_size=8).map(str.encode)


@pytest.mark.parametrize(
    ("one", "other", "wrong"),
    [
        (b"web", b"web", 0),
        (b"wbe", b"web", 1),
        (b"web", b"webs", 1),
        (b"web", b"we", 1),
        (b"web", b"wet", 1),
        (b"storefront", b"storfornt", 2),
        (b"ca", b"abc", 3),  # the restricted distance; the other one has 2
        (b"", b"ab", 2),
    ],
)
def test_how_much_is_wrong(one: bytes, other: bytes, wrong: int) -> None:
    assert distance(one, other, 9) == wrong


@given(_words, _words)
def test_it_is_the_same_both_ways_and_a_bound_only_cuts(one: bytes, other: bytes) -> None:
    wrong = distance(one, other, 99)
    assert distance(other, one, 99) == wrong
    assert (distance(one, other, 1) <= 1) == (wrong <= 1)


@pytest.mark.parametrize(("word", "most"), [(b"a", 1), (b"web", 1), (b"search", 1), (b"payments", 2), (b"x" * 60, 2)])
def test_how_much_may_be_wrong(word: bytes, most: int) -> None:
    assert allowed(word) == most


@given(_words, st.lists(_words, max_size=20))
def test_all_that_are_near_are_found_and_no_others(word: bytes, names: list[bytes]) -> None:
    expected = [name for name in names if name != word and distance(word, name, 99) <= allowed(word)]
    assert [name for _, name in near(word, names)] == expected
