"""What is logged about an API server that cannot be followed: one warning at the beginning, one line at the end.

Four kinds are followed at once, and each tries again on its own; a reader of the log wants to know once. If a watch
ends and goes on, that is no outage (servers restart, balancers close). An outage is what fails again, or at once if
nothing has ever worked. Another cause during the same outage is news, and is logged once too.
"""

from collections.abc import Callable

import trio

from dnsserver.kube.errors import ApiError
from dnsserver.logger import get_logger
from dnsserver.zone.model import Kind

SLOW = 7.0  # seconds without an answer, before it is said; an exec plugin or a server may just be busy
_STEADY = 2.0  # seconds without a failure, before it is over


class Outage:
    """The state of one API server, as its users see it; `server` gives its URL, "" as long as nobody knows."""

    def __init__(self, server: Callable[[], str] = str) -> None:
        """Begin with a server that has not been heard."""
        self._server = server
        self._log = get_logger("dnsserver.kube")
        self._failing: dict[Kind, str] = {}  # the kinds that do not get through, and why
        self._reported: set[str] = set()
        self._began = self._last = 0.0
        self._heard = False

    def failed(self, kind: Kind, error: ApiError) -> None:
        """Record that a kind's request or stream failed; it will be tried again."""
        now = trio.current_time()
        if not self._failing and not self._reported:
            self._began = now
        again = kind in self._failing
        self._failing[kind] = error.reason
        self._last = now
        if error.reason not in self._reported and (again or not self._heard):
            self._report(error.reason, str(error))

    def works(self, kind: Kind) -> None:
        """Record that a kind got an answer."""
        self._heard = True
        self._failing.pop(kind, None)

    def look(self, waiting: tuple[float, str] | None) -> None:
        """Say what only time tells; `waiting` is since when the oldest request is without an answer, and for what."""
        now = trio.current_time()
        if waiting is not None and now - waiting[0] >= SLOW and "slow" not in self._reported:
            if not self._reported:
                self._began = waiting[0]
            self._report("slow", f"no {waiting[1]} for {now - waiting[0]:.0f} s")
        elif self._reported and waiting is None and not self._failing and now - self._last >= _STEADY:
            self._log.info("the API server answers again", server=self._server(), seconds=round(now - self._began))
            self._reported.clear()

    def _report(self, reason: str, problem: str) -> None:
        self._reported.add(reason)
        self._log.warning(
            "the API server cannot be followed, trying again",
            server=self._server() or "not known yet",
            reason=reason,
            error=problem,
        )
