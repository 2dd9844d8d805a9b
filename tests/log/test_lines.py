"""Log lines are bounded and printable, and no value makes the logging fail."""

import contextlib
import json
from typing import Any

import pytest

from dnsserver.log.lines import LONGEST, printable, renderer

TO_JSON = renderer(as_json=True, colors=False)
TO_TEXT = renderer(as_json=False, colors=False)


def traced(error: BaseException) -> tuple[type[BaseException], BaseException, Any]:
    with contextlib.suppress(type(error)):
        raise error
    return type(error), error, error.__traceback__


class Odd:
    """A value that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no")


ODD_VALUES = [
    "x" * 1_000_000,
    "\0" * 1_000_000,
    "\U0001f600" * 100_000,
    "\ud800",
    b"\xff" * 100_000,
    ["x" * 100] * 100_000,
    list(range(100_000)),
    {"a": "b" * 100_000},
    10**1_000,
    float("nan"),
    Odd(),
    [Odd()],
    None,
    True,
]


@pytest.mark.parametrize("line", [TO_JSON, TO_TEXT])
@pytest.mark.parametrize("number", range(len(ODD_VALUES)))
def test_any_value_makes_one_short_line(line: Any, number: int) -> None:
    value = ODD_VALUES[number]
    made = line({"event": "odd", "level": "info", "logger": "x", "a": value, "b": value, "exc_info": None})
    assert len(made) <= LONGEST
    assert made.endswith(b"\n")
    assert made.count(b"\n") == 1
    made.decode()
    if line is TO_JSON:
        assert json.loads(made, parse_constant=pytest.fail)["event"] == "odd"


@pytest.mark.parametrize("line", [TO_JSON, TO_TEXT])
def test_many_fields_make_one_short_line(line: Any) -> None:
    made = line({"event": "many", **{f"field{number}": "\1" * 2000 for number in range(1000)}})
    assert len(made) <= LONGEST
    if line is TO_JSON:
        assert json.loads(made)["event"] == "many"


@pytest.mark.parametrize("line", [TO_JSON, TO_TEXT])
def test_a_long_traceback_keeps_its_beginning_and_its_end(line: Any) -> None:
    group = ExceptionGroup("many", [ValueError(f"{number}" + "x" * 5000) for number in range(200)])
    made = line({"event": "failed", "exc_info": traced(group)}).decode()
    assert len(made) <= LONGEST
    assert "Traceback" in made
    assert "characters left out" in made


def test_a_deep_recursion_has_a_traceback() -> None:
    def deeper(depth: int) -> None:
        deeper(depth + 1)

    try:
        deeper(0)
    except RecursionError as error:
        made = TO_TEXT({"event": "failed", "exc_info": (type(error), error, error.__traceback__)})
    assert b"RecursionError" in made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b2J", r"\x9b2J"),  # the same, as one character
        ("\u202egnp.exe", r"\u202egnp.exe"),  # turns the direction of writing
        ("b\u00fccher.example", "b\u00fccher.example"),
        ("\udcff", r"\udcff"),
    ],
)
def test_nothing_moves_the_cursor_of_who_reads(text: str, shown: str) -> None:
    assert printable(text) == shown
    for name in ("event", "field"):
        line = TO_TEXT({"event": "x", name: text}).decode()
        assert line.isascii() or "\u00fc" in line
        assert line.strip().isprintable()


def test_what_an_exception_says_cannot_forge_a_line() -> None:
    error = traced(ValueError("x\x1b[2J\x00"))
    assert b"\x1b" not in TO_TEXT({"event": "failed", "exc_info": error})
