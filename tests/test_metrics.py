"""Metrics: Prometheus's own parser reads them, with CoreDNS's names and labels, and sums over workers.

Over 400 lines: half of it are CoreDNS's metrics with their labels, and what each of ours counts.
"""

import gzip
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dnsserver.metrics import (
    LAG,
    PROGRAMMING,
    REST,
    SIZES,
    TIME,
    AnswerCache,
    Audience,
    Configuration,
    Forward,
    Histogram,
    Kind,
    Log,
    Namespace,
    ObjectFiles,
    Process,
    Readings,
    Replies,
    Request,
    TcpListener,
    Traffic,
    UdpListener,
    Upstream,
    Usage,
    Zone,
    ZoneSnapshot,
    server_label,
)
from dnsserver.metrics.coredns import plugin
from dnsserver.metrics.exposition import expose
from dnsserver.metrics.families import FAMILIES
from dnsserver.metrics.histogram import HEALTH, HEALTH_GIVEN_UP


def histogram(*values: float, bounds: tuple[float, ...] = TIME) -> Histogram:
    made = Histogram(bounds)
    for value in values:
        made.observe(value)
    return made


USAGE = Usage(
    virtual_memory=1 << 30, resident_memory=1 << 25, started=1_700_000_000.5, cpu=12.25, open_files=30, max_files=1024
)
PROCESS = Process(
    traffic=(
        Traffic(
            server="dns://:53",
            protocol="udp",
            family="1",
            replies={
                (1, 0, "found"): 10, (1, 3, "service-missing"): 5, (28, 0, "forwarded"): 1, (28, 0, "stale"): 2,
                (99, 4, "class-x"): 1,
            },
            from_cache={
                (1, 0, "found"): 8, (28, 0, "forwarded"): 2, (28, 0, "forwarded-no-data"): 1, (1, 3, "stale"): 4,
            },
            durations=histogram(0.0001, 0.003),
            requests=histogram(30, 60, 512, bounds=SIZES),
            responses=histogram(100, 101, bounds=SIZES),
            do=3,
        ),
        Traffic(server="dns://:53", protocol="tcp", family="2", replies={(1, 0, "found"): 2, (1, 2, "upstream-x"): 1}),
    ),
    udp=(
        UdpListener(
            server="dns://:53",
            family="1",
            received=20,
            unsent=1,
            kernel_drops=4,
            lane_drops=5,
            late_drops=6,
            heavy=1,
        ),
    ),
    tcp=(TcpListener(server="dns://:53", family="2", connections=3, refused=2),),
    replies=Replies(replies=100, missing=50, size=70_000, hits=1000, dropped=7, evicted=8, expired=9),
    forward=Forward(
        upstreams=(
            Upstream(
                name="9.9.9.9:53", queries=11, probes=5, replies=9, failures=2, timeouts=7, probe_failures=3,
                rtt=0.02, bad={"id": 1},
                durations={0: histogram(0.02), 2: histogram(0.1)},
            ),
        ),
        cache=AnswerCache(
            entries=30, denials=10, failed=2, size=4000, hits=200, denial_hits=60, misses=40, failures=3,
            renewals=4, evicted=9, denials_evicted=5,
        ),
        in_flight=6, coalesced=5, hedges=4, retries=3, over_tcp=2, dropped=1, loops=1, all_down=2,
    ),
    loop_lag=histogram(0.002, bounds=LAG),
    limited={"rate": 12},
    panics=1,
    faults={"event": 2},
    log=Log(lost=6, suppressed=7),
    audience=Audience(lines=21, over_rate=22, missed=23, followers=1, not_followed=24),
    left_out=3,
    usage=USAGE,
)  # fmt: skip
READINGS = Readings(
    configuration=Configuration(
        hash_type="sha512",
        hash="ab12",
        applied=1.0,
        applied_wall=1_700_000_000.0,
        durations=histogram(0.0002, 0.004, bounds=LAG),
        failed=3,
        problems=("c.toml:1: ttl: found -1",),
        needs_restart=("state", "workers"),
    ),
    now=100.0,
    ready=True,
    node=("this node does not have 10.96.0.10",),
    processes=(PROCESS, PROCESS),
    namespaces={"shop": Namespace(questions=9, failures={2: 1, 3: 4}), "(missing)": Namespace(questions=5)},
    kinds=(
        Kind(
            kind="services", objects=10_000, synced=True, state="watching", puts=3, removes=2, bookmarks=1,
            resyncs={"gone": 1}, reconnects={"silence": 2}, last_event=97.5, last_heard=99.0,
        ),
        Kind(kind="pods"),
    ),
    zone=Zone(serial=1_700_000_000, retained=1, changes=5),
    memory_ceiling=200_000_000,
    object_files=ObjectFiles(files=2, broken=1, wrong=("a.yaml: line 1: not YAML",)),
    zone_snapshot=ZoneSnapshot(as_of=90.0, saves=2, size=123),
    requests=(Request(method="GET", code="200", host="10.96.0.1:443", count=9, durations=histogram(0.3, bounds=REST)),),
    programming={"cluster_ip": histogram(0.5, bounds=PROGRAMMING)},
    programming_live={"cluster_ip": histogram(0.25, bounds=PROGRAMMING)},
)  # fmt: skip


