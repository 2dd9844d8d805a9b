"""Tells which listeners are reachable from the internet, as far as this machine can know.

A firewall may still close a port, and a load balancer may lead to a private address: this is only a hint.
"""

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dnsserver.config import Address, Network

PROC = Path("/proc/net")

Host = ipaddress.IPv4Address | ipaddress.IPv6Address


def exposed(listen: Iterable[Address], allow: Iterable[Network]) -> list[Host]:
    """Return the public addresses that are listened on, and that everybody of their family may ask."""
    networks = [ipaddress.ip_network(network.text) for network in allow]
    found: dict[Host, None] = {}
    for address in listen:
        host = ipaddress.ip_address(address.host)
        if _everybody(networks, host.version):
            hosts = own_addresses(host.version) if host.is_unspecified else [host]
            found |= dict.fromkeys(own for own in hosts if own.is_global and not own.is_multicast)
    return list(found)


def own_addresses(version: int) -> list[Host]:
    """Return this machine's addresses of IP version 4 or 6; none where the system does not list them as Linux does."""
    found: dict[Host, None] = {}
    with suppress(OSError, ValueError):
        if version == 6:
            for line in (PROC / "if_inet6").read_text().splitlines():
                found[ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))] = None
        else:
            leaf = ""
            for line in (PROC / "fib_trie").read_text().splitlines():
                if "|-- " in line:
                    leaf = line.rpartition("|-- ")[2]
                elif line.endswith("/32 host LOCAL"):
                    found[ipaddress.IPv4Address(leaf)] = None
    return list(found)


def _everybody(networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network], version: int) -> bool:
    of_family = [network for network in networks if network.version == version]
    return any(not network.prefixlen for network in ipaddress.collapse_addresses(of_family))  # type: ignore[type-var]
