"""Several processes that answer as one: they get events through a pipe, are counted together, and are replaced."""

import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver import metrics
from dnsserver.app import worker_protocol
from dnsserver.app.child import Child
from dnsserver.app.server import Server
from dnsserver.config import Address, Config, Domain, Upstream
from dnsserver.config.values import ZoneFile
from dnsserver.forward.entropy import Entropy
from dnsserver.forward.nonce import Nonces
from dnsserver.metrics.families import FAMILIES
from dnsserver.wire.message import EDE
from dnsserver.wire.name import ROOT
from dnsserver.zone.model import Kind, ListDone, ListStarted, Put, Remove
from dnsserver.zone.record import Reason
from tests.app.served_by_two import CLIENTS, NEW, OLD, PATIENCE, Program, all_say, is_complete, program, things, until
from tests.cluster import decoded, namespace, service
from tests.free_port import free_port
from tests.running import HOST, config, upstream_at
from tests.universe import with_denied

SETTINGS = worker_protocol.Settings(config(), b"s", {})


# --- the pipe


class Pipe(trio.abc.ReceiveStream):
    """Gives octets in pieces of certain sizes, and then ends."""

    def __init__(self, octets: bytes, sizes: Sequence[int]) -> None:
        self._octets = octets
        self._sizes = list(sizes)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        del max_bytes
        await trio.lowlevel.checkpoint()
        size = self._sizes.pop(0) if self._sizes else len(self._octets)
        piece, self._octets = self._octets[:size], self._octets[size:]
        return piece

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def receive(octets: bytes, sizes: Sequence[int] = ()) -> list[worker_protocol.Frame]:
    return [frame async for frame in worker_protocol.frames(Pipe(octets, sizes))]


def received(octets: bytes, sizes: Sequence[int] = ()) -> list[worker_protocol.Frame]:
    return trio.run(receive, octets, sizes)


_reasons = st.builds(Reason, st.text(), st.sampled_from([None, *EDE]), st.text())
_counts = st.dictionaries(st.tuples(st.integers(0, 65535), st.integers(0, 23), st.text()), st.integers(0, 1 << 60))
_traffic = st.builds(
    metrics.Traffic,
    server=st.sampled_from(["dns://:53", "dns://10.9.0.10:53"]),
    protocol=st.sampled_from(["udp", "tcp"]),
    family=st.sampled_from(["1", "2"]),
    replies=_counts,
    from_cache=_counts,
    durations=st.builds(metrics.Histogram),
)
_processes = st.builds(
    metrics.Process,
    traffic=st.lists(_traffic, max_size=2, unique_by=lambda part: (part.server, part.protocol, part.family)).map(tuple),
    limited=st.dictionaries(st.text(), st.integers(0, 1 << 60)),
    panics=st.integers(0, 1 << 60),
)
_frames: st.SearchStrategy[worker_protocol.Frame] = st.one_of(
    with_denied,
    st.builds(worker_protocol.Flush, st.binary(), st.booleans()),
    st.builds(worker_protocol.ProbeSeen, st.binary()),
    st.builds(worker_protocol.Stale, st.none() | _reasons),
    st.builds(worker_protocol.Counts, _processes),
    st.just(worker_protocol.Beat()),
    st.builds(worker_protocol.Echo, st.integers(0, 2**63 - 1)),
)
_sizes = st.lists(st.integers(1, 400), max_size=30)


@settings(deadline=None)
@given(st.lists(_frames, max_size=6), _sizes)
def test_what_goes_into_the_pipe_comes_out_however_it_is_cut(
    sent: list[worker_protocol.Frame], sizes: list[int]
) -> None:
    assert received(b"".join(map(worker_protocol.encode, sent)), sizes) == sent


