"""A UDP socket that answers what the reply cache knows in batches: one system call in, one out, no object a packet.

`BatchPort` drives recvmmsg and sendmmsg (Linux) through ctypes: a reply is written over its query, behind the ID, and
goes out with the address and control data that came in, so it leaves from the address that was asked (IP_PKTINFO). The
only Python object made for a known question is the bytes it is looked up by. `UnbatchedPort` does the same with recvmsg
and sendmsg, one packet at a time. Both drain the socket in bounded steps, so that a flood cannot keep the event loop.
They are read beside each other, for whatever one promises, the other one must: so the file has over 400 lines.
"""

import ctypes
import errno
import mmap
import os
import socket
import sys
from collections.abc import Callable, Hashable
from typing import Any, Protocol

import msgspec

from dnsserver.faults import Faults
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.guard import Guard
from dnsserver.server.observer import Observer
from dnsserver.zone.record import Reason

BATCH = 64
_PACKET = 4096  # no query is longer, one that was cut by the kernel is dropped; nor is any reply (`udp.size`)
_SLOT = _PACKET + 64  # from one packet to the next: a power of two has them fight for the same lines of the cache
_PEER = 96  # octets kept of a sender: its address, then the control data that came with the packet
_CONTROL_AT = 32  # in a peer; sizeof(struct sockaddr_in6) is 28
_CONTROL = 64  # holds one in_pktinfo or in6_pktinfo with its header
_IOV = 16
_HEAD = 64  # sizeof(struct mmsghdr) on 64-bit Linux
_MSG_TRUNC = 0x20
_IP_PKTINFO = 8
_INTERNET = {socket.IPPROTO_IP, socket.IPPROTO_IPV6}

Miss = Callable[[bytes, "UdpPort", int], bytes | None]


class PortStatistics(msgspec.Struct, frozen=True):
    """A socket in numbers since the start; `unsent` counts replies that the kernel did not take."""

    received: int
    unsent: int


class UdpPort(Protocol):
    """What both kinds of UDP socket can do."""

    table: ReplyTable
    stream: bool
    waited: float
    unanswered: int  # packets of the last batch that have had no reply so far

    def serve_batch(self, miss: Miss, now: float) -> int:
        """Receive one batch, send its replies, and return how many packets came; 0 when the socket is empty."""

    def take(self) -> list[tuple[bytes, Any, bytes]]:
        """Receive one batch and leave it to the caller: packet, client and host of each."""

    def begin_deferred(self, index: int) -> Any:
        """Return what `send` needs to reach the sender of packet `index` of this batch, later."""

    def sender(self, index: int) -> Any:
        """Return the same as `begin_deferred`."""

    def endpoint(self, sender: Any) -> tuple[bytes, int]:
        """Return the packed address and the port number of a sender."""

    def peer_address(self, index: int) -> bytes:
        """Return the address, packed, of the sender of packet `index` of this batch."""

    def senders(self, count: int) -> list[bytes]:
        """Return the addresses, packed, of who sent the last `count` packets, which `serve_batch` has read at once."""

    def sampled(self, index: int) -> tuple[bytes, bytes]:
        """Return the packed address of the sender of packet `index` of the last batch, and the reply, or the packet.

        The reply is cut to the length of the packet.
        """

    def asker(self, client: Any, identifier: bytes) -> tuple[bytes, Hashable]:
        """Return the client's address, and what tells its questions apart.

        `client` is what `begin_deferred` has returned.
        """

    def send(self, wire: bytes, client: Any) -> None:
        """Send one reply, at the next `flush` at the latest."""

    def flush(self) -> None:
        """Send the replies that were held back to be sent together."""

    def use_guard(self, guard: Guard | None) -> None:
        """Judge who asks by this guard from now on."""

    def statistics(self) -> PortStatistics:
        """Return the socket in numbers."""


