"""The values that the parts of the server report about themselves, without names of metrics or anything of Prometheus.

Parts return them from their `statistics()` as they are, where one part has all of a struct's numbers. As values of
simple types, a `Process` can be sent by a worker as it is. Counts are since the start; times are seconds, those called
`last_` on the same clock as `Readings.now`, None for never.
"""

from typing import Any

import msgspec

from dnsserver.metrics.histogram import LAG, SIZES, Histogram

MISSING, OTHER = "(missing)", "(other)"  # for all namespaces that do not exist, and for those beyond a bound
_STALE = "stale"  # the reason's code of replies with an expired answer from outside


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Some numbers of one moment."""


class Traffic(Numbers, frozen=True):
    """Replies of one transport on one listening address.

    `server` is that address as CoreDNS labels it (see `server_label`), `family` "1" for IPv4 and "2" for IPv6, and
    `replies` counts by (type, rcode, reason's code), and so does `from_cache`, which is the part of them that was held.
    `requests` and `responses` are sizes in octets; `do` counts the questions with DO.
    """

    server: str
    protocol: str
    family: str
    replies: dict[tuple[int, int, str], int] = {}
    from_cache: dict[tuple[int, int, str], int] = {}
    durations: Histogram = msgspec.field(default_factory=Histogram)
    requests: Histogram = msgspec.field(default_factory=lambda: Histogram(SIZES))
    responses: Histogram = msgspec.field(default_factory=lambda: Histogram(SIZES))
    do: int = 0


class UdpListener(Numbers, frozen=True):
    """All sockets of one address of UDP.

    `unsent` replies were not taken by the kernel, `kernel_drops` packets found the buffer full that is for everybody,
    `lane_drops` those of heavy clients; `late_drops` questions were put off for too long; `heavy` clients have a lane
    now.
    """

    server: str
    family: str
    received: int = 0
    unsent: int = 0
    kernel_drops: int = 0
    lane_drops: int = 0
    late_drops: int = 0
    heavy: int = 0


class TcpListener(Numbers, frozen=True):
    """A listening TCP socket: connections now, and those closed because there were too many."""

    server: str
    family: str
    connections: int = 0
    refused: int = 0
    heavy: int = 0


class Replies(Numbers, frozen=True):
    """The reply cache: entries held, their octets, and entries gone because of a change, for room, at their end."""

    replies: int = 0
    missing: int = 0
    size: int = 0
    hits: int = 0
    dropped: int = 0
    evicted: int = 0
    expired: int = 0


class AnswerCache(Numbers, frozen=True):
    """The cache of outside answers; `size` in octets. Of entries, hits and evictions a part says that nothing is there.

    `failures` are the questions that were answered with a failure that was remembered, `failed` those it remembers now.
    """

    entries: int = 0
    failed: int = 0
    denials: int = 0
    denial_hits: int = 0
    denials_evicted: int = 0
    size: int = 0
    hits: int = 0
    misses: int = 0
    failures: int = 0
    renewals: int = 0
    evicted: int = 0


class Upstream(Numbers, frozen=True):
    """One upstream; `bad` counts unusable replies by what was wrong, `durations` is by rcode.

    `probes` were sent besides the `queries`. `timeouts` are of both, and `probe_failures` those of them that are of
    probes; `failures` are what failed without a timeout.
    """

    name: str
    domain: bytes = b"\0"
    up: bool = True
    looping: bool = False
    queries: int = 0
    probes: int = 0
    replies: int = 0
    failures: int = 0
    timeouts: int = 0
    probe_failures: int = 0
    rtt: float = 0.0
    p95: float = 0.0
    mixed_case: bool = True
    bad: dict[str, int] = {}
    durations: dict[int, Histogram] = {}


class Forward(Numbers, frozen=True):
    """Forwarding as a whole; `dropped` questions found too many under way, `all_down` found no upstream up."""

    upstreams: tuple[Upstream, ...] = ()
    cache: AnswerCache = AnswerCache()
    in_flight: int = 0
    coalesced: int = 0
    hedges: int = 0
    retries: int = 0
    over_tcp: int = 0
    dropped: int = 0
    loops: int = 0
    all_down: int = 0


class Log(Numbers, frozen=True):
    """Log lines that could not be written, and events left out as their cause had a line less than a second before."""

    lost: int = 0
    suppressed: int = 0


class Audience(Numbers, frozen=True):
    """What the observers wrote and sent: how many lines of the query log there were, and how many were left out.

    `over_rate` are lines left out for their rate, `missed` replies that nobody was told of as too many came at once.
    `followers` are those of `tail`, and `not_followed` what they had no line of.
    """

    lines: int = 0
    over_rate: int = 0
    missed: int = 0
    followers: int = 0
    not_followed: int = 0


class Usage(Numbers, frozen=True):
    """What a process takes: octets, processor time in seconds, unix time of its start, and files."""

    virtual_memory: int
    resident_memory: int
    started: float
    cpu: float
    open_files: int
    max_files: int


class Namespace(Numbers, frozen=True):
    """Questions for names in a namespace, and how many of them got another rcode than NOERROR, by that."""

    questions: int = 0
    failures: dict[int, int] = {}


class Process(Numbers, frozen=True):
    """All that one process that answers knows; `limited` counts queries above a limit, by its name,
    `faults` what went wrong inside, by the place, `left_out` records whose names would have passed 255 octets.

    `number` is a worker's, as the log has it, 0 for the first process, None for those that have ended. `panics` are the
    `faults` that a question met. `asked` grows with everything that clients send. `namespaces` are by name, those that
    exist, `MISSING` and `OTHER`. One that is not `alive` any more counts on, since counters must not go back.
    """

    number: int | None = 0
    alive: bool = True
    asked: int = 0
    namespaces: dict[str, Namespace] = {}
    traffic: tuple[Traffic, ...] = ()
    udp: tuple[UdpListener, ...] = ()
    tcp: tuple[TcpListener, ...] = ()
    replies: Replies = Replies()
    forward: Forward = Forward()
    loop_lag: Histogram = msgspec.field(default_factory=lambda: Histogram(LAG))
    limited: dict[str, int] = {}
    panics: int = 0
    faults: dict[str, int] = {}
    log: Log = Log()
    audience: Audience = Audience()
    left_out: int = 0
    usage: Usage | None = None

    @property
    def stale(self) -> int:
        """Replies with an outside answer that had expired: by reason, as one such answer may go to many clients."""
        return sum(count for part in self.traffic for (_, _, why), count in part.replies.items() if why == _STALE)


class Kind(Numbers, frozen=True):
    """One kind of API object, and the stream that brings it; `rule` is the RBAC rule it lacks while `forbidden`.

    `from_snapshot`: what is held comes from the snapshot, as the stream has not brought all of it yet. `synced` is one
    that was listed completely at least once. `resyncs` are lists after the first, `reconnects` watches resumed after a
    failure, by what made them necessary. `repairs` are changes that a check made: each one is a bug that was healed.
    `last_heard` is the last event, bookmark or complete list, `last_check` the last list or check.
    """

    kind: str
    objects: int = 0
    synced: bool = False
    from_snapshot: bool = False
    state: str = ""
    streaming: bool = False
    puts: int = 0
    removes: int = 0
    bookmarks: int = 0
    bad_objects: int = 0
    bad_values: int = 0
    bytes_received: int = 0
    lists: int = 0
    resyncs: dict[str, int] = {}
    reconnects: dict[str, int] = {}
    checks: int = 0
    checks_failed: int = 0
    repairs: int = 0
    last_event: float | None = None
    last_bookmark: float | None = None
    last_heard: float | None = None
    last_list: float | None = None
    last_check: float | None = None
    last_error: str = ""
    forbidden: bool = False
    missing: bool = False
    rule: str = ""


class Zone(Numbers, frozen=True):
    """The zone: its serial, removals held by the grace, real changes, and whether answers are marked as stale."""

    serial: int = 0
    retained: int = 0
    changes: int = 0
    stale: bool = False


class ZoneSnapshot(Numbers, frozen=True):
    """The snapshot in the state folder; `serving` while the zone in force came from it.

    `as_of` is when it was up to date; `problem` is why it could not be saved the last time, empty if it could.
    """

    serving: bool = False
    as_of: float | None = None
    saves: int = 0
    failures: int = 0
    size: int = 0
    problem: str = ""


class Request(Numbers, frozen=True):
    """Requests to the API of one method, answered with one status code (`<error>` for none)."""

    method: str
    code: str
    host: str
    count: int = 0
    durations: Histogram | None = None


class Configuration(Numbers, frozen=True):
    """The configuration in force: its hash, and since when, on the clock of `now` and as unix time.

    `durations` are the seconds that nothing else ran in while a change was put in force. `failed` counts what was
    refused, `problems` say what is wrong with what the files say now, `needs_restart` are the
    keys that only a restart puts in force.
    """

    hash_type: str
    hash: str
    applied: float
    applied_wall: float
    durations: Histogram | None = None
    failed: int = 0
    problems: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


class ObjectFiles(Numbers, frozen=True):
    """Files of objects: how many there are, how many have something that cannot be read, and what is wrong in them."""

    files: int = 0
    broken: int = 0
    wrong: tuple[str, ...] = ()


class Readings(Numbers, frozen=True):
    """Everything at one moment, `now`: what /metrics and /readyz are made of.

    `missing` names the kinds without which it is not ready, `draining` is the other reason not to be. `namespaces` are
    those of all processes, as many as are shown. `memory_ceiling` is what all processes take at most, in octets.
    `programming` and `programming_live` are by service kind (cluster_ip, headless_with_selector); the second one leaves
    out what the first list brought. `node` says what is in the way of this node's addresses, None where no guardian is.
    """

    now: float = 0.0
    ready: bool = False
    missing: tuple[str, ...] = ()
    draining: bool = False
    processes: tuple[Process, ...] = ()
    namespaces: dict[str, Namespace] = {}
    kinds: tuple[Kind, ...] = ()
    zone: Zone = Zone()
    zone_snapshot: ZoneSnapshot | None = None
    requests: tuple[Request, ...] = ()
    programming: dict[str, Histogram] = {}
    programming_live: dict[str, Histogram] = {}
    worker_restarts: int = 0
    memory_ceiling: int = 0
    configuration: Configuration | None = None
    node: tuple[str, ...] | None = None
    object_files: ObjectFiles | None = None


def added(one: Process, other: Process) -> Process:
    """Return the numbers of two processes as if they were one; what is no number is as in the first."""
    total: Process = _added(one, other)
    return total


def _added(one: Any, other: Any) -> Any:
    match one:
        case bool() | str() | bytes():
            return one
        case None:
            return other
        case dict():
            return other | {key: _added(value, other[key]) if key in other else value for key, value in one.items()}
        case tuple():  # of parts that are called alike in every process
            parts: dict[Any, Any] = {}
            for part in (*one, *other):
                name = _name(part)
                parts[name] = _added(parts[name], part) if name in parts else part
            return tuple(parts.values())
        case Numbers() if other is not None:
            fields = one.__struct_fields__
            return type(one)(**{field: _added(getattr(one, field), getattr(other, field)) for field in fields})
        case _:
            return one if other is None else one + other


def _name(part: Numbers) -> tuple[str | bytes, ...]:
    """Return the name that distinguishes a part from others of its kind."""
    values = (getattr(part, field) for field in part.__struct_fields__)
    return tuple(value for value in values if isinstance(value, str | bytes))


def server_label(host: str, port: int) -> str:
    """Return how CoreDNS labels a listening address: without the host when that is every address."""
    if host in {"0.0.0.0", "::", ""}:
        return f"dns://:{port}"
    return f"dns://[{host}]:{port}" if ":" in host else f"dns://{host}:{port}"
