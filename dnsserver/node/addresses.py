"""The node's addresses, and the interface that has the guardian's own, over rtnetlink (rtnetlink(7), linux/if_addr.h).

An address is given for some seconds and given again before they are over. The kernel takes away by itself what nobody
gives again: so whoever gives addresses may die at any moment.
"""

import errno
import fcntl
import ipaddress
import socket
import struct
from typing import Final, NamedTuple

from dnsserver.node import netlink
from dnsserver.node.netlink import ACKNOWLEDGE, CREATE, REPLACE, Message, Netlink, attribute, nested

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FOREVER: Final = 0xFFFFFFFF  # seconds, INFINITY_LIFE_TIME
LOST: Final = frozenset({0, 17, 21})  # what takes an address away: RTM_DELLINK, RTM_DELADDR, or a message that was lost
LOOPBACK: Final = "lo"
KIND: Final = "dummy"

_NEW_LINK, _DELETE_LINK, _GET_LINK, _NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 16, 17, 18, 20, 21, 22
_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_BROADCAST: Final = ipaddress.ip_address("255.255.255.255")
_LINK, _LINK_KIND, _LINK_NAME = 18, 1, 3  # IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_IFNAME
_UP, _GET_FLAGS = 0x1, 0x8913  # IFF_UP, SIOCGIFFLAGS
_ADDRESS, _LOCAL, _LIFETIMES, _FLAGS = 1, 2, 6, 8  # IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS
_NO_DETECTION, _PERMANENT = 0x02, 0x80  # IFA_F_NODAD: usable at once, without a look for duplicates; IFA_F_PERMANENT
_SCOPE_HOST: Final = 254  # RT_SCOPE_HOST; IPv6 goes by the address itself
_LINK_BODY, _ADDRESS_BODY = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")  # ifinfomsg, ifaddrmsg
_LIFETIMES_BODY = struct.Struct("=4I")  # ifa_cacheinfo: preferred, valid, created, updated
# What the kernel says where it knows no dummy interfaces, and cannot load what makes them.
_NO_SUCH_KIND = {errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL, errno.EAFNOSUPPORT}


def parsed(text: str) -> Address:
    """Return an address at which pods can ask a machine; raises ValueError for any other text.

    None of the loopback network, which is each pod's own; none of IPv6 that counts on one link only, or stands for one
    of IPv4: a server cannot listen there.
    """
    address = ipaddress.ip_address(text)
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        raise ValueError(f"expected an address that one machine can have, got {text}")
    if address.is_loopback:
        raise ValueError(f"expected an address that pods can ask, got {text}: it is each pod's own")
    if isinstance(address, ipaddress.IPv6Address) and (address.is_link_local or address.ipv4_mapped is not None):
        raise ValueError(f"expected an address of IPv4, or one of IPv6 as fd00::10, got {text}")
    return address


class Given(NamedTuple):
    """An address that a device of the node has, and the seconds that it counts as fresh, FOREVER if it always does."""

    address: Address
    device: int
    preferred: int