def scraped(readings: Readings) -> dict[str, Metric]:
    text = expose(readings).body.decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """Return the one sample of this name that has these labels."""
    (found,) = (
        each.value
        for family in families.values()
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    )
    return found


@pytest.mark.parametrize(
    ("sample", "labels", "expected"),
    [
        ("coredns_dns_requests_total", {"type": "A", "proto": "udp", "family": "1"}, 30),
        ("coredns_dns_requests_total", {"type": "AAAA"}, 6),
        ("coredns_dns_requests_total", {"type": "other"}, 2),
        ("coredns_dns_requests_total", {"proto": "tcp", "family": "2", "server": "dns://:53", "zone": "."}, 6),
        ("coredns_dns_responses_total", {"rcode": "NOERROR", "plugin": "kubernetes"}, 24),
        ("coredns_dns_responses_total", {"rcode": "NOERROR", "plugin": "forward"}, 6),
        ("coredns_dns_responses_total", {"rcode": "NXDOMAIN"}, 10),
        ("coredns_dns_responses_total", {"rcode": "SERVFAIL", "plugin": "forward"}, 2),
        ("coredns_dns_responses_total", {"rcode": "NOTIMP", "plugin": ""}, 2),
        ("coredns_dns_request_duration_seconds_count", {}, 4),
        ("coredns_dns_request_duration_seconds_sum", {}, 0.0062),
        ("coredns_dns_request_duration_seconds_bucket", {"le": "0.00025"}, 2),
        ("coredns_dns_request_duration_seconds_bucket", {"le": "8.192"}, 4),
        ("coredns_dns_do_requests_total", {}, 6),
        ("coredns_dns_request_size_bytes_count", {"proto": "udp"}, 6),
        ("coredns_dns_request_size_bytes_sum", {"proto": "udp"}, 1204),
        ("coredns_dns_request_size_bytes_bucket", {"proto": "udp", "le": "100"}, 4),
        ("coredns_dns_request_size_bytes_bucket", {"proto": "udp", "le": "511"}, 4),
        ("coredns_dns_request_size_bytes_bucket", {"proto": "tcp", "le": "+Inf"}, 0),
        ("coredns_dns_response_size_bytes_bucket", {"proto": "udp", "le": "100"}, 2),
        ("coredns_dns_response_size_bytes_bucket", {"proto": "udp", "le": "64000"}, 4),
        ("coredns_cache_entries", {"type": "success"}, 40),
        ("coredns_cache_entries", {"type": "denial"}, 24),
        ("coredns_cache_hits_total", {"type": "success"}, 284),
        ("coredns_cache_hits_total", {"type": "denial"}, 136),
        ("coredns_cache_misses_total", {}, 74),
        ("coredns_cache_requests_total", {}, 494),
        ("coredns_cache_evictions_total", {"type": "success"}, 8),
        ("coredns_cache_evictions_total", {"type": "denial"}, 10),
        ("coredns_cache_prefetch_total", {}, 8),
        ("coredns_cache_served_stale_total", {}, 4),
        ("coredns_forward_requests_total", {"to": "9.9.9.9:53"}, 22),
        ("coredns_forward_max_concurrent_rejects_total", {}, 2),
        ("coredns_forward_responses_total", {"to": "9.9.9.9:53", "rcode": "SERVFAIL"}, 2),
        ("coredns_forward_request_duration_seconds_sum", {"to": "9.9.9.9:53", "rcode": "SERVFAIL"}, 0.2),
        ("coredns_forward_healthcheck_broken_total", {}, 4),
        ("coredns_forward_healthcheck_failures_total", {"to": "9.9.9.9:53"}, 6),
        ("coredns_proxy_healthcheck_failures_total", {"proxy_name": "forward", "to": "9.9.9.9:53"}, 6),
        ("coredns_proxy_request_duration_seconds_count", {"proxy_name": "forward", "rcode": "SERVFAIL"}, 2),
        ("coredns_health_request_duration_seconds_bucket", {"le": "0.0025"}, 2),
        ("coredns_health_request_failures_total", {}, 0),
        ("coredns_dns_request_count_total", {"proto": "udp", "family": "1"}, 38),
        ("coredns_dns_request_type_count_total", {"type": "AAAA"}, 6),
        ("coredns_dns_request_do_count_total", {}, 6),
        ("coredns_dns_response_rcode_count_total", {"rcode": "NXDOMAIN"}, 10),
        ("coredns_panic_count_total", {}, 2),
        ("coredns_cache_size", {"type": "denial"}, 24),
        ("coredns_forward_request_count_total", {"to": "9.9.9.9:53"}, 22),
        ("coredns_reload_failed_count_total", {}, 3),
        ("coredns_kubernetes_dns_programming_duration_seconds_sum", {"service_kind": "cluster_ip"}, 0.5),
        ("coredns_kubernetes_rest_client_requests_total", {"code": "200", "method": "GET"}, 9),
        ("coredns_kubernetes_rest_client_request_duration_seconds_count", {"verb": "GET"}, 1),
        ("coredns_panics_total", {}, 2),
        ("dnsserver_log_lines_lost_total", {}, 12),
        ("dnsserver_log_lines_suppressed_total", {}, 14),
        ("dnsserver_query_log_lines_total", {}, 42),
        ("dnsserver_query_log_left_out_total", {}, 44),
        ("dnsserver_replies_not_looked_at_total", {}, 46),
        ("dnsserver_tail_followers", {}, 2),
        ("dnsserver_tail_left_out_total", {}, 48),
        ("dnsserver_answers_total", {"reason": "service-missing", "rcode": "NXDOMAIN"}, 10),
        ("dnsserver_memory_ceiling_bytes", {}, 200_000_000),
        ("dnsserver_namespace_questions_total", {"asked_namespace": "shop"}, 9),
        ("dnsserver_namespace_questions_total", {"asked_namespace": "(missing)"}, 5),
        ("dnsserver_namespace_failures_total", {"asked_namespace": "shop", "rcode": "NXDOMAIN"}, 4),
        ("dnsserver_udp_kernel_drops_total", {"family": "1", "share": "all"}, 8),
        ("dnsserver_udp_kernel_drops_total", {"family": "1", "share": "heavy"}, 10),
        ("dnsserver_udp_late_drops_total", {"family": "1"}, 12),
        ("dnsserver_heavy_clients", {"family": "1", "proto": "udp"}, 2),
        ("dnsserver_tcp_connections", {}, 6),
        ("dnsserver_faults_total", {"place": "event"}, 4),
        ("dnsserver_records_left_out_total", {}, 6),
        ("dnsserver_limited_total", {"limit": "rate"}, 24),
        ("dnsserver_reply_cache_bytes", {}, 140_000),
        ("dnsserver_reply_cache_gone_total", {"cause": "change"}, 14),
        ("dnsserver_upstream_up", {"to": "9.9.9.9:53", "domain": "."}, 1),
        ("dnsserver_upstream_rtt_seconds", {}, 0.02),
        ("dnsserver_upstream_replies_total", {"to": "9.9.9.9:53", "domain": "."}, 18),
        ("dnsserver_upstream_failures_total", {"to": "9.9.9.9:53", "domain": "."}, 4),
        ("dnsserver_upstream_timeouts_total", {"to": "9.9.9.9:53", "domain": "."}, 8),  # without those of probes
        ("dnsserver_upstream_bad_replies_total", {"problem": "id"}, 2),
        ("dnsserver_loop_lag_seconds_count", {}, 2),
        ("dnsserver_objects", {"kind": "services"}, 10_000),
        ("dnsserver_last_event_age_seconds", {"kind": "services"}, 2.5),
        ("dnsserver_resyncs_total", {"kind": "services", "reason": "gone"}, 1),
        ("dnsserver_events_total", {"kind": "services", "event": "put"}, 3),
        ("dnsserver_sync_state", {"kind": "services", "state": "watching"}, 1),
        ("dnsserver_snapshot_age_seconds", {}, 10),
        ("dnsserver_workers", {}, 2),
        ("dnsserver_node_in_place", {}, 0),
        ("process_resident_memory_bytes", {}, 1 << 26),
        ("process_cpu_seconds_total", {}, 24.5),
        ("process_start_time_seconds", {}, 1_700_000_000.5),
        ("process_open_fds", {}, 60),
        ("process_max_fds", {}, 2048),
        ("coredns_reload_failed_total", {}, 3),
        ("coredns_reload_version_info", {"hash": "sha512", "value": "ab12"}, 1),
        ("dnsserver_config_timestamp_seconds", {}, 1_700_000_000),
        ("dnsserver_reload_seconds_count", {}, 2),
        ("dnsserver_reload_seconds_sum", {}, 0.0042),
        ("dnsserver_config_current", {}, 0),
        ("dnsserver_config_keys_needing_restart", {}, 2),
    ],
)
def test_a_scrape_has(sample: str, labels: dict[str, str], expected: float) -> None:
    assert value(scraped(READINGS), sample, **labels) == pytest.approx(expected)


