"""Log lines that name a limited client or domain: at most once a minute for each, and one a second in all."""

from dnsserver.logger import Logger

AGAIN = 60.0  # seconds until the same one is named again
_PAUSE = 1.0  # seconds between two lines
_REMEMBERED = 256  # names: more than have a line in two minutes


class Notices:
    """One kind of line; `event` is its text."""

    def __init__(self, log: Logger, event: str) -> None:
        """Start without any line."""
        self._log = log
        self._event = event
        self._quiet_until = float("-inf")
        self._told: dict[str, float] = {}

    def tell(self, who: str, now: float, **fields: str) -> None:
        """Log a line about one, unless that was done a short while ago."""
        if now < self._quiet_until or now < self._told.get(who, now):
            return
        self._quiet_until = now + _PAUSE
        self._told.pop(who, None)
        while len(self._told) >= _REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[who] = now + AGAIN
        self._log.warning(self._event, **fields)
