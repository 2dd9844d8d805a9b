"""Every log call of the source: constant sentences, one vocabulary of fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsserver.faults import PLACES
from dnsserver.log.limiter import ABOUT

SOURCE = Path(__file__).parents[2] / "dnsserver"
FAULTS = "took"  # what reports a bug, with a place instead of an event
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}

# What a field means, wherever it stands. A new one belongs here, if none of these says the same.
FIELDS = {
    "address": "an address that is or was to be listened on, with its port",
    "admin": "where admin HTTP is",
    "at": "in which object's finalizer something failed",
    "change": "an event of the cluster",
    "changed": "keys of the configuration that have another value now",
    "client": "the network that clients are told apart by",
    "command": "what to type",
    "connections": "how many there are",
    "count": "how many, of what the event is about",
    "device": "a network interface",
    "domain": "the cluster's domain",
    "effect": "what it means for clients",
    "error": "what went wrong, in words; of an exception, its type and text",
    "exc_info": "an exception, whose traceback is shown",
    "field": "which field of an object",
    "file": "a file",
    "files": "several",
    "folder": "a folder",
    "frame": "what a worker was sent, or sent",
    "gone": "files that are not there any more",
    "hash": "the beginning of that of the configuration",
    "hint": "what to do",
    "host": "a hostname",
    "in_use": "upstreams that are asked meanwhile",
    "key": "of a kept reply, in hexadecimal",
    "kind": "the kind of API objects",
    "kinds": "several",
    "lane": "the number of a socket that one client has to itself",
    "line": "a line of a file",
    "lines": "several",
    "listen": "where DNS is served",
    "milliseconds": "how long, where a second is too much",
    "mistakes": "what is wrong with the configuration, a line each",
    "namespaces": "their names",
    "needs_restart": "keys of the configuration",
    "not_looked_at": "replies of which whoever looks on was not told, as too many came at once",
    "note": "what is worth knowing of a file",
    "object_name": "an API object's name",
    "object_namespace": "an API object's namespace",
    "objects_changed": "how many there are",
    "objects_removed": "how many there are",
    "options": "of a resolv.conf",
    "over_rate": "lines of the query log that there are not, as a second had more than `rate`",
    "packet": "a client's, in hexadecimal",
    "page": "a path of admin HTTP",
    "path": "a file or a folder",
    "place": "a border that a bug did not cross",
    "questions": "how many there are",
    "reason": "the short word for a failure: the API's, or an answer's",
    "repairs": "how many there were",
    "replies_dropped": "how many there were",
    "replies_kept": "how many there were",
    "reply": "an upstream's, in hexadecimal",
    "retry_seconds": "until it is tried again",
    "rule_to_add": "what RBAC lacks",
    "seconds": "how long",
    "server": "the API server's URL",
    "setting": "a key of the configuration",
    "status": "an exit status",
    "transport": "udp or tcp",
    "upstream": "one upstream",
    "upstreams": "several",
    "worker": "the number of one",
}
# Words that say in one place what `error` says in all others, or what no reader of a log knows.
NOT_IN_EVENTS = re.compile(r"\b(taken in|lists again|understood|oops|failed to)\b|[.!:]$|%|\{")


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            logger = node.func.value
            while isinstance(logger, ast.Call):  # get_logger(...).bind(...)
                logger = logger.func
            name = getattr(logger, "id", getattr(logger, "attr", ""))
            is_ours = name in {"log", "_log", "logger", "get_logger"} and node.func.attr in {*METHODS, "bind"}
            if is_ours or node.func.attr == FAULTS:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


CALLS = dict(calls())
NOTICES = "notices.py"  # logs what it was made with


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
    """What cannot be read, is denied, is broken or does not answer is no information only."""
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
