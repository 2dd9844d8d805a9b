"""The kinds of words that plugins of CoreDNS take, and whether a line's words are those that its plugin expects."""

import difflib
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dnsserver.config import selectors
from dnsserver.config.corefile.site import seconds
from dnsserver.resolver.patterns import Pattern, RuleError
from dnsserver.wire.codec import type_number
from dnsserver.wire.message import FormatError

RCODES = frozenset(
    {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH"}
    | {"NOTZONE", "DSOTYPENI", "BADSIG", "BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE"}
)
CLASSES = {"IN", "CS", "CH", "HS", "NONE", "ANY"}
_INTEGER = re.compile(r"[-+]?\d{1,18}")
_NUMBER = re.compile(r"[-+]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][-+]?\d{1,3})?")
_RANGE = re.compile(r"(\d+)\.\.(\d*)")
_LONGEST = 1000  # characters of an expression that our rules take: a longer one is lost, and CoreDNS takes up to 10,000


class _Kind(NamedTuple):
    """A kind of words: a test whether a word is of this kind, and the name of the kind."""

    fits: Callable[[str], bool]
    expected: str


def _duration(text: str) -> float:
    """Read a duration as Go writes it, with its sign; raises ValueError."""
    return -seconds(text[1:]) if text.startswith("-") else seconds(text)


def _lasts(least: float, most: float = float("inf")) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            return least <= _duration(text) <= most
        except ValueError:
            return False

    return fits


def _jitter(text: str) -> bool:
    return text in {"0", "0s"} or _lasts(1)(text)


def _timeout(text: str) -> bool:
    return _lasts(1, 86_400)(f"{text}s" if _INTEGER.fullmatch(text) else text)


def _queries(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and (int(text) == -1 or int(text) > 0)


def _percentage(text: str) -> bool:
    return text.endswith("%") and bool(_INTEGER.fullmatch(text[:-1])) and 10 <= int(text[:-1]) <= 90


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _endpoint(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon) and "/" not in port and (":" not in host or (host.startswith("[") and host.endswith("]")))


def _server(text: str) -> bool:
    host, colon, _ = text.rpartition(":")
    return _is_address(text) or (bool(colon) and _is_address(host.removeprefix("[").removesuffix("]")))


def regex_mistake(text: str) -> str:
    """Return what is wrong with a regular expression; empty if nothing is, or if it is too large to be looked at."""
    if len(text) > _LONGEST:
        return ""
    try:
        Pattern(text)
    except RuleError as error:
        return "" if "too large" in str(error) else str(error)
    return ""


def is_type(text: str) -> bool:
    """Tell whether CoreDNS has a record type of this name."""
    try:
        return text in {"ANY", "AXFR", "IXFR", "NONE"} or (text.isupper() and type_number(text) > 0)
    except (FormatError, ValueError):
        return False


_KINDS = {
    "word": _Kind(lambda _: True, "a word"),
    "duration": _Kind(_lasts(float("-inf")), "a duration such as 30s, 5m or 1h30m"),
    "time": _Kind(_lasts(0), "a duration such as 30s, 5m or 1h30m"),
    "positive": _Kind(_lasts(1e-9), "a duration above 0, such as 30s"),
    "interval": _Kind(_lasts(2), "a duration of 2s or more"),
    "jitter": _Kind(_jitter, "0, or a duration of 1s or more"),
    "failure": _Kind(_lasts(0, 300), "a duration up to 5m"),
    "timeout": _Kind(_timeout, "a duration from 1s to 24h"),
    "queries": _Kind(_queries, "-1, or a whole number of 1 or more"),
    "integer": _Kind(lambda text: bool(_INTEGER.fullmatch(text)), "a whole number"),
    "number": _Kind(lambda text: bool(_NUMBER.fullmatch(text)) and float(text) >= 0, "a number of 0 or more"),
    "percentage": _Kind(_percentage, "a percentage from 10% to 90%"),
    "regex": _Kind(lambda text: not regex_mistake(text), "a regular expression in RE2 syntax"),
    "network": _Kind(_network, "a network such as 10.0.0.0/8"),
    "address": _Kind(_is_address, "an IP address"),
    "endpoint": _Kind(_endpoint, "HOST:PORT or :PORT"),
    "server": _Kind(_server, "an IP address, with or without a port"),
    "rcode": _Kind(lambda text: text.upper() in RCODES, "an rcode such as NXDOMAIN"),
    "upper_rcode": _Kind(lambda text: text in RCODES, "an rcode in upper case, such as NXDOMAIN"),
    "class": _Kind(lambda text: text in CLASSES, "a class such as IN or ANY"),
    "type": _Kind(is_type, "a record type in upper case, such as A or ANY"),
    "selector": _Kind(lambda _: True, "a label selector"),
}


def mistake(words: Sequence[str], expected: str) -> str:
    """Return what is wrong with the words of a line, empty if they are as expected."""
    if expected.startswith("selector"):
        text = " ".join(words)
        return "" if words and selectors.is_selector(text) else f"expected {selectors.EXPECTED}"
    at = 0
    for part in expected.split():
        name, how = (part[:-1], part[-1]) if part[-1] in "?*+" else (part, "")
        if at >= len(words):
            if how in {"", "+"}:
                return f"expected {_expected(name)} after it"
            continue
        several = words[at:] if how in {"*", "+"} else words[at : at + 1]
        for word in several:
            if not _fits(name, word):
                return f"found {word[:80]}, expected {_expected(name)}{did_you_mean(word, name.split('|'))}"
        at += len(several)
    if at < len(words):
        return f"found {words[at][:80]}, expected {'nothing after it' if not at else 'no more words'}"
    return ""


def _fits(name: str, word: str) -> bool:
    if "|" in name:
        return word in name.split("|")
    if found := _RANGE.fullmatch(name):
        return bool(_INTEGER.fullmatch(word)) and int(found[1]) <= int(word) <= int(found[2] or 2**63)
    return _KINDS[name].fits(word)


def _expected(name: str) -> str:
    if "|" in name:
        *others, last = dict.fromkeys(name.split("|"))
        return f"{', '.join(others)} or {last}" if others else last
    if found := _RANGE.fullmatch(name):
        return f"a whole number {f'from {found[1]} to {found[2]}' if found[2] else f'of {found[1]} or more'}"
    return _KINDS[name].expected


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a question for the end of a sentence, empty if no known word is like the one that was written."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near and near[0] != word else ""
