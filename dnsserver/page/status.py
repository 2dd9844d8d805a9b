"""The state of the server as one value for the page: readiness, age of the data, caches, upstreams, processes."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from dnsserver import __version__, metrics
from dnsserver.advice import meaning
from dnsserver.metrics import Readings
from dnsserver.page.history import STEP, Sample, Totals
from dnsserver.wire import name as names
from dnsserver.wire.message import NOERROR, NXDOMAIN, rcode_name, type_name

_MOST = 40  # rows of a table of counts


class KindStatus(msgspec.Struct, frozen=True):
    """One kind of object; ages in seconds, None for never."""

    kind: str
    objects: int
    synced: bool
    from_snapshot: bool
    state: str
    changed: float | None
    heard: float | None
    checked: float | None
    bad: int
    relists: int
    last_error: str
    rule: str


class UpstreamStatus(msgspec.Struct, frozen=True):
    """One upstream of one domain, seen by all processes; `state` is up, down, looping, or down in some processes.

    `queries` are clients' questions and never probes. Of them `errors` had a reply with an error, as SERVFAIL, and
    `unanswered` none that could be used. `probes` are counted apart. Times are None where it does not answer.
    """

    name: str
    domain: str
    state: str
    rtt: float | None
    p95: float | None
    queries: int
    errors: int
    unanswered: int
    probes: int
    probes_unanswered: int
    bad: dict[str, int]


class CacheStatus(msgspec.Struct, frozen=True):
    """A cache: entries, octets of the most that it may take, and what became of questions and entries."""

    entries: int
    missing: int
    size: int
    limit: int
    hits: int
    evicted: int
    stale: int = 0
    failures: int = 0


class ProcessStatus(msgspec.Struct, frozen=True):
    """One process that answers; memory in octets, processor time and age in seconds, None where it does not say.

    `number` is a worker's, as the log has it, 0 for the first process, None for those that have ended.
    """

    number: int | None
    alive: bool
    answers: int
    memory: int | None
    cpu: float | None
    age: float | None
    faults: int
    lag: float | None  # the mean wait of who should be woken, in seconds


class Configured(msgspec.Struct, frozen=True):
    """The files in force."""

    hash: str
    age: float
    problems: tuple[str, ...]
    needs_restart: tuple[str, ...]


class Count(msgspec.Struct, frozen=True):
    """How many answers were of one kind."""

    what: str
    count: int
    meaning: str = ""


class Status(msgspec.Struct, frozen=True):
    """Everything of the overview; `verdict` says in words whether it is ready, `age` is the process's in seconds."""

    version: str
    verdict: str
    ready: bool
    draining: bool
    stale: bool
    snapshot: bool
    saved: float | None
    save_problem: str
    age: float | None
    kinds: tuple[KindStatus, ...]
    answers: int
    cached: int
    missing: int
    failed: int
    rcodes: tuple[Count, ...]
    types: tuple[Count, ...]
    reasons: tuple[Count, ...]
    in_flight: int
    drops: int
    limited: int
    connections: int
    replies: CacheStatus
    outside: CacheStatus
    upstreams: tuple[UpstreamStatus, ...]
    processes: tuple[ProcessStatus, ...]
    restarts: int
    configuration: Configured | None
    object_problems: tuple[str, ...]
    step: float
    history: dict[str, list[float | None]]


class Limits(msgspec.Struct, frozen=True):
    """Octets that the two caches may take, all processes together."""

    replies: int
    outside: int


def status(
    readings: Readings, totals: Totals, samples: Iterable[Sample], verdict: str, limits: Limits, wall: float
) -> Status:
    """Return how the server is; `wall` is unix time."""
    processes = readings.processes
    snapshot = readings.zone_snapshot
    answered = [item for process in processes for traffic in process.traffic for item in traffic.replies.items()]
    started = [process.usage.started for process in processes if process.alive and process.usage is not None]
    return Status(
        version=__version__,
        verdict=verdict,
        ready=readings.ready,
        draining=readings.draining,
        stale=readings.zone.stale,
        snapshot=snapshot is not None and snapshot.serving,
        saved=None if snapshot is None else _age(readings.now, snapshot.as_of),
        save_problem="" if snapshot is None else snapshot.problem,
        age=round(wall - min(started), 1) if started else None,
        kinds=tuple(_kind(kind, readings.now) for kind in readings.kinds),
        answers=totals.answers,
        cached=totals.cached,
        missing=totals.missing,
        failed=totals.failed,
        rcodes=_counted((rcode_name(rcode), count) for (_, rcode, _), count in answered),
        types=_counted((type_name(qtype), count) for (qtype, _, _), count in answered),
        reasons=_counted(((reason, count) for (_, _, reason), count in answered), explained=True),
        in_flight=sum(process.forward.in_flight for process in processes),
        drops=sum(udp.kernel_drops + udp.late_drops + udp.unsent for process in processes for udp in process.udp),
        limited=sum(count for process in processes for count in process.limited.values()),
        connections=sum(tcp.connections for process in processes for tcp in process.tcp),
        replies=_replies(processes, limits.replies),
        outside=_outside(processes, limits.outside),
        upstreams=_upstreams(processes),
        processes=tuple(_process(process, wall) for process in processes),
        restarts=readings.worker_restarts,
        configuration=_configured(readings),
        object_problems=() if readings.object_files is None else readings.object_files.wrong[:_MOST],
        step=STEP,
        history=_history(samples, readings.now),
    )


def _age(now: float, last: float | None) -> float | None:
    return None if last is None else round(max(0.0, now - last), 1)


