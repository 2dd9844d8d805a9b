"""The pages of admin HTTP for people. They are imported at the first request: most servers only get probes."""

from dnsserver.app.change_pages import change_routes
from dnsserver.app.endpoint_pages import endpoint_routes
from dnsserver.app.explain_pages import explain_routes
from dnsserver.app.shown_parts import Parts
from dnsserver.config import order, render
from dnsserver.page.history import History
from dnsserver.page.overview import Overview
from dnsserver.page.routes import Settings, page_routes
from dnsserver.page.status import Limits
from dnsserver.server.admin import Route


def shown_routes(server: Parts, history: History) -> dict[str, Route]:
    """Return the routes of the page and of `explain`, by path."""

    def limits() -> Limits:
        return Limits(server.config.reply_cache.size, server.config.cache.size)

    def settings() -> Settings:
        return Settings(render(server.config), order(server.config))

    overview = Overview(history, server.collector.readings, limits)
    pages = page_routes(overview, server.cluster, settings)
    return pages | change_routes(server) | endpoint_routes(server) | explain_routes(server, server.place)
