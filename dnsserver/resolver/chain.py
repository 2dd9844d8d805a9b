"""Finds the answer to a question: the sources in their order, and the point where a name has to be forwarded."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from dnsserver.resolver.search import Search, SearchResult, Walk, walk
from dnsserver.wire import message as m
from dnsserver.wire.message import RRset
from dnsserver.wire.renaming import Renaming
from dnsserver.zone import reverse
from dnsserver.zone.record import CNAME_LOOP, Answer, Reason, joined, looked_up_as, minimal_any, name_key
from dnsserver.zone.services import SERVICE_MISSING

_COMPLETED = Reason("search-completed")
_FORWARDED_ANY = Reason("any-outside")
_TOO_LONG = Reason("cname-chain-too-long", m.EDE.OTHER, f"more than {m.MAX_CHAIN} times from one zone into another")


class Source(Protocol):
    """A link of the chain: fixed names, zone files, the cluster. It has only names that end with one of its `ends`."""

    @property
    def ends(self) -> tuple[bytes, ...]:
        """The ends of the names to look for here, as octets of the end of a name, which need not be whole labels."""

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name of class IN, or None for "not mine", which never means "empty"."""


class Rules(Protocol):
    """What is asked before all sources: `dnsserver.resolver.rules`, which is loaded only if there are rules."""

    @property
    def hosts(self) -> Collection[object]:
        """The tables of hosts, whose names may change."""

    @property
    def services(self) -> Callable[[bytes, bytes], bool] | None:
        """Tells from a namespace and a service's label whether a rule may apply to that name; None if no rule can."""

    @property
    def concerns(self) -> Callable[[bytes], bool]:
        """Tells whether a rule may apply to a lower-case name."""

    def rewritten(self, name: bytes) -> Renaming | Reason | None:
        """Return the name to look up instead, or why that is impossible; None if the name itself is looked up."""

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer that a rule or a table of hosts has for a name, or None."""

    def origin(self, name: bytes, qtype: int) -> list[str]:
        """Return the settings that decide the answer about a name, as keys of the configuration."""

    def is_handed_over(self, name: bytes) -> bool:
        """Tell whether a name goes to the upstreams although it is in the cluster's domain."""


