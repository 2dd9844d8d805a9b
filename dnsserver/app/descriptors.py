"""How many files and sockets a process may have open, and how many of them clients may use.

Upstreams, admin HTTP, the API and the pipes to workers come first: a client that opens connections and says nothing
must not take the outside names away from others.
"""

import resource
from ipaddress import ip_address

from dnsserver.config import Config

_SANE = 65_536  # a limit above it only makes what walks all descriptors slow
_OWN = 64  # listeners, event loops, pipes, files that are read
_ADMIN = 128
_API = 32
UDP_SOCKETS = 128  # to one upstream, at most; `forward.transport_udp` opens them
STREAMS = 16  # to one upstream, at most; `forward.stream_pool` opens them
_IN_A_FILE = 3  # upstreams that a resolv.conf names at most
_BY_NAME = 4  # addresses that an upstream's hostname usually has at most


def raise_limit() -> int:
    """Have this process open as many descriptors as it may, and return how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _SANE if hard == resource.RLIM_INFINITY else min(hard, _SANE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # forbidden by whoever started it: what it has must do
            return soft
        return wanted
    return _SANE if soft == resource.RLIM_INFINITY else soft


def highest_limit() -> int:
    """Return what `raise_limit` would."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _SANE if hard == resource.RLIM_INFINITY else min(hard, _SANE)


def reserve(config: Config) -> int:
    """Return how many descriptors a process needs for anything but TCP clients."""
    upstreams = 0
    for route in config.routes():
        for upstream in route.upstreams:
            addresses = _IN_A_FILE if upstream.transport == "file" else 1 if _is_address(upstream.host) else _BY_NAME
            upstreams += addresses * (STREAMS + (UDP_SOCKETS if upstream.transport in {"udp", "file"} else 0))
    return _OWN + _ADMIN + _API + upstreams


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def for_clients(config: Config, wanted: int, limit: int) -> int:
    """Return how many TCP connections of clients there may be, as `wanted` or as `limit` leaves room for.

    Where even the reserve does not fit, clients have a quarter of what there is.
    """
    return min(wanted, max(limit - reserve(config), limit // 4))
