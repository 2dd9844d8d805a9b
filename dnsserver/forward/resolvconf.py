"""What /etc/resolv.conf says about nameservers; pure text to values (resolv.conf(5))."""

import ipaddress

import msgspec

from dnsserver.forward.settings import Transport, UpstreamSpec

# What this server does anyhow: EDNS is always used, and AD is passed on.
_FOLLOWED = frozenset(("edns0", "trust-ad", "use-vc"))


class ResolvConf(msgspec.Struct, frozen=True):
    """The nameservers in their order, each once; the options that are not followed, the lines that say nothing."""

    nameservers: tuple[UpstreamSpec, ...]
    not_followed: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()


def read(text: str) -> ResolvConf:
    """Return what the text says, which may begin with a byte order mark.

    Lines that make no sense are skipped, as the C library does.
    """
    hosts: dict[str, None] = {}
    options: dict[str, None] = {}
    odd = []
    for line in text.removeprefix("\ufeff").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "options":
            options.update(dict.fromkeys(words[1:]))
        if words[0] != "nameserver":
            continue
        host = _address(words[1]) if len(words) > 1 else None
        if host is None:
            odd.append(line.strip())
        else:
            hosts[host] = None
    transport = Transport.TCP if "use-vc" in options else Transport.UDP
    return ResolvConf(
        tuple(UpstreamSpec(host=host, transport=transport) for host in hosts),
        tuple(option for option in options if option not in _FOLLOWED),
        tuple(odd),
    )


def _address(text: str) -> str | None:
    """Return an address in its usual form, with its zone if the zone has a meaning; None for any other text."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id and not address.is_link_local:
        return str(address).partition("%")[0]  # as the C library: only link-local addresses are of one interface
    return str(address)
