"""A server that was asked has all samples that public dashboards and rules for CoreDNS use, with right values.

The counts are compared with what was sent, and with what the upstream and the API server saw. Over 400 lines, a
quarter of which state the right value of each sample.
"""

import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.app.server import Server
from dnsserver.config import Address
from dnsserver.config.model import Cache
from dnsserver.zone.model import Kind
from tests.dashboards import ABSENT, SOURCES, Asked
from tests.faulty import Still
from tests.forward.scripted import Query, upstream
from tests.free_port import free_port
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing, wait_for
from tests.monitoring import alerts, samples_of, shown
from tests.running import HOST, ask_tcp, ask_udp, config, kubeconfig, port_of, upstream_at

_SLOW = 0.3  # seconds
_BELOW = "0.256"  # the bound below that
_SOA = "example. 300 IN SOA ns.example. hostmaster.example. 1 7200 1800 86400 300"
_COOKIE = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
_ZONE = "svc.cluster.local."


# What there is nothing of at a server without limits, faults, bad objects, object files, a snapshot, changes after its
# start, and the guardian of a node, which has a port of its own.
NOT_HERE = {
    "coredns_nodecache_setup_errors_total",
    "dnsserver_faults_total",
    "dnsserver_limited_total",
    "dnsserver_node_in_place",
    "dnsserver_node_repairs_total",
    "dnsserver_node_server_answers",
    "dnsserver_node_withdrawals_total",
    "dnsserver_object_files_broken",
    "dnsserver_programming_duration_seconds_bucket",
    "dnsserver_resyncs_total",
    "dnsserver_snapshot_age_seconds",
    "dnsserver_snapshot_save_failed",
    "dnsserver_snapshot_serving",
}


class Question(NamedTuple):
    """A question that is asked so many times, one after the other."""

    name: str
    type: str = "A"
    times: int = 1
    tcp: bool = False
    do: bool = False
    options: tuple[dns.edns.Option, ...] = ()

    @property
    def packet(self) -> bytes:
        edns = {"use_edns": 0, "payload": 1232, "options": list(self.options)} if self.do or self.options else {}
        return dns.message.make_query(self.name, self.type, want_dnssec=self.do, **edns).to_wire()  # type: ignore[arg-type]


QUESTIONS = (
    Question(f"web.shop.{_ZONE}", times=5),
    Question(f"web.shop.{_ZONE}", times=3, tcp=True),
    Question(f"web.shop.{_ZONE}", times=2, do=True),
    Question(f"web.shop.{_ZONE}", times=3, options=(_COOKIE,)),
    Question(f"web.shop.{_ZONE}", "AAAA", times=2),
    Question(f"web.shop.{_ZONE}", "TYPE65280"),
    Question(f"nobody.shop.{_ZONE}", times=4),
    Question(f"nobody.shop.{_ZONE}", times=2, tcp=True, do=True),
    Question("fast.example.", times=4),
    Question("fast.example.", times=2, tcp=True),
    Question("empty.example.", "AAAA", times=3),
    Question("gone.example.", times=3),
    Question("failing.example.", times=2),
    *(Question(f"slow{number}.example.") for number in range(3)),
    *(Question(f"slow{number}.example.", tcp=True) for number in range(3, 5)),
)


async def answer(query: Query) -> None:
    """Be the outside."""
    name = query.name.lower()
    if name.startswith("slow"):
        await trio.sleep(_SLOW)
    if name.startswith("gone"):
        await query.send(query.reply(authority=(_SOA,), rcode=dns.rcode.NXDOMAIN))
    elif name.startswith("empty"):
        await query.send(query.reply(authority=(_SOA,)))
    elif name.startswith("failing"):
        await query.send(query.reply(rcode=dns.rcode.SERVFAIL))
    else:
        await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))


