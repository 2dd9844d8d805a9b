"""Clients over TCP: one persistent connection each, with many questions in flight (RFC 7766, 6.2.1.1)."""

import socket
import struct
from array import array
from collections.abc import Sequence
from enum import Enum, auto

from loadtest.clients import Client, Poller, clock
from loadtest.deck import Deck
from loadtest.match import take
from loadtest.outstanding import Outstanding
from loadtest.tally import Tally

_PREFIX = 2
_BATCH = 64
_ROOM = 1 << 18
_CONNECT_SECONDS = 5.0
_RETRY = 100_000_000
_ID = struct.Struct("=H")


class _State(Enum):
    UP = auto()
    CONNECTING = auto()
    DOWN = auto()


def connect(address: tuple[str, int], deck: Deck, windows: Sequence[int], poller: Poller) -> list[Client]:
    """Return a connected client for each window, the questions it may have outstanding. Raises OSError."""
    prefixes = [(len(tail) + 2).to_bytes(2) for tail in deck.tails]
    return [TcpClient(address, deck, prefixes, window, poller) for window in windows]


class TcpClient:
    """A client over one TCP connection. When the connection ends, its outstanding questions count as `closed`, and the
    client connects again; the poller then watches the new socket.
    """

    __slots__ = (
        "_backlog", "_deck", "_end", "_peer", "_poller", "_prefixes", "_received", "_retry", "_sock", "_state",
        "_view", "outstanding",
    )  # fmt: skip

    def __init__(
        self, address: tuple[str, int], deck: Deck, prefixes: list[bytes], window: int, poller: Poller
    ) -> None:
        self.outstanding = Outstanding(window)
        self._deck = deck
        self._prefixes = prefixes
        self._poller = poller
        self._backlog = b""  # octets for which the socket had no room yet
        self._received = bytearray(_ROOM)
        self._view = memoryview(self._received)
        self._end = 0  # of the octets that were received and not handled yet
        self._state = _State.UP
        self._retry = 0  # no connection is tried before that time
        self._sock = socket.create_connection(address, _CONNECT_SECONDS)
        self._peer = self._sock.getpeername()  # a name is resolved once: to resolve it anew may take long, or fail
        self._prepare()

    def _prepare(self) -> None:
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poller.add(self)

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._sock.fileno()

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:
        """Send questions; see Client. While some of them wait for room in the socket, no more are accepted."""
        if self._state is _State.DOWN and clock() >= self._retry:
            self._reconnect(tally)
        if self._backlog or self._state is not _State.UP:
            return 0
        first, room = self.outstanding.reserve(min(count, _BATCH))
        if not room:
            return 0
        tails, prefixes = self._deck.tails, self._prefixes
        parts: list[bytes] = []
        for number in range(room):
            parts += (prefixes[position + number], _ID.pack(first + number), tails[position + number])
        times = [clock()] * room if due is None else range(due, due + room * interval, interval)
        self.outstanding.begin(first, position, array("q", times))
        self._backlog = b"".join(parts)
        self._flush(tally)
        return room

    def _flush(self, tally: Tally) -> None:
        try:
            sent = self._sock.send(self._backlog)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(tally)
            return
        self._backlog = self._backlog[sent:]
        self._poller.watch_room(self, bool(self._backlog))

    def receive(self, tally: Tally) -> None:
        """Send what had no room before, and read replies; see Client."""
        if self._state is _State.CONNECTING:
            if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lose(tally)
            else:
                self._state = _State.UP
                self._poller.watch_room(self, False)
            return
        if self._backlog:
            self._flush(tally)
            if self._state is not _State.UP:
                return
        try:
            count = self._sock.recv_into(self._view[self._end :])
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._lose(tally)
            return
        self._end += count
        self._take_all(clock(), tally)

    def _take_all(self, arrival: int, tally: Tally) -> None:
        received, end = self._received, self._end
        at = 0
        while end - at >= _PREFIX:
            length = received[at] << 8 | received[at + 1]
            start, following = at + _PREFIX, at + _PREFIX + length
            if following > end:
                break
            take(received[start:following], length, arrival, self._deck, self.outstanding, tally)
            at = following
        received[: end - at] = received[at:end]
        self._end = end - at

    def _lose(self, tally: Tally) -> None:
        tally.closed += self.outstanding.give_up(clock() + 1)
        self._poller.remove(self)
        self._sock.close()
        self._backlog = b""
        self._end = 0
        self._state = _State.DOWN

    def _reconnect(self, tally: Tally) -> None:
        tally.reconnects += 1
        self._retry = clock() + _RETRY
        self._sock = socket.socket(self._sock.family, socket.SOCK_STREAM)
        self._prepare()
        self._state = _State.CONNECTING
        self._poller.watch_room(self, True)
        try:
            self._sock.connect(self._peer)
        except BlockingIOError:
            pass
        except OSError:
            self._lose(tally)

    def close(self, tally: Tally) -> None:  # noqa: ARG002 - the batch client needs it
        """Close the connection; see Client."""
        if self._state is not _State.DOWN:
            self._poller.remove(self)
            self._sock.close()
