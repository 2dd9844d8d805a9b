"""`/changes` on admin HTTP: what changed, of a server whose objects change."""

from pathlib import Path

import msgspec
import pytest

from dnsserver.app.change_pages import change_routes
from dnsserver.app.server import Server
from dnsserver.page.changes import ChangeList
from dnsserver.server.admin import Request, Response
from dnsserver.zone.model import Put
from tests.app.explaining import explaining
from tests.cluster import decoded, endpoints, namespace, service

THINGS = [namespace("shop"), service("web", "10.9.0.1"), endpoints("web", "10.0.0.1")]


def asked(server: Server, **query: str) -> Response:
    route = change_routes(server)["/changes"]
    assert (route.method, route.open) == ("GET", False)
    found = route.handle(Request("GET", "/changes", query, {}, "127.0.0.1"))
    assert isinstance(found, Response)
    return found


def rows(server: Server, **query: str) -> list[tuple[str, ...]]:
    found = asked(server, **query)
    assert isinstance(found.body, bytes)
    return [row.what for row in msgspec.json.decode(found.body, type=ChangeList).rows]


async def test_changes_of_the_source_are_shown_and_what_it_began_with_is_not(tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        before = rows(shop.server)
        shop.server.sync.apply(Put(decoded(endpoints("web"))))
        shop.server.sync.apply(Put(decoded(service("api", "10.9.0.2"))))
        after, own = rows(shop.server), rows(shop.server, namespace="shop", service="web", limit="5", since="12.5")
    assert (before, own) == ([], [("ready addresses 1 → 0",)])
    assert after == [("created: ClusterIP 10.9.0.2, 0 ready addresses",), *own]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"x": "y"}, "?x: expected namespace, service, since, limit"),
        ({"service": "web"}, "service: needs the namespace of the Service, as namespace"),
        ({"since": "today"}, 'since: found "today", expected a unix time in seconds'),
        ({"since": "nan"}, 'since: found "nan", expected a unix time in seconds'),
        ({"limit": "0"}, 'limit: found "0", expected a number from 1 to 1000'),
        ({"limit": "1001"}, 'limit: found "1001", expected a number from 1 to 1000'),
        ({"limit": "²"}, 'limit: found "²", expected a number from 1 to 1000'),
    ],
)
async def test_what_cannot_be_understood_is_told(query: dict[str, str], told: str, tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        found = asked(shop.server, **query)
    assert (found.status, found.body) == (400, f"{told}\n")
