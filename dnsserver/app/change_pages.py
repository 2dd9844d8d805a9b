"""The page of admin HTTP with what changed in the cluster, and when: `/changes`, as JSON."""

import re
import time
from typing import Protocol

import msgspec

from dnsserver.app.sync import Sync
from dnsserver.page.changes import MOST, USUAL, changes
from dnsserver.server.admin import Request, Response, Route
from dnsserver.server.queries import QueryError, check, number, wrong
from dnsserver.zone.journal import Journal

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


class Parts(Protocol):
    """The parts of a server that are asked."""

    journal: Journal
    sync: Sync


def change_routes(parts: Parts) -> dict[str, Route]:
    """Return the route; its handler raises QueryError."""

    def show(request: Request) -> Response:
        query = request.query
        check(query, namespace=(), service=(), since=(), limit=())
        if "service" in query and "namespace" not in query:
            raise QueryError("service: needs the namespace of the Service, as namespace")
        if not _NUMBER.fullmatch(query.get("since", "0")):
            raise wrong(query, "since", "expected a unix time in seconds")
        found = changes(
            parts.journal,
            time.time(),
            namespace=query.get("namespace"),
            service=query.get("service"),
            since=float(query.get("since", "0")),
            limit=number(query, "limit", USUAL, MOST),
            unheard=parts.sync.unheard(),
        )
        return Response(msgspec.json.encode(found), type="application/json")

    text = "what changed in the cluster, the last first, with ?namespace=, &service=, &since=UNIX_TIME, &limit=N; JSON"
    return {"/changes": Route("GET", show, text)}
