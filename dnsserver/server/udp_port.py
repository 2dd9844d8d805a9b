"""The interface of both kinds of UDP socket: what they offer to their server, and what they need from it."""

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

BATCH = 64  # packets that are read in one go at most
PACKET = 4096  # no query is longer, one that was cut by the kernel is dropped; nor is any reply (`udp.size`)
_IP_PKTINFO = 8

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
        """Return the packed addresses of the senders of the last `count` packets, which `serve_batch` read at once."""

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
        """Judge clients by this guard from now on."""

    def statistics(self) -> PortStatistics:
        """Return the socket in numbers."""


class Screen(Protocol):
    """Decides who may ask, and handles packets that are not simply answered."""

    guard: Guard | None
    faults: Faults
    observer: Observer

    def turn_away(self, packet: bytes, port: Any, index: int, reason: Reason) -> bytes | None:
        """Return the reply to packet `index` of a batch, whose client the guard turns away."""

    def kept(self, key: bytes, port: Any, now: float) -> bytes | None:
        """Return the octets of the reply kept under `key`, less the ID, if there is one that can be sent."""

    def forget(self, key: bytes, port: Any, error: Exception) -> None:
        """Forget the reply kept under `key`, which cannot be sent."""


def ask_for_destination(sock: socket.socket) -> None:
    """Ask the kernel for the address that a packet was sent to, if the socket is bound to all of them."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif hasattr(socket, "IP_PKTINFO") or sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", _IP_PKTINFO), 1)


def is_wildcard(sock: socket.socket) -> bool:
    """Tell whether a socket is bound to all addresses of its family."""
    return sock.getsockname()[0] in {"0.0.0.0", "::"}