class Screen(Protocol):
    """Who may ask, and what becomes of a packet that is not simply answered."""

    guard: Guard | None
    faults: Faults
    observer: Observer

    def turn_away(self, packet: bytes, port: Any, index: int, reason: Reason) -> bytes | None:
        """Return the reply to packet `index` of a batch, of a client that the guard turns away."""

    def kept(self, key: bytes, port: Any, now: float) -> bytes | None:
        """Return the octets of the reply kept under `key`, less the ID, if there is one that can be sent."""

    def forget(self, key: bytes, port: Any, error: Exception) -> None:
        """Forget the reply kept under `key`, which cannot be sent."""


def make_port(sock: socket.socket, table: ReplyTable, screen: Screen) -> UdpPort:
    """Return the fastest port that this system has for a bound, non-blocking UDP socket."""
    if sys.platform == "linux" and sys.maxsize > 2**32 and sys.implementation.name == "cpython":
        return BatchPort(sock, table, screen)
    return UnbatchedPort(sock, table, screen)


def ask_for_destination(sock: socket.socket) -> None:
    """Have the kernel tell which address a packet was sent to, if the socket is bound to all of them."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif hasattr(socket, "IP_PKTINFO") or sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", _IP_PKTINFO), 1)


class BatchPort:
    """A UDP socket read and written in batches of up to 64 packets."""

    stream = False
    waited = 0.0

    def __init__(self, sock: socket.socket, table: ReplyTable, screen: Screen) -> None:
        """Prepare the buffers once; `sock` is bound and non-blocking."""
        self.table = table
        self._guard = screen.guard
        self._screen = screen
        self._turned_away: dict[int, tuple[int, Reason]] = {}  # of this batch, to be told so; their lengths
        self._sock = sock
        self._fd = sock.fileno()
        # PyDLL keeps the interpreter's lock: both calls return at once, and letting go of it would cost more.
        libc = ctypes.PyDLL(None)
        self._recvmmsg = libc.recvmmsg
        self._sendmmsg = libc.sendmmsg
        self._recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
        self._sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]

        # A slice of an array of c_char is a bytes object, made in one step.
        self._packets: Any = _packet_buffer()
        self._peers: Any = (ctypes.c_char * (BATCH * _PEER))()
        self._wildcard = _is_wildcard(sock)
        if self._wildcard:
            ask_for_destination(sock)
        four = sock.family == socket.AF_INET
        sizes = (16 if four else 28, (32 if four else 40) if self._wildcard else 0)
        self._host_at, self._host_size = (4, 4) if four else (8, 16)
        self._peer_size = _CONTROL_AT + sizes[1] if self._wildcard else sizes[0]
        self._in = _Messages(self._packets, self._peers, *sizes)
        self._out = _Messages(self._packets, self._peers, *sizes)
        self._in_words = memoryview(self._in.heads).cast("B").cast("Q")
        self._lengths = memoryview(self._in.heads).cast("B").cast("I")[_HEAD // 4 - 2 :: _HEAD // 4]
        self._octets = memoryview(self._packets).cast("B")
        # A reply's source address is the one that was asked; its way out is for the routing table to find, which the
        # interface that the query came by would override. One strided copy clears it in the whole batch.
        index_at = (_CONTROL_AT + 16 + (0 if four else 16)) // 4
        self._interfaces = memoryview(self._peers).cast("B").cast("I")[index_at :: _PEER // 4]
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
            self._interfaces[:count] = self._no_interfaces[:count]
        if self._guard is not None:
            self._turn_away(self._guard, count, now)
        get = self.table.replies.get
        packets = self._packets
        lengths, octets, sizes = self._lengths, self._octets, self._out.sizes
        out_at = self._out.at
        start = 0  # of the run of packets with a reply
        offset = 2 - _SLOT
        for i in range(count):
            offset += _SLOT
            reply = get(packets[offset : offset - 2 + lengths[i]])
            # `Reply.send`, written out: called, it costs 0.04 us more of a hit's 5.4 (`timeit` of both, Python 3.11).
            try:
                if reply is not None and (wire := reply.wire if reply.due > now else reply.renew(now)) is not None:
                    reply.hits += 1
                elif (wire := self._miss(miss, i, offset - 2)) is None:
                    if start < i:
                        self._send(out_at + start * _HEAD, i - start)
                    start = i + 1
                    self.unanswered += 1
                    continue
            except Exception as error:
                if (wire := self._answer_afresh(miss, i, offset - 2, error)) is None:
                    if start < i:
                        self._send(out_at + start * _HEAD, i - start)
                    start = i + 1
                    self.unanswered += 1
                    continue
            size = len(wire)
            octets[offset : offset + size] = wire
            sizes[i] = size + 2
        if start < count:
            self._send(out_at + start * _HEAD, count - start)
        return count

    def take(self) -> list[tuple[bytes, Any, bytes]]:
        """Receive one batch and leave it to the caller: packet, client and host of each."""
        count: int = self._recvmmsg(self._fd, self._in.at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            self._take_error()
            return []
        self._received += count
        if self._wildcard:
            self._interfaces[:count] = self._no_interfaces[:count]
        starts = range(0, count * _SLOT, _SLOT)
        packets = [self._packets[at : at + length] for at, length in zip(starts, self._lengths, strict=False)]
        return [(packet, self.begin_deferred(i), self.peer_address(i)) for i, packet in enumerate(packets)]

    def _turn_away(self, guard: Guard, count: int, now: float) -> None:
        """Leave nothing of the packets that are not to be answered.

        An empty packet is in no cache and falls to `_miss`, so the loop above is the same with and without a guard.
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
                    at = i * _SLOT
                    self._screen.observer.dropped(self._packets[at : at + self._lengths[i]], self, i, reason)
                self._lengths[i] = 0

    def _answer_afresh(self, miss: Miss, i: int, offset: int, error: Exception) -> bytes | None:
        """Have the reply to one packet made whose kept reply cannot be sent; the others of the batch go on."""
        self._screen.forget(self._packets[offset + 2 : offset + self._lengths[i]], self, error)
        try:
            return self._miss(miss, i, offset)
        except Exception as again:
            self._screen.faults.took("udp", again)
            return None

    def _miss(self, miss: Miss, i: int, offset: int) -> bytes | None:
        """Have the reply to one packet made; returns it less its ID, which is in the buffer already."""
        if self._in_words[i * 8 + 6] & _MSG_TRUNC:
            return None
        if self._peers[i * _PEER + 2 : i * _PEER + 4] == b"\0\0":  # port 0: nobody can be listening there
            return None
        length = self._lengths[i]
        if length:
            reply = miss(self._packets[offset : offset + length], self, i)
        elif i in self._turned_away:
            length, reason = self._turned_away[i]
            reply = self._screen.turn_away(self._packets[offset : offset + length], self, i, reason)
        else:
            return None
        return None if reply is None else reply[2:]

    def _send(self, at: int, count: int) -> None:
        """Send the messages whose heads begin at an address."""
        while count:
            sent: int = self._sendmmsg(self._fd, at, count, socket.MSG_DONTWAIT)
            if sent <= 0:  # the first one could not be sent (buffer full, no route): it is lost, the others go on
                self._unsent += 1
                sent = 1
            at += sent * _HEAD
            count -= sent

    def _take_error(self) -> None:
        """Clear a pending socket error (an ICMP that came back), which would wake us for ever."""
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error not in {0, errno.EAGAIN, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE}:
            raise OSError(error, os.strerror(error))

    def begin_deferred(self, index: int) -> Any:
        """Return the address and control data of packet `index`, copied."""
        at = index * _PEER
        return self._peers[at : at + self._peer_size]

    sender = begin_deferred

    def endpoint(self, sender: bytes) -> tuple[bytes, int]:
        """Return the packed address and the port number of a sender."""
        return sender[self._host_at : self._host_at + self._host_size], int.from_bytes(sender[2:4], "big")

    def peer_address(self, index: int) -> bytes:
        """Return the address, packed, of the sender of packet `index`."""
        at = index * _PEER + self._host_at
        host: bytes = self._peers[at : at + self._host_size]
        return host

    def senders(self, count: int) -> list[bytes]:
        """Return the addresses, packed, of who sent the last packets; what stands behind them is of batches before."""
        size, peers = self._host_size, self._peers
        return [peers[at : at + size] for at in range(self._host_at, count * _PEER, _PEER)]

    def sampled(self, index: int) -> tuple[bytes, bytes]:
        """Return the sender's address, and what is in the buffer: a reply is written over its packet."""
        length = self._lengths[index] or self._turned_away.get(index, (0, None))[0]
        return self.peer_address(index), self._packets[index * _SLOT : index * _SLOT + length]

    def asker(self, client: bytes, identifier: bytes) -> tuple[bytes, Hashable]:
        """Return the address, and with the ID all octets of a sender: port, zone, and which address it asked."""
        return client[self._host_at : self._host_at + self._host_size], (client, identifier)

    def use_guard(self, guard: Guard | None) -> None:
        """Judge who asks by this guard from now on."""
        self._guard = guard

    def statistics(self) -> PortStatistics:
        """Return the socket in numbers."""
        return PortStatistics(self._received, self._unsent)


