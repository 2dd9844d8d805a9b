"""A UDP socket read and written one packet at a time, with recvmsg and sendmsg, which every system has.

It promises what `batch` does, and is tested with it.
"""

import socket
from collections.abc import Hashable
from typing import Any

from dnsserver.clients import LINK_LOCAL
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.guard import Guard
from dnsserver.server.udp_port import BATCH, PACKET, Miss, PortStatistics, Screen, ask_for_destination, is_wildcard

_CONTROL = 64  # octets, which hold one in_pktinfo or in6_pktinfo with its header
_INTERNET = {socket.IPPROTO_IP, socket.IPPROTO_IPV6}


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
        self._control = _CONTROL if is_wildcard(sock) else 0
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
                packet, control, flags, address = self._sock.recvmsg(PACKET, self._control)
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
        """Return the reply to the present packet, if there is one now."""
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
                packet, control, flags, address = self._sock.recvmsg(PACKET, self._control)
            except (BlockingIOError, ConnectionRefusedError):
                break
            self._received += 1
            self._client = (address, [_source(*item) for item in control if item[0] in _INTERNET])
            is_useless = flags & socket.MSG_TRUNC or not address[1]
            taken.append((b"" if is_useless else packet, self._client, self.peer_address(0)))
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
        """Judge clients by this guard from now on."""
        self._guard = guard

    def statistics(self) -> PortStatistics:
        """Return the socket in numbers."""
        return PortStatistics(self._received, self._unsent)


def _source(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """Return the control data with which a reply leaves from the address that was asked.

    It leaves by any interface, but from a link-local address (RFC 4007 section 6).
    """
    if level == socket.IPPROTO_IP:
        return level, kind, bytes(4) + data[4:]
    return level, kind, data if data.startswith(LINK_LOCAL) else data[:16] + bytes(4)
