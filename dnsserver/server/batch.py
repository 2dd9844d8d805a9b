"""A UDP socket that answers what the reply cache knows in batches: one system call in, one out, no object a packet.

`BatchPort` drives recvmmsg and sendmmsg (Linux) through ctypes: a reply is written over its query, behind the ID, and
goes out with the address and control data that came in, so it leaves from the address that was asked (IP_PKTINFO). The
only Python object made for a known question is the bytes it is looked up by. `unbatched` does the same where there are
no such calls, one packet at a time. Both drain the socket in bounded steps, so that a flood cannot keep the event loop.
"""

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Hashable
from typing import Any

from dnsserver.clients import LINK_LOCAL
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.guard import Guard
from dnsserver.server.mmsg import CONTROL_AT, HEAD, PEER, SLOT, Messages, Outbox, packet_buffer
from dnsserver.server.udp_port import BATCH, PACKET, Miss, PortStatistics, Screen, ask_for_destination, is_wildcard
from dnsserver.zone.record import Reason

_MSG_TRUNC = 0x20
_LINK_LOCAL = int.from_bytes(LINK_LOCAL, sys.byteorder)


class BatchPort:
    """A UDP socket read and written in batches of up to 64 packets."""

    stream = False
    waited = 0.0

    def __init__(self, sock: socket.socket, table: ReplyTable, screen: Screen) -> None:
        """Prepare the buffers once; `sock` is bound and non-blocking."""
        self.table = table
        self._guard = screen.guard
        self._screen = screen
        # The packets of this batch whose clients are told that they are turned away: the length of each, and why.
        self._turned_away: dict[int, tuple[int, Reason]] = {}
        self._sock = sock
        self._fd = sock.fileno()
        # PyDLL keeps the interpreter's lock: both calls return at once, and letting go of it would cost more.
        libc = ctypes.PyDLL(None)
        self._recvmmsg = libc.recvmmsg
        self._sendmmsg = libc.sendmmsg
        self._recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
        self._sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]

        # A slice of an array of c_char is a bytes object, made in one step.
        self._packets: Any = packet_buffer()
        self._peers: Any = (ctypes.c_char * (BATCH * PEER))()
        self._wildcard = is_wildcard(sock)
        if self._wildcard:
            ask_for_destination(sock)
        four = sock.family == socket.AF_INET
        sizes = (16 if four else 28, (32 if four else 40) if self._wildcard else 0)
        self._host_at, self._host_size = (4, 4) if four else (8, 16)
        self._peer_size = CONTROL_AT + sizes[1] if self._wildcard else sizes[0]
        self._in = Messages(self._packets, self._peers, *sizes)
        self._out = Messages(self._packets, self._peers, *sizes)
        self._sources = memoryview(self._peers).cast("B").cast("H")[1 :: PEER // 2]  # port 0: nobody listens there
        self._in_words = memoryview(self._in.heads).cast("B").cast("Q")
        self._lengths = memoryview(self._in.heads).cast("B").cast("I")[HEAD // 4 - 2 :: HEAD // 4]
        self._octets = memoryview(self._packets).cast("B")
        index_at = (CONTROL_AT + 16 + (0 if four else 16)) // 4
        self._interfaces = memoryview(self._peers).cast("B").cast("I")[index_at :: PEER // 4]
        # The first two octets of the addresses that were asked.
        self._asked = None if four else memoryview(self._peers).cast("B").cast("H")[(CONTROL_AT + 16) // 2 :: PEER // 2]
        self._no_interfaces = memoryview(bytes(4 * BATCH)).cast("I")
        self._outbox = Outbox(self._send, *sizes)
        self.send = self._outbox.add  # a reply that comes late; it goes out with the others at the next `flush`
        self.flush = self._outbox.flush
        self._received = 0
        self.unanswered = 0
        self._unsent = 0

    def serve_batch(self, miss: Miss, now: float) -> int:
        """Receive one batch, send its replies, and return how many packets came; 0 when the socket is empty."""
        count: int = self._recvmmsg(self._fd, self._in.at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            self._take_error()
            return 0
        self._received += count
        self.unanswered = 0
        if self._wildcard:
            self._clear_interfaces(count)
        if self._guard is not None:
            self._turn_away(self._guard, count, now)
        get = self.table.replies.get
        packets = self._packets
        lengths, octets, sizes = self._lengths, self._octets, self._out.sizes
        out_at = self._out.at
        start = 0  # of the run of packets with a reply
        offset = 2 - SLOT
        for i in range(count):
            offset += SLOT
            reply = get(packets[offset : offset - 2 + lengths[i]])
            # `Reply.send`, written out: called, it costs 0.04 us more of a hit's 5.4 (`timeit` of both, Python 3.11).
            try:
                if reply is not None and (wire := reply.wire if reply.due > now else reply.renew(now)) is not None:
                    reply.hits += 1
                    size = len(wire)
                    octets[offset : offset + size] = wire
                    sizes[i] = size + 2
                    continue
            except Exception as error:
                self._screen.forget(packets[offset : offset - 2 + lengths[i]], self, error)
            made = self._miss(miss, i, offset - 2)
            if made is not None:
                sizes[i] = size = len(made)
                octets[offset - 2 : offset - 2 + size] = made
                continue
            if start < i:
                self._send(out_at + start * HEAD, i - start)
            start = i + 1
            self.unanswered += 1
        if start < count:
            self._send(out_at + start * HEAD, count - start)
        return count

    def take(self) -> list[tuple[bytes, Any, bytes]]:
        """Receive one batch and leave it to the caller: packet, client and host of each."""
        count: int = self._recvmmsg(self._fd, self._in.at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            self._take_error()
            return []
        self._received += count
        if self._wildcard:
            self._clear_interfaces(count)
        packets = [
            b"" if self._is_useless(i) else self._packets[i * SLOT : i * SLOT + self._lengths[i]] for i in range(count)
        ]
        return [(packet, self.begin_deferred(i), self.peer_address(i)) for i, packet in enumerate(packets)]

    def _clear_interfaces(self, count: int) -> None:
        """Let the routing table find the way out of replies, which the interface of the query would override.

        A reply from a link-local address needs its interface (RFC 4007 section 6).
        """
        asked = self._asked
        if asked is None or _LINK_LOCAL not in asked[:count].tolist():
            self._interfaces[:count] = self._no_interfaces[:count]
            return
        for i in range(count):
            if asked[i] != _LINK_LOCAL:
                self._interfaces[i] = 0

    def _is_useless(self, i: int) -> bool:
        """Tell whether a packet gets no reply: it was cut, or nobody listens where it comes from."""
        # What is shorter than the room was not cut. `_miss` has it written out, as each question comes by there.
        return not self._sources[i] or (self._lengths[i] >= PACKET and self._in_words[i * 8 + 6] & _MSG_TRUNC > 0)

    def _turn_away(self, guard: Guard, count: int, now: float) -> None:
        """Empty the packets that get no answer.

        No cache has an empty packet, so `_miss` gets it: the loop above is the same with and without a guard.
        """
        self._turned_away.clear()
        for i in range(count):
            try:
                reason = guard.admission_denial(self.peer_address(i), now)
            except Exception as error:
                self._screen.faults.took("client-limits", error)
                continue
            if reason is not None:
                if guard.has_reply(reason, stream=False):
                    self._turned_away[i] = self._lengths[i], reason
                else:
                    at = i * SLOT
                    self._screen.observer.dropped(self._packets[at : at + self._lengths[i]], self, i, reason)
                self._lengths[i] = 0

    def _miss(self, miss: Miss, i: int, offset: int) -> bytes | None:
        """Return the reply that is made for one packet. After a bug this packet has no reply, and the batch goes on."""
        length = self._lengths[i]
        # Who is turned away has nothing left of a packet, cut or not; what is shorter than the room was not cut.
        if not self._sources[i] or (not 0 < length < PACKET and self._in_words[i * 8 + 6] & _MSG_TRUNC):
            return None
        try:
            if length:
                return miss(self._packets[offset : offset + length], self, i)
            if i not in self._turned_away:
                return None
            length, reason = self._turned_away[i]
            return self._screen.turn_away(self._packets[offset : offset + length], self, i, reason)
        except Exception as error:
            self._screen.faults.took("udp", error)
            return None

    def _send(self, at: int, count: int) -> None:
        """Send the messages whose heads begin at an address."""
        if self._sock.fileno() < 0:  # closed: by now the number may be another's
            self._unsent += count
            return
        while count:
            sent: int = self._sendmmsg(self._fd, at, count, socket.MSG_DONTWAIT)
            if sent <= 0:  # the first one could not be sent (buffer full, no route): it is lost, the others go on
                self._unsent += 1
                sent = 1
            at += sent * HEAD
            count -= sent

    def _take_error(self) -> None:
        """Clear a pending error of the socket (from an ICMP message), which would otherwise wake us for ever."""
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error not in {0, errno.EAGAIN, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE}:
            raise OSError(error, os.strerror(error))

    def begin_deferred(self, index: int) -> Any:
        """Return the address and control data of packet `index`, copied."""
        at = index * PEER
        return self._peers[at : at + self._peer_size]

    sender = begin_deferred

    def endpoint(self, sender: bytes) -> tuple[bytes, int]:
        """Return the packed address and the port number of a sender."""
        return sender[self._host_at : self._host_at + self._host_size], int.from_bytes(sender[2:4], "big")

    def peer_address(self, index: int) -> bytes:
        """Return the address, packed, of the sender of packet `index`."""
        at = index * PEER + self._host_at
        host: bytes = self._peers[at : at + self._host_size]
        return host

    def senders(self, count: int) -> list[bytes]:
        """Return the addresses, packed, of who sent the last packets; what stands behind them is of batches before."""
        size, peers = self._host_size, self._peers
        return [peers[at : at + size] for at in range(self._host_at, count * PEER, PEER)]

    def sampled(self, index: int) -> tuple[bytes, bytes]:
        """Return the sender's address, and what is in the buffer: a reply is written over its packet."""
        length = self._lengths[index] or self._turned_away.get(index, (0, None))[0]
        return self.peer_address(index), self._packets[index * SLOT : index * SLOT + length]

    def asker(self, client: bytes, identifier: bytes) -> tuple[bytes, Hashable]:
        """Return the address, and with the ID all octets of a sender: port, zone, and which address it asked."""
        return client[self._host_at : self._host_at + self._host_size], (client, identifier)

    def use_guard(self, guard: Guard | None) -> None:
        """Judge clients by this guard from now on."""
        self._guard = guard

    def statistics(self) -> PortStatistics:
        """Return the socket in numbers."""
        return PortStatistics(self._received, self._unsent)
