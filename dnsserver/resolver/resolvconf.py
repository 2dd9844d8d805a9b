"""What /etc/resolv.conf says about nameservers; pure text to values (resolv.conf(5))."""

import ipaddress

from dnsserver.resolver.settings import UpstreamSpec


def nameservers(text: str) -> tuple[UpstreamSpec, ...]:
    """Return the nameservers in their order, each once; lines that make no sense are skipped, as the C library does."""
    found: dict[str, UpstreamSpec] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.ip_address(words[1])
        except ValueError:
            continue
        found.setdefault(str(address), UpstreamSpec(host=str(address)))
    return tuple(found.values())
