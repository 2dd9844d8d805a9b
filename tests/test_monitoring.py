"""The alerts and the dashboard of manifests/components/monitoring: they use existing metrics, and alerts fire."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from dnsserver.metrics.families import FAMILIES
from dnsserver.node.report import FAMILIES as GUARDIAN
from tests.deployment import OWNED, ROOT, composed, of_kind
from tests.monitoring import DASHBOARD, RULES, alerts, chosen, dashboard, samples_of, shown, text

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool, of Debian's package prometheus, is not here")
LABELS = {
    f"{family.name}{suffix}": {*family.labels, *({"le"} if suffix == "_bucket" else ())}
    for family in FAMILIES
    for suffix in {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[family.type]
}
LABELS |= {family.name: {family.label} if family.label else set() for family in GUARDIAN}
SCRAPED = {"instance", "job", "namespace", "pod"}  # labels that Prometheus gives
EXPRESSIONS = {name: str(rule["expr"]) for name, rule in alerts().items()} | shown()


@pytest.mark.parametrize("what", EXPRESSIONS)
def test_an_expression_asks_for_samples_and_labels_that_there_are(what: str) -> None:
    expression = EXPRESSIONS[what]
    asked = samples_of(expression)
    assert asked
    assert asked <= LABELS.keys()
    known = SCRAPED.union(*(LABELS[name] for name in asked))
    for labels in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= known
    assert set(re.findall(r"(\w+)(?:=~|!=|=)\"", expression)) <= known


def test_no_label_is_called_like_one_that_prometheus_gives() -> None:
    # It would become `exported_...`, so that an expression would find the server's namespace in place of the asked one.
    given = SCRAPED | {"container", "endpoint"}  # the last two by the operator, of a PodMonitor
    assert {name for name, labels in LABELS.items() if labels & given} == set()


def test_the_dashboard_is_the_one_of_the_table() -> None:
    assert DASHBOARD.read_text() == text()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)
    assert chosen("x{#}") == 'x{instance=~"$instance"}'


def test_what_upstreams_failed_is_shown_with_their_silence() -> None:
    (expression,) = [each for each in shown().values() if "dnsserver_upstream_failures_total" in each]
    assert samples_of(expression) == {"dnsserver_upstream_failures_total", "dnsserver_upstream_timeouts_total"}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_it_is_and_leads_to_what_to_do(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
    path, _, fragment = rule["annotations"]["runbook_url"].partition("#")
    assert fragment == name.lower()
    assert f"### {name}\n" in (ROOT / path).read_text()


def test_each_alert_that_is_told_of_is_there() -> None:
    told = re.findall(r"^### (Dnsserver\w+)$", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert told == list(alerts())


@pytest.mark.parametrize("overlay", OWNED)
def test_the_component_brings_both(overlay: str) -> None:
    whole = composed(overlay, "monitoring")
    (rules,) = of_kind(whole, "PrometheusRule")
    assert rules["spec"] == yaml.safe_load(RULES.read_text())["spec"]
    (board,) = [m for m in of_kind(whole, "ConfigMap") if m["metadata"]["name"] == "dnsserver-dashboard"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["dnsserver.json"]) == dashboard()


# --- what Prometheus makes of them


class Fires(NamedTuple):
    """Series that make an alert fire, as promtool writes them, and for how many minutes it takes."""

    series: dict[str, str]
    minutes: int = 20


_UP = "0+600x120"  # ten a second
_LAGS = {
    'dnsserver_loop_lag_seconds_bucket{le="0.25"}': _UP,
    'dnsserver_loop_lag_seconds_bucket{le="0.5"}': "0+660x120",
    'dnsserver_loop_lag_seconds_bucket{le="+Inf"}': "0+660x120",
}
_SLOW = {
    'coredns_dns_request_duration_seconds_bucket{le="1.024"}': _UP,
    'coredns_dns_request_duration_seconds_bucket{le="2.048"}': "0+660x120",
    'coredns_dns_request_duration_seconds_bucket{le="+Inf"}': "0+660x120",
    "dnsserver_ready": "1x120",
}
_FAILS = {
    'dnsserver_answers_total{rcode="NOERROR", reason="found"}': _UP,
    'dnsserver_answers_total{rcode="SERVFAIL", reason="upstream-timeout"}': "0+60x120",
}
_FOUND = {'dnsserver_answers_total{rcode="NOERROR", reason="found"}': "0+60000x120"}
_SHARE = 'dnsserver_answers_total{rcode="SERVFAIL", reason="forward-domain-share"}'
FIRES: dict[str, Fires] = {
    "DnsserverGone": Fires({"dnsserver_ready": "0x120"}),
    "DnsserverNotReady": Fires({"dnsserver_ready": "0x120"}),
    "DnsserverNoAnswers": Fires(
        {"dnsserver_udp_received_total": _UP, 'coredns_dns_requests_total{type="A", proto="udp"}': "5x120"}
    ),
    "DnsserverServfail": Fires(_FAILS),
    "DnsserverSlow": Fires(_SLOW),
    "DnsserverNamespaceFails": Fires(
        {
            'dnsserver_namespace_questions_total{asked_namespace="shop"}': _UP,
            'dnsserver_namespace_failures_total{asked_namespace="shop", rcode="SERVFAIL"}': "0+300x120",
        },
        40,
    ),
    "DnsserverUpstreamsDown": Fires({'dnsserver_upstream_up{to="a", domain="."}': "0x120"}),
    "DnsserverUpstreamDown": Fires(
        {'dnsserver_upstream_up{to="a", domain="."}': "0x120", 'dnsserver_upstream_up{to="b", domain="."}': "1x120"}
    ),
    "DnsserverUpstreamLoops": Fires({'dnsserver_upstream_looping{to="a", domain="."}': "0.5x120"}),
    "DnsserverForwardOverload": Fires(
        {'dnsserver_answers_total{rcode="SERVFAIL", reason="forward-overload"}': _UP, **_FOUND}
    ),
    "DnsserverShareUsedUp": Fires({_SHARE: _UP, **_FOUND}),
    "DnsserverDrops": Fires({'dnsserver_udp_kernel_drops_total{share="all"}': _UP}),
    "DnsserverLateDrops": Fires({"dnsserver_udp_late_drops_total": _UP}),
    "DnsserverHeavyClient": Fires({"dnsserver_heavy_clients": "2x120"}),
    "DnsserverClientsLimited": Fires({'dnsserver_limited_total{limit="rate"}': _UP}),
    "DnsserverTcpRefused": Fires({"dnsserver_tcp_refused_total": _UP}),
    "DnsserverLoopLag": Fires(_LAGS),
    "DnsserverDataOld": Fires({'dnsserver_last_heard_age_seconds{kind="services"}': "0+60x120"}),
    "DnsserverDataStale": Fires({"dnsserver_zone_stale": "1x120"}),
    "DnsserverSnapshotServing": Fires({"dnsserver_snapshot_serving": "1x120"}),
    "DnsserverSnapshotOld": Fires({"dnsserver_snapshot_save_failed": "1x120"}),
    "DnsserverRelists": Fires({'dnsserver_resyncs_total{kind="pods", reason="gone"}': "0+1x120"}, 60),
    "DnsserverBadObjects": Fires({'dnsserver_bad_objects_total{kind="services"}': "0x10 1x110"}, 15),
    "DnsserverConfigRefused": Fires({"dnsserver_config_current": "0x120"}),
    "DnsserverConfigNeedsRestart": Fires({"dnsserver_config_keys_needing_restart": "2x120"}, 90),
    "DnsserverWorkerRestarts": Fires({"dnsserver_worker_restarts_total": "0x10 1x110"}, 15),
    "DnsserverFaults": Fires({'dnsserver_faults_total{place="question"}': "_x10 1x110"}, 15),
    "DnsserverRepairs": Fires({'dnsserver_repairs_total{kind="services"}': "0x10 1x110"}, 15),
    "DnsserverLogLinesLost": Fires({"dnsserver_log_lines_lost_total": "0x10 1x110"}, 15),
    "DnsserverMemoryNearCeiling": Fires(
        {"process_resident_memory_bytes": "190x120", "dnsserver_memory_ceiling_bytes": "200x120"}, 30
    ),
    "DnsserverNodeNotInPlace": Fires({"dnsserver_node_in_place": "0x120"}),
    "DnsserverNodeNotAnswering": Fires({"dnsserver_node_server_answers": "0x120"}),
    "DnsserverNodeWithdrawals": Fires({"dnsserver_node_withdrawals_total": "0+1x120"}, 30),
    "DnsserverNodeRepairs": Fires({"dnsserver_node_repairs_total": "0+1x120"}, 30),
    "DnsserverNodeSetupErrors": Fires({'coredns_nodecache_setup_errors_total{errortype="nftables"}': "0+120x120"}),
}
_ALSO = {"DnsserverNotReady": {"DnsserverGone"}, "DnsserverUpstreamsDown": {"DnsserverUpstreamDown"}}


# Other ways to make an alert fire.
ALSO_FIRES = [
    ("DnsserverBadObjects", Fires({"dnsserver_object_files_broken": "1x120"})),
    ("DnsserverBadObjects", Fires({'dnsserver_bad_objects_total{kind="services"}': "_x10 1x110"}, 15)),  # first list
]

# A server that is well, and asked a lot; some names do not exist, and one upstream is down for a moment.
WELL = {
    "dnsserver_ready": "1x120",
    "dnsserver_udp_received_total": _UP,
    'coredns_dns_requests_total{type="A", proto="udp"}': _UP,
    'dnsserver_answers_total{rcode="NOERROR", reason="found"}': _UP,
    'dnsserver_answers_total{rcode="NXDOMAIN", reason="service-missing"}': _UP,
    'dnsserver_answers_total{rcode="SERVFAIL", reason="upstream-timeout"}': "0+6x120",
    'dnsserver_namespace_questions_total{asked_namespace="shop"}': _UP,
    'dnsserver_namespace_failures_total{asked_namespace="shop", rcode="NXDOMAIN"}': _UP,
    'coredns_dns_request_duration_seconds_bucket{le="0.256"}': _UP,
    'coredns_dns_request_duration_seconds_bucket{le="+Inf"}': "0+601x120",
    'dnsserver_upstream_up{to="a", domain="."}': "1x20 0x1 1x99",
    'dnsserver_upstream_up{to="b", domain="."}': "1x120",
    'dnsserver_upstream_looping{to="a", domain="."}': "0x120",
    'dnsserver_udp_kernel_drops_total{share="all"}': "3x120",
    'dnsserver_udp_kernel_drops_total{share="heavy"}': _UP,
    "dnsserver_udp_late_drops_total": "0x120",
    "dnsserver_heavy_clients": "0x30 1x5 0x85",
    "dnsserver_tcp_refused_total": "7x120",
    'dnsserver_loop_lag_seconds_bucket{le="0.25"}': _UP,
    'dnsserver_loop_lag_seconds_bucket{le="+Inf"}': "0+601x120",
    'dnsserver_last_heard_age_seconds{kind="services"}': "60x120",
    "dnsserver_zone_stale": "0x120",
    "dnsserver_object_files_broken": "0x120",
    'dnsserver_bad_objects_total{kind="services"}': "0x120",
    "dnsserver_snapshot_serving": "1x5 0x115",
    "dnsserver_snapshot_age_seconds": "0+60x60 0+600x60",  # with an interval of hours
    "dnsserver_snapshot_save_failed": "0x20 1x5 0x95",
    'dnsserver_resyncs_total{kind="services", reason="gone"}': "0x20 1x100",
    "dnsserver_config_current": "1x120",
    "dnsserver_config_keys_needing_restart": "0x120",
    "dnsserver_worker_restarts_total": "0x120",
    "dnsserver_log_lines_lost_total": "0x120",
    "process_resident_memory_bytes": "100x120",
    "dnsserver_memory_ceiling_bytes": "200x120",
    "dnsserver_node_in_place": "1x20 0x1 1x99",
    "dnsserver_node_server_answers": "1x20 0x1 1x99",
    "dnsserver_node_withdrawals_total": "0x20 1x40 2x60",
    "dnsserver_node_repairs_total": "0x20 1x40 2x60",
    'coredns_nodecache_setup_errors_total{errortype="interface_add"}': "3x120",
}


def named(series: dict[str, str]) -> list[dict[str, str]]:
    """Give all of them the labels of one server."""
    server = 'instance="10.0.0.1:9153", job="dns", namespace="kube-system", pod="dnsserver-0"'
    found = []
    for name, values in series.items():
        metric, _, labels = name.removesuffix("}").partition("{")
        found.append(
            {"series": f"{metric}{{{', '.join(part for part in (labels, server) if part)}}}", "values": values}
        )
    return found


def promtool(folder: Path, tests: list[dict[str, object]]) -> str:
    """Return what promtool has to say of the rules, empty for nothing."""
    assert PROMTOOL is not None  # those without it are skipped
    (folder / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    (folder / "tests.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    arguments = ("test", "rules", "tests.yaml") if tests else ("check", "rules", "rules.yaml")
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def firing(series: dict[str, str], names: Iterable[str], *minutes: int) -> dict[str, object]:
    """One of promtool's tests: at these times these alerts, and no others, fire."""
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)]
    times = [{"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples} for minute in minutes]
    return {"interval": "1m", "input_series": named(series), "promql_expr_test": times}


def test_every_alert_is_made_to_fire() -> None:
    assert FIRES.keys() == alerts().keys()


@needs_promtool
def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    assert not promtool(tmp_path, [])


@needs_promtool
@pytest.mark.parametrize(("name", "fires"), [*FIRES.items(), *ALSO_FIRES])
def test_an_alert_fires_alone(name: str, fires: Fires, tmp_path: Path) -> None:
    well = {} if name == "DnsserverGone" else {"dnsserver_ready": "1x120"}
    expected = {name} | _ALSO.get(name, set()) | ({"DnsserverNotReady"} if name == "DnsserverGone" else set())
    series = well | fires.series
    assert not promtool(tmp_path, [firing(series, expected, fires.minutes)])


@needs_promtool
def test_an_object_that_was_bad_from_the_first_on_is_told_of_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    series = {"dnsserver_ready": "1x120", 'dnsserver_bad_objects_total{kind="services"}': "1x120"}
    told, over = firing(series, {"DnsserverBadObjects"}, 1, 14), firing(series, (), 16, 60)
    assert not promtool(tmp_path, [told, over])


@needs_promtool
def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    assert not promtool(tmp_path, [firing(WELL, (), *range(2, 118))])


@needs_promtool
def test_the_expressions_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    found = [expression.replace("$__rate_interval", "5m") for expression in shown().values()]
    rules = [{"record": f"shown:{number}", "expr": expression} for number, expression in enumerate(found)]
    (tmp_path / "shown.yaml").write_text(json.dumps({"groups": [{"name": "shown", "rules": rules}]}))
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(tmp_path / "shown.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
