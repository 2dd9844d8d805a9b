"""The source of packets, without a socket."""

from typing import Any

from dnsserver.forward.outcome import Asker
from dnsserver.resolver.reply_cache import ReplyTable


class Port:
    """A UDP socket, or a TCP connection if its table is for that; keeps what is sent late as (client, octets)."""

    def __init__(self, table: ReplyTable) -> None:
        self.table = table
        self.stream = table.protocol == "tcp"
        self.waited = 0.0
        self.sent: list[tuple[int, bytes]] = []

    def begin_deferred(self, index: int) -> int:
        return index

    def sender(self, index: int) -> int:
        return index

    def endpoint(self, sender: int) -> tuple[bytes, int]:
        return (0x0A000000 + sender).to_bytes(4), 1000 + sender

    def peer_address(self, index: int) -> bytes:
        return (0x0A000000 + index).to_bytes(4)

    def asker(self, client: Any, identifier: bytes) -> Asker:
        return b"", (client, identifier)

    def send(self, wire: bytes, client: int) -> None:
        self.sent.append((client, wire))