class Seen(NamedTuple):
    """A scrape, the questions with their replies and how long each took, and what the world outside saw."""

    samples: Mapping[str, list[tuple[dict[str, str], float]]]
    asked: list[tuple[Question, bytes, bytes, float]]
    upstream: list[Query]
    api: int

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all samples of a name that have these labels."""
        found = [value for have, value in self.samples[name] if labels.items() <= have.items()]
        assert found, (name, labels)
        return sum(found)

    def sent(self, which: Callable[[Question], bool] = lambda _: True) -> int:
        return sum(which(question) for question, *_ in self.asked)


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[tuple[Server, int, list[Query], ApiServer]]:
    """Run a server of an API server's cluster, and give its port of admin HTTP."""
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    async with upstream(answer) as outside, serving(ApiServer(streaming=False)) as api:
        api.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        api.put(Kind.SERVICES, thing("web", spec={"clusterIP": "10.9.0.1"}))
        api.put(
            Kind.ENDPOINTSLICES,
            thing(
                "web-1",
                labels={"kubernetes.io/service-name": "web"},
                annotations={"endpoints.kubernetes.io/last-change-trigger-time": stamp},
                addressType="IPv4",
                endpoints=[{"addresses": ["10.1.0.1"]}],
                ports=[],
            ),
        )
        admin = free_port()
        settings = config(
            upstreams=upstream_at(outside.port),
            admin=Address(HOST, admin),
            kubeconfig=kubeconfig(folder, api),
            cache=Cache(failure_ttl=60.0, failure_cap=60.0),  # what failed is still there when all has been asked
        )
        server = Server(settings, loaded=Still.of(settings, folder))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            with trio.fail_after(20):
                await server.sync.wait_synced()
            await wait_for(lambda: server.dns.udp and server.dns.forwarder.statistics().upstreams)
            await wait_for(lambda: sum(server.lag.histogram.counts))
            yield server, admin, outside.queries, api
            nursery.cancel_scope.cancel()
        if server.sync.client is not None:
            await server.sync.client.aclose()


async def scrape(port: int) -> str:
    stream = await trio.open_tcp_stream(HOST, port)
    async with stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b"".join([piece async for piece in stream])
    return data.partition(b"\r\n\r\n")[2].decode()


def all_answered(server: Server) -> bool:
    """Tell whether the upstream has answered all that it was asked."""
    (outside,) = server.dns.forwarder.statistics().upstreams
    return outside.replies == outside.queries + outside.probes


async def look(folder: Path) -> Seen:
    """Ask all questions, and then read the counts."""
    asked = []
    async with serve(folder) as (server, admin, queries, api):
        port = port_of(server)
        for question in QUESTIONS:
            for _ in range(question.times):
                began = trio.current_time()
                (reply,) = await (ask_tcp if question.tcp else ask_udp)(port, [question.packet])
                asked.append((question, question.packet, reply, trio.current_time() - began))
        await wait_for(lambda: all_answered(server))  # a slow one is asked twice
        samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        family: Metric
        for family in text_string_to_metric_families(await scrape(admin)):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
        return Seen(samples, asked, list(queries), len(api.requests) + api.versions_told)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    found: Seen = trio.run(look, tmp_path_factory.mktemp("seen"))
    return found


@pytest.mark.parametrize(("source", "asked"), [(source, asked) for source, found in SOURCES.items() for asked in found])
def test_what_a_dashboard_asks_is_there(seen: Seen, source: str, asked: Asked) -> None:
    samples = seen.samples.get(asked.name, [])
    assert any(
        set(asked.labels.split()) <= labels.keys() and dict(asked.values).items() <= labels.items()
        for labels, _ in samples
    ), source


Range = tuple[float, float]


def _asked(seen: Seen) -> float:
    return len(seen.asked)


def _sizes(which: int) -> Callable[[Seen], float]:
    return lambda seen: sum(len((packet, reply)[which - 1]) for _, packet, reply, _ in seen.asked)


def _waits(seen: Seen) -> Range:
    """What the slow questions took at the least, and all of them at the most."""
    slow = seen.sent(lambda asked: asked.name.startswith("slow"))
    return slow * _SLOW, sum(took for *_, took in seen.asked)


def _upstream_waits(seen: Seen) -> Range:
    slow = sum(query.name.lower().startswith("slow") for query in seen.upstream)
    return slow * _SLOW, len(seen.upstream) * (max(took for *_, took in seen.asked) + _SLOW)


def _to_upstream(seen: Seen) -> float:
    return len(seen.upstream)


def _outside(seen: Seen) -> float:
    return seen.sent(lambda asked: asked.name.endswith(".example."))


