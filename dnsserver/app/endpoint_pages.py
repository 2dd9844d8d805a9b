"""The page of admin HTTP with all endpoints of a Service and how each is, ready or not: `/endpoints`, as JSON."""

import re
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from dnsserver.app.files_at_hand import objects_of
from dnsserver.app.sync import Sync
from dnsserver.config import Config
from dnsserver.kube.endpoint_states import EndpointState, of_parsed
from dnsserver.kube.errors import ApiError
from dnsserver.server.admin import Request, Response, Route
from dnsserver.server.queries import check

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # of an object (RFC 1123), and so of a selector
_AT_ONCE = 2  # requests: each holds all slices of a Service
_MOST = 500  # endpoints that are shown


class Parts(Protocol):
    """The parts of a server that are asked."""

    is_alone: bool
    config: Config
    sync: Sync


class EndpointStates(msgspec.Struct, frozen=True):
    """Endpoints of `total`, those that are not ready first. `problem` says why they cannot be had, "" if they can."""

    total: int
    endpoints: tuple[EndpointState, ...]
    problem: str = ""


def endpoint_routes(parts: Parts) -> dict[str, Route]:
    """Return the route; each request asks the API server, or reads the files again."""
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def endpoints(request: Request) -> Response:
        query = request.query
        check(query, needed=("namespace", "service"), namespace=(), service=())
        async with limit:
            found = await _found(parts, query["namespace"], query["service"])
        return Response(msgspec.json.encode(found), type="application/json")

    text = "?namespace=, &service=: all endpoints of a Service as the cluster has them now, ready or not; JSON"
    return {"/endpoints": Route("GET", endpoints, text)}


async def _found(parts: Parts, namespace: str, service: str) -> EndpointStates:
    client, objects = parts.sync.client, parts.config.objects
    try:
        if client is not None and not (_NAME.fullmatch(namespace) and _NAME.fullmatch(service)):
            return EndpointStates(0, (), "no object of an API server can have this name")
        if client is not None:
            states = await client.endpoints(namespace, service)
        else:
            assert objects is not None  # it is one or the other
            states = await trio.to_thread.run_sync(_of_files, objects, namespace, service, parts.is_alone)
    except (ApiError, OSError, ValueError, msgspec.MsgspecError) as error:
        return EndpointStates(0, (), f"which endpoints are not ready cannot be read now: {error}")
    ordered = sorted(states, key=lambda each: (each.state == "ready", each.slice, each.addresses))
    return EndpointStates(len(ordered), tuple(ordered[:_MOST]))


def _of_files(path: Path, namespace: str, service: str, is_alone: bool) -> tuple[EndpointState, ...]:
    found: list[EndpointState] = []
    for thing in objects_of(path, "EndpointSlice", is_alone=is_alone):
        found += of_parsed(thing, namespace, service)
    return tuple(found)
