"""For which names an upstream's records are trusted (RFC 5452 section 6): the bailiwick of a group of upstreams."""

import msgspec

from dnsserver.wire.name import ROOT, is_below


class Scope(msgspec.Struct, frozen=True, gc=False):
    """The names that one group of upstreams may answer for: those below `domain`, and not below one of `denied`.

    Where they are `trusted` a chain of theirs may lead out of `domain`, as far as they know the rest of it. What is
    `allowed` lies in domains that are denied, and is theirs all the same: the longest that fits a name counts.
    """

    domain: bytes = ROOT
    denied: tuple[bytes, ...] = ()
    trusted: bool = False
    allowed: tuple[bytes, ...] = ()

    def allows(self, name: bytes) -> bool:
        """Tell whether records of this lower-case name are taken."""
        if not (self.trusted or self.is_home(name)):
            return False
        return not any(is_below(name, zone) for zone in self.denied) or self._is_allowed(name)

    def is_home(self, name: bytes) -> bool:
        """Tell whether this lower-case name lies below the domain."""
        return self.domain == ROOT or is_below(name, self.domain)

    def is_inside_denied(self, name: bytes) -> bool:
        """Tell whether this lower-case name lies below the top of a zone that is another's."""
        return any(name != zone and is_below(name, zone) for zone in self.denied) and not self._is_allowed(name)

    def _is_allowed(self, name: bytes) -> bool:
        """Tell whether a name below a denied zone is also below an allowed zone that is as deep, or deeper."""
        most = max(len(zone) for zone in self.denied if is_below(name, zone))
        return any(len(domain) >= most and is_below(name, domain) for domain in self.allowed)
