"""Splits JSON at its outermost level only, for text that is too deep for a recursive parser. No I/O.

msgspec gives up on what is nested deeper than Python may recurse, even where it only skips it; so one object could hide
the 499 others of its page, or the version of a watch's line. This is slower by far, and is for these alone.
"""

import re
from collections.abc import Iterator

import msgspec

# A string is passed over as one; what else stands between brackets is of no interest.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},:]', re.DOTALL)


def fields(text: bytes | msgspec.Raw) -> dict[str, bytes]:
    """Return the fields of an object as they stand there. Raises msgspec.DecodeError."""
    text = bytes(text)
    found: dict[str, bytes] = {}
    for start, end in _parts(text, b"{", b"}"):
        key = _TOKEN.match(text, _after_space(text, start))
        colon = None if key is None else _TOKEN.match(text, _after_space(text, key.end()))
        if key is None or colon is None or key[0][:1] != b'"' or colon[0] != b":":
            raise msgspec.DecodeError("an object without keys")
        found[msgspec.json.decode(key[0], type=str)] = text[colon.end() : end].strip()
    return found


def elements(text: bytes) -> list[bytes]:
    """Return the elements of an array as they stand there. Raises msgspec.DecodeError."""
    return [text[start:end].strip() for start, end in _parts(text, b"[", b"]")]


def _parts(text: bytes, opening: bytes, closing: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each part between the outermost brackets begins and ends."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in b"[{":
            depth += 1
            if depth == 1:
                if mark != opening:
                    break
                start = token.end()
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                if mark != closing:
                    break
                if text[start : token.start()].strip():
                    yield start, token.start()
                return
        elif mark == b"," and depth == 1:
            yield start, token.start()
            start = token.end()
    raise msgspec.DecodeError("brackets that do not match")


_SPACE = re.compile(rb"[ \t\r\n]*")


def _after_space(text: bytes, start: int) -> int:
    found = _SPACE.match(text, start)
    return start if found is None else found.end()
