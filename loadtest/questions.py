"""Questions: read from a dnsperf question file, written to one, and turned into the bytes that are sent."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29,
    "SRV": 33, "NAPTR": 35, "DNAME": 39, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50,
    "TLSA": 52, "SVCB": 64, "HTTPS": 65, "IXFR": 251, "AXFR": 252, "ANY": 255, "CAA": 257,
}  # fmt: skip

_TYPE_OPT = 41
_CLASS_IN = b"\0\1"


class QuestionError(ValueError):
    """A question that cannot be asked; the text says where it is and what was expected."""


class Question(NamedTuple):
    """A name in presentation format, absolute with or without the last dot, and a type's mnemonic or TYPEnnn."""

    name: str
    type: str


class Manner(msgspec.Struct, frozen=True):
    """How questions are asked: the header flag RD, and EDNS with its UDP size (None: no EDNS) and the DO bit."""

    recursion: bool = True
    edns: int | None = None
    dnssec: bool = False


class Encoded(NamedTuple):
    """A question as bytes: the whole message after its ID, and the part of it that a reply must repeat."""

    tail: bytes
    question: bytes


def read(lines: Iterable[str], source: str) -> list[Question]:
    """Return the questions of a file in dnsperf's format: a `name type` on each line; `;` or `#` begins a comment line.

    `source` names the file in errors. Raises QuestionError with file and line, or with the file if it has no question.
    """
    found = list(_parse(lines, source))
    if not found:
        raise QuestionError(f"{source}: expected at least one line `name type`, found none")
    return found


def _parse(lines: Iterable[str], source: str) -> Iterator[Question]:
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0][0] in ";#":
            continue
        if len(words) != 2:
            raise QuestionError(
                f"{source}:{number}: expected `name type`, as in `www.example.com A`, got {line.strip()!r}"
            )
        question = Question(*words)
        try:
            encode_name(question.name)
            encode_type(question.type)
        except QuestionError as error:
            raise QuestionError(f"{source}:{number}: {error}") from None
        yield question


def write(questions: Iterable[Question]) -> str:
    """Return the questions as the text of a question file, which dnsperf reads too."""
    return "".join(f"{name} {kind}\n" for name, kind in questions)


def encode(question: Question, manner: Manner) -> Encoded:
    """Return the bytes to send for a question. Raises QuestionError."""
    asked = encode_name(question.name) + encode_type(question.type) + _CLASS_IN
    flags = 0x0100 if manner.recursion else 0
    opt = b""
    if manner.edns is not None:
        # RFC 6891, 6.1.2: root name, type, UDP size in the class field, then rcode, version, flags; no options.
        ttl = 0x8000 if manner.dnssec else 0
        opt = b"\0" + _TYPE_OPT.to_bytes(2) + manner.edns.to_bytes(2) + ttl.to_bytes(4) + b"\0\0"
    head = flags.to_bytes(2) + b"\0\1\0\0\0\0" + (b"\0\1" if opt else b"\0\0")
    return Encoded(head + asked + opt, asked)


def encode_type(mnemonic: str) -> bytes:
    """Return a type's two octets, for a mnemonic of TYPES or TYPEnnn (RFC 3597). Raises QuestionError."""
    text = mnemonic.upper()
    number = TYPES.get(text)
    if number is None and text.startswith("TYPE") and text[4:].isascii() and text[4:].isdigit():
        number = int(text[4:])
    if number is None or number > 0xFFFF:
        raise QuestionError(f"expected a type such as A, AAAA, SRV or TYPE65280, got {mnemonic!r}")
    return number.to_bytes(2)


def encode_name(text: str) -> bytes:
    r"""Return a name in uncompressed wire form; `\.` and `\DDD` are octets (RFC 1035, 5.1). Raises QuestionError."""
    if text == ".":
        return b"\0"
    labels = _labels(text) if "\\" in text else text.removesuffix(".").encode().split(b".")
    for label in labels:
        if not 1 <= len(label) <= 63:
            raise QuestionError(f"expected labels of 1 to 63 octets, got {len(label)} octets in the name {text!r}")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > 255:
        raise QuestionError(f"expected a name of at most 255 octets, got {len(wire)}: {text!r}")
    return wire


def _labels(text: str) -> list[bytes]:
    labels = [bytearray()]
    octets = iter(text.encode())
    for octet in octets:
        if octet == ord("."):
            labels.append(bytearray())
        elif octet != ord("\\"):
            labels[-1].append(octet)
        else:
            labels[-1].append(_escaped(octets, text))
    if not labels[-1]:
        labels.pop()
    return [bytes(label) for label in labels]


def _escaped(octets: Iterator[int], text: str) -> int:
    first = next(octets, None)
    if first is None:
        raise QuestionError(rf"expected a character or three digits after `\`, got the end of the name {text!r}")
    if not 0x30 <= first <= 0x39:
        return first
    digits = bytes((first, next(octets, 0), next(octets, 0)))
    if not digits.isdigit() or int(digits) > 255:
        raise QuestionError(rf"expected `\` and three digits up to 255, got {digits!r} in the name {text!r}")
    return int(digits)
