"""The pages and actions of admin HTTP, put together from the parts that know them."""

import importlib

from dnsserver.app.shown_parts import Parts
from dnsserver.app.traffic_pages import traffic_routes
from dnsserver.page.document import document
from dnsserver.page.recorder import Recorder
from dnsserver.server.admin import Route
from dnsserver.server.pages import standard_routes


class AdminPages:
    """The routes of admin HTTP, and what has to be noted all the time for them."""

    def __init__(self, server: Parts) -> None:
        """Show the parts of `server`."""
        self._server = server
        self._recorder = Recorder(server.collector.processes)
        self._late: dict[str, Route] = {}

    def routes(self) -> dict[str, Route]:
        """Return the routes that there are from the start, by path."""
        server = self._server
        more = traffic_routes(server.traffic) | server.workers.tails.routes()
        return standard_routes(
            server.collector.readings, server.collector.brief, server.flush, more, self.late_routes, document
        )

    def late_routes(self) -> dict[str, Route]:
        """Return the others, by path; what they need is imported now, and takes 1 MiB."""
        if not self._late:
            module = importlib.import_module("dnsserver.app.shown_pages")
            self._late = module.shown_routes(self._server, self._recorder.history)
        return self._late

    async def watch(self) -> None:
        """Note what the page shows of the last minutes, until cancelled."""
        await self._recorder.watch()
