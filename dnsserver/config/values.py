"""Types of settings that are written as text: each parses its text, and prints a form that loads back equal.

`parse` raises ValueError without text; what was expected instead is the class's `EXPECTED`, a phrase for a person.
"""

import ipaddress
import re
from pathlib import Path
from typing import ClassVar, Literal, Self

import msgspec

from dnsserver.wire.message import ANY, AXFR, IXFR, MORE_TYPE_NAMES, OPT, TYPE_NAMES, FormatError
from dnsserver.wire.name import ROOT, from_text, to_text

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ZONE = re.compile(r"[^\s/:]{1,15}")  # the name of an interface, as Linux takes it
_PORT_DIGITS = 5
_TYPE_NUMBER = re.compile(r"TYPE(\d{1,5})", re.ASCII)
_TYPE_TEXTS = TYPE_NAMES | MORE_TYPE_NAMES
_TYPES = {text: number for number, text in _TYPE_TEXTS.items()}


class TextValue(msgspec.Struct, frozen=True):
    """A setting that is written as text."""

    EXPECTED: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it; raises ValueError."""
        raise NotImplementedError


class Address(TextValue, frozen=True):
    """Where a server listens: an IP address and a port; port 0 lets the system choose."""

    EXPECTED: ClassVar[str] = 'an IP address and a port, as in "10.96.0.10:53" or "[fd00::10]:53"'

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ADDR:PORT, IPv6 in brackets, neither with a zone nor with an IPv4 address in it; raises ValueError."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            address = ipaddress.IPv6Address(host[1:-1])
            if address.scope_id is not None or address.ipv4_mapped is not None:
                raise ValueError
            return cls(str(address), _port(port))
        return cls(str(ipaddress.IPv4Address(host)), _port(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Domain(TextValue, frozen=True):
    """A domain name in lower case; `wire` is what the rest of the program calls a name."""

    EXPECTED: ClassVar[str] = 'a domain name, as in "cluster.local"'

    wire: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name with or without its final dot; `.` is the root. Raises ValueError."""
        if not text or any(character.isspace() for character in text):
            raise ValueError
        try:
            return cls(from_text(text).lower())
        except FormatError as error:
            raise ValueError from error

    def __str__(self) -> str:
        return "." if self.wire == ROOT else to_text(self.wire).removesuffix(".")


class Network(TextValue, frozen=True):
    """A network in CIDR notation; `ipaddress.ip_network` reads `text`."""

    EXPECTED: ClassVar[str] = 'a network, as in "10.96.0.0/12" or "fd00::/8", with no bit set after the prefix'

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it; a single address is a network of one. Raises ValueError."""
        return cls(str(ipaddress.ip_network(text)))

    def __str__(self) -> str:
        return self.text


class RecordType(TextValue, frozen=True):
    """A type of records."""

    EXPECTED: ClassVar[str] = 'a record type, as in "A", "TXT" or "TYPE257"; for all types leave the key out'
    REFUSED: ClassVar[frozenset[int]] = frozenset((OPT, IXFR, AXFR, ANY))

    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a mnemonic in any case, or the number of RFC 3597; raises ValueError."""
        number = _TYPES.get(text.upper())
        if number is None:
            found = _TYPE_NUMBER.fullmatch(text.upper())
            if found is None or not 0 < int(found[1]) <= 0xFFFF:
                raise ValueError
            number = int(found[1])
        if number in cls.REFUSED:
            raise ValueError
        return cls(number)

    def __str__(self) -> str:
        return _TYPE_TEXTS.get(self.number) or f"TYPE{self.number}"


class QuestionType(RecordType, frozen=True):
    """A type that is asked for, also one that no record has."""

    EXPECTED: ClassVar[str] = 'a query type, as in "A", "ANY" or "TYPE257"; for all types leave the key out'
    REFUSED: ClassVar[frozenset[int]] = frozenset()


