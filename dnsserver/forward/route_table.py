"""Which upstreams are asked for a name: a route for each domain; the longest matching domain wins.

What was learned about an upstream is kept while it is in use: by the same route as the same object, by another route
or transport as a copy.
"""

from collections.abc import Iterator, Sequence

from dnsserver.forward.entropy import Entropy
from dnsserver.forward.route import Route, areas, scope_of
from dnsserver.forward.settings import ForwardSettings
from dnsserver.forward.sources import Known, apply_known
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.name import ROOT


class RouteTable:
    """The routes by their domains. `default` is the one of all names, where there is no other."""

    def __init__(self, settings: Sequence[ForwardSettings], own: Sequence[bytes], entropy: Entropy) -> None:
        """Make routes without upstreams; they come in when their addresses are known. `own` are zones answered here."""
        self._entropy = entropy
        self._routes = {each.domain: Route(each, scope_of(each, own, settings), entropy) for each in settings}
        self._areas: dict[bytes, Route] = {}
        self._sort_in(settings)

    def __iter__(self) -> Iterator[Route]:
        """Yield the routes."""
        return iter(self._routes.values())

    def get(self, domain: bytes) -> Route | None:
        """Return the route of exactly this domain."""
        return self._routes.get(domain)

    def find(self, name: bytes) -> Route | None:
        """Return the route of the longest domain that the name is below."""
        routes = self._areas
        position = 0
        while name[position]:
            route = routes.get(name[position:])
            if route is not None:
                return route
            position += name[position] + 1
        return routes.get(ROOT)

    def upstreams(self) -> list[Upstream]:
        """Return all upstreams of all routes."""
        return [upstream for route in self._routes.values() for upstream in route.upstreams]

    def longest_deadline(self) -> float:
        """Return the seconds that a question may take, on the route where it is most."""
        return max((route.settings.deadline for route in self._routes.values()), default=0.0)

    def replace(self, settings: Sequence[ForwardSettings], own: Sequence[bytes], known: Known) -> list[Upstream]:
        """Use these routes from now on, and return the upstreams that are no longer used.

        `known` says what there is no time to look up in between. A route of a domain that had one stays the same
        object, so what is under way on it goes on.
        """
        before = self.upstreams()
        routes = {}
        for each in settings:
            scope = scope_of(each, own, settings)
            route = self._routes.get(each.domain)
            if route is None:
                route = Route(each, scope, self._entropy)
                apply_known(route, known, before)
            else:
                moved = (each.upstreams, each.resolv_conf) != (route.settings.upstreams, route.settings.resolv_conf)
                route.use(each, scope)
                if moved:
                    apply_known(route, known, before)
            routes[each.domain] = route
        self._routes = routes
        self._sort_in(settings)
        present = set(self.upstreams())
        return [upstream for upstream in before if upstream not in present]

    def _sort_in(self, settings: Sequence[ForwardSettings]) -> None:
        self._areas = {domain: self._routes[route] for domain, route in areas(settings).items()}
        self.default = self._routes.get(ROOT) if len(self._areas) == 1 else None
