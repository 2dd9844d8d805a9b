"""An address that a machine gives itself: what a server on every node listens at.

It is put on the loopback device, because every kernel has that one; packets of pods to a local address arrive whatever
device holds it. By netlink (rtnetlink(7)), so that the image needs no `ip`.
"""

import ipaddress
import os
import socket
import struct

_NEW_ADDRESS, _ERROR = 20, 2  # RTM_NEWADDR, NLMSG_ERROR
# NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_CREATE: an address that is there already is as good as a new one.
_FLAGS = 0x1 | 0x4 | 0x100 | 0x400
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL
_NO_DETECTION = 0x02  # IFA_F_NODAD: usable at once, also where IPv6 looks for duplicates
_HEADER, _BODY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed(text: str) -> Address:
    """Return an address of a machine; raises ValueError for what is none, or cannot be one machine's."""
    address = ipaddress.ip_address(text)
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"expected an address that one machine can have, got {text}")
    return address


def request(address: Address, device: int) -> bytes:
    """Return the message that adds an address, with no neighbours in its network, to a device given by its number."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    octets = address.packed
    attribute = len(octets) + _ATTRIBUTE.size
    attributes = b"".join(_ATTRIBUTE.pack(attribute, kind) + octets for kind in (_LOCAL, _ADDRESS))
    body = _BODY.pack(family, address.max_prefixlen, _NO_DETECTION, 0, device) + attributes
    return _HEADER.pack(_HEADER.size + len(body), _NEW_ADDRESS, _FLAGS, 1, 0) + body


def give(address: Address) -> None:
    """Add the address to the loopback device; raises OSError, a PermissionError without NET_ADMIN."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.sendall(request(address, socket.if_nametoindex("lo")))
        reply = kernel.recv(4096)
    _, kind, *_ = _HEADER.unpack_from(reply)
    if kind == _ERROR:  # also the acknowledgement, with 0
        (number,) = struct.unpack_from("=i", reply, _HEADER.size)
        if number:
            raise OSError(-number, os.strerror(-number))
