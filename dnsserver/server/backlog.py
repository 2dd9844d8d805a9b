"""What is done with the packets that came while this process stood still: stopped, swapped out, its machine paused.

Most of their senders have stopped waiting, and would take an answer for nothing while those who ask now wait behind
them. When each packet came is not known (to ask the kernel costs at every packet), but how long they had to come in is:
of so many the newest part is answered, the newest packet first, and the rest is dropped.
"""

from collections import deque
from math import ceil
from typing import Any

from dnsserver.forward.outcome import Asker
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.batch import UdpPort
from dnsserver.server.respond import Responder

STUB_TIMEOUT = 5.0  # seconds that stub resolvers wait before they ask elsewhere (resolv.conf(5), `timeout`)
_MOST = 2048  # answered in one go, some 20 ms
_ALL = 65_536  # looked at in one go


class _Packet:
    """The port of one packet that was taken from its socket before."""

    stream = False

    def __init__(self, port: UdpPort, client: Any, host: bytes) -> None:
        self.table: ReplyTable = port.table
        self.send = port.send
        self._port = port
        self._client = client
        self._host = host

    def begin_deferred(self, index: int) -> Any:
        del index
        return self._client

    def peer_address(self, index: int) -> bytes:
        del index
        return self._host

    def asker(self, client: Any, identifier: bytes) -> Asker:
        return self._port.asker(client, identifier)


def catch_up(port: UdpPort, responder: Responder, gap: float, now: float) -> int:
    """Answer the newest of what came within the last `gap` seconds; return how many packets were dropped."""
    newest: deque[tuple[bytes, Any, bytes]] = deque(maxlen=_MOST)
    count = 0
    while count < _ALL and (batch := port.take()):
        count += len(batch)
        newest.extend(batch)
    wanted = min(len(newest), ceil(count * STUB_TIMEOUT / max(gap, STUB_TIMEOUT)))
    guard = responder.guard
    for _ in range(wanted):
        packet, client, host = newest.pop()
        if guard is not None and guard.admission_denial(host, now) is not None:
            continue
        reply = responder.answer(packet, _Packet(port, client, host), 0, now)
        if reply is not None:
            port.send(reply, client)
    port.flush()
    return count - wanted
