"""The Grafana dashboard of manifests/components/monitoring, made of a table: `python -m tests.monitoring` writes it.

And what the tests of that component share: its alerts, and the names of samples in an expression.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parents[1] / "manifests/components/monitoring"
DASHBOARD, RULES = FOLDER / "dnsserver.json", FOLDER / "rules.yaml"

_WIDTH, _HEIGHT, _ACROSS = 8, 8, 3  # of a panel, of 24 columns; panels side by side
_ONE = 'instance=~"$instance"'
_NAME = re.compile(r"\b((?:dnsserver|coredns|process)_[a-z0-9_]+)")


class Panel(NamedTuple):
    """A graph: what each expression shows, with `#` for the labels that choose the servers; a unit of Grafana's."""

    title: str
    unit: str
    shows: dict[str, str]
    kind: str = "timeseries"


def _quantile(share: float, of: str, *labels: str) -> str:
    return (
        f"histogram_quantile({share}, sum by ({', '.join(('le', *labels))}) (rate({of}_bucket{{#}}[$__rate_interval])))"
    )


def _rate(of: str, *by: str, having: str = "") -> str:
    chosen = f"{having}, #" if having else "#"
    return f"sum by ({', '.join(by)}) (rate({of}{{{chosen}}}[$__rate_interval]))"


def _top(of: str, *by: str, having: str = "") -> str:
    return f"topk(10, {_rate(of, *by, having=having)})"


def _sum(*of: str, by: str) -> str:
    return " + ".join(_rate(each, by) for each in of)


