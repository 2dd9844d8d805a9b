"""Regular expressions that users write, and texts with gaps for what these match. Only this module imports RE2.

RE2 takes time linear in the name, whatever the expression is, so that a bad expression cannot stop the server
(Python's own `re` can be made to take minutes). Its 3 MiB are loaded only if a rule has an expression.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_text

_GAP = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")
_PIECE = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|.", re.DOTALL)  # an escape, a class of characters, anything else
_LITERAL = re.compile(r"[A-Za-z0-9_-]")
_MOST_MEMORY = 512 * 1024  # octets of one expression; with less room RE2 is slower, and linear all the same
_LONGEST = 1000  # characters of an expression


class RuleError(ValueError):
    """A rule that cannot be in force; the text says what was found in it and what was expected."""


class Pattern:
    """One expression, in RE2's syntax; upper and lower case are the same to it, as they are in names.

    All names that it fits lie in its `domain`.
    """

    def __init__(self, text: str) -> None:
        """Compile it; raises RuleError that says what is wrong with it, or that no name can end so."""
        import re2  # noqa: PLC0415 - only who has such a rule needs it

        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = False
        options.max_mem = _MOST_MEMORY
        if len(text) > _LONGEST:
            raise RuleError(f"has {len(text)} characters, expected at most {_LONGEST}")
        try:
            self._compiled: Any = re2.compile(text.encode(), options)
        except re2.error as error:
            (why,) = error.args
            shown = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
            raise RuleError(f"is not a regular expression in RE2 syntax: {shown}") from None
        self._names: dict[str, int] = {name.decode(): number for name, number in self._compiled.groupindex.items()}
        self.groups = frozenset({str(number) for number in range(self._compiled.groups + 1)} | self._names.keys())
        try:
            self.domain = from_text(domain_of(text))
        except FormatError as error:
            raise RuleError(f"fits no name: {error}") from None

    def search(self, text: str) -> dict[str, str] | None:
        """Return what each group found anywhere in a text, by number and by name; None if it does not fit."""
        found = self._compiled.search(text.encode())
        if found is None:
            return None
        texts = [found.group(0), *found.groups()]
        values = {str(number): (value or b"").decode() for number, value in enumerate(texts)}
        return values | {name: values[str(number)] for name, number in self._names.items()}


def domain_of(expression: str) -> str:
    r"""Return the domain that all names which a valid expression fits lie in, as text; empty if it does not show one.

    That is what stands literally in front of its `$`, from a dot on: `corp.example` of `^(.*)-x\.corp\.example\.$`.
    """
    pieces = _PIECE.findall(expression)
    depth = 0
    for piece in pieces:
        depth += (piece == "(") - (piece == ")")
        if piece == "\\Q" or (piece == "|" and not depth):
            return ""
    if not pieces or pieces.pop() != "$":
        return ""
    literal: list[str] = []
    while pieces and (pieces[-1] == "\\." or _LITERAL.fullmatch(pieces[-1])):
        literal.append(pieces.pop()[-1])
    _, dot, domain = "".join(reversed(literal)).partition(".")
    return domain.removesuffix(".").lower() if dot and domain.endswith(".") else ""


class GapText:
    """A text with gaps, as `{1}` or `{name}`; a brace itself is written twice."""

    def __init__(self, text: str, known: AbstractSet[str] = frozenset()) -> None:
        """Find the gaps; raises RuleError for one that is not `known`."""
        self._parts: list[tuple[str, str]] = []  # what stands before a gap, and its name; none behind the last
        before, position = "", 0
        for found in _GAP.finditer(text):
            before += text[position : found.start()]
            position = found.end()
            if found[0] in {"{{", "}}"}:
                before += found[0][0]
            elif found[1] in known:
                self._parts.append((before, found[1]))
                before = ""
            elif found[1] is None:
                raise RuleError(f'found "{text[:60]}", a single "{found[0]}"; for a brace write it twice')
            else:
                raise RuleError(f'found "{found[0]}" in "{text[:60]}", expected {_listed(known)}')
        self._rest = before + text[position:]
        self.gaps = frozenset(name for _, name in self._parts)

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the text with these values in its gaps."""
        return "".join([before + values[name] for before, name in self._parts]) + self._rest


def _listed(known: AbstractSet[str]) -> str:
    gaps = sorted(known, key=lambda name: (not name.isdigit(), name.zfill(9)))
    return " or ".join(f'"{{{name}}}"' for name in gaps[:9]) if gaps else "no gap: there is no regular expression"
