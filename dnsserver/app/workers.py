"""The workers as the first process sees them: it starts, feeds, counts, watches and replaces them."""

from collections.abc import Callable

import msgspec
import trio

from dnsserver import metrics
from dnsserver.app import worker_protocol
from dnsserver.app.child import Child
from dnsserver.app.dns_service import DnsService
from dnsserver.app.listeners import Descriptors
from dnsserver.app.sync import Sync
from dnsserver.app.tail import Tails
from dnsserver.config import Config
from dnsserver.logger import get_logger
from dnsserver.traffic.gathered import Gathered
from dnsserver.zone.dump import objects
from dnsserver.zone.model import Denied, Event, Kind, ListDone, ListDropped, ListStarted, Put
from dnsserver.zone.record import Reason

log = get_logger("dnsserver.workers")

_YIELD_EVERY = 200  # objects sent to a new worker between two turns of the event loop, about 2 ms
_PIECE = 64 * 1024  # octets sent in one go: what a pipe takes
_AHEAD = 1024 * 1024  # octets that may wait before no more of the zone is sent
# Octets of events that a worker may be behind before it is given up; a configuration comes on top, however large it is.
_BACKLOG = 64 * 1024 * 1024
_TICK = 0.5  # seconds between two looks at a worker
_SETTLE_WITHIN = 0.5  # seconds, where counting 100,000 replies takes 0.1
# Clients of a worker that hangs get no answer until it is gone, and resolvers ask again after 5 s (resolv.conf(5),
# `timeout`). It reports every half a second, and a turn of its event loop is 2 ms for each socket: silent for 4 s it is
# not just busy.
PATIENCE = 4.0
_LONGEST_PATIENCE = 60.0  # where silence was not the end of it, the machine may be that slow: then twice as long
_START = 60.0  # seconds of silence before it answers anybody: Python's start on a node that is just coming up
_PAUSE = 0.5  # seconds until a worker that died has a successor, twice as long each time
_LONGEST_PAUSE = 30.0
_SOUND = 600.0  # seconds after which the death of a worker has nothing to do with the last one


class FedWorker:
    """One process and what waits to be sent to it."""

    def __init__(self, number: int, patience: float) -> None:
        """Start with nothing known; `patience` is for how many seconds it may be silent once it answers."""
        self.number = number
        self.patience = patience
        self.counts: metrics.Process | None = None  # once it answers
        self.settled = 0  # the last `ask_settle` that it has answered
        self.complete: set[Kind] = set()  # kinds of which it has been sent all objects
        self.status: int | None = None
        self.hung = False
        self.heard = 0  # frames from it
        self.taken = 0  # pieces that it has read, or the pipe holds
        self.owed = False  # a piece is on its way
        self._waiting = bytearray()
        self._wake = trio.Event()
        self._moved = trio.Event()
        self._full = False
        self._allowed = _BACKLOG

    def send(self, frame: worker_protocol.Frame) -> None:
        """Send a frame after those before it."""
        if len(self._waiting) > self._allowed:
            self._full = True
        else:
            octets = worker_protocol.encode(frame)
            self._waiting += octets
            if isinstance(frame, worker_protocol.Settings | worker_protocol.Reload):
                self._allowed += len(octets)
        self._wake.set()

    async def wait_room(self) -> None:
        """Wait until the worker has caught up."""
        while len(self._waiting) > _AHEAD:
            await self._moved.wait()

    async def write(self, down: trio.abc.SendStream) -> None:
        """Send what waits, until the worker has gone or is hopelessly behind."""
        while not self._full:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting and not self._full:
                piece = bytes(self._waiting[:_PIECE])
                del self._waiting[:_PIECE]
                self._allowed = max(_BACKLOG, self._allowed - len(piece))
                self.owed = True
                await down.send_all(piece)
                self.owed = False
                self.taken += 1
                self._moved.set()
                self._moved = trio.Event()

    async def wait_hangs(self) -> None:
        """Wait until it has given no sign of life for too long, or has read nothing of what it was sent.

        What counts is looks and not the clock: when this process was stopped itself, or the whole machine, that is one
        look, and what the worker has said meanwhile is read before the next one.
        """
        heard = taken = -1
        silent = unread = 0
        while max(silent, unread) * _TICK < (_START if self.counts is None else self.patience):
            heard, taken = self.heard, self.taken
            await trio.sleep(_TICK)
            silent = silent + 1 if self.heard == heard else 0
            unread = unread + 1 if self.owed and self.taken == taken else 0


