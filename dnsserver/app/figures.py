"""Collects what every part tells about itself, when somebody asks."""

from typing import TYPE_CHECKING

import msgspec
import trio

from dnsserver import metrics
from dnsserver.config import Config
from dnsserver.metrics import LAG, Histogram, Snapshot, server_label
from dnsserver.zone.model import Kind

if TYPE_CHECKING:
    from dnsserver.app.server import Server

_LAG_EVERY = 0.25  # seconds between two measurements of the event loop's lag


class Figures:
    """Makes the Snapshot that /metrics and /readyz are made of."""

    def __init__(self, config: Config, server: "Server") -> None:
        """Look at the parts of `server`."""
        self._config = config
        self._server = server
        self._lag = Histogram(LAG)

    async def watch_lag(self) -> None:
        """Measure how late the event loop wakes who should be woken."""
        while True:
            due = trio.current_time() + _LAG_EVERY
            await trio.sleep_until(due)
            self._lag.observe(max(0.0, trio.current_time() - due))

    def snapshot(self) -> Snapshot:
        """Return everything at this moment."""
        return msgspec.structs.replace(self.brief(), processes=(self._process(),))

    def brief(self) -> Snapshot:
        """Return everything at this moment but what the processes count, which takes milliseconds to add up."""
        server = self._server
        sync = server.sync
        return Snapshot(
            now=trio.current_time(),
            ready=server.ready,
            missing=tuple(sorted(server.cluster.missing)) + (("draining",) if server.draining else ()),
            kinds=tuple(self._kind(kind) for kind in sync.kinds),
            zone=metrics.Zone(
                serial=server.cluster.serial, held=server.cluster.held, changes=sync.changes, stale=sync.stale
            ),
            programming=sync.programming,
            programming_live=sync.programming_live,
        )

    def _process(self) -> metrics.Process:
        server = self._server
        lanes, udp, tcp = [], [], []
        for address, socket in server.udp:
            label = server_label(address.host, address.port)
            lane = socket.port.lane
            lanes.append(
                metrics.Lane(
                    server=label,
                    protocol=lane.protocol,
                    family=lane.family,
                    replies={(t, rcode, reason): count for (t, rcode, reason), count in lane.traffic().items()},
                    durations=socket.durations,
                )
            )
            counts = socket.port.statistics()
            udp.append(
                metrics.UdpSocket(
                    server=label,
                    family=lane.family,
                    received=counts.received,
                    unsent=counts.unsent,
                    kernel_drops=socket.kernel_drops(),
                )
            )
        for address, listener in server.tcp:
            label = server_label(address.host, address.port)
            lane = listener.lane
            lanes.append(
                metrics.Lane(
                    server=label,
                    protocol=lane.protocol,
                    family=lane.family,
                    replies={(t, rcode, reason): count for (t, rcode, reason), count in lane.traffic().items()},
                )
            )
            tcp.append(
                metrics.TcpListener(
                    server=label, family=lane.family, connections=listener.connections, refused=listener.refused
                )
            )
        return metrics.Process(
            lanes=tuple(lanes),
            udp=tuple(udp),
            tcp=tuple(tcp),
            replies=msgspec.convert(server.replies.statistics(), metrics.Replies, from_attributes=True),
            forward=msgspec.convert(server.forwarder.statistics(), metrics.Forward, from_attributes=True),
            loop_lag=self._lag,
            panics=server.responder.panics,
        )

    def _kind(self, kind: Kind) -> metrics.Kind:
        server = self._server
        objects = server.cluster.index.count(kind)
        for reflector in server.sync.reflectors:
            stat = reflector.statistics()
            if stat.kind is kind:
                told = msgspec.convert(stat, metrics.Kind, from_attributes=True)
                return msgspec.structs.replace(told, objects=objects)
        files = server.sync.files
        last = files.statistics().last_event if files is not None else None
        synced = kind not in server.cluster.missing
        return metrics.Kind(kind=str(kind), objects=objects, synced=synced, last_event=last)
