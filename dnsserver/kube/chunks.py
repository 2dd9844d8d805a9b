"""A chunked HTTP body with its small chunks made one, for a parser that works chunk by chunk.

An API server writes most events of a watch as a chunk of their own, and h11 takes 20 µs for a chunk, however small: for
a streaming list of 25,000 objects half of all processor time (`python -m tests.kube.read_lists`). Here a chunk costs
under 1 µs, and h11 gets one or two a read. It stays the judge: only chunks that are complete, and written in the
plainest form RFC 9112 section 7.1 allows, are merged; everything else goes through octet for octet, errors included.
"""

import re
from enum import Enum, auto

# No extension, no space, no more digits than any chunk has: others are h11's to judge.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,8}\r?")
_END = b"\r\n"
# The one kind of head before a body that is surely chunked (section 6.3; our requests are all GET); in the form that
# every server writes.
_CHUNKED = re.compile(rb"HTTP/1\.1 200 .*^transfer-encoding: ?chunked\r$", re.IGNORECASE | re.DOTALL | re.MULTILINE)
_BLANK_LINE = re.compile(rb"\n\r?\n")  # as h11 finds the end of a head
_LONGEST_HEAD = 65536


class _At(Enum):
    HEAD = auto()
    SIZE = auto()  # a chunk begins here
    DATA = auto()  # in a chunk that goes through as it is, or its end of line
    PASSING = auto()  # no more to merge in this response


class Merger:
    """Turns what one connection receives into the same HTTP messages in fewer chunks. No I/O.

    It holds back no more than an incomplete size line, 9 octets.
    """

    def __init__(self) -> None:
        self._at = _At.HEAD
        self._head = b""
        self._held = b""
        self._left = 0

    def sent(self) -> None:
        """A request was sent: what comes next is the head of its response."""
        self._at = _At.HEAD
        self._head = self._held = b""

    def received(self, data: bytes) -> bytes:
        """What the parser is to get for `data`; empty if that is held back."""
        match self._at:
            case _At.HEAD:
                return self._through_head(data)
            case _At.DATA if len(data) < self._left:
                self._left -= len(data)
                return data
            case _At.PASSING:
                return data
        return self._merged(data)

    def _through_head(self, data: bytes) -> bytes:
        before = len(self._head)
        self._head += data
        end = _BLANK_LINE.search(self._head)
        if end is None:
            if len(self._head) > _LONGEST_HEAD:
                self._at = _At.PASSING
            return data
        self._at = _At.SIZE if _CHUNKED.match(self._head, 0, end.end()) else _At.PASSING
        self._head = b""
        body = end.end() - before
        return data[:body] + self.received(data[body:])

    def _merged(self, data: bytes) -> bytes:
        position = 0
        if self._at is _At.DATA:
            position = self._left
        elif self._held:
            data, self._held = self._held + data, b""
        through = data[:position]  # the end of a chunk whose begin went through
        self._at = _At.SIZE
        match, chunks = _SIZE.match, []
        while found := match(data, position):
            start = found.end()
            stop = start + int(found[1], 16)
            if stop == start or data[stop : stop + 2] != _END:
                break  # the last chunk, an incomplete one, or one without its end
            chunks.append(data[start:stop])
            position = stop + 2
        rest = data[position:]
        if found is not None and stop > start and stop + 2 > len(data):
            self._at = _At.DATA
            self._left = stop + 2 - len(data)
        elif found is None and _SIZE_BEGUN.fullmatch(rest):
            self._held, rest = rest, b""
        else:
            self._at = _At.PASSING
        if not chunks:
            return through + rest
        merged = b"".join(chunks)
        return b"%b%x\r\n%b\r\n%b" % (through, len(merged), merged, rest)
