"""Parses the words of a Corefile into server blocks, with imports, snippets and environment variables filled in.

It reads a Corefile as CoreDNS does, so that the import equals what was served. What CoreDNS refuses is a CorefileError.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dnsserver.config.corefile.lexer import Token, tokens

_MOST_IMPORTS = 10_000  # as CoreDNS has it
_MOST_WORDS = 1_000_000
_DEEPEST = 100  # blocks in each other; no plugin has more than two
_ENVIRONMENT = (re.compile(r"\{%(.{1,256}?)%\}"), re.compile(r"\{\$(.{1,256}?)\}"))


class CorefileError(Exception):
    """A Corefile that CoreDNS would not start with; its text says where and why."""


class ImportedFile(NamedTuple):
    """A file that `import` names."""

    name: str
    text: str


# From the file that the `import` stands in and the pattern written there: the files that fit, in order. Raises OSError
# or ValueError, with a reason, for one that cannot be read.
ReadImport = Callable[[str, str], list[ImportedFile]]


class Line(NamedTuple):
    """A line of a directive's block: its words, and where it is. A block within it is `block`."""

    words: tuple[str, ...]
    file: str
    line: int
    block: tuple["Line", ...] = ()

    @property
    def all_words(self) -> list[str]:
        """The words of the line, and of the block within it, one behind the other."""
        return [*self.words, *(word for inner in self.block for word in inner.all_words)]


class Directive(NamedTuple):
    """A plugin in a server block, with the words after its name and the lines of its block."""

    name: str
    args: tuple[str, ...]
    lines: tuple[Line, ...]
    file: str
    line: int


class ServerBlock(NamedTuple):
    """A server block: the keys in front of it, as written, and its directives, in the order of the file."""

    keys: tuple[str, ...]
    directives: tuple[Directive, ...]
    file: str
    line: int


class Remark(NamedTuple):
    """A sentence about an `import` or a variable; `lost` if something that was meant is certainly missing."""

    file: str
    line: int
    text: str
    lost: bool = True


class Parsed(NamedTuple):
    """The server blocks, and what is to be said of imports and variables in them."""

    blocks: tuple[ServerBlock, ...]
    remarks: tuple[Remark, ...]


def parse(text: str, file: str, read: ReadImport, environment: Mapping[str, str]) -> Parsed:
    """Return the server blocks of a Corefile; raises CorefileError."""
    parser = _Parser(list(tokens(text, file)), read, environment)
    return Parsed(tuple(parser.blocks()), tuple(parser.remarks))


