"""The only module that imports dnslib: the data of records that people write. No client's packet gets here."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

import dnslib

from dnsserver.wire.message import HEADER_SIZE, OPT, FormatError
from dnsserver.wire.name import ROOT, from_text, to_text
from dnsserver.wire.records import Names, with_names

# What reads the words of a type. Those that dnslib does not know have the data of one that it does.
_READERS: dict[str, Any] = {
    **dnslib.RDMAP,
    "DNAME": dnslib.CNAME,
    "AFSDB": dnslib.MX,
    "KX": dnslib.MX,
    "SVCB": dnslib.HTTPS,
}
# How many words the data of a type has, where dnslib passes over what is too much.
_WORDS = {
    **dict.fromkeys(("A", "AAAA", "CNAME", "NS", "PTR", "DNAME"), 1),
    **dict.fromkeys(("MX", "AFSDB", "KX", "RP", "HINFO"), 2),
    "SRV": 4,
    "CAA": 3,
    "NAPTR": 6,
    "SOA": 7,
}
_LEAST_WORDS = {"NSEC": 2, "SSHFP": 3, "DS": 4, "DNSKEY": 4, "TLSA": 4, "RRSIG": 9}  # the last ones may be in pieces
# Which words are names. dnslib takes some of them as absolute and splits a label at an escaped dot, so it is given the
# root in their place.
_NAMES = {
    **dict.fromkeys(("CNAME", "NS", "PTR", "DNAME", "NSEC"), (0,)),
    **dict.fromkeys(("MX", "AFSDB", "KX", "HTTPS", "SVCB"), (1,)),
    **dict.fromkeys(("RP", "SOA"), (0, 1)),
    "SRV": (3,),
    "NAPTR": (5,),
    "RRSIG": (7,),
}
_STRINGS = {"TXT", "SPF", "HINFO"}
_STRING = 255  # octets of a character string at most
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.DOTALL)


def read_rdata(rtype: str, words: Sequence[str], origin: bytes) -> tuple[int, bytes]:
    """Return a record's type and its data, names written out, from the words of a zone file.

    A quoted word still has its quotes; relative names stand below `origin`. Raises FormatError that says what is wrong.
    """
    number = type_number(rtype)
    if words[:1] == ["\\#"]:
        return number, _generic(rtype, number, words)
    wanted = _WORDS.get(rtype)
    if wanted is not None and len(words) != wanted:
        raise FormatError(f"{rtype} has {len(words)} words of data, expected {wanted}")
    least = _LEAST_WORDS.get(rtype, 1)
    if len(words) < least:
        raise FormatError(f"{rtype} has {len(words)} words of data, expected at least {least}")
    if rtype not in _READERS and rtype not in _STRINGS:
        raise FormatError(f"{rtype} is not read in words, expected \\# LENGTH HEX (RFC 3597 section 5)")
    try:
        return number, _data(rtype, number, words, origin)
    except Exception as error:  # dnslib raises whatever it happens to trip over
        kind = "an address" if rtype in {"A", "AAAA"} else "the data of a record"
        raise FormatError(f"{rtype} {' '.join(words)[:60]}: not {kind}") from error


def read_name(word: str, origin: bytes) -> bytes:
    """Return the name that a word of a zone file shows, below `origin` unless it ends in a dot. Raises FormatError."""
    if word == "@":
        return origin
    if word.startswith('"'):
        raise FormatError(f"found {word[:60]}, expected a name without quotation marks")
    absolute = word.endswith(".") and not word.endswith("\\.")
    name = from_text(word)
    return name if absolute or origin == ROOT else from_text(word + "." + to_text(origin))


def type_number(rtype: str) -> int:
    """Return the number of a type of records by its name in upper case, or as in TYPE257; raises FormatError."""
    found = re.fullmatch(r"TYPE(\d{1,5})", rtype)  # RFC 3597 section 5
    try:
        number = int(found[1]) if found else int(getattr(dnslib.QTYPE, rtype))
    except dnslib.DNSError as error:
        raise FormatError(f"there is no type {rtype[:60]}") from error
    if not 0 < number < 0xFFFF or number == OPT or 128 <= number <= 255:  # RFC 6895 section 3.1
        raise FormatError(f"{rtype[:60]} is not the type of a record")
    return number


def _generic(rtype: str, number: int, words: Sequence[str]) -> bytes:
    r"""Return the octets of `\# LENGTH HEX...` (RFC 3597 section 5)."""
    digits = "".join(words[2:])
    if len(words) < 2 or words[1] != str(len(digits) // 2) or not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", digits):
        raise FormatError(f"{' '.join(words)[:60]}: expected \\# and as many octets in hexadecimal as it says")
    data = bytes.fromhex(digits)
    position = 0
    while rtype in _STRINGS and position < len(data):
        position += 1 + data[position]
    if position > len(data):
        raise FormatError(f"{rtype} {' '.join(words)[:60]}: ends in a string")
    return Names(bytes(HEADER_SIZE) + data).rdata(number, HEADER_SIZE, HEADER_SIZE + len(data))


def _data(rtype: str, number: int, words: Sequence[str], origin: bytes) -> bytes:
    if rtype in {"A", "AAAA"}:
        return (ipaddress.IPv4Address if rtype == "A" else ipaddress.IPv6Address)(words[0]).packed
    if rtype in _STRINGS:
        texts = [text for word in words for text in _pieces(_octets(word), rtype)]
        return b"".join(bytes((len(text),)) + text for text in texts)
    places = _NAMES.get(rtype, ())
    shown = ["." if place in places else _octets(word).decode() for place, word in enumerate(words)]
    buffer = dnslib.DNSBuffer()
    _READERS[rtype].fromZone(shown).pack(buffer)
    data = bytes(buffer.data)
    if _READERS[rtype] is dnslib.HTTPS:
        data = data[:3] + _parameters(data[3:])  # behind the priority and the root
    written = iter([read_name(words[place], origin) for place in places])
    return with_names(number, data, lambda _: next(written)) or data


def _parameters(data: bytes) -> bytes:
    """Return the parameters of SVCB or HTTPS in the order of their keys (RFC 9460 section 2.2).

    Raises ValueError if a key is there twice.
    """
    found: dict[bytes, bytes] = {}
    while data:
        end = 4 + int.from_bytes(data[2:4], "big")
        if data[:2] in found:
            raise ValueError("a parameter twice")
        found[data[:2]], data = data[:end], data[end:]
    return b"".join(found[key] for key in sorted(found))


def _pieces(text: bytes, rtype: str) -> list[bytes]:
    """Return a text as character strings: a long one, such as a key of DKIM, becomes several, as CoreDNS writes it.

    Who reads such a record joins them again (RFC 6376 section 3.6.2.2).
    """
    if rtype == "HINFO" or not text:
        return [text]
    return [text[at : at + _STRING] for at in range(0, len(text), _STRING)]


def _octets(word: str) -> bytes:
    """Return a character string's octets (RFC 1035 section 5.1); raises ValueError for a number above 255."""
    text = word[1:-1] if word.startswith('"') else word
    found = bytearray()
    for number, part in enumerate(_ESCAPE.split(text)):
        escaped = number % 2 and part.isdigit() and len(part) == 3  # split gives text and what was escaped in turn
        found += bytes((int(part),)) if escaped else part.encode()
    return bytes(found)
