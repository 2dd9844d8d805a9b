"""docs/metrics.md, made from the list of metrics: `python -m tests.metrics_page` writes it.

Each metric is under the first question whose names it begins with.
"""

from collections.abc import Sequence
from pathlib import Path

from dnsserver.metrics.families import FAMILIES
from dnsserver.metrics.family import Family
from dnsserver.node import report
from tests.dashboards import SOURCES

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"

_EXPRESSIONS = sum(map(len, SOURCES.values()))
_SAMPLES = len({asked.name for found in SOURCES.values() for asked in found})

_HEAD = f"""\
# Metrics

`/metrics` on the admin address has these metrics, in the text format of Prometheus, or as OpenMetrics if `Accept` asks
for that; with gzip if `Accept-Encoding` allows it. Names that begin with `coredns_` are those of CoreDNS, with its
labels and buckets, so that its dashboards and alerts go on working. `tests/dashboards.py` lists what the usual
dashboards use, and a test asks a running server for it. The numbers of all processes of a server are added up.

The dashboards have {_EXPRESSIONS} expressions with {_SAMPLES} samples. All of them get data, and all {_SAMPLES} are
compared by value: counts with what was sent, durations with the time around them (`tests/test_dashboards.py`). CoreDNS
1.14.7 with kubeadm's Corefile gave data for 106 of 153 on 2026-11-26: of two names it has only the newer one, and it
has no data for what has not happened yet, such as a failed probe or a change since its start.

Alerts and a dashboard on these metrics: `manifests/components/monitoring`.

This page is made from the code: `python -m tests.metrics_page`.
"""

QUESTIONS: dict[str, tuple[str, ...]] = {
    "Is it ready, and how fresh is what it knows?": (
        *(
            "dnsserver_ready",
            "dnsserver_node_",
            "dnsserver_synced",
            "dnsserver_sync_state",
            "dnsserver_last_",
            "dnsserver_objects",
        ),
        *("dnsserver_zone_", "dnsserver_snapshot_"),
    ),
    "What is asked, and what is answered?": (
        *("coredns_dns_requests", "coredns_dns_do_requests", "coredns_dns_responses", "coredns_dns_request_size"),
        *("coredns_dns_response_size", "dnsserver_answers", "dnsserver_namespace_", "dnsserver_records_left_out"),
    ),
    "How long do answers take?": ("coredns_dns_request_duration", "coredns_health_", "dnsserver_loop_lag"),
    "Is anything lost or turned away?": (
        *("dnsserver_limited", "dnsserver_udp_", "dnsserver_tcp_", "dnsserver_heavy_clients"),
    ),
    "Is an upstream sick?": (
        *("coredns_forward_requests", "coredns_forward_responses", "coredns_forward_request_duration"),
        *("coredns_forward_healthcheck_failures", "coredns_forward_healthcheck_broken"),
        *("coredns_forward_max_concurrent_rejects", "coredns_proxy_", "dnsserver_forward_", "dnsserver_upstream_"),
    ),
    "Do the caches help?": (
        *("coredns_cache_entries", "coredns_cache_hits", "coredns_cache_misses", "coredns_cache_requests"),
        *("coredns_cache_prefetch", "coredns_cache_served_stale", "coredns_cache_evictions"),
        *("dnsserver_reply_cache_", "dnsserver_answer_cache_"),
    ),
    "How soon does a change of the cluster show?": (
        *("coredns_kubernetes_dns_programming_", "dnsserver_programming_"),
    ),
    "What passes between it and the API server?": (
        *("coredns_kubernetes_rest_client_", "dnsserver_events", "dnsserver_received_bytes", "dnsserver_lists"),
        *("dnsserver_resyncs", "dnsserver_reconnects", "dnsserver_checks", "dnsserver_bad_", "dnsserver_object_files"),
    ),
    "Which configuration is in force?": (
        *("coredns_reload_failed", "coredns_reload_version", "dnsserver_reload_", "dnsserver_config_"),
    ),
    "Is there a bug, or a log that nobody reads?": (
        *("coredns_panics", "dnsserver_faults", "dnsserver_repairs", "dnsserver_worker_restarts", "dnsserver_log_"),
        *("dnsserver_query_log_", "dnsserver_replies_not_looked_at", "dnsserver_tail_"),
    ),
    "What runs, and what does it take?": (
        *("coredns_build_info", "coredns_plugin_enabled", "dnsserver_workers", "dnsserver_memory_", "process_"),
    ),
}
OLD = "What do dashboards of before CoreDNS 1.7 find?"


GUARDIAN = """\
## What does the guardian of a node say?

These are on port 9353 of a node where `manifests/node-local` runs ([node.md](node.md)), from a program of its own.

| metric | type | labels | |
|---|---|---|---|
"""


def question_of(family: Family) -> str:
    """Return the question that a metric answers."""
    if family.text.endswith("under its name before CoreDNS 1.7."):
        return OLD
    (found,) = (question for question, names in QUESTIONS.items() if family.name.startswith(names))
    return found


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for question in (*QUESTIONS, OLD):
        rows = [_row(family) for family in FAMILIES if question_of(family) == question]
        parts.append("\n".join((f"## {question}", "", "| metric | type | labels | |", "|---|---|---|---|", *rows, "")))
    rows = [_line(each.name, each.type, [each.label] if each.label else [], each.text) for each in report.FAMILIES]
    return "\n".join((*parts, GUARDIAN + "\n".join(rows) + "\n"))


def _row(family: Family) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return _line(name, family.type, family.labels, family.text)


def _line(name: str, kind: str, labels: Sequence[str], text: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"


if __name__ == "__main__":
    PAGE.write_text(page())
