"""What is logged, as values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dnsserver.logger import redirected

Log = dict[str, Any]


@contextmanager
def capture_logs() -> Iterator[list[Log]]:
    """All events of this block, as dicts of their fields; their level is in `log_level`."""
    logs: list[Log] = []
    with redirected(lambda level, _, event: logs.append({**event, "log_level": level})):
        yield logs
