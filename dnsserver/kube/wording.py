"""Says in plain words what msgspec finds wrong with a value of an object: what was expected, and what is there.

msgspec speaks of Python's types (`Expected `int` <= 65535`); whoever writes YAML knows numbers, text, lists and maps.
"""

import re
from typing import Any

_EXPECTED = re.compile(r"Expected `([a-z]+)(?: \| null)?`")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_WORDS = {
    "int": "a number from 1 to 65535",  # every number that is read is that of a port
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a map",
}
_NAMES = {list: "a list", dict: "a map", str: "text", bool: "true or false", int: "a number", float: "a number"}
_SHOWN = 60  # letters of a value


def expected(problem: str, value: object) -> str:
    """Return the finding in words, or as it is if it is not about the type or the range of `value`."""
    found = _EXPECTED.match(problem)
    if found is None or found[1] not in _WORDS:
        return problem
    quotes = "; put quotes around it" if found[1] == "str" and isinstance(value, bool | int | float) else ""
    return f"expected {_WORDS[found[1]]}, got {got(value)}{quotes}"


def missing(problem: str) -> str | None:
    """Return the name of the field that an object lacks, or None if that is not the finding."""
    found = _MISSING.match(problem)
    return None if found is None else found[1]


def got(value: Any) -> str:
    """Return a value as a person would write it, cut if it is long; of a list or a map only what it is."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > 256:
            return "a very large number"  # Python does not print more than 4,300 digits
        case int() | float():
            return str(value)
        case str():
            return f"`{value[:_SHOWN]}`"
    return kind_of(value)


def kind_of(value: object) -> str:
    """Return what a value is, without its content."""
    return _NAMES.get(type(value), type(value).__name__)
