"""The upstreams of one domain, and which of them is asked first."""

from collections.abc import Sequence

from dnsserver.forward import outcome as o
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.failure import looping
from dnsserver.forward.outcome import Outcome
from dnsserver.forward.settings import ForwardSettings, Policy
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.message import EDE, EMPTY, REFUSED, SERVFAIL
from dnsserver.wire.name import is_below
from dnsserver.wire.scope import Scope
from dnsserver.zone.record import Reason

_ORDER_LASTS = 0.05  # seconds for which `fastest` is not sorted again
_SAVED_HEDGES = 10.0  # extra questions that may be saved up
_LOOK_ASIDE = 64  # of so many questions one also goes to the second upstream, or its time would never be known


class Route:
    """One domain's upstreams in the order of its policy, and its budget of extra questions."""

    def __init__(self, settings: ForwardSettings, scope: Scope, entropy: Entropy) -> None:
        """Make a route without upstreams; they come in when their addresses are known."""
        self.settings = settings
        self.most_in_flight = settings.max_in_flight or float("inf")
        self.scope = scope
        self.upstreams: tuple[Upstream, ...] = ()
        self.usable = False  # there is one that does not loop
        self.trouble = ""  # why some of those that are configured are not known
        self._entropy = entropy
        self._order: list[Upstream] = []
        self._order_until = float("-inf")
        self._hedges = _SAVED_HEDGES
        self._count = 0
        self._turn = 0
        self.in_flight = 0  # lookups under way, which they count themselves

    def use(self, settings: ForwardSettings, scope: Scope) -> None:
        """Use other settings from now on; the upstreams stay until they are replaced."""
        if settings.mixed_case != self.settings.mixed_case:
            for upstream in self.upstreams:
                upstream.want_mixed_case(settings.mixed_case)
        self.settings = settings
        self.most_in_flight = settings.max_in_flight or float("inf")
        self.scope = scope
        self.reorder()

    def replace(self, upstreams: Sequence[Upstream]) -> None:
        """Use these upstreams from now on."""
        self.upstreams = tuple(upstreams)
        self.reorder()

    def reorder(self) -> None:
        """Record that an upstream's condition has changed."""
        self._order_until = float("-inf")
        self.usable = not all(upstream.looping for upstream in self.upstreams)

    def order(self, now: float) -> list[Upstream]:
        """Return the upstreams to ask, best first: those that are down last, those that loop not at all."""
        if now < self._order_until:
            return self._order
        usable = [upstream for upstream in self.upstreams if not upstream.looping]
        if self.settings.policy is Policy.FASTEST:
            usable.sort(key=lambda upstream: upstream.health.score)
            self._order_until = now + _ORDER_LASTS
        elif self.settings.policy is Policy.RANDOM:
            # Each its own key: any order is as likely as any other.
            usable.sort(key=lambda _: self._entropy.take(4))
        usable.sort(key=lambda upstream: upstream.health.worry)
        if self.settings.policy is Policy.ROUND_ROBIN and usable:
            best = sum(upstream.health.worry == usable[0].health.worry for upstream in usable)
            self._turn = turn = (self._turn + 1) % best
            usable[:best] = usable[turn:best] + usable[:turn]
        self._order = usable
        return usable

    def count_and_sample(self) -> bool:
        """Count a question; True when it should go to a second upstream at once, to see how that one does."""
        self._hedges = min(self._hedges + self.settings.hedge, _SAVED_HEDGES)
        self._count += 1
        return self._count % _LOOK_ASIDE == 0 and self.settings.policy is Policy.FASTEST and len(self.upstreams) > 1

    def take_hedge(self) -> bool:
        """Take one extra question out of the budget, if there is one left."""
        if self._hedges < 1:
            return False
        self._hedges -= 1
        return True


def areas(routes: Sequence[ForwardSettings]) -> dict[bytes, bytes]:
    """Return which route has the names below each domain that makes a difference; a route is named by its domain.

    That is each route's own domain, and what it excepts: that goes to the longest of the others which fit.
    """
    found = {each.domain: each.domain for each in routes}
    for each in routes:
        for domain in each.excepted:
            others = (other for other in routes if other is not each and is_below(domain, other.domain))
            fit = [other.domain for other in others if not any(is_below(domain, inner) for inner in other.excepted)]
            found.setdefault(domain, max(fit, key=len, default=each.domain))
    return found


def scope_of(settings: ForwardSettings, own: Sequence[bytes], routes: Sequence[ForwardSettings]) -> Scope:
    """Return what a route's upstreams are believed: trusted ones all but the zones that are answered here.

    What was handed over of such a zone is theirs all the same.
    """
    parts = areas(routes)
    denied = set(own)
    if not settings.trusted:
        inside = {domain for domain, route in parts.items() if route != settings.domain}
        denied |= {domain for domain in inside if is_below(domain, settings.domain)}
    mine = (domain for domain, route in parts.items() if route == settings.domain)
    allowed = tuple(domain for domain in mine if any(is_below(domain, zone) for zone in denied))
    return Scope(settings.domain, tuple(denied), settings.trusted, allowed)


def unasked(route: Route | None, now: float) -> Outcome:
    """Return the outcome of a question for which there is no upstream."""
    if route is not None and route.upstreams:
        rcode, reason = SERVFAIL, looping(route.upstreams, o.LOOP)
    elif route is not None and route.trouble:
        rcode, reason = SERVFAIL, Reason("upstreams-unknown", EDE.NO_REACHABLE_AUTHORITY, route.trouble)
    else:
        rcode, reason = REFUSED, o.NO_UPSTREAMS
    return Outcome(rcode, EMPTY, False, reason, now, now)
