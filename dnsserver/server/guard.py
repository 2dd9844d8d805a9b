"""Who may ask, and how much: networks, queries a second, questions under way. By the client's address, and pure.

A client is one address, all 4 or 16 octets of it: the pods of a node share a prefix, and each is on its own. Promises:
one client's excess costs others nothing, and what is remembered of clients is bounded however many there are. Where
nothing is limited there is no Guard at all. Several processes count apart: each knows what it was asked itself.
"""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from dnsserver.wire.message import EDE
from dnsserver.zone.record import Reason

NOT_ALLOWED = Reason("client-not-allowed", EDE.PROHIBITED, "your address may not ask here")
TOO_FAST = Reason("client-rate", EDE.PROHIBITED, "too many queries from your address")
TOO_MANY = Reason("client-in-flight", EDE.PROHIBITED, "too many questions of your address are under way")

_NEVER, _LONG_AGO = float("inf"), float("-inf")
_REMEMBERED = 32_768  # clients, at about 100 octets each


class Guard:
    """Judges queries by who sent them.

    `rate` is queries a second from one client, of which it may send a second's worth at once; `in_flight` how many of
    its questions may wait for the outside; 0 is without a limit. `refuses` says that those turned away get REFUSED, and
    `limited` counts them by the name of the setting that was in the way.
    """

    def __init__(
        self,
        allow: Iterable[IPv4Network | IPv6Network],
        rate: int = 0,
        in_flight: int = 0,
        *,
        refuses: bool = False,
        remembered: int = _REMEMBERED,
    ) -> None:
        """`remembered` bounds the clients known at a time; one that was forgotten starts afresh."""
        self.refuses = refuses
        self.limited: Counter[str] = Counter()
        self._networks = _by_prefix(allow)
        self._rate = rate
        self._step = 1 / rate if rate else 0.0
        self._window = 1 - self._step / 2  # half a query of tolerance: sums of steps are not exact
        self._in_flight = in_flight
        self._waiting: dict[bytes, int] = {}
        # A token bucket needs one number: the time at which it is full again. `_NEVER` is a client not allowed.
        # Those heard of lately are in the first dict. When it has its share, it becomes the second one, and whoever
        # is in that only has not been heard of since: no order has to be kept at every query.
        self._full_at: dict[bytes, float] = {}
        self._full_at_before: dict[bytes, float] = {}
        self._share = max(1, remembered // 2)

    def admission_denial(self, client: bytes, now: float) -> Reason | None:
        """Return why one more query of a client is not to be answered, or None; an admitted one is counted."""
        full_at = self._full_at.get(client)
        if full_at is None:
            full_at = self._recall(client)
        if full_at == _NEVER:
            self.limited["allow"] += 1
            return NOT_ALLOWED
        if self._rate:
            ahead = full_at - now
            if ahead > self._window:
                self.limited["rate"] += 1
                return TOO_FAST
            self._full_at[client] = (full_at if ahead > 0 else now) + self._step
        return None

    def allows(self, client: bytes) -> bool:
        """Tell whether a client is in the allowed networks, as is asked before it has sent anything."""
        full_at = self._full_at.get(client)
        allowed = (self._recall(client) if full_at is None else full_at) != _NEVER
        if not allowed:
            self.limited["allow"] += 1
        return allowed

    @property
    def clients(self) -> int:
        """How many clients are remembered."""
        return len(self._full_at) + len(self._full_at_before)

    @property
    def counts(self) -> bool:
        """Whether the questions of a client that wait for the outside have to be counted."""
        return self._in_flight > 0

    def inflight_denial(self, client: bytes) -> Reason | None:
        """Return why a question of a client may not wait for the outside, or None."""
        if not self._in_flight or self._waiting.get(client, 0) < self._in_flight:
            return None
        self.limited["in_flight"] += 1
        return TOO_MANY

    def begin(self, client: bytes) -> None:
        """Record that a question of a client waits for the outside."""
        self._waiting[client] = self._waiting.get(client, 0) + 1

    def end(self, client: bytes) -> None:
        """Record that it waits no more."""
        left = self._waiting[client] - 1
        if left:
            self._waiting[client] = left
        else:
            del self._waiting[client]

    def _recall(self, client: bytes) -> float:
        """Return what is known of a client not heard of lately, and remember it."""
        full_at = self._full_at_before.get(client)
        if full_at is None:
            full_at = _LONG_AGO if self._is_inside(client) else _NEVER
        if len(self._full_at) >= self._share:
            self._full_at_before, self._full_at = self._full_at, {}
        self._full_at[client] = full_at
        return full_at

    def _is_inside(self, client: bytes) -> bool:
        number = int.from_bytes(client, "big")
        return any(number >> shift in prefixes for shift, prefixes in self._networks[len(client)].items())


def _by_prefix(networks: Iterable[IPv4Network | IPv6Network]) -> dict[int, dict[int, set[int]]]:
    """Return networks by the octets of an address and the bits behind the prefix: one look-up a prefix length."""
    found: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
    for network in networks:
        shift = network.max_prefixlen - network.prefixlen
        prefix = int(network.network_address) >> shift
        found[network.max_prefixlen // 8].setdefault(shift, set()).add(prefix)
    return found