class ServiceName(TextValue, frozen=True):
    """A Service by its namespace and name."""

    EXPECTED: ClassVar[str] = 'a namespace and a Service, as in "kube-system/kube-dns"'

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read NAMESPACE/NAME; raises ValueError."""
        namespace, _, name = text.partition("/")
        if not (_LABEL.fullmatch(namespace) and _LABEL.fullmatch(name)):
            raise ValueError
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class ZoneFile(TextValue, frozen=True):
    """A zone file, and the zone that it is for; None if the file alone says which."""

    EXPECTED: ClassVar[str] = (
        'a path, as in "/etc/lab.zone", or a zone and the path of its file, as in "example.org=/etc/zones/db.example"'
    )

    path: Path
    zone: Domain | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read PATH or ZONE=PATH; what has a slash before its first `=` is a path. Raises ValueError."""
        zone, equals, path = text.partition("=")
        if not equals or "/" in zone:
            return cls(Path(text))
        domain = Domain.parse(zone)
        if domain.wire == ROOT or not path:
            raise ValueError
        return cls(Path(path), domain)

    @property
    def origin(self) -> str:
        """The name of the zone; empty if the file alone says which it is."""
        return "" if self.zone is None else str(self.zone)

    def __str__(self) -> str:
        return str(self.path) if self.zone is None else f"{self.zone}={self.path}"


class Upstream(TextValue, frozen=True):
    """A server to forward to, or a file in the format of resolv.conf that lists such servers.

    `host` is an address, a hostname or the file's path; `port` 0 is the transport's own one. `server_name` is who the
    certificate has to be for, where that is not `host`.
    """

    EXPECTED: ClassVar[str] = (
        'an address or hostname, as in "9.9.9.9", "10.0.0.2:5353", "[fd00::2]:53", "fe80::2%eth0", "tcp://10.0.0.2", '
        '"tls://9.9.9.9:853#dns.quad9.net", or the path of a file like "/etc/resolv.conf" or "./resolv.conf"'
    )

    host: str
    port: int = 0
    transport: Literal["udp", "tcp", "tls", "file"] = "udp"
    server_name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any form of it; raises ValueError."""
        if "/" in text and "://" not in text:
            return cls(text, transport="file")
        scheme, separator, rest = text.rpartition("://")
        if separator and scheme not in {"udp", "tcp", "tls"}:
            raise ValueError
        rest, hash_sign, server_name = rest.partition("#")
        if hash_sign and (scheme != "tls" or not _is_hostname(server_name)):
            raise ValueError
        host, port = _host_port(rest)
        transport: Literal["udp", "tcp", "tls"] = "tcp" if scheme == "tcp" else "tls" if scheme == "tls" else "udp"
        return cls(host, port, transport, server_name.lower() if hash_sign else None)

    def __str__(self) -> str:
        if self.transport == "file":
            return self.host
        scheme = "" if self.transport == "udp" else f"{self.transport}://"
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        port = f":{self.port}" if self.port else ""
        return f"{scheme}{host}{port}" + (f"#{self.server_name}" if self.server_name else "")


def _port(digits: str, lowest: int = 0) -> int:
    """Read a port number; raises ValueError."""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _PORT_DIGITS and lowest <= int(digits) <= 0xFFFF):
        raise ValueError
    return int(digits)


def _host_port(text: str) -> tuple[str, int]:
    """Read an address or hostname, and a port or 0; raises ValueError."""
    try:
        return _address(text), 0  # an IPv6 address may stand without brackets when no port follows
    except ValueError:
        pass
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError
        if ":" not in host:
            raise ValueError
        return _address(host), _port(rest[1:], 1) if rest else 0
    host, colon, digits = text.partition(":")
    port = _port(digits, 1) if colon else 0
    try:
        return str(ipaddress.IPv4Address(host)), port
    except ValueError:
        if not _is_hostname(host):
            raise
        return host.lower().removesuffix("."), port


def _address(text: str) -> str:
    """Read an address as the C library does, with a zone only if it has a meaning (RFC 4007). Raises ValueError."""
    address = ipaddress.ip_address(text)
    if not isinstance(address, ipaddress.IPv6Address) or address.scope_id is None:
        return str(address)
    if not _ZONE.fullmatch(address.scope_id):
        raise ValueError
    return str(address) if address.is_link_local else str(address).partition("%")[0]


def _is_hostname(text: str) -> bool:
    """Tell whether a text is a hostname (RFC 1123 section 2.1), and not a mistyped address."""
    labels = text.lower().removesuffix(".").split(".")
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
