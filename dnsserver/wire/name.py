"""Domain names as bytes: the uncompressed wire form of RFC 1035 section 3.1, root label included.

The whole program holds names in this one form, lower-case wherever a name is a key. `bytes.lower()` does that:
length octets are at most 63 and so never in the range of upper-case letters.
"""

from collections.abc import Iterable, Iterator

from dnsserver.wire.message import FormatError

ROOT = b"\0"

MAX_NAME = 255
MAX_LABEL = 63


def from_labels(labels: Iterable[bytes]) -> bytes:
    """Return the name of these labels, leftmost first.

    Raises FormatError for an empty label, one above 63 octets, or a name above 255 (RFC 1035 section 2.3.4).
    """
    parts = []
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL:
            raise FormatError(f"{_shown(label)} has {len(label)} octets, expected 1 to {MAX_LABEL}")
        parts.append(bytes((len(label),)) + label)
    name = b"".join(parts) + ROOT
    if len(name) > MAX_NAME:
        raise FormatError(f"name has {len(name)} octets, expected at most {MAX_NAME}")
    return name


def _shown(label: bytes) -> str:
    """Return a label in the form in which an error names it; an empty label has no octets to show."""
    if not label:
        return "the label in front of a dot"
    return f'the label "{label.decode("ascii", "backslashreplace")}"'


def from_text(text: str) -> bytes:
    r"""Return the name that `text` shows, with or without the final dot, read as absolute.

    Understands the escapes ``\.`` and ``\DDD`` (RFC 1035 section 5.1). Raises FormatError.
    """
    if "\\" in text or not text.isascii():
        return from_labels(_unescaped(text))
    if text in {"", "."}:
        return ROOT
    return from_labels(text.removesuffix(".").encode("ascii").split(b"."))


def _unescaped(text: str) -> list[bytes]:
    """Split text with escapes into labels."""
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
    """Read the escape that follows a backslash."""
    digits = [next(octets, None)]
    if digits[0] is not None and not 0x30 <= digits[0] <= 0x39:
        return digits[0]
    digits += [next(octets, None), next(octets, None)]
    known = bytes(digit for digit in digits if digit is not None)
    if len(known) == len(digits) and known.isdigit() and int(known) <= 0xFF:
        return int(known)
    raise FormatError(f"name {text!r} has a broken escape, expected \\. or \\DDD up to \\255")


def labels(name: bytes) -> tuple[bytes, ...]:
    """Return the labels of a well-formed name, leftmost first, without the root."""
    found = []
    position = 0
    while length := name[position]:
        found.append(name[position + 1 : position + 1 + length])
        position += length + 1
    return tuple(found)


def labels_below(name: bytes, zone: bytes) -> list[bytes] | None:
    """Return the labels that `name` has left of `zone`; None unless it is `zone` or lies below it, in the same case."""
    if not name.endswith(zone):
        return None
    found = []
    position = 0
    end = len(name) - len(zone)
    while position < end:
        start = position + 1
        position = start + name[position]
        found.append(name[start:position])
    return found if position == end else None  # a label may hold octets that look like the zone's


def to_text(name: bytes) -> str:
    """Return the name as master files write it, absolute, odd octets escaped (RFC 1035 section 5.1)."""
    return "".join(_label_text(label) + "." for label in labels(name)) or "."


def _label_text(label: bytes) -> str:
    if label.isalnum() or label.translate(None, b"-_").isalnum():  # nearly all: in a tenth of the time
        return label.decode("ascii")
    return "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet not in b'.\\"();@$' else f"\\{octet:03d}" for octet in label
    )


def is_below(name: bytes, zone: bytes) -> bool:
    """Tell whether `name` is `zone` or lies below it; both in the same case."""
    if not name.endswith(zone):
        return False
    # A label may hold octets that look like the zone's, so the boundary has to be a real one.
    position = 0
    start = len(name) - len(zone)
    while position < start:
        position += name[position] + 1
    return position == start


def ancestors(name: bytes) -> Iterator[bytes]:
    """Yield the names above a name, nearest first."""
    while name[0]:
        name = name[name[0] + 1 :]
        yield name


def end_of_name(data: bytes, position: int = 0) -> int:
    """Return where the octets behind a well-formed name begin; it may end in a pointer (RFC 1035 section 4.1.4)."""
    while 0 < (length := data[position]) < 0xC0:
        position += length + 1
    return position + (2 if length else 1)
