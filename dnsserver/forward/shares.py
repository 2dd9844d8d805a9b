"""Whose questions may go upstream while very many are under way: no domain or client takes the share of others.

A client that asks ever new names below one domain has each of them asked upstream, and where the answers do not come
they fill the table of lookups. So once the table is half full, a domain that has its share of it gets no further place
until some of its questions have ended, and above three quarters no client that has its own; but only beside others that
ask as well. Below that nobody is limited, and nothing is counted while the table is nearly empty.

What a domain is nobody can tell from a name alone: example.org is one, co.uk holds many. So shares are for all domains
of two to four labels above a name, and the longer it is, the smaller: an eighth of the table for victim.co.uk, and a
quarter for co.uk, to which no more than the eighth of victim.co.uk is charged. So the longest domain that stands out is
the one that is limited. Names right below a top-level domain are limited by client.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from dnsserver.clients import shown_source, source_of
from dnsserver.forward import outcome as o
from dnsserver.forward.outcome import Question, Waiter
from dnsserver.logger import get_logger
from dnsserver.notices import Notices
from dnsserver.wire.name import to_text
from dnsserver.zone.record import Reason

_WATCHED: Final = 16  # from this part of the table on it is counted who has how many places
_LATELY: Final = 2.0  # seconds in which who has asked is still one of the others
_DOMAIN_SHARES: Final = (16, 8, 4)  # the part of the table for a domain of four, three and two labels

log = get_logger(__name__)


class UnderWay(Protocol):
    """The part of a lookup that says who waits for it."""

    waiting: list[Waiter]


class _Places:
    """How many places each client has, and whether clients other than the largest one have asked lately."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._largest = b""
        self._beside_until = float("-inf")

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, key: bytes) -> int:
        return self._counts[key]

    def add(self, key: bytes) -> int:
        count = self._counts[key] = self._counts[key] + 1
        if count > self._counts[self._largest]:
            self._largest = key
        return count

    def remove(self, key: bytes) -> None:
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    def note(self, keys: Sequence[bytes], now: float) -> None:
        """Record that one of these has asked."""
        if self._largest not in keys:
            self._beside_until = now + _LATELY

    def is_beside_others(self, key: bytes, places: int, now: float) -> bool:
        """Tell whether any of all `places` that are taken is another one's, or was a short while ago."""
        return self._counts[key] < places or now < self._beside_until


class Shares:
    """Who has how many of at most `most` places; counted only while at least a sixteenth of them is taken."""

    def __init__(self, most: int = 0) -> None:
        """Begin with an empty table; `held` has what is counted, if anything is."""
        self._forget()
        self._notices = Notices(log, "questions are not asked upstream, as too many of the same kind are under way")
        self.resize(most)

    def _forget(self) -> None:
        self._domains, self._clients = _Places(), _Places()
        self.held: dict[Question, tuple[bytes, Sequence[bytes]]] = {}

    def resize(self, most: int) -> None:
        """Go by another size of the table from now on."""
        self._most = most
        self._pressed_from, self._crowded_from = most // 2, most * 3 // 4
        self.watched_from = most // _WATCHED

    def take(
        self, question: Question, waiter: Waiter | None, lookups: Mapping[Question, UnderWay], now: float
    ) -> Reason | None:
        """Take a place for a question of `waiter`, or return why none is free; `lookups` are those under way."""
        if not self.held:
            if len(lookups) < self.watched_from:
                return None
            for other, lookup in lookups.items():
                self._count(other, _client(lookup.waiting[0] if lookup.waiting else None), domains(other.name), now)
        client, above = _client(waiter), domains(question.name)
        if len(self.held) >= self._pressed_from and (over := self._over(client, above, now)) is not None:
            return over
        self._count(question, client, above, now)
        return None

    def leave(self, question: Question) -> None:
        """Give the place of a question back, if it was counted."""
        held = self.held.pop(question, None)
        if held is None:
            return
        if len(self.held) < self.watched_from // 2:  # the rest may end as it likes
            self._forget()
            return
        client, charged = held
        for name in charged:
            self._domains.remove(name)
        if client:
            self._clients.remove(client)

    def _over(self, client: bytes, above: Sequence[bytes], now: float) -> Reason | None:
        """Return why a domain or a client may not have one more place while others ask; None if it may."""
        taken = len(self.held)
        for name, share in self._with_shares(above):
            if self._domains.of(name) >= share and self._domains.is_beside_others(name, taken, now):
                self._notices.tell(name.hex(), now, domain=to_text(name))
                return o.DOMAIN_SHARE
        if not client or taken < self._crowded_from:
            return None
        share = max(1, self._most // max(2, len(self._clients)))
        if self._clients.of(client) < share or not self._clients.is_beside_others(client, taken, now):
            return None
        self._notices.tell(client.hex(), now, client=shown_source(client))
        return o.CLIENT_SHARE

    def _count(self, question: Question, client: bytes, above: Sequence[bytes], now: float) -> None:
        charged = []
        for name, share in self._with_shares(above):
            charged.append(name)
            if self._domains.add(name) > share:  # what is shorter has no part in this
                break
        self._domains.note(above, now)
        if client:
            self._clients.add(client)
            self._clients.note((client,), now)
        self.held[question] = client, charged

    def _with_shares(self, above: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
        for name, part in zip(above, _DOMAIN_SHARES[3 - len(above) :], strict=True):
            yield name, max(1, self._most // part)


def domains(name: bytes) -> list[bytes]:
    """Return the domains of four, three and two labels that a name is below, in this order."""
    starts = []
    at = 0
    while name[at]:
        starts.append(at)
        at += name[at] + 1
    return [name[start:] for start in starts[1:-1][-3:]]


def _client(waiter: Waiter | None) -> bytes:
    """Return the client of a waiter, in the form in which it is counted; empty for this server itself."""
    client: Hashable = None if waiter is None else waiter.asker()[0]
    return source_of(client) if isinstance(client, bytes) else b""
