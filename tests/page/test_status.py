"""The overview that is made of the server's numbers."""

from typing import Any

import msgspec
import pytest

from dnsserver.metrics import (
    AnswerCache,
    Configuration,
    Forward,
    Histogram,
    Kind,
    Process,
    Readings,
    Replies,
    TcpListener,
    Traffic,
    UdpListener,
    Upstream,
    Usage,
    Zone,
    ZoneSnapshot,
)
from dnsserver.page.history import Sample, totals
from dnsserver.page.status import Limits, Status, status
from dnsserver.wire import message as m
from dnsserver.wire.message import NOERROR, NXDOMAIN, SERVFAIL

WALL = 1_000_100.0


def shown(readings: Readings, samples: tuple[Sample, ...] = ()) -> Status:
    sums = totals(readings.processes)
    found = status(readings, sums, samples, "ready", Limits(1 << 20, 1 << 21), WALL)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Status) == found  # nothing in it that JSON has not
    return found


def observed(*seconds: float) -> Histogram:
    found = Histogram()
    for each in seconds:
        found.observe(each)
    return found


# Of the questions one had SERVFAIL, one was lost with its connection, and 3 of 5 that were not answered in time were
# probes.
FAILING: dict[str, Any] = {
    "failures": 2,
    "timeouts": 5,
    "probe_failures": 3,
    "durations": {NOERROR: observed(0.01, 0.01), NXDOMAIN: observed(0.01), SERVFAIL: observed(0.01)},
}


def test_answers_are_counted_by_what_they_were() -> None:
    replies = {(m.A, m.NOERROR, "found"): 5, (m.AAAA, m.NXDOMAIN, "service-missing"): 2, (9999, m.SERVFAIL, "odd"): 1}
    found = shown(
        Readings(processes=(Process(traffic=(Traffic(server="a", protocol="udp", family="1", replies=replies),)),))
    )
    assert (found.answers, found.missing, found.failed) == (8, 2, 1)
    assert [(one.what, one.count) for one in found.types] == [("A", 5), ("AAAA", 2), ("TYPE9999", 1)]
    assert [(one.what, one.count) for one in found.rcodes] == [("NOERROR", 5), ("NXDOMAIN", 2), ("SERVFAIL", 1)]
    assert [one.what for one in found.reasons] == ["found", "service-missing", "odd"]
    assert found.reasons[1].meaning == "there is no such Service in that namespace"


def test_ages_are_of_now_and_never_negative() -> None:
    kinds = (
        Kind(kind="services", objects=7, synced=True, state="watching", last_event=97.5, last_heard=100.2,
             bad_objects=1, bad_values=2, resyncs={"gone": 2}),
        Kind(kind="pods", state="forbidden", rule="r", last_error="403"),
    )  # fmt: skip
    configuration = Configuration(hash_type="sha512", hash="0123456789abcdef0123", applied=90.0, applied_wall=0.0)
    found = shown(
        Readings(
            now=100.0, kinds=kinds, zone=Zone(stale=True),
            zone_snapshot=ZoneSnapshot(serving=True, as_of=40.0, problem="/s: permission denied"),
            configuration=configuration,
        )
    )  # fmt: skip
    services, pods = found.kinds
    assert (services.changed, services.heard, services.checked, services.bad, services.relists) == (
        2.5,
        0.0,
        None,
        3,
        2,
    )
    assert (pods.state, pods.rule, pods.last_error) == ("forbidden", "r", "403")
    assert (found.stale, found.snapshot, found.saved) == (True, True, 60.0)
    assert found.save_problem == "/s: permission denied"
    assert found.configuration is not None
    assert (found.configuration.hash, found.configuration.age) == ("0123456789abcdef", 10.0)


