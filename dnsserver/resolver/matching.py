"""Which rule applies to a name: the first that fits, found without looking at those that do not.

Exact names are in one dict. Domains are in another one, which is asked once for each label. Prefixes are in one by
their first octets. So the number of such rules does not matter. Regular expressions are tried one by one, below their
domains.
"""

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from dnsserver.resolver.filters import Head
from dnsserver.resolver.patterns import Pattern, RuleError
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import ROOT, from_text, is_below, to_text

T = TypeVar("T")


class Prefix(msgspec.Struct, frozen=True):
    """How the text of a name begins: whole labels, as in a name without its end, and the beginning of the next one."""

    labels: bytes
    part: bytes

    def begins(self, name: bytes) -> bool:
        """Tell whether a name begins so."""
        at = len(self.labels)
        part = self.part
        return name.startswith(self.labels) and name[at] >= len(part) and name.startswith(part, at + 1)


class Condition(msgspec.Struct, frozen=True):
    """The names that a rule is for: one of `name`, `prefix`, `suffix` and `regex`, or all of those `below`.

    All names are lower-case. `suffix` is that domain and all below it, with `inside` only those below. `below` makes
    any of them narrower: one of these domains has to have the name, and none that is `excepted`. `types` are those of
    the question, none is all.
    """

    name: bytes | None = None
    prefix: Prefix | None = None
    suffix: bytes | None = None
    inside: bool = False
    regex: str | None = None
    below: tuple[bytes, ...] = ()
    excepted: tuple[bytes, ...] = ()
    types: frozenset[int] = frozenset()

    def excepts(self, name: bytes) -> bool:
        """Tell whether a name lies in a domain of the rule, and the rule is not for it."""
        if self.excepted and any(is_below(name, domain) for domain in self.excepted):
            return True
        return self.inside and name == self.suffix

    def domain_of(self, name: bytes) -> bytes:
        """Return the domain of the rule that a name, which fits it, lies in: the longest one."""
        found = [domain for domain in self.below if is_below(name, domain)]
        if self.suffix is not None:
            found.append(self.suffix)
        return max(found, key=len) if found else name


class Match(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The rule that fits, the domain of it that the name lies in, and what its regular expression found."""

    rule: T
    domain: bytes
    values: dict[str, str]


class _Entry(Generic[T]):
    """A rule, and its position in the order of the rules."""

    __slots__ = ("condition", "number", "pattern", "rule")

    def __init__(self, number: int, condition: Condition, rule: T) -> None:
        self.number = number
        self.condition = condition
        self.rule = rule
        self.pattern = None if condition.regex is None else Pattern(condition.regex)

    def match(self, name: bytes, qtype: int) -> Match[T] | None:
        """Return the match; that the name is the rule's or in its domain was seen before, where it has one."""
        condition = self.condition
        values: dict[str, str] = {}
        if condition.types and qtype not in condition.types:
            return None
        if condition.prefix is not None:
            if not condition.prefix.begins(name):
                return None
            if condition.below and not any(is_below(name, domain) for domain in condition.below):
                return None
        if condition.excepts(name):
            return None
        if self.pattern is not None:
            found = self.pattern.search(to_text(name))
            if found is None:
                return None
            values = found
        return Match(self.rule, condition.domain_of(name), values)


class Table(Generic[T]):
    """Rules in their order, each with its condition.

    `names`, `domains` and `heads` say for which names `find` could find anything, but for rules `everywhere`.
    """

    def __init__(self, rules: Sequence[tuple[Condition, T]]) -> None:
        """Index the rules; raises RuleError for an invalid expression."""
        self.names: dict[bytes, list[_Entry[T]]] = {}
        self.domains: dict[bytes, list[_Entry[T]]] = {}
        self.everywhere: list[_Entry[T]] = []
        self._prefixes: dict[bytes, list[_Entry[T]]] = {}
        for number, (condition, rule) in enumerate(rules):
            entry = _Entry(number, condition, rule)
            if condition.name is not None:
                self.names.setdefault(condition.name, []).append(entry)
            elif condition.prefix is not None:
                self._prefixes.setdefault(_head(condition.prefix), []).append(entry)
            elif ROOT in (domains := _domains(condition, entry.pattern)):
                self.everywhere.append(entry)
            else:
                for domain in domains:
                    self.domains.setdefault(domain, []).append(entry)
        self._head_sizes = sorted({len(head) for head in self._prefixes})

    def heads(self) -> list[Head]:
        """Return how the first labels of the names begin that rules for prefixes are for."""
        return [Head(head, entry.condition.below) for head, found in self._prefixes.items() for entry in found]

    def find(self, name: bytes, qtype: int) -> Match[T] | None:
        """Return the first rule that fits a lower-case name and a type, or None."""
        found = (entry.match(name, qtype) for entry in self.candidates(name))
        return next((match for match in found if match is not None), None)

    def candidates(self, name: bytes) -> "list[_Entry[T]]":
        """Return the rules, in their order, that could be for a name by its beginning or end."""
        entries = [*self.names.get(name, ()), *self.everywhere]
        if self.domains:
            position = 0
            while name[position]:
                entries += self.domains.get(name[position:], ())
                position += name[position] + 1
            entries += self.domains.get(ROOT, ())
        for size in self._head_sizes:
            entries += self._prefixes.get(name[1 : 1 + size], ())
        if len(entries) > 1:
            entries.sort(key=_number)
        return entries


def _number(entry: "_Entry[Any]") -> int:
    return entry.number


def _head(prefix: Prefix) -> bytes:
    """Return the octets of the first label, without its length, that all names with the prefix have in common."""
    return prefix.labels[1 : 1 + prefix.labels[0]] if prefix.labels else prefix.part


def _domains(condition: Condition, pattern: Pattern | None) -> set[bytes]:
    """Return the domains in which a rule is searched that is neither for one name nor for a prefix."""
    if condition.suffix is None:
        return set(condition.below) or {ROOT if pattern is None else pattern.domain}
    if not condition.below:
        return {condition.suffix}
    return {
        condition.suffix if is_below(condition.suffix, domain) else domain
        for domain in condition.below
        if is_below(condition.suffix, domain) or is_below(domain, condition.suffix)
    }


def read_prefix(text: str) -> Prefix:
    """Return what a text says of how names begin; raises RuleError."""
    whole, _, part = ("", "", text) if re.search(r"(?<!\\)\.", text) is None else text.rpartition(".")
    if whole.endswith("\\"):
        raise RuleError(f'found "{text[:60]}", expected the beginning of a name without a dot within its last label')
    if whole.endswith(".") or (not whole and part != text):
        raise RuleError(f'found "{text[:60]}", expected the beginning of a name: it has an empty label')
    try:
        begin = from_text(whole).lower()[:-1] if whole else b""
        rest = from_text(part).lower()[1:-1] if part else b""
    except FormatError as error:
        raise RuleError(f'found "{text[:60]}", expected the beginning of a name: {error}') from None
    return Prefix(begin, rest)
