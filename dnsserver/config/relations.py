"""Finds values that are valid one by one, but not together."""

import ipaddress
from collections.abc import Iterator

import msgspec

from dnsserver.config import selectors
from dnsserver.config.domains import forward_problem, local_problem, search_problem
from dnsserver.config.model import Config
from dnsserver.config.values import Address, Domain, Upstream
from dnsserver.traffic.filters import CLASSES
from dnsserver.wire.name import MAX_NAME, ROOT, is_below

_MOST_LISTENERS = 64
_MOST_UPSTREAMS = 64
_MOST_NODE_DOMAINS = 29
_LONGEST_DOMAIN = MAX_NAME - len("hostmaster") - 1  # the longest name that a zone cannot be without

Mistake = tuple[str, str]  # a key, and a sentence about it


def mistakes(config: Config) -> Iterator[Mistake]:
    """Yield what keeps the values of a configuration from being in force together."""
    yield from _listeners(config)
    yield from _sources(config)
    if config.takeover is not None and config.workers > 1:
        yield "takeover", f"works with one process only, but workers is {config.workers}; remove one of the two"
    if config.domain.wire == ROOT:
        yield "domain", "is the root, expected a domain of the cluster's own"
    if len(config.domain.wire) > _LONGEST_DOMAIN:
        found = f"has {len(config.domain.wire)} octets, expected at most {_LONGEST_DOMAIN}"
        yield "domain", f"{found}, so that the zone's own names fit into {MAX_NAME} octets"
    yield from _forwards(config)
    if config.rewrite or config.answer or config.hosts:
        from dnsserver.config import rules  # noqa: PLC0415 - dnslib and RE2: only who has rules needs them

        yield from rules.mistakes(config)
    for index, rule in enumerate(config.query_log):
        if not rule.classes:
            yield f"query_log[{index}].classes", f"is empty, expected one or more of {', '.join(CLASSES)}"
    for low, high in (("ttl_floor", "ttl_cap"), ("negative_floor", "negative_cap"), ("failure_ttl", "failure_cap")):
        least, most = getattr(config.cache, low), getattr(config.cache, high)
        if least > most:
            yield f"cache.{low}", f"{least} is above cache.{high}, which is {most}"


def _listeners(config: Config) -> Iterator[Mistake]:
    if not config.listen:
        yield "listen", "is empty, expected at least one address"
    if len(config.listen) > _MOST_LISTENERS:
        yield "listen", f"has {len(config.listen)} addresses, expected at most {_MOST_LISTENERS}"
        return
    seen: dict[Address, None] = {}
    for index, address in enumerate(config.listen):
        key = f"listen[{index}]"
        if _is_for_many(ipaddress.ip_address(address.host)):
            yield key, f"{address} is not the address of one machine"
        if address in seen and address.port:
            yield key, f"{address} is already in the list"
        else:
            taken = next((other for other in _wider(address) if other in seen), None)
            taken = taken or next((other for other in seen if _is_wildcard(address) and clash(address, other)), None)
            if taken is not None:
                yield (
                    key,
                    f"{address} clashes with {taken}, also in the list: one would take the other's packets",
                )
        seen[address] = None
    admin = config.admin
    for address in seen:
        if clash(address, admin, dual=admin.host == "::"):
            yield "admin", f"{admin} clashes with {address} in listen: DNS over TCP uses that port; choose another one"
            return


def clash(one: Address, other: Address, *, dual: bool = False) -> bool:
    """Tell whether two sockets cannot be bound at once; with `dual` the other one takes IPv4 as well as IPv6."""
    if one.port != other.port or not one.port:
        return False
    if dual:
        return True
    same_family = (":" in one.host) == (":" in other.host)
    return same_family and (one.host == other.host or _is_wildcard(one) or _is_wildcard(other))


def _is_wildcard(address: Address) -> bool:
    return ipaddress.ip_address(address.host).is_unspecified


def _wider(address: Address) -> tuple[Address, ...]:
    """Return the wildcard address that includes this address, if it is another one and has a port."""
    if _is_wildcard(address) or not address.port:
        return ()
    return (Address("::" if ":" in address.host else "0.0.0.0", address.port),)


def _sources(config: Config) -> Iterator[Mistake]:
    if config.objects is not None and config.kubeconfig is not None:
        yield "kubeconfig", "is set together with objects: the cluster comes from one of them; remove the other"
    if config.context is not None and config.kubeconfig is None:
        beside = "objects need no context" if config.objects else "a context is part of a kubeconfig"
        yield "context", f"is set without kubeconfig: {beside}"
    for name in ("labels", "namespace_labels"):
        text = getattr(config.kubernetes, name)
        if not selectors.is_selector(text):
            yield f"kubernetes.{name}", f'found "{text[:60]}", expected {selectors.EXPECTED}'


def _address_problem(host: str) -> str:
    """Return why no server can be asked at an address; empty if one can be, and for a hostname."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local and not address.scope_id:
        return f'is link-local, expected its interface after it, as in "{host}%eth0"'
    if address.is_unspecified or _is_for_many(address):
        return "is not the address of one machine"
    return ""


def _same(upstream: Upstream) -> Upstream:
    """Return the upstream with its port, so that two spellings of one upstream are equal."""
    port = upstream.port or {"file": 0, "tls": 853}.get(upstream.transport, 53)
    return msgspec.structs.replace(upstream, port=port)


def _is_for_many(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_multicast or str(address) == "255.255.255.255"


def _forwards(config: Config) -> Iterator[Mistake]:
    routes = [("upstreams", config.upstreams)]
    routes += [(f"forward[{index}].upstreams", forward.upstreams) for index, forward in enumerate(config.forward)]
    for key, upstreams in routes:
        if len(upstreams) > _MOST_UPSTREAMS:
            yield key, f"has {len(upstreams)} entries, expected at most {_MOST_UPSTREAMS}"
            continue
        if len(upstreams) > 1 and any(upstream.transport == "file" for upstream in upstreams):
            yield key, "a file that lists upstreams has to be the only entry"
        for number, upstream in enumerate(upstreams):
            if wrong := _address_problem(upstream.host):
                yield f"{key}[{number}]", f"{upstream} {wrong}"
            if _same(upstream) in map(_same, upstreams[:number]):
                yield f"{key}[{number}]", f"{upstream} is already in the list"
    seen: set[Domain] = set()
    for index, forward in enumerate(config.forward):
        key = f"forward[{index}].domain"
        if forward.domain in seen:
            yield key, f'"{forward.domain}" is already in another [[forward]]'
        if problem := forward_problem(forward.domain, config):
            yield key, problem
        for number, excepted in enumerate(forward.except_):
            if excepted == forward.domain or not is_below(excepted.wire, forward.domain.wire):
                yield f"forward[{index}].except[{number}]", f'"{excepted}" is not below "{forward.domain}"'
        seen.add(forward.domain)
    for index, kept in enumerate(config.local.domains):
        if problem := local_problem(kept, config):
            yield f"local.domains[{index}]", problem
    if len(config.search.node_domains) > _MOST_NODE_DOMAINS:
        found = f"has {len(config.search.node_domains)} entries, expected at most {_MOST_NODE_DOMAINS}"
        yield (
            "search.node_domains",
            f"{found}: a kubelet accepts 32 search domains, and three of them are the cluster's",
        )
    for index, domain in enumerate(config.search.node_domains):
        if problem := search_problem(domain):
            yield f"search.node_domains[{index}]", problem
