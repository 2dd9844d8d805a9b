"""The configuration in the form that each part wants: one function for each part."""

import socket
from ipaddress import ip_network
from typing import Any

import msgspec

from dnsserver.clients import shown_source
from dnsserver.config import Config, Route, Upstream
from dnsserver.forward.settings import CacheSettings, ForwardSettings, Limits, Policy, Transport, UpstreamSpec
from dnsserver.kube.progress import Timing
from dnsserver.logger import get_logger
from dnsserver.notices import Notices
from dnsserver.resolver.search import Search
from dnsserver.server.guard import Guard
from dnsserver.server.tcp import TcpLimits

log = get_logger(__name__)


def routes(config: Config) -> list[ForwardSettings]:
    """Return how the names below each domain are forwarded; a route without upstreams refuses."""
    return [_forward(route, config.workers) for route in config.routes()]


def _forward(route: Route, workers: int) -> ForwardSettings:
    file = next((upstream.host for upstream in route.upstreams if upstream.transport == "file"), None)
    return ForwardSettings(
        domain=route.domain.wire,
        upstreams=tuple(_upstream(upstream, route) for upstream in route.upstreams if upstream.transport != "file"),
        resolv_conf=file,
        policy=Policy(route.policy),
        deadline=route.deadline,
        hedge=route.hedge,
        mixed_case=route.mixed_case,
        trusted=route.trusted,
        max_in_flight=-(-route.max_in_flight // workers),
        excepted=tuple(domain.wire for domain in route.except_),
    )


def _upstream(upstream: Upstream, route: Route) -> UpstreamSpec:
    authorities = str(route.authorities) if route.authorities else None
    return UpstreamSpec(upstream.host, upstream.port, Transport(upstream.transport), upstream.server_name, authorities)


def search(config: Config) -> Search | None:
    """Return what completes pods' search lists, or None where that is off, as it is by default."""
    if not config.search.enabled:
        return None
    domains = [domain.wire for domain in config.search.node_domains]
    return Search(config.domain.wire, domains, [namespace.encode() for namespace in config.search.namespaces])


def cache(config: Config) -> CacheSettings:
    """Return what one process keeps of answers from outside: the size is that of all of them."""
    whole = msgspec.convert(config.cache, CacheSettings, from_attributes=True)
    return msgspec.structs.replace(whole, size=whole.size // config.workers)


def limits(config: Config) -> Limits:
    """Return what bounds forwarding in one process."""
    whole = msgspec.convert(config.forwarding, Limits, from_attributes=True)
    return msgspec.structs.replace(whole, in_flight=max(1, whole.in_flight // config.workers))


def tcp(config: Config) -> TcpLimits:
    """Return what a TCP client may take, and all of them together in one process."""
    whole = msgspec.convert(config.tcp, TcpLimits, from_attributes=True)
    connections, buffers = max(1, whole.connections // config.workers), whole.buffers // config.workers
    return msgspec.structs.replace(whole, connections=connections, buffers=buffers)


def guard(config: Config) -> Guard | None:
    """Return what judges clients, or None where everybody may ask without a limit."""
    clients = config.clients
    allow = [ip_network(network.text) for network in clients.allow]
    everybody = {network.version for network in allow if not network.prefixlen} == {4, 6}
    if everybody and not clients.rate and not clients.in_flight:
        return None
    watches = clients.over == "log"
    notices = Notices(log, "a client asks more than it may" if not watches else "a client asks more than the limit")
    return Guard(
        allow,
        clients.rate,
        clients.in_flight,
        refuses=clients.excess == "refuse",
        truncates=clients.over == "truncate",
        watches=watches,
        on_limited=lambda client, limit, now: notices.tell(
            shown_source(client), now, client=shown_source(client), setting=f"clients.{limit}"
        ),
    )


def timing(config: Config) -> Timing:
    """Return the times of list and watch."""
    return Timing(check_interval=config.kubernetes.check_interval)


def cluster(config: Config) -> dict[str, Any]:
    """Return how names of the cluster are answered: all that a `Cluster` takes beside its domain."""
    return {
        "ttl": config.ttl,
        "pods": config.pods,
        "reverse_networks": [network.text for network in config.reverse_zones],
        "grace": config.kubernetes.grace,
        "own_service": (config.service.namespace.encode(), config.service.name.encode()),
        "own_addresses": _own_addresses(config),
    }


def _own_addresses(config: Config) -> list[bytes]:
    """Return the addresses of ns.dns until the Service is known: those at which the server listens."""
    packed = []
    for address in config.listen:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        raw = socket.inet_pton(family, address.host)
        if any(raw):
            packed.append(raw)
        else:
            packed += _machine_address(family)
    return packed


def _machine_address(family: int) -> list[bytes]:
    """Return the address with which this machine reaches other networks, if it has one of the family."""
    try:  # making the socket as well: a kernel may have no IPv6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket sends nothing: it only has the kernel choose the source address.
            probe.connect(("192.0.2.1" if family == socket.AF_INET else "2001:db8::1", 53))
            return [socket.inet_pton(family, probe.getsockname()[0].partition("%")[0])]
    except OSError:
        return []
