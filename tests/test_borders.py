"""Every border of the server: the test injects a fault in it, only one thing is lost, and the server goes on.

The table has a row for each way in which a `Place` is met; a place without a row, and a task that no border keeps, fail
a test of their own.

Over 400 lines: one table, and the checks of its rows.
"""

import ast
import errno
import os
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import dns.message
import msgspec
import pytest
import trio

from dnsserver import faults, metrics
from dnsserver.app import digest, reload, server, sync, worker, worker_protocol, workers, zone_snapshot
from dnsserver.app.child import Child
from dnsserver.app.dns_service import DnsService
from dnsserver.app.metrics_collector import Lag, MetricsCollector
from dnsserver.app.takeover import Offer
from dnsserver.app.traffic import TrafficCounter
from dnsserver.app.zone_updater import ZoneUpdater
from dnsserver.config.model import Clients, Tcp
from dnsserver.faults import PLACES, Place
from dnsserver.forward import forwarder, sources
from dnsserver.forward.answer_cache import AnswerCache
from dnsserver.forward.lookup import Lookup
from dnsserver.forward.probes import Probes
from dnsserver.forward.transport_stream import StreamTransport
from dnsserver.forward.transport_udp import UdpTransport
from dnsserver.kube import reflector
from dnsserver.kube.api import Client
from dnsserver.kube.objects import ObjectFiles
from dnsserver.page.recorder import Recorder
from dnsserver.resolver.reply_cache import AgingReply, ReplyCache, RingReply
from dnsserver.server import batch, mmsg, unbatched
from dnsserver.server.admin import Admin
from dnsserver.server.connection import Connection
from dnsserver.server.guard import Guard
from dnsserver.server.reply import ReplyWriter
from dnsserver.wire import upstream_reply
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListStarted, Put, Remove
from tests.answering import Answering
from tests.cluster import decoded, listed, service
from tests.faulty import ADDRESS, BASE, PATIENCE, TWO, WEB, Border, Fuse, InjectedError, Running, helpful, running
from tests.forward.scripted import Query, silent
from tests.kube.support import thing
from tests.running import HOST, config

# --- what is lost


