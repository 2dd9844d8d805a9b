"""The report of this node's guardian, in a folder that both containers have: `dnsserver.node` writes it."""

from collections.abc import Callable
from pathlib import Path

import trio

from dnsserver.logger import get_logger
from dnsserver.node.report import FRESH, clock, read

log = get_logger("dnsserver")

READY = "ready"  # a file for probes that cannot ask: two servers of a node have one port for HTTP
_LOOK = 0.5


class NodeGuardian:
    """The guardian, as this server sees it."""

    def __init__(self, folder: Path, now: Callable[[], float] = clock) -> None:
        """Read in a folder; `now` gives the seconds that reports go by."""
        self._folder = folder
        self._now = now

    def problems(self) -> tuple[str, ...]:
        """Return why pods may not reach this server at all addresses, or may be tracked; nothing if all is in place."""
        report = read(self._folder)
        if report is None:
            return ("the guardian of this node has not reported",)
        age = self._now() - report.at
        if age < 0:  # the clock begins with the machine
            return ("the guardian of this node has not reported since the machine started",)
        if age > FRESH:
            return (f"the guardian of this node reported last {age:.0f} s ago",)
        missing = [f"this node does not have {address}" for address, there in report.addresses.items() if not there]
        rules = [] if report.rules else ["connections to this node's addresses are tracked"]
        return (*missing, *rules, *report.problems)

    async def announce(self, is_ready: Callable[[], bool]) -> None:
        """Have the file `ready` appear once the server has been ready."""
        file = self._folder / READY
        file.unlink(missing_ok=True)
        while not is_ready():  # noqa: ASYNC110 - the report is a file
            await trio.sleep(_LOOK)
        file.touch()
        log.info("this node's server is ready")
        await trio.sleep_forever()
