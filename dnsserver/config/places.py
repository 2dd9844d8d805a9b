"""The line of each key in a TOML text, and the keys that are written twice.

tomllib says neither, and it has no limits: a name of a hundred thousand parts takes it minutes, and as many brackets
exhaust its stack. So this module reads the text first, token by token. It leaves mistakes in the syntax to tomllib; it
stops at the first one, and knows the places before it.
"""

import re
from typing import NamedTuple

_DEEPEST = 16  # brackets in brackets, and parts of a dotted name; the configuration needs three

_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_PART = re.compile(r"""[ \t]*+(?:([\w-]++)|"((?:[^"\\\n]|\\.)*+)"|'([^'\n]*+)')[ \t]*+""")
_TOKEN = re.compile(
    r"""(?P<text>\"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}|'{3}(?:[^']|'{1,2}(?!'))*+'{3,5}"""
    r"""|"(?!"")(?:[^"\\\n]|\\.)*+"|'(?!'')[^'\n]*+'|\#[^\n]*+|[^"'\#\[\]{}\n]++)"""
    r"""|(?P<open>[\[{])|(?P<close>[\]}])|(?P<end>\n)""",
    re.DOTALL,
)


class TooDeepError(ValueError):
    """The text nests deeper than any configuration does; `line` is where."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{what}, expected at most {_DEEPEST}")
        self.line = line


class Statement(NamedTuple):
    """A key with its value, or a table's header: its dotted name, its lines, and its part of the text."""

    name: str
    first: int
    last: int
    span: tuple[int, int]
    is_key: bool


class Places:
    """The statements of a text, in order. Raises TooDeepError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._statements: list[Statement] = []
        self._elements: dict[str, int] = {}  # of arrays of tables: how many there are
        self._lines: dict[str, int] = {}
        self._repeated: list[tuple[Statement, int]] = []
        self._scan()

    def line_of(self, key: str) -> int | None:
        """Return the line of a key, or of what it stands in."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = above(key)
        return None

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is written in the text."""
        return key in self._lines

    def key_at(self, line: int) -> Statement | None:
        """Return the key whose value stands on this line, or is not closed before it."""
        for statement in self._statements:
            if statement.is_key and statement.first <= line <= statement.last:
                return statement
        return None

    def repeated_at(self, line: int) -> tuple[Statement, int] | None:
        """Return the statement of this line whose name was there before, and the line of the one before."""
        for statement, before in self._repeated:
            if statement.first <= line <= statement.last:
                return statement, before
        return None

    def _scan(self) -> None:
        text, position, line, table = self._text, 0, 1, ""
        tables: dict[str, int] = {}  # by what opened them, a header or a dotted key, to the line
        keys: dict[str, int] = {}
        while True:
            begin = _after(_GAP, text, position)
            line += text.count("\n", position, begin)
            position = begin
            if position >= len(text):
                return
            brackets = 2 if text.startswith("[[", position) else 1 if text[position] == "[" else 0
            parts, position = self._name(position + brackets, line)
            if not parts:
                return
            name = ".".join(parts)
            if brackets:
                if not text.startswith("]" * brackets, position):
                    return
                end = position + brackets
                name = self._resolved(parts)
                before = keys.get(name) or tables.get(name)
                if name in self._elements:
                    before = None if brackets == 2 else self._lines[name]
                if brackets == 2:
                    number = self._elements[name] = self._elements.get(name, -1) + 1
                    self._lines.setdefault(name, line)
                    name = f"{name}[{number}]"
                else:
                    tables.setdefault(name, line)
                table = f"{name}."
                last = line
            else:
                if not text.startswith("=", position):
                    return
                ends = self._value(position + 1, line)
                if ends is None:
                    return
                end = ends
                last = line + text.count("\n", position, end)
                name = f"{table}{name}"
                before = keys.get(name) or tables.get(name)
                keys.setdefault(name, line)
                for size in range(1, len(parts)):
                    outer = f"{table}{'.'.join(parts[:size])}"
                    before = before or keys.get(outer)
                    tables.setdefault(outer, line)
            statement = Statement(name, line, last, (begin, end), not brackets)
            self._statements.append(statement)
            while name:  # and what it stands in, if that has no line of its own
                self._lines.setdefault(name, line)
                name = above(name)
            if before is not None:
                self._repeated.append((statement, before))
            position, line = end, last

    def _name(self, position: int, line: int) -> tuple[list[str], int]:
        """Return the parts of the dotted name at a position, empty if there is no name, and the end of the name."""
        parts: list[str] = []
        while found := _PART.match(self._text, position):
            parts.append(next(part for part in found.groups() if part is not None))
            if len(parts) > _DEEPEST:
                raise TooDeepError(line, f"a name of more than {_DEEPEST} parts")
            position = found.end()
            if not self._text.startswith(".", position):
                return parts, position
            position += 1
        return [], position

    def _resolved(self, parts: list[str]) -> str:
        """Return a header's name; below an array of tables it is about the array's last one."""
        name = ""
        for number, part in enumerate(parts):
            name = f"{name}.{part}" if name else part
            if name in self._elements and number < len(parts) - 1:
                name = f"{name}[{self._elements[name]}]"
        return name

    def _value(self, position: int, line: int) -> int | None:
        """Return the end of the value that begins here; None if it has no end."""
        depth = 0
        begin = position
        while position < len(self._text):
            token = _TOKEN.match(self._text, position)
            if token is None:
                return None
            if token["open"]:
                depth += 1
                if depth > _DEEPEST:
                    here = line + self._text.count("\n", begin, position)
                    raise TooDeepError(here, f"more than {_DEEPEST} nested brackets")
            elif token["close"]:
                depth -= 1
            elif token["end"] and depth <= 0:
                return position
            position = token.end()
        return position


def above(key: str) -> str:
    """Return the name of what a key stands in; empty for the file."""
    return key[: max(key.rfind("."), key.rfind("["), 0)]


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position
