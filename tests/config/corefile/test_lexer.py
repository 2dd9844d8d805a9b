"""Words of a Corefile, as Caddy's lexer has them."""

import pytest

from dnsserver.config.corefile.lexer import tokens


def words(text: str) -> list[tuple[str, int]]:
    return [(token.text, token.line) for token in tokens(text, "Corefile")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\n", []),
        ("a b\nc", [("a", 1), ("b", 1), ("c", 2)]),
        ("a\r\nb\r\n", [("a", 1), ("b", 2)]),
        ("\ufeffa", [("a", 1)]),
        ("# all of it\na # the rest\n#b", [("a", 2)]),
        ("a#b c", [("a", 1)]),
        (".:53{", [(".:53{", 1)]),
        ('"a b" c', [("a b", 1), ("c", 1)]),
        ('"a # b"', [("a # b", 1)]),
        (r'"a \"b\" c"', [('a "b" c', 1)]),
        (r'"^a\.b\\d$"', [(r"^a\.b\\d$", 1)]),
        ('"a\nb" c\nd', [("a\nb", 1), ("c", 2), ("d", 3)]),
        ('a"b c"', [('a"b', 1), ('c"', 1)]),
        ('"" a', [("", 1), ("a", 1)]),
        ('"no end {\n}', [("no end {\n}", 1)]),
        ("bücher é", [("bücher", 1), ("é", 1)]),
    ],
)
def test_words(text: str, expected: list[tuple[str, int]]) -> None:
    assert words(text) == expected


def test_a_word_of_several_lines_ends_in_the_last_of_them() -> None:
    first, second = tokens('"a\nb\nc" d', "Corefile")
    assert (first.line, first.last_line, second.line) == (1, 3, 3)
