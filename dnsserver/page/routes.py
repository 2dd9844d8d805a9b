"""The pages that the script asks for, as routes of admin HTTP; other clients may ask for the same JSON."""

from collections.abc import Callable

import msgspec

from dnsserver.page import browse
from dnsserver.page.overview import Overview
from dnsserver.server.admin import Request, Response, Route
from dnsserver.zone.cluster import Cluster

_JSON = "application/json"


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
    try:
        offset, limit = int(query.get("offset", "0")), int(query.get("limit", "50"))
    except ValueError:
        return Response("offset and limit: expected whole numbers\n", 400)
    if not (offset >= 0 and 0 < limit <= browse.MOST):
        return Response(f"expected an offset of 0 or more, and a limit of 1 to {browse.MOST}\n", 400)
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
