"""One line a second and one traceback a minute for one cause; what is left out is counted and told."""

from collections.abc import Iterable
from typing import Any

import pytest

from dnsserver.log.limiter import BURST, Event, Limiter, exc_info_of, text_of


class Rig:
    """A limiter with a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.woken = 0
        self.limiter = Limiter(lambda: self.now, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def admit(self, text: str = "failed", **fields: Any) -> Event | None:
        return self.limiter.admit({"logger": "x", "event": text, **fields})


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_the_second_line_within_a_second_is_told_with_the_next() -> None:
    rig = Rig()
    assert rig.admit() == {"logger": "x", "event": "failed"}
    rig.now += 0.99
    assert [rig.admit(), rig.admit()] == [None, None]
    rig.now += 0.02
    assert rig.admit() == {"logger": "x", "event": "failed", "repeated": 2}
    rig.now += 1.0
    assert rig.admit() == {"logger": "x", "event": "failed"}
    assert rig.limiter.suppressed == 2


def test_what_is_held_is_told_without_a_next_one() -> None:
    rig = Rig()
    rig.admit(number=1)
    assert rig.limiter.overdue() is None
    rig.admit(number=2)
    rig.admit(number=3)
    assert rig.woken == 1
    assert rig.limiter.overdue() == []
    rig.now += 1.0
    assert rig.limiter.overdue() == [{"logger": "x", "event": "failed", "number": 3, "repeated": 2}]
    assert rig.limiter.overdue() is None
    assert rig.admit() is None  # the overdue one was this second's
    assert rig.woken == 2


def test_in_the_end_everything_held_is_told() -> None:
    rig = Rig()
    rig.admit()
    rig.admit()
    found = rig.limiter.overdue(final=True)
    assert [event["repeated"] for event in found or ()] == [1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"upstream": "a"}, {"upstream": "b"}, False),
        ({"kind": "pods"}, {"kind": "services"}, False),
        ({"file": "a", "error": "bad"}, {"file": "a", "error": "worse"}, False),
        ({"file": "a", "line": 1}, {"file": "a", "line": 2}, False),
        ({"worker": 1}, {"worker": 2}, False),
        ({"upstream": "a", "error": "port 1"}, {"upstream": "a", "error": "port 2"}, True),
        ({"packet": "00"}, {"packet": "01"}, True),  # what a client sends
        ({"client": "10.0.0.1"}, {"client": "10.0.0.2"}, True),
        ({"count": 1, "seconds": 0.5}, {"count": 2, "seconds": 0.7}, True),
        ({"text": "one"}, {"text": "other"}, False),
    ],
)
def test_what_makes_another_cause(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    rig = Rig()
    assert rig.admit(one.pop("text", "failed"), **one) is not None
    assert (rig.admit(other.pop("text", "failed"), **other) is None) == same


def fail_here(number: int) -> None:
    raise ValueError(f"number {number}")


def fail_there(number: int) -> None:
    raise ValueError(f"number {number}")


def caught(fail: Any, number: int) -> Exception:
    try:
        fail(number)
    except ValueError as error:
        return error
    raise AssertionError


def test_an_exception_is_known_by_where_it_was_raised() -> None:
    rig = Rig()
    assert rig.admit(exc_info=caught(fail_here, 1)) is not None
    assert rig.admit(exc_info=caught(fail_here, 2)) is None
    assert rig.admit(exc_info=caught(fail_there, 1)) is not None


def test_a_traceback_once_a_minute() -> None:
    rig = Rig()
    shown = []
    for second in range(125):
        rig.now = 1000.0 + second
        event = rig.admit(exc_info=caught(fail_here, second))
        assert event is not None
        assert event["error"] == f"ValueError: number {second}"
        if "exc_info" in event:
            shown.append(second)
    assert shown == [0, 60, 120]


def test_what_is_held_keeps_no_traceback_alive() -> None:
    rig = Rig()
    rig.admit(exc_info=caught(fail_here, 1))
    rig.admit(exc_info=caught(fail_here, 2))
    rig.now += 1
    (event,) = rig.limiter.overdue() or [{}]
    assert "exc_info" not in event
    assert event["error"] == "ValueError: number 2"


def test_one_event_about_many_things_is_bounded_too() -> None:
    rig = Rig()
    shown = [rig.admit(file=f"{number}.yaml") for number in range(BURST + 500)]
    assert sum(event is not None for event in shown) == BURST + 1  # one stands for all of the others
    assert rig.admit("other") is not None
    rig.now += 1.0
    (event,) = rig.limiter.overdue() or [{}]
    assert event["repeated"] == 499


def test_memory_is_bounded_and_nothing_goes_uncounted() -> None:
    rig = Rig()
    for number in range(5000):
        rig.now += 0.02
        rig.admit(upstream=str(number))
        rig.admit(upstream=str(number))
    assert rig.limiter.suppressed == 5000
    assert len(rig.limiter.overdue(final=True) or ()) <= 1000


class Mute(Exception):  # noqa: N818 - it is what its name says
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [(ValueError("a"), "ValueError: a"), (TimeoutError(), "TimeoutError"), (Mute(), "Mute: (it has no text)")],
)
def test_an_exception_in_one_line(error: Exception, text: str) -> None:
    assert text_of(error) == text


def test_whatever_a_log_call_is_given_for_an_exception() -> None:
    error = raised(ValueError("a"))
    given: Iterable[object] = (error, (type(error), error, None))
    for each in given:
        found = exc_info_of(each)
        assert found is not None
        assert found[1] is error
    try:
        raise error
    except ValueError:
        assert (exc_info_of(True) or (None, None))[1] is error
    for nothing in (None, False, True, (None, None, None)):
        assert exc_info_of(nothing) is None
