"""Finds text without quotes in a value of TOML, which tomllib reports as an unclosed array or an invalid value."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<quoted>"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}|'{3}(?:[^']|'{1,2}(?!'))*+'{3,5}"""
    r"""|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
    r"""|(?P<address>\[[0-9A-Fa-f:.]*+\]:[0-9]++)"""  # brackets of an address and its port, not of a list
    r"""|(?P<bracket>[\[\]{}])|(?P<comment>\#[^\n]*+)"""
    r"""|(?P<word>[^"'\#\[\]{},=\s][^"'\[\]{},=\n\#]*+(?:(?<=\S)\#[^\s"'\[\]{},]*+)?)""",
    re.DOTALL,
)
_VALUE = re.compile(
    r"true|false|[+-]?(?:inf|nan|[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9_]+)?)|0[xob][0-9A-Fa-f_]+"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ].*)?|[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
)
_WITH_UNIT = re.compile(r"[0-9][0-9_.]* ?[A-Za-z%]{1,3}")
_CURLY = "“”„‟«»\u2018\u2019\u201a`"  # what word processors and web pages make of quotes
_SHOWN = 60


class BareWord(NamedTuple):
    """Text without quotes: where it begins in the value, the text itself, and what is to be said of it."""

    begin: int
    text: str
    problem: str


class Value(NamedTuple):
    """The texts without quotes in a value, and whether its brackets are closed: if not, it reaches into other keys."""

    words: list[BareWord]
    is_closed: bool


def bare_words(value: str, most: int) -> Value:
    """Return the first `most` texts without quotes in a value, which begins after its `=`; one if it is not closed."""
    words: list[BareWord] = []
    depth = 0
    for token in _tokens(value):
        if token["bracket"]:
            depth += 1 if token["bracket"] in "[{" else -1
            continue
        text = (token["address"] or token["word"] or "").rstrip()
        if text and len(words) < most and not _VALUE.fullmatch(text) and not _is_key(value, token):
            words.append(BareWord(token.start(), text, _problem(text)))
    return Value(words, True) if depth <= 0 else Value(words[:1], False)


def _tokens(value: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(value):
        token = _TOKEN.match(value, position)
        if token is not None:
            yield token
        position = position + 1 if token is None else token.end()


def _is_key(value: str, token: re.Match[str]) -> bool:
    """Tell whether it is a key, as in braces and behind brackets that are never closed."""
    return value.startswith("=", token.end())


def _problem(text: str) -> str:
    shown = text[:_SHOWN]
    plain = shown.strip(_CURLY)
    if plain != shown:
        return f'found {shown}; write straight quotes around text: "{plain}"'
    if shown.lower() in {"true", "false"}:
        return f"found {shown}; write {shown.lower()} in small letters"
    if _WITH_UNIT.fullmatch(shown):
        return f"found {shown}; write a number without a unit, or quotes around text"
    return f'found {shown}; write quotes around text: "{shown}"'
