"""Log lines that name who is limited: each of them once a minute, and one in a second of all of them."""

import socket

from dnsserver.logger import Logger

AGAIN = 60.0  # seconds until the same one is named again
_PAUSE = 1.0  # seconds between two lines
_REMEMBERED = 256  # names: more than have a line in two minutes


class Notices:
    """One kind of line; `event` is its text."""

    def __init__(self, log: Logger, event: str) -> None:
        """Have told nothing yet."""
        self._log = log
        self._event = event
        self._quiet_until = float("-inf")
        self._told: dict[str, float] = {}

    def tell(self, who: str, now: float, **fields: str) -> None:
        """Name one, unless that was done a short while ago."""
        if now < self._quiet_until or now < self._told.get(who, now):
            return
        self._quiet_until = now + _PAUSE
        self._told.pop(who, None)
        while len(self._told) >= _REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[who] = now + AGAIN
        self._log.warning(self._event, **fields)


def source_of(client: bytes) -> bytes:
    """Return what stands for a client where it is counted: an IPv4 address, or the /64 of an IPv6 one, packed.

    Who has one IPv6 address has the whole /64, and could ask from a new one each time.
    """
    return client[:8] if len(client) == 16 else client


def shown_source(client: bytes) -> str:
    """Return a client as people write it: "10.0.0.1", or "2001:db8:0:1::/64"."""
    if len(client) == 4:
        return socket.inet_ntop(socket.AF_INET, client)
    return f"{socket.inet_ntop(socket.AF_INET6, client[:8] + bytes(8))}/64"
