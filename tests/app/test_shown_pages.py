"""The routes that are made when the page is first opened."""

from dnsserver.app.server import Server
from dnsserver.app.shown_pages import shown_routes
from dnsserver.config import Config
from dnsserver.page.history import History


async def test_late_routes_are_closed_and_none_is_made_twice() -> None:
    server = Server(Config())
    early, late = server.pages.routes(), server.pages.late_routes()
    assert late.keys() >= {"/status", "/zone", "/config", "/explain"}
    assert not early.keys() & late.keys()
    assert not [path for path, route in late.items() if route.open or route.costly]
    assert all(route.text and route.method == "GET" for route in late.values())
    assert server.pages.late_routes() is late
    assert shown_routes(server, History()).keys() == late.keys()