class Chain:
    """The sources asked in order; a name that none of them knows is for the outside.

    `search` completes what pods' search lists make of outside names, None leaves that to the pods.
    """

    def __init__(self, sources: Sequence[Source], search: Search | None = None, rules: Rules | None = None) -> None:
        """Make the chain of these sources, asked in this order; `rules` go before all of them."""
        self.use(sources, search, rules)

    def use(self, sources: Sequence[Source], search: Search | None, rules: Rules | None) -> None:
        """Ask these sources from now on, also for questions that are under way."""
        self.rules = rules or None
        self._sources = tuple(sources)
        self.ends = tuple(end for source in sources for end in source.ends)  # no other name is looked for here
        self._search = search

    def answer(self, name: bytes, qtype: int) -> Answer:
        """Return the answer; when its `follow` or `search` is set, the upstreams have the rest of it."""
        if self.rules is not None and self.rules.concerns(name):
            return self._by_rules(name, qtype, self.rules, completes=True)
        if not name.endswith(self.ends):  # the outside's at a glance: 0.06 us, where asking each source costs 0.9
            return _outside(name, qtype)
        found = None
        for source in self._sources:
            found = source.answer(name, qtype)
            if found is not None:
                break
        if found is None or found.follow is not None or found.reason is SERVICE_MISSING or name.endswith(reverse.ARPA):
            return self._completed_or_followed(name, qtype, found)
        return found

    def _completed_or_followed(self, name: bytes, qtype: int, found: Answer | None) -> Answer:
        """Return the final answer that an answer of the sources leads to: completed by the search list, or followed."""
        if found is None:
            found = _outside(name, qtype)
        elif found.follow is not None:
            found = self._followed(found, qtype)
        elif found.reason is SERVICE_MISSING and not found.answer and self._search is not None:
            found = self._completed(name, qtype, found, self._search)
        if name.endswith(reverse.ARPA) and (address := reverse.reverse_address(name)) is not None:
            # Whoever knows a reverse name now, it is the cluster's as soon as a service has the address.
            return msgspec.structs.replace(found, depends=joined(found.depends, (address,)))
        return found

    def answer_as_is(self, name: bytes, qtype: int) -> Answer:
        """Return the answer of a name without any completion; with `follow` the upstreams have the rest of it."""
        return self._as_is(name, qtype, self._first(name, qtype))

    def _as_is(self, name: bytes, qtype: int, found: Answer | None) -> Answer:
        return _outside(name, qtype) if found is None else self._followed(found, qtype)

    def walk(self, answer: Answer) -> Walk:
        """Return the walk through the rest of a search list that an answer names."""
        return walk(self._answer_candidate, answer.search)

    def alias(self, name: bytes, candidate: bytes, qtype: int, missing: Answer) -> Answer:
        """Return the answer that `name` is an alias of what its search list led to, where it is else `missing`."""
        cname = RRset(name, m.CNAME, missing.authority[0].ttl, (candidate,))
        if qtype in {m.CNAME, m.ANY}:
            return minimal_any(Answer(answer=(cname,), reason=_COMPLETED, depends=missing.depends), name, qtype)
        rest = self._answer_candidate(candidate, qtype)
        answer, depends = (cname, *rest.answer), joined(missing.depends, rest.depends)
        reason = _COMPLETED if rest.follow is not None and not rest.answer else rest.reason
        return msgspec.structs.replace(rest, answer=answer, reason=reason, depends=depends, aa=True)

    def _followed(self, found: Answer, qtype: int) -> Answer:
        """Go on at the target of a CNAME, as long as this server answers for the target."""
        for _ in range(m.MAX_CHAIN + 1):  # the last time it has its end, or is too long
            if (name := found.follow) is None:
                return found
            if any(rrset.name == name for rrset in found.answer):
                soa = (self._first(name, m.SOA) or found).authority  # it has none itself, as it is an alias
                return msgspec.structs.replace(_noted(found, name), authority=soa, reason=CNAME_LOOP, follow=None)
            rest = self._first(name, qtype)
            if rest is None:
                return _noted(found, name)
            rest = _noted(rest, name)
            found = msgspec.structs.replace(
                rest,
                answer=(*found.answer, *rest.answer),
                depends=joined(found.depends, rest.depends),
                aa=True,
            )
        return Answer(m.SERVFAIL, found.answer, reason=_TOO_LONG, depends=found.depends)

    def _completed(self, name: bytes, qtype: int, missing: Answer, search: Search) -> Answer:
        """Try the rest of the search list in place of the pod, as far as this server knows the names."""
        candidates = search.candidates(name)
        going = walk(self._answer_candidate, candidates)
        try:
            step = next(going)
        except StopIteration as end:
            found: SearchResult = end.value
            missing = msgspec.structs.replace(missing, depends=joined(missing.depends, found.depends))
            if found.failure is not None:
                return Answer(m.SERVFAIL, reason=found.failure, depends=missing.depends)
            return missing if found.name is None else self.alias(name, found.name, qtype, missing)
        left = candidates[candidates.index(step.candidate) :]
        return msgspec.structs.replace(missing, depends=joined(missing.depends, step.depends), search=left)

    def _by_rules(self, name: bytes, qtype: int, rules: Rules, *, completes: bool) -> Answer:
        """Return the answer for a name that a rule may apply to, looked up under the name that a rule gives it."""
        renaming = rules.rewritten(name)
        if isinstance(renaming, Reason):
            return Answer(m.SERVFAIL, reason=renaming, aa=False)
        new = name if renaming is None else renaming.new
        found = self._first(new, qtype)
        found = self._completed_or_followed(new, qtype, found) if completes else self._as_is(new, qtype, found)
        return found if renaming is None else _renamed(found, renaming)

    def _answer_candidate(self, name: bytes, qtype: int) -> Answer:
        """Return the answer for the name that the pod would ask next according to its search list."""
        rules = self.rules
        if rules is not None and rules.concerns(name):
            return _noted(self._by_rules(name, qtype, rules, completes=False), name)
        return _noted(self.answer_as_is(name, qtype), name)

    def _first(self, name: bytes, qtype: int) -> Answer | None:
        """Return the first answer of the rules, then of the sources; None leaves the question to the upstreams."""
        rules = self.rules
        if rules is not None and rules.concerns(name):
            found = rules.answer(name, qtype)
            if found is not None or rules.is_handed_over(name):
                return found
        for source in self._sources:
            found = source.answer(name, qtype)
            if found is not None:
                return found
        return None


def _noted(found: Answer, name: bytes) -> Answer:
    """Return the answer with one more dependency: what rules, hosts and zone files say of a name that is not asked."""
    return msgspec.structs.replace(found, depends=joined(found.depends, (name_key(name),)))


def _renamed(found: Answer, renaming: Renaming) -> Answer:
    """Return the answer under the name of the question; an answer from outside is then renamed as well."""
    return msgspec.structs.replace(
        found,
        depends=joined(found.depends, (name_key(renaming.new),)),
        answer=renaming.apply(found.answer),
        authority=renaming.apply(found.authority),
        additional=renaming.apply(found.additional),
        renaming=found.renaming or renaming,
        reason=looked_up_as(found.reason, renaming.new),
    )


def _outside(name: bytes, qtype: int) -> Answer:
    if qtype == m.ANY:  # not forwarded: whether the name exists is not worth the large answer (RFC 8482)
        return minimal_any(Answer(reason=_FORWARDED_ANY, depends=None, aa=False), name, qtype)
    return Answer(follow=name, aa=False)
