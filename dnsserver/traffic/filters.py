"""Chooses questions by class, client, name, type and rcode."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, get_args

import msgspec

from dnsserver.traffic.observed import Observed
from dnsserver.wire import message as m
from dnsserver.wire.name import end_of_name, is_below

Class = Literal["all", "success", "denial", "error", "slow"]
CLASSES: tuple[Class, ...] = get_args(Class)
NEVER = float("inf")

_NAME_AT = 10  # in the octets that a kept reply is found by: a header without its ID
_Prefix = tuple[int, int, int]  # octets of an address, bits behind the prefix, and the prefix


class Filter(msgspec.Struct, frozen=True):
    """What is wanted. A question has to be of one of the classes, and fit all else that is set.

    `slow` is in seconds, for the class of that name. `took` is how many seconds an answer of any class had to take
    at the least. `below` are domains in wire form and lower case.
    """

    classes: frozenset[Class]
    slow: float = NEVER
    took: float = 0.0
    clients: tuple[_Prefix, ...] = ()
    below: tuple[bytes, ...] = ()
    types: frozenset[int] = frozenset()
    rcodes: frozenset[int] = frozenset()

    @property
    def wants_successes(self) -> bool:
        """Whether replies are wanted that are no failure, however fast they were."""
        return not self.took and bool(self.classes & {"all", "success"})

    @property
    def slow_from(self) -> float:
        """From how many seconds on replies are wanted that are no failure, where not all of them are."""
        if self.took and self.classes & {"all", "success"}:
            return self.took
        return max(self.slow, self.took) if "slow" in self.classes else NEVER

    @property
    def is_selective(self) -> bool:
        """Whether more is asked for than a class."""
        return bool(self.took or self.clients or self.below or self.types or self.rcodes)

    def wants(self, seen: Observed) -> bool:
        """Tell whether a question is wanted."""
        if seen.seconds < self.took or not self._wants_class(seen):
            return False
        if (self.types and seen.type not in self.types) or (self.rcodes and seen.rcode not in self.rcodes):
            return False
        if self.below and not self._is_below(seen.name.lower()):
            return False
        return not self.clients or self._is_client(seen.client)

    def may_want(self, key: bytes, rcode: int, *, records: bool) -> bool:
        """Tell whether a kept reply can be wanted, when it is sent: `key` are its question's octets, less the ID.

        It is sent at once, so whoever wants what took long does not want it.
        """
        if self.took:
            return False
        denial = rcode == m.NXDOMAIN or not (rcode or records)
        wanted: Class = "denial" if denial else "error" if rcode else "success"
        if not self.classes & {"all", wanted} or (self.rcodes and rcode not in self.rcodes):
            return False
        end = end_of_name(key, _NAME_AT)
        if self.types and int.from_bytes(key[end : end + 2], "big") not in self.types:
            return False
        return not self.below or self._is_below(key[_NAME_AT:end].lower())

    def _wants_class(self, seen: Observed) -> bool:
        classes = self.classes
        if "all" in classes or ("slow" in classes and seen.seconds >= self.slow):
            return True
        if seen.is_error:
            return "error" in classes
        return ("denial" if seen.is_denial else "success") in classes

    def _is_below(self, name: bytes) -> bool:
        return bool(name) and any(is_below(name, domain) for domain in self.below)

    def _is_client(self, client: bytes) -> bool:
        number, size = int.from_bytes(client, "big"), len(client)
        return any(size == octets and number >> shift == prefix for octets, shift, prefix in self.clients)


def prefixes(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[_Prefix, ...]:
    """Return networks as a Filter has them."""
    found = []
    for network in networks:
        shift = network.max_prefixlen - network.prefixlen
        found.append((network.max_prefixlen // 8, shift, int(network.network_address) >> shift))
    return tuple(found)