# Labels as CoreDNS 1.14 registers them.
COREDNS = {
    "coredns_build_info": {"version", "revision", "goversion"},
    "coredns_plugin_enabled": {"server", "zone", "view", "name"},
    "coredns_panics": set(),
    "coredns_reload_failed": set(),
    "coredns_reload_version_info": {"hash", "value"},
    "coredns_dns_requests": {"server", "zone", "view", "proto", "family", "type"},
    "coredns_dns_do_requests": {"server", "zone", "view"},
    "coredns_dns_request_size_bytes": {"server", "zone", "view", "proto"},
    "coredns_dns_response_size_bytes": {"server", "zone", "view", "proto"},
    "coredns_dns_responses": {"server", "zone", "view", "rcode", "plugin"},
    "coredns_dns_request_duration_seconds": {"server", "zone", "view"},
    "coredns_cache_entries": {"server", "type", "zones", "view"},
    "coredns_cache_hits": {"server", "type", "zones", "view"},
    "coredns_cache_misses": {"server", "zones", "view"},
    "coredns_cache_requests": {"server", "zones", "view"},
    "coredns_cache_prefetch": {"server", "zones", "view"},
    "coredns_cache_served_stale": {"server", "zones", "view"},
    "coredns_cache_evictions": {"server", "type", "zones", "view"},
    "coredns_forward_requests": {"to"},
    "coredns_forward_max_concurrent_rejects": set(),
    "coredns_forward_healthcheck_broken": set(),
    "coredns_proxy_request_duration_seconds": {"proxy_name", "to", "rcode"},
    "coredns_proxy_healthcheck_failures": {"proxy_name", "to"},
    "coredns_kubernetes_dns_programming_duration_seconds": {"service_kind"},
    "coredns_kubernetes_rest_client_requests": {"code", "method", "host"},
    "coredns_kubernetes_rest_client_request_duration_seconds": {"verb", "host"},
    "coredns_health_request_duration_seconds": set(),
    "coredns_health_request_failures": set(),
    # 1.7 to 1.10
    "coredns_forward_responses": {"to", "rcode"},
    "coredns_forward_request_duration_seconds": {"to", "rcode"},
    "coredns_forward_healthcheck_failures": {"to"},
    # before 1.7
    "coredns_dns_request_count": {"server", "zone", "proto", "family"},
    "coredns_dns_request_type_count": {"server", "zone", "type"},
    "coredns_dns_request_do_count": {"server", "zone"},
    "coredns_dns_response_rcode_count": {"server", "zone", "rcode"},
    "coredns_panic_count": set(),
    "coredns_cache_size": {"server", "type"},
    "coredns_forward_request_count": {"to"},
    "coredns_forward_response_rcode_count": {"to", "rcode"},
    "coredns_forward_healthcheck_failure_count": {"to"},
    "coredns_forward_healthcheck_broken_count": set(),
    "coredns_forward_max_concurrent_reject_count": set(),
    "coredns_reload_failed_count": set(),
}


