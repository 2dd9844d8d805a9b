"""What admin HTTP shows and does: health, readiness, metrics, an index of these, and emptying the cache."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
import trio

from dnsserver import __version__
from dnsserver.metrics import Kind, Readings, ZoneSnapshot
from dnsserver.metrics.exposition import Exposition
from dnsserver.server.admin import Request, Response, Route
from dnsserver.server.queries import QueryError, wrong
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_text

Flush = Callable[[bytes, bool], int]


def standard_routes(
    read: Callable[[], Awaitable[Readings]],
    brief: Callable[[], Readings],
    flush: Flush,
    more: Mapping[str, Route] | None = None,
    late: Callable[[], Mapping[str, Route]] = dict,
    page: Callable[[Request, int], Response | None] = lambda *_: None,
) -> dict[str, Route]:
    """Return the routes of every server, and `more` of them. The index tells of those that `late` gives, too.

    `brief` gives the same Readings as `read`, less what processes count, which takes milliseconds: probes come often.
    `flush(name, below)` forgets a lower-case name, or all names below it as well, and returns how many entries went.
    `page(request, status)` gives a page for people with none of the server's data in it, None for who wants plain text.
    """
    health = Route("GET", lambda _: Response("ok\n"), "the process answers", open=True)
    ready = Route(
        "GET", lambda request: _ready(brief(), request), "whether it is ready, and the state of its data", open=True
    )
    routes = {
        "/readyz": ready,
        "/healthz": health,
        "/metrics": Route("GET", lambda request: _metrics(read, request), "for Prometheus", costly=True, open=True),
        "/cache/flush": Route(
            "POST",
            lambda request: _flush(request, flush),
            "forget outside answers, with ?name=NAME or ?domain=NAME",
            costly=True,
        ),
        "/health": health._replace(text=""),
        "/ready": ready._replace(text=""),
        **(more or {}),
    }
    routes["/"] = Route(
        "GET",
        lambda request: page(request, 200) or _index(brief(), {**routes, **late()}),
        denied=lambda request: page(request, 403),
    )
    return routes


async def _metrics(read: Callable[[], Awaitable[Readings]], request: Request) -> Response:
    """Answer a scrape in the format and the encoding that it asks for; other tasks run in between."""
    accept, encodings = request.headers.get("accept", ""), request.headers.get("accept-encoding", "")
    exposition = Exposition(await read(), accept, encodings)
    pieces = []
    for piece in exposition:
        pieces.append(piece)
        await trio.lowlevel.checkpoint()
    headers = {"vary": "accept, accept-encoding"}
    if exposition.encoding:
        headers["content-encoding"] = exposition.encoding
    return Response(b"".join(pieces), type=exposition.type, headers=headers)


def _ready(readings: Readings, request: Request) -> Response:
    """Answer a readiness probe, with the reasons for a person."""
    status = 200 if readings.ready else 503
    if "application/json" in request.headers.get("accept", ""):
        return Response(msgspec.json.encode(_readiness(readings)), status, "application/json")
    lines = [verdict(readings), *(f"{kind.kind}: {_state(kind, readings.now)}" for kind in readings.kinds)]
    if readings.zone.stale:
        lines.append("answers about the cluster are marked as stale (RFC 8914)")
    snapshot = readings.zone_snapshot
    if snapshot is not None:
        lines.append(f"state folder: {_saved(readings, snapshot)}")
    if readings.node is not None:
        lines.append(f"addresses of this node: {'; '.join(readings.node) or 'all in place'}")
    lines += [f"left out of the object files: {wrong}" for wrong in wrong_in_files(readings)]
    lines += _configuration(readings)
    rules = [f"- {{{kind.rule}}}" for kind in readings.kinds if kind.rule]
    if rules:
        lines += ["", _RBAC, "", "rules:", *rules]
    return Response("\n".join(lines) + "\n", status)


def _saved(readings: Readings, snapshot: ZoneSnapshot) -> str:
    """Say when the snapshot was up to date, or why there is none."""
    if snapshot.as_of is not None:
        serving = "its snapshot is being served, " if snapshot.serving else ""
        why = f"; it cannot be saved now: {snapshot.problem}" if snapshot.problem else ""
        return f"{serving}up to date {readings.now - snapshot.as_of:.1f} s ago{why}"
    if snapshot.problem:
        return f"nothing saved: {snapshot.problem}"
    return f"nothing saved yet{': the cluster is not read yet' if readings.missing else ''}"


def wrong_in_files(readings: Readings) -> tuple[str, ...]:
    """Return what is wrong in the files of objects, the first few of it."""
    wrong = () if readings.object_files is None else readings.object_files.wrong
    more = len(wrong) - _MOST_WRONG
    return (*wrong[:_MOST_WRONG], f"and {more} more") if more > 0 else wrong


def _configuration(readings: Readings) -> list[str]:
    """Return lines about the configuration in force, if it comes from files."""
    found = readings.configuration
    if found is None:
        return []
    lines = [f"configuration: {found.hash_type} {found.hash[:16]}, in force for {readings.now - found.applied:.1f} s"]
    lines += [f"configuration of the files, refused: {problem}" for problem in found.problems]
    if found.needs_restart:
        lines.append(f"configuration keys that need a restart: {', '.join(found.needs_restart)}")
    return lines


def verdict(readings: Readings) -> str:
    """Say in words whether it is ready, or why not."""
    if readings.draining:
        last = ", ready as the last endpoint of its Service" if readings.ready else ""
        return f"draining: this server is about to end, and answers until then{last}"
    if readings.ready:
        return "ready"
    return f"not ready, not read yet: {', '.join(readings.missing)}" if readings.missing else "not ready"


_MOST_WRONG = 20  # sentences about files of objects
_RBAC = (
    "The API server denies this server what it needs to read. Bind its ServiceAccount (or the user of its kubeconfig)\n"
    "to a ClusterRole with these rules; if it reads only some namespaces, a Role in each of them is enough:"
)

_STATES = {
    "starting": "connecting to the API server",
    "listing": "being read now",
    "watching": "watched for changes",
    "waiting": "waiting to try again",
    "forbidden": "denied by the API server (403)",
    "missing": "not known to the API server (404)",
}


def _state(kind: Kind, now: float) -> str:
    """Return a line about one kind of objects."""
    read = "read" if kind.synced else "from the snapshot" if kind.from_snapshot else "not read yet"
    parts = [read, f"{kind.objects} {'object' if kind.objects == 1 else 'objects'}"]
    parts += [_STATES.get(kind.state, kind.state)] if kind.state else []
    for what, last in (
        ("last change", kind.last_event),
        ("last sign of life", kind.last_heard),
        ("last full comparison", kind.last_check),
    ):
        parts += [f"{what} {now - last:.1f} s ago"] if last is not None else []
    again = sum(kind.resyncs.values())
    parts += [f"read again {again} {'time' if again == 1 else 'times'}"] if again else []
    parts += [f"last error: {kind.last_error}"] if kind.last_error else []
    return ", ".join(parts)


class _KindReadiness(msgspec.Struct, frozen=True):
    """Ages are in seconds, null for never."""

    synced: bool
    from_snapshot: bool
    objects: int
    state: str
    event_age: float | None
    heard_age: float | None
    check_age: float | None
    received_bytes: int
    resyncs: dict[str, int]
    last_error: str
    rule: str


class _ConfigurationReadiness(msgspec.Struct, frozen=True):
    hash_type: str
    hash: str
    age: float
    problems: tuple[str, ...]
    needs_restart: tuple[str, ...]


class _Readiness(msgspec.Struct, frozen=True):
    ready: bool
    draining: bool
    missing: tuple[str, ...]
    stale: bool
    from_snapshot: bool
    kinds: dict[str, _KindReadiness]
    configuration: _ConfigurationReadiness | None
    node: tuple[str, ...] | None
    object_problems: tuple[str, ...]
    save_problem: str


def _readiness(readings: Readings) -> _Readiness:
    """Return the readiness and its reasons as values for programs."""

    def age(last: float | None) -> float | None:
        return None if last is None else round(readings.now - last, 3)

    kinds = {
        str(kind.kind): _KindReadiness(
            synced=kind.synced,
            from_snapshot=kind.from_snapshot,
            objects=kind.objects,
            state=str(kind.state),
            event_age=age(kind.last_event),
            heard_age=age(kind.last_heard),
            check_age=age(kind.last_check),
            received_bytes=kind.bytes_received,
            resyncs=kind.resyncs,
            last_error=kind.last_error,
            rule=kind.rule,
        )
        for kind in readings.kinds
    }
    known = readings.configuration
    snapshot = readings.zone_snapshot
    return _Readiness(
        ready=readings.ready,
        draining=readings.draining,
        missing=readings.missing,
        stale=readings.zone.stale,
        from_snapshot=snapshot is not None and snapshot.serving,
        kinds=kinds,
        configuration=None
        if known is None
        else _ConfigurationReadiness(
            known.hash_type, known.hash, round(readings.now - known.applied, 3), known.problems, known.needs_restart
        ),
        node=readings.node,
        object_problems=wrong_in_files(readings),
        save_problem="" if snapshot is None else snapshot.problem,
    )


def _flush(request: Request, flush: Flush) -> Response:
    """Remove the answers for a name, or for all names of a domain, from the caches."""
    name, domain = request.query.get("name"), request.query.get("domain")
    if (name is None) == (domain is None):
        raise QueryError("say either ?name=NAME or ?domain=NAME")
    try:
        wire = from_text(name or domain or "").lower()
    except FormatError as error:
        raise wrong(request.query, "domain" if name is None else "name", str(error)) from None
    return Response(f"forgotten: {flush(wire, domain is not None)}\n")


def _index(readings: Readings, routes: Mapping[str, Route]) -> Response:
    """Return the state in short, and a list of all routes."""
    objects = ", ".join(f"{kind.objects} {kind.kind}" for kind in readings.kinds)
    lines = [f"dnsserver {__version__}", f"{verdict(readings)}{': ' if objects else ''}{objects}", ""]
    lines += [f"{route.method} {path}: {route.text}" for path, route in routes.items() if route.text]
    return Response("\n".join(lines) + "\n")