def _share(part: str, whole: str) -> str:
    return f"{_rate(part)} / {_rate(whole)}"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Does it answer?": (
        Panel("Ready", "none", {"dnsserver_ready{#}": "{{instance}}"}, "stat"),
        Panel("Answers by response code", "reqps", {_rate("coredns_dns_responses_total", "rcode"): "{{rcode}}"}),
        Panel(
            "Time of an answer",
            "s",
            {
                _quantile(share, "coredns_dns_request_duration_seconds"): f"p{share * 100:g}"
                for share in (0.5, 0.95, 0.99)
            },
        ),
    ),
    "Why do names fail, and whose?": (
        Panel(
            "Answers that are no success, by reason",
            "reqps",
            {_top("dnsserver_answers_total", "reason", having='rcode!="NOERROR"'): "{{reason}}"},
        ),
        Panel(
            "Failures by namespace of the name",
            "reqps",
            {_top("dnsserver_namespace_failures_total", "asked_namespace", "rcode"): "{{asked_namespace}} {{rcode}}"},
        ),
        Panel(
            "Questions by namespace of the name",
            "reqps",
            {_top("dnsserver_namespace_questions_total", "asked_namespace"): "{{asked_namespace}}"},
        ),
    ),
    "Is an upstream sick?": (
        Panel(
            "Upstreams that answer",
            "percentunit",
            {"min by (to, domain) (dnsserver_upstream_up{#})": "{{to}} {{domain}}"},
        ),
        Panel(
            "Time that upstreams take, p95",
            "s",
            {_quantile(0.95, "coredns_proxy_request_duration_seconds", "to"): "{{to}}"},
        ),
        Panel(
            "Questions that upstreams failed, and expired answers",
            "reqps",
            {
                _sum("dnsserver_upstream_failures_total", "dnsserver_upstream_timeouts_total", by="to"): "{{to}}",
                _rate("coredns_cache_served_stale_total"): "expired answers given",
            },
        ),
    ),
    "How old is the data?": (
        Panel(
            "Time since the last news of a kind",
            "s",
            {'max by (kind) (dnsserver_last_heard_age_seconds{kind!="pods", #})': "{{kind}}"},
        ),
        Panel(
            "From a change to its being answered, p99",
            "s",
            {_quantile(0.99, "dnsserver_programming_duration_seconds", "service_kind"): "{{service_kind}}"},
        ),
        Panel(
            "Events, lists again, answers marked as stale",
            "short",
            {
                _rate("dnsserver_events_total", "kind"): "{{kind}} a second",
                "sum by (kind) (increase(dnsserver_resyncs_total{#}[$__rate_interval]))": "{{kind}} read again",
                "max(dnsserver_zone_stale{#})": "stale",
            },
        ),
    ),
    "Is anything lost, or somebody too loud?": (
        Panel(
            "Questions lost or given up",
            "reqps",
            {
                _rate("dnsserver_udp_kernel_drops_total", "share"): "full buffer, {{share}}",
                _rate("dnsserver_udp_late_drops_total"): "waited for too long",
                _rate("dnsserver_limited_total", "limit"): "above {{limit}}",
                _rate("dnsserver_tcp_refused_total"): "connections",
            },
        ),
        Panel(
            "Heavy clients", "none", {"sum by (instance, proto) (dnsserver_heavy_clients{#})": "{{instance}} {{proto}}"}
        ),
        Panel(
            "Lag of the event loop, p99",
            "s",
            {_quantile(0.99, "dnsserver_loop_lag_seconds", "instance"): "{{instance}}"},
        ),
    ),
    "Do the caches help?": (
        Panel(
            "Answers from a cache",
            "percentunit",
            {
                _share("dnsserver_reply_cache_hits_total", "coredns_dns_requests_total"): "finished replies",
                _share("coredns_cache_hits_total", "coredns_cache_requests_total"): "of outside names",
            },
        ),
        Panel(
            "Replies held, and gone",
            "short",
            {
                "sum by (type) (dnsserver_reply_cache_entries{#})": "{{type}}",
                _rate("dnsserver_reply_cache_gone_total", "cause"): "gone a second, {{cause}}",
            },
        ),
        Panel("Outside answers held", "short", {"sum by (type) (coredns_cache_entries{#})": "{{type}}"}),
    ),
    "What does it take, and is there a bug?": (
        Panel(
            "Memory",
            "bytes",
            {
                "process_resident_memory_bytes{#} and dnsserver_ready": "{{instance}}",
                "max(dnsserver_memory_ceiling_bytes{#})": "the most",
            },
        ),
        Panel(
            "Processors",
            "none",
            {"rate(process_cpu_seconds_total{#}[$__rate_interval]) and dnsserver_ready": "{{instance}}"},
        ),
        Panel(
            "Faults, restarts, refused configurations",
            "none",
            {
                "sum by (place) (increase(dnsserver_faults_total{#}[$__rate_interval]))": "{{place}}",
                "sum(increase(dnsserver_worker_restarts_total{#}[$__rate_interval]))": "workers",
                "sum(increase(coredns_reload_failed_total{#}[$__rate_interval]))": "configurations refused",
            },
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana takes it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, some in ROWS.items():
        panels.append({"type": "row", "title": row, "collapsed": False, "panels": [], "gridPos": _place(0, y, 24, 1)})
        for number, panel in enumerate(some):
            at = _place(number % _ACROSS * _WIDTH, y + 1 + number // _ACROSS * _HEIGHT, _WIDTH, _HEIGHT)
            panels.append(_panel(panel, at))
        y += 1 + -(-len(some) // _ACROSS) * _HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    return {
        "uid": "dnsserver",
        "title": "dnsserver",
        "tags": ["dns"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_SOURCE, _INSTANCE]},
        "panels": panels,
    }


_DATASOURCE = {"type": "prometheus", "uid": "$datasource"}
_SOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
_INSTANCE = {
    "name": "instance",
    "label": "Server",
    "type": "query",
    "datasource": _DATASOURCE,
    "query": "label_values(dnsserver_ready, instance)",
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": "All", "value": "$__all"},
}


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, at: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": chosen(expression), "legendFormat": legend, "datasource": _DATASOURCE}
        for number, (expression, legend) in enumerate(panel.shows.items())
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _DATASOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def chosen(expression: str) -> str:
    """Return an expression with the labels that choose the servers."""
    return expression.replace("#", _ONE).replace("by () ", "")


def shown() -> dict[str, str]:
    """Return all expressions of the dashboard, by title and number."""
    return {
        f"{panel.title} {number}": chosen(expression)
        for panels in ROWS.values()
        for panel in panels
        for number, expression in enumerate(panel.shows, 1)
    }


def alerts() -> dict[str, dict[str, Any]]:
    """Return all alerts, by name."""
    spec = yaml.safe_load(RULES.read_text())["spec"]
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


def samples_of(expression: str) -> set[str]:
    """Return the names of the samples that an expression asks for."""
    return set(_NAME.findall(expression))


def text() -> str:
    """Return the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text())
