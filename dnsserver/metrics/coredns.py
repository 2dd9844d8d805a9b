"""The metrics that CoreDNS has, under its names and labels, so that dashboards and alerts made for it go on working.

Both generations of those that it renamed are here: `coredns_forward_*` of 1.7 became `coredns_proxy_*` in 1.11, and the
dashboards of before 1.7 ask for names with `_count_total`. Labels that this server has no use for (`view`, and `zone`,
since there is one server block) hold what CoreDNS with kubeadm's configuration puts there.
"""

import sys
from collections.abc import Callable, Iterable, Iterator

from dnsserver import __version__
from dnsserver.metrics.family import Family, Sample, by_process, traffic, upstreams
from dnsserver.metrics.histogram import HEALTH, HEALTH_GIVEN_UP, Histogram
from dnsserver.metrics.numbers import Process, Readings, Usage
from dnsserver.wire import message as m

_ZONE = "."
_VIEW = ""
_PROXY = "forward"

# The types that CoreDNS tells apart (plugin/metrics/vars); all others are "other".
_TYPES = {number: name for number, name in m.TYPE_NAMES.items() if number not in {m.HINFO, m.NAPTR, m.DNAME, m.OPT}}

# The plugin of CoreDNS that would have written an answer, by how the word for its reason begins; the rest is the
# cluster's.
_PLUGINS = {
    "": ("format-error", "opcode-", "edns-", "class-", "transfer-", "internal-error"),
    "acl": ("client-",),
    "any": ("any-outside",),
    "forward": (
        *("forwarded", "stale", "upstream", "no-upstreams", "chain-too-long", "answer-too-large", "forward-", "loop"),
        *("failure-cached", "ipv6-off"),
    ),
    "hosts": ("hosts",),
    "local": ("special-use-name", "local-domain"),
    "rewrite": ("rewrite-",),
    "template": ("rule-",),
}


def plugin(reason: str) -> str:
    """Return the CoreDNS plugin that would have written an answer of this reason."""
    return next((name for name, beginnings in _PLUGINS.items() if reason.startswith(beginnings)), "kubernetes")


def _rcode(rcode: int) -> str:
    return m.RCODE_NAMES.get(rcode, "other")


def _servers(s: Readings) -> set[str]:
    return {part.server for part in traffic(s)}


def _requests(s: Readings) -> Iterator[Sample]:
    for part in traffic(s):
        for (qtype, _, _), count in part.replies.items():
            yield (part.server, _ZONE, _VIEW, part.protocol, part.family, _TYPES.get(qtype, "other")), count


def _responses(s: Readings) -> Iterator[Sample]:
    for part in traffic(s):
        for (_, rcode, reason), count in part.replies.items():
            yield (part.server, _ZONE, _VIEW, _rcode(rcode), plugin(reason)), count


def _durations(s: Readings) -> Iterator[Sample]:
    for part in traffic(s):
        yield (part.server, _ZONE, _VIEW), part.durations


def _plugins(s: Readings) -> Iterator[Sample]:
    for server in _servers(s):
        for name in ("cache", "errors", "forward", "health", "kubernetes", "prometheus", "ready"):
            yield (server, _ZONE, _VIEW, name), 1


def _cached(read: Callable[[Readings], Iterable[Sample]]) -> Callable[[Readings], Iterator[Sample]]:
    """Add the labels of CoreDNS's cache in front: our caches are shared, so they appear under one of the servers."""

    def samples(s: Readings) -> Iterator[Sample]:
        server = min(_servers(s), default="")
        for kind, value in read(s):
            yield (server, *kind, _ZONE, _VIEW), value

    return samples


def _cache_hits(s: Readings) -> Iterator[Sample]:
    """Yield the outside questions that either cache answered: finished replies, or answers and failures."""
    for process in s.processes:
        cache = process.forward.cache
        yield ("success",), cache.hits - cache.denial_hits
        yield ("denial",), cache.denial_hits + cache.failures
        for part in process.traffic:
            for (_, rcode, reason), count in part.from_cache.items():
                if plugin(reason) == "forward":
                    yield ("denial" if rcode or reason.endswith("-no-data") else "success",), count


def _cache_misses(s: Readings) -> Iterator[Sample]:
    for process in s.processes:
        yield (), process.forward.cache.misses - process.forward.cache.failures


def _cache_requests(s: Readings) -> Iterator[Sample]:
    yield from _cache_misses(s)
    yield from (((), count) for _, count in _cache_hits(s))


def _cache_entries(s: Readings) -> Iterator[Sample]:
    for process in s.processes:
        cache = process.forward.cache
        yield ("success",), cache.entries - cache.denials
        yield ("denial",), cache.denials + cache.failed


def _cache_evictions(s: Readings) -> Iterator[Sample]:
    for process in s.processes:
        cache = process.forward.cache
        yield ("success",), cache.evicted - cache.denials_evicted
        yield ("denial",), cache.denials_evicted


