"""Translates regular expressions and Go templates of a Corefile into the form of our rules.

Both compare names in lower case that end in a dot, with RE2's syntax. In our texts a gap is `{1}` or `{name}`, and a
brace itself is written twice.
"""

import re
from typing import NamedTuple

_LONGEST = 1000  # characters of an expression that our rules take
_GROUP = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\((?!\?)|\(\?P?<(?![=!])(\w+)>", re.DOTALL)
_INDEX = re.compile(r"\{(\d{1,3})\}")
_EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
# All names below a domain, with what is in front of it kept.
_BELOW = re.compile(r"\^?\(\.[*+]\)\\\.((?:[a-z0-9_-]+\\\.)+)\$")
_NEW_END = re.compile(r"\{1\}\.([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?")
_FIELD = re.compile(r"\.Group\.(\w+)|index\s+\.Match\s+(\d{1,3})|index\s+\.Group\s+\"(\w+)\"")


class Text(NamedTuple):
    """A Go template as a text with gaps; `needs_whole` if `{0}` in it has to be the whole name that was asked."""

    text: str
    needs_whole: bool


def groups(pattern: str) -> frozenset[str]:
    """Return the groups of an expression, by number and by name, the whole match as `0`."""
    found = [match for match in _GROUP.finditer(pattern) if match[0].startswith("(")]
    numbers = {str(number) for number in range(len(found) + 1)}
    return frozenset(numbers | {match[1] for match in found if match[1]})


def rewrite(pattern: str, to: str) -> dict[str, object] | None:
    """Return the keys of a rule that rewrites what an expression fits, None if our rules cannot have it."""
    if len(pattern) > _LONGEST:
        return None
    known = groups(pattern)
    parts = []
    position = 0
    for found in _INDEX.finditer(to):
        parts.append(doubled(to[position : found.start()]))
        # CoreDNS leaves a number without a group as it stands, which is no name in the end.
        parts.append(found[0] if found[1] in known else doubled(found[0]))
        position = found.end()
    parts.append(doubled(to[position:]))
    return {"regex": pattern, "to": "".join(parts)}


def as_suffix(pattern: str, to: str) -> dict[str, object] | None:
    """Return the keys of a rule on a suffix that says the same as one with an expression, None if none does."""
    end, new = _BELOW.fullmatch(pattern), _NEW_END.fullmatch(to)
    if end is None or new is None:
        return None
    return {"suffix": "." + end[1].replace("\\.", ".").removesuffix("."), "to": new[1]}


def doubled(text: str) -> str:
    """Return a text whose braces are no gaps."""
    return text.replace("{", "{{").replace("}", "}}")


def around(pattern: str) -> str:
    """Return an expression that fits the same names from their beginning to their end, so that `{0}` is the name."""
    if pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$") and "|" not in pattern:
        return pattern
    return f"^.*?(?:{pattern}).*$"


def from_template(text: str, pattern: str, zone: str) -> Text | None:
    """Return a Go template as a text with gaps, None for one that computes more than our rules can say."""
    known = groups(pattern)
    parts = []
    position = 0
    needs_whole = False
    for found in _EXPRESSION.finditer(text):
        parts.append(doubled(text[position : found.start()]))
        position = found.end()
        inner = found[1]
        field = _FIELD.fullmatch(inner)
        if field is not None:
            name = next(value for value in field.groups() if value is not None)
            if name == "0" and around(pattern) != pattern:
                return None  # the part that fitted is no group of ours
            # A group that is not there is empty to Go.
            parts.append(f"{{{name}}}" if name in known else "")
        elif inner in {".Name", ".Question.Name"}:
            needs_whole |= "name" in known  # a group of the user's, in the place of our own
            parts.append("{0}" if "name" in known else "{name}")
        elif inner == ".Zone":
            parts.append(doubled(zone if zone.endswith(".") else f"{zone}."))
        elif inner == ".Class":
            parts.append("IN")
        else:
            return None
    rest = text[position:]
    if "{{" in rest:
        return None
    return Text("".join(parts) + doubled(rest), needs_whole)
