"""The sockets of one process that clients come to; which they are can change while it runs.

A new address is opened before an old one is given up. That one goes on for a while, so that whoever waits for an answer
gets it; then the kernel brings it nothing more, what waits in its buffer is answered, and it is closed.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import trio

from dnsserver.app import listening
from dnsserver.config import Address
from dnsserver.faults import Faults
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.respond import Responder
from dnsserver.server.room import Room
from dnsserver.server.tcp import TcpLimits, TcpServer
from dnsserver.server.udp_listener import UdpListener

LINGER = 3.0  # seconds: longer than the outside takes to answer with the usual deadline
_LAST_LOOK = 0.05  # seconds in which the buffer of a socket that gets nothing more is emptied

Opened = Sequence[tuple[Address, tuple[Address, listening.Sockets]]]


class Listener:
    """UDP and TCP of one address: as the configuration has it, and with the port that the system chose for 0."""

    def __init__(self, configured: Address, address: Address, udp: UdpListener, tcp: TcpServer) -> None:
        """Take the sockets in."""
        self.configured = configured
        self.address = address
        self.udp = udp
        self.tcp = tcp
        self.scope = trio.CancelScope()
        self.leaving: trio.CancelScope | None = None  # of its last seconds, once its address is given up


class Listeners:
    """All of them, those that are about to be closed included."""

    def __init__(self, responder: Responder, replies: ReplyCache, faults: Faults, domain: bytes) -> None:
        """Open nothing yet; `domain` is the cluster's, in wire form."""
        self._domain = domain
        self._responder = responder
        self._replies = replies
        self._faults = faults
        self._limits = TcpLimits()
        self._room = Room(0, 0)
        self._share = self._join = False
        self._nursery: trio.Nursery | None = None
        self.all: list[Listener] = []

    def present(self) -> list[Listener]:
        """Return those whose addresses are in force."""
        return [listener for listener in self.all if listener.leaving is None]

    def open(self, addresses: Sequence[Address], limits: TcpLimits, *, share: bool, join: bool) -> None:
        """Open the first ones; `share` and `join` as for `listening.open_all`. Raises ListenError."""
        self._share, self._join = share, join
        self._limits = limits
        self._room.resize(limits.connections, limits.buffers)
        for configured, opened in self.open_new(addresses):
            self._add(configured, opened)

    def open_new(self, addresses: Sequence[Address]) -> Opened:
        """Return open sockets for the addresses that are not answered on yet. Raises ListenError, with none left open.

        Where an address meets one that is still in use here, as a single address meets all of them, they share it.
        """
        there = Counter(listener.configured for listener in self.all)
        new = []
        for address in addresses:
            if there[address]:
                there[address] -= 1
            else:
                new.append(address)
        meets = any(_meets(address, listener.address) for address in new for listener in self.all)
        if meets:
            for listener in self.all:
                listening.share_ports(listener.udp.sock, listener.tcp.sock)
        opened = listening.open_each(new, share=self._share or meets, join=self._join or meets)
        return [(configured, found) for configured, found in zip(new, opened, strict=True) if found is not None]

    def replace(self, addresses: Sequence[Address], opened: Opened) -> None:
        """Answer on these addresses from now on; `opened` are the sockets of those that are new."""
        wanted = Counter(addresses)
        for configured, found in opened:
            wanted[configured] -= 1
            self._start(self._add(configured, found))
        for listener in sorted(self.all, key=lambda listener: listener.leaving is not None):
            if any(listener.configured == configured for configured, _ in opened):
                continue
            if wanted[listener.configured] > 0:
                wanted[listener.configured] -= 1
                self._stay(listener)
            elif listener.leaving is None:
                self._leave(listener)

    def reconfigure(self, limits: TcpLimits) -> None:
        """Go by these limits from now on, and by the responder's guard."""
        self._limits = limits
        self._room.resize(limits.connections, limits.buffers)
        for listener in self.all:
            listener.udp.reconfigure()
            listener.tcp.reconfigure(limits)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for listener in self.all:
                self._start(listener)
            task_status.started()
            await trio.sleep_forever()

    def _add(self, configured: Address, opened: tuple[Address, listening.Sockets]) -> Listener:
        address, (udp, tcp) = opened
        steered = not (self._share or self._join)
        listener = Listener(
            configured,
            address,
            UdpListener(udp, self._responder, self._domain, steered=steered),
            TcpServer(tcp, self._responder, self._limits, self._room, steered=steered),
        )
        self.all.append(listener)
        return listener

    def _start(self, listener: Listener) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._serve, listener)

    async def _serve(self, listener: Listener) -> None:
        with listener.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listener.udp.run)
                nursery.start_soon(listener.tcp.run)
        if listener.leaving is not None:
            self.all.remove(listener)
            for table in (listener.udp.table, listener.tcp.table):
                self._replies.remove_table(table)

    def _leave(self, listener: Listener) -> None:
        listener.leaving = trio.CancelScope()
        listener.tcp.leave()
        if self._nursery is not None:
            self._nursery.start_soon(self._faults.once, "reload", self._end, listener, listener.leaving)

    def _stay(self, listener: Listener) -> None:
        if listener.leaving is not None:
            listener.leaving.cancel()
            listener.leaving = None
            listener.tcp.leave(False)

    async def _end(self, listener: Listener, leaving: trio.CancelScope) -> None:
        with leaving:
            await trio.sleep(LINGER)
        if leaving.cancelled_caught:
            return
        with suppress(OSError):
            listener.udp.take_no_more()
        await trio.sleep(_LAST_LOOK)
        listener.scope.cancel()


def _meets(one: Address, other: Address) -> bool:
    """Tell whether two addresses cannot be bound without sharing them."""
    if one.port != other.port or not one.port or (":" in one.host) != (":" in other.host):
        return False
    return one.host == other.host or {one.host, other.host} & {"0.0.0.0", "::"} != set()
