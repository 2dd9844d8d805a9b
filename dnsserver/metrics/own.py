"""The metrics that only this server has; their names begin with `dnsserver_`."""

from collections.abc import Callable, Iterator

from dnsserver.metrics.family import Family, Sample, alive, by_process, traffic, upstreams, upstreams_now
from dnsserver.metrics.numbers import Configuration, Kind, Readings, TcpListener, UdpListener, Upstream
from dnsserver.wire import message as m
from dnsserver.wire.name import to_text


def _configuration(s: Readings, read: Callable[[Configuration], float]) -> Iterator[Sample]:
    """Return one number of the configuration in force, if it comes from files."""
    if s.configuration is not None:
        yield (), read(s.configuration)


def _kernel_drops(s: Readings) -> Iterator[Sample]:
    for udp in _udp(s):
        yield (udp.server, udp.family, "all"), udp.kernel_drops
        yield (udp.server, udp.family, "heavy"), udp.lane_drops


def _heavy_clients(s: Readings) -> Iterator[Sample]:
    for udp in _udp(s):
        yield (udp.server, "udp", udp.family), udp.heavy
    for listener in _tcp(s):
        yield (listener.server, "tcp", listener.family), listener.heavy


def _udp(s: Readings) -> Iterator[UdpListener]:
    return (udp for process in s.processes for udp in process.udp)


def _tcp(s: Readings) -> Iterator[TcpListener]:
    return (listener for process in s.processes for listener in process.tcp)


def _answers(s: Readings) -> Iterator[Sample]:
    for part in traffic(s):
        for (_, rcode, reason), count in part.replies.items():
            yield (reason, m.RCODE_NAMES.get(rcode, "other")), count


def _upstream(read: Callable[[Upstream], float]) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: ((_to(upstream), read(upstream)) for upstream in upstreams(s))


def _upstream_share(read: Callable[[Upstream], bool]) -> Callable[[Readings], Iterator[Sample]]:
    """Return for which share of the processes that have the upstream it is so."""
    return lambda s: ((to, sum(values) / len(values)) for to, values in _by_upstream(s, read).items())


def _upstream_mean(read: Callable[[Upstream], float]) -> Callable[[Readings], Iterator[Sample]]:
    """Return the mean of the processes that have measured it, 0 where none has."""
    return lambda s: (
        (to, sum(values) / max(1, sum(value > 0 for value in values))) for to, values in _by_upstream(s, read).items()
    )


def _by_upstream(s: Readings, read: Callable[[Upstream], float]) -> dict[tuple[str, str], list[float]]:
    """Return what the processes that answer say of each upstream."""
    found: dict[tuple[str, str], list[float]] = {}
    for upstream in upstreams_now(s):
        found.setdefault(_to(upstream), []).append(read(upstream))
    return found


def _to(upstream: Upstream) -> tuple[str, str]:
    return upstream.name, to_text(upstream.domain)


def _kind(read: Callable[[Kind], float]) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (((kind.kind,), read(kind)) for kind in s.kinds)


def _age(read: Callable[[Kind], float | None]) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (((kind.kind,), s.now - last) for kind in s.kinds if (last := read(kind)) is not None)


def _counted(read: Callable[[Kind], dict[str, int]]) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (((kind.kind, reason), count) for kind in s.kinds for reason, count in read(kind).items())


def _events(kind: Kind) -> dict[str, int]:
    return {"put": kind.puts, "remove": kind.removes, "bookmark": kind.bookmarks}


def _checks(kind: Kind) -> dict[str, int]:
    return {"done": kind.checks, "failed": kind.checks_failed}


_TO = ("to", "domain")

