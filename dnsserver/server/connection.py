"""One TCP connection: octets in, replies out, and what it waits for. No task of its own, no waiting (RFC 7766).

Promises: replies go out as soon as they are known, in any order; what a client makes this server hold is bounded, by
not reading on. `tcp` calls `read` and `write` when the socket is ready, and asks `wants` and `deadline` afterwards.
"""

import contextlib
import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

import msgspec

from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.guard import Guard
from dnsserver.server.respond import Responder
from dnsserver.server.room import LARGEST, Room

# One read brings at most some 200 questions, which is a few milliseconds of work: then it is another client's turn.
_READ = 4096
_NEVER = float("inf")
_EXPECTED = 1024  # octets that an answer under way counts for at least


class TcpLimits(msgspec.Struct, frozen=True):
    """What one client may take: times in seconds, `backlog` in octets of replies it does not read.

    `connections` and `buffers`, in octets, are what all of them may take together.
    """

    connections: int = 1024
    buffers: int = 16 * 1024 * 1024
    idle: float = 10.0
    partial: float = 3.0
    write: float = 5.0
    backlog: int = 256 * 1024
    in_flight: int = 256


class Connection:
    """One client's connection. `events` is for whoever watches the socket to note what it is watched for."""

    stream = True
    waited = 0.0
    __slots__ = (
        "_changed",
        "_clock",
        "_countdown",
        "_ended",
        "_expected",
        "_guard",
        "_heard",
        "_held",
        "_in",
        "_is_accounted",
        "_limits",
        "_number",
        "_out",
        "_owed",
        "_partial_since",
        "_responder",
        "_room",
        "_waiting",
        "_write_by",
        "events",
        "is_gone",
        "is_new",
        "peer",
        "sock",
        "table",
    )

    def __init__(
        self,
        sock: socket.socket,
        host: bytes,
        responder: Responder,
        table: ReplyTable,
        limits: TcpLimits,
        changed: Callable[["Connection"], None],
        room: Room,
        number: int = 0,
    ) -> None:
        """Take over a non-blocking socket; `changed` hears of an answer that came from outside.

        `room` is what it shares with all others, `number` the client's port.
        """
        self.sock = sock
        self.table = table
        self.events = 0
        self.is_gone = False
        self.is_new = True
        self.peer = host
        self._responder = responder
        self._countdown = responder.streams
        self._guard = responder.guard
        self._clock = responder.clock
        self._limits = limits
        self._changed = changed
        self._room = room
        self._number = number
        self._is_accounted = False  # whether the room knows of anything that it holds or expects
        self._expected = LARGEST  # octets of an answer that is under way; the last ones tell
        self._in = b""
        self._out = bytearray()
        self._owed = 0  # octets at the front of `_out` that have to be gone by `_write_by`
        self._write_by = _NEVER
        self._partial_since = _NEVER
        self._heard = self._clock()
        self._waiting = 0
        self._held = False  # `_in` begins with a whole message, for which there was no room yet
        self._ended = False

    def use(self, limits: TcpLimits, guard: Guard | None) -> None:
        """Go by these limits and this guard from now on."""
        self._limits = limits
        self._guard = guard

    # ---- for whoever watches the socket

    def wants(self) -> int:
        """Return what the socket is to be watched for, 0 for nothing."""
        if self._held:  # a socket that can be written is the way to be called again, in the place of a reader
            return EVENT_WRITE if self._out or self._has_room() else 0
        reads = 0 if self._ended or not self._has_room() else EVENT_READ
        return reads | EVENT_WRITE if self._out else reads

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do but to close it."""
        return self.is_gone or (self._ended and not (self._waiting or self._out or self._held))

    @property
    def is_idle(self) -> bool:
        """Whether it can be closed without loss: nothing asked, nothing half asked, nothing to send."""
        return not (self._waiting or self._out or self._in)

    @property
    def is_half_asked(self) -> bool:
        """Whether nothing would be lost with it but a part of a question."""
        return not (self._waiting or self._out or self._held)

    @property
    def is_pressed(self) -> bool:
        """Whether its deadline is another one than that of silence."""
        return bool(self._out or self._in)

    @property
    def is_settled(self) -> bool:
        """Whether it waits for nothing but the next question."""
        return not (self._waiting or self._out or self._in or self._ended or self.is_gone)

    def deadline(self) -> float:
        """Return when it is to be closed if nothing changes."""
        if self._out or (self._held and not self._waiting):
            return self._write_by
        if self._in and not self._held and (not self._waiting or self._has_room()):
            return self._partial_since + self._limits.partial * self._room.patience
        if self._held or self._waiting:  # it waits for us; nothing is read while there is no room
            return _NEVER
        return self._heard + self.idle_timeout

    @property
    def idle_timeout(self) -> float:
        """How many seconds it may be silent from now on: less as places get scarce."""
        return self._limits.idle * self._room.patience

    def has_come(self) -> bool:
        """Tell whether something has come that was not read, as while this process stood still."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def read(self, now: float) -> int:
        """Read what has come, and answer it; return how many replies there were at once."""
        try:
            data = self.sock.recv(_READ)
        except BlockingIOError:
            return 0
        except OSError:
            self.is_gone = True
            return 0
        if not data:  # half-closed, or gone: only a write would tell (RFC 7766 section 6.2.4)
            self._ended = True
            self._in = b""
            return 0
        self._heard = now
        self.is_new = False
        if self._in:
            self._in += data
        else:
            self._in = data
            self._partial_since = now
        answered = self._answer(now)
        if self._is_accounted or self._waiting or self._in or self._out:
            self._account()
        return answered

    def write(self, now: float) -> int:
        """Send what is in line, and answer what had no room before; return how many replies that were."""
        answered = 0
        if self._out:
            try:
                sent = self.sock.send(self._out)
            except BlockingIOError:
                return 0
            except OSError:
                self.is_gone = True
                return 0
            if self._in and not self._has_room():
                self._partial_since = now  # nothing more of a message was read until now
            del self._out[:sent]
            self._owed -= sent
            if self._owed <= 0:  # what was there at the last deadline is gone; the rest has as long
                self._owed = min(len(self._out), self._limits.backlog)
                self._write_by = now + self._limits.write
            self._heard = now
        if self._held and self._has_room():
            self._held = False
            self._partial_since = now
            answered = self._answer(now)
        self._account()
        return answered

    def close(self) -> None:
        """Close it; answers that are under way find nobody."""
        self.is_gone = True
        self._in = b""
        self._out = bytearray()
        with contextlib.suppress(OSError):
            self.sock.close()

    def give_way(self) -> None:
        """End, for others' sake."""
        self.is_gone = True
        self._changed(self)

    # ---- for the responder

    def begin_deferred(self, index: int) -> Any:
        """Note that an answer is under way; all of them go to the same client."""
        del index
        self._waiting += 1
        self._account()
        return self.peer

    def peer_address(self, index: int) -> bytes:
        """Return the client's address, packed."""
        del index
        return self.peer

    def sender(self, index: int) -> Any:
        """Return the client that asks, without marking its answer as under way."""
        del index
        return self.peer

    def endpoint(self, sender: Any) -> tuple[bytes, int]:
        """Return the client's address, packed, and its port number."""
        return sender, self._number

    def asker(self, client: Any, identifier: bytes) -> tuple[bytes, None]:
        """Return the client's address; each question of a connection is owed an answer."""
        del client, identifier
        return self.peer, None

    def send(self, wire: bytes, client: Any) -> None:
        """Send an answer that had to wait."""
        del client
        now = self._clock()
        if self._in and not self._has_room():
            self._partial_since = now
        self._waiting -= 1
        if self.is_gone:
            return
        self._heard = now
        self._expected = max(len(wire), self._expected // 2, _EXPECTED)
        self._put(len(wire).to_bytes(2, "big") + wire, now)
        if self._held:
            self._hold(now)
        self._account()
        self._changed(self)

    # ----

    def _has_room(self) -> bool:
        """Tell whether one more question may be answered; questions under way count as if their answers were here."""
        limits, waiting, expected = self._limits, self._waiting, self._expected
        if waiting >= limits.in_flight or len(self._out) > limits.backlog:
            return False
        if not waiting or len(self._out) + (waiting + 1) * expected <= limits.backlog:
            return True
        return expected == LARGEST and self._room.may_expect(expected)

    def _account(self) -> None:
        """Report to the room how many octets this connection holds and expects."""
        held, expected = len(self._in), self._waiting * self._expected
        if self._out:
            held += self._out.__alloc__()
        self._is_accounted = held > 0 or expected > 0
        self._room.account(self, held, expected)

    def _answer(self, now: float) -> int:
        """Answer the complete messages in the buffer; replies known now go out in one write. Return their number.

        The code that sends a kept reply is written out here, as it is for UDP, instead of called.
        """
        get = self.table.replies.get
        guard = self._guard
        data = self._in
        end = len(data)
        position = 0
        parts: list[bytes] = []  # two for each reply
        room = self._limits.backlog - len(self._out)
        asked = 0
        while end - position >= 2:
            start = position + 2
            stop = start + (data[position] << 8 | data[position + 1])
            if stop > end:
                break
            if room < 0 or (self._waiting and not self._has_room()):
                self._hold(now)
                break
            if stop == start:  # no message is empty: this is not DNS
                self._put(b"".join(parts), now)
                self.is_gone = True
                return len(parts) // 2
            position = stop
            asked += 1
            if guard is not None:
                try:
                    reason = guard.admission_denial(self.peer, now, stream=True)
                except Exception as error:
                    self._responder.faults.took("client-limits", error)
                    reason = None
                if reason is not None:
                    message = self._responder.turn_away(data[start:stop], self, 0, reason)
                    if message is not None:
                        parts += (len(message).to_bytes(2, "big"), message)
                        room -= len(message)
                    continue
            reply, wire = get(data[start + 2 : stop]), None
            try:
                if reply is not None and (wire := reply.wire if reply.due > now else reply.renew(now)) is not None:
                    reply.hits += 1
            except Exception as error:
                self._responder.forget(data[start + 2 : stop], self, error)
            if wire is not None:
                parts += ((len(wire) + 2).to_bytes(2, "big") + data[start : start + 2], wire)
                room -= len(wire)
            else:
                message = self._responder.miss(data[start:stop], self, 0)
                if message is not None:
                    parts += (len(message).to_bytes(2, "big"), message)
                    room -= len(message)
        if position:
            self._in = data[position:]
            self._partial_since = now  # what is left began with this read
            countdown = self._countdown
            countdown.left -= asked
            if countdown.left <= 0:
                countdown.take(asked, lambda index: (self.peer, _message(data, parts, index)))
        if parts:
            self._put(b"".join(parts), now)
        return len(parts) // 2

    def _hold(self, now: float) -> None:
        """Answer further questions when the socket is writable again: a client that does not read has to wait."""
        self._held = True
        if not self._out:
            self._write_by = now + self._limits.write

    def _put(self, data: bytes, now: float) -> None:
        """Send as much as the kernel takes, unless octets wait already; queue the rest."""
        sent = 0
        if not self._out:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.is_gone = True
                return
            if sent == len(data):
                return
            self._owed = len(data) - sent
            self._write_by = now + self._limits.write
        self._out += memoryview(data)[sent:]


def _message(data: bytes, parts: list[bytes], index: int) -> bytes:
    """Return the reply to message `index` of those that were read if it goes out now, and otherwise the message."""
    position = 0
    for _ in range(index):
        position += 2 + (data[position] << 8 | data[position + 1])
    message = data[position + 2 : position + 2 + (data[position] << 8 | data[position + 1])]
    replies = (head[2:] + wire for head, wire in zip(parts[::2], parts[1::2], strict=True))
    return next((reply[: len(message)] for reply in replies if reply[:2] == message[:2]), message)
