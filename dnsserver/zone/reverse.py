"""Reverse names and the other ways to write an address as labels (RFC 1035 section 3.5, RFC 3596 section 2.5)."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import cast

from dnsserver.wire import name as names
from dnsserver.zone.index import pack

MAPPED = b"\0" * 10 + b"\xff\xff"
_HEX = {format(nibble, "x").encode(): nibble for nibble in range(16)}
_OCTET = {str(octet).encode(): octet for octet in range(256)}
_V4 = (b"in-addr", b"arpa")
_V6 = (b"ip6", b"arpa")
ARPA = b"\x04arpa\0"


def address(labels: Sequence[bytes]) -> bytes | None:
    """Return the packed address that a reverse name's labels spell in full, or None."""
    if len(labels) == 6 and tuple(labels[-2:]) == _V4:
        return _joined([_OCTET.get(label) for label in reversed(labels[:4])])
    if len(labels) == 34 and tuple(labels[-2:]) == _V6:
        nibbles = [_HEX.get(label, 256) for label in reversed(labels[:32])]
        pairs = [high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True)]
        return _joined(pairs if max(nibbles) < 16 else [None])
    return None


def reverse_address(name: bytes) -> bytes | None:
    """Return the packed address of a complete reverse name, on which its answer depends; None for other names."""
    return address(names.labels(name))


def _joined(octets: Sequence[int | None]) -> bytes | None:
    return None if None in octets else bytes(cast("Sequence[int]", octets))


def bounds(labels: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the lowest and the highest packed address below a reverse name; None if no address can be."""
    bits, size, values = (8, 4, _OCTET) if tuple(labels[-2:]) == _V4 else (4, 16, _HEX)
    low = 0
    for label in reversed(labels[:-2]):
        value = values.get(label)
        if value is None:
            return None
        low = low << bits | value
    free = size * 8 - bits * (len(labels) - 2)
    if free < 0:
        return None
    low <<= free
    high = low | (1 << free) - 1
    return low.to_bytes(size, "big"), high.to_bytes(size, "big")


def is_local(packed: bytes) -> bool:
    """Tell whether an address is of a range that only its own network knows (RFC 6890)."""
    return not ipaddress.ip_address(packed).is_global


def reverse_name(packed: bytes) -> bytes:
    """Return the name that an address has in in-addr.arpa or ip6.arpa."""
    return names.from_text(ipaddress.ip_address(packed).reverse_pointer)


def dashed(packed: bytes) -> bytes:
    """Return an address as one label: `.` and `:` become `-`; an IPv6 one that would end so gets a 0 appended."""
    if len(packed) == 4:
        return b"%d-%d-%d-%d" % tuple(packed)
    label = socket.inet_ntop(socket.AF_INET6, packed).replace(":", "-").encode()
    return label + b"0" if label.endswith(b"-") else label


def undashed(label: bytes) -> bytes | None:
    """Return the packed address that a label writes with dashes, in whatever way; None if it is none."""
    try:
        text = label.decode("ascii")
    except UnicodeDecodeError:
        return None
    if "." in text:
        return None
    packed = pack(text.replace("-", ".") if text.count("-") == 3 and "--" not in text else text.replace("-", ":"))
    return packed[-4:] if packed is not None and packed.startswith(MAPPED) else packed


class Networks:
    """The reverse zones that CIDRs stand for, cut at the octet or nibble their prefix reaches into."""

    def __init__(self, cidrs: Sequence[str]) -> None:
        """Read the CIDRs; raises ValueError that names an invalid one."""
        self._networks = [ipaddress.ip_network(cidr) for cidr in cidrs]

    def zone_of(self, labels: Sequence[bytes]) -> bytes | None:
        """Return the zone that contains a reverse name, or None if it is not one of ours.

        A prefix that ends inside a label (10.96.0.0/12) makes one zone for each value of that label.
        """
        for network in self._networks:
            bits = 8 if network.version == 4 else 4
            suffix = _V4 if network.version == 4 else _V6
            depth = -(-network.prefixlen // bits)
            if len(labels) < depth + 2 or tuple(labels[-2:]) != suffix:
                continue
            apex = tuple(labels[len(labels) - depth - 2 :])
            values = [(_OCTET if bits == 8 else _HEX).get(label) for label in reversed(apex[:-2])]
            if None in values:
                continue
            prefix = 0
            for value in values:
                prefix = prefix << bits | (value or 0)
            if network.prefixlen == 0 or prefix >> (depth * bits - network.prefixlen) == int(
                network.network_address
            ) >> (network.max_prefixlen - network.prefixlen):
                return names.from_labels(apex)
        return None
