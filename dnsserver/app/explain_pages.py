"""What admin HTTP has for `dnsserver explain` and `dnsserver dump`, and for whoever else asks."""

from collections.abc import Callable

import msgspec
import trio

from dnsserver.app.explain import Parts, explainer_of
from dnsserver.app.explainer import Wanted, WantedError
from dnsserver.explain.text import lines
from dnsserver.server.admin import Request, Response, Route

_AT_ONCE = 4  # explanations: each holds all that it asks
_KEYS = {"name", "type", "pod", "namespace", "resolv_conf"}


def explain_routes(parts: Parts, place: Callable[[str], str]) -> dict[str, Route]:
    """Return the routes; `place` says where a key of the configuration is written."""
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def explain(request: Request) -> Response:
        if not request.query.keys() <= _KEYS or "name" not in request.query:
            return Response(f"say ?name=NAME, and at most {', '.join(sorted(_KEYS - {'name'}))}\n", 400)
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

    text = "?name=NAME, &type=, &namespace= or &pod=NAMESPACE/NAME: why a name resolves for a client, or does not; JSON"
    return {"/explain": Route("GET", explain, text)}
