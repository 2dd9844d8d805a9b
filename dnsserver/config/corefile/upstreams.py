"""Reads the upstreams of a `forward`, and tells which of them are this machine itself."""

import ipaddress

from dnsserver.config.corefile.site import Site
from dnsserver.config.values import Upstream

_PORT = 53
_USUAL = ("127.0.0.1", "::1")


def nameservers(text: str) -> list[str]:
    """Return the addresses that a file like /etc/resolv.conf lists."""
    lines = (line.split() for line in text.splitlines())
    found = (words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")
    return [server for server in (upstream_of(text) for text in found) if server is not None]


def upstream_of(target: str, *, tcp: bool = False, server_name: str = "") -> str | None:
    """Return an upstream as our configuration writes it, None for one that cannot be asked."""
    scheme, separator, rest = target.rpartition("://")
    if separator and scheme not in {"dns", "tls"}:
        return None
    if scheme == "tls":
        host, percent, behind = rest.rpartition("%")
        if percent:  # tls://ADDRESS%NAME:PORT, or :PORT before the sign
            name, colon, port = behind.partition(":")
            rest, server_name = f"{host}{colon}{port}", name or server_name
        text = f"tls://{rest}#{server_name}" if server_name else f"tls://{rest}"
    else:
        text = f"tcp://{rest}" if tcp else rest
    try:
        upstream = Upstream.parse(text)
    except ValueError:
        return None
    return None if upstream.transport == "file" else str(upstream)


def is_here(target: str, site: Site) -> bool:
    """Tell whether an upstream is an address of this machine at which a block listens."""
    text = upstream_of(target)
    if text is None or "://" in text:
        return False
    upstream = Upstream.parse(text)
    port = upstream.port or _PORT
    if port not in site.ports:
        return False
    hosts = _USUAL if upstream.host == "localhost" else (upstream.host,)
    try:
        addresses = [ipaddress.ip_address(host) for host in hosts]
    except ValueError:
        return False
    bound = [ipaddress.ip_address(text) for text in site.bound]
    if not bound or any(address.is_unspecified for address in bound):
        # At port 53 another server may have an address of its own in 127.0.0.0/8, as systemd-resolved has.
        return any(str(address) in _USUAL or (address.is_loopback and port != _PORT) for address in addresses)
    return any(address in bound for address in addresses)
