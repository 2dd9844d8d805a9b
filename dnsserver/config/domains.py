"""Finds domains in the configuration that no question would ever reach, and says what to write instead."""

import ipaddress
import re

from dnsserver.config.model import Config
from dnsserver.config.values import Domain
from dnsserver.wire.name import ROOT, is_below, labels, to_text
from dnsserver.zone.static import SPECIAL

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LABEL_BITS = {4: 8, 6: 4}
_ENDS = {4: "in-addr.arpa", 6: "ip6.arpa"}
_LISTED = 2
# What a URL or an address of a server has around a domain.
_AROUND_A_DOMAIN = re.compile(r"(?:[a-z][a-z0-9+]*://)?([^:/]+)(?::\d+)?/*")


def forward_problem(domain: Domain, config: Config) -> str | None:
    """Return why a domain of its own upstreams never gets a question, and what to write instead; None if it does."""
    shown = misspelled(domain)
    if shown is not None:
        return shown
    if domain.wire == ROOT:
        return '"." means every name: write these servers into upstreams'
    for kept in config.local.domains:
        if is_below(domain.wire, kept.wire):
            inside = f'"{domain}" lies in "{kept}" of local.domains'
            return f"{inside}, which is not forwarded: remove it from one of the two"
    for text in (network.text for network in config.reverse_zones):
        inner = _network(domain)
        outer = ipaddress.ip_network(text)
        if inner is not None and _lies_in(inner, outer):
            return f'"{domain}" lies in {text} of reverse_zones, which is answered here: remove it from one of the two'
    if domain == config.domain:
        return f'"{domain}" is the domain of the cluster; only a part of it can be forwarded, as in "shop.svc.{domain}"'
    return _answered_here(domain)


def local_problem(domain: Domain, config: Config) -> str | None:
    """Return why a domain that is to be kept here makes no sense; None if it does."""
    shown = misspelled(domain)
    if shown is not None:
        return shown
    if domain.wire == ROOT:
        return '"." means every name: to forward nothing, write upstreams = []'
    if config.domain.wire != ROOT and is_below(domain.wire, config.domain.wire):
        return f'"{domain}" lies in "{config.domain}", which is answered here: remove it'
    return _answered_here(domain)


def _answered_here(domain: Domain) -> str | None:
    for special in SPECIAL:
        if is_below(domain.wire, special):
            name = to_text(special).removesuffix(".")
            return f'"{domain}" lies in "{name}", a special-use name that is answered here: remove it'
    return None


def search_problem(domain: Domain) -> str | None:
    """Return why a domain of a search list makes no name that anybody has, and what to write; None if it does."""
    return misspelled(domain)


def misspelled(domain: Domain) -> str | None:
    """Return what to write for a network, an address, a pattern or a URL, which are domains to the letter only."""
    text = str(domain)
    forwards = text.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa") if "/" in text else text
    try:
        network = ipaddress.ip_network(forwards, strict=False)
    except ValueError:
        pass
    else:
        kind = "a network" if "/" in text else "an address"
        return f'found "{text}", {kind}; expected its reverse zone, {_alternatives(network)}'
    around = _AROUND_A_DOMAIN.fullmatch(text)
    if around is not None and around[1] != text:
        return f'found "{text}"; expected only the domain, "{around[1]}"'
    if not domain.wire.isascii():
        return _beyond_ascii(domain)
    labels = text.split(".")
    if "*" not in text:
        return None
    rest = ".".join(label for label in labels if "*" not in label)
    every = "write the servers for all names into upstreams"
    instead = f'expected "{rest}", which covers all names below it' if rest else every
    return f'found "{text}", a pattern; {instead}'


def _beyond_ascii(domain: Domain) -> str:
    """Say in which form DNS clients ask for a name that is not ASCII (RFC 5890)."""
    shown = b".".join(labels(domain.wire)).decode(errors="replace")
    try:
        return f'found "{shown}"; expected the name as DNS clients ask for it, "{shown.encode("idna").decode()}"'
    except UnicodeError:
        return f'found "{shown}"; expected ASCII letters, as in "xn--bcher-kva.example"'


def _alternatives(network: _Network) -> str:
    """Return the reverse zones that cover a network; of many, the first and the last one."""
    bits = _LABEL_BITS[network.version]
    prefix = max(bits, -(-network.prefixlen // bits) * bits)
    # Not `subnets`: fd00::/9 has few, but 10.0.0.0/1 has 128, and only two are shown.
    count = 1 << max(0, prefix - network.prefixlen)
    last = int(network.network_address) + ((count - 1) << (network.max_prefixlen - prefix))
    names = [f'"{_reverse(type(network.network_address)(at), prefix)}"' for at in (int(network.network_address), last)]
    if count == 1:
        return names[0]
    return " and ".join(names) if count == _LISTED else f"{names[0]} to {names[1]}"


def _reverse(address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int) -> str:
    labels = address.reverse_pointer.removesuffix(f".{_ENDS[address.version]}").split(".")
    return ".".join([*labels[len(labels) - prefix // _LABEL_BITS[address.version] :], _ENDS[address.version]])


def _network(domain: Domain) -> _Network | None:
    """Return the network of a reverse zone, None for another domain."""
    text = str(domain)
    for version, end in _ENDS.items():
        if not text.endswith(f".{end}"):
            continue
        labels = text.removesuffix(f".{end}").split(".")[::-1]
        bits = len(labels) * _LABEL_BITS[version]
        try:
            if version == 4:
                return ipaddress.IPv4Network((".".join((labels + ["0"] * 4)[: max(4, len(labels))]), bits))
            return ipaddress.IPv6Network((int("".join(labels).ljust(32, "0"), 16), bits))
        except ValueError:
            return None
    return None


def _lies_in(inner: _Network, outer: _Network) -> bool:
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.network_address in outer