class Workers:
    """All workers; with `workers = 1` there are none."""

    def __init__(self, config: Config, dns: DnsService, sync: Sync) -> None:
        """Feed from the zone of `dns` and the events of `sync`."""
        self._config = config
        self._dns = dns
        self._faults = dns.faults
        self._sync = sync
        self._fed: set[FedWorker] = set()
        self._ended: metrics.Process | None = None  # those that are gone, as one
        self.tails = Tails(dns.audience, self.follow)
        self._settles = 0
        self._news = trio.Event()  # of counts
        self.restarts = 0
        self.gathered_listeners: list[
            Callable[[Gathered, int], None]
        ] = []  # get what a worker, by number, has gathered
        if config.workers > 1:
            sync.listeners.append(self._pass_on)
            sync.stale_listeners.append(self._pass_on_stale)

    def ask_settle(self) -> int:
        """Tell all workers to count what they have sent up to now; return what `wait_settled` waits for."""
        self._settles += 1
        for worker in self._fed:
            worker.send(worker_protocol.Settle(self._settles))
        return self._settles

    async def wait_settled(self, number: int) -> None:
        """Wait until all workers have reported their counts; for one that does not in time, its last report counts."""
        with trio.move_on_after(_SETTLE_WITHIN):
            while any(worker.settled < number for worker in self._fed if worker.counts is not None):
                await self._news.wait()

    def processes(self) -> tuple[metrics.Process, ...]:
        """Return the counts of the workers by their numbers, and of ended ones: counters do not go back."""
        fed = sorted(self._fed, key=lambda worker: worker.number)
        found = (*(worker.counts for worker in fed), self._ended)
        return tuple(process for process in found if process is not None)

    def flush(self, name: bytes, below: bool) -> None:
        """Pass on a flush."""
        for worker in self._fed:
            worker.send(worker_protocol.Flush(name, below))

    def follow(self, frame: worker_protocol.Follow | worker_protocol.Unfollow) -> None:
        """Pass on that a stream has begun, or ended."""
        for worker in self._fed:
            worker.send(frame)

    def reconfigure(self, config: Config, authorities: tuple[str, ...]) -> None:
        """Pass on that another configuration is in force."""
        self._config = config
        shown = msgspec.structs.replace(config, listen=self._dns.addresses)
        frame = worker_protocol.Reload(shown, dict(self._dns.texts), authorities)
        for worker in self._fed:
            worker.send(frame)

    def leave(self) -> None:
        """Pass on that the end has begun."""
        for worker in self._fed:
            worker.send(worker_protocol.Leave())

    def probe_seen(self, name: bytes) -> None:
        """Tell every process that a client asked one of them for this probe's name: one of them has sent it."""
        self._dns.forwarder.probe_seen(name)
        for worker in self._fed:
            worker.send(worker_protocol.ProbeSeen(name))

    def _pass_on(self, event: Event) -> None:
        if isinstance(event, ListStarted | ListDropped):
            return  # all that its end drops is sent by name
        for worker in self._fed:
            if not isinstance(event, ListDone) or event.kind in worker.complete:
                worker.send(event)

    def _pass_on_stale(self, reason: Reason | None) -> None:
        for worker in self._fed:
            worker.send(worker_protocol.Stale(reason))

    async def run(self) -> None:
        """Keep as many processes as configured, including this one, until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(1, self._config.workers):
                nursery.start_soon(self._faults.keep, "workers", self._keep, number)
            if self._config.workers > 1:
                nursery.start_soon(self._faults.keep, "workers", self._pass_on_probes)

    async def _pass_on_probes(self) -> None:
        """Tell all processes which probes came to this process."""
        while True:
            for name in self._dns.forwarder.take_strangers():
                self.probe_seen(name)
            await trio.sleep(_TICK)

    async def _keep(self, number: int) -> None:
        pause, patience = _PAUSE, PATIENCE
        while True:
            worker = FedWorker(number, patience)
            began = trio.current_time()
            try:
                await self._faults.once("workers", self._live, worker)
            finally:
                self._fed.discard(worker)
            if worker.counts is not None:
                gone = _without_gauges(worker.counts)
                self._ended = gone if self._ended is None else metrics.added(self._ended, gone)
            self.restarts += 1
            if trio.current_time() - began > _SOUND:
                pause, patience = _PAUSE, PATIENCE
            if worker.hung:
                patience = min(2 * patience, _LONGEST_PATIENCE)
            log.error("worker ended, it is replaced", worker=number, status=worker.status, retry_seconds=pause)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _live(self, worker: FedWorker) -> None:
        """Run one process to its end."""
        sockets = self._dns.listeners.descriptors(worker.number)
        child = Child("dnsserver.app.worker", [each for some in sockets.values() for each in (*some[0], *some[1])])
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed, worker, sockets, child.down, nursery.cancel_scope)
                nursery.start_soon(self._listen, worker, child.up, nursery.cancel_scope)
                nursery.start_soon(self._watch, worker, nursery.cancel_scope)
                worker.status = await child.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._dns.listeners.answers(worker.number, False)
            await child.end()

    async def _watch(self, worker: FedWorker, scope: trio.CancelScope) -> None:
        await worker.wait_hangs()
        worker.hung = True
        log.error("worker hangs, it is killed", worker=worker.number, seconds=worker.patience)
        scope.cancel()

    async def _feed(
        self,
        worker: FedWorker,
        sockets: dict[str, Descriptors],
        down: trio.abc.SendStream,
        scope: trio.CancelScope,
    ) -> None:
        """Send a worker the present zone, and from the same moment on every event."""
        addresses = self._dns.addresses
        config = msgspec.structs.replace(self._config, listen=addresses)
        texts = dict(self._dns.texts)
        worker.send(worker_protocol.Settings(config, self._dns.secret, texts, worker.number, sockets))
        self._fed.add(worker)
        reason = self._sync.stale_reason()
        if reason is not None:
            worker.send(worker_protocol.Stale(reason))
        for frame in self.tails.under_way():
            worker.send(frame)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, worker, down, scope)
            for kind in self._sync.kinds:
                await self._feed_kind(worker, kind)

    async def _feed_kind(self, worker: FedWorker, kind: Kind) -> None:
        """Send a worker all objects of a kind. Changes meanwhile are sent as well, except for the end of a list."""
        cluster = self._dns.cluster
        for number, thing in enumerate(objects(cluster.index, kind), 1):
            worker.send(Put(thing))
            if number % _YIELD_EVERY == 0:
                await worker.wait_room()
                await trio.lowlevel.checkpoint()
        worker.complete.add(kind)
        if kind in cluster.denied:
            worker.send(Denied(kind))
        elif kind not in cluster.missing:  # else its list is under way, and its end is sent like any event
            worker.send(ListDone(kind))

    async def _write(self, worker: FedWorker, down: trio.abc.SendStream, scope: trio.CancelScope) -> None:
        try:
            await worker.write(down)
        except trio.BrokenResourceError:
            return  # it has ended: whoever waits for that sees why
        log.error("worker does not keep up, it is ended", worker=worker.number)
        scope.cancel()

    async def _listen(self, worker: FedWorker, up: trio.abc.ReceiveStream, scope: trio.CancelScope) -> None:
        try:
            async for frame in worker_protocol.frames(up, self._unread):
                worker.heard += 1
                if isinstance(frame, worker_protocol.Echo):
                    await self._dns.responder.standstill.over()  # where the whole machine has stood still
                    worker.send(frame)
                else:
                    self._take(worker, frame)
        except (ValueError, trio.BrokenResourceError) as error:
            log.error("invalid worker frame, the worker is ended", worker=worker.number, error=str(error))  # noqa: TRY400
            scope.cancel()

    def _take(self, worker: FedWorker, frame: worker_protocol.Frame) -> None:
        match frame:
            case worker_protocol.Counts():
                if worker.counts is None:
                    self._dns.listeners.answers(worker.number, True)
                worker.counts, worker.settled = frame.process, frame.settled
                self._news.set()
                self._news = trio.Event()
            case worker_protocol.Heavy():
                self._dns.listeners.report(frame.address, frame.transport, frame.network, frame.bits)
            case worker_protocol.ProbeSeen():
                self.probe_seen(frame.name)
            case worker_protocol.Followed():
                self.tails.take(frame)
            case Gathered():
                for listener in self.gathered_listeners:
                    listener(frame, worker.number)

    def _unread(self, error: Exception) -> None:
        self._faults.took("worker-frame", error)


def _without_gauges(counts: metrics.Process) -> metrics.Process:
    """Return the counts of a process that has ended, without its gauges."""
    replace = msgspec.structs.replace
    forward = counts.forward
    gone = tuple(
        replace(upstream, up=False, looping=False, mixed_case=False, rtt=0, p95=0) for upstream in forward.upstreams
    )
    cache = replace(forward.cache, entries=0, failed=0, denials=0, size=0)
    return replace(
        counts,
        number=None,
        alive=False,
        udp=tuple(replace(sock, heavy=0) for sock in counts.udp),
        tcp=tuple(replace(listener, connections=0, heavy=0) for listener in counts.tcp),
        usage=None
        if counts.usage is None
        else replace(counts.usage, virtual_memory=0, resident_memory=0, started=0.0, open_files=0, max_files=0),
        replies=replace(counts.replies, replies=0, missing=0, size=0),
        audience=replace(counts.audience, followers=0),
        forward=replace(forward, upstreams=gone, in_flight=0, cache=cache),
    )
