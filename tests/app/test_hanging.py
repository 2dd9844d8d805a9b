"""Workers that hang are killed, those that are busy or whose first process was stopped are not."""

import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_one_way_pair

from dnsserver import metrics
from dnsserver.app import worker_protocol, workers
from dnsserver.app.server import Server
from dnsserver.app.workers import PATIENCE, FedWorker
from tests.app.served_by_two import CLIENTS, NEW, OLD, all_say, is_complete, program, things, until
from tests.clock import LoopbackClock
from tests.cluster import endpoints, service
from tests.logs import capture_logs
from tests.running import config


class _Pipe(trio.abc.SendStream):
    """Takes everything, and counts it."""

    def __init__(self) -> None:
        self.octets = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.octets += len(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


BACKLOG = 64 << 20  # octets that a worker may be behind
HOSTS = {"/etc/hosts": "x" * (BACKLOG + 1)}
STALE = worker_protocol.Stale(None)


@pytest.mark.parametrize(
    "large",
    [worker_protocol.Settings(config(), b"s", HOSTS), worker_protocol.Reload(config(), HOSTS, ())],
    ids=["settings", "reload"],
)
async def test_a_configuration_larger_than_the_backlog_reaches_a_worker(large: Any) -> None:
    """What follows it is sent as well, until the worker is as far behind as without it."""
    worker, pipe = FedWorker(1, PATIENCE), _Pipe()
    size = len(worker_protocol.encode(large)) + 2 * len(worker_protocol.encode(STALE))
    for frame in (STALE, large, STALE):
        worker.send(frame)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.write, pipe)
        with trio.fail_after(60):
            while pipe.octets < size:
                await trio.lowlevel.checkpoint()
        assert pipe.octets == size
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("before", [False, True])
async def test_a_worker_that_is_too_far_behind_is_given_up(before: bool) -> None:
    """However large the configuration was that it has read before."""
    worker, pipe = FedWorker(1, PATIENCE), _Pipe()
    async with trio.open_nursery() as nursery:
        if before:
            worker.send(worker_protocol.Settings(config(), b"s", HOSTS))
            nursery.start_soon(worker.write, pipe)
            with trio.fail_after(60):
                while pipe.octets < BACKLOG:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    for _ in range(3):
        worker.send(worker_protocol.ProbeSeen(b"x" * (BACKLOG // 2 + 1)))
    with trio.fail_after(60):
        await worker.write(_Pipe())


def _silent_for(clock: LoopbackClock, act: Callable[[Any], Awaitable[None]], *, answers: bool = True) -> float | None:
    """How long it takes until a worker counts as hanging, in virtual seconds; None for not within an hour."""

    async def watched() -> float | None:
        worker = FedWorker(1, PATIENCE)
        worker.counts = metrics.Process() if answers else None
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(act, worker)
            with trio.move_on_after(3600) as limit:
                await worker.wait_hangs()
            nursery.cancel_scope.cancel()
        return None if limit.cancelled_caught else trio.current_time() - begun

    return trio.run(watched, clock=clock)


async def _says_nothing(worker: Any) -> None:
    del worker


async def _reports(worker: Any) -> None:
    while True:
        worker.heard += 1
        await trio.sleep(0.5)


async def _reports_late(worker: Any) -> None:
    while True:
        worker.heard += 1
        await trio.sleep(3.0)


async def _reports_and_reads_nothing(worker: Any) -> None:
    worker.owed = True
    await _reports(worker)


async def _reports_and_reads_slowly(worker: Any) -> None:
    worker.owed = True
    while True:
        worker.heard += 1
        worker.taken += 1
        await trio.sleep(3.0)


class _StopsUs:
    """This process is stopped for half a minute again and again: time passes, and nothing was read meanwhile."""

    def __init__(self, clock: LoopbackClock) -> None:
        self._clock = clock

    async def __call__(self, worker: Any) -> None:
        while True:
            await trio.sleep(2.0)
            self._clock.jump(30.0)
            await trio.sleep(0.6)  # the look that was due comes before what the worker has said
            worker.heard += 1


@pytest.mark.parametrize(
    ("act", "answers", "expected"),
    [
        (_says_nothing, True, 4.0),
        (_says_nothing, False, 60.0),
        (_reports, True, None),
        (_reports_late, True, None),
        (_reports, False, None),
        (_reports_and_reads_nothing, True, 4.0),
        (_reports_and_reads_nothing, False, 60.0),
        (_reports_and_reads_slowly, True, None),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)).strip("_"),
)
def test_a_worker_hangs_when(act: Any, answers: bool, expected: float | None) -> None:
    found = _silent_for(LoopbackClock(patience=0.0), act, answers=answers)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.6))


def test_a_worker_does_not_hang_because_the_first_process_was_stopped() -> None:
    clock = LoopbackClock(patience=0.0)
    assert _silent_for(clock, _StopsUs(clock)) is None


