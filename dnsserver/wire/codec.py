"""The door to dnslib, which is off the way of a packet: at present the data of records that people write."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

import dnslib

from dnsserver.wire.message import HEADER_SIZE, FormatError
from dnsserver.wire.name import from_text, to_text
from dnsserver.wire.records import Names


class _Srv(dnslib.SRV):  # type: ignore[misc]  # it has no types
    """SRV whose target stands below the origin, as RFC 1035 section 5.1 has it; dnslib takes it as absolute."""

    @classmethod
    def fromZone(cls, rd: Sequence[str], origin: Any = None) -> dnslib.SRV:  # noqa: N802 - dnslib's
        priority, weight, port, target = rd
        return cls(int(priority), int(weight), int(port), dnslib.label(target, origin))


dnslib.dns.RDMAP["SRV"] = _Srv

# How many words the data of a type has, where dnslib passes over what is too much.
_WORDS = {
    "A": 1,
    "AAAA": 1,
    "CNAME": 1,
    "NS": 1,
    "PTR": 1,
    "DNAME": 1,
    "MX": 2,
    "RP": 2,
    "SRV": 4,
    "NAPTR": 6,
    "SOA": 7,
}
_WITH_NAMES = {"CNAME", "NS", "PTR", "MX", "RP", "SRV", "NAPTR", "SOA"}
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.DOTALL)


def read_rdata(rtype: str, words: Sequence[str], origin: bytes) -> tuple[int, bytes]:
    """Return a record's type and its data, names written out, from the words of a zone file.

    A quoted word still has its quotes; relative names stand below `origin`. Raises FormatError that says what is wrong.
    """
    number = _type_number(rtype)
    wanted = _WORDS.get(rtype)
    if words[:1] == ["\\#"]:
        return number, _generic(words)
    if wanted is not None and len(words) != wanted:
        raise FormatError(f"{rtype} has {len(words)} words of data, expected {wanted}")
    if not words:
        raise FormatError(f"{rtype} without data")
    try:
        return number, _data(rtype, number, words, origin)
    except Exception as error:  # dnslib raises whatever it happens to trip over
        kind = "an address" if rtype in {"A", "AAAA"} else "the data of a record"
        raise FormatError(f"{rtype} {' '.join(words)[:60]}: not {kind}") from error


def _type_number(rtype: str) -> int:
    if rtype == "DNAME":  # which dnslib does not know
        return 39
    if found := re.fullmatch(r"TYPE(\d{1,5})", rtype):  # RFC 3597 section 5
        return int(found[1]) & 0xFFFF
    try:
        return int(getattr(dnslib.QTYPE, rtype))
    except dnslib.DNSError as error:
        raise FormatError(f"there is no type {rtype[:60]}") from error


def _generic(words: Sequence[str]) -> bytes:
    r"""Return the octets of `\# LENGTH HEX...` (RFC 3597 section 5)."""
    digits = "".join(words[2:])
    if len(words) < 2 or words[1] != str(len(digits) // 2) or not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", digits):
        raise FormatError(f"{' '.join(words)[:60]}: expected \\# and as many octets in hexadecimal as it says")
    return bytes.fromhex(digits)


def _data(rtype: str, number: int, words: Sequence[str], origin: bytes) -> bytes:
    if rtype in {"A", "AAAA"}:
        return (ipaddress.IPv4Address if rtype == "A" else ipaddress.IPv6Address)(words[0]).packed
    if rtype == "TXT":
        texts = [_octets(word) for word in words]
        return b"".join(bytes((len(text),)) + text for text in texts)
    if rtype == "DNAME":
        return from_text(words[0])
    place = to_text(origin)
    shown = [place if word == "@" and rtype in _WITH_NAMES else _plain(word) for word in words]
    rdata = dnslib.RDMAP.get(rtype, dnslib.RD).fromZone(shown, dnslib.DNSLabel(place))
    buffer = dnslib.DNSBuffer(bytes(HEADER_SIZE))
    buffer.offset = HEADER_SIZE
    rdata.pack(buffer)
    message = bytes(buffer.data)
    return Names(message).rdata(number, HEADER_SIZE, len(message))


def _octets(word: str) -> bytes:
    """Return a character string's octets (RFC 1035 section 5.1); raises ValueError for one above 255 or an escape."""
    text = word[1:-1] if word.startswith('"') else word
    found = bytearray()
    for number, part in enumerate(_ESCAPE.split(text)):
        escaped = number % 2 and part.isdigit() and len(part) == 3  # split gives text and what was escaped in turn
        found += bytes((int(part),)) if escaped else part.encode()
    return bytes(found)


def _plain(word: str) -> str:
    """Return what a quoted word holds; a name keeps its escapes, which dnslib reads itself."""
    if not word.startswith('"'):
        return word
    return _ESCAPE.sub(lambda found: chr(int(found[1])) if found[1].isdigit() else found[1], word[1:-1])