class Addresses:
    """The addresses of the network namespace that this process is in."""

    def __init__(self, kind: str = KIND) -> None:
        """Open sockets; our interface is of a kind that the kernel knows by this name. Raises OSError."""
        self._kind = kind.encode()
        self._kernel = Netlink(socket.NETLINK_ROUTE)
        self.changes = Netlink(socket.NETLINK_ROUTE, _GROUPS)
        self._any = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._known: dict[int, bool] = {}  # devices by their number, which no other one ever gets

    def close(self) -> None:
        """Close them."""
        self._any.close()
        self._kernel.close()
        self.changes.close()

    def device(self, name: str) -> int:
        """Return the number of our interface, which is made if it is not there, and set up. Raises OSError.

        It is the loopback interface where the kernel has no dummy ones: packets to a local address arrive whatever
        interface holds it. FileExistsError is for an interface of another kind, which is not for us to take or remove.
        """
        try:
            found = socket.if_nametoindex(name)
        except OSError:
            try:
                self._kernel.do(made(name, self._kind))
            except OSError as error:
                if error.errno not in _NO_SUCH_KIND:
                    raise
                return socket.if_nametoindex(LOOPBACK)
            found = socket.if_nametoindex(name)
        else:
            if not self._is_ours(found):
                raise FileExistsError(errno.EEXIST, f"{name} is there, and no {self._kind.decode()} interface")
        if not self._is_up(name):
            body = _LINK_BODY.pack(socket.AF_UNSPEC, 0, found, _UP, _UP)
            self._kernel.do(Message(_NEW_LINK, ACKNOWLEDGE, body))
        return found

    def _is_up(self, name: str) -> bool:
        asked = struct.pack("16sH22x", name.encode(), 0)
        return bool(struct.unpack_from("=H", fcntl.ioctl(self._any, _GET_FLAGS, asked), 16)[0] & _UP)

    def _is_ours(self, device: int) -> bool:
        """Tell whether a device is of the kind that we make: others are not ours."""
        if device not in self._known:
            asked = Message(_GET_LINK, 0, _LINK_BODY.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
            self._known = {}
            for each in self._kernel.dump(asked):
                number = _LINK_BODY.unpack_from(each.body)[2]
                said = netlink.attributes(each.body[_LINK_BODY.size :]).get(_LINK, b"")
                self._known[number] = netlink.attributes(said).get(_LINK_KIND, b"").rstrip(b"\0") == self._kind
        return self._known.get(device, False)

    def remove_device(self, name: str) -> None:
        """Remove our interface, if it is there, with all of its addresses. Raises OSError."""
        try:
            found = socket.if_nametoindex(name)
        except OSError:
            return
        if not self._is_ours(found):
            return
        self._kernel.do(Message(_DELETE_LINK, ACKNOWLEDGE, _LINK_BODY.pack(socket.AF_UNSPEC, 0, found, 0, 0)))

    def all(self) -> list[Given]:
        """Return the addresses that there are. Raises OSError."""
        body = _ADDRESS_BODY.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        found = (_given(each.body) for each in self._kernel.dump(Message(_GET_ADDRESS, 0, body)))
        return [given for given in found if given is not None]

    def give(self, address: Address, device: int, valid: int, preferred: int) -> None:
        """Give a device an address for `valid` seconds, or again; it is fresh for `preferred`. Raises OSError."""
        lifetimes = attribute(_LIFETIMES, _LIFETIMES_BODY.pack(preferred, valid, 0, 0))
        self._kernel.do(
            Message(_NEW_ADDRESS, ACKNOWLEDGE | CREATE | REPLACE, _body(address, device, _NO_DETECTION) + lifetimes)
        )

    def take(self, address: Address, device: int) -> None:
        """Take an address away, if the device has it. Raises OSError."""
        try:
            self._kernel.do(Message(_DELETE_ADDRESS, ACKNOWLEDGE, _body(address, device)))
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.ENODEV}:
                raise

    def name(self, device: int) -> str:
        """Return the name of a device, or its number if it is gone."""
        try:
            return socket.if_indextoname(device)
        except OSError:
            return str(device)


def made(name: str, kind: bytes) -> Message:
    """Return the message that makes an interface of a kind."""
    body = _LINK_BODY.pack(socket.AF_UNSPEC, 0, 0, _UP, _UP)
    body += attribute(_LINK_NAME, name.encode() + b"\0") + nested(_LINK, attribute(_LINK_KIND, kind))
    return Message(_NEW_LINK, ACKNOWLEDGE | CREATE, body)


def _body(address: Address, device: int, flags: int = 0) -> bytes:
    """Return the body of a message about an address whose network has no other address.

    Its scope is this machine: otherwise the kernel, and NAT, would use the address as the source of outgoing packets.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    octets = address.packed
    body = _ADDRESS_BODY.pack(family, address.max_prefixlen, flags, _SCOPE_HOST, device)
    return body + attribute(_LOCAL, octets) + attribute(_ADDRESS, octets)


def _given(body: bytes) -> Given | None:
    """Return the address in a message; None if it is of another family."""
    family, _, short_flags, _, device = _ADDRESS_BODY.unpack_from(body)
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    found = netlink.attributes(body[_ADDRESS_BODY.size :])
    octets = found.get(_LOCAL) or found.get(_ADDRESS)
    if octets is None:
        return None
    flags = struct.unpack("=I", found[_FLAGS])[0] if _FLAGS in found else short_flags
    preferred = FOREVER
    if _LIFETIMES in found and not flags & _PERMANENT:
        preferred = _LIFETIMES_BODY.unpack_from(found[_LIFETIMES])[0]
    return Given(ipaddress.ip_address(octets), device, preferred)
