"""Who may ask, and how much: networks, queries a second, questions under way. By the client's address, and pure.

Who may ask is said of an address. How much is counted for an IPv4 address, or for an IPv6 /64: one host has all of that
(in most clusters the pods of a node). UDP and TCP count apart, so that who is sent to TCP, by a reply that is cut, has
as much there. Promises: one client's excess costs others nothing, and what is remembered of clients is bounded however
many there are. Where nothing is limited there is no Guard at all. Several processes count apart: each knows what it was
asked itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

from dnsserver.clients import source_of
from dnsserver.wire.message import EDE
from dnsserver.zone.record import Reason

NOT_ALLOWED = Reason("client-not-allowed", EDE.PROHIBITED, "your address may not ask here")
# Texts of six octets have room in a reply that is no longer than a query with a cookie.
TOO_FAST = Reason("client-rate", EDE.OTHER, "rate")
TOO_MANY = Reason("client-in-flight", EDE.OTHER, "queue")

_NEVER, _LONG_AGO = float("inf"), float("-inf")
_REMEMBERED = 32_768  # clients, at about 100 octets each

Kept = TypeVar("Kept")
OnLimited = Callable[[bytes, str, float], None]


def _nobody(client: bytes, limit: str, now: float) -> None:
    del client, limit, now


class _Lately(Generic[Kept]):
    """A bounded dict that forgets the clients that have been silent longest.

    Clients that asked recently are in the first dict. When the first dict is full, it becomes the second one. A client
    that is only in the second dict has not asked since then. So no query has to update an order.
    """

    def __init__(self, most: int) -> None:
        self._share = max(1, most // 2)
        self._new: dict[bytes, Kept] = {}
        self._old: dict[bytes, Kept] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def get(self, key: bytes) -> Kept | None:
        found = self._new.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, value: Kept) -> None:
        if len(self._new) >= self._share and key not in self._new:
            self._old, self._new = self._new, {}
        self._new[key] = value


class Guard:
    """Judges queries by who sent them.

    `rate` is queries a second from one client, of which it may send a second's worth at once; `in_flight` how many of
    its questions may wait for the outside; 0 is without a limit. `refuses` says that those who may not ask get REFUSED,
    `truncates` that what is too much over UDP gets an empty reply with TC. Where it only `watches`, what is too much is
    counted and told, and answered all the same. `limited` counts by the name of the setting that was in the way, or
    would have been: then with "-watched" behind it.
    """

    def __init__(
        self,
        allow: Iterable[IPv4Network | IPv6Network],
        rate: int = 0,
        in_flight: int = 0,
        *,
        refuses: bool = False,
        truncates: bool = False,
        watches: bool = False,
        on_limited: OnLimited = _nobody,
        remembered: int = _REMEMBERED,
    ) -> None:
        """`remembered` bounds the clients known at a time; one that was forgotten starts afresh.

        `on_limited` hears of each query that is too much: its client, the setting, and the time.
        """
        self.refuses = refuses
        self.truncates = truncates
        self.limited: Counter[str] = Counter()
        self._watches = watches
        self._on_limited = on_limited
        self._networks = _by_prefix(allow)
        self._everybody = all(max(prefixes, default=0) == size * 8 for size, prefixes in self._networks.items())
        self._rate = rate
        self._step = 1 / rate if rate else 0.0
        self._window = 1 - self._step / 2  # half a query of tolerance: sums of steps are not exact
        self._in_flight = in_flight
        self._waiting: dict[bytes, int] = {}
        self._allowed: _Lately[bool] = _Lately(remembered)
        self._full_at: _Lately[float] = _Lately(remembered)  # all that a token bucket needs: when it is full again

    def admission_denial(self, client: bytes, now: float, *, stream: bool = False) -> Reason | None:
        """Return why one more query of a client is not to be answered, or None; an admitted one is counted."""
        if not self.allows(client):
            return NOT_ALLOWED
        if self._rate:
            source = _counted(client, stream)
            full_at = self._full_at.get(source)
            ahead = _LONG_AGO if full_at is None else full_at - now
            if ahead > self._window:
                return self._too_much(client, "rate", TOO_FAST, now)
            self._full_at.put(source, (now if full_at is None or ahead <= 0 else full_at) + self._step)
        return None

    def allows(self, client: bytes) -> bool:
        """Tell whether a client is in the allowed networks, as is asked before it has sent anything."""
        if self._everybody:
            return True
        allowed = self._allowed.get(client)
        if allowed is None:
            allowed = self._is_inside(client)
            self._allowed.put(client, allowed)
        if not allowed:
            self.limited["allow"] += 1
        return allowed

    @property
    def clients(self) -> int:
        """How many clients are remembered."""
        return max(len(self._allowed), len(self._full_at))

    @property
    def counts(self) -> bool:
        """Whether the questions of a client that wait for the outside have to be counted."""
        return self._in_flight > 0

    def inflight_denial(self, client: bytes, now: float, *, stream: bool = False) -> Reason | None:
        """Return why a question of a client may not wait for the outside, or None."""
        if not self._in_flight or self._waiting.get(_counted(client, stream), 0) < self._in_flight:
            return None
        return self._too_much(client, "in_flight", TOO_MANY, now)

    def begin(self, client: bytes, *, stream: bool = False) -> Callable[[], None]:
        """Record that a question of a client waits for the outside; return what to call when it waits no more."""
        source = _counted(client, stream)
        self._waiting[source] = self._waiting.get(source, 0) + 1

        def end() -> None:
            left = self._waiting[source] - 1
            if left:
                self._waiting[source] = left
            else:
                del self._waiting[source]

        return end

    def has_reply(self, reason: Reason, *, stream: bool) -> bool:
        """Tell whether a query that is not answered for this reason gets a reply that says so."""
        return self.refuses if reason is NOT_ALLOWED else self.truncates and not stream

    def _too_much(self, client: bytes, limit: str, reason: Reason, now: float) -> Reason | None:
        self._on_limited(client, limit, now)
        if self._watches:
            self.limited[f"{limit}-watched"] += 1
            return None
        self.limited[limit] += 1
        return reason

    def _is_inside(self, client: bytes) -> bool:
        number = int.from_bytes(client, "big")
        return any(number >> shift in prefixes for shift, prefixes in self._networks[len(client)].items())


def _counted(client: bytes, stream: bool) -> bytes:
    """Return the key under which a client's queries over UDP, or over TCP, are counted."""
    return source_of(client) + b"\0" if stream else source_of(client)


def _by_prefix(networks: Iterable[IPv4Network | IPv6Network]) -> dict[int, dict[int, set[int]]]:
    """Return networks by the length of their prefix and its octets: an address takes one look-up for each length."""
    found: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
    for network in networks:
        shift = network.max_prefixlen - network.prefixlen
        prefix = int(network.network_address) >> shift
        found[network.max_prefixlen // 8].setdefault(shift, set()).add(prefix)
    return found
