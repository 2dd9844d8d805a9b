"""Extended DNS errors (RFC 8914): options that say why, written, left out where there is no room, and read.

A text has at most `MAX_TEXT` octets, and an OPT of ours at most `MOST` of these options, wherever they come from: what
they tell of may be of any length. Behind the longest question two such options still fit into 512 octets.
"""

import struct

from dnsserver.wire.message import HEADER_SIZE, OPT, FormatError
from dnsserver.wire.name import end_of_name

MAX_TEXT = 128
MOST = 4
BARE_OPT = 11  # octets of an OPT without options
OPTION_CODE = b"\0\x0f"

# A code, and a text or none. A code may be one that is not in `EDE`: others say more.
ExtendedError = tuple[int, str]

_HEAD = struct.Struct("!2sHH")  # code and length of the option, code of the error
_OPTION = struct.Struct("!2sH")
_RECORD = struct.Struct("!HHIH")
_COUNTS = struct.Struct("!HHHH")
_ELLIPSIS = "…"
_MOST_RECORDS = 2000  # walked in about a millisecond
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS = (0, 1, 2, 5, 10, 20, 30)
_AGES = (
    *((step, f"{step} s") for step in _STEPS),
    *((step * _MINUTE, f"{step} min") for step in _STEPS[1:]),
    *((step * _HOUR, f"{step} h") for step in (1, 2, 4, 8, 12)),
    *((step * _DAY, f"{step} d") for step in (1, 2, 4, 7)),
)


def cut_text(text: str, most: int = MAX_TEXT) -> str:
    """Return the text, or its beginning and an ellipsis, in at most `most` octets of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return text
    return encoded[: most - len(_ELLIPSIS.encode())].decode(errors="ignore").rstrip() + _ELLIPSIS


def age_text(seconds: float) -> str:
    """Return a duration rounded down to one of few steps, as "5 min": what is "older than" that stays so while it ages.

    So there are few texts, and a reply that is kept tells nothing that has become wrong.
    """
    return next(text for least, text in reversed(_AGES) if seconds >= least or not least)


def write_options(errors: tuple[ExtendedError, ...]) -> bytes:
    """Return the options of an OPT that tell these errors, the first `MOST` of them."""
    return b"".join(_option(code, text) for code, text in errors[:MOST])


def _option(code: int, text: str) -> bytes:
    encoded = cut_text(text).encode(errors="replace")
    return _HEAD.pack(OPTION_CODE, 2 + len(encoded), code) + encoded


def shortened(opt: bytes, room: int) -> bytes:
    """Return an OPT of `write_options` in at most `room` octets: without texts, or options, from the last one on.

    An answer that has room without them is not to be cut for their sake (RFC 8914 section 3). The OPT itself stays.
    """
    options = _split(opt)
    for at in reversed(range(len(options))):
        if BARE_OPT + sum(map(len, options)) <= room:
            break
        options[at] = _HEAD.pack(OPTION_CODE, 2, int.from_bytes(options[at][4:6], "big"))
    while options and BARE_OPT + sum(map(len, options)) > room:
        del options[-1]
    data = b"".join(options)
    return opt[: BARE_OPT - 2] + len(data).to_bytes(2, "big") + data


def _split(opt: bytes) -> list[bytes]:
    options = []
    position = BARE_OPT
    while position < len(opt):
        end = position + _OPTION.size + int.from_bytes(opt[position + 2 : position + 4], "big")
        options.append(opt[position:end])
        position = end
    return options


def read_errors(reply: bytes, position: int) -> tuple[ExtendedError, ...]:
    """Return the errors that a stranger's reply tells, the first `MOST`; its records begin at `position`.

    Nearly all replies tell none: `OPTION_CODE` is not in them. A text that cannot be printed, or is not UTF-8, is left
    out; nothing is raised for what cannot be read.
    """
    try:
        return tuple(_errors_of(reply, position))[:MOST]
    except (FormatError, struct.error, IndexError):
        return ()


def _errors_of(reply: bytes, position: int) -> list[ExtendedError]:
    _, an, ns, ar = _COUNTS.unpack_from(reply, HEADER_SIZE - _COUNTS.size)
    if an + ns + ar > _MOST_RECORDS:
        return []
    for index in range(an + ns + ar):
        is_root = not reply[position]
        position = end_of_name(reply, position)
        type_, _, _, length = _RECORD.unpack_from(reply, position)
        position += _RECORD.size
        if type_ == OPT and is_root and index >= an + ns:
            return _read_options(reply[position : position + length])
        position += length
    return []


def _read_options(data: bytes) -> list[ExtendedError]:
    found = []
    position = 0
    while position + _OPTION.size <= len(data):
        code, length = _OPTION.unpack_from(data, position)
        position += _OPTION.size
        value = data[position : position + length]
        position += length
        if position > len(data):
            break
        if code == OPTION_CODE and length >= 2:
            found.append((int.from_bytes(value[:2], "big"), _printable(value[2:])))
    return found


def _printable(octets: bytes) -> str:
    """Return a text as one line, "" if it is not printable. Some end it with a NUL (see RFC 8914 section 2)."""
    try:
        text = octets.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return ""
    return cut_text(text) if text.isprintable() else ""
