"""Lines about queries: JSON like all other log lines, or CoreDNS's common format, character for character.

Whatever a client has put into a name, a line is one line: names are written as master files have them, where odd octets
are numbers behind a backslash, and texts of others are made printable.
"""

import time
from functools import lru_cache
from typing import Any, Literal

import msgspec

from dnsserver.clients import shown_address
from dnsserver.log.lines import printable
from dnsserver.traffic.observed import Observed
from dnsserver.wire import message as m
from dnsserver.wire.name import to_text

Form = Literal["json", "common", "combined"]

_FLAGS = (("qr", m.QR), ("aa", m.AA), ("tc", m.TC), ("rd", m.RD), ("ra", m.RA), ("ad", m.AD), ("cd", m.CD))
_CLASSES = {m.CLASS_IN: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_OPCODE = 0x7800
_LEAST = 512  # octets that everybody takes over UDP
_MOST = 65535
_encode = msgspec.json.Encoder().encode


def json_line(seen: Observed) -> bytes:
    """Return a line of JSON."""
    return _encode(fields(seen)) + b"\n"


def fields(seen: Observed) -> dict[str, Any]:
    """Return what a line of JSON has; what is not known is not there."""
    whole = int(seen.time)
    found: dict[str, Any] = {
        "timestamp": f"{_second(whole)}.{int((seen.time - whole) * 1e6):06}Z",
        "level": "info",
        "event": "query",
        "logger": "dnsserver.queries",
        "client": shown_address(seen.client),
        "port": seen.port,
        "protocol": seen.protocol,
        "id": seen.id,
    }
    if seen.name:
        found["name"] = to_text(seen.name)
        found["type"] = m.type_text(seen.type)
        if seen.klass != m.CLASS_IN:
            found["class"] = class_text(seen.klass)
    found["rcode"] = "DROP" if seen.rcode == m.DROP else m.rcode_name(seen.rcode)
    found["reason"] = seen.reason.code
    if seen.reason.ede is not None:
        found["ede"] = int(seen.reason.ede)
    if seen.reason.text:
        found["text"] = printable(seen.reason.text)
    if seen.reason.also:
        found["also"] = [printable(f"{code} {text}".rstrip()) for code, text in seen.reason.also]
    found["source"] = seen.source
    if seen.upstream:
        found["upstream"] = printable(seen.upstream)
    found["seconds"] = round(seen.seconds, 6)
    found["request"] = seen.request
    found["reply"] = seen.reply
    found["do"] = seen.do
    return found


def common_line(seen: Observed) -> bytes:
    """Return a line in the common format of CoreDNS's plugin log, as it is on CoreDNS's standard output."""
    return f"{_common(seen)}\n".encode("ascii", "backslashreplace")


def combined_line(seen: Observed) -> bytes:
    """Return the same line followed by the opcode."""
    return f'{_common(seen)} "{(seen.flags & _OPCODE) >> 11}"\n'.encode("ascii", "backslashreplace")


def _common(seen: Observed) -> str:
    address = shown_address(seen.client)
    remote = f"[{address}]" if ":" in address else address
    question = "- - -"
    if seen.name:
        question = f"{m.type_text(seen.type)} {class_text(seen.klass)} {to_text(seen.name.lower())}"
    bufsize = max(_LEAST, seen.bufsize) if seen.protocol == "udp" else _MOST
    asked = f"{question} {seen.protocol} {seen.request} {'true' if seen.do else 'false'} {bufsize}"
    rcode = "-" if seen.rcode == m.DROP else m.rcode_name(seen.rcode)
    flags = ",".join(name for name, bit in _FLAGS if seen.flags & bit) or "-"
    seconds = f"{seen.seconds:.9f}".rstrip("0").rstrip(".")
    return f'[INFO] {remote}:{seen.port} - {seen.id} "{asked}" {rcode} {flags} {seen.reply} {seconds}s'


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    """Return a second in the form of log lines; it is cached, as thousands of lines have the same second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def class_text(number: int) -> str:
    """Return the mnemonic of a class, or CLASS123 for one without (RFC 3597 section 5)."""
    return _CLASSES.get(number) or f"CLASS{number}"


LINES = {"json": json_line, "common": common_line, "combined": combined_line}