def test_names_and_labels_of_coredns_are_its_own() -> None:
    found = {family.name: set(family.labels) for family in FAMILIES if family.name.startswith("coredns_")}
    assert found == COREDNS


def test_every_family_is_valid_and_unique() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(r"(coredns|dnsserver|process)_[a-z0-9]+(_[a-z0-9]+)*", family.name)
        assert not family.name.endswith("_total")
        assert family.text.endswith(".")
        for labels, sample in family.read(READINGS):
            assert len(labels) == len(family.labels), family.name
            assert isinstance(sample, Histogram) == (family.type == "histogram"), family.name


def test_upstreams_are_as_the_processes_that_answer_have_them() -> None:
    def process(*upstreams: Upstream, alive: bool = True) -> Process:
        return Process(alive=alive, forward=Forward(upstreams=upstreams))

    first = process(Upstream("a", replies=1, bad={"id": 1}, rtt=0.02, p95=0.04), Upstream("b", up=False))
    second = process(Upstream("a", replies=2, up=False, mixed_case=False))  # it has not asked anything yet
    ended = process(
        Upstream("a", replies=4, up=False), Upstream("gone", replies=8, up=False, bad={"id": 8}), alive=False
    )
    families = scraped(Readings(processes=(first, second, ended)))
    assert value(families, "dnsserver_upstream_up", to="a") == 0.5
    assert value(families, "dnsserver_upstream_up", to="b") == 0
    assert value(families, "dnsserver_upstream_mixed_case", to="a") == 0.5
    assert value(families, "dnsserver_upstream_rtt_seconds", to="a") == pytest.approx(0.02)
    assert value(families, "dnsserver_upstream_p95_seconds", to="a") == pytest.approx(0.04)
    assert value(families, "dnsserver_upstream_rtt_seconds", to="b") == 0
    assert value(families, "dnsserver_upstream_replies_total", to="a") == 1 + 2 + 4
    named = [sample.labels.get("to") for family in families.values() for sample in family.samples]
    assert "gone" not in named  # neither its state, nor the part of its counts that is left


