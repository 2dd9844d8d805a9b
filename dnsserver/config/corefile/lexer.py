r"""Splits a Corefile's text into words with their line numbers, like Caddy's lexer.

White space divides words. A word that begins with a quotation mark goes on to the next one, over lines if need be; in
it `\"` is a quotation mark and every other backslash is itself. A `#` outside of quotes begins a comment, even within a
word.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Token(NamedTuple):
    """A word, the file and line it begins in, and whether it was quoted."""

    text: str
    file: str
    line: int
    quoted: bool = False

    @property
    def last_line(self) -> int:
        """The line a quoted word of several lines ends in."""
        return self.line + self.text.count("\n")


def tokens(text: str, file: str) -> Iterator[Token]:
    """Give the words of a text; a quotation mark without its end takes all that follows."""
    text = text.removeprefix("\ufeff")
    line = 1
    at = 0
    while at < len(text):
        character = text[at]
        if character == "\n":
            line += 1
            at += 1
        elif character.isspace():
            at += 1
        elif character == "#":
            at = _line_end(text, at)
        elif character == '"':
            word, at = _quoted(text, at + 1)
            token = Token(word, file, line, quoted=True)
            yield token
            line = token.last_line
        else:
            word, at = _plain(text, at)
            yield Token(word, file, line)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Return the text between quotation marks, and the position after the second one."""
    characters: list[str] = []
    while at < len(text) and text[at] != '"':
        if text.startswith('\\"', at):
            at += 1
        elif text.startswith("\\\\", at):  # the second one escapes nothing any more
            characters.append("\\")
            at += 1
        characters.append(text[at])
        at += 1
    return "".join(characters), at + 1


def _plain(text: str, at: int) -> tuple[str, int]:
    """Return a word without quotes, and without a carriage return; a comment may end it."""
    start = at
    while at < len(text) and text[at] != "#" and (text[at] == "\r" or not text[at].isspace()):
        at += 1
    return text[start:at].replace("\r", ""), at
