"""One address of UDP: all its sockets, read in turns. A full lane delays the others only by its own turn."""

from functools import partial

import trio

from dnsserver import metrics
from dnsserver.server.lanes import Lanes
from dnsserver.server.respond import Responder
from dnsserver.server.udp import FAMILIES, UdpServer
from dnsserver.server.udp_port import UdpPort


class UdpListener:
    """Answers the packets that come to one address."""

    def __init__(self, lanes: Lanes, responder: Responder, domain: bytes) -> None:
        """Take over the sockets of an address; late replies go out when the `ports` are flushed.

        `domain` is the cluster's, in wire form.
        """
        self.sock = lanes.sockets[0]
        self.table = responder.replies.add_table("udp", FAMILIES[self.sock.family])
        self.lanes = lanes
        self._faults = responder.faults
        self._servers = [
            UdpServer(each, responder, self.table, domain=domain, is_lane=number > 0, on_behind=self._behind)
            for number, each in enumerate(lanes.sockets)
        ]
        self.ports = [server.port for server in self._servers]

    def reconfigure(self) -> None:
        """Use the responder's guard, which may have changed."""
        for server in self._servers:
            server.reconfigure()

    @property
    def is_behind(self) -> bool:
        """Whether packets wait that were not answered."""
        return any(server.is_behind for server in self._servers)

    def rest(self, does: bool) -> None:
        """Read nothing new from now on, because another process reads these sockets; or read again."""
        for server in self._servers:
            server.rest(does)

    async def run(self) -> None:
        """Answer until cancelled, then close the sockets."""
        async with trio.open_nursery() as nursery:
            for server in self._servers:
                nursery.start_soon(server.run)
            nursery.start_soon(self._faults.keep, "udp", self.lanes.run)

    def statistics(self, server: str = "") -> metrics.UdpListener:
        """Return the address in numbers; `server` is how it is labelled."""
        ports = [each.port.statistics() for each in self._servers]
        first, *lanes = [each.kernel_drops() for each in self._servers]
        return metrics.UdpListener(
            server=server,
            family=self.table.family,
            received=sum(port.received for port in ports),
            unsent=sum(port.unsent for port in ports),
            kernel_drops=first,
            lane_drops=sum(lanes),
            late_drops=sum(each.dropped for each in self._servers),
            heavy=self.lanes.heavy,
        )

    def _behind(self, port: UdpPort, count: int) -> None:
        self.lanes.behind(partial(port.senders, count))
