"""One server: its parts, wired; started, drained and ended in order.

Here the two flows meet: an event goes to the zone, and what it changed is gone from the reply cache, before the next
packet is looked at.
"""

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from dnsserver.app import settings
from dnsserver.app.figures import Figures
from dnsserver.app.sync import Sync
from dnsserver.config import Address, Config
from dnsserver.metrics import Histogram
from dnsserver.resolver.chain import Chain, Source
from dnsserver.resolver.forward import Forwarder
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.admin import Admin
from dnsserver.server.pages import standard_routes
from dnsserver.server.respond import Responder
from dnsserver.server.tcp import TcpServer, listen
from dnsserver.server.udp import UdpServer, bind
from dnsserver.wire.codec import read_zone
from dnsserver.wire.message import FormatError
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.static import SpecialNames, StaticZone

log = structlog.get_logger("dnsserver")


class StartError(Exception):
    """The server cannot start; the text says what is in the way, and what was expected."""


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status: 0, or 1 when the server could not start."""
    try:
        trio.run(Server(config).run)
    except StartError as error:
        log.error("cannot start", problem=str(error))  # noqa: TRY400 - the text says it all
        return 1
    return 0


class Server:
    """All parts of one process."""

    def __init__(self, config: Config) -> None:
        """Build the parts; raises StartError for a zone file that cannot be read."""
        self.config = config
        clock = trio.current_time
        self.replies = ReplyCache(config.reply_cache.replies, config.reply_cache.missing)
        self.cluster = Cluster(
            config.domain.wire,
            ttl=config.ttl,
            pods=config.pods,
            reverse_networks=[network.text for network in config.reverse_zones],
            grace=config.kubernetes.grace,
            own_service=(config.service.namespace.encode(), config.service.name.encode()),
            own_addresses=_own_addresses(config),
        )
        self.sync = Sync(config, self.cluster, self.replies)
        zones = [_read_zone(path) for path in config.static]
        sources: list[Source] = [self.cluster, SpecialNames(), *zones]  # the cluster's names are most of what is asked
        own = [config.domain.wire, *(zone.origin for zone in zones)]
        self.forwarder = Forwarder(
            settings.routes(config), settings.cache(config), own=own, limits=settings.limits(config)
        )
        self.responder = Responder(
            Chain(sources, settings.search(config), _ipv6(config, self.cluster)),
            self.forwarder,
            self.replies,
            clock,
            udp_limit=config.udp.size,
            recursion=any(route.upstreams for route in config.routes()),
            stale=self.sync.stale_reason,
        )
        self.figures = Figures(config, self)
        self.udp: list[tuple[Address, UdpServer]] = []
        self.tcp: list[tuple[Address, TcpServer]] = []
        pages = standard_routes(self.figures.snapshot, self.figures.brief, self.flush, config.admin_token)
        self.admin = Admin(config.admin.host, config.admin.port, pages)
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether the first sync is complete and the end has not begun."""
        return not self.draining and not self.cluster.missing

    def flush(self, name: bytes, below: bool) -> int:
        """Forget what is cached of an outside name, or of all names below it; return how many answers that were."""
        flushed = self.forwarder.flush(name, below=below)
        self.replies.clear_outside()
        return len(flushed)

    async def run(self) -> None:
        """Serve until told to end. Raises StartError."""
        try:
            self._bind()
        except OSError as error:
            raise StartError(f"cannot listen: {error}") from error
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.forwarder.run)
                admin = await nursery.start(self.admin.run)
                for _, udp in self.udp:
                    nursery.start_soon(udp.run)
                for _, tcp in self.tcp:
                    nursery.start_soon(tcp.run)
                nursery.start_soon(self.figures.watch_lag)
                nursery.start_soon(self.sync.run)
                nursery.start_soon(self._announce, Address(*admin) if admin else None)
                await self._wait_signal()
                log.info("draining", seconds=self.config.drain)
                self.draining = True
                await trio.sleep(self.config.drain)
                nursery.cancel_scope.cancel()
        except* StartError as group:
            raise group.exceptions[0] from None
        log.info("ended")

    def _bind(self) -> None:
        """Open the sockets; UDP and TCP of one address share its port, also when the system chooses it."""
        config = self.config
        clock = trio.current_time
        for address in config.listen:
            try:
                sock = bind(address.host, address.port)
            except OSError as error:
                if address.host == "::" and len(config.listen) > 1 and not _has_ipv6():
                    log.info("no IPv6 on this machine", passed_over=str(address))
                    continue
                raise OSError(f"{address}: {error.strerror or error}") from error
            bound = Address(address.host, sock.getsockname()[1])
            durations = Histogram()
            self.udp.append((bound, UdpServer(sock, self.responder, self.replies, clock, durations)))
            try:
                listener = listen(bound.host, bound.port)
            except OSError as error:
                raise OSError(f"{bound} (TCP): {error.strerror or error}") from error
            server = TcpServer(listener, self.responder, self.replies, clock, settings.tcp(config))
            self.tcp.append((bound, server))

    async def _announce(self, admin: Address | None) -> None:
        """Say what is served, for a person to try."""
        await self.sync.wait_synced()
        listening = [str(address) for address, _ in self.udp]
        counts = {str(kind): self.cluster.index.count(kind) for kind in self.sync.kinds}
        log.info("serving", domain=str(self.config.domain), listen=listening, admin=str(admin), **counts)
        if sys.stderr.isatty() or self.config.objects:
            example = self.cluster.example()
            if example and self.udp:
                address = self.udp[0][0]
                host = "127.0.0.1" if address.host == "0.0.0.0" else address.host
                log.info("try it", command=f"dig @{host} -p {address.port} {example}")

    @staticmethod
    async def _wait_signal() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                return


def _ipv6(config: Config, cluster: Cluster) -> Callable[[], bool]:
    """Return what tells whether outside AAAA are of use."""
    if config.ipv6 == "auto":
        return lambda: cluster.has_ipv6
    return lambda: config.ipv6 == "on"


def _read_zone(path: Path) -> StaticZone:
    try:
        return StaticZone(read_zone(path.read_text()))
    except (OSError, UnicodeDecodeError, FormatError) as error:
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
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a UDP socket sends nothing: it only has the kernel choose the source address.
            probe.connect(("192.0.2.1" if family == socket.AF_INET else "2001:db8::1", 53))
        except OSError:
            return []
        return [socket.inet_pton(family, probe.getsockname()[0].partition("%")[0])]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
