"""Text without quotes in a value."""

import time

import pytest

from dnsserver.config.bare_words import bare_words


@pytest.mark.parametrize(
    ("value", "words", "is_closed"),
    [
        (" 9.9.9.9", ["9.9.9.9"], True),
        (" [a, 'b', c]", ["a", "c"], True),
        (" [\n a, # b\n c\n]", ["a", "c"], True),
        (" ['a'", [], False),
        (" [a, b\nttl = c", ["a"], False),
        (" {a = b, c = 'd'}", ["b"], True),
        (" [[fd00::1]:53, [::]:5353]", ["[fd00::1]:53", "[::]:5353"], True),
        (" two words # and more", ["two words"], True),
        (" tls://1.1.1.1#name # and more", ["tls://1.1.1.1#name"], True),
        (" '''a\nb''' ", [], True),
        (' "a \\" b"', [], True),
        (" 5 # a", [], True),
        ("", [], True),
        (" '", [], True),
    ],
)
def test_words(value: str, words: list[str], is_closed: bool) -> None:
    found = bare_words(value, 100)
    assert ([word.text for word in found.words], found.is_closed) == (words, is_closed)
    assert all(value.startswith(word.text, word.begin) for word in found.words)


def test_no_more_than_wanted() -> None:
    assert len(bare_words("[" + "a, " * 1000 + "]", 7).words) == 7


@pytest.mark.parametrize("piece", ["[", "'", '"', "#", "a#", "[1", "a ", "“", "\\", "[:"])
def test_a_long_value_takes_no_time_to_speak_of(piece: str) -> None:
    began = time.process_time()
    bare_words(piece * 100_000, 100)
    assert time.process_time() - began < 3