def test_an_upstream_is_one_whichever_process_asks_it() -> None:
    def process(*, alive: bool = True, **numbers: object) -> Process:
        upstream = msgspec.structs.replace(Upstream(name="192.0.2.1:53", queries=10, probes=4, **FAILING), **numbers)
        other = Upstream(name="192.0.2.1:53", domain=b"\4corp\0", looping=True)
        return Process(alive=alive, forward=Forward(upstreams=(upstream, other), in_flight=2))

    found = shown(
        Readings(
            processes=(
                process(rtt=0.010, p95=0.020, bad={"id": 1, "case": 0}),
                process(rtt=0.030, p95=0.090, up=False, bad={"id": 2}),
                process(alive=False, up=False, queries=5),
            )
        )
    )
    one, other = found.upstreams
    assert (one.name, one.domain, one.state) == ("192.0.2.1:53", ".", "down in 1 of 2 processes")
    assert (one.rtt, one.p95, one.queries, one.bad) == (0.01, 0.02, 25, {"id": 3}), "times of those that are up"
    assert (other.domain, other.state, other.rtt) == ("corp.", "looping", None)
    assert found.in_flight == 6
    [one, _] = shown(Readings(processes=(process(up=False), process(up=False)))).upstreams
    assert (one.state, one.rtt) == ("down", None), "what does not answer has no round trip"
    [one, _] = shown(Readings(processes=(process(),))).upstreams
    assert one.state == "up"


@pytest.mark.parametrize(
    ("numbers", "errors", "unanswered"),
    [
        (FAILING | {"queries": 7}, 1, 3),
        (FAILING | {"queries": 5}, 1, 1),
        (FAILING | {"queries": 4}, 1, 0),
        ({"queries": 3}, 0, 0),  # they still wait
        ({"queries": 39, "timeouts": 113, "probe_failures": 74}, 0, 39),
        ({"queries": 9, "failures": 9, "durations": {SERVFAIL: observed(*[0.01] * 9)}}, 9, 0),
    ],
)
def test_a_question_fails_once_and_a_probe_is_none(numbers: dict[str, Any], errors: int, unanswered: int) -> None:
    upstream = Upstream(name="192.0.2.1:53", probes=80, **numbers)
    [one] = shown(Readings(processes=(Process(forward=Forward(upstreams=(upstream,))),))).upstreams
    assert (one.errors, one.unanswered) == (errors, unanswered)
    assert one.errors + one.unanswered <= one.queries
    assert (one.probes, one.probes_unanswered) == (80, upstream.probe_failures)


def test_processes_and_what_they_hold() -> None:
    usage = Usage(
        virtual_memory=1, resident_memory=42 << 20, started=WALL - 100.0, cpu=1.234, open_files=1, max_files=1
    )
    process = Process(
        usage=usage, panics=1, faults={"question": 1, "page": 2}, limited={"rate": 3},
        traffic=(Traffic(server="a", protocol="udp", family="1", replies={(1, 0, "stale"): 4, (1, 0, "found"): 7}),),
        udp=(UdpListener(server="a", family="1", kernel_drops=1, late_drops=2, unsent=4, lane_drops=100),),
        tcp=(TcpListener(server="a", family="1", connections=7),),
        replies=Replies(replies=10, missing=5, size=1000, hits=7, evicted=1),
        forward=Forward(cache=AnswerCache(entries=3, failed=1, denials=2, size=500, hits=9)),
    )  # fmt: skip
    gone = msgspec.structs.replace(process, number=None, alive=False)
    found = shown(Readings(processes=(process, gone), worker_restarts=1))
    first, ended = found.processes
    assert (first.number, ended.number) == (0, None)
    assert (first.memory, first.cpu, first.age, first.faults, first.lag) == (42 << 20, 1.23, 100.0, 3, None)
    assert (ended.alive, ended.memory, ended.age) == (False, None, None)
    assert (found.age, found.drops, found.connections, found.limited, found.restarts) == (100.0, 14, 14, 6, 1)
    assert (found.replies.entries, found.replies.missing, found.replies.limit) == (30, 10, 1 << 20)
    assert (found.outside.entries, found.outside.failures, found.outside.stale) == (6, 2, 8)


def test_the_last_minutes_are_told_as_series() -> None:
    samples = (Sample(90.0, 1.0, 2.0, 3.0, 4.0, None, 0.5, 0.6), Sample(95.0, 5.0, 6.0, 7.0, 8.0, 0.1, 0.2, 0.3))
    found = shown(Readings(now=97.0), samples).history
    assert found["age"] == [7.0, 2.0]
    assert found["answers"] == [1.0, 5.0]
    assert found["p50"] == [None, 0.1]
    assert found.keys() == {"age", "answers", "cached", "missing", "failed", "p50", "p95", "p99"}
