"""Logs: JSON for machines, text for people; the events of libraries have the same form."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from dnsserver.log import configure_logging, flush, setup, statistics
from dnsserver.logger import get_logger, redirected

FOLDER = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with redirected(lambda *_: None):
        yield
        flush()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[TextIO]:
    flush(10.0)  # what tests before have held back is not for this one
    with (tmp_path / "log").open("w+", encoding="utf-8") as file:
        yield file
        flush()


def written(stream: TextIO) -> str:
    assert flush(10.0)
    stream.seek(0)
    return stream.read()


def lines(stream: TextIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(stream).splitlines()]


def test_json_has_one_object_a_line(stream: TextIO) -> None:
    early = get_logger("dnsserver.early")
    configure_logging("info", "json", stream)
    early.info("hello", kind="pods")
    early.debug("not shown")
    (line,) = [line for line in lines(stream) if line["logger"] == "dnsserver.early"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {"event": "hello", "level": "info", "logger": "dnsserver.early", "kind": "pods"}


def test_every_line_of_a_worker_has_its_number(stream: TextIO) -> None:
    configure_logging("info", "json", stream, worker=3)
    get_logger("ours").info("hello", kind="pods")
    get_logger("ours").info("about another one", worker=4)
    logging.getLogger("library").warning("odd")
    numbers = {line["event"]: line["worker"] for line in lines(stream)}
    assert (numbers["hello"], numbers["about another one"], numbers["odd"]) == (3, 4, 3)


def test_text_has_the_date(stream: TextIO) -> None:
    configure_logging("info", "text", stream)
    get_logger("x").info("hello")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \[info +\] hello ", written(stream))


def test_libraries_loggers_look_the_same_and_only_warn(stream: TextIO) -> None:
    configure_logging("debug", "json", stream)
    logging.getLogger("library").info("Running on ...")
    logging.getLogger("library").warning("odd %s", "thing")
    logging.getLogger("library").warning("odd %s %s", "thing")  # noqa: PLE1206
    first, second = [line for line in lines(stream) if line["logger"] == "library"]  # others may have something to say
    assert (first["event"], first["level"]) == ("odd thing", "warning")
    assert second["event"] == "odd %s %s"


def test_one_cause_has_one_line_a_second_whoever_logs(stream: TextIO) -> None:
    before = statistics().suppressed
    configure_logging("info", "json", stream)
    for number in range(1000):
        get_logger("x").warning("failed", packet=f"{number}")
        logging.getLogger("library").warning("odd %s", number)
    told = [line for line in lines(stream) if line["event"] != "log lines were lost"]  # by a log before this one
    assert [line["event"] for line in told][:2] == ["failed", "odd 0"]
    assert len(told) <= 8  # one more of each when the log ends, or its second does
    repeated = sum(line.get("repeated", 0) for line in told)
    assert repeated == statistics().suppressed - before == 1998


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_is_there_and_no_local_variable_is(style: Any, stream: TextIO) -> None:
    configure_logging("info", style, stream)

    def fail(secret: str) -> float:
        return 1 / (len(secret) - 4)

    try:
        fail(bytes.fromhex("68757368").decode())
    except ZeroDivisionError:
        get_logger("x").exception("failed")
    text = written(stream)
    assert "Traceback (most recent call last)" in text
    assert text.count("ZeroDivisionError: ") == 2  # the other is the field `error`
    assert "hush" not in text


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    other, end = pty.openpty()
    with os.fdopen(end, "w") as file:
        yield file
        flush()
    os.close(other)


@pytest.mark.parametrize(("in_pod", "as_json"), [(False, False), (True, True)])
def test_auto_on_a_terminal(monkeypatch: pytest.MonkeyPatch, terminal: TextIO, in_pod: bool, as_json: bool) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if in_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert setup.is_read_by_a_person(terminal) != as_json


def test_auto_in_a_file(stream: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    configure_logging("info", "auto", stream)
    get_logger("x").info("hello")
    assert written(stream).startswith("{")


@pytest.mark.parametrize(
    ("variables", "colors"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, True),  # no-color.org: present and not empty
        ({"TERM": "xterm-256color", "NO_COLOR": "0"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
        ({}, False),
    ],
)
def test_colors(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colors: bool) -> None:
    for name in ("TERM", "NO_COLOR", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    other, end = pty.openpty()
    with os.fdopen(end, "w") as file:
        configure_logging("info", "text", file)
        get_logger("x").info("hello")
        flush(10.0)
        text = os.read(other, 4096).decode()
    os.close(other)
    assert "hello" in text
    assert ("\x1b[" in text) == colors


PROGRAM = """
import sys, threading, warnings
from dnsserver.logger import get_logger
from dnsserver.log import configure_logging, report_uncaught
configure_logging("info", "json")
report_uncaught()
class Bad:
    def __del__(self):
        raise ValueError("in a finalizer")
def fail():
    raise ValueError("in a thread")
Bad()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
warnings.warn("a warning", stacklevel=1)
get_logger("x").info("nearly over")
raise ValueError("in the end")
"""


def test_what_nobody_caught_comes_out_as_lines() -> None:
    done = subprocess.run([sys.executable, "-W", "always", "-c", PROGRAM], cwd=FOLDER, capture_output=True, check=False)
    found = {(line["event"], line.get("error", "")) for line in map(json.loads, done.stderr.splitlines())}
    assert found >= {
        ("exception ignored", "ValueError: in a finalizer"),
        ("uncaught exception", "ValueError: in a thread"),
        ("uncaught exception", "ValueError: in the end"),
        ("nearly over", ""),
    }
    assert any("a warning" in event for event, _ in found)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_keyboard_interrupt_has_no_traceback() -> None:
    program = PROGRAM.replace('raise ValueError("in the end")', "raise KeyboardInterrupt")
    done = subprocess.run([sys.executable, "-c", program], cwd=FOLDER, capture_output=True, check=False)
    assert b"KeyboardInterrupt" not in done.stderr


def test_no_socket_gets_the_number_of_a_closed_standard_error() -> None:
    program = (
        "import os, socket, sys\n"
        "from dnsserver.log import configure_logging, report_uncaught, statistics, flush\n"
        "from dnsserver.logger import get_logger\n"
        "configure_logging(); report_uncaught()\n"
        "opened = socket.socket()\n"
        "get_logger('x').error('nobody reads this')\n"
        "flush()\n"
        "print(opened.fileno() > 2, statistics().lost)\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program], cwd=FOLDER, capture_output=True, check=False
    )
    assert done.stdout.split() == [b"True", b"1"]


def test_the_end_does_not_wait_for_a_reader_that_never_reads() -> None:
    reading, writing = os.pipe()
    program = (
        "from dnsserver.log import configure_logging\nfrom dnsserver.logger import get_logger\nconfigure_logging()\n"
        "for n in range(99): get_logger('x').error('e', file=str(n), text='x' * 990)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=FOLDER, stderr=writing, check=False, timeout=30)
    assert done.returncode == 0
    os.close(reading)
    os.close(writing)


def test_configuring_again_keeps_the_counts(tmp_path: Path) -> None:
    configure_logging("info", "json", (full := Path("/dev/full").open("w", encoding="utf-8")))  # noqa: SIM115
    before = statistics().lost
    get_logger("x").info("lost")
    assert flush(10.0)
    with (tmp_path / "log").open("w") as file:
        configure_logging("info", "json", file)
        assert statistics().lost == before + 1
    full.close()
