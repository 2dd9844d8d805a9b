"""Logs: JSON where a machine reads, text where a person does, and libraries' loggers in the same dress."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from dnsserver.log import configure_logging


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_has_one_object_a_line() -> None:
    stream = io.StringIO()
    early = structlog.get_logger("dnsserver.early")
    configure_logging("info", "json", stream)
    early.info("hello", kind="pods")
    early.debug("not shown")
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "hello", "level": "info", "logger": "dnsserver.early", "kind": "pods"}


def test_libraries_loggers_look_the_same_and_only_warn() -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    logging.getLogger("hypercorn.error").info("Running on ...")
    logging.getLogger("hypercorn.error").warning("odd %s", "thing")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("odd thing", "warning", "hypercorn.error")


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_is_there_and_no_local_variable_is(style: Any) -> None:
    stream = io.StringIO()
    configure_logging("info", style, stream)

    def fail(secret: str) -> float:
        return 1 / (len(secret) - 4)

    try:
        fail(bytes.fromhex("68757368").decode())
    except ZeroDivisionError:
        structlog.get_logger("x").exception("failed")
    assert "ZeroDivisionError: " in stream.getvalue()
    assert "hush" not in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "in_pod", "as_json"),
    [(Terminal(), False, False), (Terminal(), True, True), (io.StringIO(), False, True), (io.StringIO(), True, True)],
)
def test_auto(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, in_pod: bool, as_json: bool) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if in_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    configure_logging("info", "auto", stream)
    structlog.get_logger("x").info("hello")
    assert stream.getvalue().startswith("{") == as_json
