"""Builds the answers of one zone: addresses, "no such name", "no data", and the SOA and NS in them."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from dnsserver.wire import message as m
from dnsserver.wire.message import EDE, RRset
from dnsserver.zone.index import Pair, SliceView, splitter
from dnsserver.zone.record import NO_DATA, Answer, Key, Reason, soa

NAME_TOO_LONG = Reason("name-too-long", EDE.INVALID_DATA, "the name would have more than 255 octets")
_NO_ADDRESS = Reason("no-address-of-family")


class AnswerBuilder:
    """Builds what all kinds of names of a zone share; `ttl` in seconds, `serial` the unix time of the last change."""

    def __init__(self, domain: bytes, ttl: int) -> None:
        """Build for the zone of `domain`, with serial 0 until it changes."""
        self.domain = domain
        self.ttl = ttl
        self.serial = 0
        self.left_out = 0  # records whose names would be longer than names may be (RFC 1035 section 2.3.4)
        self.server_name = b"\x02ns\x03dns" + domain
        self._mailbox = b"\x0ahostmaster" + domain
        self._own_soa = self._make_soa(domain)
        self._own_serial = 0

    def use_ttl(self, ttl: int) -> None:
        """Give records this TTL, in seconds, from now on."""
        self.ttl = ttl
        self._own_soa = self._make_soa(self.domain)

    def soa(self, zone: bytes | None = None) -> RRset:
        """Return the SOA of the cluster's zone, or of another one of ours."""
        if zone is not None:
            return self._make_soa(zone)
        if self._own_serial != self.serial:
            self._own_soa, self._own_serial = self._make_soa(self.domain), self.serial
        return self._own_soa

    def ns(self, zone: bytes) -> RRset:
        """Return the NS record of one of our zones: this server."""
        return RRset(zone, m.NS, self.ttl, (self.server_name,))

    def name_of(self, key: Pair) -> bytes:
        """Return the name of a service."""
        namespace, service = key
        return b"".join((bytes((len(service),)), service, bytes((len(namespace),)), namespace, b"\x03svc", self.domain))

    def addresses(self, name: bytes, addresses: Iterable[bytes], qtype: int, depends: tuple[Key, ...]) -> Answer:
        """Answer A or AAAA with those of the addresses that are of the family, each once."""
        size = m.ADDRESS_SIZES[qtype]
        of_family = tuple([address for address in dict.fromkeys(addresses) if len(address) == size])
        if not of_family:
            return self.nodata(depends, _NO_ADDRESS)
        return Answer(answer=(RRset(name, qtype, self.ttl, of_family),), depends=depends)

    def endpoints(self, name: bytes, slices: Iterable[SliceView], qtype: int, depends: tuple[Key, ...]) -> Answer:
        """Answer A or AAAA with those of the slices' addresses that are of the family, each once."""
        size = m.ADDRESS_SIZES[qtype]
        found: list[bytes] = []
        for part in slices:
            held = part.held
            if isinstance(held, tuple):
                found += [address for address in held if len(address) == size]
            elif part.size == size:
                found += splitter(size, len(held))(held)
        if not found:
            return self.nodata(depends, _NO_ADDRESS)
        return Answer(answer=(RRset(name, qtype, self.ttl, tuple(dict.fromkeys(found))),), depends=depends)

    def both_families(self, name: bytes, addresses: Sequence[bytes]) -> list[RRset]:
        """Return the addresses as A and as AAAA records of a name, each once, as far as there are such."""
        found = []
        for qtype, size in m.ADDRESS_SIZES.items():
            of_family = tuple([address for address in dict.fromkeys(addresses) if len(address) == size])
            if of_family:
                found.append(RRset(name, qtype, self.ttl, of_family))
        return found

    def nodata(self, depends: tuple[Key, ...] | None, reason: Reason = NO_DATA, zone: bytes | None = None) -> Answer:
        """Answer that the name exists and has no such record (RFC 2308 section 2.2)."""
        return Answer(authority=(self.soa(zone),), reason=reason, depends=depends)

    def nxdomain(self, depends: tuple[Key, ...] | None, reason: Reason, zone: bytes | None = None) -> Answer:
        """Answer that the name does not exist (RFC 2308 section 2.1)."""
        return Answer(m.NXDOMAIN, authority=(self.soa(zone),), reason=reason, depends=depends)

    def _make_soa(self, zone: bytes) -> RRset:
        return soa(zone, self.ttl, server=self.server_name, mailbox=self._mailbox, serial=self.serial)


def not_ready(waiting: AbstractSet[str]) -> Answer:
    """Answer that these kinds of objects have not been seen yet: never that a name does not exist."""
    reason = Reason("not-ready", EDE.NOT_READY, f"waiting for the Kubernetes API: {', '.join(sorted(waiting))}")
    return Answer(m.SERVFAIL, reason=reason, depends=None)
