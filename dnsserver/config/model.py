"""Every setting, its type, its bounds and its default. What each one means stands beside it in zones/dnsserver.toml.

A table of the file is a struct here and a key is a field of the same name. A description in `Meta` is what an error
message says was expected. Seconds are floats, sizes are octets; None is "not set".
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from dnsserver.config.values import Address, Domain, Network, QuestionType, RecordType, ServiceName, Upstream, ZoneFile
from dnsserver.traffic.filters import Class
from dnsserver.wire.name import ROOT

__all__ = [
    "AnswerRule",
    "Cache",
    "Clients",
    "Config",
    "Forward",
    "Forwarding",
    "Hosts",
    "Kubernetes",
    "Local",
    "Log",
    "QueryLog",
    "ReplyCache",
    "Rewrite",
    "Route",
    "Search",
    "Tcp",
    "Udp",
]


def _seconds(lowest: float, highest: float) -> msgspec.Meta:
    return msgspec.Meta(ge=lowest, le=highest, description=f"a number of seconds from {lowest:g} to {highest:.7g}")


def _whole(lowest: int, highest: int, unit: str = "") -> msgspec.Meta:
    numbers = f"a whole number of {unit}" if unit else "a whole number"
    return msgspec.Meta(ge=lowest, le=highest, description=f"{numbers} from {lowest} to {highest}")


_DAY = 86_400
_WEEK = 7 * _DAY
_OCTETS = "octets"

Policy = Literal["sequential", "random", "fastest", "round_robin"]
Ttl = Annotated[int, _whole(0, _WEEK, "seconds")]
Count = Annotated[int, _whole(1, 10_000_000)]
CountOrOff = Annotated[int, _whole(0, 10_000_000)]
Deadline = Annotated[float, _seconds(0.05, 60)]
Hedge = Annotated[float, msgspec.Meta(ge=0, le=1, description="a fraction from 0 to 1")]

NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z"  # RFC 1123 label, as the API demands
Rcode = Literal["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "BADVERS", "DROP"]
Namespace = Annotated[str, msgspec.Meta(pattern=NAMESPACE, description="the name of a namespace")]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file."""


class Udp(Table, frozen=True):
    """UDP of clients."""

    size: Annotated[int, _whole(1232, 4096, _OCTETS)] = 1232


class Tcp(Table, frozen=True):
    """What one TCP client may take, and how many there may be."""

    connections: Count = 1024
    idle: Annotated[float, _seconds(0.1, 3600)] = 10.0
    partial: Annotated[float, _seconds(0.1, 3600)] = 3.0
    write: Annotated[float, _seconds(0.1, 3600)] = 5.0
    backlog: Annotated[int, _whole(65_537, 1 << 30, _OCTETS)] = 262_144
    buffers: Annotated[int, _whole(1 << 20, 1 << 40, _OCTETS)] = 16_777_216
    in_flight: Count = 256


class Clients(Table, frozen=True):
    """Who may ask, and how much."""

    allow: tuple[Network, ...] = (Network("0.0.0.0/0"), Network("::/0"))
    rate: CountOrOff = 0
    in_flight: CountOrOff = 0
    over: Literal["truncate", "drop", "log"] = "truncate"
    excess: Literal["drop", "refuse"] = "drop"


class ReplyCache(Table, frozen=True):
    """How much is held of finished replies."""

    size: Annotated[int, _whole(1 << 20, 1 << 40, _OCTETS)] = 25_165_824


class Forwarding(Table, frozen=True):
    """How names outside the cluster are asked."""

    policy: Policy = "fastest"
    deadline: Deadline = 2.0
    hedge: Hedge = 0.05
    mixed_case: bool = True
    authorities: Path | None = None
    trusted: bool = False
    in_flight: Count = 10_000
    resolve_interval: Annotated[float, _seconds(1, _DAY)] = 30.0
    file_interval: Annotated[float, _seconds(0.1, _DAY)] = 1.0
    loop_retry: Annotated[float, _seconds(1, _DAY)] = 60.0


