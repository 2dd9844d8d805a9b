"""What every part logs with: an event, which is a constant sentence, and named fields.

`dnsserver.log` decides what becomes of it; packages below need not know. Until it does, events go to standard error as
they are. structlog was rejected because it does more than this: it imports asyncio, and rich if that is installed, and
takes 6.2 MiB and 60 ms of a start (`python -X importtime -c "import structlog"`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

Sink = Callable[[str, str, dict[str, Any]], None]  # gets the level, the logger's name, and `event` with all fields


def _to_standard_error(level: str, name: str, event: dict[str, Any]) -> None:
    print(f"[{level}] {name}: {event}", file=sys.stderr)  # noqa: T201 - there is no other place yet


class _Way:
    """Where events go: `sink` gets those of the level `least` and above."""

    sink: Sink = staticmethod(_to_standard_error)
    least = LEVELS["debug"]


class Logger:
    """Logs under a name, with some fields in every event; `exc_info` is an exception, or True for the present one."""

    __slots__ = ("_fields", "_name")

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self._name = name
        self._fields = fields

    def bind(self, **fields: Any) -> "Logger":
        """Return a logger with more fields in every event."""
        return Logger(self._name, {**self._fields, **fields})

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log what helps to find a mistake of ours."""
        self._log("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log what is good to know."""
        self._log("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log what somebody should look at."""
        self._log("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log what somebody has to mend."""
        self._log("error", event, fields)

    def critical(self, event: str, /, **fields: Any) -> None:
        """Log what ends the program."""
        self._log("critical", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """Log an error with the exception that is being handled."""
        self._log("error", event, {"exc_info": True, **fields})

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] >= _Way.least:
            _Way.sink(level, self._name, {"event": event, **self._fields, **fields})


def get_logger(name: str = "dnsserver") -> Logger:
    """Return a logger, which heeds what `send_to` says later."""
    return Logger(name, {})


def send_to(sink: Sink, least: str = "debug") -> None:
    """Have all events of a level or above go to `sink` from now on."""
    _Way.sink, _Way.least = sink, LEVELS[least]


@contextmanager
def redirected(sink: Sink) -> Iterator[None]:
    """While in this block, have all events go to `sink`."""
    before = _Way.sink, _Way.least
    _Way.sink, _Way.least = sink, LEVELS["debug"]
    try:
        yield
    finally:
        _Way.sink, _Way.least = before
