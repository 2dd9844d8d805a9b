"""The sockets of one address: one for everybody, and lanes for clients that take what the others need.

The lanes are open from the start, and nothing comes to them. While more comes to a socket than is answered, `behind`
finds who sends too much, and the kernel puts that client's packets or connections into a lane (`server.steering`). All
sockets of an address are read by turns.
"""

import socket
from collections.abc import Callable, Iterable

import trio

from dnsserver.logger import get_logger
from dnsserver.server import steering
from dnsserver.server.shares import LANES, Shares

log = get_logger(__name__)

_TICK = 1.0  # seconds between two looks at which clients are heavy no longer


class Lanes:
    """The sockets of one address and transport; `sockets` has the first one and its lanes, if there are any."""

    def __init__(
        self, sock: socket.socket, transport: str, clock: Callable[[], float], open_lane: Callable[[], socket.socket]
    ) -> None:
        """Open the lanes of a bound socket; there are none where the kernel cannot steer.

        `open_lane` returns one more socket on the same address, and raises OSError.
        """
        self._sock = sock
        self._transport = transport
        self._clock = clock
        self._shares = Shares()
        self.sockets = [sock, *self._open(open_lane)]

    @property
    def heavy(self) -> int:
        """How many clients have a lane now."""
        return self._shares.statistics().heavy

    def behind(self, senders: Callable[[], Iterable[bytes]]) -> None:
        """Look at who sent what was read last while more was waiting; `senders` gives their packed addresses."""
        now = self._clock()
        if len(self.sockets) == 1 or now < self._shares.due:
            return
        found = self._shares.sample(senders(), now)
        if found:
            self._steer()
        for source in found:
            log.warning(
                "a client sends more than can be answered, it gets a lane of its own",
                transport=self._transport,
                client=f"{socket.inet_ntop(self._sock.family, source.address)}/{source.bits}",
                lane=source.lane,
            )

    async def run(self) -> None:
        """Forget who has not sent too much for a while, until cancelled."""
        while True:
            await trio.sleep(_TICK)
            if self._shares.expire(self._clock()):
                self._steer()

    def _open(self, open_lane: Callable[[], socket.socket]) -> list[socket.socket]:
        lanes: list[socket.socket] = []
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            lanes += (open_lane() for _ in range(LANES))
            steering.attach(self._sock, steering.program(self._sock.family, 1, [0]))
        except OSError as error:
            log.info("no lanes for heavy clients on this system", transport=self._transport, error=str(error))
            for lane in lanes:
                lane.close()
            return []
        return lanes

    def _steer(self) -> None:
        try:
            steering.attach(self._sock, steering.program(self._sock.family, 1, [0], self._shares.heavy))
        except OSError as error:
            log.warning("cannot steer clients to their lanes", transport=self._transport, error=str(error))
