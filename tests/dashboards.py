"""What public dashboards and rules for CoreDNS ask of it: names of samples, labels and values that they look for.

Taken from what each of them asks Prometheus, as of their newest versions and of older ones that are still installed.
"""

from typing import NamedTuple


class Asked(NamedTuple):
    """A sample that is asked for by its name, the labels that it must have, and values that some sample must have."""

    name: str
    labels: str = ""
    values: tuple[tuple[str, str], ...] = ()


_SERVFAIL = (("rcode", "SERVFAIL"),)
_UDP, _TCP = (("proto", "udp"),), (("proto", "tcp"),)

SOURCES: dict[str, tuple[Asked, ...]] = {
    "coredns-mixin (povilasv), dashboard and alerts; kube-prometheus": (
        Asked("coredns_build_info", "version"),
        Asked("coredns_panics_total"),
        Asked("coredns_plugin_enabled", "name"),
        Asked("coredns_dns_responses_total", "rcode"),
        Asked("coredns_dns_responses_total", "", _SERVFAIL),
        Asked("coredns_dns_request_duration_seconds_bucket", "server zone le"),
        Asked("coredns_dns_requests_total", "type"),
        Asked("coredns_dns_requests_total", "zone"),
        Asked("coredns_dns_request_size_bytes_bucket", "server zone proto le"),
        Asked("coredns_dns_response_size_bytes_bucket", "server zone proto le"),
        Asked("coredns_cache_hits_total", "type"),
        Asked("coredns_cache_misses_total"),
        Asked("coredns_cache_entries", "type"),
        Asked("coredns_forward_requests_total", "to"),
        Asked("coredns_forward_responses_total", "rcode"),
        Asked("coredns_forward_responses_total", "to", _SERVFAIL),
        Asked("coredns_forward_request_duration_seconds_bucket", "to le"),
        Asked("coredns_forward_healthcheck_failures_total", "to"),
        Asked("coredns_forward_healthcheck_broken_total"),
        Asked("coredns_proxy_request_duration_seconds_bucket", "to le"),
        Asked("coredns_proxy_request_duration_seconds_count", "to", (*_SERVFAIL, ("proxy_name", "forward"))),
        Asked("coredns_proxy_healthcheck_failures_total", "to"),
        Asked("coredns_kubernetes_dns_programming_duration_seconds_bucket", "service_kind le"),
        Asked("process_resident_memory_bytes"),
        Asked("process_cpu_seconds_total"),
    ),
    "Grafana 5926, of before CoreDNS 1.7": (
        Asked("coredns_dns_request_count_total", "proto"),
        Asked("coredns_dns_request_count_total", "zone"),
        Asked("coredns_dns_request_type_count_total", "type"),
        Asked("coredns_dns_request_do_count_total"),
        Asked("coredns_dns_request_size_bytes_bucket", "le proto", _UDP),
        Asked("coredns_dns_request_size_bytes_bucket", "le proto", _TCP),
        Asked("coredns_dns_response_rcode_count_total", "rcode"),
        Asked("coredns_dns_request_duration_seconds_bucket", "le"),
        Asked("coredns_dns_response_size_bytes_bucket", "le proto", _UDP),
        Asked("coredns_dns_response_size_bytes_bucket", "le proto", _TCP),
        Asked("coredns_cache_size", "type"),
        Asked("coredns_cache_hits_total", "type"),
        Asked("coredns_cache_misses_total"),
    ),
    "Grafana 12539 and 14981, and that of the chart kube-prometheus-stack": (
        Asked("coredns_dns_requests_total", "proto"),
        Asked("coredns_dns_requests_total", "type"),
        Asked("coredns_dns_requests_total", "zone"),
        Asked("coredns_dns_do_requests_total"),
        Asked("coredns_dns_request_size_bytes_bucket", "le proto", _UDP),
        Asked("coredns_dns_request_size_bytes_bucket", "le proto", _TCP),
        Asked("coredns_dns_responses_total", "rcode"),
        Asked("coredns_dns_request_duration_seconds_bucket", "le"),
        Asked("coredns_dns_response_size_bytes_bucket", "le proto", _UDP),
        Asked("coredns_dns_response_size_bytes_bucket", "le proto", _TCP),
        Asked("coredns_cache_entries", "type"),
        Asked("coredns_cache_hits_total", "type"),
        Asked("coredns_cache_misses_total"),
    ),
    "Grafana 15762 (dotdc)": (
        Asked("process_cpu_seconds_total"),
        Asked("process_resident_memory_bytes"),
        Asked("coredns_dns_requests_total", "proto", _UDP),
        Asked("coredns_dns_requests_total", "proto", _TCP),
        Asked("coredns_dns_request_size_bytes_sum", "proto", _UDP),
        Asked("coredns_dns_requests_total", "type"),
        Asked("coredns_dns_responses_total", "rcode"),
        Asked("coredns_forward_requests_total"),
        Asked("coredns_forward_responses_total", "rcode", _SERVFAIL),
        Asked("coredns_cache_hits_total", "type"),
        Asked("coredns_cache_misses_total"),
        Asked("coredns_cache_entries", "type"),
    ),
    "awesome-prometheus-alerts (samber), today's and older rules": (
        Asked("coredns_panics_total"),
        Asked("coredns_panic_count_total"),
    ),
    "OpenShift, cluster-dns-operator": (
        Asked("coredns_panics_total"),
        Asked("coredns_health_request_duration_seconds_bucket", "le"),
        Asked("coredns_dns_responses_total", "", _SERVFAIL),
    ),
    "DataDog, integrations-core, of the plugins that kubeadm's Corefile has": tuple(
        map(
            Asked,
            (
                "coredns_cache_size",
                "coredns_cache_hits_total",
                "coredns_cache_misses_total",
                "coredns_cache_prefetch_total",
                "coredns_cache_served_stale_total",
                "coredns_cache_evictions_total",
                "coredns_cache_entries",
                "coredns_cache_requests_total",
                "coredns_forward_request_duration_seconds_bucket",
                "coredns_forward_request_count_total",
                "coredns_forward_response_rcode_count_total",
                "coredns_forward_healthcheck_failure_count_total",
                "coredns_forward_healthcheck_broken_count_total",
                "coredns_forward_max_concurrent_reject_count_total",
                "coredns_forward_requests_total",
                "coredns_forward_responses_total",
                "coredns_forward_healthcheck_failures_total",
                "coredns_forward_healthcheck_broken_total",
                "coredns_forward_max_concurrent_rejects_total",
                "coredns_proxy_request_duration_seconds_bucket",
                "coredns_proxy_healthcheck_failures_total",
                "coredns_health_request_duration_seconds_bucket",
                "coredns_health_request_failures_total",
                "coredns_kubernetes_dns_programming_duration_seconds_bucket",
                "coredns_kubernetes_rest_client_request_duration_seconds_bucket",
                "coredns_kubernetes_rest_client_requests_total",
                "coredns_build_info",
                "coredns_panic_count_total",
                "coredns_panics_total",
                "coredns_dns_request_count_total",
                "coredns_dns_requests_total",
                "coredns_dns_request_duration_seconds_bucket",
                "coredns_dns_request_size_bytes_bucket",
                "coredns_dns_request_do_count_total",
                "coredns_dns_do_requests_total",
                "coredns_dns_request_type_count_total",
                "coredns_dns_response_size_bytes_bucket",
                "coredns_dns_response_rcode_count_total",
                "coredns_dns_responses_total",
                "coredns_plugin_enabled",
                "coredns_reload_failed_count_total",
                "coredns_reload_failed_total",
                "coredns_reload_version_info",
                "process_cpu_seconds_total",
                "process_max_fds",
                "process_open_fds",
                "process_resident_memory_bytes",
                "process_start_time_seconds",
                "process_virtual_memory_bytes",
            ),
        )
    ),
}

# What they ask besides, and why it is not there.
ABSENT = {
    "go_goroutines": "no Go runtime",
    "coredns_kubernetes_rest_client_rate_limiter_duration_seconds_bucket": "requests to the API are not held back",
    "coredns_proxy_conn_cache_hits_total": "queries to an upstream share a socket; none is taken from a cache",
    "coredns_forward_conn_cache_hits_total": "the same",
    "coredns_cache_drops_total": "no answer is left out of the cache for its size",
}
