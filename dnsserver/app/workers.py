"""The further processes that answer, seen from the first one: started, fed, counted, replaced when they die."""

import subprocess
import sys

import msgspec
import structlog
import trio

from dnsserver import metrics
from dnsserver.app import feed
from dnsserver.app.answering import Answering
from dnsserver.app.sync import Sync
from dnsserver.config import Config
from dnsserver.zone.dump import objects
from dnsserver.zone.model import Denied, Event, Kind, ListDone, ListStarted, Put
from dnsserver.zone.record import Reason

log = structlog.get_logger("dnsserver.workers")

_BITE = 200  # objects told to a new worker between two turns of the event loop, about 2 ms
_BACKLOG = 256 * 1024 * 1024  # octets that a worker may be behind before it is given up
_PAUSE = 0.5  # seconds until a worker that died has a successor


class _Worker:
    """One process and what waits to be sent to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.figures: metrics.Process | None = None
        self.told: set[Kind] = set()  # kinds of which it has been sent all
        self._waiting = bytearray()
        self._wake = trio.Event()
        self._full = False

    def send(self, frame: feed.Frame) -> None:
        if len(self._waiting) > _BACKLOG:
            self._full = True
        else:
            self._waiting += feed.encode(frame)
        self._wake.set()

    async def write(self, down: trio.abc.SendStream) -> None:
        """Send what waits, until the worker has gone or is hopelessly behind."""
        while not self._full:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                data, self._waiting = bytes(self._waiting), bytearray()
                await down.send_all(data)


class Workers:
    """All workers; with `workers = 1` there are none."""

    def __init__(self, config: Config, answering: Answering, sync: Sync) -> None:
        """Feed from the zone of `answering` and the events of `sync`."""
        self._config = config
        self._answering = answering
        self._sync = sync
        self._fed: set[_Worker] = set()
        self._ended: metrics.Process | None = None  # those that are gone, as one
        self.restarts = 0
        sync.listeners.append(self._tell)
        sync.stale_listeners.append(self._tell_stale)

    def processes(self) -> tuple[metrics.Process, ...]:
        """Return what the workers have counted, those that are gone included: counters do not go back."""
        found = (*(worker.figures for worker in self._fed), self._ended)
        return tuple(process for process in found if process is not None)

    def flush(self, name: bytes, below: bool) -> None:
        """Pass on a flush."""
        for worker in self._fed:
            worker.send(feed.Flush(name, below))

    def _tell(self, event: Event) -> None:
        if isinstance(event, ListStarted):
            return  # all that its end drops is told by name
        for worker in self._fed:
            if not isinstance(event, ListDone) or event.kind in worker.told:
                worker.send(event)

    def _tell_stale(self, reason: Reason | None) -> None:
        for worker in self._fed:
            worker.send(feed.Stale(reason))

    async def run(self) -> None:
        """Keep as many processes as configured, this one among them, until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(1, self._config.workers):
                nursery.start_soon(self._keep, number)

    async def _keep(self, number: int) -> None:
        while True:
            worker = _Worker(number)
            try:
                status = await self._live(worker)
            finally:
                self._fed.discard(worker)
            if worker.figures is not None:
                gone = _without_gauges(worker.figures)
                self._ended = gone if self._ended is None else metrics.added(self._ended, gone)
            self.restarts += 1
            log.error("worker ended, it is replaced", number=number, status=status)
            await trio.sleep(_PAUSE)

    async def _live(self, worker: _Worker) -> int | None:
        """Run one process to its end and return its exit status."""
        command = [sys.executable, "-m", "dnsserver.app.worker"]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None  # as asked for
        assert process.stdout is not None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed, worker, process.stdin, nursery.cancel_scope)
                nursery.start_soon(self._listen, worker, process.stdout, nursery.cancel_scope)
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        return process.returncode

    async def _feed(self, worker: _Worker, down: trio.abc.SendStream, scope: trio.CancelScope) -> None:
        """Tell a worker the zone as it stands, and from the same moment on every event."""
        addresses = tuple(address for address, _ in self._answering.udp)
        worker.send(feed.Settings(msgspec.structs.replace(self._config, listen=addresses)))
        self._fed.add(worker)
        reason = self._sync.stale_reason()
        if reason is not None:
            worker.send(feed.Stale(reason))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, worker, down, scope)
            for kind in self._sync.kinds:
                await self._feed_kind(worker, kind)

    async def _feed_kind(self, worker: _Worker, kind: Kind) -> None:
        """Tell a worker all objects of a kind; what changes meanwhile is told besides, but for the end of a list."""
        cluster = self._answering.cluster
        for number, thing in enumerate(objects(cluster.index, kind), 1):
            worker.send(Put(thing))
            if number % _BITE == 0:
                await trio.lowlevel.checkpoint()
        worker.told.add(kind)
        if kind in cluster.denied:
            worker.send(Denied(kind))
        elif kind not in cluster.missing:  # else its list is under way, and its end is told like any event
            worker.send(ListDone(kind))

    async def _write(self, worker: _Worker, down: trio.abc.SendStream, scope: trio.CancelScope) -> None:
        try:
            await worker.write(down)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it has ended: whoever waits for that sees why
        log.error("worker does not keep up, it is ended", number=worker.number)
        scope.cancel()

    async def _listen(self, worker: _Worker, up: trio.abc.ReceiveStream, scope: trio.CancelScope) -> None:
        try:
            async for frame in feed.frames(up):
                if isinstance(frame, feed.Figures):
                    worker.figures = frame.process
        except (ValueError, msgspec.MsgspecError, trio.BrokenResourceError) as error:
            log.error("worker is not understood, it is ended", number=worker.number, problem=str(error))  # noqa: TRY400
            scope.cancel()


def _without_gauges(figures: metrics.Process) -> metrics.Process:
    """Return the counts of a process that has ended, less what it held."""
    replace = msgspec.structs.replace
    forward = figures.forward
    gone = tuple(
        replace(upstream, up=False, looping=False, mixed_case=False, rtt=0, p95=0) for upstream in forward.upstreams
    )
    return replace(
        figures,
        alive=False,
        tcp=tuple(replace(listener, connections=0) for listener in figures.tcp),
        replies=replace(figures.replies, replies=0, missing=0, size=0),
        forward=replace(forward, upstreams=gone, in_flight=0, cache=replace(forward.cache, entries=0, size=0)),
    )
