"""What answers: the zone, the caches, the upstreams and the sockets of one process, wired.

Here the two flows meet: an event goes to the zone, and what it changed is gone from the reply cache, before the next
packet is looked at.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import trio

from dnsserver.app import descriptors, listening, rules, settings
from dnsserver.app.preflight import MOST_OF_A_ZONE
from dnsserver.config import Address, Config
from dnsserver.config.files import UnusableFileError, read_text
from dnsserver.faults import Faults
from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.nonce import SECRET_SIZE
from dnsserver.resolver.chain import Chain, Source
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.resolver.rules import Rules
from dnsserver.server.families import WithoutIPv6
from dnsserver.server.respond import Responder
from dnsserver.server.room import Room
from dnsserver.server.tcp import TcpServer
from dnsserver.server.udp import UdpServer
from dnsserver.wire.message import FormatError
from dnsserver.wire.zonefile import read_zone
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.record import Reason
from dnsserver.zone.static import SPECIAL, SpecialNames, StaticZone


class StartError(Exception):
    """The server cannot start; the text says what is in the way, and what was expected."""

    status = 1  # of the process


class MistakeError(StartError):
    """What it was told cannot be right, and only a person can change it."""

    status = 2


class DnsService:
    """The parts of one process that answer; `clock` gives the seconds that trio runs by.

    `secret` is known to the processes of this server and to nobody else: it marks their probes.
    """

    def __init__(
        self, config: Config, clock: Callable[[], float] = trio.current_time, secret: bytes | None = None
    ) -> None:
        """Build the parts; raises StartError for a zone file that cannot be read."""
        self.secret = secret or os.urandom(SECRET_SIZE)
        self._config = config
        self._clock = clock
        self.faults = Faults()
        self.replies = ReplyCache(config.reply_cache.size // config.workers)
        self.cluster = Cluster(
            config.domain.wire,
            ttl=config.ttl,
            pods=config.pods,
            reverse_networks=[network.text for network in config.reverse_zones],
            grace=config.kubernetes.grace,
            own_service=(config.service.namespace.encode(), config.service.name.encode()),
            own_addresses=_own_addresses(config),
        )
        zones = [_read_zone(path) for path in config.static]
        local = [domain.wire for domain in config.local.domains]
        sources: list[Source] = [self.cluster, *zones, SpecialNames(local)]  # most of what is asked is the cluster's
        own = [config.domain.wire, *(zone.origin for zone in zones), *local, *SPECIAL]
        self.forwarder = Forwarder(
            settings.routes(config),
            settings.cache(config),
            own=own,
            limits=settings.limits(config),
            clock=clock,
            on_batch_end=self._flush_late,
            faults=self.faults,
            secret=self.secret,
        )
        chain = Chain(sources, settings.search(config), _rules(config))
        self.cluster.elsewhere = None if chain.rules is None else chain.rules.concerns
        self.responder = Responder(
            chain,
            self.forwarder if config.ipv6 == "on" else WithoutIPv6(self.forwarder),
            self.replies,
            clock,
            udp_limit=config.udp.size,
            recursion=any(route.upstreams for route in config.routes()),
            services=self.cluster,
            guard=settings.guard(config),
            faults=self.faults,
        )
        self.udp: list[tuple[Address, UdpServer]] = []
        self.tcp: list[tuple[Address, TcpServer]] = []

    def _flush_late(self) -> None:
        """Send the replies that upstreams have just brought, together."""
        for _, udp in self.udp:
            try:
                udp.port.flush()
            except Exception as error:
                self.faults.took("udp", error)

    def mark_stale(self, reason: Reason | None) -> None:
        """Mark answers of the zone as too old from here on, or no longer."""
        self.responder.mark_stale(reason)
        self.replies.clear()

    def leave(self) -> None:
        """Tell clients over TCP, behind their answers, that this server is about to end."""
        for _, tcp in self.tcp:
            tcp.leave()

    def asked(self) -> int:
        """Return how many packets came, and how often connections were served: it grows as long as clients ask."""
        packets = sum(udp.port.statistics().received for _, udp in self.udp)
        return packets + sum(tcp.heard for _, tcp in self.tcp)

    def flush(self, name: bytes, below: bool) -> int:
        """Forget what is cached of an outside name, or of all names below it; return how many answers that were."""
        flushed = self.forwarder.flush(name, below=below)
        self.replies.clear_outside()
        return len(flushed)

    def listen(self, *, share: bool = False, join: bool = False) -> None:
        """Open the sockets: UDP and TCP of an address share its port, also when the system chooses it.

        `share` lets this server's workers open the same ones, with `join`. Raises StartError.
        """
        try:
            opened = listening.open_all(self._config.listen, share=share, join=join)
        except listening.ListenError as error:
            raise StartError(str(error)) from error
        limits = settings.tcp(self._config)
        room = Room(self._places(limits.connections), limits.buffers)
        for address, (udp, tcp) in opened:
            self.udp.append((address, UdpServer(udp, self.responder)))
            self.tcp.append((address, TcpServer(tcp, self.responder, limits, room)))

    def _places(self, wanted: int) -> int:
        """Return how many TCP connections there may be: fewer than `wanted` where descriptors are few."""
        limit = descriptors.raise_limit()
        return descriptors.for_clients(self._config, wanted, limit)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled; started when names outside the cluster can be asked."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.forwarder.run)
            for _, udp in self.udp:
                nursery.start_soon(udp.run)
            for _, tcp in self.tcp:
                nursery.start_soon(tcp.run)
            task_status.started()


def _rules(config: Config) -> Rules | None:
    try:
        return rules.rules(config, rules.read_hosts(config))
    except UnusableFileError as error:
        raise StartError(f"hosts file: {error}") from error


def _read_zone(path: Path) -> StaticZone:
    try:
        return StaticZone(read_zone(read_text(path, MOST_OF_A_ZONE)))
    except (UnusableFileError, FormatError) as error:
        raise StartError(f"static zone {path}: {error}") from error


def _own_addresses(config: Config) -> list[bytes]:
    """Return the addresses that stand for ns.dns until the Service is known: those that it listens on."""
    packed = []
    for address in config.listen:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        raw = socket.inet_pton(family, address.host)
        if any(raw):
            packed.append(raw)
        else:
            packed += _machine_address(family)
    return packed


def _machine_address(family: int) -> list[bytes]:
    """Return the address that this machine shows to the world, if it has one of the family."""
    try:  # making the socket as well: a kernel may have no IPv6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket sends nothing: it only has the kernel choose the source address.
            probe.connect(("192.0.2.1" if family == socket.AF_INET else "2001:db8::1", 53))
            return [socket.inet_pton(family, probe.getsockname()[0].partition("%")[0])]
    except OSError:
        return []
