"""The room that TCP clients share in a process: how many connections, and how many octets wait in them. Pure.

Promises: there are never more connections than `connections`, of one client than half of them, and when the octets that
wait exceed `buffers` the client with most of them loses its largest connection. A newcomer takes the place of a
connection that can be closed without loss, then of one that has not asked or half asked, those silent longest first,
and then of one of the client with most of them, if that has two more than the newcomer's client; else it is refused.
Nobody can keep the others out, whatever his connections do.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from dnsserver.clients import source_of

LARGEST = 65_535 + 2  # octets of a message with its length
_SCARCE = 0.5  # of the places, from where on connections may be silent for a shorter time
_LEAST_PATIENCE = 0.1


class Tenant(Protocol):
    """A connection, as far as its place among others is concerned."""

    peer: bytes
    is_new: bool  # nothing has come from it yet: its question may be on its way

    @property
    def is_idle(self) -> bool:
        """Whether it can be closed without loss."""

    @property
    def is_half_asked(self) -> bool:
        """Whether nothing but a part of a question would be lost with it."""

    def give_way(self) -> None:
        """End."""


class Room:
    """All connections of a process, whatever listener they came to."""

    def __init__(self, connections: int, buffers: int) -> None:
        """`buffers` is in octets."""
        self.connections = connections
        self.buffers = buffers
        self._tenants: OrderedDict[Tenant, None] = OrderedDict()  # heard of longest ago first
        self.heard: Callable[[Tenant], None] = self._tenants.move_to_end  # something came from a connection or went out
        self._hosts: Counter[bytes] = Counter()
        self._sources: Counter[bytes] = Counter()  # the same by `source_of`
        self._held: dict[Tenant, int] = {}
        self._expected: dict[Tenant, int] = {}
        self.held = 0
        self.expected = 0

    def resize(self, connections: int, buffers: int) -> None:
        """Have this much room from now on; connections that are too many now end like any others."""
        self.connections = connections
        self.buffers = buffers

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._tenants)

    def __iter__(self) -> Iterator[Tenant]:
        """Return all connections, those first that were heard of longest ago."""
        return iter(self._tenants)

    @property
    def share(self) -> int:
        """How many connections one client may have."""
        return max(1, self.connections // 2)

    def admit(self, host: bytes) -> tuple[bool, bool]:
        """Return whether a client may have one more connection, and whether there was a free place for it."""
        if self._hosts[host] >= self.share:
            return self._vacate(lambda tenant: tenant.peer == host), False
        if len(self._tenants) >= self.connections:
            return self._vacate(lambda tenant: True) or self._vacate_most(host), False  # noqa: ARG005
        return True, True

    @property
    def clients(self) -> int:
        """How many clients have connections."""
        return len(self._hosts)

    @property
    def patience(self) -> float:
        """Which part of the usual times a connection may be silent: all of it, or less as places get scarce."""
        taken = len(self._tenants) / self.connections
        return max(_LEAST_PATIENCE, min(1.0, (1 - taken) / (1 - _SCARCE)))

    def enter(self, tenant: Tenant) -> None:
        """Record a new connection."""
        self._tenants[tenant] = None
        self._hosts[tenant.peer] += 1
        self._sources[source_of(tenant.peer)] += 1

    def leave(self, tenant: Tenant) -> None:
        """Record that a connection is closed."""
        if tenant not in self._tenants:
            return
        del self._tenants[tenant]
        for counts, client in ((self._hosts, tenant.peer), (self._sources, source_of(tenant.peer))):
            counts[client] -= 1
            if not counts[client]:
                del counts[client]
        self.held -= self._held.pop(tenant, 0)
        self.expected -= self._expected.pop(tenant, 0)

    def vacate(self) -> bool:
        """Close the connection that is missed least; return whether there was one."""
        return self._vacate(lambda tenant: True)  # noqa: ARG005

    def _vacate(self, among: Callable[[Tenant], bool]) -> bool:
        half_asked = None
        for tenant in self._tenants:
            if not among(tenant):
                continue
            if tenant.is_idle and not tenant.is_new:
                tenant.give_way()
                return True
            if half_asked is None and tenant.is_half_asked:
                half_asked = tenant
        if half_asked is not None:
            half_asked.give_way()
        return half_asked is not None

    def _vacate_most(self, newcomer: bytes) -> bool:
        """Close a connection of the client with most connections, if it has at least two more than the newcomer.

        Where no address has so many, it is looked who has many addresses.
        """
        most, count = self._hosts.most_common(1)[0]
        if count >= self._hosts[newcomer] + 2:
            next(tenant for tenant in self._tenants if tenant.peer == most).give_way()
            return True
        most, count = self._sources.most_common(1)[0]
        if count < self._sources[source_of(newcomer)] + 2:
            return False
        next(tenant for tenant in self._tenants if source_of(tenant.peer) == most).give_way()
        return True

    # ---- octets

    def may_expect(self, octets: int) -> bool:
        """Tell whether answers of so many octets may be asked for beyond what a connection is sure to take.

        Half of the room is for those who have not shown yet how large their answers are.
        """
        return self.held + self.expected + octets <= self.buffers // 2

    def account(self, tenant: Tenant, held: int, expected: int) -> None:
        """Record what a connection holds and expects now, in octets.

        While all hold too much, the client that holds most loses its largest connection.
        """
        if tenant not in self._tenants:
            return
        self.held += held - self._held.get(tenant, 0)
        self.expected += expected - self._expected.get(tenant, 0)
        _set(self._held, tenant, held)
        _set(self._expected, tenant, expected)
        while self.held > self.buffers:
            by_host: Counter[bytes] = Counter()
            for other, octets in self._held.items():
                by_host[other.peer] += octets
            most = by_host.most_common(1)[0][0]
            largest = max((other for other in self._held if other.peer == most), key=self._held.__getitem__)
            self.held -= self._held.pop(largest)
            largest.give_way()


def _set(numbers: dict[Tenant, int], tenant: Tenant, number: int) -> None:
    if number:
        numbers[tenant] = number
    else:
        numbers.pop(tenant, None)
