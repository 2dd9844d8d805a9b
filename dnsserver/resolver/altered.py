"""Whether a new configuration can affect a finished reply, or an answer from outside, judged by its octets. Pure.

What it keeps is certainly not affected. It may drop a little more than it must: answers are made again when somebody
asks for them.
"""

from collections.abc import Callable, Collection

import msgspec

from dnsserver.resolver.reply_cache import AgingReply, Reply
from dnsserver.wire.message import NXDOMAIN
from dnsserver.wire.name import ROOT
from dnsserver.zone.record import names_of

_FEW = 8  # domains that are looked for one by one, 0.05 us each
_ALIAS = b"\0\x05\0\x01"  # type CNAME, class IN
_QUESTION = 10  # where the question stands in a reply without its ID


class Domains:
    """Whether an answer has to do with names below `domains`, but not below one of `spared`: the longest counts.

    All in lower case; ROOT is every name.
    """

    def __init__(self, domains: Collection[bytes], spared: Collection[bytes] = ()) -> None:
        """Take the domains."""
        self._altered = {**dict.fromkeys(spared, False), **dict.fromkeys(domains, True)}
        # Whatever ends in a domain has its first label written out, in the name that was asked or in a record: a
        # compressed name points to where that stands (RFC 1035 section 4.1.4).
        labels = tuple({domain[: domain[0] + 1] for domain in domains})
        self.labels = labels if len(labels) <= _FEW and ROOT not in domains else ()

    def touches(self, name: bytes, data: bytes) -> bool:
        """Tell whether the answer for a lower-case name may be another; `data` are its records, or all of a reply."""
        if self.labels:
            octets = (name + data).lower()
            for label in self.labels:
                if label in octets:
                    break
            else:
                return False
        return self._is_below(name) or _ALIAS in data

    def _is_below(self, name: bytes) -> bool:
        altered, position = self._altered, 0
        while length := name[position]:
            found = altered.get(name[position:])
            if found is not None:
                return found
            position += length + 1
        return altered.get(ROOT, False)


class Altered(msgspec.Struct, frozen=True, kw_only=True):
    """What answers a change can alter.

    `everything`: every reply. `cluster`: those with records of the cluster. `domains`: those about names below them.
    `routes`: those from outside about names below them, unless below one of `other_routes`. `types`: those from outside
    that were asked for these types. `completed`: those whose name a search list can complete, below this domain.
    `longer_than`: those from outside that are kept for more seconds.
    """

    everything: bool = False
    cluster: bool = False
    domains: frozenset[bytes] = frozenset()
    routes: frozenset[bytes] = frozenset()
    other_routes: frozenset[bytes] = frozenset()
    types: frozenset[int] = frozenset()
    completed: bytes = b""
    longer_than: float | None = None

    @property
    def of_replies(self) -> bool:
        """Whether a finished reply can be another."""
        return bool(
            self.everything
            or self.cluster
            or self.domains
            or self.routes
            or self.types
            or self.completed
            or self.longer_than is not None
        )

    @property
    def of_answers(self) -> bool:
        """Whether an answer from outside can be another."""
        return bool(self.domains or self.routes)


class Alteration:
    """Tells of one after the other whether a change can alter it."""

    def __init__(self, altered: Altered, differs: Callable[[bytes], bool] | None = None) -> None:
        """Prepare for many; `differs` tells whether rules for a name are others now, None where none are."""
        self._what = altered
        self._differs = differs
        self._domains = Domains(altered.domains) if altered.domains else None
        self._routes = Domains(altered.routes, altered.other_routes) if altered.routes else None

    @property
    def labels(self) -> tuple[bytes, ...]:
        """Labels in lower case of which only answers that have one can be altered; none where that is not so."""
        parts = [part for part in (self._domains, self._routes) if part is not None]
        found = tuple(label for part in parts for label in part.labels)
        whole = self._differs is None and self._what == Altered(
            domains=self._what.domains, routes=self._what.routes, other_routes=self._what.other_routes
        )
        return found if whole and len(found) <= _FEW and all(part.labels for part in parts) else ()

    @property
    def of_replies(self) -> bool:
        """Whether any finished reply can be another."""
        return self._differs is not None or self._what.of_replies

    def of_answer(self, name: bytes, data: bytes) -> bool:
        """Tell of an answer from outside, by its name and the octets of its records."""
        if self._domains is not None and self._domains.touches(name, data):
            return True
        return self._routes is not None and self._routes.touches(name, data)

    def of_reply(self, reply: Reply) -> bool:
        """Tell of a finished reply."""
        what = self._what
        if what.everything or (what.cluster and (reply.depends or not isinstance(reply, AgingReply))):
            return True
        if isinstance(reply, AgingReply):
            if reply.labels[0] in what.types:
                return True
            if what.longer_than is not None and reply.lasts > what.longer_than:
                return True
        is_completed = reply.labels[1] == NXDOMAIN or isinstance(reply, AgingReply) or _ALIAS in reply.wire
        wire = reply.wire
        asked = wire[_QUESTION : wire.index(0, _QUESTION) + 1].lower()
        return any(self._touches(reply, name, completed=is_completed) for name in (asked, *names_of(reply.depends)))

    def _touches(self, reply: Reply, name: bytes, *, completed: bool) -> bool:
        """Tell whether a change touches a finished reply; `name` is one of the names that the reply is about."""
        what, wire = self._what, reply.wire
        if what.completed and completed and what.completed in name:
            return True
        # Rules are also about where an alias of our own data leads.
        if self._differs is not None and (self._differs(name) or (reply.depends and _ALIAS in wire)):
            return True
        if self._domains is not None and self._domains.touches(name, wire):
            return True
        return self._routes is not None and isinstance(reply, AgingReply) and self._routes.touches(name, wire)
