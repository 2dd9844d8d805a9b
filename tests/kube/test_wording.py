"""What a library finds wrong with a value of an object, in words."""

from typing import Annotated, Any

import msgspec
import pytest

from dnsserver.kube.wording import expected, got, missing


class Thing(msgspec.Struct):
    """A field of each sort that objects have."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    text: str | None = None
    ready: bool | None = None
    many: list[str] | None = None
    inner: dict[str, str] | None = None


class Named(msgspec.Struct):
    """A field that has to be there."""

    name: str


def problem(parsed: object, type_: type[Any]) -> str:
    """Return what msgspec says of a value, without its place."""
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(parsed, type_)
    return str(error.value).partition(" - at ")[0]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("port", 65536, "expected a number from 1 to 65535, got 65536"),
        ("port", -1, "expected a number from 1 to 65535, got -1"),
        ("port", 80.5, "expected a number from 1 to 65535, got 80.5"),
        ("port", "http", "expected a number from 1 to 65535, got `http`"),
        ("port", True, "expected a number from 1 to 65535, got true"),
        ("port", [80], "expected a number from 1 to 65535, got a list"),
        ("text", 7, "expected text, got 7; put quotes around it"),
        ("text", False, "expected text, got false; put quotes around it"),
        ("text", ["a"], "expected text, got a list"),
        ("text", {}, "expected text, got a map"),
        ("ready", "yes", "expected true or false, got `yes`"),
        ("ready", 1, "expected true or false, got 1"),
        ("many", "a", "expected a list, got `a`"),
        ("many", {}, "expected a list, got a map"),
        ("inner", 7, "expected a map, got 7"),
        ("inner", ["a"], "expected a map, got a list"),
    ],
)
def test_what_was_expected_and_what_is_there(field: str, value: object, words: str) -> None:
    assert expected(problem({field: value}, Thing), value) == words


def test_a_field_that_is_missing() -> None:
    assert missing(problem({}, Named)) == "name"
    assert missing(problem({"name": 7}, Named)) is None


def test_nothing_is_said_of_what_it_does_not_know() -> None:
    assert expected("has no name", "") == "has no name"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "nothing"), ("a" * 99, f"`{'a' * 60}`"), (1 << 4_000_000, "a very large number"), (-7, "-7"), (0.5, "0.5")],
    ids=["nothing", "text", "large", "negative", "fraction"],
)
def test_a_value_is_shown_as_it_is_written(value: object, shown: str) -> None:
    assert got(value) == shown
