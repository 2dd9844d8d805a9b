"""The option edns-tcp-keepalive: tells a TCP client that asks how long its connection may be idle (RFC 7828).

Such a question is answered as if it had no options, from what is kept for all others, and only the octets that go out
have the option: so nobody gets it who has not asked for it. Over UDP it is passed over (section 3.3.1).
"""

from typing import Any, Protocol

from dnsserver.forward.outcome import Asker
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.reply import Port
from dnsserver.wire.reply import with_keepalive


class Stream(Port, Protocol):
    """A TCP connection."""

    @property
    def idle_timeout(self) -> float:
        """Return how many seconds it may be silent from now on."""


class KeepalivePort:
    """A TCP connection, for one question whose reply is to have the option."""

    stream = True
    waited = 0.0

    def __init__(self, port: Stream) -> None:
        """Answer through `port`."""
        self._port = port
        self.table: ReplyTable = port.table
        self.begin_deferred = port.begin_deferred
        self.peer_address = port.peer_address
        self.sender = port.sender
        self.endpoint = port.endpoint

    def asker(self, client: Any, identifier: bytes) -> Asker:
        """Return who asks."""
        return self._port.asker(client, identifier)

    def send(self, wire: bytes, client: Any) -> None:
        """Send a whole message."""
        self._port.send(self.told(wire), client)

    def told(self, message: bytes) -> bytes:
        """Return a whole message with the option."""
        return with_keepalive(message, self._port.idle_timeout)
