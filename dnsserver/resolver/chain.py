"""A question to its answer: the sources in their order, and where a name leaves them for the outside."""

from collections.abc import Sequence
from typing import Protocol

from dnsserver.zone.record import FOUND, Answer


class Source(Protocol):
    """A link of the chain: fixed names, zone files, the cluster."""

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name of class IN, or None for "not mine", which never means "empty"."""


class Chain:
    """The sources asked in order; a name that none of them knows is for the outside."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Make the chain of these sources, first come first asked."""
        self._sources = tuple(sources)

    def answer(self, name: bytes, qtype: int) -> Answer:
        """Return the answer; when its `follow` is set, the upstreams have the rest of it."""
        found = self._first(name, qtype)
        if found is None:
            return Answer(follow=name, aa=False, reason=FOUND)
        if found.follow is None:
            return found
        rest = self._first(found.follow, qtype)  # an ExternalName can lead to a name that is answered here
        if rest is None:
            return found
        joined = None if found.depends is None or rest.depends is None else (*found.depends, *rest.depends)
        return Answer(
            rest.rcode,
            (*found.answer, *rest.answer),
            rest.authority,
            reason=rest.reason,
            depends=joined,
            follow=rest.follow,
        )

    def _first(self, name: bytes, qtype: int) -> Answer | None:
        for source in self._sources:
            found = source.answer(name, qtype)
            if found is not None:
                return found
        return None
