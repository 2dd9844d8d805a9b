"""The server: what answers, kept in step with the cluster, shown over HTTP; started, drained and ended in order."""

import os
import signal
from collections.abc import Callable

import structlog
import trio

from dnsserver.app.answering import Answering, StartError
from dnsserver.app.clock import SystemClock, now
from dnsserver.app.figures import Figures, Lag
from dnsserver.app.garbage import collect_seldom, spare_zone
from dnsserver.app.sync import Sync
from dnsserver.app.workers import Workers
from dnsserver.config import Address, Config
from dnsserver.kube.credentials import Process
from dnsserver.server.admin import Admin
from dnsserver.server.pages import standard_routes

log = structlog.get_logger("dnsserver")


def serve(config: Config, begun: Process | None = None) -> int:
    """Do what `dnsserver.app.run` says; `begun` is the loader of credentials, if it was begun."""
    collect_seldom()
    try:
        trio.run(Server(config, begun, now).run, clock=SystemClock())
    except StartError as error:
        log.error("cannot start", problem=str(error))  # noqa: TRY400 - the text says it all
        return 1
    return 0


class Server:
    """The first process: it answers, follows the cluster, and feeds the other processes that answer."""

    def __init__(
        self, config: Config, begun: Process | None = None, clock: Callable[[], float] = trio.current_time
    ) -> None:
        """Build the parts; raises StartError for a zone file that cannot be read."""
        self.config = config
        self.answering = Answering(config, clock)
        self.cluster = self.answering.cluster
        self.sync = Sync(config, self.cluster, self.answering.replies, begun, self.answering.faults)
        self.sync.stale_listeners.append(self.answering.mark_stale)
        self.workers = Workers(config, self.answering, self.sync)
        self.lag = Lag()
        self.figures = Figures(self)
        pages = standard_routes(self.figures.snapshot, self.figures.brief, self._flush, config.admin_token)
        self.admin = Admin(config.admin.host, config.admin.port, pages)
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether the first sync is complete and the end has not begun."""
        return not self.draining and not self.cluster.missing

    async def run(self) -> None:
        """Serve until told to end. Raises StartError."""
        faults = self.answering.faults
        self.answering.listen(reuse_port=self.config.workers > 1)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.answering.run)
            admin = await nursery.start(self.admin.run)
            nursery.start_soon(faults.keep, "metrics", self.lag.watch)
            nursery.start_soon(self.sync.run)
            nursery.start_soon(self.workers.run)
            nursery.start_soon(faults.once, "announce", self._announce, Address(*admin) if admin else None)
            await _wait_signal()
            log.info("draining", seconds=self.config.drain)
            self.draining = True
            await trio.sleep(self.config.drain)
            nursery.cancel_scope.cancel()
        log.info("ended")

    def _flush(self, name: bytes, below: bool) -> int:
        self.workers.flush(name, below)
        return self.answering.flush(name, below)

    async def _announce(self, admin: Address | None) -> None:
        """Say what is served, for a person to try."""
        await self.sync.wait_synced()
        spare_zone()
        listening = [str(address) for address, _ in self.answering.udp]
        counts = {str(kind): self.cluster.index.count(kind) for kind in self.sync.kinds}
        log.info("serving", domain=str(self.config.domain), listen=listening, admin=str(admin), **counts)
        example = self.cluster.example()
        if example and self.answering.udp and (os.isatty(2) or self.config.objects):
            address = self.answering.udp[0][0]
            host = "127.0.0.1" if address.host == "0.0.0.0" else address.host
            log.info("try it", command=f"dig @{host} -p {address.port} {example}")


async def _wait_signal() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return
