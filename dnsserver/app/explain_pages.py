"""The pages of admin HTTP for `dnsserver explain` and `dnsserver dump`, and for other programs."""

from collections.abc import AsyncGenerator, Callable, Iterator

import msgspec
import trio

from dnsserver.app.dump import DumpError, lines_of
from dnsserver.app.explain import Parts, explainer_of
from dnsserver.app.explainer import Wanted, WantedError
from dnsserver.explain.text import lines
from dnsserver.server.admin import Request, Response, Route
from dnsserver.server.queries import check

_AT_ONCE = 4  # explanations: each holds all that it asks
_SLICE = 0.002  # seconds of lines between two turns of the event loop


def explain_routes(parts: Parts, place: Callable[[str], str]) -> dict[str, Route]:
    """Return the routes; `place` says where a key of the configuration is written."""
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def explain(request: Request) -> Response:
        check(request.query, needed=("name",), name=(), type=(), pod=(), namespace=(), resolv_conf=())
        try:
            wanted = msgspec.convert(request.query, Wanted)
            found = await explainer_of(parts, place, trio.current_time, limit).explain(wanted)
        except WantedError as error:
            return Response(f"{error}\n", 400)
        except trio.TooSlowError:
            return Response("it takes too long: the upstreams do not answer\n", 504)
        if "text/plain" in request.headers.get("accept", ""):
            return Response("\n".join(lines(found)) + "\n")
        return Response(msgspec.json.encode(found), type="application/json")

    def dump(request: Request) -> Response:
        check(request.query, name=(), reverse=())
        found = lines_of(
            parts.cluster, request.query.get("name", ""), reverse=request.query.get("reverse", "") not in {"", "0"}
        )
        try:
            first = next(found, "")
        except DumpError as error:
            return Response(f"{error}\n", 503 if parts.cluster.missing else 400)
        return Response(_in_slices(first, found))

    text = "?name=NAME, &type=, &namespace= or &pod=NAMESPACE/NAME: why a name resolves for a client, or does not; JSON"
    return {
        "/explain": Route("GET", explain, text),
        "/dump": Route("GET", dump, "the records of the zone as a zone file; ?name= of a namespace or a name"),
    }


async def _in_slices(first: str, rest: Iterator[str]) -> AsyncGenerator[bytes, None]:
    """Yield lines in pieces that take a few milliseconds, so that packets are answered between two pieces."""
    piece, ends = [first], trio.current_time() + _SLICE
    for line in rest:
        piece.append(line)
        if trio.current_time() >= ends:
            yield ("\n".join(piece) + "\n").encode()
            await trio.lowlevel.checkpoint()
            piece, ends = [], trio.current_time() + _SLICE
    if piece:
        yield ("\n".join(piece) + "\n").encode()
