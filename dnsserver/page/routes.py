"""The pages that the script asks for, as routes of admin HTTP; other clients may ask for the same JSON."""

from collections.abc import Callable

import msgspec

from dnsserver.page import browse
from dnsserver.page.overview import Overview
from dnsserver.server.admin import Request, Response, Route
from dnsserver.server.queries import check, number
from dnsserver.zone.cluster import Cluster

_JSON = "application/json"
_LAST = 1_000_000  # row that a list may begin after


class Settings(msgspec.Struct, frozen=True):
    """The configuration in force as TOML, and the order in which the sources are asked for a name."""

    toml: str
    order: str


def page_routes(overview: Overview, cluster: Cluster, settings: Callable[[], Settings]) -> dict[str, Route]:
    """Return the routes, by path."""

    async def show_status(_: Request) -> Response:
        return _json(await overview.status())

    async def show_zone(request: Request) -> Response:
        return await _zone(cluster, request.query)

    return {
        "/status": Route("GET", show_status, "everything of the page's overview, as JSON"),
        "/zone": Route(
            "GET",
            show_zone,
            "namespaces; with ?namespace= its services, with &service= its endpoints and records; JSON",
        ),
        "/config": Route("GET", lambda _: _json(settings()), "the configuration in force; JSON with it as TOML"),
    }


async def _zone(cluster: Cluster, query: dict[str, str]) -> Response:
    check(query, namespace=(), service=(), filter=(), offset=(), limit=())
    offset, limit = number(query, "offset", 0, _LAST, least=0), number(query, "limit", 50, browse.MOST)
    wanted = browse.Slice(query.get("filter", ""), offset, limit)
    namespace, service = query.get("namespace"), query.get("service")
    if namespace is None:
        return _json(await browse.namespaces(cluster, wanted))
    if service is None:
        return _json(await browse.services(cluster, namespace, wanted))
    found = await browse.service(cluster, namespace, service, wanted)
    return Response("there is no such service\n", 404) if found is None else _json(found)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), type=_JSON)
