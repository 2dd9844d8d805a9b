"""Gives records of a name that was looked up in place of another the name of the question again."""

from collections.abc import Sequence

import msgspec

from dnsserver.wire.message import NSEC, NSEC3, RRSIG, RRset
from dnsserver.wire.name import MAX_NAME, is_below
from dnsserver.wire.records import with_names

_PROOFS = frozenset((RRSIG, NSEC, NSEC3))  # what they say is signed, and about names that were not asked


class Renaming(msgspec.Struct, frozen=True, gc=False):
    """`new` was looked up for `asked`, both lower-case.

    With `within`, two domains, all names below the first are called by the second, also those that records lead to.
    """

    asked: bytes
    new: bytes
    within: tuple[bytes, bytes] | None = None

    def apply(self, rrsets: Sequence[RRset]) -> tuple[RRset, ...]:
        """Return the records under the names that were asked.

        Without those whose names would be longer than names may be, and without the signatures of what was altered:
        they would not fit it (RFC 4035 section 5.3.1).
        """
        altered: set[tuple[bytes, int]] = set()
        renamed = []
        for rrset in rrsets:
            owner = self._name(rrset.name)
            rdatas = rrset.rdatas
            if self.within is not None and rrset.type not in _PROOFS:
                changed = (with_names(rrset.type, rdata, self._name) for rdata in rdatas)
                rdatas = tuple(rdata for rdata in changed if rdata is not None)
            if owner != rrset.name or rdatas != rrset.rdatas:
                altered.add((rrset.name.lower(), rrset.type))
            renamed.append((rrset.name.lower(), owner, rrset.type, rrset.ttl, rdatas))
        return tuple(
            RRset(owner, rtype, ttl, left)
            for before, owner, rtype, ttl, rdatas in renamed
            if owner is not None and (left := _signing(rtype, before, rdatas, altered))
        )

    def _name(self, name: bytes) -> bytes | None:
        """Return the new form of a name; None if it would be too long."""
        lower = name.lower()
        if lower == self.new:
            return self.asked
        if self.within is None:
            return name
        domain, called = self.within
        if not is_below(lower, domain):
            return name
        found = name[: len(name) - len(domain)] + called
        return found if len(found) <= MAX_NAME else None


def _signing(rtype: int, owner: bytes, rdatas: tuple[bytes, ...], altered: set[tuple[bytes, int]]) -> tuple[bytes, ...]:
    """Return the data of a record set; of signatures only those over records that were not changed."""
    if rtype != RRSIG:
        return rdatas
    return tuple(rdata for rdata in rdatas if (owner, int.from_bytes(rdata[:2], "big")) not in altered)
