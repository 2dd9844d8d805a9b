"""The pages of admin HTTP that say who asks what: `/top` and `/failures`, as JSON."""

import msgspec

from dnsserver.app.traffic import LISTS, TrafficCounter
from dnsserver.clients import packed_address
from dnsserver.server.admin import Request, Response, Route
from dnsserver.traffic.window import WINDOWS
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_text

_MOST = 100  # rows: as many as a pane holds, less some
_USUAL = "20"
_JSON = "application/json"


class _QueryError(ValueError):
    """The query cannot be understood; the text says what was expected."""


def traffic_routes(counter: TrafficCounter) -> dict[str, Route]:
    """Return the routes; what is asked for in a way that cannot be understood is answered with status 400."""

    async def top(request: Request) -> Response:
        query = request.query
        try:
            _check(query, window=("1", "5", "15"), what=(), limit=(), client=(), name=())
            lists, minutes, limit = _lists(query), int(query.get("window", WINDOWS[0])), _limit(query)
            if "client" in query:
                found = counter.asked_by(_client(query), minutes, limit)
            elif "name" in query:
                found = counter.askers_of(_name(query), minutes, limit)
            else:
                found = await counter.top(lists, minutes, limit)
        except _QueryError as error:
            return Response(f"{error}\n", 400)
        return Response(msgspec.json.encode(found), type=_JSON)

    def failures(request: Request) -> Response:
        query = request.query
        try:
            _check(query, missing=("yes", "no"), limit=())
            limit = _limit(query)
        except _QueryError as error:
            return Response(f"{error}\n", 400)
        found = counter.failures(limit, missing=query.get("missing") != "no")
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


def _check(query: dict[str, str], **known: tuple[str, ...]) -> None:
    """Raise _QueryError for an unknown key, or for a value that is not in the key's list, if it has one."""
    for key, value in query.items():
        if key not in known:
            raise _QueryError(f"?{key}: expected {', '.join(known)}")
        if known[key] and value not in known[key]:
            raise _QueryError(f"?{key}={value}: expected {', '.join(known[key])}")


def _client(query: dict[str, str]) -> bytes:
    _alone(query, "client")
    try:
        return packed_address(query["client"])
    except ValueError:
        raise _QueryError(f'client: found "{query["client"][:60]}", expected an address, as in "10.244.1.5"') from None


def _name(query: dict[str, str]) -> bytes:
    _alone(query, "name")
    try:
        return from_text(query["name"]).lower()
    except FormatError as error:
        raise _QueryError(f'name: found "{query["name"][:60]}", {error}') from None


def _alone(query: dict[str, str], key: str) -> None:
    if beside := sorted(query.keys() & ({"client", "name", "what"} - {key})):
        raise _QueryError(f"{key}: does not go together with {', '.join(beside)}")


def _lists(query: dict[str, str]) -> tuple[str, ...]:
    lists = tuple(query["what"].split(",")) if "what" in query else LISTS
    for name in lists:
        if name not in LISTS:
            raise _QueryError(f"?what={name}: expected some of {','.join(LISTS)}")
    return lists


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", _USUAL)
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST):
        raise _QueryError(f"?limit={text}: expected a number from 1 to {_MOST}")
    return int(text)
