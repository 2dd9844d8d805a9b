"""What users add to the cluster's names: rewrites, fixed answers, hosts, and domains handed over to upstreams.

The order is fixed: a name is rewritten, once; then answers, hosts, the cluster, zone files, the outside. Of each kind
the first rule that fits is used. Rules are about the name that a client asks, and about where an alias of the
server's own data leads; records from outside are passed on as they came.

A name that no rule is for is told by `concerns`, at the cost of one look-up however many rules there are: 0.2 us with
1,000 of them (`python -m tests.bench.rules`). It may be wrong in that a name which only ends or begins like one of a
rule is looked at more closely.
"""

from collections.abc import Sequence

import msgspec

from dnsserver.resolver.answers import FixedAnswer, FixedAnswers
from dnsserver.resolver.hosts import Hosts
from dnsserver.resolver.rewrites import Rewrite, Rewrites
from dnsserver.wire.name import ROOT, is_below
from dnsserver.wire.renaming import Renaming
from dnsserver.zone.record import Answer, Reason

_ARPA = b"\x04arpa\0"


class RuleSet(msgspec.Struct, frozen=True):
    """All rules but for hosts, as values: two sets that are equal answer alike."""

    rewrites: tuple[Rewrite, ...] = ()
    answers: tuple[FixedAnswer, ...] = ()
    handed_over: tuple[bytes, ...] = ()


class Rules:
    """Rules in force. Raises RuleError for rules that cannot be."""

    def __init__(self, rules: RuleSet, hosts: Sequence[Hosts] = (), cluster: bytes = ROOT) -> None:
        """Sort the rules in; what the tables of `hosts` hold may change later on. `cluster` is the cluster's domain."""
        self.hosts = tuple(hosts)
        self._rewrites = Rewrites(rules.rewrites)
        self._answers = FixedAnswers(rules.answers)
        self._handed_over = rules.handed_over
        tables = (self._rewrites.table, self._answers.table)
        self._everywhere = any(table.everywhere for table in tables)
        self._names = frozenset(name for table in tables for name in table.names)
        self._reverse = any(table.has_reverse for table in hosts)
        domains = {domain for table in tables for domain in table.domains} | set(rules.handed_over)
        domains.update(domain for table in hosts for domain in table.authoritative_below)
        self._tail = -min(map(len, domains), default=1)
        self._tails = frozenset(domain[self._tail :] for domain in domains)
        heads = [(head, table.head_size) for table in tables for head in table.heads]
        size = min((size for _, size in heads), default=0)
        self._head = 1 + size
        self._heads = frozenset(head[:size] for head, _ in heads)
        self.reach_cluster = self.reaches(b"\x03svc" + cluster)

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return bool(self._everywhere or self._names or self._tails or self._heads or self.hosts)

    def concerns(self, name: bytes) -> bool:
        """Tell whether a rule may be for a lower-case name: never False where one is."""
        if name in self._names or name[self._tail :] in self._tails or name[1 : self._head] in self._heads:
            return True
        for table in self.hosts:
            if name in table.names:
                return True
        return self._everywhere or (self._reverse and name.endswith(_ARPA))

    def reaches(self, domain: bytes) -> bool:
        """Tell whether a rule could be for a name below a domain."""
        if self.hosts or self._rewrites.table.reaches(domain) or self._answers.table.reaches(domain):
            return True
        return any(is_below(place, domain) or is_below(domain, place) for place in self._handed_over)

    def rewritten(self, name: bytes) -> Renaming | Reason | None:
        """Return what a name is looked up as, or why it cannot be; None if it is looked up as it is."""
        return self._rewrites.find(name)

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer that a rule or a table of hosts has for a lower-case name, or None."""
        found = self._answers.answer(name, qtype)
        if found is None:
            for table in self.hosts:
                found = table.answer(name, qtype)
                if found is not None:
                    break
        return found

    def is_handed_over(self, name: bytes) -> bool:
        """Tell whether a name is the upstreams', although it lies in the cluster's domain."""
        return any(is_below(name, domain) for domain in self._handed_over)

    def candidates(self, name: bytes) -> tuple[object, ...]:
        """Return the rules that may be for a name, as values: where they are equal, so are the answers."""
        tables = (self._rewrites.table, self._answers.table)
        found = tuple((entry.condition, entry.rule.rule) for table in tables for entry in table.candidates(name))
        return (*found, self.is_handed_over(name)) if found or self.is_handed_over(name) else ()


def differ(one: Rules | None, other: Rules | None, name: bytes) -> bool:
    """Tell whether two sets of rules may answer otherwise about a name, hosts apart: what is kept of it has to go."""
    return _candidates(one, name) != _candidates(other, name)


def _candidates(rules: Rules | None, name: bytes) -> tuple[object, ...]:
    """Return all that a set of rules has to say of a name, as values that can be compared."""
    return () if rules is None or not rules.concerns(name) else rules.candidates(name)
