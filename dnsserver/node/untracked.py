"""Rules that keep connection tracking off the node's DNS addresses, in tables of our own (linux/netfilter/nf_tables.h).

    table ip dnsserver {
        chain prerouting {
            type filter hook prerouting priority raw;
            ip daddr 169.254.20.10 fib daddr type local meta l4proto udp th dport 53 notrack
        }
        chain output {
            type filter hook output priority raw;
            ... the same, and ip saddr 169.254.20.10 fib saddr type local meta l4proto udp th sport 53 notrack
        }
    }

and so for TCP, and in a table `ip6` for IPv6. What is not tracked is not translated either. So a rule about the
cluster's DNS address may not be in force while that address is not the node's own: `fib ... type local` asks the kernel
that for each packet, and nobody has to keep two things in step. A rule that is left behind does nothing.
"""

import errno
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dnsserver.node.addresses import Address
from dnsserver.node.netlink import (
    ACKNOWLEDGE,
    APPEND,
    CREATE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
)

TABLE: Final = "dnsserver"
_PORT: Final = 53

_NETFILTER, _SUBSYSTEM = 12, 10 << 8  # NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE, _GET_RULE = (_SUBSYSTEM | kind for kind in (0, 2, 3, 6, 7))
_FAMILY: Final = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6, by the version of IP
_SOURCE: Final = {4: 12, 6: 8}  # where a header has the source address
_DESTINATION: Final = {4: 16, 6: 24}
_CHAINS: Final = {"prerouting": 0, "output": 3}  # NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT
_RAW: Final = -300  # NF_IP_PRI_RAW: before connection tracking
_PROTOCOLS: Final = {"udp": 17, "tcp": 6}
_LOCAL: Final = 2  # RTN_LOCAL
_L4_PROTOCOL: Final = 16  # NFT_META_L4PROTO
_NETWORK, _TRANSPORT = 1, 2  # NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER
_ADDRESS_TYPE, _OF_SOURCE, _OF_DESTINATION = 3, 1, 2  # NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_SADDR, NFTA_FIB_F_DADDR
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_DATA = 1, 2, 4, 7
_REGISTER: Final = 1


class Rule(NamedTuple):
    """One rule: in a chain, for what is sent `to` the address, or comes from it."""

    address: Address
    chain: str
    protocol: str
    to: bool

    @property
    def comment(self) -> str:
        """What tells the rule from others, and shows in `nft list ruleset`."""
        return f"{self.chain}: {self.protocol} {'to' if self.to else 'from'} {self.address}"


def rules(addresses: Iterable[Address]) -> list[Rule]:
    """Return the rules that these addresses need."""
    return [
        Rule(address, chain, protocol, to)
        for address in addresses
        for chain, to in (("prerouting", True), ("output", True), ("output", False))
        for protocol in _PROTOCOLS
    ]


class Untracked:
    """The rules of the network namespace that this process is in."""

    def __init__(self) -> None:
        """Open a socket. Raises OSError."""
        self._kernel = Netlink(_NETFILTER)

    def close(self) -> None:
        """Close it."""
        self._kernel.close()

    def ensure(self, wanted: Iterable[Rule]) -> list[Rule]:
        """Add the rules that are missing, and return them. Raises OSError.

        Others stay: they may be of a guardian that takes over or ends.
        """
        missing = []
        for version in _FAMILY:
            ours = [rule for rule in wanted if rule.address.version == version]
            there = self._comments(version) if ours else set()
            missing += [rule for rule in ours if rule.comment not in there]
        if missing:
            self._change(added(missing))
        return missing

    def remove(self) -> None:
        """Remove our tables, if they are there. Raises OSError."""
        for version in _FAMILY:
            try:
                self._change([_message(_DELETE_TABLE, version, _text(1, TABLE))])
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise

    def _comments(self, version: int) -> set[str]:
        """Return the comments of the rules that exist."""
        message = _message(_GET_RULE, version, _text(_RULE_TABLE, TABLE), flags=0)
        try:
            found = self._kernel.dump(message)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return set()
            raise
        return {comment for each in found for comment in _comment(each.body)}

    def _change(self, messages: Iterable[Message]) -> None:
        """Send all changes as one transaction: the kernel makes all of them, or none."""
        border = struct.pack("!BBH", 0, 0, _SUBSYSTEM >> 8)
        self._kernel.do(Message(_BATCH_BEGIN, 0, border), *messages, Message(_BATCH_END, 0, border))


def added(missing: Iterable[Rule]) -> Iterator[Message]:
    """Give the messages that add rules, with the tables and chains that they need."""
    begun = set()
    for rule in missing:
        version = rule.address.version
        if version not in begun:
            begun.add(version)
            yield _message(_NEW_TABLE, version, _text(1, TABLE))
            for name, hook in _CHAINS.items():
                hooked = nested(4, _number(1, hook), _number(2, _RAW))
                yield _message(_NEW_CHAIN, version, _text(1, TABLE), _text(3, name), hooked, _text(7, "filter"))
        comment = rule.comment.encode() + b"\0"
        yield _message(
            _NEW_RULE,
            version,
            _text(_RULE_TABLE, TABLE),
            _text(_RULE_CHAIN, rule.chain),
            nested(_RULE_EXPRESSIONS, *_expressions(rule)),
            attribute(_RULE_DATA, bytes((0, len(comment))) + comment),
            flags=ACKNOWLEDGE | CREATE | APPEND,
        )


def _expressions(rule: Rule) -> Iterator[bytes]:
    version = rule.address.version
    offset = (_DESTINATION if rule.to else _SOURCE)[version]
    yield _payload(_NETWORK, offset, len(rule.address.packed))
    yield _equal(rule.address.packed)
    side = _OF_DESTINATION if rule.to else _OF_SOURCE
    yield _expression("fib", _number(1, _REGISTER), _number(2, _ADDRESS_TYPE), _number(3, side))
    yield _equal(struct.pack("=I", _LOCAL))
    yield _expression("meta", _number(1, _REGISTER), _number(2, _L4_PROTOCOL))
    yield _equal(bytes([_PROTOCOLS[rule.protocol]]))
    yield _payload(_TRANSPORT, 2 if rule.to else 0, 2)
    yield _equal(struct.pack("!H", _PORT))
    yield _expression("notrack")


def _payload(base: int, offset: int, length: int) -> bytes:
    """Return the expression that loads octets of a header."""
    return _expression("payload", _number(1, _REGISTER), _number(2, base), _number(3, offset), _number(4, length))


def _equal(value: bytes) -> bytes:
    """Return the expression that leaves the rule unless the loaded octets are equal to these."""
    return _expression("cmp", _number(1, _REGISTER), _number(2, 0), nested(3, attribute(1, value)))


def _expression(name: str, *data: bytes) -> bytes:
    return nested(1, _text(1, name), nested(2, *data))


def _message(kind: int, version: int, *parts: bytes, flags: int = ACKNOWLEDGE | CREATE) -> Message:
    return Message(kind, flags, struct.pack("!BBH", _FAMILY[version], 0, 0) + b"".join(parts))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _comment(body: bytes) -> Iterator[str]:
    """Yield the comment of a rule in our table, if it has one."""
    found = attributes(body[4:])
    if found.get(_RULE_TABLE, b"").rstrip(b"\0") != TABLE.encode():
        return
    data = found.get(_RULE_DATA, b"")
    if len(data) > 2 and data[0] == 0:
        yield data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")
