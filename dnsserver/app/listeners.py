"""The sockets of one process to which clients come. They can change while it runs.

A new address is opened before an old one is closed. The old one goes on for a while, so that waiting clients get their
answers. Then the kernel brings it no new packets, those in its buffer are answered, and it is closed.

A worker reads all sockets that the first process has opened for it, as the kernel brings packets to each one that is
bound: also those of an address that was given up while the worker started. It lets go of them as the first one does.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import trio

from dnsserver import metrics
from dnsserver.app import listener_counts, listening
from dnsserver.config import Address
from dnsserver.faults import Faults
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server import steering
from dnsserver.server.heavy import LANES
from dnsserver.server.lanes import Alone, Lanes, ReportedLanes, SteeredLanes
from dnsserver.server.last_packets import has_waiting, take_no_more, takes_no_more
from dnsserver.server.respond import Responder
from dnsserver.server.room import Room
from dnsserver.server.tcp import TcpLimits, TcpServer, listen
from dnsserver.server.udp import bind
from dnsserver.server.udp_listener import UdpListener

LINGER = 3.0  # seconds: longer than the outside takes to answer with the usual deadline
_LAST_LOOK = 0.05  # seconds after which it is looked whether the buffer of a socket that gets nothing more is empty
_LAST_WORDS = 0.5  # seconds that the end of the process waits for that, as its own end is awaited

Descriptors = tuple[list[int], list[int]]  # of the sockets of an address for one process: UDP, TCP
Report = Callable[[str, str, bytes, int], None]
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
        self.closed = trio.Event()

    @property
    def is_spent(self) -> bool:
        """Whether the kernel delivers nothing more to it, as a process that reads its sockets has let go of them."""
        return takes_no_more(self.udp.sock)

    @property
    def is_behind(self) -> bool:
        """Whether packets or connections wait in the sockets that this process reads."""
        return self.udp.is_behind or any(map(has_waiting, self.tcp.lanes.sockets))

    def sockets(self) -> list[socket.socket]:
        """Return all sockets, also those that were opened for the workers."""
        others = [sock for lanes in self.steered() for group in lanes.groups[1:] for sock in group]
        return [*self.udp.lanes.sockets, *self.tcp.lanes.sockets, *others]

    def steered(self) -> list[SteeredLanes]:
        """Return the lanes that this process steers clients to."""
        return [lanes for lanes in (self.udp.lanes, self.tcp.lanes) if isinstance(lanes, SteeredLanes)]


class Listeners:
    """All listeners, including those that are about to be closed."""

    def __init__(self, responder: Responder, replies: ReplyCache, faults: Faults, domain: bytes) -> None:
        """Open nothing yet; `domain` is the cluster's, in wire form."""
        self._domain = domain
        self._responder = responder
        self._replies = replies
        self._faults = faults
        self._limits = TcpLimits()
        self._room = Room(0, 0)
        self._share = self._join = self._free = False
        self.is_open = False  # until then there is nothing that another configuration could replace
        self._processes = 1
        self._nursery: trio.Nursery | None = None
        self.all: list[Listener] = []
        self.ended: metrics.Process | None = None  # what those have counted that are closed: counters do not go back

    def present(self) -> list[Listener]:
        """Return the listeners whose addresses are in force."""
        return [listener for listener in self.all if listener.leaving is None]

    def _held(self) -> list[Listener]:
        """Return the listeners to which packets come, also those whose addresses are given up."""
        return [listener for listener in self.all if not listener.is_spent]

    def open(self, addresses: Sequence[Address], limits: TcpLimits, *, processes: int = 1) -> None:
        """Open the first listeners, for so many processes. Raises ListenError."""
        self._processes = processes
        self.is_open = True
        self._use(limits)
        for configured, opened in self.open_new(addresses):
            self._add(configured, opened, processes)
        self._share = processes > 1  # what a reload opens, the others open as well
        for listener in self.all:
            if self._share and not all(lanes.is_steered for lanes in listener.steered()):
                listening.share_ports(listener.udp.sock, listener.tcp.sock)

    def join(
        self, addresses: Sequence[Address], limits: TcpLimits, given: Mapping[str, Descriptors], report: Report
    ) -> None:
        """Answer beside the first process, with the sockets that it has `given`, or with some of our own.

        `report` takes an address, "udp" or "tcp", and the network of a heavy client. Raises ListenError.
        """
        self.is_open = self._join = True
        self._use(limits)
        for name, descriptors in given.items():
            udp, tcp = ([socket.socket(fileno=each) for each in some] for some in descriptors)
            address = Address.parse(name)
            listener = self._add_with(
                address,
                address,
                ReportedLanes(udp, self._responder.clock, partial(report, name, "udp")),
                ReportedLanes(tcp, self._responder.clock, partial(report, name, "tcp")),
            )
            if listener.is_spent or address not in addresses:
                self._leave(listener)
        for configured, opened in self.open_new(addresses):
            self._add(configured, opened)

    def adopt(
        self,
        addresses: Sequence[Address],
        limits: TcpLimits,
        handed: Mapping[str, Sequence[list[socket.socket]]],
        *,
        share: bool,
    ) -> list[Address]:
        """Answer with the sockets that another server `handed` over; bind other addresses alone, or share them.

        Return the addresses that cannot be had yet. Raises ListenError.
        """
        self.is_open = self._free = True
        self._use(limits)
        left = []
        for configured in addresses:
            given = handed.get(str(configured))
            if given is not None:
                self._start(self._adopted(configured, *given))
                continue
            try:
                beside = listening.open_beside(configured, share=share)
            except listening.NoIPv6Error as error:
                listening.pass_over(error, others=any(other.host != configured.host for other in addresses))
                continue
            if beside is None:
                left.append(configured)
            elif beside[1]:
                self._start(self._add(configured, beside[0]))
            else:
                address, (udp, tcp) = beside[0]
                self._start(self._add_with(configured, address, Alone(udp), Alone(tcp)))
        return left

    def _adopted(self, configured: Address, udp: list[socket.socket], tcp: list[socket.socket]) -> Listener:
        """Take over sockets in their order: the first one, and its lanes, if their number is the same as ours."""
        found: list[Lanes] = []
        for transport, (sock, *others) in (("udp", udp), ("tcp", tcp)):
            if len(others) == LANES:
                found.append(SteeredLanes(sock, transport, self._responder.clock, _given(iter(others))))
                continue
            for other in others:
                other.close()
            found.append(Alone(sock))
        return self._add_with(configured, Address(configured.host, udp[0].getsockname()[1]), *found)

    def to_hand_over(self) -> dict[str, Descriptors]:
        """Return the sockets of each address: the first one, then those of its lanes."""
        return {
            str(listener.configured): (
                [sock.fileno() for sock in listener.udp.lanes.sockets],
                [sock.fileno() for sock in listener.tcp.lanes.sockets],
            )
            for listener in self.present()
        }

    def rest(self, does: bool) -> None:
        """Read nothing new from now on, because another server reads the same sockets; or read again."""
        for listener in self.all:
            listener.udp.rest(does)
            listener.tcp.rest(does)

    def give_way(self) -> None:
        """Let all new packets go to another program that has the same addresses, if there is one."""
        for listener in self.all:
            listener.udp.lanes.give_way()
            listener.tcp.lanes.give_way()

    async def take_last(self) -> None:
        """Tell the kernel to deliver nothing more over UDP, and answer what waits in the buffers."""
        for listener in self.all:
            _have_each(listener.udp.lanes.sockets, take_no_more)
        await _emptied([listener.udp for listener in self.all], _LAST_WORDS)

    def descriptors(self, process: int) -> dict[str, Descriptors]:
        """Return the sockets that were opened for a worker, by address; also of those that are about to be closed."""
        found: dict[str, Descriptors] = {}
        for listener in self._held():
            groups = [lanes.groups for lanes in listener.steered()]
            if len(groups) == 2 and all(len(each) > process for each in groups):
                udp, tcp = ([sock.fileno() for sock in each[process]] for each in groups)
                found[str(listener.address)] = (udp, tcp)
        return found

    def answers(self, process: int, does: bool) -> None:
        """Start or stop sending clients to a worker."""
        for listener in self._held():
            for lanes in listener.steered():
                lanes.answers(process, does)

    def report(self, address: str, transport: str, network: bytes, bits: int) -> None:
        """Give a client a lane that another process found to be heavy."""
        for listener in self.present():
            lanes = listener.udp.lanes if transport == "udp" else listener.tcp.lanes
            if str(listener.address) == address and isinstance(lanes, SteeredLanes):
                lanes.report(network, bits)

    async def wait_closed(self, addresses: Sequence[Address]) -> None:
        """Wait until listeners of these addresses that get nothing more are closed.

        New sockets would be in one group with those, and the kernel could still pick the old ones.
        """
        for listener in tuple(self.all):
            if listener.address in addresses and listener.is_spent:
                await listener.closed.wait()

    def open_new(self, addresses: Sequence[Address]) -> Opened:
        """Return open sockets for the addresses that are not answered on yet. Raises ListenError, with none left open.

        Where an address meets one that is still in use here, as a single address meets all of them, they share it.
        """
        there = Counter(listener.configured for listener in self._held())
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
        opened = listening.open_each(
            new,
            share=self._share or meets,
            join=self._join or meets,
            free=self._free,
            others=len(new) < len(addresses),
        )
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
            if wanted[listener.configured] > 0 and not listener.is_spent:
                wanted[listener.configured] -= 1
                self._stay(listener)
            elif listener.leaving is None:
                self._leave(listener)

    def reconfigure(self, limits: TcpLimits) -> None:
        """Use these limits and the responder's guard from now on."""
        self._use(limits)
        for listener in self.all:
            listener.udp.reconfigure()
            listener.tcp.reconfigure(limits)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for listener in self.all:
                self._start(listener)
                self._start_end(listener)
            task_status.started()
            await trio.sleep_forever()

    def _use(self, limits: TcpLimits) -> None:
        self._limits = limits
        self._room.resize(limits.connections, limits.buffers)

    def _add(self, configured: Address, opened: tuple[Address, listening.Sockets], processes: int = 1) -> Listener:
        address, (udp, tcp) = opened
        if self._share or self._join:  # the kernel spreads the clients over the sockets of all processes
            return self._add_with(configured, address, Alone(udp), Alone(tcp))
        clock, host, port, free = self._responder.clock, address.host, address.port, self._free
        return self._add_with(
            configured,
            address,
            SteeredLanes(
                udp, "udp", clock, lambda lane: bind(host, port, reuse_port=True, lane=lane, free=free), processes
            ),
            SteeredLanes(tcp, "tcp", clock, lambda _: listen(host, port, reuse_port=True, free=free), processes),
        )

    def _add_with(self, configured: Address, address: Address, udp: Lanes, tcp: Lanes) -> Listener:
        listener = Listener(
            configured,
            address,
            UdpListener(udp, self._responder, self._domain),
            TcpServer(tcp, self._responder, self._limits, self._room),
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
        for lanes in listener.steered():
            lanes.close_others()
        listener.closed.set()
        if listener.leaving is not None:
            self.all.remove(listener)
            for table in (listener.udp.table, listener.tcp.table):
                self._replies.remove_table(table)
            label = metrics.server_label(listener.address.host, listener.address.port)
            ended = listener_counts.ended(label, listener.udp, listener.tcp)
            self.ended = ended if self.ended is None else metrics.added(self.ended, ended)

    def _leave(self, listener: Listener) -> None:
        listener.leaving = trio.CancelScope()
        listener.tcp.leave()
        self._start_end(listener)

    def _start_end(self, listener: Listener) -> None:
        if self._nursery is not None and listener.leaving is not None:
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
        _have_each(listener.sockets(), take_no_more)
        _have_each(listener.sockets(), steering.detach)  # so that the kernel picks those that come to the same address
        await _emptied([listener], LINGER)
        listener.udp.statistics()  # reads what the kernel has counted of the sockets, the last time before they close
        listener.scope.cancel()


def _have_each(sockets: Sequence[socket.socket], step: Callable[[socket.socket], None]) -> None:
    for sock in sockets:
        with suppress(OSError):  # then what comes until it is closed may be lost
            step(sock)


async def _emptied(those: Sequence[Listener | UdpListener], most: float) -> None:
    """Wait, `most` seconds at most, until what waits in sockets that get nothing more is answered.

    That may take long on a busy machine.
    """
    with trio.move_on_after(most):
        await trio.sleep(_LAST_LOOK)
        while any(each.is_behind for each in those):  # noqa: ASYNC110 - no event tells
            await trio.sleep(_LAST_LOOK)


def _given(sockets: Iterator[socket.socket]) -> Callable[[int], socket.socket]:
    """Return a function that returns the next of the given sockets at each call, instead of opening one."""
    return lambda _: next(sockets)


def _meets(one: Address, other: Address) -> bool:
    """Tell whether two addresses overlap, so that both can be bound only if they are shared."""
    if one.port != other.port or not one.port or (":" in one.host) != (":" in other.host):
        return False
    return one.host == other.host or {one.host, other.host} & {"0.0.0.0", "::"} != set()