class Forward(Table, frozen=True):
    """Other upstreams for the names below one domain; what is not set is as in `Forwarding`."""

    domain: Domain
    upstreams: tuple[Upstream, ...]
    policy: Policy | None = None
    deadline: Deadline | None = None
    hedge: Hedge | None = None
    mixed_case: bool | None = None
    authorities: Path | None = None
    trusted: bool = False
    max_in_flight: CountOrOff = 0
    except_: tuple[Domain, ...] = msgspec.field(default=(), name="except")


class Rewrite(Table, frozen=True, kw_only=True):
    """Names that are looked up as others; one of `name`, `prefix`, `suffix` and `regex` says which."""

    name: Domain | None = None
    prefix: str | None = None
    suffix: str | None = None
    regex: str | None = None
    below: tuple[Domain, ...] = ()
    except_: tuple[Domain, ...] = msgspec.field(default=(), name="except")
    to: str
    answers: Literal["owner", "names"] = "owner"


class AnswerRule(Table, frozen=True):
    """What is answered about a name, the names that a regular expression fits, or all names below domains."""

    name: Domain | None = None
    regex: str | None = None
    below: tuple[Domain, ...] = ()
    except_: tuple[Domain, ...] = msgspec.field(default=(), name="except")
    types: tuple[RecordType, ...] = ()
    records: tuple[str, ...] = ()
    rcode: Literal["NODATA", "NXDOMAIN", "REFUSED", "DROP"] | None = None


class Hosts(Table, frozen=True):
    """Addresses and their names, as in /etc/hosts: written here, or in a file."""

    entries: tuple[str, ...] = ()
    file: Path | None = None
    below: tuple[Domain, ...] = ()
    authoritative_below: tuple[Domain, ...] = ()
    except_: tuple[Domain, ...] = msgspec.field(default=(), name="except")
    ttl: Ttl = 3_600
    reverse: bool = True


