"""What a DNS message is made of: code points, and `Body`, the records that stand after the question.

RFC 1035 (format), 3597 (unknown types), 6891 (EDNS), 8914 (extended errors).
"""

import enum
import struct
from collections.abc import Callable

import msgspec

# Types (RFC 1035, 1183, 2782, 3596, 6891, 4034, 9460)
A = 1
NS = 2
CNAME = 5
SOA = 6
PTR = 12
HINFO = 13
MX = 15
TXT = 16
AAAA = 28
SRV = 33
NAPTR = 35
DNAME = 39
OPT = 41
DS = 43
RRSIG = 46
NSEC = 47
DNSKEY = 48
NSEC3 = 50
SVCB = 64
HTTPS = 65
IXFR = 251
AXFR = 252
ANY = 255

_MNEMONICS = (
    *("A", "NS", "CNAME", "SOA", "PTR", "HINFO", "MX", "TXT", "AAAA", "SRV", "NAPTR", "DNAME", "OPT", "DS", "RRSIG"),
    *("NSEC", "DNSKEY", "NSEC3", "SVCB", "HTTPS", "IXFR", "AXFR", "ANY"),
)
TYPE_NAMES: dict[int, str] = {globals()[mnemonic]: mnemonic for mnemonic in _MNEMONICS}
# Others that people ask for, which are not told apart where types are counted.
MORE_TYPE_NAMES = {29: "LOC", 44: "SSHFP", 52: "TLSA", 59: "CDS", 60: "CDNSKEY", 99: "SPF", 256: "URI", 257: "CAA"}
ADDRESS_SIZES = {A: 4, AAAA: 16}  # octets

CLASS_IN = 1

# Response codes (RFC 1035, 6891, 7873)
NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4
REFUSED = 5
BADVERS = 16
BADCOOKIE = 23
DROP = -1  # on no wire: there is to be no reply

RCODE_NAMES: dict[int, str] = {
    globals()[mnemonic]: mnemonic
    for mnemonic in ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "BADVERS", "BADCOOKIE")
}

# Header flags (RFC 1035 section 4.1.1, RFC 4035 section 3.2)
QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010

HEADER_SIZE = 12
MAX_CHAIN = 16  # CNAME records of one answer, whoever they come from
_TTL = struct.Struct("!I")


class EDE(enum.IntEnum):
    """Extended DNS error codes this server gives (RFC 8914 section 4)."""

    OTHER = 0
    STALE_ANSWER = 3
    FORGED_ANSWER = 4
    CACHED_ERROR = 13
    NOT_READY = 14
    BLOCKED = 15
    FILTERED = 17
    PROHIBITED = 18
    STALE_NXDOMAIN = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22
    NETWORK_ERROR = 23
    INVALID_DATA = 24


class FormatError(ValueError):
    """Bytes or text that are not what the RFCs allow; says what was found and what was expected."""


class RRset(msgspec.Struct, frozen=True, gc=False):
    """The records of one owner name and type (RFC 2181 section 5); `ttl` in seconds, rdata uncompressed."""

    name: bytes
    type: int
    ttl: int
    rdatas: tuple[bytes, ...]


class Body(msgspec.Struct, frozen=True, gc=False):
    """The records of a message, as the bytes that stand after its question.

    Compression pointers in `data` count from the start of a message whose question asks one name of the length that
    was asked. The question always starts at octet 12, so a Body fits every message that asks that name, in any case.
    `an`, `ns` and `ar` count the records of each section; an OPT is never among them. `ttls` are the offsets in `data`
    of the 4-octet TTL fields that count down. `ring` is (offset, record size, records) of a run of address records that
    may stand in any order, so that replies can rotate it.
    """

    an: int
    ns: int
    ar: int
    data: bytes
    ttls: tuple[int, ...] = ()
    ring: tuple[int, int, int] | None = None


EMPTY = Body(0, 0, 0, b"")


def aged(body: Body, seconds: int) -> Body:
    """Return the body with `seconds` taken off every TTL, none below 0."""
    return map_ttls(body, lambda ttl: max(0, ttl - seconds))


def with_ttl(body: Body, ttl: int) -> Body:
    """Return the body with this one TTL on every record, as stale answers have it (RFC 8767 section 4)."""
    return map_ttls(body, lambda _: ttl)


def map_ttls(body: Body, change: Callable[[int], int]) -> Body:
    """Return the body with `change` made to every TTL."""
    data = bytearray(body.data)
    for offset in body.ttls:
        _TTL.pack_into(data, offset, change(_TTL.unpack_from(data, offset)[0]))
    return Body(body.an, body.ns, body.ar, bytes(data), body.ttls, body.ring)


def type_name(number: int) -> str:
    """Return the mnemonic of a type, or TYPE123 for one without (RFC 3597 section 5)."""
    return TYPE_NAMES.get(number) or f"TYPE{number}"


def type_text(number: int) -> str:
    """Return the mnemonic of a type, also of one that is not counted by itself, or TYPE123."""
    return MORE_TYPE_NAMES.get(number) or type_name(number)


def rcode_name(number: int) -> str:
    """Return the mnemonic of a response code, or RCODE11 for one without."""
    return RCODE_NAMES.get(number) or f"RCODE{number}"
