"""After any behaviour of the API server, the sink has its objects, and it never lost an object that always existed.

Over 400 lines: one invariant, met by every fault in turn.
"""

import random
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from dnsserver.faults import Faults
from dnsserver.kube import api
from dnsserver.kube.decode import from_json
from dnsserver.kube.errors import ApiError
from dnsserver.kube.progress import State, Timing
from dnsserver.kube.scope import scopes_of
from dnsserver.zone.model import EndpointSlice, Kind, ListDone, ListDropped, ListStarted, Object, Put, Remove
from tests.kube import generated
from tests.kube.apiserver import ApiServer, Fault, serving
from tests.kube.generated import Size, fill
from tests.kube.support import FAST, Mirror, again, each_fault, mirroring, stored_versions, thing, versions, wait_for
from tests.logs import capture_logs


def filled(server: ApiServer, count: int = 10) -> ApiServer:
    for number in range(count):
        server.put(Kind.SERVICES, thing(f"s{number}"))
    return server


async def settled(mirror: Mirror, streams: int = 1) -> None:
    """In step, and watching."""
    await mirror.wait_equal()
    await wait_for(lambda: mirror.server.streams(mirror.kind) == streams)


async def churn(mirror: Mirror) -> None:
    """One object of each fate; `s0` to `s4` must be there all along."""
    server = mirror.server
    stable = {key for key in mirror.sink.objects if key[2] in {"s0", "s1", "s2", "s3", "s4"}}
    mirror.sink.guarded |= stable
    server.put(Kind.SERVICES, thing("new"))
    server.put(Kind.SERVICES, thing("s5", labels={"changed": "yes"}))
    server.delete(Kind.SERVICES, "shop", "s6")


@pytest.mark.parametrize("streaming", [True, False])
async def test_lists_then_follows(server: ApiServer, streaming: bool) -> None:
    server.streaming = streaming
    async with mirroring(filled(server)) as mirror:
        await settled(mirror)
        await churn(mirror)
        await mirror.wait_equal()
        events = [type(event) for event in mirror.sink.events]
        assert events == [ListStarted] + [Put] * 10 + [ListDone, Put, Put, Remove]
        assert mirror.reflector.statistics().lists == 1
        assert mirror.reflector.statistics().streaming is streaming


async def test_an_empty_kind_is_synced(server: ApiServer) -> None:
    for streaming in (True, False):
        server.streaming = streaming
        async with mirroring(server) as mirror:
            await mirror.wait_equal()
            assert [type(event) for event in mirror.sink.events] == [ListStarted, ListDone]


@pytest.mark.parametrize("streaming", [True, False])
@each_fault
@pytest.mark.parametrize("verb", ["first", "page", "watch"])
async def test_faults_of_requests(server: ApiServer, fault: Fault, verb: str, streaming: bool) -> None:
    """The fault meets the first request, a page in the middle of a list, or a watch that resumes."""
    server.streaming = streaming
    filled(server)
    fault = again(fault, "page" if verb == "page" else "")
    if verb != "watch":
        server.streaming = streaming and verb == "first"
        server.faults.append(fault)
    async with mirroring(server, read_timeout=0.5) as mirror:
        await settled(mirror)
        assert not server.faults
        if verb == "watch":
            server.faults.append(fault)
            server.disturb("cut")
            await churn(mirror)
            await wait_for(lambda: not server.faults)
        await mirror.wait_equal()
        assert not mirror.sink.lost
        await wait_for(lambda: mirror.reflector.statistics().state is State.WATCHING)


@pytest.mark.parametrize(
    "command", ["end", "cut", "reset", "half", "silence", "gone", "garbage", "repeat", "idle-event"]
)
async def test_disturbed_streams(server: ApiServer, command: str) -> None:
    async with mirroring(filled(server), read_timeout=0.3) as mirror:
        await settled(mirror)
        server.put(Kind.SERVICES, thing("last"))
        await mirror.wait_equal()
        server.disturb(command)
        await churn(mirror)
        await mirror.wait_equal()
        statistics = mirror.reflector.statistics()
        assert not mirror.sink.lost
        assert statistics.lists == (2 if command == "gone" else 1), "only a 410 is worth a list"
        assert statistics.resyncs == ({"gone": 1} if command == "gone" else {})


async def test_a_stream_that_is_back_counts_before_anything_comes_by_it(server: ApiServer) -> None:
    async with mirroring(filled(server), read_timeout=60) as mirror:
        await settled(mirror)
        server.stop()
        await wait_for(lambda: mirror.reflector.statistics().state is State.WAITING)
        heard = mirror.reflector.statistics().last_heard
        server.start()
        await wait_for(lambda: mirror.reflector.statistics().state is State.WATCHING)
        assert mirror.reflector.statistics().last_heard == heard, "an open stream says nothing about the data's age"


