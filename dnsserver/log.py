"""Structured logs: a line of JSON for each event in a pod, aligned text on a terminal; stdlib loggers look the same."""

import logging
import os
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

__all__ = ["configure_logging"]


class _NamedLogger(structlog.WriteLogger):
    """Writes lines, and keeps the name that `structlog.get_logger` was given."""

    def __init__(self, file: TextIO, name: str) -> None:
        super().__init__(file)
        self.name = name


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["auto", "json", "text"] = "auto",
    file: TextIO | None = None,
) -> None:
    """Set up every logger of this process; `file` None is standard error. Can be called again."""
    stream = sys.stderr if file is None else file
    number = logging.getLevelNamesMapping()[level.upper()]
    as_json = style == "json" or (style == "auto" and not _is_read_by_a_person(stream))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S.%f", utc=as_json),
    ]
    shown = _json() if as_json else _text(colors=stream.isatty())

    def make_logger(*args: Any) -> _NamedLogger:
        return _NamedLogger(stream, str(args[0]) if args else "dnsserver")

    structlog.configure(
        processors=[*shared, _add_name, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=make_logger,
        cache_logger_on_first_use=False,  # loggers made at import time have to see a later configuration
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))  # what other people's libraries tell at INFO is not about DNS


def _is_read_by_a_person(stream: TextIO) -> bool:
    """Tell a terminal of a person from a pod's log; `kubectl run -it` has a terminal as well, but the log is kept."""
    return stream.isatty() and "KUBERNETES_SERVICE_HOST" not in os.environ


def _json() -> list[Processor]:
    # Tracebacks as plain text: structlog's structured ones carry local variables, and a token may be among them.
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _text(*, colors: bool) -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]


def _add_name(logger: Any, method: str, event: EventDict) -> EventDict:
    del method
    event["logger"] = logger.name
    return event
