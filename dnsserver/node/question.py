"""The question that shows whether the server answers, as octets (RFC 1035 section 4.1). Pure."""

import struct

_RECURSION_DESIRED, _IS_REPLY = 0x0100, 0x8000
_RCODE = 0x000F
_A, _IN = 1, 1


def question(number: int, name: str) -> bytes:
    """Return a query for the A records of a name, with this number as its ID. Raises ValueError for what is no name."""
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if name.rstrip(".")]
    if any(not 0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError(f"expected a domain name, got {name!r}")
    wire = b"".join(bytes([len(label)]) + label for label in labels)
    return struct.pack("!6H", number, _RECURSION_DESIRED, 1, 0, 0, 0) + wire + struct.pack("!BHH", 0, _A, _IN)


def is_answer(reply: bytes, asked: bytes) -> bool:
    """Tell whether a reply is one to that question, and says that the name exists."""
    if len(reply) < len(asked) or reply[:2] != asked[:2] or reply[12 : len(asked)].lower() != asked[12:].lower():
        return False
    (flags,) = struct.unpack_from("!H", reply, 2)
    return bool(flags & _IS_REPLY) and not flags & _RCODE
