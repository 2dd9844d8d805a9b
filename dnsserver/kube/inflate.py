"""A body that came compressed by gzip (RFC 1952), made plain in small pieces. No I/O.

An API server compresses a list that is longer than 128 KiB, where it is asked to, and no watch. What little came may
stand for a thousand times as much, so no more than a piece of it is made at a time: whoever reads can stop after any.
"""

import zlib
from collections.abc import Iterator

PIECE = 64 * 1024  # octets of plain text made at a time; malloc reuses that much, and asks the kernel for more
_GZIP = 16 + zlib.MAX_WBITS  # so zlib calls gzip's header and trailer, and nothing else


class InflateError(ValueError):
    """What came is not what gzip writes, or not all of it."""


class Inflater:
    """Takes a gzip file as it arrives. It holds zlib's window of 32 KiB and what was last received, no more."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    @property
    def ended(self) -> bool:
        """Whether all that began is complete, and something did."""
        return self._member.eof

    def received(self, data: bytes) -> Iterator[bytes]:
        """Give the plain octets that are known with `data`, at most `PIECE` at a time. Raises InflateError.

        A file may have several members, one after the other (section 2.2).
        """
        while True:
            if self._member.eof and data:
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(data, PIECE)
            except zlib.error as error:
                raise InflateError(f"not gzip: {error}") from None
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if not data and (self._member.eof or len(piece) < PIECE):  # zlib may hold back a part of what is plain
                return