def _with_do(seen: Seen) -> float:
    return seen.sent(lambda asked: asked.do)


def _names_outside(seen: Seen) -> float:
    return len({asked.name for asked, *_ in seen.asked if asked.name.endswith(".example.")})


def _just(value: float) -> Callable[[Seen], float]:
    return lambda _: value


def _between(low: float, high: float) -> Callable[[Seen], Range]:
    return lambda _: (low, high)


def _cpu(_: Seen) -> Range:
    return 0.01, time.process_time()


def _started(_: Seen) -> Range:
    return time.time() - 86400, time.time()


def _memory(field: int) -> Callable[[Seen], Range]:
    """What this process has now, give or take what came and went since."""

    def octets(_: Seen) -> Range:
        now = int(Path("/proc/self/statm").read_text().split()[field]) * resource.getpagesize()
        return now / 2, now * 2

    return octets


# What all samples of a name come to, buckets up to the last one: a value, or where it lies between.
VALUES: dict[str, Callable[[Seen], float | Range]] = {
    "coredns_build_info": _just(1),
    "coredns_cache_entries": _names_outside,
    "coredns_cache_evictions_total": _just(0),
    "coredns_cache_hits_total": lambda seen: _outside(seen) - _names_outside(seen),
    "coredns_cache_misses_total": _names_outside,
    "coredns_cache_prefetch_total": _just(0),
    "coredns_cache_requests_total": _outside,
    "coredns_cache_served_stale_total": _just(0),
    "coredns_cache_size": _names_outside,
    "coredns_dns_do_requests_total": _with_do,
    "coredns_dns_request_count_total": _asked,
    "coredns_dns_request_do_count_total": _with_do,
    "coredns_dns_request_duration_seconds_bucket": _asked,
    "coredns_dns_request_duration_seconds_count": _asked,
    "coredns_dns_request_duration_seconds_sum": _waits,
    "coredns_dns_request_size_bytes_bucket": _asked,
    "coredns_dns_request_size_bytes_count": _asked,
    "coredns_dns_request_size_bytes_sum": _sizes(1),
    "coredns_dns_request_type_count_total": _asked,
    "coredns_dns_requests_total": _asked,
    "coredns_dns_response_rcode_count_total": _asked,
    "coredns_dns_response_size_bytes_bucket": _asked,
    "coredns_dns_response_size_bytes_count": _asked,
    "coredns_dns_response_size_bytes_sum": _sizes(2),
    "coredns_dns_responses_total": _asked,
    "coredns_forward_healthcheck_broken_count_total": _just(0),
    "coredns_forward_healthcheck_broken_total": _just(0),
    "coredns_forward_healthcheck_failure_count_total": _just(0),
    "coredns_forward_healthcheck_failures_total": _just(0),
    "coredns_forward_max_concurrent_reject_count_total": _just(0),
    "coredns_forward_max_concurrent_rejects_total": _just(0),
    "coredns_forward_request_count_total": _to_upstream,
    "coredns_forward_request_duration_seconds_bucket": _to_upstream,
    "coredns_forward_request_duration_seconds_count": _to_upstream,
    "coredns_forward_request_duration_seconds_sum": _upstream_waits,
    "coredns_forward_requests_total": _to_upstream,
    "coredns_forward_response_rcode_count_total": _to_upstream,
    "coredns_forward_responses_total": _to_upstream,
    "coredns_health_request_duration_seconds_bucket": _between(1, 1000),
    "coredns_health_request_duration_seconds_count": _between(1, 1000),
    "coredns_health_request_duration_seconds_sum": _between(0, 60),
    "coredns_health_request_failures_total": _just(0),
    "coredns_kubernetes_dns_programming_duration_seconds_bucket": _just(1),
    "coredns_kubernetes_dns_programming_duration_seconds_count": _just(1),
    "coredns_kubernetes_dns_programming_duration_seconds_sum": _between(0, 60),
    "coredns_kubernetes_rest_client_request_duration_seconds_bucket": lambda seen: (3, seen.api),
    "coredns_kubernetes_rest_client_requests_total": lambda seen: (3, seen.api),
    "coredns_panic_count_total": _just(0),
    "coredns_panics_total": _just(0),
    "coredns_plugin_enabled": _just(7),
    "coredns_proxy_healthcheck_failures_total": _just(0),
    "coredns_proxy_request_duration_seconds_bucket": _to_upstream,
    "coredns_proxy_request_duration_seconds_count": _to_upstream,
    "coredns_reload_failed_count_total": _just(0),
    "coredns_reload_failed_total": _just(0),
    "coredns_reload_version_info": _just(1),
    "process_cpu_seconds_total": _cpu,
    "process_max_fds": lambda _: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "process_open_fds": _between(5, 500),
    "process_resident_memory_bytes": _memory(1),
    "process_start_time_seconds": _started,
    "process_virtual_memory_bytes": _memory(0),
}


