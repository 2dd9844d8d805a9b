"""Forwarding in numbers, as metrics show it."""

import msgspec

from dnsserver.forward.answer_cache import CacheStatistics
from dnsserver.forward.upstream import UpstreamStatistics


class ForwardStatistics(msgspec.Struct, frozen=True):
    """Forwarding in numbers, since the start but for `in_flight`."""

    upstreams: tuple[UpstreamStatistics, ...]
    cache: CacheStatistics
    in_flight: int
    coalesced: int
    hedges: int
    retries: int
    over_tcp: int
    dropped: int
    loops: int
