"""Makes queries hard to guess: random IDs and a random case of names, from the system's source (RFC 5452)."""

import os
from collections.abc import Callable

_from_bytes = int.from_bytes
_LETTERS = bytes(0x20 if 0x61 <= octet <= 0x7A else 0 for octet in range(256))


class Entropy:
    """Random octets, read from the system in blocks: one call serves some two hundred questions."""

    def __init__(self, source: Callable[[int], bytes] = os.urandom, block: int = 8192) -> None:
        """Read blocks of `block` octets from `source`."""
        self._source = source
        self._size = block
        self._block = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return so many octets, at most a block, never the same ones again."""
        at = self._at
        self._at = end = at + count
        if end > len(self._block):
            self._block = self._source(self._size)
            self._at = count
            return self._block[:count]
        return self._block[at:end]

    def randomize_case(self, name: bytes) -> tuple[bytes, bytes]:
        """Return an ID, and a lower-case name with each letter in one case or the other.

        A forger has to guess these bits as well (draft-vixie-dnsext-dns0x20). Length octets are no letters.
        """
        size = len(name)
        at = self._at
        self._at = end = at + size + 2
        random = self._block[at:end]
        if end > len(self._block):
            random = self.take(size + 2)
        # The ID's two octets stand above the name's, where no letter is.
        flips = _from_bytes(random) & _from_bytes(name.translate(_LETTERS))
        return random[:2], (_from_bytes(name) ^ flips).to_bytes(size)