OWN: tuple[Family, ...] = (
    # --- Answers and sockets
    Family("counter", "dnsserver_answers", "Replies, by reason and response code.",
           ("reason", "rcode"), _answers),
    Family("counter", "dnsserver_namespace_questions",
           "Questions for names in a namespace; one label for all that do not exist, and one for all above 200.",
           ("asked_namespace",), lambda s: (((name,), counts.questions) for name, counts in s.namespaces.items())),
    Family("counter", "dnsserver_namespace_failures",
           "Questions for names in a namespace whose response code is not NOERROR.",
           ("asked_namespace", "rcode"), lambda s: (((name, m.RCODE_NAMES.get(rcode, "other")), count)
                                                    for name, counts in s.namespaces.items()
                                                    for rcode, count in counts.failures.items())),
    Family("counter", "dnsserver_limited",
           "Queries above a limit of [clients], by limit; a limit that ends in -watched was only counted.",
           ("limit",), lambda s: (((limit,), n) for process in s.processes for limit, n in process.limited.items())),
    Family("counter", "dnsserver_faults", "Bugs, by place. Each cost one reply, event or page.",
           ("place",), lambda s: (((place,), n) for process in s.processes for place, n in process.faults.items())),
    Family("counter", "dnsserver_records_left_out",
           "Records left out of answers because a name would be longer than 255 octets.",
           (), by_process(lambda process: process.left_out)),
    Family("counter", "dnsserver_udp_received", "UDP packets read.",
           ("server", "family"), lambda s: (((udp.server, udp.family), udp.received) for udp in _udp(s))),
    Family("counter", "dnsserver_udp_unsent", "UDP replies that the kernel did not take.",
           ("server", "family"), lambda s: (((udp.server, udp.family), udp.unsent) for udp in _udp(s))),
    Family("counter", "dnsserver_udp_kernel_drops",
           "UDP packets lost because a buffer was full, by the owner of the buffer.",
           ("server", "family", "share"), _kernel_drops),
    Family("counter", "dnsserver_udp_late_drops", "UDP questions dropped because they had waited for too long.",
           ("server", "family"), lambda s: (((udp.server, udp.family), udp.late_drops) for udp in _udp(s))),
    Family("gauge", "dnsserver_heavy_clients", "Clients that ask more than can be answered, each in a lane of its own.",
           ("server", "proto", "family"), _heavy_clients),
    Family("gauge", "dnsserver_tcp_connections", "TCP connections open.",
           ("server", "family"), lambda s: (((tcp.server, tcp.family), tcp.connections) for tcp in _tcp(s))),
    Family("counter", "dnsserver_tcp_refused", "TCP connections closed because there were too many.",
           ("server", "family"), lambda s: (((tcp.server, tcp.family), tcp.refused) for tcp in _tcp(s))),
    Family("histogram", "dnsserver_loop_lag_seconds", "How late the event loop ran a timer.",
           (), lambda s: (((), process.loop_lag) for process in s.processes)),
    Family("gauge", "dnsserver_workers", "Processes that answer.",
           (), lambda s: [((), alive(s))]),
    Family("gauge", "dnsserver_node_in_place",
           "1 while a guarded node has its DNS addresses without connection tracking.",
           (), lambda s: [] if s.node is None else [((), not s.node)]),
    Family("gauge", "dnsserver_memory_ceiling_bytes", "The most memory that the configuration can take.",
           (), lambda s: [((), s.memory_ceiling)] if s.memory_ceiling else []),
    Family("counter", "dnsserver_worker_restarts", "Workers that died and were replaced.",
           (), lambda s: [((), s.worker_restarts)]),
    Family("histogram", "dnsserver_reload_seconds", "Time for which nothing else ran while a change was put in force.",
           (), lambda s: [((), c.durations)] if (c := s.configuration) and c.durations else []),
    Family("gauge", "dnsserver_config_timestamp_seconds", "When the present configuration came into force, unix time.",
           (), lambda s: _configuration(s, lambda c: c.applied_wall)),
    Family("gauge", "dnsserver_config_current", "1 while the files are in force, 0 while they are refused.",
           (), lambda s: _configuration(s, lambda c: not c.problems)),
    Family("gauge", "dnsserver_config_keys_needing_restart", "Keys whose values only a restart puts in force.",
           (), lambda s: _configuration(s, lambda c: len(c.needs_restart))),
    # --- Caches
    Family("gauge", "dnsserver_reply_cache_entries", "Finished replies in the cache.",
           ("type",), lambda s: (sample for process in s.processes for sample in (
               (("found",), process.replies.replies), (("missing",), process.replies.missing)))),
    Family("gauge", "dnsserver_reply_cache_bytes", "Memory of the finished replies in the cache.",
           (), by_process(lambda process: process.replies.size)),
    Family("counter", "dnsserver_reply_cache_hits", "Replies sent from the cache.",
           (), by_process(lambda process: process.replies.hits)),
    Family("counter", "dnsserver_reply_cache_gone", "Replies that left the cache, by cause.",
           ("cause",), lambda s: (sample for process in s.processes for sample in (
               (("change",), process.replies.dropped), (("room",), process.replies.evicted),
               (("age",), process.replies.expired)))),
    Family("gauge", "dnsserver_answer_cache_entries", "Outside answers in the cache.",
           (), by_process(lambda process: process.forward.cache.entries)),
    Family("gauge", "dnsserver_answer_cache_bytes", "Memory of the outside answers in the cache.",
           (), by_process(lambda process: process.forward.cache.size)),
    Family("counter", "dnsserver_answer_cache_hits", "Outside questions answered from the cache of outside answers.",
           (), by_process(lambda process: process.forward.cache.hits)),
    Family("counter", "dnsserver_answer_cache_failures", "Outside questions answered with a cached failure.",
           (), by_process(lambda process: process.forward.cache.failures)),
    # --- Logs
    Family("counter", "dnsserver_log_lines_lost",
           "Log lines not written, because the pipe is full or closed, or the disk is full.",
           (), by_process(lambda process: process.log.lost)),
    Family("counter", "dnsserver_log_lines_suppressed",
           "Log lines left out because their cause had a line less than a second before.",
           (), by_process(lambda process: process.log.suppressed)),
    Family("counter", "dnsserver_query_log_lines", "Lines of the query log, `[[query_log]]`.",
           (), by_process(lambda process: process.audience.lines)),
    Family("counter", "dnsserver_query_log_left_out",
          "Queries without a line in the query log, because there were more than `rate` in a second.",
           (), by_process(lambda process: process.audience.over_rate)),
    Family("counter", "dnsserver_replies_not_looked_at", "Replies that the query log, `tail` and the list of failures "
           "do not have, because too many came at once.",
           (), by_process(lambda process: process.audience.missed)),
    Family("gauge", "dnsserver_tail_followers", "Streams of `dnsserver tail` that this server sends.",
           (), by_process(lambda process: process.audience.followers)),
    Family("counter", "dnsserver_tail_left_out",
           "Queries left out of a `dnsserver tail` because it reads too slowly.",
           (), by_process(lambda process: process.audience.not_followed)),
    # --- Forwarding
    Family("gauge", "dnsserver_forward_in_flight", "Outside questions under way.",
           (), by_process(lambda process: process.forward.in_flight)),
    Family("counter", "dnsserver_forward_coalesced", "Outside questions that joined an equal one under way.",
           (), by_process(lambda process: process.forward.coalesced)),
    Family("counter", "dnsserver_forward_hedges",
           "Questions for which a second upstream was asked while the first was slow.",
           (), by_process(lambda process: process.forward.hedges)),
    Family("counter", "dnsserver_forward_retries", "Questions for which a next upstream was asked because one failed.",
           (), by_process(lambda process: process.forward.retries)),
    Family("counter", "dnsserver_forward_over_tcp", "Outside questions that went on over TCP.",
           (), by_process(lambda process: process.forward.over_tcp)),
    Family("counter", "dnsserver_forward_loops", "Probes of this server that came back from an upstream.",
           (), by_process(lambda process: process.forward.loops)),
    Family("gauge", "dnsserver_upstream_up", "Share of the workers for which the upstream works.",
           _TO, _upstream_share(lambda upstream: upstream.up)),
    Family("gauge", "dnsserver_upstream_looping",
           "Share of the workers that do not ask the upstream, because it forwards back here.",
           _TO, _upstream_share(lambda upstream: upstream.looping)),
    Family("gauge", "dnsserver_upstream_mixed_case", "Share of the workers that ask the upstream in random case.",
           _TO, _upstream_share(lambda upstream: upstream.mixed_case)),
    Family("gauge", "dnsserver_upstream_rtt_seconds", "Smoothed time that the upstream takes to answer.",
           _TO, _upstream_mean(lambda upstream: upstream.rtt)),
    Family("gauge", "dnsserver_upstream_p95_seconds", "Time in which the upstream answers 95 % of the questions.",
           _TO, _upstream_mean(lambda upstream: upstream.p95)),
    Family("counter", "dnsserver_upstream_replies",
           "Replies of the upstream to queries and probes, also errors and those that came too late to be used.",
           _TO, _upstream(lambda upstream: upstream.replies)),
    Family("counter", "dnsserver_upstream_failures",
           "Queries that the upstream answered with an error, and queries and probes that could not be sent or lost "
           "their connection; silence is not among them.",
           _TO, _upstream(lambda upstream: upstream.failures)),
    Family("counter", "dnsserver_upstream_timeouts",
           "Queries to which the upstream sent no reply in time; probes are not among them.",
           _TO, _upstream(lambda upstream: upstream.timeouts - upstream.probe_failures)),
    Family("counter", "dnsserver_upstream_bad_replies", "Replies of the upstream that were not used, by problem.",
           (*_TO, "problem"), lambda s: (((*_to(upstream), problem), count)
                                         for upstream in upstreams(s) for problem, count in upstream.bad.items())),
    # --- The zone and the API
    Family("gauge", "dnsserver_ready", "1 once the server has everything that answers need.",
           (), lambda s: [((), s.ready)]),
    Family("gauge", "dnsserver_objects", "Objects in the zone, by kind.",
           ("kind",), _kind(lambda kind: kind.objects)),
    Family("gauge", "dnsserver_synced", "1 once all objects of the kind have been listed.",
           ("kind",), _kind(lambda kind: kind.synced)),
    Family("gauge", "dnsserver_sync_state", "Always 1; the label says what the list or watch of the kind does.",
           ("kind", "state"), lambda s: (((kind.kind, kind.state), 1) for kind in s.kinds if kind.state)),
    Family("gauge", "dnsserver_last_event_age_seconds", "Time since the kind's last event.",
           ("kind",), _age(lambda kind: kind.last_event)),
    Family("gauge", "dnsserver_last_heard_age_seconds", "Time since anything came for the kind: data may be that old.",
           ("kind",), _age(lambda kind: kind.last_heard)),
    Family("gauge", "dnsserver_last_check_age_seconds", "Time since the kind was last compared as a whole.",
           ("kind",), _age(lambda kind: kind.last_check)),
    Family("counter", "dnsserver_events", "Events, by kind and type.",
           ("kind", "event"), _counted(_events)),
    Family("counter", "dnsserver_bad_objects", "Objects that could not be decoded and count as absent.",
           ("kind",), _kind(lambda kind: kind.bad_objects)),
    Family("gauge", "dnsserver_object_files_broken", "Files of objects that have a part that cannot be read.",
           (), lambda s: [] if s.object_files is None else [((), s.object_files.broken)]),
    Family("counter", "dnsserver_bad_values", "Addresses, ports and other fields of object files that are left out.",
           ("kind",), _kind(lambda kind: kind.bad_values)),
    Family("counter", "dnsserver_received_bytes", "Octets of lists and watches as received, compressed or not.",
           ("kind",), _kind(lambda kind: kind.bytes_received)),
    Family("counter", "dnsserver_lists", "Full lists completed.",
           ("kind",), _kind(lambda kind: kind.lists)),
    Family("counter", "dnsserver_resyncs", "Full lists after the first, by reason.",
           ("kind", "reason"), _counted(lambda kind: kind.resyncs)),
    Family("counter", "dnsserver_reconnects", "Watches resumed, by how the one before ended.",
           ("kind", "reason"), _counted(lambda kind: kind.reconnects)),
    Family("counter", "dnsserver_checks", "Comparisons with the API, by result.",
           ("kind", "result"), _counted(_checks)),
    Family("counter", "dnsserver_repairs",
           "Differences that a comparison found and repaired: a bug, or an event that the API server lost.",
           ("kind",), _kind(lambda kind: kind.repairs)),
    Family("histogram", "dnsserver_programming_duration_seconds",
           "Time from a change of a Service or Pod until it is answered, lists left out.",
           ("service_kind",), lambda s: (((kind,), histogram) for kind, histogram in s.programming_live.items())),
    Family("gauge", "dnsserver_zone_serial", "Serial of the zone: unix time of its last change.",
           (), lambda s: [((), s.zone.serial)]),
    Family("counter", "dnsserver_zone_changes", "Events that changed an answer.",
           (), lambda s: [((), s.zone.changes)]),
    Family("gauge", "dnsserver_zone_held_removals", "Removals that wait because a name would have no address left.",
           (), lambda s: [((), s.zone.retained)]),
    Family("gauge", "dnsserver_zone_stale", "1 while answers of the cluster are marked as stale.",
           (), lambda s: [((), s.zone.stale)]),
    Family("gauge", "dnsserver_snapshot_serving", "1 while the server serves the snapshot of the state folder.",
           (), lambda s: [((), s.zone_snapshot.serving)] if s.zone_snapshot else []),
    Family("gauge", "dnsserver_snapshot_age_seconds", "Time since the snapshot in the state folder was up to date.",
           (), lambda s: [((), s.now - s.zone_snapshot.as_of)]
           if s.zone_snapshot and s.zone_snapshot.as_of is not None else []),
    Family("gauge", "dnsserver_snapshot_save_failed", "1 while the last try to save the snapshot has failed.",
           (), lambda s: [((), bool(s.zone_snapshot.problem))] if s.zone_snapshot else []),
    Family("gauge", "dnsserver_snapshot_bytes", "Size of the snapshot in the state folder.",
           (), lambda s: [((), s.zone_snapshot.size)] if s.zone_snapshot else []),
    Family("counter", "dnsserver_snapshot_saves", "Snapshots of the zone, by result.",
           ("result",), lambda s: [(("done",), s.zone_snapshot.saves), (("failed",), s.zone_snapshot.failures)]
           if s.zone_snapshot else []),
)  # fmt: skip
