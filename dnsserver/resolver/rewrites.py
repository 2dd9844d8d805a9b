"""Names for which another name is looked up."""

import msgspec

from dnsserver.resolver.matching import Condition, Match, Prefix, Table
from dnsserver.resolver.patterns import GapText, Pattern
from dnsserver.wire.message import EDE, FormatError
from dnsserver.wire.name import MAX_LABEL, MAX_NAME, ROOT, from_text
from dnsserver.wire.renaming import Renaming
from dnsserver.zone.record import Reason

NOT_A_NAME = Reason("rewrite-not-a-name", EDE.INVALID_DATA, "a rule rewrites the name into an invalid name")


class Rewrite(msgspec.Struct, frozen=True):
    """One rule: names of the condition are looked up as `to` says.

    `to` is a domain for a name and a suffix, another prefix for a prefix, and a text with gaps for a regular
    expression. With `deep` more names in the answer are turned round than the one that was looked up.
    """

    condition: Condition
    to: bytes | Prefix | str
    deep: bool = False


class Rewrites:
    """All rules about rewriting, in their order."""

    def __init__(self, rules: tuple[Rewrite, ...]) -> None:
        """Sort them in; raises RuleError."""
        self.table: Table[_Rule] = Table([(rule.condition, _Rule(rule)) for rule in rules])

    def find(self, name: bytes) -> Renaming | Reason | None:
        """Return what a name is looked up as, or why that is no name; None if no rule is for it."""
        match = self.table.find(name, 0)
        if match is None:
            return None
        new = match.rule.new_name(name, match)
        if new is None:
            return NOT_A_NAME
        return Renaming(name, new, match.rule.within(name, new))


class _Rule:
    """A rule, and its target as a parsed text with gaps."""

    __slots__ = ("_gaps", "rule")

    def __init__(self, rule: Rewrite) -> None:
        self.rule = rule
        self._gaps: GapText | None = None
        if isinstance(rule.to, str):
            assert rule.condition.regex is not None  # the only one whose name is a text
            self._gaps = GapText(rule.to, Pattern(rule.condition.regex).groups)

    def new_name(self, name: bytes, match: "Match[_Rule]") -> bytes | None:
        """Return what a name is looked up as; None if that is no name."""
        condition, to = self.rule.condition, self.rule.to
        if self._gaps is not None:
            try:
                return from_text(self._gaps.filled(match.values)).lower()
            except FormatError:
                return None
        if isinstance(to, Prefix):
            assert condition.prefix is not None
            return _with_prefix(name, condition.prefix, to)
        assert isinstance(to, bytes)
        if condition.suffix is None:
            return to
        found = name[: len(name) - len(condition.suffix)] + to
        return found if len(found) <= MAX_NAME else None

    def within(self, name: bytes, new: bytes) -> tuple[bytes, bytes] | None:
        """Return the domains by which more names of an answer are turned round."""
        rule = self.rule
        if not rule.deep:
            return None
        suffix = rule.condition.suffix
        if suffix is not None:
            assert isinstance(rule.to, bytes)
            return rule.to, suffix
        return None if new == ROOT else (new, name)


def _with_prefix(name: bytes, prefix: Prefix, to: Prefix) -> bytes | None:
    """Return a name with another beginning; None if the result is not a valid name."""
    at = len(prefix.labels)
    rest = name[at + 1 + len(prefix.part) : at + 1 + name[at]]
    behind = name[at + 1 + name[at] :]
    label = to.part + rest
    if not label:  # a label that is left empty can only be the root
        return None if name[at] else to.labels + ROOT
    if len(label) > MAX_LABEL:
        return None
    found = to.labels + bytes((len(label),)) + label + (behind or ROOT)
    return found if len(found) <= MAX_NAME else None