async def test_a_kind_that_may_be_read_again_counts_before_anything_comes_by_its_watch(server: ApiServer) -> None:
    async with mirroring(filled(server), read_timeout=60, timing=Timing(denied_retry=0.2, check_interval=0)) as mirror:
        await settled(mirror)
        server.faults.append(Fault("status", times=1, status=403))
        server.disturb("cut")
        await wait_for(lambda: mirror.reflector.statistics().forbidden)
        await wait_for(lambda: mirror.reflector.statistics().state is State.WATCHING)
        assert not mirror.reflector.statistics().forbidden


async def test_a_silent_stream_is_resumed_where_it_stopped(server: ApiServer) -> None:
    async with mirroring(filled(server), read_timeout=0.2) as mirror:
        await settled(mirror)
        server.disturb("silence")
        await wait_for(lambda: mirror.reflector.statistics().reconnects == {"disconnected": 1})
        await mirror.wait_equal()
        watches = [
            request.query["resourceVersion"] for request in server.requests if "sendInitialEvents" not in request.query
        ]
        assert watches == [str(server.store.version)] * len(watches)


async def test_a_server_that_is_down_for_long(server: ApiServer) -> None:
    """Only the list that the compaction makes necessary shows what was deleted meanwhile."""
    async with mirroring(filled(server)) as mirror:
        await settled(mirror)
        server.stop()
        await wait_for(lambda: sum(mirror.reflector.statistics().reconnects.values()) > 3)
        assert len(mirror.sink.objects) == 10
        await churn(mirror)
        server.compact()
        server.start()
        await mirror.wait_equal()
        assert not mirror.sink.lost
        assert mirror.reflector.statistics().resyncs == {"gone": 1}


async def test_a_server_that_is_down_at_the_start() -> None:
    server = filled(ApiServer())
    async with serving(server):
        server.stop()
        async with mirroring(server) as mirror:
            await wait_for(lambda: mirror.reflector.statistics().last_error)
            assert mirror.sink.events == []
            server.start()
            await settled(mirror)


async def test_a_page_that_expired_begins_the_list_again(server: ApiServer) -> None:
    server.streaming = False
    server.faults.append(Fault("gone", verb="page"))
    async with mirroring(filled(server)) as mirror:
        await mirror.wait_equal()
        assert mirror.sink.count(ListStarted) == 2
        assert mirror.sink.count(ListDone) == 1
        tokens = [request.query.get("continue") for request in server.requests if request.verb != "watch"]
        assert tokens.count(None) == 2, "from the first page on, not with the token for an inconsistent rest"


async def test_a_list_between_whose_pages_things_change(server: ApiServer) -> None:
    server.streaming = False
    server.faults.append(Fault("slow", verb="page", times=2, delay=0.01))
    async with mirroring(filled(server, 12)) as mirror:
        await wait_for(lambda: mirror.sink.objects)
        await churn(mirror)
        server.delete(Kind.SERVICES, "shop", "s9")
        await mirror.wait_equal()


async def test_bookmarks_spare_a_list(server: ApiServer) -> None:
    """The kind itself is idle; without the bookmark its version would be compacted."""
    async with mirroring(filled(server)) as mirror:
        await settled(mirror)
        for number in range(5):
            server.put(Kind.PODS, thing(f"other{number}"))
        server.disturb("bookmark")
        await wait_for(lambda: mirror.reflector.statistics().bookmarks)
        server.compact()
        server.disturb("cut")
        await wait_for(lambda: mirror.reflector.statistics().reconnects)
        await churn(mirror)
        await mirror.wait_equal()
        assert mirror.reflector.statistics().lists == 1


async def test_the_servers_time_limit_is_no_failure(server: ApiServer) -> None:
    timing = Timing(watch_shortest=1, watch_longest=1, backoff_first=100.0, check_interval=0)
    async with mirroring(filled(server), timing=timing) as mirror:
        await settled(mirror)
        await wait_for(lambda: sum(request.verb == "watch" for request in server.requests) == 3)
        assert mirror.reflector.statistics().reconnects == {}
        assert mirror.reflector.statistics().last_error == ""


async def is_restored(server: ApiServer, **how: Any) -> None:
    async with mirroring(filled(server), **how) as mirror:
        await settled(mirror)
        restored = filled(ApiServer(), 4)
        server.store = restored.store
        server.disturb("cut")
        await mirror.wait_equal()
        assert mirror.reflector.statistics().resyncs == {"version-ahead": 1}


async def test_a_server_restored_from_a_backup(server: ApiServer) -> None:
    """Its versions are lower than ours: to wait for ours would miss the changes until then."""
    await is_restored(server, read_timeout=0.3)


async def test_a_server_restored_from_a_backup_whose_watches_end_in_time(server: ApiServer) -> None:
    await is_restored(server, read_timeout=60, timing=Timing(watch_shortest=1, watch_longest=1, check_interval=0))


async def test_a_quiet_watch_with_bookmarks_is_not_asked_about(server: ApiServer) -> None:
    timing = Timing(watch_shortest=1, watch_longest=1, check_interval=0)
    async with mirroring(filled(server), timing=timing) as mirror:
        await settled(mirror)
        await wait_for(lambda: sum(request.verb == "watch" for request in server.requests) == 3)
        assert {request.verb for request in server.requests} == {"watch"}


