"""Names of zones as a Corefile writes them: keys of server blocks, zones of plugins, networks as reverse zones."""

import ipaddress
import re
from typing import NamedTuple

from dnsserver.config.values import Domain

ROOT = "."
REVERSE = ("in-addr.arpa", "ip6.arpa")
_PORTS = {"dns": 53, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}
_PORT = re.compile(r":(\d{1,5})\Z")
_SMALLEST = {4: 8, 6: 4}  # bits of a label


class Key(NamedTuple):
    """A key of a server block: how it is spoken to, and the zones and the port that it is for."""

    transport: str
    zones: tuple[str, ...]
    port: int


def read_key(text: str, default_port: int = 53) -> Key:
    """Read a key like `tls://example.org:853` or `10.0.0.0/8`; raises ValueError for what is no name."""
    transport, rest = "dns", text
    for scheme in _PORTS:
        if text.lower().startswith(f"{scheme}://"):
            transport, rest = scheme, text[len(scheme) + 3 :]
    port = _PORTS[transport] if transport != "dns" else default_port
    if found := _PORT.search(rest):
        port = int(found[1])
        rest = rest[: found.start()]
        if port > 0xFFFF:
            raise ValueError
    return Key(transport, zones_of(rest or ROOT), port)


def zones_of(text: str) -> tuple[str, ...]:
    """Return the zones of a name or a network, in lower case and without the last dot; raises ValueError."""
    if "/" in text:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            pass
        else:
            return reverse_zones(network)
    return (str(Domain.parse(text)),)


def names(texts: tuple[str, ...] | list[str]) -> tuple[list[str], list[str]]:
    """Return the zones of arguments of a plugin, with the scheme and port that each may have, and what is no name."""
    zones: list[str] = []
    wrong: list[str] = []
    for text in texts:
        try:
            zones += read_key(text).zones
        except ValueError:
            wrong.append(text)
    return list(dict.fromkeys(zones)), wrong


def reverse_zones(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[str, ...]:
    """Return the reverse zones that make up a network."""
    bits = _SMALLEST[network.version]
    prefix = -(-network.prefixlen // bits) * bits
    return tuple(_reverse_zone(part) for part in network.subnets(new_prefix=prefix))


def _reverse_zone(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    labels = network.network_address.reverse_pointer.split(".")
    kept = network.prefixlen // _SMALLEST[network.version]
    return ".".join(labels[len(labels) - 2 - kept :])


def is_reverse(zone: str) -> bool:
    """Tell whether a zone holds names of addresses."""
    return any(zone == end or zone.endswith(f".{end}") for end in REVERSE)


def network_of(zone: str) -> str | None:
    """Return the network of a reverse zone, None for another zone."""
    for end, whole in (("in-addr.arpa", 4), ("ip6.arpa", 6)):
        if zone == end:
            return "0.0.0.0/0" if whole == 4 else "::/0"
        if not zone.endswith(f".{end}"):
            continue
        labels = zone.removesuffix(f".{end}").split(".")[::-1]
        try:
            if whole == 4:
                padded = ".".join((labels + ["0"] * 4)[:4])
                return str(ipaddress.IPv4Network((padded, len(labels) * 8))) if len(labels) <= 4 else None
            digits = "".join(labels).ljust(32, "0")
            return str(ipaddress.IPv6Network((int(digits, 16), len(labels) * 4)))
        except ValueError:
            return None
    return None


def without(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return what is left of a network without another one."""
    if one.version != other.version or not one.overlaps(other):
        return [one]
    if one.prefixlen >= other.prefixlen:
        return []
    return list(one.address_exclude(other))  # type: ignore[arg-type]


def is_below(name: str, zone: str) -> bool:
    """Tell whether a name is a zone or lies below it."""
    return zone in {ROOT, name} or name.endswith(f".{zone}")


def belonging(zone: str, zones: list[str]) -> bool:
    """Tell whether a zone is one of several, or lies below one."""
    return any(is_below(zone, other) for other in zones)
