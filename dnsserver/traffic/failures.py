"""The last failures with their reasons; equal ones are one, with a count.

Rejected: a ring in the order of time, which a flood of names that do not exist fills in a moment. Here each reason has
its own order. If there is no room for a new failure, the oldest one of the reason with most failures is dropped.
"""

from collections import OrderedDict
from typing import Final

import msgspec

ROOM: Final = 256  # failures
# Octets of one with a name and a text at their longest: the value, its key, its place (`tests/traffic` measure it).
FAILURE: Final = 1536

_Key = tuple[bytes, bytes, int, int, str]


class Failure(msgspec.Struct, gc=False):
    """A question of a client's that failed `count` times from `first` to `last`, in seconds since 1970.

    `client` is a packed address, `name` in wire form and lower case, empty if it could not be read. `reason` is the
    code, and `text` what the client is told if it speaks EDNS. `seconds` is how long the last one took.
    """

    client: bytes
    name: bytes
    type: int
    rcode: int
    reason: str
    text: str
    seconds: float
    first: float
    last: float
    count: int = 1


class Failures:
    """The last failures, at most `room` of them."""

    def __init__(self, room: int = ROOM) -> None:
        """Begin without any."""
        self._room = room
        self._by_reason: dict[str, OrderedDict[_Key, Failure]] = {}
        self._held = 0

    def add(self, failure: Failure) -> None:
        """Record a failure; `seconds`, the text and the time are those of the last one like it."""
        reason = failure.reason
        order = self._by_reason.get(reason)
        if order is None:
            order = self._by_reason[reason] = OrderedDict()
        key = (failure.client, failure.name, failure.type, failure.rcode, reason)
        known = order.pop(key, None)
        if known is not None:
            failure.first = known.first
            failure.count += known.count
        elif self._held == self._room:
            self._give_up()
        order[key] = failure
        self._held += known is None

    def latest(self) -> list[Failure]:
        """Return the failures, the last one first."""
        found = [failure for order in self._by_reason.values() for failure in order.values()]
        return sorted(found, key=lambda failure: -failure.last)

    def _give_up(self) -> None:
        most = max(self._by_reason, key=lambda reason: len(self._by_reason[reason]))
        self._by_reason[most].popitem(last=False)
        self._held -= 1
        if not self._by_reason[most]:
            del self._by_reason[most]
