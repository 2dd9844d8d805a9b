"""Fixed names: the special-use ones that must never be forwarded, and zones read from files."""

from collections.abc import Iterable

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.zone.record import Answer, Reason, RRset, minimal_any

_DAY = 86400
_LOCALHOST = b"\x09localhost\0"
_NOWHERE = (b"\x07invalid\0", b"\x05onion\0", b"\x03alt\0")  # RFC 6761 section 6.4, RFC 7686, RFC 9476
_RESOLVER = b"\x08resolver\x04arpa\0"  # RFC 9462 section 6.4: who has no designated resolvers answers NODATA
_LOOPBACK = {m.A: b"\x7f\0\0\1", m.AAAA: bytes(15) + b"\1"}
_SPECIAL = Reason("special-use-name")
_LOCAL = Reason("local-domain")
SPECIAL = (_LOCALHOST, _RESOLVER, *_NOWHERE)  # what is never asked upstream
MAX_CHAIN = 16


class SpecialNames:
    """`localhost` is this machine, `resolver.arpa` is empty, `invalid`, `onion` and `alt` do not exist, and so below.

    Neither does what lies in one of the `local` domains, which are kept from the upstreams by configuration.
    """

    def __init__(self, local: Iterable[bytes] = ()) -> None:
        """Keep these domains here besides, lower-case names."""
        self._nowhere = {**dict.fromkeys(local, _LOCAL), **dict.fromkeys(_NOWHERE, _SPECIAL)}

    @property
    def ends(self) -> tuple[bytes, ...]:
        """How every name that is answered here ends."""
        return (*SPECIAL, *self._nowhere)

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name, or None."""
        if name.endswith(_LOCALHOST) and names.is_below(name, _LOCALHOST):
            address = _LOOPBACK.get(qtype)
            if address is None:
                return minimal_any(Answer(authority=(_soa(_LOCALHOST),), reason=_SPECIAL), name, qtype)
            return Answer(answer=(RRset(name, qtype, _DAY, (address,)),), reason=_SPECIAL)
        if name.endswith(_RESOLVER) and names.is_below(name, _RESOLVER):
            return minimal_any(Answer(authority=(_soa(_RESOLVER),), reason=_SPECIAL), name, qtype)
        for zone, reason in self._nowhere.items():
            if name.endswith(zone) and names.is_below(name, zone):
                return Answer(m.NXDOMAIN, authority=(_soa(zone),), reason=reason)
        return None


class StaticZone:
    """A zone from a file: exact names, empty non-terminals, CNAMEs within the zone (RFC 1034 section 4.3.2).

    No wildcards and no delegations: a zone file here is for a handful of fixed hosts.
    """

    def __init__(self, rrsets: Iterable[RRset]) -> None:
        """Take the zone's RRsets, its SOA among them."""
        self._rrsets = {(rrset.name, rrset.type): rrset for rrset in rrsets}
        (self._soa,) = (rrset for rrset in self._rrsets.values() if rrset.type == m.SOA)
        self._names = {self._soa.name}
        for name, _ in self._rrsets:
            while name != self._soa.name:
                self._names.add(name)
                name = name[name[0] + 1 :]  # noqa: PLW2901 - up to the apex

    @property
    def origin(self) -> bytes:
        """The zone's name."""
        return self._soa.name

    @property
    def ends(self) -> tuple[bytes, ...]:
        """How every name of the zone ends."""
        return (self.origin,)

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name, or None if it is not in this zone."""
        return minimal_any(self._answer(name, qtype), name, qtype) if names.is_below(name, self.origin) else None

    def _answer(self, name: bytes, qtype: int) -> Answer:
        chain: list[RRset] = []
        while True:
            found = self._rrsets.get((name, qtype))
            if found is not None:
                return Answer(answer=(*chain, found))
            cname = self._rrsets.get((name, m.CNAME))
            if cname is None or len(chain) >= MAX_CHAIN:
                break
            chain.append(cname)
            name = cname.rdatas[0].lower()
            if not names.is_below(name, self.origin):
                return Answer(answer=tuple(chain), follow=name)
        exists = name in self._names
        minimum = int.from_bytes(self._soa.rdatas[0][-4:], "big")
        soa = RRset(self._soa.name, m.SOA, min(self._soa.ttl, minimum), self._soa.rdatas)  # RFC 2308 section 3
        rcode = m.NOERROR if exists else m.NXDOMAIN
        return Answer(rcode, tuple(chain), (soa,), reason=Reason("no-data" if exists else "name-missing"))


def _soa(zone: bytes) -> RRset:
    numbers = b"".join(number.to_bytes(4, "big") for number in (1, 7200, 1800, _DAY, _DAY))
    return RRset(zone, m.SOA, _DAY, (zone + b"\x0ahostmaster" + zone + numbers,))
