"""Sets up every logger of this process, and counts the lines that were written, left out or lost."""

import atexit
import contextlib
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal, TextIO

from dnsserver.log.limiter import Event, Limiter
from dnsserver.log.lines import as_text, renderer
from dnsserver.log.writer import LineWriter
from dnsserver.logger import LEVELS, get_logger, send_to
from dnsserver.metrics import Log

_LAST_WORDS = 1.0  # seconds that the end of the process may wait for lines to be written
_MOMENT = 0.01  # seconds that lines of before may take to be written when it is set up anew: nobody waits for the log


class _Output:
    """The output for the lines of this process; of several that were configured, the last one is in force."""

    def __init__(self, stream: TextIO | None, process: Event, *, as_json: bool) -> None:
        self.as_json = as_json
        self._process = process  # what every line says of this process
        self._line = renderer(as_json=as_json, colors=_has_colors(stream))
        self.limiter = Limiter(monotonic, self._held)
        self.writer = LineWriter(_descriptor(stream), self._lost_lines, self._overdue)

    def take(self, event: Event, origin: str | None = None) -> None:
        """Write an event, if it is its turn."""
        shown = self.limiter.admit(event, origin)
        if shown is not None:
            self.writer.write(self._line(shown))

    def head(self, level: str, event: str, logger: str) -> Event:
        """Return what every line has."""
        return {"timestamp": self._stamp(), "level": level, "event": event, "logger": logger, **self._process}

    def _stamp(self) -> str:
        """Return the time as lines have it: UTC for machines, the time of the place for people."""
        if self.as_json:
            return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return datetime.now().astimezone().isoformat(" ", "milliseconds")

    def _held(self) -> None:
        self.writer.wake()

    def _overdue(self, final: bool) -> list[bytes] | None:
        due = self.limiter.overdue(final=final)
        return None if due is None else [self._line(event) for event in due]

    def _lost_lines(self, count: int) -> bytes:
        return self._line({**self.head("warning", "log lines were lost", "dnsserver.log"), "count": count})


class _Handler(logging.Handler):
    """Receives the events that libraries log with the standard library."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record like an event."""
        try:
            text = record.getMessage()
        except Exception:
            text = str(record.msg)
        head = self._output.head(record.levelname.lower(), text.strip(), record.name)
        self._output.take({**head, "exc_info": record.exc_info}, str(record.msg))


_output: _Output | None = None


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["auto", "json", "text"] = "auto",
    file: TextIO | None = None,
    *,
    worker: int | None = None,
) -> None:
    """Set up every logger of this process; `file` None is standard error. Can be called again.

    With the number of a `worker` every line has it, so that one can tell which process it is of.
    """
    global _output  # noqa: PLW0603 - where loggers and `logging` write to is the process's, too
    stream = sys.stderr if file is None else file
    as_json = style == "json" or (style == "auto" and not is_read_by_a_person(stream))
    output = _Output(stream, {} if worker is None else {"worker": worker}, as_json=as_json)
    if _output is None:
        atexit.register(flush, _LAST_WORDS)
    else:  # counters do not go back
        _output.writer.close(_MOMENT)
        output.writer.lost = _output.writer.lost
        output.limiter.suppressed = _output.limiter.suppressed
    _output = output

    def take(level: str, name: str, event: Event) -> None:
        output.take({**output.head(level, event["event"], name), **event})

    send_to(take, level)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(output)]
    root.setLevel(max(LEVELS[level], logging.WARNING))  # what other people's libraries tell at INFO is not about DNS


def flush(patience: float = _LAST_WORDS) -> bool:
    """Wait until all lines are written, or for so many seconds; return whether they are."""
    return _output is None or _output.writer.flush(patience)


def write(line: bytes) -> None:
    """Have a line written as it is, behind those before it; it ends with a line feed. Neither waits nor raises."""
    if _output is not None:
        _output.writer.write(line)


def statistics() -> Log:
    """Return the counts of this process."""
    if _output is None:
        return Log()
    return Log(lost=_output.writer.lost, suppressed=_output.limiter.suppressed)


def report_uncaught() -> None:
    """Have exceptions that nobody caught, and warnings, logged: Python itself writes them in a way that may block.

    Standard descriptors that are closed are opened on /dev/null, so that no socket gets the number of one of them.
    """
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        with contextlib.suppress(OSError):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    log = get_logger()

    def uncaught(kind: type[BaseException], error: BaseException, where: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("uncaught exception", exc_info=(kind, error, where))

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    def unraisable(args: Any) -> None:
        log.error("exception ignored", at=as_text(args.object), exc_info=args.exc_value)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable
    logging.captureWarnings(True)


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the descriptor of a stream; None if standard error was closed at the start."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return stream.fileno() if stream is not None else None
    return None


def is_read_by_a_person(stream: TextIO | None) -> bool:
    """Tell a terminal of a person from a pod's log; `kubectl run -it` has a terminal as well, but the log is kept."""
    return stream is not None and stream.isatty() and "KUBERNETES_SERVICE_HOST" not in os.environ


def _has_colors(stream: TextIO | None) -> bool:
    """Tell whether to use colors: on a terminal that has them, unless NO_COLOR (https://no-color.org) is set."""
    return (
        stream is not None
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") not in {"dumb", ""}
    )
