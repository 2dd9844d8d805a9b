"""Turns an event into a line of JSON or text: of limited length, and safe for a terminal."""

import json
import math
import traceback
from collections.abc import Callable
from typing import Any

from dnsserver.log.limiter import Event, ExcInfo, text_of

LONGEST = 16 * 1024  # octets of a line
_VALUE = 1000  # characters of one value
_FIELDS = 32
_TRACEBACK = 6000  # characters; the beginning and the end are kept
_FRAMES = 40

_SEVERAL_WORDS = frozenset(" \t=\r\n\"'")

# Select Graphic Rendition (ECMA-48 section 8.3.117)
_RESET, _BRIGHT, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN = (f"\x1b[{number}m" for number in range(31, 37))
_OF_LEVEL = {"critical": _RED, "error": _RED, "warning": _YELLOW, "info": _GREEN, "debug": _GREEN}

Render = Callable[[Event], str]


def renderer(*, as_json: bool, colors: bool) -> Callable[[Event], bytes]:
    """Return what makes a line of an event, with the line feed at its end. It never fails."""
    if as_json:
        return _safely(json.dumps, newlines=False)
    return _safely(lambda event: _text(event, colors=colors), newlines=True)


def _text(event: Event, *, colors: bool) -> str:
    """Return a line for a person: time, level, event and logger in columns, then the fields by their names."""

    def styled(text: object, *styles: str) -> str:
        return f"{''.join(styles)}{text}{_RESET}" if colors else str(text)

    rest = dict(event)
    parts = []
    if "timestamp" in rest:
        parts.append(styled(rest.pop("timestamp"), _DIM))
    if "level" in rest:
        level = str(rest.pop("level"))
        parts.append(f"[{styled(f'{level:9}', _BRIGHT, _OF_LEVEL.get(level, ''))}]")
    parts.append(styled(f"{rest.pop('event', '')!s:30}", _BRIGHT))
    if "logger" in rest:
        parts.append(f"[{styled(rest.pop('logger'), _BRIGHT, _BLUE)}]")
    exception = rest.pop("exception", None)
    parts += (f"{styled(name, _CYAN)}={styled(_quoted(rest[name]), _MAGENTA)}" for name in sorted(rest))
    line = " ".join(parts).rstrip(" ")
    return line if exception is None else f"{line}\n{exception}"


def _quoted(value: Any) -> str:
    """Return a value as it is if it is one word, and otherwise as Python writes it."""
    return value if isinstance(value, str) and not _SEVERAL_WORDS & set(value) else repr(value)


def _safely(render: Render, *, newlines: bool) -> Callable[[Event], bytes]:
    def line(event: Event) -> bytes:
        for longest in (_VALUE, _VALUE // 10):
            try:
                text = render(bounded(event, longest))
            except Exception as error:
                text = render({"event": "log line not made", "level": "error", "error": type(error).__name__})
            if not newlines:
                text = text.replace("\n", " ")
            found = text.encode("utf-8", "backslashreplace")
            if len(found) < LONGEST:
                return found + b"\n"
        return found[: LONGEST - 1] + b"\n"

    return line


def bounded(event: Event, longest: int = _VALUE) -> Event:
    """Return an event with every value short and printable, and its exception as text."""
    made: Event = {}
    for name, value in list(event.items())[:_FIELDS]:
        if name == "exc_info":
            if not value:
                continue
            made["exception"] = _cut_middle(printable(_traceback(value), also="\n"), longest * _TRACEBACK // _VALUE)
        else:
            made[printable(name)[:100]] = _bounded(value, longest)
    return made


def _bounded(value: Any, longest: int) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 64 else "(a large number)"
    if isinstance(value, list | tuple | set | frozenset):
        return _bounded_list(list(value), longest)
    return _cut(printable(value if isinstance(value, str) else as_text(value)), longest)


def _bounded_list(values: list[Any], longest: int) -> list[Any]:
    found: list[Any] = []
    for number, value in enumerate(values):
        if longest <= 0:
            return [*found, f"and {len(values) - number} more"]
        found.append(_cut(printable(value if isinstance(value, str) else as_text(value)), longest))
        longest -= len(found[-1]) + 4
    return found


def as_text(value: object) -> str:
    """Return what `str` makes of a value, or why it cannot."""
    try:
        return str(value)
    except Exception as error:
        return f"({text_of(error)})"


def printable(text: str, also: str = "") -> str:
    """Return a text in which what is no printable character is written as Python escapes it."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in also else ascii(character)[1:-1] for character in text
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}... and {len(text) - longest} more characters"


def _cut_middle(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n  [{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _traceback(raised: ExcInfo) -> str:
    """Return a traceback without local variables, as one may be a token; of a group, the first few exceptions."""
    kind, error, where = raised
    found = traceback.TracebackException(
        kind, error, where, limit=-_FRAMES, max_group_width=3, max_group_depth=5, compact=True
    )
    return "".join(found.format()).rstrip("\n")
