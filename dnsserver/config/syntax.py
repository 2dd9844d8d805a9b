"""Parses the text of one TOML file, or reports every mistake in its syntax at once."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from dnsserver.config.places import Places, TooDeepError

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_ONE_VALUE = re.compile(r"""[ \t]*[\w.-]+[ \t]*=[^"'\[\]{}=]*""")  # no bracket or quote that reaches into other lines
_MANY_DIGITS = re.compile(r"[0-9_]{4300,}")  # Python reads no more into a number
_TOO_LONG = "a number with too many digits"
_TWICE_IN_BRACES = re.compile(r"Duplicate inline table key '(.+)'")
MOST_PROBLEMS = 100


class ConfigError(Exception):
    """The configuration cannot be used; its text has a line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Parsed(NamedTuple):
    """What is said in a text, less what is wrong with its syntax; `broken` are the keys of values that are no TOML."""

    data: dict[str, Any]
    places: Places
    problems: list[str]
    broken: set[str]


def parse(text: str, source: Path) -> Parsed:
    """Return the data, and what is written twice in it or is no TOML value. Raises ConfigError.

    tomllib stops at its first error. A key that was there before is taken away, and so is a line whose value alone is
    wrong, as one without quotes, so that what follows is told as well.
    """
    problems: list[str] = []
    broken: set[str] = set()
    try:
        places = Places(text)
    except TooDeepError as error:
        raise ConfigError([f"{source}:{error.line}: {error}"]) from error
    while True:
        try:
            return Parsed(tomllib.loads(text), places, problems, broken)
        except (ValueError, RecursionError) as error:  # ValueError: also a number of more digits than Python reads
            message, line, column = _syntax_error(text, str(error))
        repeated = places.repeated_at(line) if line else None
        if repeated is not None:
            statement, before = repeated
            name = printable(statement.name)
            problems.append(f"{source}:{statement.first}: {name}: is already in line {before}; write it once")
            begin, end = statement.span if statement.is_key else (0, 0)
        else:
            place = f"{source}:{line}:{column}" if line else f"{source}"
            begin, end = _line_of_one_value(text, line)
            quotes = "; text needs quotes around it" if begin != end and message != _TOO_LONG else ""
            problems.append(f"{place}: {message}{quotes}{_mistaken(source)}")
            broken.add(text[begin:end].partition("=")[0].strip().rpartition(".")[2])
        if begin == end or len(problems) >= MOST_PROBLEMS:
            raise ConfigError(problems)
        text = text[:begin] + re.sub(r"[^\n]", " ", text[begin:end]) + text[end:]


def _line_of_one_value(text: str, line: int) -> tuple[int, int]:
    """Return where a line stands in a text, if all of it is a key and a value on that line; else an empty part."""
    lines = text.split("\n")
    found = _ONE_VALUE.fullmatch(lines[line - 1]) if 0 < line <= len(lines) else None
    if found is None:
        return 0, 0
    begin = sum(len(before) + 1 for before in lines[: line - 1])
    return begin, begin + len(lines[line - 1])


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
    lines = text.split("\n")
    line, column = (int(found[1]), int(found[2])) if found[1] else (len(lines), len(lines[-1]) + 1)
    twice = _TWICE_IN_BRACES.match(message)
    told = f"{twice[1]}: is written twice in these braces; write it once" if twice else message[: found.start()]
    return told, line, column


def printable(key: str) -> str:
    """Return a key as it may go to a terminal: TOML takes every character between quotes."""
    return key if key.isprintable() else json.dumps(key)