async def one_reply_is_servfail(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask_all([WEB, WEB.replace("web", "none")]) == ["SERVFAIL", "NXDOMAIN"]


async def one_reply_over_tcp_is_servfail(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask_all([WEB, WEB.replace("web", "none")], tcp=True) == ["SERVFAIL", "NXDOMAIN"]


async def nothing_is_lost_of_a_batch(run: Running) -> None:
    for _ in range(3):
        assert await run.ask(TWO)
    (kept,) = run.kept(RingReply)
    run.fuse.arm()
    said = await run.ask_all([WEB, TWO, WEB, TWO, WEB])
    assert said[::2] == [ADDRESS] * 3
    assert None not in said
    assert "SERVFAIL" not in said
    assert kept not in run.kept(RingReply)  # what fails once fails again


async def nothing_is_lost_of_a_connection(run: Running) -> None:
    for _ in range(3):
        assert await run.ask(TWO, tcp=True)
    (kept,) = run.kept(RingReply)
    run.fuse.arm()
    said = await run.ask_all([WEB, TWO, WEB, TWO, WEB], tcp=True)
    assert said[::2] == [ADDRESS] * 3
    assert None not in said
    assert "SERVFAIL" not in said
    assert kept not in run.kept(RingReply)


async def nothing_is_lost_of_another_spelling(run: Running) -> None:
    for _ in range(3):
        assert await run.ask(TWO)
    run.fuse.arm()
    assert await run.ask(TWO.upper()) in {"10.1.0.1", "10.1.0.2"}


async def nothing_is_lost_of_what_is_kept_of_the_outside(run: Running) -> None:
    for _ in range(3):
        assert await run.ask("kept.example.") == "192.0.2.1"
    await trio.sleep(1.1)  # TTLs are counted down once a second
    run.fuse.arm()
    assert await run.ask("kept.example.") == "192.0.2.1"


async def a_client_is_not_judged(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask(WEB) == ADDRESS


async def a_client_over_tcp_is_not_judged(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask(WEB, tcp=True) == ADDRESS


async def a_batch_is_lost_at_most(run: Running) -> None:
    run.fuse.arm()
    said = await run.ask_all([WEB, WEB], patience=1.5)
    assert said in ([ADDRESS, ADDRESS], [None, None], [None, ADDRESS])  # in one batch or in two


async def nothing_is_lost_of_an_empty_socket(run: Running) -> None:
    run.fuse.arm()
    with trio.fail_after(PATIENCE):
        while not run.fuse.blown:  # it is looked at once more only after a batch of some size
            assert await run.ask_all([WEB] * 32) == [ADDRESS] * 32


async def one_reply_is_lost(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask_all([WEB, WEB, WEB], patience=1.5) == [None, ADDRESS, ADDRESS]


async def a_question_outside_is_late_at_most(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask("held.example.") == "192.0.2.1"


async def a_connection_is_closed_and_no_other(run: Running) -> None:
    stream = await trio.open_tcp_stream(HOST, run.port)
    async with stream:
        packet = dns.message.make_query(WEB, "A").to_wire()
        await stream.send_all(len(packet).to_bytes(2) + packet)
        assert await stream.receive_some()
        run.fuse.arm()
        assert await run.ask(WEB, tcp=True, patience=2.0) is None
        await stream.send_all(len(packet).to_bytes(2) + packet)
        assert await stream.receive_some()


async def a_connection_is_not_taken_in(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask(WEB, tcp=True, patience=1.5) is None


async def a_silent_connection_is_closed_later(run: Running) -> None:
    run.fuse.arm()
    stream = await trio.open_tcp_stream(HOST, run.port)
    async with stream:
        with trio.fail_after(PATIENCE):
            assert not await stream.receive_some()


async def one_question_outside_is_servfail(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask("lost.example.") == "SERVFAIL"
    assert await run.ask("lost.example.") == "192.0.2.1"  # and nobody waits behind it for ever


async def one_question_outside_is_asked_again(run: Running) -> None:
    run.fuse.arm()
    assert await run.ask("again.example.") in {"192.0.2.1", "SERVFAIL"}
    assert await run.ask("again.example.") == "192.0.2.1"


async def one_question_over_tcp_is_asked_again(run: Running) -> None:
    async def by_tcp(query: Query) -> None:
        await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1", truncated=query.protocol == "udp"))

    run.script[0] = by_tcp
    run.fuse.arm()
    assert await run.ask("over.example.") in {"192.0.2.1", "SERVFAIL"}
    assert await run.ask("tcp.example.") == "192.0.2.1"


async def one_question_on_a_connection_that_ends_is_lost(run: Running) -> None:
    async def hangs_up(query: Query) -> None:
        if query.protocol == "udp":
            await query.send(query.reply(truncated=True))
        else:
            await query.close()

    run.script[0] = hangs_up
    run.fuse.arm()
    assert await run.ask("over.example.") == "SERVFAIL"
    run.script[0] = helpful
    await run.wait_blown()


async def one_question_ends_early(run: Running) -> None:
    run.script[0], answers = silent, run.script[0]
    run.fuse.arm()
    assert await run.ask("early.example.") == "SERVFAIL"
    run.script[0] = answers
    await run.until(lambda: not run.server.dns.forwarder.statistics().in_flight)
    for _ in range(20):  # until a probe has found that the upstream is back
        if await run.ask("back.example.") == "192.0.2.1":
            break
    assert await run.ask("early.example.") == "192.0.2.1"


async def one_client_of_two_gets_no_reply(run: Running) -> None:
    async def late(query: Query) -> None:
        await trio.sleep(0.2)
        await query.send(query.reply(f"{query.name} 300 IN A 192.0.2.1"))

    run.script[0] = late
    run.fuse.arm()
    assert sorted(map(str, await run.ask_all(["both.example.", "both.example."], patience=1.5))) == [
        "192.0.2.1",
        "None",
    ]


async def nothing_is_lost(run: Running) -> None:
    run.fuse.arm()
    await run.wait_blown()


async def nothing_is_lost_since_the_start(run: Running) -> None:
    await run.wait_blown()


async def one_event_is_lost(run: Running) -> None:
    assert await run.ask(WEB) == ADDRESS
    assert any(table.replies for table in run.server.dns.replies.tables)
    run.fuse.arm()
    for number in (1, 2):
        run.server.sync.apply(Put(decoded(service(f"new{number}", f"10.9.1.{number}"))))
    assert await run.ask("new1.shop.svc.cluster.local.") == "NXDOMAIN"
    assert await run.ask("new2.shop.svc.cluster.local.") == "10.9.1.2"


async def one_event_drops_no_reply_by_name_but_all(run: Running) -> None:
    for _ in range(3):
        assert await run.ask(WEB) == ADDRESS
    run.fuse.arm()
    run.server.sync.apply(Put(decoded(service("web", "10.9.0.9"))))
    assert await run.ask(WEB) == "10.9.0.9"
    run.server.sync.apply(Put(decoded(service("web", ADDRESS))))


async def one_event_is_lost_to_one_listener(run: Running) -> None:
    heard: list[Any] = []

    def breaks(event: Any) -> None:
        del event
        run.fuse.blown += 1
        raise InjectedError

    run.server.sync.listeners[:0] = [breaks]
    run.server.sync.listeners.append(heard.append)
    event = Put(decoded(service("new", "10.9.1.1")))
    run.server.sync.apply(event)
    assert heard == [event]
    run.server.sync.listeners.remove(breaks)


async def what_goes_goes_a_moment_later(run: Running) -> None:
    run.fuse.arm()
    run.server.sync.apply(Remove(Kind.ENDPOINTSLICES, "shop", "two-1"))
    await run.wait_blown()
    with trio.fail_after(PATIENCE):
        while await run.ask(TWO) != "NXDOMAIN":  # noqa: ASYNC110
            await trio.sleep(0.01)


async def one_object_of_the_api_is_lost(run: Running) -> None:
    assert await run.ask(WEB) == ADDRESS
    assert await run.ask("odd.shop.svc.cluster.local.") == "NXDOMAIN"


async def one_watch_is_begun_again(run: Running) -> None:
    assert run.api is not None
    await run.until(lambda: run.api and run.api.watches)
    run.fuse.arm()
    run.api.put(Kind.SERVICES, thing("late", spec={"clusterIP": "10.9.0.8"}))
    await run.wait_blown()
    with trio.fail_after(PATIENCE):
        while await run.ask("late.shop.svc.cluster.local.") != "10.9.0.8":  # noqa: ASYNC110
            await trio.sleep(0.05)


async def one_page_is_an_error(run: Running) -> None:
    run.fuse.arm()
    assert await run.get("/readyz") == 500
    assert await run.get("/readyz") == 200


async def one_scrape_is_an_error(run: Running) -> None:
    run.fuse.arm()
    assert await run.get("/metrics") == 500
    assert await run.get("/metrics") == 200


async def one_failure_is_not_told(run: Running) -> None:
    told: list[bytes] = []
    run.server.dns.digest.consumers.append(lambda seen: told.append(seen.name))
    run.fuse.arm()
    assert await run.ask_all(["a.invalid.", "b.invalid."]) == ["NXDOMAIN", "NXDOMAIN"]
    await run.until(lambda: run.fuse.blown)
    await run.until(lambda: told)
    assert told == [b"\1b\7invalid\0"]


async def one_look_is_not_counted(run: Running) -> None:
    run.fuse.arm()
    await run.until(lambda: run.fuse.blown)
    assert await run.get("/top") == 200


async def another_worker_is_started(run: Running) -> None:
    await run.until(run.server.workers.processes)
    assert run.fuse.blown


def _hits(*arguments: Any) -> bool:
    return len(arguments) == 4  # by `record_hits`; a question asks without


def _odd(_kind: Any, raw: Any) -> bool:
    return b"odd" in bytes(raw)


TAKEOVER = Path(gettempdir(), f"takeover-{os.getpid()}")
LIMITED = {"clients": Clients(rate=9999)}
TABLE = [
    Border("question", ReplyWriter, "local", one_reply_is_servfail),
    Border("question", ReplyWriter, "local", one_reply_over_tcp_is_servfail),
    Border("question", ReplyWriter, "local", one_reply_is_servfail, unbatched=True),
    Border("cache-hit", RingReply, "renew", nothing_is_lost_of_a_batch),
    Border("cache-hit", RingReply, "renew", nothing_is_lost_of_a_batch, unbatched=True),
    Border("cache-hit", RingReply, "renew", nothing_is_lost_of_a_connection),
    Border("cache-hit", RingReply, "renew", nothing_is_lost_of_another_spelling),
    Border("cache-hit", AgingReply, "renew", nothing_is_lost_of_what_is_kept_of_the_outside),
    Border("prefetch", AnswerCache, "renewal_due", nothing_is_lost_of_what_is_kept_of_the_outside, _hits),
    Border("client-limits", Guard, "admission_denial", a_client_is_not_judged, settings=LIMITED),
    Border(
        "client-limits",
        Guard,
        "admission_denial",
        a_client_is_not_judged,
        settings=LIMITED,
        unbatched=True,
    ),
    Border("client-limits", Guard, "admission_denial", a_client_over_tcp_is_not_judged, settings=LIMITED),
    Border("udp", batch.BatchPort, "_take_error", nothing_is_lost_of_an_empty_socket),
    Border("udp", batch.BatchPort, "_send", a_batch_is_lost_at_most),
    Border("udp", UdpTransport, "uncork", a_question_outside_is_late_at_most),
    Border("udp", unbatched.UnbatchedPort, "send", one_reply_is_lost, unbatched=True),
    Border("tcp", Connection, "read", a_connection_is_closed_and_no_other),
    Border("tcp-accept", Connection, "wants", a_connection_is_not_taken_in, lambda c: not c.events),
    Border("tcp-accept", Connection, "__init__", a_connection_is_not_taken_in),
    Border(
        "tcp-deadlines", Connection, "deadline", a_silent_connection_is_closed_later, settings={"tcp": Tcp(idle=1.0)}
    ),
    Border(
        "upstream-query", UdpTransport, "send", one_question_outside_is_servfail, lambda _, a, *__: a.lookup is not None
    ),
    Border("upstream-reply", upstream_reply, "read", one_question_outside_is_asked_again),
    Border("upstream-reply", UdpTransport, "_receive", one_question_outside_is_asked_again),
    Border("upstream-reply", StreamTransport, "_judge", one_question_over_tcp_is_asked_again),
    Border("upstream-stream", StreamTransport, "_read", one_question_over_tcp_is_asked_again),
    Border("upstream-stream", StreamTransport, "_ask_again", one_question_on_a_connection_that_ends_is_lost),
    Border("upstream-timer", Lookup, "on_timer", one_question_ends_early),
    Border("upstream-outcome", AnswerCache, "put", one_question_outside_is_servfail),
    Border("upstream-probes", UdpTransport, "sweep", nothing_is_lost),
    Border("upstream-probes", Probes, "_send_probe_if_due", nothing_is_lost),
    Border("upstream-source", sources, "follow_upstreams", nothing_is_lost_since_the_start, armed=True),
    Border("delivery", mmsg.Outbox, "add", one_client_of_two_gets_no_reply),
    Border("event", Cluster, "apply", one_event_is_lost),
    Border("event", ReplyCache, "drop", one_event_drops_no_reply_by_name_but_all),
    Border("event", ZoneUpdater, "apply", one_event_is_lost),
    Border("event", forwarder.Forwarder, "take_strangers", one_event_is_lost_to_one_listener),
    Border("event", reflector, "from_json", one_object_of_the_api_is_lost, _odd, armed=True, api=True),
    Border("grace", Cluster, "expire", what_goes_goes_a_moment_later),
    Border("age", sync.Sync, "_judge_age", nothing_is_lost),
    Border("objects", ObjectFiles, "run", nothing_is_lost_since_the_start, armed=True, files=True),
    Border("api", reflector.Reflector, "_list_then_watch", nothing_is_lost_since_the_start, armed=True, api=True),
    Border("api", Client, "expect_way_in", nothing_is_lost_since_the_start, armed=True, api=True),
    Border("api", reflector.Reflector, "_watched", one_watch_is_begun_again, api=True),
    Border("snapshot", zone_snapshot.ZoneSnapshot, "load", nothing_is_lost_since_the_start, armed=True, api=True),
    Border("snapshot", sync.Sync, "_versions", nothing_is_lost_since_the_start, armed=True, api=True),
    Border("observed", digest, "observed", one_failure_is_not_told),
    Border("observed", TrafficCounter, "count", one_look_is_not_counted),
    Border("memory", DnsService, "_let_go", nothing_is_lost_since_the_start, armed=True),
    Border("metrics", Lag, "watch", nothing_is_lost_since_the_start, armed=True),
    Border("overview", Recorder, "watch", nothing_is_lost_since_the_start, armed=True),
    Border("page", MetricsCollector, "brief", one_page_is_an_error),
    Border("page", MetricsCollector, "readings", one_scrape_is_an_error),
    Border("admin", Admin, "run", nothing_is_lost_since_the_start, armed=True),
    Border("announce", server, "spare_zone", nothing_is_lost_since_the_start, armed=True),
    Border("reload", reload.Reloader, "_reload", nothing_is_lost_since_the_start, armed=True),
    Border("takeover", Offer, "run", nothing_is_lost_since_the_start, armed=True, settings={"takeover": TAKEOVER}),
    Border("workers", Child, "__init__", another_worker_is_started, armed=True, settings={"workers": 2}),
    Border("workers", workers.Workers, "_feed_kind", another_worker_is_started, armed=True, settings={"workers": 2}),
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks for the packets of one batch")
@pytest.mark.parametrize("border", TABLE, ids=lambda border: border.id)
async def test_a_fault_costs_one_thing_and_the_server_answers_on(
    border: Border, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(border, tmp_path, monkeypatch) as run:
        await border.scenario(run)
        assert run.fuse.blown == 1
        run.script[0] = helpful
        with trio.fail_after(PATIENCE):
            assert await run.ask(WEB) == ADDRESS
            assert await run.ask(WEB, tcp=True) == ADDRESS
            while await run.ask("after.example.") != "192.0.2.1":  # noqa: ASYNC110 - what is begun again may not be there
                await trio.sleep(0.05)
            while True:
                try:
                    assert await run.get("/healthz") == 200
                    break
                except OSError:  # it listens a moment later when that was what failed
                    await trio.sleep(0.05)
        assert dict(run.server.dns.faults.counts) == {border.place: 1}


@pytest.mark.parametrize("border", [TABLE[0]], ids=lambda border: border.id)
@pytest.mark.parametrize("error", [MemoryError, RecursionError, UnicodeError])
async def test_what_python_raises_itself_costs_one_question_as_well(
    error: type[Exception], border: Border, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(border, tmp_path, monkeypatch) as run:
        run.fuse.error = error
        await border.scenario(run)
        assert run.fuse.blown == 1
        assert await run.ask(WEB) == ADDRESS
        assert dict(run.server.dns.faults.counts) == {border.place: 1}


# --- the worker's end of the pipe


class _Stream(trio.abc.ReceiveStream):
    """Brings octets, and then nothing until it is closed."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        del max_bytes
        await trio.lowlevel.checkpoint()
        if not self._octets:
            await trio.sleep_forever()
        octets, self._octets = self._octets, b""
        return octets

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class _Sink(trio.abc.SendStream):
    """Takes what a worker says."""

    def __init__(self) -> None:
        self.frames = 0

    async def send_all(self, data: Any) -> None:
        del data
        self.frames += 1
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("owner", "name", "place"),
    [
        (worker.Worker, "_take", "worker-frame"),
        (Cluster, "apply", "event"),
        (worker, "process", "metrics"),
    ],
)
async def test_a_worker_loses_one_frame_and_answers(
    owner: Any, name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse(monkeypatch, owner, name, lambda *_: True)
    events = [Put(decoded(service("lost", "10.9.1.1"))), *listed(BASE)]
    octets = b"".join(worker_protocol.encode(event) for event in events if not isinstance(event, ListStarted))
    fuse.arm()
    made = worker.Worker(worker_protocol.Settings(config(), bytes(16), {}))
    answering = made.dns
    sink = _Sink()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, worker_protocol.frames(_Stream(octets)), sink)
        with trio.fail_after(PATIENCE):
            while not answering.udp or not fuse.blown:  # noqa: ASYNC110
                await trio.sleep(0.01)
        run = Running(made, fuse, 0, [])  # type: ignore[arg-type]  # its port is all that is asked
        monkeypatch.setattr(Running, "port", answering.udp[0][0].port)
        assert await run.ask(WEB) == ADDRESS
        assert dict(answering.faults.counts) == {place: 1}
        said = sink.frames
        with trio.fail_after(PATIENCE):
            while sink.frames <= said:  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_a_frame_that_cannot_be_read_costs_itself() -> None:
    bad = b"\0\0\0\1m\xc1"
    good = worker_protocol.Counts(metrics.Process(panics=7))
    unread: list[Exception] = []
    octets = bad + worker_protocol.encode(good)
    frames = worker_protocol.frames(_Stream(octets), unread.append)
    assert await anext(frames) == good
    assert [type(error) for error in unread] == [msgspec.DecodeError]
    await frames.aclose()


def test_a_kept_reply_that_fails_is_forgotten() -> None:
    cluster = Cluster()
    for event in listed(BASE):
        cluster.apply(event, 0, 1)
    answering = Answering(cluster)
    packet = dns.message.make_query(TWO, "A").to_wire()
    answering.ask(packet)
    assert packet[2:] in answering.port.table.replies
    answering.responder.forget(packet[2:], answering.port, InjectedError())
    assert packet[2:] not in answering.port.table.replies
    assert answering.replies.statistics().replies == 0
    assert dict(answering.responder.faults.counts) == {"cache-hit": 1}


def test_a_fault_is_counted_whatever_becomes_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def error(self, *_: Any, **__: Any) -> None:
            raise OSError(errno.EPIPE, "closed pipe")

    monkeypatch.setattr(faults, "log", Broken())
    kept = faults.Faults()
    kept.took("event", InjectedError())
    assert dict(kept.counts) == {"event": 1}


# --- the tables are complete


def test_every_place_has_a_row() -> None:
    assert {border.place for border in TABLE} | {"worker-frame"} == set(PLACES)


# Tasks that are started without `Faults`, and why a fault in them is no danger.
UNKEPT = {
    "dnsserver/app/compare.py: asking.receive": "`compare`, which serves nobody",
    "dnsserver/app/compare.py: compare": "likewise",
    "dnsserver/app/dns_service.py: self.forwarder.run": "keeps what it starts",
    "dnsserver/app/dns_service.py: self.listeners.run": "starts others only",
    "dnsserver/app/listeners.py: self._serve": "starts others only",
    "dnsserver/app/listeners.py: listener.udp.run": "starts others only",
    "dnsserver/app/listeners.py: listener.tcp.run": "keeps what it starts",
    "dnsserver/server/udp_listener.py: server.run": "starts others only, each kept",
    "dnsserver/app/rehearsal.py: ObjectFiles(path, lambda _: None).run": "`check`, which serves nobody",
    "dnsserver/app/server.py: self._drain": "the end itself",
    "dnsserver/app/server.py: self._end_on_signal": "the end itself",
    "dnsserver/app/server.py: end": "a part of the start: what it waits for is kept elsewhere",
    "dnsserver/app/server.py: self._run_admin": "keeps what it starts",
    "dnsserver/app/server.py: self._take_over": "a part of the start",
    "dnsserver/app/server.py: self.dns.run": "starts others only",
    "dnsserver/app/server.py: self.sync.run": "keeps what it starts",
    "dnsserver/app/server.py: self.workers.run": "keeps what it starts",
    "dnsserver/app/sync.py: self._api.run": "keeps what it starts",
    "dnsserver/app/sync.py: self.updater.expire": "keeps itself",
    "dnsserver/app/takeover.py: self._serve": "its failure is that of the task that is kept",
    "dnsserver/app/worker.py: self._updater.expire": "keeps itself",
    "dnsserver/app/worker.py: self._report": "guards each report; its end ends the worker, which is replaced",
    "dnsserver/app/worker.py: self.dns.run": "starts others only",
    "dnsserver/app/worker.py: self._listen": "its end ends the worker, which is replaced",
    "dnsserver/app/worker.py: self._reload": "its end ends the worker, which is replaced",
    "dnsserver/app/explain.py: process.dns.forwarder.run": "a command, which ends with it",
    "dnsserver/app/explain.py: process.sync.run": "a command, which ends with it",
    "dnsserver/app/explainer.py: self._answer": "a part of a page, which is kept",
    "dnsserver/app/zone_at_hand.py: sync.run": "a command, which ends with it",
    "dnsserver/forward/forwarder.py: self._followers.run": "keeps what it starts",
    "dnsserver/forward/sources.py: _find_file": "a part of a reload, which is kept",
    "dnsserver/forward/sources.py: _look_up": "a part of a reload, which is kept",
    "dnsserver/forward/sources.py: self._follow": "keeps what it starts",
    "dnsserver/server/udp.py: self._answer": "guards each turn",
}
OUTSIDE = {
    "self.outside",
    "self._outside",
    "self._forwarder",
    "of.outside",
    "self",
}  # whose `start` is that of a question
# Below a task that is kept: their failure is its failure.
BELOW = {
    "dnsserver/app/workers.py", "dnsserver/kube/reflector.py", "dnsserver/forward/transport_stream.py",
    "dnsserver/server/tcp.py", "dnsserver/server/http.py", "dnsserver/server/http_server.py",
    "dnsserver/server/admin.py",
}  # fmt: skip


def test_every_task_is_kept_or_says_why_not() -> None:
    found = set()
    root = Path(__file__).parents[1]
    for path in sorted((root / "dnsserver").rglob("*.py")):
        where = str(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="start_soon" | "start") as call, args=[first, *_]):
                    task = ast.unparse(first)
                    if ast.unparse(call).rpartition(".")[0] in OUTSIDE:  # a question, not a task
                        continue
                    if task.rpartition(".")[2] not in {"keep", "once", "start", "keep_started"} and where not in BELOW:
                        found.add(f"{where}: {task}")
    assert found == set(UNKEPT)
