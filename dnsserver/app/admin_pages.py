"""What admin HTTP has to show and do, put together of the parts that know it."""

from typing import Protocol

from dnsserver.app.dns_service import DnsService
from dnsserver.app.explain_pages import explain_routes
from dnsserver.app.metrics_collector import MetricsCollector
from dnsserver.app.sync import Sync
from dnsserver.app.traffic import TrafficCounter
from dnsserver.app.traffic_pages import traffic_routes
from dnsserver.app.workers import Workers
from dnsserver.config import Config, order, render
from dnsserver.metrics import Process, Readings
from dnsserver.page.document import document
from dnsserver.page.overview import Overview
from dnsserver.page.routes import Settings, page_routes
from dnsserver.page.status import Limits
from dnsserver.server.admin import Route
from dnsserver.server.pages import standard_routes
from dnsserver.zone.cluster import Cluster


class Parts(Protocol):
    """The parts of a server that are shown."""

    is_alone: bool
    config: Config
    cluster: Cluster
    dns: DnsService
    sync: Sync
    collector: MetricsCollector
    traffic: TrafficCounter
    workers: Workers

    def place(self, key: str) -> str:
        """Return where a key of the configuration is written."""

    def flush(self, name: bytes, below: bool) -> int:
        """Forget what is kept of a name, and of those below it, in all processes; return how many entries went."""


class AdminPages:
    """The routes of admin HTTP, and what has to be noted all the time for them."""

    def __init__(self, server: Parts) -> None:
        """Show the parts of `server`."""
        self._server = server
        self._overview = Overview(self._read, self._count, self._limits)

    def routes(self) -> dict[str, Route]:
        """Return all routes, by path."""
        server = self._server
        more = page_routes(self._overview, server.cluster, self._settings) | traffic_routes(server.traffic)
        more |= server.workers.tails.routes()
        more |= explain_routes(server, server.place)
        return standard_routes(server.collector.readings, server.collector.brief, server.flush, more, document)

    async def watch(self) -> None:
        """Note what the page shows of the last minutes, until cancelled."""
        await self._overview.watch()

    async def _read(self) -> Readings:
        return await self._server.collector.readings()

    async def _count(self) -> tuple[Process, ...]:
        return await self._server.collector.processes()

    def _limits(self) -> Limits:
        return Limits(self._server.config.reply_cache.size, self._server.config.cache.size)

    def _settings(self) -> Settings:
        return Settings(render(self._server.config), order(self._server.config))