def test_every_family_shows_up() -> None:
    families = scraped(READINGS)
    assert {family.name for family in FAMILIES} - families.keys() == {"dnsserver_last_check_age_seconds"}


@pytest.mark.parametrize(("problem", "failed"), [("", 0), ("/state: no space left on device", 1)])
def test_a_snapshot_that_cannot_be_saved_is_told(problem: str, failed: int) -> None:
    families = scraped(Readings(zone_snapshot=ZoneSnapshot(problem=problem)))
    assert value(families, "dnsserver_snapshot_save_failed") == failed


def test_a_server_that_has_nothing_to_tell_yet_can_be_scraped() -> None:
    families = scraped(Readings())
    assert value(families, "dnsserver_ready") == 0
    assert "dnsserver_snapshot_age_seconds" not in families


@pytest.mark.parametrize(
    ("accept", "kind", "parse", "one_second"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", text_string_to_metric_families, "1"),
        ("text/plain;version=0.0.4;q=0.2,*/*;q=0.1", "text/plain; version=0.0.4", text_string_to_metric_families, "1"),
        # What Prometheus 2 and 3 send.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0",
            openmetrics.text_string_to_metric_families,
            "1.0",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4",
            "application/openmetrics-text; version=1.0.0",
            openmetrics.text_string_to_metric_families,
            "1.0",
        ),
    ],
)
@pytest.mark.parametrize("encodings", ["", "gzip", "deflate, gzip;q=1.0"])
def test_the_format_is_the_one_that_is_asked_for(
    accept: str, kind: str, parse: Callable[[str], Iterable[Metric]], one_second: str, encodings: str
) -> None:
    page = expose(READINGS, accept, encodings)
    assert page.type.startswith(kind)
    assert page.encoding == ("gzip" if encodings else "")
    body = gzip.decompress(page.body) if encodings else page.body
    families = {family.name: family for family in parse(body.decode())}
    assert value(families, "coredns_dns_requests_total", type="AAAA") == 6
    rest = families["coredns_kubernetes_rest_client_request_duration_seconds"]
    bounds = [sample.labels["le"] for sample in rest.samples if "le" in sample.labels]
    assert one_second in bounds


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("text/plain;version=0.0.4;q=0.5, Application/OpenMetrics-Text; version=1.0.0", "application/openmetrics-text"),
        ("application/openmetrics-text;version=0.0.1", "text/plain"),
        ("application/openmetrics-text;version=2.0.0,text/plain", "text/plain"),
        ("application/json", "text/plain"),
        (";;,=;,", "text/plain"),
    ],
)
def test_what_is_not_written_is_not_promised(accept: str, wanted: str) -> None:
    page = expose(READINGS, accept)
    assert page.type.partition(";")[0] == wanted
    assert page.body.endswith(b"# EOF\n") == (wanted != "text/plain")