def _proxy_durations(*before: str) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (
        ((*before, upstream.name, _rcode(rcode)), histogram)
        for upstream in upstreams(s)
        for rcode, histogram in upstream.durations.items()
    )


def _probe_failures(*before: str) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (((*before, upstream.name), upstream.probe_failures) for upstream in upstreams(s))


def _forward_responses(s: Readings) -> Iterator[Sample]:
    for upstream in upstreams(s):
        for rcode, histogram in upstream.durations.items():
            yield (upstream.name, _rcode(rcode)), sum(histogram.counts)


def _forward_requests(s: Readings) -> Iterator[Sample]:
    return (((upstream.name,), upstream.queries) for upstream in upstreams(s))


def _sizes(read: Callable[..., Histogram]) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (((part.server, _ZONE, _VIEW, part.protocol), read(part)) for part in traffic(s))


def _do(s: Readings) -> Iterator[Sample]:
    return (((part.server, _ZONE, _VIEW), part.do) for part in traffic(s))


def _usage(read: Callable[[Usage], float]) -> Callable[[Readings], Iterator[Sample]]:
    """Return the sum over all processes of this server."""
    return lambda s: (((), read(process.usage)) for process in s.processes if process.usage is not None)


def _started(s: Readings) -> Iterator[Sample]:
    known = [process.usage.started for process in s.processes[:1] if process.usage is not None]
    return (((), started) for started in known)


def _health(read: Callable[[Process], float | Histogram]) -> Callable[[Readings], Iterator[Sample]]:
    return lambda s: (((), read(process)) for process in s.processes)


_HTTP = ("code", "method", "host")
_SERVER = ("server", "zone", "view")
_CACHE = ("server", "zones", "view")
_CACHE_TYPE = ("server", "type", "zones", "view")
_VERSION = f"{sys.implementation.name}{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"

_NEW: tuple[Family, ...] = (
    Family("gauge", "coredns_build_info", "Always 1; the version that runs, with CoreDNS's labels.",
           ("version", "revision", "goversion"), lambda _: [((__version__, "dnsserver", _VERSION), 1)]),
    Family("gauge", "coredns_plugin_enabled", "Always 1; the CoreDNS plugins whose work this server does.",
           (*_SERVER, "name"), _plugins),
    Family("counter", "coredns_panics", "Queries whose answer failed because of a bug.",
           (), by_process(lambda process: process.panics)),
    # --- Questions and replies
    Family("counter", "coredns_dns_requests", "Queries answered, by type.",
           (*_SERVER, "proto", "family", "type"), _requests),
    Family("counter", "coredns_dns_do_requests", "Queries answered that asked for DNSSEC records.",
           _SERVER, _do),
    Family("counter", "coredns_dns_responses", "Replies, by response code.",
           (*_SERVER, "rcode", "plugin"), _responses),
    Family("histogram", "coredns_dns_request_duration_seconds",
           "Time from a query to its reply; replies known at once share the time of their batch of packets.",
           _SERVER, _durations),
    Family("histogram", "coredns_dns_request_size_bytes", "Size of the queries answered.",
           (*_SERVER, "proto"), _sizes(lambda part: part.requests)),
    Family("histogram", "coredns_dns_response_size_bytes", "Size of the replies.",
           (*_SERVER, "proto"), _sizes(lambda part: part.responses)),
    # --- The cache of outside names
    Family("gauge", "coredns_cache_entries", "Answers about outside names in the caches; a denial is a negative one.",
           _CACHE_TYPE, _cached(_cache_entries)),
    Family("counter", "coredns_cache_hits", "Questions for outside names that a cache answered.",
           _CACHE_TYPE, _cached(_cache_hits)),
    Family("counter", "coredns_cache_misses", "Questions for outside names that no cache could answer.",
           _CACHE, _cached(_cache_misses)),
    Family("counter", "coredns_cache_requests", "Questions for outside names.",
           _CACHE, _cached(_cache_requests)),
    Family("counter", "coredns_cache_prefetch", "Outside answers asked for again before they expired.",
           _CACHE, _cached(lambda s: (((), process.forward.cache.renewals) for process in s.processes))),
    Family("counter", "coredns_cache_served_stale", "Replies with an outside answer that had expired.",
           _CACHE, _cached(by_process(lambda process: process.stale))),
    Family("counter", "coredns_cache_evictions", "Outside answers evicted to make room.",
           _CACHE_TYPE, _cached(_cache_evictions)),
    # --- Upstreams
    Family("counter", "coredns_forward_requests", "Queries sent, by upstream.",
           ("to",), _forward_requests),
    Family("counter", "coredns_forward_responses", "Replies of upstreams, by response code.",
           ("to", "rcode"), _forward_responses),
    Family("histogram", "coredns_forward_request_duration_seconds", "Time an upstream took to answer.",
           ("to", "rcode"), _proxy_durations()),
    Family("counter", "coredns_forward_healthcheck_failures", "Probes that an upstream did not answer.",
           ("to",), _probe_failures()),
    Family("counter", "coredns_forward_healthcheck_broken", "Questions that found no upstream up.",
           (), by_process(lambda process: process.forward.all_down)),
    Family("counter", "coredns_forward_max_concurrent_rejects", "Questions given up because too many were under way.",
           (), by_process(lambda process: process.forward.dropped)),
    Family("histogram", "coredns_proxy_request_duration_seconds", "Time an upstream took to answer.",
           ("proxy_name", "to", "rcode"), _proxy_durations(_PROXY)),
    Family("counter", "coredns_proxy_healthcheck_failures", "Probes that an upstream did not answer.",
           ("proxy_name", "to"), _probe_failures(_PROXY)),
    # --- The cluster
    Family("histogram", "coredns_kubernetes_dns_programming_duration_seconds",
           "Time from a change of a Service or Pod until it is answered, the first list included.",
           ("service_kind",), lambda s: (((kind,), histogram) for kind, histogram in s.programming.items())),
    Family("counter", "coredns_kubernetes_rest_client_requests", "Requests to the API server.",
           _HTTP, lambda s: (((request.code, request.method, request.host), request.count) for request in s.requests)),
    Family("histogram", "coredns_kubernetes_rest_client_request_duration_seconds",
           "Time until the API server began to answer.",
           ("verb", "host"), lambda s: (((request.method, request.host), request.durations)
                                        for request in s.requests if request.durations is not None)),
    # --- This server
    Family("histogram", "coredns_health_request_duration_seconds",
           "How late the event loop ran a timer: a request for /health would have waited that long.",
           (), _health(lambda process: process.loop_lag.within(HEALTH))),
    Family("counter", "coredns_health_request_failures",
           "Timers that ran more than 3 s late, after which CoreDNS gives up its request for /health.",
           (), _health(lambda process: process.loop_lag.above(HEALTH_GIVEN_UP))),
    Family("counter", "coredns_reload_failed", "Changes of the configuration that were refused.",
           (), lambda s: [((), c.failed)] if (c := s.configuration) else []),
    Family("gauge", "coredns_reload_version_info", "Always 1; the configuration in force, by the hash of its files.",
           ("hash", "value"), lambda s: [((c.hash_type, c.hash), 1)] if (c := s.configuration) else []),
)  # fmt: skip