async def test_of_a_watch_that_brought_nothing_one_object_is_asked_for(server: ApiServer) -> None:
    async with mirroring(filled(server), read_timeout=0.2) as mirror:
        await settled(mirror)
        await wait_for(lambda: any(request.verb == "list" for request in server.requests))
        asked = next(request.query for request in server.requests if request.verb == "list")
        version = str(server.store.version)
        assert asked == {"limit": "1", "resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}
        watches = sum(request.verb == "watch" for request in server.requests)
        await wait_for(lambda: sum(request.verb == "watch" for request in server.requests) > watches)
        assert mirror.reflector.statistics().lists == 1


@pytest.mark.parametrize(("what", "reason"), [("garbage", "malformed"), ("fail", "watch-failure")])
async def test_what_comes_again_and_again_in_place_of_events_leads_to_a_list(
    server: ApiServer, what: str, reason: str
) -> None:
    """An event that never can be read, or an ERROR of 500, as from a version of which etcd lacks the state before."""
    async with mirroring(filled(server)) as mirror:
        await settled(mirror)
        while mirror.reflector.statistics().lists == 1:
            server.disturb(what)
            await trio.sleep(0.001)
        assert mirror.reflector.statistics().resyncs == {reason: 1}


async def test_lists_after_watches_that_bring_nothing_become_rare(server: ApiServer) -> None:
    timing = Timing(backoff_first=0.002, backoff_max=0.3, check_interval=0)
    async with mirroring(filled(server), timing=timing) as mirror:
        await settled(mirror)
        began = trio.current_time()
        while mirror.reflector.statistics().lists < 8:
            server.disturb("fail")
            await trio.sleep(0.001)
        # The pauses grow from list to list: seven of them take a second, half of it with luck.
        assert trio.current_time() - began > 0.5
        server.put(Kind.SERVICES, thing("new"))
        await settled(mirror)


async def test_events_about_objects_never_seen(server: ApiServer) -> None:
    async with mirroring(server, labels="shown=yes") as mirror:
        await wait_for(lambda: mirror.kind in mirror.sink.synced and server.streams(mirror.kind))
        server.put(Kind.SERVICES, thing("hidden"))
        server.put(Kind.SERVICES, thing("shown", labels={"shown": "yes"}))
        server.put(Kind.SERVICES, thing("moved", labels={"shown": "yes"}))
        server.put(Kind.SERVICES, thing("moved"))
        server.put(Kind.SERVICES, thing("last", labels={"shown": "yes"}))
        await wait_for(lambda: "last" in mirror.sink.names(Kind.SERVICES))
        assert mirror.sink.names(Kind.SERVICES) == {"shown", "last"}
        assert Remove(Kind.SERVICES, "shop", "moved") in mirror.sink.events


DEEP = b"[" * 100_000 + b"]" * 100_000
BAD: dict[str, tuple[bytes, bytes]] = {
    "wrong type": (b'{"metadata":{"name":"bad","namespace":"shop","resourceVersion":"', b'"},"spec":{"ports":"many"}}'),
    "invalid utf-8": (
        b'{"metadata":{"name":"bad","namespace":"shop","resourceVersion":"',
        b'"},"spec":{"externalName":"\xff\xfe"}}',
    ),
    "port out of range": (
        b'{"metadata":{"name":"bad","namespace":"shop","resourceVersion":"',
        b'"},"spec":{"ports":[{"port":70000}]}}',
    ),
    "no name": (b'{"metadata":{"namespace":"shop","resourceVersion":"', b'"}}'),
    "a name that is a number": (b'{"metadata":{"name":7,"namespace":"shop","resourceVersion":"', b'"}}'),
    "a name that is no utf-8": (b'{"metadata":{"name":"\xff","namespace":"shop","resourceVersion":"', b'"}}'),
    "metadata is a list": (b'{"metadata":["', b'"]}'),
    "100,000 brackets that are read": (
        b'{"metadata":{"name":"bad","namespace":"shop","resourceVersion":"',
        b'"},"spec":{"ports":%b}}' % DEEP,
    ),
    "100,000 brackets that are skipped": (
        b'{"metadata":{"name":"bad","namespace":"shop","resourceVersion":"',
        b'"},"status":%b}' % DEEP,
    ),
}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("how", BAD)
async def test_a_bad_object_hides_no_other(server: ApiServer, how: str, streaming: bool) -> None:
    """The bad object comes in the list, in a change of a good object, and in a later list."""
    server.streaming = streaming
    filled(server)
    head, tail = BAD[how]
    server.put_split(Kind.SERVICES, "shop", "aaa", head.replace(b'"bad"', b'"aaa"'), tail)
    server.put(Kind.SERVICES, thing("bad"))
    good = {f"s{number}" for number in range(10)}
    with capture_logs() as logs:
        async with mirroring(server) as mirror:
            await wait_for(lambda: mirror.sink.names(Kind.SERVICES) == good | {"bad"} and server.streams(Kind.SERVICES))
            server.put_split(Kind.SERVICES, "shop", "bad", head, tail)
            server.put(Kind.SERVICES, thing("last"))
            await wait_for(lambda: "last" in mirror.sink.names(Kind.SERVICES))
            server.disturb("gone")
            await wait_for(lambda: mirror.reflector.statistics().lists == 2)
            assert mirror.sink.names(Kind.SERVICES) == good | {"last"}
            assert mirror.reflector.statistics().bad_objects >= 3
    skipped = [log for log in logs if log["event"] == "object skipped"]
    assert len(skipped) == len({(log["object_name"], log["error"]) for log in skipped}), "each is logged once"
    if how == "wrong type":
        assert skipped[0]["object_name"] == "aaa"
        assert skipped[0]["object_namespace"] == "shop"
        assert "$.spec.ports" in skipped[0]["error"]


@pytest.fixture
def running_clock() -> trio.testing.MockClock:
    """Time goes by as it does, and can be made to jump."""
    return trio.testing.MockClock(rate=1)


async def test_bad_objects_are_logged_once_an_hour(server: ApiServer, running_clock: trio.testing.MockClock) -> None:
    """And no more than a thousand of them, which is not for ever either."""
    count = 1010
    for number in range(count):
        server.put(Kind.SERVICES, thing(f"bad{number:04}", spec=7))
    with capture_logs() as logs:

        def told(name: str = "") -> int:
            return sum(log["event"] == "object skipped" and name in log["object_name"] for log in logs)

        async with mirroring(server, page_size=500) as mirror:
            statistics = mirror.reflector.statistics
            await wait_for(lambda: statistics().bad_objects == count and server.streams(Kind.SERVICES))
            for name in ("bad0000", "bad1009"):
                server.put(Kind.SERVICES, thing(name, spec=7))
            await wait_for(lambda: statistics().bad_objects == count + 2)
            assert (told(), told("bad0000"), told("bad1009")) == (1000, 1, 0)
            running_clock.jump(3601)
            for name in ("bad0000", "bad1009"):
                server.put(Kind.SERVICES, thing(name, spec=7))
            await wait_for(lambda: told("bad1009"))
            assert (told("bad0000"), told("bad1009")) == (2, 1)


async def test_fields_that_are_missing(server: ApiServer) -> None:
    head = b'{"metadata":{"name":"bare","resourceVersion":"'
    for kind in Kind:
        server.put_split(kind, "", "bare", head, b'"}}')
        async with mirroring(server, kind) as mirror:
            await wait_for(lambda mirror=mirror, kind=kind: mirror.sink.names(kind) == {"bare"})  # type: ignore[misc]


async def test_a_page_that_is_too_large_is_asked_in_parts(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LARGEST_PAGE", 20_000)
    server.streaming = False
    for number in range(30):
        server.put(Kind.SERVICES, thing(f"s{number}", annotations={"note": "x" * 2000}))
    async with mirroring(server, page_size=30) as mirror:
        await mirror.wait_equal()
    limits = [request.query["limit"] for request in server.requests if "limit" in request.query]
    assert limits[:2] == ["30", "3"]
    assert set(limits[1:]) == {"3"}


async def test_an_object_that_is_too_large_keeps_its_place_and_no_more_memory(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a page it is the last, and of a watch the next; what else changes is seen by lists."""
    monkeypatch.setattr(api, "LONGEST_LINE", 20_000)
    filled(server)
    async with mirroring(server) as mirror:
        await settled(mirror)
        server.put(Kind.SERVICES, thing("big", annotations={"note": "x" * 300_000}))
        server.put(Kind.SERVICES, thing("other"))
        await mirror.wait_equal()  # by a list, whose pages may be larger
        assert "malformed" in mirror.reflector.statistics().resyncs


async def test_an_object_of_a_mebibyte(server: ApiServer) -> None:
    filled(server)
    for streaming in (True, False):
        server.streaming = streaming
        server.put(Kind.SERVICES, thing("big", annotations={"note": "x" * 2**20}))
        async with mirroring(server) as mirror:
            await settled(mirror)
            server.put(Kind.SERVICES, thing("big", annotations={"note": "y" * 2**20}))
            await mirror.wait_equal()


async def test_what_is_deleted_while_a_streaming_list_is_sent_is_gone(server: ApiServer) -> None:
    server.faults = [Fault("late-end", verb="watch", delay=0.2)]
    async with mirroring(filled(server)) as mirror:
        await wait_for(lambda: len(mirror.sink.objects) == 10)
        server.delete(Kind.SERVICES, "shop", "s3")
        server.put(Kind.SERVICES, thing("s4", labels={"changed": "yes"}))
        await settled(mirror)
        assert mirror.reflector.statistics().lists == 1


async def test_a_streaming_list_that_ends_too_early_begins_again(server: ApiServer) -> None:
    server.faults = [Fault("no-end", verb="watch")]
    async with mirroring(filled(server)) as mirror:
        await wait_for(lambda: len(mirror.sink.objects) == 10)
        server.delete(Kind.SERVICES, "shop", "s3")
        await settled(mirror)
        assert mirror.sink.count(ListStarted) == 2


async def test_a_forbidden_kind_costs_itself_only(server: ApiServer) -> None:
    filled(server)
    server.put(Kind.PODS, thing("pod", status={"phase": "Running"}))
    server.forbidden.add(Kind.PODS)
    with capture_logs() as logs:
        async with mirroring(server) as services, mirroring(server, Kind.PODS) as pods:
            await services.wait_equal()
            await wait_for(lambda: sum(request.kind is Kind.PODS for request in server.requests) >= 4)
            statistics = pods.reflector.statistics()
            assert (statistics.forbidden, statistics.state, statistics.synced) == (True, State.FORBIDDEN, False)
            assert not services.reflector.statistics().forbidden
            server.forbidden.clear()
            await pods.wait_equal()
            assert pods.reflector.statistics().state is State.WATCHING
            # The right is taken away again while it watches: what is known stays.
            server.forbidden.add(Kind.PODS)
            server.disturb("cut", Kind.PODS)
            await wait_for(lambda: pods.reflector.statistics().forbidden)
            assert pods.sink.names(Kind.PODS) == {"pod"}
    told = [log for log in logs if log["log_level"] == "error"]
    assert len(told) == 2
    assert [log["effect"] for log in told] == [
        "names of pods fail until it is allowed",
        "their last known state is served on",
    ]
    assert told[0]["rule_to_add"] == 'apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]'


async def test_a_missing_kind(server: ApiServer) -> None:
    server.missing.add(Kind.ENDPOINTSLICES)
    async with mirroring(server, Kind.ENDPOINTSLICES) as mirror:
        await wait_for(lambda: mirror.reflector.statistics().missing)
        server.missing.clear()
        await mirror.wait_equal()
        assert not mirror.reflector.statistics().missing


async def test_named_namespaces_are_followed_one_by_one(server: ApiServer) -> None:
    for namespace in ("a", "b", "c"):
        server.put(Kind.NAMESPACES, thing(namespace, "", status={}))
        server.put(Kind.SERVICES, thing("web", namespace))
    async with (
        mirroring(server, namespaces=("a", "b")) as services,
        mirroring(server, Kind.NAMESPACES, namespaces=("a", "b")) as namespaces,
    ):
        for mirror in (services, namespaces):
            await wait_for(lambda mirror=mirror: mirror.sink.synced and server.streams(mirror.kind) == 2)  # type: ignore[misc]
            assert mirror.sink.count(ListStarted) == mirror.sink.count(ListDone) == 1
        server.put(Kind.SERVICES, thing("more", "b"))
        server.put(Kind.SERVICES, thing("more", "c"))
        server.delete(Kind.SERVICES, "a", "web")
        both = {(Kind.SERVICES, "b", "web"), (Kind.SERVICES, "b", "more")}
        await wait_for(lambda: set(services.sink.objects) == both)
        assert namespaces.sink.names(Kind.NAMESPACES) == {"a", "b"}
        # One of them expires: the list of all of them is taken again, and nothing is lost meanwhile.
        services.sink.guarded = both
        next(iter(watch for watch in server.watches if watch.kind is Kind.SERVICES)).command = "gone"
        server.put(Kind.SERVICES, thing("web", "b", labels={"v": "2"}))
        await wait_for(lambda: services.reflector.statistics().lists == 2)
        assert set(services.sink.objects) == both
        assert not services.sink.lost


async def test_one_namespace_that_may_not_be_read_costs_itself_only(server: ApiServer) -> None:
    for namespace in ("a", "b"):
        server.put(Kind.NAMESPACES, thing(namespace, "", status={}))
        server.put(Kind.SERVICES, thing("web", namespace))
    server.closed.add("b")
    with capture_logs() as logs:
        async with (
            mirroring(server, namespaces=("a", "b"), timing=CHECKED) as services,
            mirroring(server, Kind.NAMESPACES, namespaces=("a", "b")) as namespaces,
        ):
            # At the start nothing is known of b: the kind is not there, but a is followed.
            server.put(Kind.SERVICES, thing("more", "a"))
            await wait_for(lambda: services.sink.names(Kind.SERVICES) == {"web", "more"})
            await wait_for(lambda: services.reflector.statistics().forbidden)
            assert not services.sink.synced
            server.closed.clear()
            for mirror in (services, namespaces):
                await mirror.wait_equal()
                await wait_for(lambda mirror=mirror: server.streams(mirror.kind) == 2)  # type: ignore[misc]
            # The right is taken away, and then a's history is compacted: what is known of b stays, and a is right.
            before = services.reflector.statistics().last_heard
            server.closed.add("b")
            services.sink.guarded = {(Kind.SERVICES, "b", "web")}
            namespaces.sink.guarded = {(Kind.NAMESPACES, "", "b")}
            lists = services.reflector.statistics().lists
            server.disturb("gone")
            server.put(Kind.SERVICES, thing("new", "a"))
            server.delete(Kind.SERVICES, "a", "web")
            server.delete(Kind.SERVICES, "b", "web")
            left = {(Kind.SERVICES, "a", "new"), (Kind.SERVICES, "a", "more"), (Kind.SERVICES, "b", "web")}
            await wait_for(lambda: services.reflector.statistics().lists > lists)
            await wait_for(lambda: set(services.sink.objects) == left)
            for _ in range(5):
                server.put(Kind.SERVICES, thing("new", "a", labels={"n": str(server.store.version)}))
                await trio.sleep(0.05)
            statistics = services.reflector.statistics()
            assert (statistics.forbidden, statistics.state) == (True, State.FORBIDDEN)
            assert before is not None
            assert statistics.last_heard is not None
            assert statistics.last_heard < trio.current_time() - 0.2, "as old as what is known of b"
            assert not services.sink.lost
            assert not namespaces.sink.lost
            # It may be read again: all is as the server has it.
            services.sink.guarded = set()
            server.closed.clear()
            await services.wait_equal()
            await wait_for(lambda: services.reflector.statistics().state is State.WATCHING)
            assert not services.reflector.statistics().forbidden
    denials = [log for log in logs if log["log_level"] == "error" and log.get("kind") == "services"]
    assert len(denials) == 2, "once each time, and not with each event of the other namespace"


async def test_namespace_labels_choose_namespaces(server: ApiServer) -> None:
    server.put(Kind.NAMESPACES, thing("in", "", labels={"dns": "yes"}, status={}))
    server.put(Kind.NAMESPACES, thing("out", "", status={}))
    async with mirroring(server, Kind.NAMESPACES, namespace_labels="dns in (yes, si)") as mirror:
        await wait_for(lambda: mirror.sink.synced and server.streams(mirror.kind))
        assert mirror.sink.names(Kind.NAMESPACES) == {"in"}
        server.put(Kind.NAMESPACES, thing("out", "", labels={"dns": "si"}, status={}))
        server.put(Kind.NAMESPACES, thing("in", "", labels={"dns": "no"}, status={}))
        await wait_for(lambda: mirror.sink.names(Kind.NAMESPACES) == {"out"})


async def test_pods_that_have_ended_are_not_asked_for(server: ApiServer) -> None:
    server.put(Kind.PODS, thing("runs", status={"phase": "Running"}))
    server.put(Kind.PODS, thing("done", status={"phase": "Succeeded"}))
    async with mirroring(server, Kind.PODS) as mirror:
        await wait_for(lambda: mirror.sink.names(Kind.PODS) == {"runs"} and server.streams(Kind.PODS))
        server.put(Kind.PODS, thing("runs", status={"phase": "Failed"}))
        await wait_for(lambda: not mirror.sink.objects)


async def test_retry_after_is_waited_for(server: ApiServer) -> None:
    server.faults.append(Fault("status", status=429, headers={"retry-after": "1"}))
    start = trio.current_time()
    async with mirroring(filled(server)) as mirror:
        await mirror.wait_equal()
        assert trio.current_time() - start >= 1.0


async def test_a_new_token(server: ApiServer) -> None:
    """It expires while a watch is open; the next request is refused once, and then made with the new one."""
    async with mirroring(filled(server)) as mirror:
        await settled(mirror)
        server.token = "a-newer-one"
        server.disturb("cut")
        await churn(mirror)
        await mirror.wait_equal()
        assert mirror.reflector.statistics().lists == 1
        assert mirror.loads == 2


async def test_a_new_certificate_of_a_new_authority(server: ApiServer) -> None:
    async with mirroring(filled(server)) as mirror:
        await settled(mirror)
        server.new_certificate()
        server.disturb("cut")
        await churn(mirror)
        await mirror.wait_equal()
        assert mirror.reflector.statistics().lists == 1


async def test_a_kubeconfig_that_leads_to_another_server(server: ApiServer) -> None:
    """What the other one has is listed, although it takes the version of the first one, and all else is gone."""
    async with serving(ApiServer()) as other, mirroring(filled(server)) as mirror:
        await settled(mirror)
        filled(other, 5)
        for number in range(8):
            other.put(Kind.SERVICES, thing("s1", labels={"changed": str(number)}))
        old, mirror.server = server, other
        old.token = "nobody-has-it"
        old.disturb("cut")
        await settled(mirror)
        assert mirror.sink.names(Kind.SERVICES) == {f"s{number}" for number in range(5)}
        assert mirror.reflector.statistics().lists == 2
        assert mirror.reflector.statistics().resyncs == {"gone": 1}


async def test_a_wall_clock_that_jumps(server: ApiServer) -> None:
    wall = [1e9]
    async with mirroring(filled(server), wall=lambda: wall[0]) as mirror:
        await settled(mirror)
        for now in (2e9, 0.0, 1e9):
            wall[0] = now
            server.put(Kind.SERVICES, thing(f"at-{now:.0f}"))
            await mirror.wait_equal()
        assert mirror.reflector.statistics().reconnects == {}


async def test_programming_latency(server: ApiServer) -> None:
    now = datetime(2026, 11, 21, 3, 0, 0, tzinfo=UTC).timestamp()
    seen: list[tuple[str, float, bool]] = []

    def on_programmed(each: EndpointSlice, seconds: float, initial: bool) -> None:
        seen.append((each.metadata.name, seconds, initial))

    def slice_at(name: str, stamp: str, **rest: Any) -> dict[str, Any]:
        return thing(
            name, annotations={"endpoints.kubernetes.io/last-change-trigger-time": stamp}, addressType="IPv4", **rest
        )

    server.put(Kind.ENDPOINTSLICES, slice_at("old", "2026-11-21T02:00:00Z"))
    server.put(Kind.ENDPOINTSLICES, thing("by-hand", addressType="IPv4"))
    async with mirroring(server, Kind.ENDPOINTSLICES, on_programmed=on_programmed, wall=lambda: now) as mirror:
        await settled(mirror)
        server.put(Kind.ENDPOINTSLICES, slice_at("new", "2026-11-21T02:59:59.123456789Z"))
        server.put(Kind.ENDPOINTSLICES, slice_at("odd", "yesterday"))
        server.put(Kind.ENDPOINTSLICES, slice_at("from-a-clock-ahead", "2027-11-21T03:00:00Z"))
        await mirror.wait_equal()
        assert seen == [
            ("old", 3600.0, True),
            ("new", pytest.approx(0.876544), False),
            ("from-a-clock-ahead", 0.0, False),
        ]


# The consistency check

CHECKED = Timing(
    backoff_first=0.01, backoff_max=0.05, check_interval=0.05, check_retry=0.05, check_page_pause=0.0, denied_retry=0.1
)


async def test_the_check_heals_what_went_wrong(server: ApiServer) -> None:
    async with mirroring(filled(server), timing=CHECKED) as mirror:
        await mirror.wait_equal()
        await wait_for(lambda: mirror.reflector.statistics().checks >= 2)
        assert mirror.reflector.statistics().repairs == 0
        key = next(iter(mirror.sink.objects))
        wrong = mirror.sink.objects.pop(key)
        mirror.sink.objects[Kind.SERVICES, "shop", "ghost"] = wrong
        await mirror.wait_equal()
        assert mirror.reflector.statistics().repairs == 2
        assert mirror.reflector.statistics().lists == 1


async def test_checks_are_turned_off_and_on_while_it_runs(server: ApiServer) -> None:
    async with mirroring(filled(server), timing=CHECKED) as mirror:
        await wait_for(lambda: mirror.reflector.statistics().checks >= 2)
        mirror.reflector.use(FAST)
        await trio.sleep(0.1)  # one may be under way
        checks = mirror.reflector.statistics().checks
        await trio.sleep(0.3)
        assert mirror.reflector.statistics().checks == checks
        mirror.reflector.use(CHECKED)
        await wait_for(lambda: mirror.reflector.statistics().checks >= checks + 2)


async def test_a_bug_in_reading_an_object_costs_a_check_that_object_only(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(kind: Kind, raw: msgspec.Raw) -> Object:
        if b'"odd"' in bytes(raw):
            raise ZeroDivisionError
        return from_json(kind, raw)

    monkeypatch.setattr("dnsserver.kube.reflector.from_json", read)
    # A page with an object that cannot be read in one go is read object by object.
    server.put(Kind.SERVICES, thing("bad", spec={"clusterIP": 7}))
    server.put(Kind.SERVICES, thing("odd"))
    server.put(Kind.SERVICES, thing("good"))
    faults = Faults()
    async with mirroring(server, timing=CHECKED, faults=faults) as mirror:
        await wait_for(lambda: mirror.reflector.statistics().checks >= 2)
        assert mirror.sink.names(Kind.SERVICES) == {"good"}
        assert faults.counts["event"] >= 2
        assert mirror.reflector.statistics().lists == 1


async def test_the_check_never_brings_old_state_back(server: ApiServer) -> None:
    """Each object's versions only grow, and what was deleted stays so, with checks and changes at full speed."""
    filled(server, 30)
    rng = random.Random(7)
    async with mirroring(server, timing=CHECKED, page_size=2) as mirror:
        await settled(mirror)
        deleted: dict[tuple[str, str], int] = {}
        for _ in range(600):
            name = f"s{rng.randrange(30)}"
            if rng.random() < 0.3 and f"shop/{name}\0" in server.store.objects[Kind.SERVICES]:
                server.delete(Kind.SERVICES, "shop", name)
                deleted["shop", name] = server.store.version
            else:
                server.put(Kind.SERVICES, thing(name, labels={"n": str(rng.random())}))
            await trio.sleep(0.001 if rng.random() < 0.3 else 0)
        await mirror.wait_equal()
        await wait_for(lambda: mirror.reflector.statistics().checks >= 3)
        assert mirror.is_equal()
        newest: dict[str, int] = {}
        gone: dict[str, int] = {}
        for event in mirror.sink.events:
            if isinstance(event, Put):
                name, version = event.object.metadata.name, int(event.object.metadata.resource_version)
                assert version >= newest.get(name, 0)
                assert version > gone.get(name, 0)
                newest[name] = version
            elif isinstance(event, Remove):
                gone[event.name] = newest.get(event.name, 0)
        assert mirror.reflector.statistics().repairs == 0


async def test_a_check_at_a_version_that_is_gone_is_put_off(server: ApiServer) -> None:
    async with mirroring(filled(server), timing=CHECKED) as mirror:
        await settled(mirror)
        server.put(Kind.PODS, thing("other"))
        server.compact()
        await wait_for(lambda: mirror.reflector.statistics().checks_failed)
        assert mirror.sink.count(ListDropped) == mirror.reflector.statistics().checks_failed
        server.disturb("bookmark")
        checks = mirror.reflector.statistics().checks
        await wait_for(lambda: mirror.reflector.statistics().checks > checks)
        assert mirror.reflector.statistics().lists == 1


async def test_cuts_during_checks_do_no_harm(server: ApiServer) -> None:
    filled(server, 30)
    async with mirroring(server, timing=CHECKED, page_size=2) as mirror:
        await settled(mirror)
        for command in ("cut", "reset", "gone", "half", "gone"):
            checks = mirror.reflector.statistics().checks
            await churn(mirror)
            server.disturb(command)
            server.put(Kind.SERVICES, thing("s6"))
            await wait_for(lambda checks=checks: mirror.reflector.statistics().checks > checks)  # type: ignore[misc]
            await mirror.wait_equal()
        assert not mirror.sink.lost
        assert mirror.reflector.statistics().repairs == 0


# Everything at once

COMMANDS = ["end", "cut", "reset", "half", "silence", "gone", "garbage", "repeat", "bookmark", "idle-event"]
FAULTS = ["reset", "close", "hang", "silent", "half", "half-reset", "garbage", "slow", "goaway", "gone", "too-large"]


@pytest.mark.parametrize("seed", range(12))
async def test_any_schedule_of_faults_ends_in_the_servers_state(server: ApiServer, seed: int) -> None:
    rng = random.Random(seed)
    filled(server)
    server.streaming = rng.random() < 0.5
    server.bookmark_interval = rng.choice([0.02, 60.0])
    timing = CHECKED if rng.random() < 0.5 else FAST
    async with mirroring(server, read_timeout=0.15, timing=timing, page_size=rng.choice([1, 3, 500])) as mirror:
        await wait_for(lambda: mirror.sink.synced)
        mirror.sink.guarded = {key for key in mirror.sink.objects if key[2] in {"s0", "s1", "s2"}}
        for _ in range(60):
            name = f"s{rng.randrange(3, 14)}"
            match rng.randrange(10):
                case 0:
                    server.disturb(rng.choice(COMMANDS))
                case 1:
                    server.faults.append(Fault(rng.choice(FAULTS), verb=rng.choice(["", "page", "list", "watch"])))
                case 2:
                    status = rng.choice([401, 403, 404, 429, 500, 503])
                    server.faults.append(Fault("status", status=status, times=rng.randrange(1, 4)))
                case 3 if rng.random() < 0.3:
                    server.compact()
                case 3:
                    server.stop()
                    await trio.sleep(rng.random() * 0.02)
                    server.start()
                case 4 | 5 if f"shop/{name}\0" in server.store.objects[Kind.SERVICES]:
                    server.delete(Kind.SERVICES, "shop", name)
                case _:
                    server.put(Kind.SERVICES, thing(name, labels={"n": str(rng.random())}))
            await trio.sleep(rng.choice([0, 0, 0.001, 0.01]))
        server.faults.clear()
        await mirror.wait_equal()
        assert not mirror.sink.lost
        assert mirror.reflector.statistics().repairs == 0


async def test_one_list_gives_the_same(server: ApiServer) -> None:
    """The sink that followed everything and the one that starts now hold the same objects."""
    async with mirroring(filled(server)) as old:
        await settled(old)
        await churn(old)
        await old.wait_equal()
        async with mirroring(server) as new:
            await new.wait_equal()
            assert new.sink.objects == old.sink.objects
            assert versions(new.sink.objects, Kind.SERVICES) == stored_versions(server.store, Kind.SERVICES)


async def test_a_client_that_closes_ends_its_streams(server: ApiServer) -> None:
    mirror = Mirror(filled(server), Kind.SERVICES)
    async with aclosing(
        mirror.client.watch(scopes_of(Kind.SERVICES)[0], str(server.store.version), seconds=60)
    ) as lines:
        server.put(Kind.SERVICES, thing("new"))
        line = await anext(lines)
        assert line.type == "ADDED"
        await mirror.client.aclose()
        with pytest.raises(ApiError):
            await anext(lines)


async def test_changes_as_fast_as_they_go(server: ApiServer) -> None:
    fill(server.store, Size(namespaces=3, services=30, slices=40, endpoints=160))
    async with (
        mirroring(server, Kind.ENDPOINTSLICES) as slices,
        mirroring(server, Kind.SERVICES) as services,
    ):
        await slices.wait_equal()
        await services.wait_equal()
        await generated.churn(server, 2000)
        await slices.wait_equal()
        await services.wait_equal()
        assert len(server.store.objects[Kind.ENDPOINTSLICES]) == 40
        assert slices.reflector.statistics().lists == 1, "none was missed"
