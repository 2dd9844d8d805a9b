"""What counts as one client, and how its address is written."""

import socket
from ipaddress import ip_address

LINK_LOCAL = b"\xfe\x80"  # how link-local addresses begin (RFC 4291 section 2.5.6)


def source_of(client: bytes) -> bytes:
    """Return what stands for a client where it is counted: an IPv4 address, or the /64 of an IPv6 one, packed.

    Who has one IPv6 address has the whole /64, and could ask from a new one each time; but link-local addresses of all
    hosts are in one.
    """
    return client[:8] if len(client) == 16 and not client.startswith(LINK_LOCAL) else client


def shown_address(packed: bytes) -> str:
    """Return a whole address, a client's or another one, as text: "10.0.0.1", or "2001:db8::1"."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def packed_address(text: str) -> bytes:
    """Return an address that is written as text, packed. Raises ValueError for any other text."""
    return ip_address(text).packed


def shown_source(client: bytes) -> str:
    """Return a client as people write it: "10.0.0.1", or "2001:db8:0:1::/64"."""
    if len(client) != 8 and source_of(client) == client:
        return shown_address(client)
    return f"{socket.inet_ntop(socket.AF_INET6, client[:8] + bytes(8))}/64"
