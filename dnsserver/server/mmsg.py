"""Buffers for a batch of packets in the layout of Linux's recvmmsg and sendmmsg, and replies waiting to be sent."""

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

from dnsserver.server.udp_port import BATCH, PACKET

SLOT = PACKET + 64  # from one packet to the next: a power of two has them fight for the same lines of the cache
PEER = 96  # octets kept of a sender: its address, then the control data that came with the packet
CONTROL_AT = 32  # in a peer; sizeof(struct sockaddr_in6) is 28
HEAD = 64  # sizeof(struct mmsghdr) on 64-bit Linux
_IOV = 16


def packet_buffer() -> Any:
    """Return room for the packets of a batch, of which only the pages that a packet has been in take memory.

    ctypes writes zeros all over an array that it makes: 2.6 MiB for an address, whose lanes are seldom used.
    """
    size = BATCH * SLOT
    return (ctypes.c_char * size).from_buffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Messages:
    """A batch of struct mmsghdr, at the address `at`, for packets in slots, and peers: addresses and control data."""

    def __init__(self, packets: Any, peers: Any, address_size: int, control_size: int) -> None:
        self.heads = (ctypes.c_char * (BATCH * HEAD))()
        self._vectors = (ctypes.c_uint64 * (BATCH * 2))()
        self.at = ctypes.addressof(self.heads)
        self.sizes = memoryview(self._vectors).cast("B").cast("Q")[1::2]
        words = memoryview(self.heads).cast("B").cast("Q")
        for i in range(BATCH):
            self._vectors[2 * i] = ctypes.addressof(packets) + i * SLOT
            self._vectors[2 * i + 1] = PACKET
            peer = ctypes.addressof(peers) + i * PEER
            vector = ctypes.addressof(self._vectors) + i * _IOV
            control = peer + CONTROL_AT if control_size else 0
            for field, value in enumerate((peer, address_size, vector, 1, control, control_size, 0)):
                words[i * HEAD // 8 + field] = value


class Outbox:
    """Replies that had to wait, sent in batches to the peers that asked."""

    def __init__(self, send: Callable[[int, int], None], address_size: int, control_size: int) -> None:
        self._send = send
        packets = packet_buffer()
        peers = (ctypes.c_char * (BATCH * PEER))()
        self._messages = Messages(packets, peers, address_size, control_size)
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
            at = i * PEER
            peers[at : at + len(peer)] = peer
            at = i * SLOT
            octets[at : at + len(wire)] = wire
            sizes[i] = len(wire)
        self._send(self._messages.at, len(held))
