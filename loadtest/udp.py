"""Clients over UDP, each with one connected socket: many datagrams in a call if the kernel can do that, else one."""

import contextlib
import socket
import struct
import sys
from array import array
from collections.abc import Sequence

from loadtest.clients import Client, clock
from loadtest.deck import Deck
from loadtest.match import HEADER, QR, take
from loadtest.mmsg import BATCH, Calls, Inbox, Outbox, available, stamp_arrivals
from loadtest.outstanding import Outstanding
from loadtest.tally import Tally

_SO_MEMINFO = 55  # asm-generic/socket.h
_MEMINFO_DROPS = 8
_RECEIVE_BUFFER = 4 << 20
_ENOUGH = 8  # the fewest datagrams of a call that show how fast they are sent


def connect(
    address: tuple[str, int], deck: Deck, windows: Sequence[int], *, batches: bool | None = None
) -> list[Client]:
    """Return a client of the server at that address for each window, the questions it may have outstanding.

    `batches` tells whether to use `sendmmsg` and `recvmmsg`; None means wherever they exist. Raises OSError.
    """
    if available() if batches is None else batches:
        calls, outbox, inbox = Calls(), Outbox(deck), Inbox(deck.reply_size)
        return [BatchClient(_socket(address), deck, calls, outbox, inbox, window) for window in windows]
    return [PlainClient(_socket(address), deck, window) for window in windows]


def _socket(address: tuple[str, int]) -> socket.socket:
    family, kind, protocol, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.connect(resolved)
    return sock


class BatchClient:
    """A client that uses `sendmmsg` and `recvmmsg`. This process takes no step of its own for each question that it
    sends, and one turn of the loop in `_take` for each reply.
    """

    __slots__ = ("_calls", "_deck", "_fileno", "_inbox", "_outbox", "_sock", "_step", "outstanding")

    def __init__(
        self, sock: socket.socket, deck: Deck, calls: Calls, outbox: Outbox, inbox: Inbox, window: int
    ) -> None:
        stamp_arrivals(sock)
        self.outstanding = Outstanding(window)
        self._sock = sock
        self._fileno = sock.fileno()
        self._deck = deck
        self._calls = calls
        self._outbox = outbox
        self._inbox = inbox
        self._step = sys.maxsize  # nanoseconds from one datagram of a call to the next, the fewest seen

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._fileno

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:
        """Send questions; see Client."""
        first, room = self.outstanding.reserve(min(count, BATCH))
        if not room:
            return 0
        headers = self._outbox.number(position, first, room)
        start = clock()
        try:
            sent = self._calls.send(self._fileno, headers, room)
        except BlockingIOError:
            return 0
        except OSError:
            tally.refused += 1
            return 0
        since = self._spread(start, clock(), sent) if due is None else _from(due, interval, sent)
        self.outstanding.begin(first, position, since)
        return sent

    def _spread(self, start: int, end: int, count: int) -> "array[int]":
        """Return when each datagram of a call was sent. On loopback, a send includes the kernel's work for the
        receiver, and the last of 64 datagrams is sent 0.1 ms after the first.

        They are assumed to follow each other as closely as in the fastest call so far, as nobody knows where a slower
        call was held up. This makes some latencies too long, but none too short.
        """
        if count >= _ENOUGH:
            self._step = max(1, min(self._step, (end - start) // count))
        step = self._step if count * self._step < end - start else 1
        return _from(start, step, count)

    def receive(self, tally: Tally) -> None:
        """Read all replies that have arrived; see Client."""
        while True:
            try:
                count = self._calls.receive(self._fileno, self._inbox.address, BATCH)
            except BlockingIOError:
                return
            except OSError:
                tally.refused += 1
                return
            self._take(count, tally)
            if count < BATCH:
                return

    def _take(self, count: int, tally: Tally) -> None:
        outstanding, inbox, flags = self.outstanding, self._inbox, tally.flags
        state, since, asked = outstanding.state, outstanding.since, outstanding.asked
        octets, halves, lengths, times = inbox.octets, inbox.halves, inbox.lengths, inbox.times
        questions, stride, size = self._deck.questions, inbox.stride, 0
        latencies = []
        arrival = 0
        for number in range(count):
            at = number * stride
            half = at >> 1
            ident = halves[half]
            length = lengths[number << 4]
            if state[ident] == 1:
                word = halves[half + 1]
                if word & QR and octets.startswith(questions[asked[ident]], at + HEADER, at + length):
                    state[ident] = 0
                    flags[word] += 1
                    size += length
                    arrival = times[number << 2] * 1_000_000_000 + times[(number << 2) + 1]
                    latencies.append(arrival - since[ident])
                    continue
            stamp = times[number << 2] * 1_000_000_000 + times[(number << 2) + 1]
            take(octets[at : at + min(length, stride)], length, stamp, self._deck, outstanding, tally)
        answered = len(latencies)
        if answered:
            outstanding.count -= answered
            tally.octets += size
            tally.last_reply = arrival
            tally.latency.record_all(latencies)

    def close(self, tally: Tally) -> None:
        """Close the socket; see Client."""
        with contextlib.suppress(OSError):
            information = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
            tally.dropped_here += struct.unpack_from("=I", information, 4 * _MEMINFO_DROPS)[0]
        self._sock.close()


class PlainClient:
    """A client that uses `send` and `recv_into`, for other systems; a reply arrives when this process reads it."""

    __slots__ = ("_buffer", "_deck", "_sock", "outstanding")

    def __init__(self, sock: socket.socket, deck: Deck, window: int) -> None:
        self.outstanding = Outstanding(window)
        self._sock = sock
        self._deck = deck
        self._buffer = bytearray(65536)

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._sock.fileno()

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:
        """Send questions; see Client."""
        first, room = self.outstanding.reserve(min(count, BATCH))
        sent = 0
        times = array("q")
        while sent < room:
            times.append(clock())
            try:
                self._sock.send(struct.pack("=H", first + sent) + self._deck.tails[position + sent])
            except BlockingIOError:
                break
            except OSError:
                tally.refused += 1
                break
            sent += 1
        if sent:
            self.outstanding.begin(first, position, times[:sent] if due is None else _from(due, interval, sent))
        return sent

    def receive(self, tally: Tally) -> None:
        """Read the replies that have arrived, at most BATCH of them; see Client."""
        buffer = self._buffer
        for _ in range(BATCH):
            try:
                length = self._sock.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                tally.refused += 1
                return
            take(buffer[:length], length, clock(), self._deck, self.outstanding, tally)

    def close(self, tally: Tally) -> None:  # noqa: ARG002 - the batch client needs it
        """Close the socket; see Client. How many replies the kernel dropped is not known here."""
        self._sock.close()


def _from(due: int, interval: int, count: int) -> "array[int]":
    return array("q", range(due, due + count * interval, interval))
