"""Finds `rewrite` rules with which CoreDNS would not start."""

import re
from collections.abc import Iterator

from dnsserver.config.corefile.kinds import CLASSES, RCODES, did_you_mean, is_type, regex_mistake
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.patterns import groups

_MATCHES = ("exact", "prefix", "suffix", "substring", "regex")
_OPTIONS = ("local", "nsid", "subnet")
_AS_IN = {"class": "CH IN", "type": "ANY HINFO"}
_ACTIONS = ("set", "replace", "append", "unset")
_ANSWERS = ("auto", "name", "value")
_FIELDS = ("name", "class", "type", "edns0", "ttl", "cname", "rcode")


def mistakes(directive: Directive) -> Iterator[str]:
    """Give what is wrong with one rule."""
    words = list(directive.args)
    if len(words) < 2:
        words += [word for line in directive.lines for word in line.all_words]
    if words and words[0].lower() in {"continue", "stop"}:
        words = words[1:]
    field, *rest = words or [""]
    for text in _rule(field.lower(), field, rest):
        yield f"rewrite {field[:40]}: {text}" if field else f"rewrite: {text}"


def _rule(field: str, written: str, words: list[str]) -> Iterator[str]:
    """Yield the mistakes of a rule; `words` are the words after its field."""
    if field not in _FIELDS:
        yield f"found {written[:80] or 'nothing'}, expected one of {', '.join(_FIELDS)}{did_you_mean(written, _FIELDS)}"
    elif field in {"class", "type"}:
        if len(words) != 2 or not all(_is_one(field, word.upper()) for word in words):
            found = " ".join(words)[:80] or "nothing"
            yield f"found {found}, expected two words, as in {_AS_IN[field]}: the old one and the new one"
    elif field == "edns0":
        if len(words) < 2 or words[0].lower() not in _OPTIONS:
            yield f"expected {' or '.join(_OPTIONS)}, and one of {', '.join(_ACTIONS)}"
        elif words[1].lower() not in _ACTIONS:
            yield f"found {words[1][:80]}, expected one of {', '.join(_ACTIONS)}{did_you_mean(words[1], _ACTIONS)}"
    else:
        yield from _comparing(field, words)


def _is_one(field: str, word: str) -> bool:
    return word in CLASSES if field == "class" else is_type(word)


def _comparing(field: str, words: list[str]) -> Iterator[str]:
    """Yield the mistakes of a rule that compares names, [KIND] FROM TO..., and those of the words after it."""
    number = {"name": 2, "cname": 2, "ttl": 2, "rcode": 3}[field]
    if len(words) < number or (field != "name" and len(words) > number + 1):
        more = f"{number + 1} with one of {', '.join(_MATCHES)} before them"
        yield f"found {len(words)} words, expected {number}, or {more}"
        return
    kind = words[0].lower() if len(words) > number else "exact"
    if kind not in _MATCHES:
        yield f"found {words[0][:80]}, expected one of {', '.join(_MATCHES)}{did_you_mean(words[0], _MATCHES)}"
        return
    rest = words[1:] if len(words) > number else words
    if kind == "regex" and (found := regex_mistake(rest[0])):
        yield f"{rest[0][:80]} {found}"
    elif kind == "regex" and field == "name" and (gaps := _gaps(rest[1]) - groups(rest[0])):
        yield f"{rest[1][:80]} has {{{min(gaps)}}}, for which {rest[0][:80]} has no group"
    if field == "ttl" and not all(part.isdigit() or not part for part in rest[1].split("-", 1)):
        yield f"found {rest[1][:80]}, expected a number of seconds, or a range such as 30-300"
    for code in rest[1:3] if field == "rcode" else ():
        if code.upper() not in RCODES and not code.isdigit():
            yield f"found {code[:80]}, expected an rcode such as NXDOMAIN{did_you_mean(code.upper(), sorted(RCODES))}"
    if field == "name" and len(words) > 3:
        yield from _answers(words[3:])


def _gaps(text: str) -> set[str]:
    return set(re.findall(r"\{(\d{1,3})\}", text))


def _answers(words: list[str]) -> Iterator[str]:
    """Yield the mistakes of the part of a rule that is about the reply."""
    if words[0] != "answer":
        near = did_you_mean(words[0], ["answer"])
        yield f"found {words[0][:80]} after the two names, expected nothing or answer{near}"
        return
    rest = words
    while rest:
        if rest[0] == "answer":
            rest = rest[1:]
        kind = rest[0] if rest else ""
        if kind not in _ANSWERS:
            near = did_you_mean(kind, _ANSWERS)
            yield f"found {kind[:80] or 'nothing'} after answer, expected {' or '.join(_ANSWERS)}{near}"
            return
        if kind != "auto":
            if len(rest) < 3:
                yield f"expected two words after {kind}"
                return
            if found := regex_mistake(rest[1]):
                yield f"{rest[1][:80]} {found}"
        rest = rest[1 if kind == "auto" else 3 :]
