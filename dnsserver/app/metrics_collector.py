"""Collects the numbers of all parts when a client asks for the metrics."""

from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from dnsserver import log, metrics
from dnsserver.app import ceiling, listener_counts
from dnsserver.app.dns_service import DnsService
from dnsserver.app.process_usage import usage
from dnsserver.config import Config
from dnsserver.metrics import LAG, Histogram, NamespaceLabels, Readings, server_label
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind

if TYPE_CHECKING:  # a worker needs neither, and what they import takes memory
    from dnsserver.app.node_guardian import NodeGuardian
    from dnsserver.app.reload import Reloader
    from dnsserver.app.sync import Sync
    from dnsserver.app.workers import Workers

_LAG_EVERY = 0.25  # seconds between two measurements of the event loop's lag


class Lag:
    """How late the event loop wakes its tasks."""

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self.histogram = Histogram(LAG)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + _LAG_EVERY
            await trio.sleep_until(due)
            self.histogram.observe(max(0.0, trio.current_time() - due))


class Parts(Protocol):
    """The parts of a server that tell something."""

    config: Config
    dns: DnsService
    cluster: Cluster
    lag: Lag
    sync: "Sync"
    workers: "Workers"
    draining: bool
    reloader: "Reloader | None"
    guardian: "NodeGuardian | None"

    @property
    def ready(self) -> bool:
        """Whether the first sync is complete and the end has not begun."""


class MetricsCollector:
    """Makes the Readings of which /metrics and /readyz are made."""

    def __init__(self, server: Parts) -> None:
        """Look at the parts of `server`."""
        self._server = server
        self._labels = NamespaceLabels()
        self._ceiling: tuple[Config, int] | None = None

    async def readings(self) -> Readings:
        """Return everything, with all that was sent before this was called; others have their turns meanwhile."""
        processes = await self.processes()
        await trio.lowlevel.checkpoint()
        existing = {name.decode("ascii", "replace") for name in self._server.cluster.index.namespaces}
        namespaces = self._labels.update((found.namespaces for found in processes), existing)
        await trio.lowlevel.checkpoint()
        return msgspec.structs.replace(
            self.brief(), processes=processes, namespaces=namespaces, memory_ceiling=self._memory_ceiling()
        )

    def _memory_ceiling(self) -> int:
        config = self._server.config
        if self._ceiling is None or self._ceiling[0] is not config:
            self._ceiling = config, ceiling.total(ceiling.parts(config))
        return self._ceiling[1]

    async def processes(self) -> tuple[metrics.Process, ...]:
        """Return what each process that answers has counted up to now; others have their turns meanwhile."""
        server = self._server
        asked = server.workers.ask_settle()
        await settle(server.dns)
        await server.workers.wait_settled(asked)
        return process(server.dns, server.lag), *server.workers.processes()

    def brief(self) -> Readings:
        """Return everything at this moment but what the processes count, which takes milliseconds to add up."""
        server = self._server
        sync = server.sync
        return Readings(
            now=trio.current_time(),
            ready=server.ready,
            missing=tuple(sorted(server.cluster.missing)),
            draining=server.draining,
            kinds=tuple(self._kind(kind) for kind in sync.kinds),
            zone=metrics.Zone(
                serial=server.cluster.serial,
                retained=len(server.cluster.retained),
                changes=sync.changes,
                stale=sync.stale,
            ),
            zone_snapshot=None if sync.snapshot is None else sync.snapshot.statistics(),
            requests=() if sync.client is None else sync.client.statistics(),
            programming=sync.programming,
            programming_live=sync.programming_live,
            worker_restarts=server.workers.restarts,
            object_files=self._object_files(),
            node=None if server.guardian is None else server.guardian.problems(),
            configuration=None if server.reloader is None else server.reloader.statistics(),
        )

    def _object_files(self) -> metrics.ObjectFiles | None:
        files = self._server.sync.files
        if files is None:
            return None
        known = files.statistics()
        return metrics.ObjectFiles(known.files, known.faulty, known.wrong)

    def _kind(self, kind: Kind) -> metrics.Kind:
        server = self._server
        objects = server.cluster.index.count(kind)
        for reflector in server.sync.reflectors:
            if reflector.kind is kind:
                counts, cluster = reflector.statistics(), server.cluster
                held = kind not in cluster.missing and kind not in cluster.denied
                return msgspec.structs.replace(counts, objects=objects, from_snapshot=held and not counts.synced)
        files = server.sync.files
        synced = kind not in server.cluster.missing
        if files is None:
            return metrics.Kind(kind=str(kind), objects=objects, synced=synced)
        known = files.statistics()
        return metrics.Kind(
            kind=str(kind),
            objects=objects,
            synced=synced,
            last_event=known.last_event,
            bad_objects=known.bad_objects.get(kind, 0),
            bad_values=known.bad_values.get(kind, 0),
        )


async def settle(dns: DnsService) -> None:
    """Count what was sent of each held reply, in slices between which others have their turns."""
    for _ in dns.replies.settle():
        await trio.lowlevel.checkpoint()


def process(dns: DnsService, lag: Lag, number: int = 0) -> metrics.Process:
    """Return what one process that answers has counted, as of the last time that it was settled.

    `number` is a worker's, 0 for the first process.
    """
    traffic, udp, tcp = [], [], []
    for address, listener in dns.udp:
        label = server_label(address.host, address.port)
        traffic.append(listener_counts.traffic(label, listener.table))
        udp.append(listener.statistics(label))
    for address, server in dns.tcp:
        label = server_label(address.host, address.port)
        traffic.append(listener_counts.traffic(label, server.table))
        tcp.append(server.statistics(label))
    for table in dns.replies.tables:
        table.namespaces.keep_only(dns.cluster.index.namespaces)
    guard = dns.responder.guard
    found = metrics.Process(
        number=number,
        asked=dns.asked(),
        namespaces=listener_counts.namespaces(dns.replies.tables),
        traffic=tuple(traffic),
        udp=tuple(udp),
        tcp=tuple(tcp),
        replies=dns.replies.statistics(),
        forward=dns.forwarder.statistics(),
        loop_lag=lag.histogram,
        limited=dict(guard.limited) if guard is not None else {},
        panics=dns.responder.panics,
        faults=dict(dns.faults.counts),
        log=log.statistics(),
        audience=dns.audience.statistics(),
        left_out=dns.cluster.left_out,
        usage=usage(),
    )
    ended = dns.listeners.ended
    return found if ended is None else metrics.added(found, ended)