def test_who_refuses_gzip_gets_none() -> None:
    assert expose(READINGS, encodings="gzip;q=0, identity").encoding == ""


FORMATS = [
    ("", text_string_to_metric_families),
    ("application/openmetrics-text", openmetrics.text_string_to_metric_families),
]


@pytest.mark.parametrize(("accept", "parse"), FORMATS)
@given(
    odd=st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(['a"b\\c\nd', "\\", '"', "\n", "}", " "])
)
def test_odd_label_values_survive(accept: str, parse: Callable[[str], Iterable[Metric]], odd: str) -> None:
    readings = Readings(kinds=(Kind(kind="pods", resyncs={odd: 1}),))
    families = {family.name: family for family in parse(expose(readings, accept).body.decode())}
    name = "dnsserver_resyncs"
    assert [sample.labels["reason"] for sample in families[name].samples] == [odd]


@pytest.mark.parametrize(("accept", "parse"), FORMATS)
@given(number=st.floats(allow_nan=False) | st.sampled_from([1e6, 1e7, 123456789.0, math.inf, 5e-324, 2.0**53]))
def test_numbers_are_read_as_what_they_are(
    accept: str, parse: Callable[[str], Iterable[Metric]], number: float
) -> None:
    readings = Readings(now=0.0, kinds=(Kind(kind="pods", last_event=-number),))
    families = {family.name: family for family in parse(expose(readings, accept).body.decode())}
    assert value(families, "dnsserver_last_event_age_seconds") == number


