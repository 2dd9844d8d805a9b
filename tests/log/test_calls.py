"""Every log call of the source: constant sentences, one vocabulary of fields."""

import ast
import re

import pytest

from dnsserver.faults import PLACES
from dnsserver.log.limiter import ABOUT
from tests.log.events import FIELDS, METHODS, SOURCE, calls
from tests.log_page import PAGE, page, untold

# Words that say in one place what `error` says in all others, or what no reader of a log knows.
NOT_IN_EVENTS = re.compile(r"\b(taken in|lists again|understood|oops|failed to)\b|[.!:]$|%|\{")


CALLS = dict(calls())
NOTICES = "notices.py"  # logs what it was made with


def test_the_page_about_the_log_is_that_of_the_code() -> None:
    assert untold() == [], "say in tests/log_page.py what it means, and what to do"
    assert PAGE.read_text() == page(), "python -m tests.log_page"


def test_the_calls_are_found() -> None:
    assert len(CALLS) > 40


def check_event(event: ast.expr) -> None:
    if isinstance(event, ast.IfExp):
        check_event(event.body)
        check_event(event.orelse)
        return
    assert isinstance(event, ast.Constant), "a constant, so that it can be searched for and counted"
    text = event.value
    assert isinstance(text, str)
    assert text[0].islower() or text.startswith(("API ", "IPv6 ")), "it goes on after level and time"
    assert 1 <= len(text.split()) <= 15
    assert not NOT_IN_EVENTS.search(text), text


def test_what_is_told_of_those_who_are_limited() -> None:
    found = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Notices":
                check_event(node.args[1])
                found += 1
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "tell":
                assert {keyword.arg for keyword in node.keywords} <= FIELDS.keys()
    assert found


@pytest.mark.parametrize("where", [where for where in CALLS if not where.startswith(NOTICES)])
def test_a_log_call(where: str) -> None:
    call = CALLS[where]
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr in METHODS:
        assert len(call.args) == 1, "an event, and fields by their names"
        check_event(call.args[0])
    for keyword in call.keywords:
        if keyword.arg is None:
            # Counts by kind, and what the one who reports a bug knows of where it was.
            assert isinstance(keyword.value, ast.Name)
            assert f"{where.partition(':')[0]} {keyword.value.id}" in {"app/server.py counts", "faults.py about"}
        else:
            assert keyword.arg in FIELDS, f"{keyword.arg}: say it with a field that is there, or add it to the table"


def test_every_field_of_the_vocabulary_is_used() -> None:
    used = {keyword.arg for call in CALLS.values() for keyword in call.keywords}
    used |= {"count", "field", "line"}  # in the line that tells of lost ones, and for what is to come
    assert FIELDS.keys() - used == set()


def test_what_tells_causes_apart_is_of_the_vocabulary() -> None:
    assert FIELDS.keys() >= ABOUT
    assert not ABOUT & {"packet", "error", "count", "seconds"}, "clients or chance have a say in these"
    assert len(PLACES) < 100


def test_who_has_to_do_something_is_warned() -> None:
    """Something that cannot be read, is denied, is broken or does not answer is at least a warning."""
    told = {
        call.args[0].value
        for call in CALLS.values()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"info", "debug"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    bad = re.compile(r"\b(cannot|denied|broken|down|does not allow|lost|missing|refused|wrong)\b")
    assert [text for text in told if bad.search(str(text))] == []