def test_workers_that_die_at_once_come_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[float] = []

    class Dies:
        def __init__(self, module: str, descriptors: Collection[int]) -> None:
            del descriptors
            moments.append(trio.current_time())
            raise OSError(errno.EAGAIN, module)

    async def ten_minutes() -> None:
        server = Server(config(objects=Path("not-there"), workers=2))
        with trio.move_on_after(600):
            await server.workers.run()
        assert server.workers.restarts == len(moments)
        assert dict(server.dns.faults.counts) == {"workers": len(moments)}

    monkeypatch.setattr(workers, "Child", Dies)
    trio.run(ten_minutes, clock=LoopbackClock(patience=0.0))
    pauses = [after - before for before, after in pairwise(moments)]
    assert pauses[:3] == pytest.approx([0.5, 1.0, 2.0], abs=0.1)
    assert max(pauses) == pytest.approx(30.0, abs=0.1)


def test_a_successor_of_one_that_hung_may_be_silent_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    class SaysOneThing:
        """A process that shows once that it is there, and then no more."""

        def __init__(self, module: str, descriptors: Collection[int]) -> None:
            del module, descriptors
            self.down, self._reads = memory_stream_one_way_pair()
            self._says, self.up = memory_stream_one_way_pair()

        async def wait(self) -> int:
            await self._says.send_all(worker_protocol.encode(worker_protocol.Counts(metrics.Process())))
            await trio.sleep_forever()
            raise AssertionError

        async def end(self) -> None:
            await trio.lowlevel.checkpoint()

    async def five_minutes() -> None:
        server = Server(config(objects=Path("not-there"), workers=2))
        with trio.move_on_after(300):
            await server.workers.run()

    monkeypatch.setattr(workers, "Child", SaysOneThing)
    with capture_logs() as logs:
        trio.run(five_minutes, clock=LoopbackClock(patience=0.0))
    patience = [line["seconds"] for line in logs if line["event"] == "worker hangs, it is killed"]
    assert patience[:6] == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_that_hangs_is_killed_in_time_for_its_clients_next_try(tmp_path: Path) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        await trio.sleep(5.0)  # resolv.conf(5): a resolver asks again
        assert await running.ask() == [OLD] * CLIENTS
        assert worker not in running.workers()
        await until(lambda: is_complete(running))
        assert await running.value("dnsserver_worker_restarts_total") == 1


async def _goes_on(worker: int) -> None:
    """Have a worker that was stopped go on once questions wait for it."""
    await trio.sleep(0.5)
    with suppress(ProcessLookupError):  # a busy machine took so long that it hangs, and has a successor
        os.kill(worker, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_that_was_stopped_reads_the_changes_before_it_answers(tmp_path: Path) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        for old, new in ((OLD, NEW), (NEW, OLD), (OLD, NEW)):
            await until(lambda: is_complete(running))
            assert await running.ask() == [old] * CLIENTS
            (worker,) = running.workers()
            os.kill(worker, signal.SIGSTOP)
            running.write(*things(new))
            while set(await running.ask()) != {new, None}:  # until the first process has read it
                pass
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_goes_on, worker)
                assert await running.ask(tries=5) == [new] * CLIENTS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_what_left_while_a_worker_was_stopped_is_not_held_by_it(tmp_path: Path) -> None:
    name = "db.shop.svc.cluster.local."
    async with program(tmp_path, *things(OLD), service("db"), endpoints("db", "10.9.0.7")) as running:
        assert await running.ask(name=name) == ["10.9.0.7"] * CLIENTS
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        running.write(*things(OLD), service("db"))
        while set(await running.ask(name=name)) != {"NXDOMAIN", None}:  # until its grace is over in the first process
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_goes_on, worker)
            assert await running.ask(tries=5, name=name) == ["NXDOMAIN"] * CLIENTS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("stopped", [False, True], ids=["working", "hanging"])
async def test_workers_do_not_outlive_a_first_process_that_is_killed(tmp_path: Path, stopped: bool) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        (worker,) = running.workers()
        if stopped:
            os.kill(worker, signal.SIGSTOP)
        running.process.kill()
        await running.process.wait()

        async def is_gone() -> bool:
            try:
                stat = await trio.Path(f"/proc/{worker}/stat").read_text()
            except OSError:
                return True
            return stat.rpartition(")")[2].split()[0] == "Z"

        with trio.fail_after(2.0):
            await until(is_gone)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_nothing_is_restarted_because_the_first_process_was_stopped(tmp_path: Path) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        before = running.workers()
        os.kill(running.process.pid, signal.SIGSTOP)
        await trio.sleep(6.0)  # longer than the patience with a worker
        os.kill(running.process.pid, signal.SIGCONT)
        running.write(*things(NEW))
        await until(lambda: all_say(running, NEW))
        assert running.workers() == before
        assert await running.value("dnsserver_worker_restarts_total") == 0
