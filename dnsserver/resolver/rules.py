"""What users add to the cluster's names: rewrites, fixed answers, hosts, and domains handed over to upstreams.

The order is fixed: a name is rewritten, once; then answers, hosts, the cluster, zone files, the outside. Of each kind
the first rule that fits is used. Rules are about the name that a client asks, and about where an alias of the
server's own data leads; records from outside are passed on as they came.

`concerns` tells at a glance which names no rule is for (`filters`).
"""

from collections.abc import Iterable, Sequence

import msgspec

from dnsserver.resolver.answers import FixedAnswer, FixedAnswers
from dnsserver.resolver.filters import ServiceFilter, name_filter, service_filter
from dnsserver.resolver.hosts import Hosts
from dnsserver.resolver.rewrites import Rewrite, Rewrites
from dnsserver.wire.name import ROOT, is_below
from dnsserver.wire.renaming import Renaming
from dnsserver.zone.record import Answer, Reason

_REVERSE = (b"\x07in-addr\x04arpa\0", b"\x03ip6\x04arpa\0")


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
        self._rules = rules
        self._rewrites = Rewrites(rules.rewrites)
        self._answers = FixedAnswers(rules.answers)
        self._handed_over = rules.handed_over
        self._end = b"\x03svc" + cluster
        tables = (self._rewrites.table, self._answers.table)
        self._names = frozenset(name for table in tables for name in table.names)
        self._domains = {domain for table in tables for domain in table.domains} | set(rules.handed_over)
        self._domains.update(domain for table in hosts for domain in table.authoritative_below)
        self._domains.update(domain for table in hosts for domain in table.wildcards)
        if any(table.everywhere for table in tables):
            self._domains.add(ROOT)
        if any(table.has_reverse for table in hosts):
            self._domains.update(_REVERSE)
        self._heads = [head for table in tables for head in table.heads()]
        names = [self._names, *(table.names for table in hosts)]
        self.concerns = name_filter(names, self._domains, {head.octets for head in self._heads})
        self.services: ServiceFilter | None = None  # which services' names rules may be for
        self._find_services()

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return bool(self._names or self._domains or self._heads or self.hosts)

    def hosts_changed(self, names: Iterable[bytes]) -> None:
        """Record that tables of hosts say something else of these names now."""
        if any(name.endswith(self._end) for name in names):
            self._find_services()

    def _find_services(self) -> None:
        """Find the services whose names a rule may apply to."""
        names = [*self._names, *(name for table in self.hosts for name in table.names if name.endswith(self._end))]
        self.services = service_filter(self._end, names, self._domains, self._heads)

    def rewritten(self, name: bytes) -> Renaming | Reason | None:
        """Return the name to look up instead, or why that is impossible; None if the name itself is looked up."""
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
        """Tell whether a name goes to the upstreams although it is in the cluster's domain."""
        return any(is_below(name, domain) for domain in self._handed_over)

    def origin(self, name: bytes, qtype: int) -> list[str]:
        """Return the settings that make the answer about a lower-case name what it is: `rewrite[0]`, `hosts[1]`.

        In the order in which they have their say; the numbers are those of the configuration.
        """
        found = []
        rewrite = self._rewrites.table.find(name, 0)
        renaming = self.rewritten(name)
        if rewrite is not None:
            found.append(f"rewrite[{_place(self._rules.rewrites, rewrite.rule.rule)}]")
        if isinstance(renaming, Renaming):
            name = renaming.new
        answer = self._answers.table.find(name, qtype)
        if answer is not None:
            return [*found, f"answer[{_place(self._rules.answers, answer.rule.rule)}]"]
        for number, table in enumerate(self.hosts):
            if table.answer(name, qtype) is not None:
                return [*found, f"hosts[{number}]"]
        return found

    def candidates(self, name: bytes) -> tuple[object, ...]:
        """Return the rules that may be for a name, as values: where they are equal, so are the answers."""
        tables = (self._rewrites.table, self._answers.table)
        found = tuple((entry.condition, entry.rule.rule) for table in tables for entry in table.candidates(name))
        return (*found, self.is_handed_over(name)) if found or self.is_handed_over(name) else ()


def _place(rules: Sequence[object], rule: object) -> int:
    return next(number for number, each in enumerate(rules) if each is rule)


def differ(one: Rules | None, other: Rules | None, name: bytes) -> bool:
    """Tell whether two sets of rules may answer otherwise about a name, hosts apart: what is kept of it has to go."""
    return _candidates(one, name) != _candidates(other, name)


def _candidates(rules: Rules | None, name: bytes) -> tuple[object, ...]:
    """Return everything that a set of rules says about a name, as values that can be compared."""
    return () if rules is None or not rules.concerns(name) else rules.candidates(name)