def _renamed(name: str, like: str, labels: tuple[str, ...]) -> Family:
    """Return a metric from before CoreDNS 1.7: a present metric under its old name, with some of its labels."""
    now = next(family for family in _NEW if family.name == like)
    places = [now.labels.index(label) for label in labels]

    def samples(s: Readings) -> Iterator[Sample]:
        return ((tuple(values[place] for place in places), value) for values, value in now.read(s))

    shown = f"{like}_total" if now.type == "counter" else like
    return Family(now.type, name, f"{shown} under its name before CoreDNS 1.7.", labels, samples)


_OLD: tuple[Family, ...] = (
    _renamed("coredns_dns_request_count", "coredns_dns_requests", ("server", "zone", "proto", "family")),
    _renamed("coredns_dns_request_type_count", "coredns_dns_requests", ("server", "zone", "type")),
    _renamed("coredns_dns_request_do_count", "coredns_dns_do_requests", ("server", "zone")),
    _renamed("coredns_dns_response_rcode_count", "coredns_dns_responses", ("server", "zone", "rcode")),
    _renamed("coredns_panic_count", "coredns_panics", ()),
    _renamed("coredns_cache_size", "coredns_cache_entries", ("server", "type")),
    _renamed("coredns_forward_request_count", "coredns_forward_requests", ("to",)),
    _renamed("coredns_forward_response_rcode_count", "coredns_forward_responses", ("to", "rcode")),
    _renamed("coredns_forward_healthcheck_failure_count", "coredns_forward_healthcheck_failures", ("to",)),
    _renamed("coredns_forward_healthcheck_broken_count", "coredns_forward_healthcheck_broken", ()),
    _renamed("coredns_forward_max_concurrent_reject_count", "coredns_forward_max_concurrent_rejects", ()),
    _renamed("coredns_reload_failed_count", "coredns_reload_failed", ()),
)

_PROCESS: tuple[Family, ...] = (
    Family("gauge", "process_virtual_memory_bytes", "Virtual memory of all processes.",
           (), _usage(lambda usage: usage.virtual_memory)),
    Family("gauge", "process_resident_memory_bytes", "Resident memory of all processes, shared pages counted for each.",
           (), _usage(lambda usage: usage.resident_memory)),
    Family("gauge", "process_start_time_seconds", "Unix time at which the first process started.",
           (), _started),
    Family("counter", "process_cpu_seconds", "Processor time of all processes, user and system.",
           (), _usage(lambda usage: usage.cpu)),
    Family("gauge", "process_open_fds", "Open file descriptors of all processes.",
           (), _usage(lambda usage: usage.open_files)),
    Family("gauge", "process_max_fds", "Limit of open file descriptors, of all processes together.",
           (), _usage(lambda usage: usage.max_files)),
)  # fmt: skip

COREDNS = (*_NEW, *_OLD, *_PROCESS)
