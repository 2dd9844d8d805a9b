"""How names outside the cluster are forwarded and cached: frozen values that app makes from the configuration."""

import enum

import msgspec

from dnsserver.wire.name import ROOT
from dnsserver.wire.upstream_reply import TTLLimits


class Transport(enum.StrEnum):
    """What carries the questions to an upstream; UDP goes on over TCP where an answer needs it."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Policy(enum.StrEnum):
    """Which upstream of several is asked first."""

    SEQUENTIAL = "sequential"
    RANDOM = "random"
    FASTEST = "fastest"
    ROUND_ROBIN = "round_robin"


DEFAULT_PORTS = {Transport.UDP: 53, Transport.TCP: 53, Transport.TLS: 853}


class UpstreamSpec(msgspec.Struct, frozen=True):
    """One upstream as configured.

    `host` is an address or a hostname; a hostname is resolved through the operating system, again and again. With TLS
    the certificate is checked for `server_name`, or for `host` without one, against the system's authorities or those
    in the file `authorities` (RFC 8310 section 8.1: strict).
    """

    host: str
    port: int = 0
    transport: Transport = Transport.UDP
    server_name: str | None = None
    authorities: str | None = None

    @property
    def real_port(self) -> int:
        """The port, with the transport's own one for 0."""
        return self.port or DEFAULT_PORTS[self.transport]


class ForwardSettings(msgspec.Struct, frozen=True):
    """How the names below one domain are forwarded; the longest domain that fits a name wins.

    Times in seconds. `hedge` is how many extra questions, as a share of all, may be spent on asking a second upstream
    before the first one is known to be silent. `resolv_conf` names a file to take the upstreams from instead, followed
    when it changes. `trusted` upstreams are believed where a chain of theirs leaves the domain. At most `max_in_flight`
    questions wait for them at once, 0 is without a limit. Names below `excepted` go where they would without this one.
    """

    domain: bytes = ROOT
    upstreams: tuple[UpstreamSpec, ...] = ()
    resolv_conf: str | None = None
    policy: Policy = Policy.FASTEST
    deadline: float = 2.0
    hedge: float = 0.05
    mixed_case: bool = True
    trusted: bool = False
    max_in_flight: int = 0
    excepted: tuple[bytes, ...] = ()


class CacheSettings(msgspec.Struct, frozen=True):
    """What is kept of the outside's answers, and for how long; times in seconds, sizes in octets.

    `stale` is how long after its end an answer may still be given when no upstream answers (RFC 8767; 0 turns it off),
    `stale_wait` how long a client waits before it gets one. An answer asked at least `renew_hits` times is asked again
    in the last tenth of its life (0 turns it off).
    """

    size: int = 32 * 1024 * 1024
    ttl_cap: int = 86_400
    ttl_floor: int = 0
    negative_cap: int = 3_600
    negative_floor: int = 0
    failure_ttl: float = 1.0
    failure_cap: float = 30.0
    stale: float = 86_400.0
    stale_wait: float = 1.8
    renew_hits: int = 3

    def ttls(self) -> TTLLimits:
        """Return the bounds of TTLs."""
        return TTLLimits(self.ttl_cap, self.ttl_floor, self.negative_cap, self.negative_floor)


class Limits(msgspec.Struct, frozen=True):
    """What bounds the forwarder: questions under way, and seconds between two looks at hostnames and files."""

    in_flight: int = 10_000
    resolve_interval: float = 30.0
    file_interval: float = 1.0
    loop_retry: float = 60.0
