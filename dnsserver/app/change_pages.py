"""The page of admin HTTP with what changed in the cluster, and when: `/changes`, as JSON."""

import re
import time
from typing import Protocol

import msgspec

from dnsserver.app.sync import Sync
from dnsserver.page.changes import MOST, USUAL, changes
from dnsserver.server.admin import Request, Response, Route
from dnsserver.zone.journal import Journal

_KEYS = ("namespace", "service", "since", "limit")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


class Parts(Protocol):
    """The parts of a server that are asked."""

    journal: Journal
    sync: Sync


def change_routes(parts: Parts) -> dict[str, Route]:
    """Return the route; what is asked for in a way that cannot be understood is answered with status 400."""

    def show(request: Request) -> Response:
        query = request.query
        if problem := _problem(query):
            return Response(f"{problem}\n", 400)
        found = changes(
            parts.journal,
            time.time(),
            namespace=query.get("namespace"),
            service=query.get("service"),
            since=float(query.get("since", "0")),
            limit=int(query.get("limit", USUAL)),
            unheard=parts.sync.unheard(),
        )
        return Response(msgspec.json.encode(found), type="application/json")

    text = "what changed in the cluster, the last first, with ?namespace=, &service=, &since=UNIX_TIME, &limit=N; JSON"
    return {"/changes": Route("GET", show, text)}


def _problem(query: dict[str, str]) -> str:
    """Return what is wrong with a query, "" for nothing."""
    for key in query:
        if key not in _KEYS:
            return f"?{key}: expected {', '.join(_KEYS)}"
    if "service" in query and "namespace" not in query:
        return "service: needs the namespace of the Service, as namespace"
    since, limit = query.get("since", "0"), query.get("limit", "1")
    if not _NUMBER.fullmatch(since):
        return f'since: found "{since[:60]}", expected a unix time in seconds'
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST):
        return f'limit: found "{limit[:60]}", expected a number from 1 to {MOST}'
    return ""