def test_every_sample_that_is_asked_for_is_compared() -> None:
    assert VALUES.keys() == {asked.name for found in SOURCES.values() for asked in found}


@pytest.mark.parametrize("name", VALUES)
def test_a_sample_is_what_was_sent(seen: Seen, name: str) -> None:
    expected = VALUES[name](seen)
    found = seen.total(name, le="+Inf") if name.endswith("_bucket") else seen.total(name)
    low, high = expected if isinstance(expected, tuple) else (expected, expected)
    assert low <= found <= high


def test_what_is_not_there_is_known(seen: Seen) -> None:
    assert not ABSENT.keys() & seen.samples.keys()


def test_what_our_own_dashboard_and_alerts_ask_is_there(seen: Seen) -> None:
    expressions = [*shown().values(), *(str(rule["expr"]) for rule in alerts().values())]
    asked = set().union(*map(samples_of, expressions))
    assert asked - seen.samples.keys() == NOT_HERE


PROTOCOLS = {False: "udp", True: "tcp"}


@pytest.mark.parametrize("tcp", PROTOCOLS)
@pytest.mark.parametrize("type_", ["A", "AAAA", "other"])
def test_questions_are_counted(seen: Seen, tcp: bool, type_: str) -> None:
    shown = {"TYPE65280": "other"}
    sent = seen.sent(lambda asked: asked.tcp is tcp and shown.get(asked.type, asked.type) == type_)
    if sent:
        assert seen.total("coredns_dns_requests_total", proto=PROTOCOLS[tcp], type=type_, family="1", zone=".") == sent


def test_questions_with_do_are_counted(seen: Seen) -> None:
    sent = seen.sent(lambda asked: asked.do)
    assert seen.total("coredns_dns_do_requests_total") == seen.total("coredns_dns_request_do_count_total") == sent


def test_replies_are_counted_by_rcode_and_plugin(seen: Seen) -> None:
    got: Counter[tuple[str, str]] = Counter()
    for question, _, reply, _ in seen.asked:
        rcode = dns.rcode.to_text(dns.message.from_wire(reply).rcode())
        got["kubernetes" if question.name.endswith(_ZONE) else "forward", rcode] += 1
    samples = seen.samples["coredns_dns_responses_total"]
    assert Counter({(labels["plugin"], labels["rcode"]): int(value) for labels, value in samples}) == got


def test_namespaces_are_counted(seen: Seen) -> None:
    inside = seen.sent(lambda asked: asked.name.endswith(_ZONE))
    assert seen.total("dnsserver_namespace_questions_total", asked_namespace="shop") == inside
    failed = seen.sent(lambda asked: asked.name.startswith("nobody"))
    assert seen.total("dnsserver_namespace_failures_total", asked_namespace="shop") == failed
    assert seen.total("dnsserver_namespace_failures_total", rcode="NXDOMAIN") == failed


@pytest.mark.parametrize("tcp", PROTOCOLS)
@pytest.mark.parametrize(
    ("which", "name"), [(1, "coredns_dns_request_size_bytes"), (2, "coredns_dns_response_size_bytes")]
)
def test_sizes_are_those_of_the_messages(seen: Seen, tcp: bool, which: int, name: str) -> None:
    sizes: list[int] = [len(each[which]) for each in seen.asked if each[0].tcp is tcp]  # type: ignore[arg-type]
    proto = PROTOCOLS[tcp]
    assert seen.total(f"{name}_sum", proto=proto) == sum(sizes)
    for labels, value in seen.samples[f"{name}_bucket"]:
        if labels["proto"] == proto:
            assert value == sum(size <= float(labels["le"]) for size in sizes), labels["le"]