def _packet_buffer() -> Any:
    """Return room for the packets of a batch, of which only the pages that a packet has been in take memory.

    ctypes writes zeros all over an array that it makes: 2.6 MiB for an address, whose lanes are seldom used.
    """
    size = BATCH * _SLOT
    return (ctypes.c_char * size).from_buffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class _Messages:
    """A batch of struct mmsghdr, at the address `at`, for packets in slots, and peers: addresses and control data."""

    def __init__(self, packets: Any, peers: Any, address_size: int, control_size: int) -> None:
        self.heads = (ctypes.c_char * (BATCH * _HEAD))()
        self._vectors = (ctypes.c_uint64 * (BATCH * 2))()
        self.at = ctypes.addressof(self.heads)
        self.sizes = memoryview(self._vectors).cast("B").cast("Q")[1::2]
        words = memoryview(self.heads).cast("B").cast("Q")
        for i in range(BATCH):
            self._vectors[2 * i] = ctypes.addressof(packets) + i * _SLOT
            self._vectors[2 * i + 1] = _PACKET
            peer = ctypes.addressof(peers) + i * _PEER
            vector = ctypes.addressof(self._vectors) + i * _IOV
            control = peer + _CONTROL_AT if control_size else 0
            for field, value in enumerate((peer, address_size, vector, 1, control, control_size, 0)):
                words[i * _HEAD // 8 + field] = value


class Outbox:
    """Replies that had to wait, sent in batches to the peers that asked."""

    def __init__(self, send: Callable[[int, int], None], address_size: int, control_size: int) -> None:
        self._send = send
        packets = _packet_buffer()
        peers = (ctypes.c_char * (BATCH * _PEER))()
        self._messages = _Messages(packets, peers, address_size, control_size)
        self._octets = memoryview(packets).cast("B")
        self._peers = memoryview(peers).cast("B")
        self._held: list[tuple[bytes, bytes]] = []

    def add(self, wire: bytes, peer: bytes) -> None:
        """Hold a reply back until the next `flush`, at most a batch of them."""
        held = self._held
        held.append((wire, peer))
        if len(held) == BATCH:
            self.flush()

    def flush(self) -> None:
        """Send all that is held back."""
        if not self._held:
            return
        held, self._held = self._held, []
        peers, octets, sizes = self._peers, self._octets, self._messages.sizes
        for i, (wire, peer) in enumerate(held):
            at = i * _PEER
            peers[at : at + len(peer)] = peer
            at = i * _SLOT
            octets[at : at + len(wire)] = wire
            sizes[i] = len(wire)
        self._send(self._messages.at, len(held))


class UnbatchedPort:
    """A UDP socket read and written one packet at a time, for systems without recvmmsg."""

    stream = False
    waited = 0.0

    def __init__(self, sock: socket.socket, table: ReplyTable, screen: Screen) -> None:
        """`sock` is bound and non-blocking."""
        self.table = table
        self._guard = screen.guard
        self._screen = screen
        self._sock = sock
        self._control = _CONTROL if _is_wildcard(sock) else 0
        if self._control:
            ask_for_destination(sock)
        self._client: Any = None
        self._batch: list[tuple[bytes, bytes]] = []
        self._received = 0
        self.unanswered = 0
        self._unsent = 0

    def serve_batch(self, miss: Miss, now: float) -> int:
        """Receive up to a batch of packets and reply to each; return how many came."""
        self.unanswered = 0
        self._batch = []
        for count in range(BATCH):
            try:
                packet, control, flags, address = self._sock.recvmsg(_PACKET, self._control)
            except (BlockingIOError, ConnectionRefusedError):
                return count
            self._received += 1
            self.unanswered += 1
            self._client = (address, [_source(*item) for item in control if item[0] in _INTERNET])
            self._batch.append((self.peer_address(0), packet))
            if flags & socket.MSG_TRUNC or not address[1]:
                continue
            try:
                wire = self._answer(packet, miss, now)
                if wire is not None:
                    self._batch[-1] = self._batch[-1][0], wire[: len(packet)]
                    self.send(wire, self._client)
                    self.unanswered -= 1
            except Exception as error:
                self._screen.faults.took("udp", error)
        return BATCH

    def _answer(self, packet: bytes, miss: Miss, now: float) -> bytes | None:
        """Return the reply to the packet at hand, if there is one now."""
        guard = self._guard
        if guard is not None:
            try:
                reason = guard.admission_denial(self.peer_address(0), now)
            except Exception as error:
                self._screen.faults.took("client-limits", error)
                reason = None
            if reason is not None:
                return self._screen.turn_away(packet, self, 0, reason)
        wire = self._screen.kept(packet[2:], self, now)
        return miss(packet, self, 0) if wire is None else packet[:2] + wire

    def take(self) -> list[tuple[bytes, Any, bytes]]:
        """Receive up to a batch and leave it to the caller: packet, client and host of each."""
        taken = []
        for _ in range(BATCH):
            try:
                packet, control, _, address = self._sock.recvmsg(_PACKET, self._control)
            except (BlockingIOError, ConnectionRefusedError):
                break
            self._received += 1
            self._client = (address, [_source(*item) for item in control if item[0] in _INTERNET])
            taken.append((packet, self._client, self.peer_address(0)))
        return taken

    def begin_deferred(self, index: int) -> Any:
        """Return the sender of the packet at hand."""
        del index
        return self._client

    sender = begin_deferred

    def endpoint(self, sender: Any) -> tuple[bytes, int]:
        """Return the packed address and the port number of a sender."""
        return self._packed(sender), sender[0][1]

    def peer_address(self, index: int) -> bytes:
        """Return the packed address of the sender of the packet at hand."""
        del index
        return self._packed(self._client)

    def _packed(self, client: Any) -> bytes:
        return socket.inet_pton(self._sock.family, client[0][0].partition("%")[0])

    def senders(self, count: int) -> list[bytes]:
        """Return the address, packed, of who sent the packet at hand."""
        del count
        return [self.peer_address(0)] if self._client else []

    def sampled(self, index: int) -> tuple[bytes, bytes]:
        """Return the sender's address, and the reply or the packet."""
        return self._batch[index]

    def asker(self, client: Any, identifier: bytes) -> tuple[bytes, Hashable]:
        """Return the address, and with the ID all that tells a sender from others."""
        return self._packed(client), (client[0], identifier)

    def send(self, wire: bytes, client: Any) -> None:
        """Send one reply."""
        address, control = client
        try:
            self._sock.sendmsg([wire], control, 0, address)
        except OSError:
            self._unsent += 1

    def flush(self) -> None:
        """Do nothing: `send` has sent."""

    def use_guard(self, guard: Guard | None) -> None:
        """Judge who asks by this guard from now on."""
        self._guard = guard

    def statistics(self) -> PortStatistics:
        """Return the socket in numbers."""
        return PortStatistics(self._received, self._unsent)


def _source(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """Return the control data that has a reply leave from the address that was asked, by any interface."""
    return level, kind, bytes(4) + data[4:] if level == socket.IPPROTO_IP else data[:16] + bytes(4)


def _is_wildcard(sock: socket.socket) -> bool:
    return sock.getsockname()[0] in {"0.0.0.0", "::"}