def test_the_whole_configuration_goes_through_the_pipe() -> None:
    everything = msgspec.structs.replace(
        Config(),
        listen=(Address("::", 53),),
        admin_token=Path("/run/token"),
        static=(ZoneFile(Path("/etc/zone")), ZoneFile(Path("/etc/zone"), Domain.parse("lab.example"))),
        state=Path("/state"),
        upstreams=(Upstream("192.0.2.1", 853, "tls", "dns.example"),),
    )
    assert received(worker_protocol.encode(worker_protocol.Settings(everything, b"s", {"/z": "text"}))) == [
        worker_protocol.Settings(everything, b"s", {"/z": "text"})
    ]


@settings(deadline=None)
@given(_frames, st.integers(1, 4))
def test_a_frame_that_is_not_whole_is_none(sent: worker_protocol.Frame, missing: int) -> None:
    assert received(worker_protocol.encode(sent)[:-missing]) == []


@pytest.mark.parametrize("octets", [b"\0\0\0\1?\xc0", b"\xff\xff\xff\xffn", b"\0\0\0\1n\xc1", b"\0\0\0\1r\xc0"])
def test_what_is_no_frame_is_an_error(octets: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        received(octets)


@settings(deadline=None)
@given(_processes, _processes)
def test_processes_that_are_gone_count_on_as_one(one: metrics.Process, other: metrics.Process) -> None:
    assert _totals(one, other) == _totals(metrics.added(one, other))


def test_an_address_that_is_there_twice_counts_twice() -> None:
    """As in a worker that opens it anew while its old sockets are being closed."""
    twice = tuple(metrics.UdpListener(server="dns://:53", family="1", received=count) for count in (1, 2))
    (found,) = metrics.added(metrics.Process(udp=twice), metrics.Process()).udp
    assert found.received == 3


def _totals(*processes: metrics.Process) -> dict[object, Any]:
    """Every count, as it is exposed."""
    readings = metrics.Readings(processes=processes)
    totals: dict[object, Any] = {}
    for family in FAMILIES:
        if family.type == "counter":
            for labels, value in family.read(readings):
                totals[family.name, labels] = totals.get((family.name, labels), 0) + value
    return totals


async def test_who_listens_is_told_by_name_what_the_end_of_a_list_drops() -> None:
    # A worker that was started in the middle of a list does not know which objects that list has shown.
    server = Server(config(objects=Path("not-there")))
    heard: list[object] = []
    kept, dropped = (Put(decoded(service(name, OLD))) for name in ("kept", "dropped"))
    for event in (kept, dropped, ListStarted(Kind.SERVICES), kept):
        server.sync.apply(event)
    server.sync.listeners.append(heard.append)
    server.sync.apply(ListDone(Kind.SERVICES))
    assert heard == [Remove(Kind.SERVICES, "shop", "dropped"), ListDone(Kind.SERVICES)]
    assert server.cluster.index.count(Kind.SERVICES) == 1


# --- the processes


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_both_processes_answer_and_see_every_change(tmp_path: Path) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        (worker,) = running.workers()
        asked = await running.value("coredns_dns_requests_total")
        for number in range(1, 3):  # what was kept is counted as soon as it was sent, wherever that was
            assert await running.ask() == [OLD] * CLIENTS
            assert await running.value("coredns_dns_requests_total") == asked + number * CLIENTS
            assert await running.value("dnsserver_namespace_questions_total") == asked + number * CLIENTS
        # With one of them stopped, those of its clients wait: both had been asked.
        os.kill(worker, signal.SIGSTOP)
        said = await running.ask()
        assert {OLD, None} == set(said)
        assert await running.value("coredns_dns_requests_total") >= asked + 2 * CLIENTS  # nobody waits for it
        os.kill(worker, signal.SIGCONT)

        for expected, changed in (
            (NEW, things(NEW)),
            ("NXDOMAIN", [namespace("shop")]),
            ("NXDOMAIN", []),
            (OLD, things(OLD)),
        ):
            running.write(*changed)
            await until(lambda expected=expected: all_say(running, expected))  # type: ignore[misc]
            assert await running.ask() == [expected] * CLIENTS

        running.process.terminate()
        with trio.fail_after(PATIENCE):
            assert await running.process.wait() == 0
        assert not running.workers()


async def _has_counted(running: Program, requests: float) -> bool:
    return await running.value("coredns_dns_requests_total") >= requests


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_that_is_killed_is_replaced_and_nothing_counted_is_lost(tmp_path: Path) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        before: dict[Any, float] = {}

        async def scraped() -> None:
            nonlocal before
            now = await running.scrape()
            for sample, value in before.items():
                assert now[sample] >= value, sample
            before = now

        for round_ in range(1, 3):
            asked = await running.value("coredns_dns_requests_total") + CLIENTS
            assert await running.ask() == [OLD] * CLIENTS
            await until(lambda asked=asked: _has_counted(running, asked))  # type: ignore[misc]
            await scraped()
            (worker,) = running.workers()
            os.kill(worker, signal.SIGKILL)
            while await running.value("dnsserver_worker_restarts_total") < round_:
                assert None not in await running.ask(tries=2)  # what it had in its hands is lost, and nothing else
                await scraped()
            for address in (NEW, OLD):  # while its successor comes up, and after that
                running.write(*things(address))
                await until(lambda: is_complete(running))
                await until(lambda address=address: all_say(running, address))  # type: ignore[misc]
                await scraped()
            assert running.workers() != [worker]


@pytest.mark.slow
@pytest.mark.parametrize("frames", [[], [SETTINGS], [SETTINGS, *map(ListDone, Kind)]])
async def test_a_worker_ends_when_its_pipe_does(frames: list[worker_protocol.Frame]) -> None:
    command = [sys.executable, "-m", "dnsserver.app.worker"]
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            command, stdin=b"".join(map(worker_protocol.encode, frames)), capture_stdout=True, capture_stderr=True
        )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    said = worker_protocol.Counts | worker_protocol.Beat | worker_protocol.Echo
    assert all(isinstance(frame, said) for frame in await receive(done.stdout))