class _Parser:
    """A list of words, into which imports are inserted, and the present position in it."""

    def __init__(self, words: list[Token], read: ReadImport, environment: Mapping[str, str]) -> None:
        self._words = words
        self._at = 0
        self._read = read
        self._environment = environment
        self._snippets: dict[str, list[Token]] = {}
        self._imports = 0
        # Those that what stands here came by: what was imported, and how many words are behind it.
        self._inside: list[tuple[tuple[str, str], int]] = []
        self.remarks: list[Remark] = []

    def blocks(self) -> Iterable[ServerBlock]:
        while self._at < len(self._words):
            block = self._block()
            if block is not None:
                yield block

    def _block(self) -> ServerBlock | None:
        first = self._words[self._at]
        keys = self._keys()
        if len(keys) == 1 and keys[0].startswith("(") and keys[0].endswith(")"):
            self._keep_snippet(keys[0][1:-1], first)
            return None
        if self._at >= len(self._words):
            return ServerBlock(keys, (), first.file, first.line) if keys else None
        braces = self._words[self._at].text == "{" and not self._words[self._at].quoted
        if braces:
            self._at += 1
        directives = []
        closed = False
        while self._at < len(self._words):
            word = self._words[self._at]
            if word.text == "}":
                self._at += 1
                closed = True
                break
            if word.text == "import":
                self._import()
            else:
                directives.append(self._directive())
        if braces and not closed:
            raise CorefileError(f"{first.file}:{first.line}: the block is not closed: expected }} at its end")
        if not keys and not directives:
            return None
        return ServerBlock(keys, tuple(directives), first.file, first.line)

    def _keys(self) -> tuple[str, ...]:
        """Read the keys of a server block, up to its brace or the end of the line."""
        keys: list[str] = []
        more = False  # a comma says that another one follows, perhaps in the next line
        while self._at < len(self._words):
            word = self._words[self._at]
            text = self._with_environment(word)
            if text == "import" and self._begins_line(self._at):
                self._import()
                continue
            if text == "{":
                if more:
                    raise CorefileError(f"{word.file}:{word.line}: expected another address after the comma, found {{")
                break
            if text:
                more = text.endswith(",")
                keys.append(text.removesuffix(","))
            self._at += 1
            if not more and self._at < len(self._words) and self._begins_line(self._at):
                break
        return tuple(key for key in keys if key)

    def _keep_snippet(self, name: str, first: Token) -> None:
        place = f"{first.file}:{first.line}"
        if name in self._snippets:
            raise CorefileError(f"{place}: the snippet ({name}) is defined twice")
        if self._at >= len(self._words) or self._words[self._at].text != "{":
            raise CorefileError(f"{place}: the snippet ({name}) has no block: expected {{ after it")
        self._at += 1
        start = self._at
        depth = 1
        while self._at < len(self._words):
            text = self._words[self._at].text
            depth += (text == "{") - (text == "}")
            self._at += 1
            if not depth:
                self._snippets[name] = self._words[start : self._at - 1]
                return
        raise CorefileError(f"{place}: the snippet ({name}) is not closed: expected }} at its end")

    def _directive(self) -> Directive:
        first = self._words[self._at]
        if first.text == "{":
            raise CorefileError(f"{first.file}:{first.line}: found {{, expected the name of a plugin")
        args = self._rest_of_line()
        lines = self._lines(first, 1) if self._opens_block() else ()
        return Directive(self._with_environment(first), args, lines, first.file, first.line)

    def _lines(self, opener: Token, depth: int) -> tuple[Line, ...]:
        """Read the block of a directive, whose brace is the next word."""
        if depth > _DEEPEST:
            raise CorefileError(f"{opener.file}:{opener.line}: more than {_DEEPEST} nested blocks")
        self._at += 1
        lines: list[Line] = []
        while self._at < len(self._words):
            word = self._words[self._at]
            if word.text == "}":
                self._at += 1
                return tuple(lines)
            if word.text == "import" and self._begins_line(self._at):
                self._import()
                continue
            words = (self._with_environment(word), *self._rest_of_line())
            block = self._lines(word, depth + 1) if self._opens_block() else ()
            lines.append(Line(words, word.file, word.line, block))
        raise CorefileError(f"{opener.file}:{opener.line}: the block of {opener.text} is not closed: expected }}")

    def _rest_of_line(self) -> tuple[str, ...]:
        """Skip the current word, and read the rest of its line, up to a brace."""
        self._at += 1
        words = []
        while self._at < len(self._words) and not self._begins_line(self._at):
            word = self._words[self._at]
            if word.text in {"{", "}"}:
                break
            words.append(self._with_environment(word))
            self._at += 1
        return tuple(words)

    def _opens_block(self) -> bool:
        at = self._at
        return at < len(self._words) and self._words[at].text == "{" and not self._begins_line(at)

    def _begins_line(self, at: int) -> bool:
        if at == 0:
            return True
        before, word = self._words[at - 1], self._words[at]
        return before.file != word.file or before.last_line < word.line

    def _import(self) -> None:
        """Replace an `import` with the words that it names."""
        word = self._words[self._at]
        start = self._at
        arguments = self._rest_of_line()
        place = f"{word.file}:{word.line}"
        if not arguments or not arguments[0]:
            raise CorefileError(f"{place}: import: expected a file, a pattern or a snippet after it")
        name, *more = arguments
        if more:
            found = f"found {more[0][:80]} after {name[:80]}"
            raise CorefileError(f"{place}: import: {found}, expected one word; snippets take no arguments")
        self._imports += 1
        if self._imports > _MOST_IMPORTS:
            raise CorefileError(f"{place}: import: more than {_MOST_IMPORTS} imports; does a file import itself?")
        snippet = self._snippets.get(name)
        while self._inside and len(self._words) - start <= self._inside[-1][1]:
            self._inside.pop()
        meant = ("" if snippet is not None else word.file, name)  # a file's name starts at the file it stands in
        if any(meant == outer for outer, _ in self._inside):
            raise CorefileError(f"{place}: import: {name} imports itself")
        words = self._from_files(word, name) if snippet is None else snippet
        if len(self._words) + len(words) > _MOST_WORDS:
            raise CorefileError(f"{place}: import: the Corefile grows beyond {_MOST_WORDS} words")
        self._inside.append((meant, len(self._words) - self._at))
        self._words[start : self._at] = words
        self._at = start

    def _from_files(self, word: Token, pattern: str) -> list[Token]:
        try:
            files = self._read(word.file, pattern)
        except (OSError, ValueError) as error:
            self._remark(word, f"{pattern} could not be read ({error}): its content is not imported")
            return []
        if not files and any(sign in pattern for sign in "*?["):
            text = f"{pattern}: no file here matches: if there are some where CoreDNS runs, import them as well"
            self._remark(word, text, lost=False)
        elif not files:
            self._remark(word, f"{pattern}: there is no such file or snippet: its content is not imported")
        return [token for file in files for token in tokens(file.text, file.name)]

    def _remark(self, word: Token, sentence: str, *, lost: bool = True) -> None:
        self.remarks.append(Remark(word.file, word.line, sentence, lost))

    def _with_environment(self, word: Token) -> str:
        """Replace `{$NAME}` and `{%NAME%}` with the values of environment variables."""
        text = word.text
        if "{" not in text:
            return text

        def value(found: re.Match[str]) -> str:
            if found[1] not in self._environment:
                self._remark(word, f"{found[0]} is not set where you run the import, so it is empty here")
            return self._environment.get(found[1], "")

        for pattern in _ENVIRONMENT:
            text = pattern.sub(value, text)
        return text