class Local(Table, frozen=True):
    """Names that are kept here."""

    domains: tuple[Domain, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A domain and how the names below it are asked, with nothing left open; the longest domain wins."""

    domain: Domain
    upstreams: tuple[Upstream, ...]
    policy: Policy
    deadline: float
    hedge: float
    mixed_case: bool
    authorities: Path | None
    trusted: bool
    max_in_flight: int
    except_: tuple[Domain, ...]


class Cache(Table, frozen=True):
    """What is kept of answers from outside."""

    size: Annotated[int, _whole(1 << 16, 1 << 40, _OCTETS)] = 33_554_432
    ttl_cap: Ttl = 86_400
    ttl_floor: Ttl = 0
    negative_cap: Ttl = 3_600
    negative_floor: Ttl = 0
    failure_ttl: Annotated[float, _seconds(1, 300)] = 1.0  # RFC 9520 section 3.2: at least 1 s, at most 5 minutes
    failure_cap: Annotated[float, _seconds(1, 300)] = 30.0
    stale: Annotated[float, _seconds(0, _WEEK)] = 86_400.0
    stale_wait: Annotated[float, _seconds(0, 60)] = 1.8
    renew_hits: CountOrOff = 3


class Search(Table, frozen=True):
    """Search-list completion; `namespaces` are those where it is on, empty is all of them."""

    enabled: bool = False
    namespaces: tuple[Namespace, ...] = ()
    node_domains: tuple[Domain, ...] = ()


class Kubernetes(Table, frozen=True):
    """How the zone is kept equal to the API."""

    namespaces: tuple[Namespace, ...] = ()
    labels: str = ""
    namespace_labels: str = ""
    page_size: Annotated[int, _whole(1, 10_000, "objects")] = 500
    silence: Annotated[float, _seconds(5, 3600)] = 90.0
    check_interval: Annotated[float, _seconds(0, _WEEK)] = 3600.0
    stale_after: Annotated[float, _seconds(1, _WEEK)] = 300.0
    grace: Annotated[float, _seconds(0, 60)] = 1.0
    snapshot_interval: Annotated[float, _seconds(1, _DAY)] = 30.0


class Top(Table, frozen=True):
    """The statistics of who asks what."""

    sample: bool = True


class Log(Table, frozen=True):
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class QueryLog(Table, frozen=True):
    """Which queries have a line in the log, and how it looks; `rate` is lines a second, 0 as many as there are."""

    classes: tuple[Class, ...] = ("denial", "error")
    slow: Annotated[float, _seconds(0.001, 60)] = 0.5
    clients: tuple[Network, ...] = ()
    below: tuple[Domain, ...] = ()
    types: tuple[QuestionType, ...] = ()
    rcodes: tuple[Rcode, ...] = ()
    sample: Count = 1
    rate: CountOrOff = 1_000
    format: Literal["json", "common", "combined"] = "json"


class Config(Table, frozen=True):
    """The whole configuration; `Config()` is what a server does that nobody told anything."""

    listen: tuple[Address, ...] = (Address("0.0.0.0", 53), Address("::", 53))
    admin: Address = Address("::", 8053)
    admin_token: Path | None = None

    domain: Domain = Domain.parse("cluster.local")
    ttl: Annotated[int, _whole(0, 3600, "seconds")] = 5
    pods: Literal["disabled", "insecure", "verified"] = "insecure"
    reverse_zones: tuple[Network, ...] = ()
    service: ServiceName = ServiceName("kube-system", "kube-dns")
    static: tuple[ZoneFile, ...] = ()

    objects: Path | None = None
    kubeconfig: Path | None = None
    context: str | None = None

    upstreams: tuple[Upstream, ...] = (Upstream("/etc/resolv.conf", transport="file"),)
    ipv6: Literal["on", "off"] = "on"

    workers: Annotated[int, _whole(1, 64)] = 1
    state: Path | None = None
    takeover: Path | None = None
    guardian: Path | None = None
    drain: Annotated[float, _seconds(0, 3600)] = 25.0
    drain_min: Annotated[float, _seconds(0, 3600)] = 10.0

    udp: Udp = Udp()
    tcp: Tcp = Tcp()
    clients: Clients = Clients()
    reply_cache: ReplyCache = ReplyCache()
    forwarding: Forwarding = Forwarding()
    forward: tuple[Forward, ...] = ()
    rewrite: tuple[Rewrite, ...] = ()
    answer: tuple[AnswerRule, ...] = ()
    hosts: tuple[Hosts, ...] = ()
    local: Local = Local()
    cache: Cache = Cache()
    search: Search = Search()
    kubernetes: Kubernetes = Kubernetes()
    top: Top = Top()
    log: Log = Log()
    query_log: tuple[QueryLog, ...] = ()

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of all names outside the cluster: everything first, then the domains with their own."""
        whole = Forward(domain=Domain(ROOT), upstreams=self.upstreams, trusted=self.forwarding.trusted)
        return tuple(_route(forward, self.forwarding) for forward in (whole, *self.forward))


def _route(forward: Forward, rest: Forwarding) -> Route:
    """Return the route of a domain, with the general settings for those that the domain does not set."""
    return Route(
        domain=forward.domain,
        upstreams=forward.upstreams,
        policy=rest.policy if forward.policy is None else forward.policy,
        deadline=rest.deadline if forward.deadline is None else forward.deadline,
        hedge=rest.hedge if forward.hedge is None else forward.hedge,
        mixed_case=rest.mixed_case if forward.mixed_case is None else forward.mixed_case,
        authorities=rest.authorities if forward.authorities is None else forward.authorities,
        trusted=forward.trusted,
        max_in_flight=forward.max_in_flight,
        except_=forward.except_,
    )
