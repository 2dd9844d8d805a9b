"""Fixed names: the special-use ones that must never be forwarded, and zones read from files."""

from collections.abc import Iterable

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import RRset
from dnsserver.zone.record import CNAME_LOOP, NO_DATA, TOO_MANY_CNAMES, Answer, Reason, bare_soa, minimal_any

_DAY = 86400
_LOCALHOST = b"\x09localhost\0"
_NOWHERE = (b"\x07invalid\0", b"\x05onion\0", b"\x03alt\0")  # RFC 6761 section 6.4, RFC 7686, RFC 9476
_RESOLVER = b"\x08resolver\x04arpa\0"  # RFC 9462 section 6.4: who has no designated resolvers answers NODATA
_LOOPBACK = {m.A: b"\x7f\0\0\1", m.AAAA: bytes(15) + b"\1"}
_SPECIAL = Reason("special-use-name")
_NEVER_ASKED = Reason("special-use-name", m.EDE.OTHER, "a special-use name, which is never forwarded")
_LOCAL = Reason("local-domain", m.EDE.OTHER, "the configuration keeps the names of this domain from the upstreams")
_NAME_MISSING = Reason("name-missing", m.EDE.OTHER, "the zone file does not have the name")
_WILDCARD = b"\1*"
SPECIAL = (_LOCALHOST, _RESOLVER, *_NOWHERE)  # what is never asked upstream


class SpecialNames:
    """`localhost` is this machine, `resolver.arpa` is empty, `invalid`, `onion` and `alt` do not exist, and so below.

    Neither does what lies in one of the `local` domains, which are kept from the upstreams by configuration.
    """

    def __init__(self, local: Iterable[bytes] = ()) -> None:
        """Answer for these domains as well, which are lower-case names."""
        self._nowhere = {**dict.fromkeys(local, _LOCAL), **dict.fromkeys(_NOWHERE, _NEVER_ASKED)}

    @property
    def ends(self) -> tuple[bytes, ...]:
        """Return how every name that is answered here ends."""
        return (*SPECIAL, *self._nowhere)

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name, or None."""
        if name.endswith(_LOCALHOST) and names.is_below(name, _LOCALHOST):
            address = _LOOPBACK.get(qtype)
            if address is None:
                return minimal_any(Answer(authority=(bare_soa(_LOCALHOST, _DAY),), reason=_SPECIAL), name, qtype)
            return Answer(answer=(RRset(name, qtype, _DAY, (address,)),), reason=_SPECIAL)
        if name.endswith(_RESOLVER) and names.is_below(name, _RESOLVER):
            return minimal_any(Answer(authority=(bare_soa(_RESOLVER, _DAY),), reason=_SPECIAL), name, qtype)
        for zone, reason in self._nowhere.items():
            if name.endswith(zone) and names.is_below(name, zone):
                return Answer(m.NXDOMAIN, authority=(bare_soa(zone, _DAY),), reason=reason)
        return None


class StaticZone:
    """A zone from a file: names, the empty ones above them, wildcards, CNAMEs (RFC 1034 section 4.3.2, RFC 4592).

    It has no delegations: a zone file here is for fixed hosts.
    """

    def __init__(self, rrsets: Iterable[RRset]) -> None:
        """Index the zone's RRsets, with exactly one SOA among them."""
        self._nodes: dict[bytes, dict[int, RRset]] = {}  # an empty non-terminal has no records
        for rrset in rrsets:
            self._nodes.setdefault(rrset.name, {})[rrset.type] = rrset
        (self._soa,) = (node[m.SOA] for node in self._nodes.values() if m.SOA in node)
        for name in tuple(self._nodes):
            for above in names.ancestors(name):
                if names.is_below(above, self.origin):
                    self._nodes.setdefault(above, {})
        minimum = int.from_bytes(self._soa.rdatas[0][-4:], "big")
        negative_ttl = min(self._soa.ttl, minimum)  # RFC 2308 section 3
        self._negative = (RRset(self.origin, m.SOA, negative_ttl, self._soa.rdatas),)

    @property
    def origin(self) -> bytes:
        """Return the zone's name."""
        return self._soa.name

    @property
    def ends(self) -> tuple[bytes, ...]:
        """Return how every name of the zone ends."""
        return (self.origin,)

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name, or None if it is not in this zone."""
        return minimal_any(self._answer(name, qtype), name, qtype) if names.is_below(name, self.origin) else None

    def _answer(self, name: bytes, qtype: int) -> Answer:
        chain: dict[bytes, RRset] = {}
        while (node := self._node(name)) is not None:
            found = node.get(qtype)
            if found is not None:
                return Answer(answer=(*chain.values(), _owned(found, name)))
            cname = node.get(m.CNAME)
            if cname is None or qtype == m.ANY:
                return self._without(m.NOERROR, chain, NO_DATA)
            if len(chain) >= m.MAX_CHAIN:
                return Answer(m.SERVFAIL, tuple(chain.values()), reason=TOO_MANY_CNAMES)
            chain[name] = _owned(cname, name)
            name = cname.rdatas[0].lower()
            if name in chain:
                return self._without(m.NOERROR, chain, CNAME_LOOP)
            if not names.is_below(name, self.origin):
                return Answer(answer=tuple(chain.values()), authority=self._negative, follow=name)
        return self._without(m.NXDOMAIN, chain, _NAME_MISSING)

    def _node(self, name: bytes) -> dict[int, RRset] | None:
        """Return the records of a name, or of the wildcard that stands for it; None if it does not exist.

        Only the wildcard directly below the closest existing name counts (RFC 4592 section 3.3.1). A name that exists,
        even an empty non-terminal, hides wildcards above it from the names below it.
        """
        node = self._nodes.get(name)
        if node is not None:
            return node
        encloser = next(above for above in names.ancestors(name) if above in self._nodes)
        return self._nodes.get(_WILDCARD + encloser)

    def _without(self, rcode: int, chain: dict[bytes, RRset], reason: Reason) -> Answer:
        return Answer(rcode, tuple(chain.values()), self._negative, reason=reason)


def _owned(rrset: RRset, name: bytes) -> RRset:
    """Return records with the name of the question as their owner, as a wildcard needs (RFC 4592 section 3.3.3)."""
    return rrset if rrset.name == name else RRset(name, rrset.type, rrset.ttl, rrset.rdatas)