def test_every_reply_counts_with_its_own_time(seen: Seen) -> None:
    name = "coredns_dns_request_duration_seconds"
    slow = seen.sent(lambda asked: asked.name.startswith("slow"))
    assert seen.total(f"{name}_count") == len(seen.asked)
    quick = [took for question, *_, took in seen.asked if not question.name.startswith("slow")]
    assert len(quick) >= seen.total(f"{name}_bucket", le=_BELOW) >= sum(took <= float(_BELOW) for took in quick)
    assert slow * _SLOW <= seen.total(f"{name}_sum") <= sum(took for *_, took in seen.asked)


def test_the_cache_is_that_of_outside_names(seen: Seen) -> None:
    outside = seen.sent(lambda asked: asked.name.endswith(".example."))
    denials = seen.sent(lambda asked: asked.name.startswith(("empty", "gone", "failing"))) - 3
    hits = seen.sent(lambda asked: asked.name.startswith("fast")) - 1
    assert seen.total("coredns_cache_requests_total") == outside
    assert seen.total("coredns_cache_hits_total", type="success") == hits
    assert seen.total("coredns_cache_hits_total", type="denial") == denials
    assert seen.total("coredns_cache_misses_total") == outside - hits - denials
    assert seen.total("coredns_cache_entries", type="success") == seen.total("coredns_cache_size", type="success") == 6
    assert seen.total("coredns_cache_entries", type="denial") == 3


def test_upstreams_are_counted_as_they_count_themselves(seen: Seen) -> None:
    failing = sum(query.name.lower().startswith("failing") for query in seen.upstream)
    gone = sum(query.name.lower().startswith("gone") for query in seen.upstream)
    for name in ("coredns_forward_requests_total", "coredns_forward_request_count_total"):
        assert seen.total(name) == len(seen.upstream)
    for name, labels in (
        ("coredns_forward_responses_total", {}),
        ("coredns_forward_request_duration_seconds_count", {}),
        ("coredns_proxy_request_duration_seconds_count", {"proxy_name": "forward"}),
    ):
        assert seen.total(name, **labels) == len(seen.upstream)
        assert seen.total(name, rcode="SERVFAIL", **labels) == failing > 0
        assert seen.total(name, rcode="NXDOMAIN", **labels) == gone == 1
    slow = sum(query.name.lower().startswith("slow") for query in seen.upstream)
    name = "coredns_proxy_request_duration_seconds"
    longest = max(took for *_, took in seen.asked)
    assert slow * _SLOW <= seen.total(f"{name}_sum") <= len(seen.upstream) * (longest + _SLOW)
    assert seen.total(f"{name}_bucket", le=_BELOW) <= len(seen.upstream) - slow


def test_requests_to_the_api_are_counted(seen: Seen) -> None:
    counted = seen.total("coredns_kubernetes_rest_client_requests_total", method="GET")
    assert seen.total("coredns_kubernetes_rest_client_requests_total", code="200") >= 3
    assert 3 <= counted <= seen.api  # the last ones may not be answered yet
    assert seen.total("coredns_kubernetes_rest_client_request_duration_seconds_count", verb="GET") == counted


def test_the_latency_of_a_change_is_there(seen: Seen) -> None:
    name = "coredns_kubernetes_dns_programming_duration_seconds"
    assert seen.total(f"{name}_count", service_kind="cluster_ip") == 1
    assert 0 <= seen.total(f"{name}_sum") < 60


def test_the_process_is_this_one(seen: Seen) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert seen.total("process_resident_memory_bytes") == pytest.approx(pages * 4096, rel=0.5)
    assert seen.total("coredns_health_request_duration_seconds_count") > 0


def test_older_names_show_the_same(seen: Seen) -> None:
    for old, new in {
        "coredns_dns_request_count_total": "coredns_dns_requests_total",
        "coredns_dns_request_type_count_total": "coredns_dns_requests_total",
        "coredns_dns_response_rcode_count_total": "coredns_dns_responses_total",
        "coredns_forward_response_rcode_count_total": "coredns_forward_responses_total",
        "coredns_panic_count_total": "coredns_panics_total",
    }.items():
        assert seen.total(old) == seen.total(new)
