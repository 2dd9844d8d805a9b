"""Addresses in order, to see whether there is one between two others without a look at all of them.

Few ask that (whether a reverse name like 1.10.in-addr.arpa has anything below it), so nothing is put in order before
somebody does. With 60,000 addresses a walk over all of them takes 7 ms a question, in which nobody else is answered.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

_MANY = 64  # changes after which putting all in order anew costs no more than taking them in one by one


class SortedAddresses:
    """The addresses of one size, in octets, of a source, in order once it has been asked for."""

    def __init__(self, size: int, source: Iterable[bytes]) -> None:
        """Read nothing of the source yet."""
        self._size = size
        self._source = source
        self._addresses: list[bytes] | None = None
        self._changes: list[tuple[bytes, bool]] = []
        self.in_use = False  # whether changes are to be noted

    def note(self, address: bytes, *, is_there: bool) -> None:
        """Note that the source has got an address, or lost it, while this is in use."""
        self._changes.append((address, is_there))
        if len(self._changes) > _MANY:
            self._addresses, self.in_use = None, False
            self._changes.clear()

    def has_between(self, low: bytes, high: bytes) -> bool:
        """Tell whether there is an address from `low` to `high`, both included."""
        addresses = self._in_order()
        at = bisect_left(addresses, low)
        return at < len(addresses) and addresses[at] <= high

    def _in_order(self) -> list[bytes]:
        addresses = self._addresses
        if addresses is None:
            addresses = self._addresses = sorted(address for address in self._source if len(address) == self._size)
            self.in_use = True
        for address, is_there in self._changes:
            if is_there:
                insort(addresses, address)
            else:
                del addresses[bisect_left(addresses, address)]
        self._changes.clear()
        return addresses
