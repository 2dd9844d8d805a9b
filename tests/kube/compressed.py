"""Lists in the compressed form of a real API server, and in forms of a broken server or proxy."""

import gzip
from collections.abc import Callable

FROM = 128 * 1024  # octets of a list that are compressed (Kubernetes, responsewriters: defaultGzipThresholdBytes)
BOMB = 200 << 20  # octets of plain text in a few kilobytes

Spoilt = tuple[bytes, dict[str, str]]
_GZIP = {"content-encoding": "gzip", "vary": "Accept-Encoding"}


def _bomb() -> bytes:
    return gzip.compress(bytes(1 << 20), 9) * (BOMB >> 20)


# Each makes of a plain list what is sent, and the fields of its head.
SPOILT: dict[str, Callable[[bytes], Spoilt]] = {
    "gzip-not-asked-for": lambda body: (gzip.compress(body, 1), _GZIP),
    "gzip-members": lambda body: (gzip.compress(body[:100]) + gzip.compress(body[100:]), _GZIP),
    "gzip-that-is-plain": lambda body: (body, _GZIP),
    "gzip-that-nobody-tells": lambda body: (gzip.compress(body), {}),
    "gzip-half": lambda body: (gzip.compress(body)[:-9], _GZIP),
    "gzip-without-an-octet": lambda _: (b"", _GZIP),
    "gzip-with-a-wrong-sum": lambda body: (gzip.compress(body)[:-8] + bytes(8), _GZIP),
    "gzip-and-more": lambda body: (gzip.compress(body) + b"more", _GZIP),
    "gzip-bomb": lambda _: (_bomb(), _GZIP),
    "brotli": lambda body: (body, {"content-encoding": "br"}),
}


def encoded(body: bytes, accepted: str, spoil: str) -> Spoilt:
    """Return the body as it is sent, and what its head says of that; `spoil` names one of `SPOILT`, or nothing."""
    if spoil in SPOILT:
        return SPOILT[spoil](body)
    if "gzip" in accepted and len(body) > FROM:
        return gzip.compress(body, 1), _GZIP
    return body, {}