@asynccontextmanager
async def worker(*frames: worker_protocol.Frame) -> AsyncIterator[Child]:
    """Run a worker by itself, told this much."""
    child = Child("dnsserver.app.worker")
    try:
        await child.down.send_all(b"".join(map(worker_protocol.encode, frames)))
        yield child
    finally:
        await child.end()


async def wait_frame(
    frames: AsyncIterator[worker_protocol.Frame], wanted: Callable[[worker_protocol.Frame], bool]
) -> worker_protocol.Frame:
    """Return the next frame of this kind."""
    with trio.fail_after(PATIENCE):
        async for frame in frames:
            if wanted(frame):
                return frame
    raise AssertionError("the worker has ended")


@pytest.mark.slow
async def test_a_workers_lines_have_its_number() -> None:
    twice = worker_protocol.encode(worker_protocol.Settings(SETTINGS.config, SETTINGS.secret, {}, number=7)) * 2
    command = [sys.executable, "-m", "dnsserver.app.worker"]
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(command, stdin=twice, capture_stdout=True, capture_stderr=True)
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (line["event"], line["worker"]) == ("unexpected frame from the first process", 7)


@pytest.mark.slow
async def test_an_address_that_comes_while_a_worker_starts_is_shared_with_the_first_process() -> None:
    port = free_port()
    one, every = (config(listen=(Address(host, port),), upstreams=()) for host in (HOST, "0.0.0.0"))
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:  # those of the first process
        for sock in (udp, tcp):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((every.listen[0].host, port))
        tcp.listen()
        reload = worker_protocol.Reload(every, {}, ())
        async with (
            worker(worker_protocol.Settings(one, SETTINGS.secret, {}, number=3), reload) as child,
            aclosing(worker_protocol.frames(child.up)) as frames,
        ):
            await wait_frame(frames, lambda frame: isinstance(frame, worker_protocol.Beat))
            await child.down.send_all(b"".join(map(worker_protocol.encode, map(ListDone, Kind))))
            counts = await wait_frame(frames, lambda frame: isinstance(frame, worker_protocol.Counts))
            assert isinstance(counts, worker_protocol.Counts)
            assert [listener.server for listener in counts.process.udp] == [f"dns://:{port}"]
            assert counts.process.number == 3


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.4])
async def test_a_worker_answers_once_it_has_read_what_the_first_process_knew(pause: float) -> None:
    """At its start and after a standstill: the pauses between what comes tell nothing, but the echo after it does."""
    port = free_port()
    shop, old, new = (Put(decoded(thing)) for thing in (namespace("shop"), service("web", OLD), service("web", NEW)))
    settings = worker_protocol.Settings(config(listen=(Address(HOST, port),), upstreams=()), SETTINGS.secret, {})
    question = dns.message.make_query("web.shop.svc.cluster.local", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((HOST, port))
        client.settimeout(PATIENCE)
        async with worker(settings, shop, old) as child, aclosing(worker_protocol.frames(child.up)) as frames:

            async def tell(*those: worker_protocol.Frame) -> None:
                await trio.sleep(pause)
                await child.down.send_all(b"".join(map(worker_protocol.encode, those)))

            async def echo() -> worker_protocol.Frame:
                return await wait_frame(frames, lambda frame: isinstance(frame, worker_protocol.Echo))

            async def answer() -> str:
                wire = await trio.to_thread.run_sync(client.recv, 512)
                return str(dns.message.from_wire(wire).answer[0][0])

            await tell(*map(ListDone, Kind))
            back = await echo()
            await tell(new)
            await tell(back)
            await wait_frame(frames, lambda frame: isinstance(frame, worker_protocol.Counts))
            client.send(question)
            assert await answer() == NEW
            os.kill(child.pid, signal.SIGSTOP)
            await trio.sleep(1.5)
            client.send(question)
            os.kill(child.pid, signal.SIGCONT)
            back = await echo()
            await tell(shop)
            await tell(old)
            await tell(back)
            assert await answer() == OLD


@pytest.mark.slow
async def test_a_worker_tells_of_another_ones_probe_and_hears_of_its_own() -> None:
    probe = Nonces(SETTINGS.secret, Entropy()).make() + ROOT
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.bind((HOST, 0))
        outside.settimeout(PATIENCE)
        settings = config(listen=(Address(HOST, port),), upstreams=upstream_at(outside.getsockname()[1]))
        async with (
            worker(worker_protocol.Settings(settings, SETTINGS.secret, {}), *map(ListDone, Kind)) as child,
            aclosing(worker_protocol.frames(child.up)) as frames,
        ):
            own = await trio.to_thread.run_sync(outside.recv, 512)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"\1\2\1\0\0\1" + bytes(6) + probe + b"\0\x0d\0\1", (HOST, port))
            told = await wait_frame(frames, lambda frame: isinstance(frame, worker_protocol.ProbeSeen))
            assert told == worker_protocol.ProbeSeen(probe)
            name = own[12 : own.index(b"\0", 12) + 1].lower()
            await child.down.send_all(worker_protocol.encode(worker_protocol.ProbeSeen(name)))

            def found(frame: worker_protocol.Frame) -> bool:
                return isinstance(frame, worker_protocol.Counts) and frame.process.forward.upstreams[0].looping

            await wait_frame(frames, found)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_loop_is_found_by_every_process_whichever_its_probes_come_back_to(tmp_path: Path) -> None:
    port = free_port()
    async with program(tmp_path, *things(OLD), port=port, upstreams=f'["{HOST}:{port}"]') as running:

        async def both_know() -> bool:
            return await running.value("dnsserver_upstream_looping") == 1.0

        await until(both_know)
        assert await running.ask(name="www.example.com") == ["SERVFAIL"] * CLIENTS
        assert await running.ask() == [OLD] * CLIENTS
