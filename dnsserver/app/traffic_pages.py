"""The pages of admin HTTP that say who asks what: `/top` and `/failures`, as JSON."""

import msgspec

from dnsserver.app.traffic import LISTS, TrafficCounter
from dnsserver.clients import packed_address
from dnsserver.server.admin import Request, Response, Route
from dnsserver.server.queries import QueryError, check, number, wrong
from dnsserver.traffic.window import WINDOWS
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_text

_MOST = 100  # rows: as many as a pane holds, less some
_USUAL = 20
_JSON = "application/json"


def traffic_routes(counter: TrafficCounter) -> dict[str, Route]:
    """Return the routes; their handlers raise QueryError."""

    async def top(request: Request) -> Response:
        query = request.query
        check(query, window=("1", "5", "15"), what=(), limit=(), client=(), name=())
        lists, minutes, limit = _lists(query), int(query.get("window", WINDOWS[0])), _limit(query)
        if "client" in query:
            found = counter.asked_by(_client(query), minutes, limit)
        elif "name" in query:
            found = counter.askers_of(_name(query), minutes, limit)
        else:
            found = await counter.top(lists, minutes, limit)
        return Response(msgspec.json.encode(found), type=_JSON)

    def failures(request: Request) -> Response:
        query = request.query
        check(query, missing=("yes", "no"), limit=())
        found = counter.failures(_limit(query), missing=query.get("missing") != "no")
        return Response(msgspec.json.encode(found), type=_JSON)

    return {
        "/top": Route(
            "GET",
            top,
            "who asks what, with ?window=1|5|15 (minutes), ?what=LIST,LIST, ?limit=N; ?client=ADDRESS: what it asks; "
            "?name=NAME: who asks for it",
            costly=True,
        ),
        "/failures": Route("GET", failures, "the failures just seen, with ?missing=yes|no, ?limit=N", costly=True),
    }


def _client(query: dict[str, str]) -> bytes:
    _alone(query, "client")
    try:
        return packed_address(query["client"])
    except ValueError:
        raise wrong(query, "client", 'expected an address, as in "10.244.1.5"') from None


def _name(query: dict[str, str]) -> bytes:
    _alone(query, "name")
    try:
        return from_text(query["name"]).lower()
    except FormatError as error:
        raise wrong(query, "name", str(error)) from None


def _alone(query: dict[str, str], key: str) -> None:
    if beside := sorted(query.keys() & ({"client", "name", "what"} - {key})):
        raise QueryError(f"{key}: does not go together with {', '.join(beside)}")


def _lists(query: dict[str, str]) -> tuple[str, ...]:
    lists = tuple(query["what"].split(",")) if "what" in query else LISTS
    for name in lists:
        if name not in LISTS:
            raise wrong(query, "what", f"expected some of {','.join(LISTS)}")
    return lists


def _limit(query: dict[str, str]) -> int:
    return number(query, "limit", _USUAL, _MOST)
