"""What the program can log, found in its source: the calls, their events, levels and fields."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dnsserver.zone.model import Kind

SOURCE = Path(__file__).parents[2] / "dnsserver"
FAULTS = "took"  # what reports a bug, with a place instead of an event
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
LEVELS = ("debug", "info", "warning", "error", "critical")

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


class Event(NamedTuple):
    """What can stand in the log: its level, the fields that it can have, and the files that it comes from."""

    text: str
    level: str
    fields: tuple[str, ...]
    files: tuple[str, ...]


def constants(event: ast.expr) -> list[str]:
    """The texts that the first argument of a log call can be; none where it is not written there."""
    if isinstance(event, ast.IfExp):
        return constants(event.body) + constants(event.orelse)
    return [event.value] if isinstance(event, ast.Constant) and isinstance(event.value, str) else []


def events() -> list[Event]:
    """All events of the source, each once, in alphabetical order."""
    found: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for file, text, level, fields in _told():
        of_event = found.setdefault((text, level), (set(), set()))
        of_event[0].update(fields)
        of_event[1].add(file)
    return [
        Event(text, level, tuple(sorted(fields)), tuple(sorted(files)))
        for (text, level), (fields, files) in sorted(found.items())
    ]


def _told() -> Iterator[tuple[str, str, str, set[str]]]:
    """For each log call its file, event, level and fields; those that a file binds to its logger are in all of its."""
    about_faults: set[str] = set()
    bound: dict[str, set[str]] = {}
    told = []
    for where, call in calls():
        file, fields = where.partition(":")[0], {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        if any(keyword.arg is None and getattr(keyword.value, "id", "") == "counts" for keyword in call.keywords):
            fields |= {str(kind) for kind in Kind}
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr == FAULTS:
            about_faults |= fields
        elif call.func.attr == "bind":
            bound.setdefault(file, set()).update(fields)
        else:
            level = "error" if call.func.attr == "exception" else call.func.attr
            more = {"exc_info"} if call.func.attr == "exception" else set()
            told += [(file, text, level, fields | more) for text in constants(call.args[0])]
    told += list(_notices())
    for file, text, level, fields in told:
        yield file, text, level, fields | bound.get(file, set()) | (about_faults if file == "faults.py" else set())


def _notices() -> Iterator[tuple[str, str, str, set[str]]]:
    """What is told of those who are limited: `Notices` has the event, `tell` the fields."""
    for path in sorted(SOURCE.rglob("*.py")):
        made = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        told = [call for call in made if getattr(call.func, "attr", "") == "tell"]
        fields = {keyword.arg for call in told for keyword in call.keywords if keyword.arg is not None}
        for call in made:
            if getattr(call.func, "id", "") == "Notices":
                for text in constants(call.args[1]):
                    yield path.relative_to(SOURCE).as_posix(), text, "warning", fields
