"""Parses the text of one TOML file, or reports every mistake in its syntax at once."""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dnsserver.config.bare_words import Value, bare_words
from dnsserver.config.places import Places, Statement, TooDeepError

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_MANY_DIGITS = re.compile(r"[0-9_]{4300,}")  # Python reads no more into a number
_TOO_LONG = "a number with too many digits"
_NO_QUOTE = "text in this line has no closing quote"
_TWICE_IN_BRACES = re.compile(r"Duplicate inline table key '(.+)'")
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""  # of a key; `_KEY` ends with its equals sign
_KEY = re.compile(rf"[ \t]*{_PART}(?:[ \t]*\.[ \t]*{_PART})*[ \t]*=")
MOST_PROBLEMS = 100


class Problem(NamedTuple):
    """A mistake: the file or flag that it stands in, what is wrong, and its line and column if they are known."""

    source: str
    text: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Put the place in front as compilers do, so that editors can jump to it."""
        numbers = (f":{number}" for number in (self.line, self.column) if number)
        return f"{self.source}{''.join(numbers)}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used; its text has a line for each mistake, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(in_order(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return mistakes in the order of their lines, file by file; those that have no line come last."""
    files: dict[str, int] = {}

    def place(problem: Problem) -> tuple[bool, int, int]:
        if problem.line is None:
            return True, 0, 0
        return False, files.setdefault(problem.source, len(files)), problem.line

    return sorted(problems, key=place)


class Parsed(NamedTuple):
    """What is said in a text, less what is wrong with its syntax; `broken` are the keys of values that are no TOML."""

    data: dict[str, Any]
    places: Places
    problems: list[Problem]
    broken: set[str]


def parse(text: str, source: Path) -> Parsed:
    """Return the data, and what is written twice in it or is no TOML value. Raises ConfigError.

    tomllib stops at its first error. A key that was there before is taken away, and so is a line whose value alone is
    wrong, as one without quotes, so that what follows is told as well.
    """
    problems: list[Problem] = []
    broken: set[str] = set()
    try:
        places = Places(text)
    except TooDeepError as error:
        raise ConfigError([Problem(str(source), str(error), error.line)]) from error
    while True:
        try:
            return Parsed(tomllib.loads(text), places, problems, broken)
        except (ValueError, RecursionError) as error:  # ValueError: also a number of more digits than Python reads
            message, line, column = _syntax_error(text, str(error))
        repeated = places.repeated_at(line) if line else None
        key = places.key_at(line) if line else None
        if key is not None and not text[slice(*key.span)].strip():
            key = None  # it was taken away, and the mistake stands beside it
        if repeated is not None:
            statement, before = repeated
            name = printable(statement.name)
            said = f"{name}: is already in line {before}; write it once"
            problems.append(Problem(str(source), said, statement.first))
            begin, end = statement.span if statement.is_key else (0, 0)
        elif key is not None and (value := _value(text, key)).words:
            problems += _said(text, key, value, source)[: MOST_PROBLEMS - len(problems)]
            begin, end = key.span if value.is_closed else (0, 0)
            broken.add(_last(key.name))
        else:
            problems.append(
                Problem(str(source), f"{_in_words(message)}{_mistaken(source)}", line or None, column or None)
            )
            begin, end = key.span if key is not None and key.first == key.last else (0, 0)
            broken.add(_last(key.name) if key is not None else "")
        if begin == end or len(problems) >= MOST_PROBLEMS:
            raise ConfigError(problems)
        text = text[:begin] + re.sub(r"[^\n]", " ", text[begin:end]) + text[end:]


def _value(text: str, key: Statement) -> Value:
    """Look for text without quotes in the value of a key."""
    begin, end = _value_begin(text, key), key.span[1]
    return bare_words(text[begin:end], MOST_PROBLEMS)


def _value_begin(text: str, key: Statement) -> int:
    """Return where the value of a key begins; the end of the key where something else stands in front of it."""
    begin, end = key.span
    found = _KEY.match(text, begin, end)
    return end if found is None else found.end()


def _said(text: str, key: Statement, value: Value, source: Path) -> list[Problem]:
    """Return what is to be said of text without quotes in a value."""
    begin = _value_begin(text, key)
    said = []
    for word in value.words:
        at = begin + word.begin
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        said.append(Problem(str(source), f"{word.problem}{_mistaken(source)}", line, column))
    return said


def _last(name: str) -> str:
    """Return a key without the tables that it stands in."""
    return name.rpartition(".")[2]


def _in_words(message: str) -> str:
    """Return what tomllib says, in other words where these are hard to understand."""
    if "'\\n'" in message or message == "Unterminated string":
        return _NO_QUOTE
    return "a list is not closed: expected a comma or ]" if message == "Unclosed array" else message


def _mistaken(source: Path) -> str:
    """Say what a file that is no TOML may be instead."""
    if source.suffix in {".yaml", ".yml", ".json"}:
        return "; this file has to be TOML: give Kubernetes objects with --objects"
    if source.name == "Corefile":
        return "; this file has to be TOML: translate a Corefile with `dnsserver import-corefile`"
    return ""


def _syntax_error(text: str, message: str) -> tuple[str, int, int]:
    """Return what tomllib says, with its line and column apart; 0 and 0 where it names none."""
    digits = _MANY_DIGITS.search(text)
    if digits is not None and "integer string conversion" in message:
        line = text.count("\n", 0, digits.start()) + 1
        return _TOO_LONG, line, digits.start() - text.rfind("\n", 0, digits.start())
    found = _AT.search(message)
    if found is None:
        return message, 0, 0
    if message.startswith('Expected "\'"'):  # there is no other such quote up to the end of the file
        text = text[: text.rindex("'") + 1]
        return _NO_QUOTE, text.count("\n") + 1, len(text) - text.rfind("\n") - 1
    lines = text.split("\n")
    line, column = (int(found[1]), int(found[2])) if found[1] else (len(lines), len(lines[-1]) + 1)
    twice = _TWICE_IN_BRACES.match(message)
    told = f"{twice[1]}: is written twice in these braces; write it once" if twice else message[: found.start()]
    return told, line, column


def printable(key: str) -> str:
    """Return a key as it may go to a terminal: TOML takes every character between quotes."""
    return key if key.isprintable() else json.dumps(key)