def _kind(kind: metrics.Kind, now: float) -> KindStatus:
    return KindStatus(
        str(kind.kind),
        kind.objects,
        kind.synced,
        kind.from_snapshot,
        str(kind.state),
        _age(now, kind.last_event),
        _age(now, kind.last_heard),
        _age(now, kind.last_check),
        kind.bad_objects + kind.bad_values,
        sum(kind.resyncs.values()),
        kind.last_error,
        kind.rule,
    )


def _counted(pairs: Iterable[tuple[str, int]], *, explained: bool = False) -> tuple[Count, ...]:
    """Return the largest counts; with `explained`, each has its meaning."""
    found: Counter[str] = Counter()
    for what, count in pairs:
        found[what] += count
    return tuple(
        Count(what, count, meaning(what) if explained else "") for what, count in found.most_common(_MOST) if count
    )


def _replies(processes: Sequence[metrics.Process], limit: int) -> CacheStatus:
    found = [process.replies for process in processes]
    return CacheStatus(
        entries=sum(each.replies + each.missing for each in found),
        missing=sum(each.missing for each in found),
        size=sum(each.size for each in found),
        limit=limit,
        hits=sum(each.hits for each in found),
        evicted=sum(each.evicted for each in found),
    )


def _outside(processes: Sequence[metrics.Process], limit: int) -> CacheStatus:
    found = [process.forward.cache for process in processes]
    return CacheStatus(
        entries=sum(each.entries for each in found),
        missing=sum(each.denials for each in found),
        size=sum(each.size for each in found),
        limit=limit,
        hits=sum(each.hits for each in found),
        evicted=sum(each.evicted for each in found),
        stale=sum(process.stale for process in processes),
        failures=sum(each.failed for each in found),
    )


def _upstreams(processes: Sequence[metrics.Process]) -> tuple[UpstreamStatus, ...]:
    """Return each upstream once; its times are those of the processes that asked it."""
    every: dict[tuple[str, bytes], list[metrics.Upstream]] = {}
    alive: dict[tuple[str, bytes], list[metrics.Upstream]] = {}
    for process in processes:
        for upstream in process.forward.upstreams:
            key = upstream.name, upstream.domain
            every.setdefault(key, []).append(upstream)
            if process.alive:
                alive.setdefault(key, []).append(upstream)
    return tuple(_upstream(every[key], found) for key, found in alive.items())


def _upstream(every: Sequence[metrics.Upstream], alive: Sequence[metrics.Upstream]) -> UpstreamStatus:
    """Merge what all processes counted, ended ones included, with the state that running processes report."""
    bad: Counter[str] = Counter()
    for upstream in every:
        bad.update(upstream.bad)
    answering = [upstream for upstream in alive if upstream.up and upstream.rtt]
    return UpstreamStatus(
        alive[0].name,
        names.to_text(alive[0].domain),
        _state(alive),
        round(sum(upstream.rtt for upstream in answering) / len(answering), 6) if answering else None,
        round(max(upstream.p95 for upstream in answering), 6) if answering else None,
        sum(upstream.queries for upstream in every),
        sum(_errors(upstream) for upstream in every),
        sum(_unanswered(upstream) for upstream in every),
        sum(upstream.probes for upstream in every),
        sum(upstream.probe_failures for upstream in every),
        {what: count for what, count in bad.items() if count},
    )


def _errors(upstream: metrics.Upstream) -> int:
    """Return how many questions had a reply with an error."""
    good = {NOERROR, NXDOMAIN}
    return sum(sum(durations.counts) for rcode, durations in upstream.durations.items() if rcode not in good)


def _unanswered(upstream: metrics.Upstream) -> int:
    """Return how many questions had no reply that could be used; those that still wait are not among them."""
    replied = sum(sum(durations.counts) for durations in upstream.durations.values())
    gone_wrong = upstream.timeouts - upstream.probe_failures + upstream.failures + sum(upstream.bad.values())
    return max(0, min(upstream.queries - replied, gone_wrong))


def _state(alive: Sequence[metrics.Upstream]) -> str:
    if any(upstream.looping for upstream in alive):
        return "looping"
    down = sum(not upstream.up for upstream in alive)
    if not down:
        return "up"
    return "down" if down == len(alive) else f"down in {down} of {len(alive)} processes"


def _process(process: metrics.Process, wall: float) -> ProcessStatus:
    usage = process.usage
    known = usage is not None and process.alive
    lag = process.loop_lag
    waits = sum(lag.counts)
    return ProcessStatus(
        number=process.number,
        alive=process.alive,
        answers=sum(count for traffic in process.traffic for count in traffic.replies.values()),
        memory=usage.resident_memory if usage is not None and known else None,
        cpu=round(usage.cpu, 2) if usage is not None else None,
        age=round(wall - usage.started, 1) if usage is not None and known else None,
        faults=sum(process.faults.values()),  # `panics` are among them
        lag=round(lag.sum / waits, 6) if waits else None,
    )


def _configured(readings: Readings) -> Configured | None:
    known = readings.configuration
    if known is None:
        return None
    return Configured(known.hash[:16], round(readings.now - known.applied, 1), known.problems, known.needs_restart)


def _history(samples: Iterable[Sample], now: float) -> dict[str, list[float | None]]:
    """Return the samples by quantity, as the page draws them; `age` is the seconds since the end of each sample."""
    found: dict[str, list[float | None]] = {name: [] for name in ("age", *Sample.__struct_fields__[1:])}
    for sample in samples:
        found["age"].append(round(now - sample.at, 1))
        for name in Sample.__struct_fields__[1:]:
            found[name].append(getattr(sample, name))
    return found
