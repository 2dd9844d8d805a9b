"""Which answers the difference between two configurations can affect; all others stay in the caches. Pure."""

from dnsserver.config import Config, Route
from dnsserver.config.changes import Changes
from dnsserver.resolver.altered import Altered
from dnsserver.wire.message import AAAA

_ARPA = b"\x04arpa\0"


def altered(before: Config, changes: Changes, domains: frozenset[bytes]) -> Altered:
    """Return what is altered by the keys that differ; `domains` are those whose own data here is another.

    What has no say in an answer, as limits, times to wait, or the order of upstreams, alters none.
    """
    after, keys = changes.config, set(changes.keys)
    of_names = set(domains)
    if "reverse_zones" in keys:
        of_names.add(_ARPA)
    if "pods" in keys:
        of_names.add(b"\x03pod" + after.domain.wire)
    old, new = _routes(before), _routes(after)
    routes = frozenset(domain for domain in old.keys() | new.keys() if old.get(domain) != new.get(domain))
    routes |= _excepted(before) ^ _excepted(after)
    lower = [
        float(getattr(after.cache, name))
        for name in ("ttl_cap", "negative_cap")
        if getattr(after.cache, name) < getattr(before.cache, name)
    ]
    # A name that only has addresses of a family that is not asked for outside counts as missing in a search list.
    is_completed_otherwise = any(key.startswith("search.") for key in keys) or ("ipv6" in keys and after.search.enabled)
    return Altered(
        everything="udp.size" in keys or recursion(before) != recursion(after),
        cluster="ttl" in keys,
        domains=frozenset(of_names),
        routes=routes,
        other_routes=frozenset((old.keys() & new.keys()) - routes),
        types=frozenset({AAAA} if "ipv6" in keys else ()),
        completed=b"\x03svc" + after.domain.wire if is_completed_otherwise else b"",
        longer_than=min(lower, default=None),
    )


def recursion(config: Config) -> bool:
    """Tell whether anybody is asked for names outside the cluster, which every reply says (RA)."""
    return any(route.upstreams for route in config.routes())


def _routes(config: Config) -> dict[bytes, object]:
    """Return, by domain, the upstreams of each route and whether they are trusted: other settings alter no answer."""
    return {route.domain.wire: _answers_of(route) for route in config.routes()}


def _excepted(config: Config) -> frozenset[bytes]:
    """Return the domains that routes exclude."""
    return frozenset(domain.wire for route in config.routes() for domain in route.except_)


def _answers_of(route: Route) -> object:
    return frozenset(route.upstreams), route.trusted
