"""The chunked transfer coding (RFC 9112 section 7.1), taken off many chunks at a time. No I/O.

An API server writes most events of a watch as a chunk of their own. h11 takes 20 µs for a chunk, however small, and the
layers above it as much again; here it is under 1 µs, which halves the processor time of a streaming list
(`python -m tests.kube.read_lists`). What is accepted and what is not is h11's choice as well, tests/kube compares.
"""

import re

# Extensions are for who knows them, others must ignore them (section 7.1.1); some servers pad with space.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*|;[^\n]{0,4000}?)\r\n")
_LONGEST_LINE = 4096
_LONGEST_TRAILER = 65536
_END = b"\r\n"


class ChunkError(ValueError):
    """What came is not a chunked body, or not a whole one."""


class ChunkedDecoder:
    """Takes a body's octets out of what a connection receives.

    `ended`: the body is complete. `error`: it never will be. It holds back no more than an incomplete size line, or the
    trailer, which is of no interest.
    """

    def __init__(self) -> None:
        self.ended = False
        self.error: ChunkError | None = None
        self._held = b""  # the begin of a line
        self._left = 0  # octets of the present chunk still to come
        self._in_chunk = False  # or at its end of line
        self._in_trailer = False

    def received(self, data: bytes) -> bytes:
        """Return what of the body is in `data`, maybe nothing; no data is the end of the connection."""
        if not data:
            self.error = ChunkError("the connection ended before the body did")
            return b""
        if self._in_chunk and len(data) <= self._left:
            self._left -= len(data)
            return data
        if self._held:
            data, self._held = self._held + data, b""
        parts: list[bytes] = []
        position, size, match = 0, len(data), _SIZE.match
        while not self._in_trailer:
            if self._in_chunk:
                stop = position + self._left
                parts.append(data[position:stop])
                if stop + 2 > size:
                    self._left, self._held = max(0, stop - size), data[stop:]
                    return b"".join(parts)
                if data[stop : stop + 2] != _END:
                    self.error = ChunkError(f"expected the end of a chunk, got {data[stop : stop + 2]!r}")
                    return b"".join(parts)
                position = stop + 2
            found = match(data, position)
            if found is None:
                self._in_chunk, self._held = False, data[position:]
                if b"\n" in self._held or len(self._held) > _LONGEST_LINE:
                    self.error = ChunkError(f"expected the size of a chunk, got {self._held[:40]!r}")
                return b"".join(parts)
            position, self._left = found.end(), int(found[1], 16)
            self._in_chunk = self._left > 0
            self._in_trailer = not self._in_chunk
        self._skip_trailer(data[position:])
        return b"".join(parts)

    def _skip_trailer(self, data: bytes) -> None:
        end = 2 if data.startswith(_END) else data.find(_END * 2) + 4
        if end < 4 and not data.startswith(_END):
            self._held = data
            if len(data) > _LONGEST_TRAILER:
                self.error = ChunkError("expected the end of a trailer")
        elif end < len(data):
            self.error = ChunkError(f"expected nothing after the body, got {data[end : end + 40]!r}")
        else:
            self.ended = True
