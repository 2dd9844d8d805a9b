"""Packets that come faster than they can be answered: the newest is answered first, old ones are dropped.

Who sent the newest is still waiting; who sent an old one has stopped, and would take an answer for nothing while those
who ask now wait behind him.

- While more comes than is answered, questions without a known reply are put off (`LateQuestions`).
- This process may have stood still: stopped, swapped out, its machine paused (`catch_up`). When each packet came is not
  known then (to ask the kernel costs at every packet), but how long they had to come in is: of so many the newest part
  is answered.
"""

from collections import deque
from math import ceil
from typing import Any, NamedTuple

from dnsserver.forward.outcome import Asker
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.respond import Responder
from dnsserver.server.udp_port import UdpPort
from dnsserver.zone.record import Reason

STUB_TIMEOUT = 5.0  # seconds that stub resolvers wait before they ask elsewhere (resolv.conf(5), `timeout`)
_MOST = 2048  # answered in one go, some 20 ms
_ALL = 65_536  # looked at in one go
_PUT_OFF = 512  # questions of a class, at some 400 octets each
_USUAL = 300  # octets: longer packets, which no stub sends, are answered at once lest they take room
_SLICE = 0.0005  # seconds of a turn that a class of late questions may take

GIVEN_UP = Reason("given-up", text="more questions came than could be answered")


class _Late(NamedTuple):
    """A question that was put off, and the time at which that was."""

    packet: bytes
    client: Any
    host: bytes
    since: float


class LateQuestions:
    """The questions of one socket that were put off: those for the cluster's names, and those for all others.

    `waiting` is how many there are. `dropped` counts those of the socket that were given up: there were too many, or
    they were too old.
    """

    def __init__(self, responder: Responder, port: UdpPort, domain: bytes) -> None:
        """Begin without any; `domain` is the cluster's, in wire form and lower case."""
        self._responder = responder
        self._clock = responder.clock
        self._port = port
        self._domain = domain
        self._inside: deque[_Late] = deque()
        self._outside: deque[_Late] = deque()
        self.waiting = 0
        self.dropped = 0

    def put_off(self, packet: bytes, port: UdpPort, index: int) -> bytes | None:
        """Keep a question for `answer`; where there are too many of its class, the oldest one gives way."""
        if len(packet) > _USUAL:
            return self._responder.miss(packet, port, index)
        late = self._inside if self._domain in packet.lower() else self._outside
        if len(late) == _PUT_OFF:
            oldest = late.popleft()
            self.dropped += 1
            self._drop(oldest, self._clock())
        else:
            self.waiting += 1
        late.append(_Late(packet, port.begin_deferred(index), port.peer_address(index), self._clock()))
        return None

    def answer(self) -> None:
        """Answer the newest questions of each class, as many as its part of a turn has room for."""
        for late in (self._inside, self._outside):
            now = self._clock()
            end = now + _SLICE
            while late and now < end:
                packet, client, host, since = late.pop()
                self.waiting -= 1
                if now - since > STUB_TIMEOUT:  # the others are older
                    self.dropped += len(late) + 1
                    self.waiting -= len(late)
                    self._drop(_Late(packet, client, host, since), now)
                    while late:
                        self._drop(late.pop(), now)
                    break
                reply = self._responder.answer(packet, _Packet(self._port, client, host, now - since), 0, now)
                now = self._clock()
                if reply is not None:
                    self._port.send(reply, client)
                    self._port.table.durations.observe(now - since)
        self._port.flush()

    def _drop(self, late: _Late, now: float) -> None:
        """Tell the observers that the server gave up a question."""
        port = _Packet(self._port, late.client, late.host, now - late.since)
        self._responder.observer.dropped(late.packet, port, 0, GIVEN_UP)


class _Packet:
    """The port of one packet that was read from its socket earlier."""

    stream = False

    def __init__(self, port: UdpPort, client: Any, host: bytes, waited: float) -> None:
        self.waited = waited
        self.table: ReplyTable = port.table
        self.send = port.send
        self.endpoint = port.endpoint
        self._port = port
        self._client = client
        self._host = host

    def begin_deferred(self, index: int) -> Any:
        del index
        return self._client

    sender = begin_deferred

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
    for number in range(wanted):
        packet, client, host = newest.pop()
        waited = gap * (number + 1) / count  # if they came evenly
        late = _Packet(port, client, host, waited)
        denial = None if guard is None else guard.admission_denial(host, now)
        if denial is not None:
            responder.observer.dropped(packet, late, 0, denial)
            continue
        reply = responder.answer(packet, late, 0, now)
        if reply is not None:
            port.send(reply, client)
            port.table.durations.observe(waited)
    port.flush()
    return count - wanted