def test_both_formats_say_the_same() -> None:
    plain, other = (
        [(family.name, family.type, family.documentation, sample.name, _labels(sample), sample.value)
         for family in parse(expose(READINGS, accept).body.decode()) for sample in family.samples]
        for accept, parse in FORMATS
    )  # fmt: skip
    assert plain == other


def _labels(sample: Sample) -> dict[str, str]:
    """Return its labels, with a bound as a number, which one format writes as "1" and the other as "1.0"."""
    return {name: str(float(value)) if name == "le" else value for name, value in sample.labels.items()}


def test_a_worker_can_send_its_numbers() -> None:
    sent = msgspec.msgpack.encode(PROCESS)
    assert msgspec.msgpack.decode(sent, type=Process) == PROCESS


@pytest.mark.parametrize(
    ("host", "port", "label"),
    [
        ("0.0.0.0", 53, "dns://:53"),
        ("::", 53, "dns://:53"),
        ("127.0.0.1", 1053, "dns://127.0.0.1:1053"),
        ("fd00::10", 53, "dns://[fd00::10]:53"),
    ],
)
def test_server_label(host: str, port: int, label: str) -> None:
    assert server_label(host, port) == label


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 64))))
def test_a_histogram_counts_what_is_not_above_each_bound(values: list[tuple[float, int]]) -> None:
    made = Histogram()
    for number, count in values:
        made.observe_many(number, count)
    for bound, total in made.cumulative():
        limit = math.inf if bound == "+Inf" else float(bound)
        assert total == sum(count for number, count in values if number <= limit)
    assert made.sum == pytest.approx(sum(number * count for number, count in values))


def test_bounds_are_those_of_coredns() -> None:
    assert [bound for bound, _ in Histogram().cumulative()] == [
        "0.00025", "0.0005", "0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128", "0.256", "0.512",
        "1.024", "2.048", "4.096", "8.192", "+Inf",
    ]  # fmt: skip
    assert [PROGRAMMING[0], PROGRAMMING[-1]] == pytest.approx([0.001, 524.288])


# Where in the source a reason is, and the plugin of CoreDNS that it counts for.
PLUGINS = {
    "forward/": "forward",
    "resolver/hosts.py": "hosts",
    "resolver/rules.py": "template",
    "resolver/answers.py": "template",
    "server/guard.py": "acl",
    "server/families.py": "forward",
    "zone/static.py": "local",
    "zone/": "kubernetes",
}
EXCEPT = {
    "rule-record-invalid": "template",
    "found": "kubernetes",
    "no-data": "kubernetes",
    "name-missing": "kubernetes",
}


def test_every_reason_counts_for_the_plugin_that_would_give_it() -> None:
    source = Path(__file__).parents[1] / "dnsserver"
    seen = set()
    for file in sorted(source.rglob("*.py")):
        path = str(file.relative_to(source))
        expected = next((name for beginning, name in PLUGINS.items() if path.startswith(beginning)), None)
        for code in re.findall(r'Reason\(\s*"([a-z0-9-]+)"', file.read_text()):
            if expected is not None:
                assert plugin(code) == EXCEPT.get(code, expected), (path, code)
                seen.add(expected)
    assert seen == set(PLUGINS.values())
    assert plugin("failure-cached") == plugin("forwarded-no-data") == "forward"
    assert plugin("format-error") == plugin("internal-error") == ""


@pytest.mark.parametrize("bounds", [HEALTH, LAG])
def test_values_counted_by_fewer_bounds(bounds: tuple[float, ...]) -> None:
    values = (0.0, 0.0001, 0.002, 0.25, 0.26, 2.5, 2.9, 3.5)
    assert histogram(*values, bounds=LAG).within(bounds) == histogram(*values, bounds=bounds)
    assert histogram(*values, bounds=LAG).above(HEALTH_GIVEN_UP) == 1
    assert set(HEALTH) < set(LAG)
