"""A worker process: `python -m dnsserver.app.worker`, which the first process starts and feeds through a pipe.

It has the same zone, caches and sockets; the kernel spreads the clients over the processes (SO_REUSEPORT). It lives as
long as its pipe: when the first process has gone, it ends.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import trio

from dnsserver.app import worker_protocol
from dnsserver.app.child import settle_in
from dnsserver.app.clock import SystemClock, now
from dnsserver.app.dns_service import DnsService, StartError
from dnsserver.app.followers import Followers
from dnsserver.app.gc_tuning import collect_seldom, spare_zone
from dnsserver.app.heap import give_back, keep_little
from dnsserver.app.listening import ListenError
from dnsserver.app.local_data import LocalDataError
from dnsserver.app.metrics_collector import Lag, process, settle
from dnsserver.app.zone_updater import ZoneUpdater
from dnsserver.config.changes import changes
from dnsserver.log import configure_logging, report_uncaught
from dnsserver.logger import get_logger
from dnsserver.server.standstill import CATCH_UP
from dnsserver.traffic.gathered import Gathered, Gatherer

log = get_logger("dnsserver.worker")

_REPORT_EVERY = 0.5  # seconds
_SETTLE_EVERY = 10.0  # seconds; when it dies, the hits of so many are not counted
_RELOADS = 0.5  # seconds at most that a reload is waited for


class Worker:
    """One worker, from the first frame to the last."""

    def __init__(self, settings: worker_protocol.Settings) -> None:
        """Build what answers."""
        self.dns = DnsService(settings.config, now, settings.secret, settings.texts)
        self._faults = self.dns.faults
        self._updater = ZoneUpdater(self.dns.cluster, self.dns.replies, self._faults)
        self._gatherer = Gatherer(self.dns.responder.sampler)
        self.dns.digest.consumers.append(self._gatherer.see)
        self._followers = Followers(self.dns.audience)
        self._lag = Lag()
        self._number = settings.number
        self._sockets = settings.sockets
        self._heavy: list[worker_protocol.Heavy] = []
        self._news = trio.Event()
        self._wanted = self._settled = 0
        self._echo = self._echo_sent = self._echoed = 0  # numbers of the last ones: wanted, sent, and come back
        self._back = trio.Event()
        self._begun = self._listening = False
        self._config = settings.config
        self._reloads = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self.dns.responder.standstill.catch_up = self._catch_up

    async def run(self, frames: AsyncIterator[worker_protocol.Frame], up: trio.abc.SendStream) -> None:
        """Answer until the frames end. Raises StartError when its sockets cannot be had."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._updater.expire)
            nursery.start_soon(self._faults.keep, "metrics", self._lag.watch)
            nursery.start_soon(self._report, up)
            async for frame in frames:
                try:
                    self._take(frame)
                except Exception as error:
                    self._faults.took("worker-frame", error, frame=type(frame).__name__)
                # Clients come only once the zone is here: before that, the other processes answer them.
                if not self._begun and not self.dns.cluster.missing:
                    self._begun = True
                    nursery.start_soon(self._listen, nursery)
            nursery.cancel_scope.cancel()

    async def _listen(self, nursery: trio.Nursery) -> None:
        """Start to answer, after reading the events that came during the start: no client gets an outdated answer."""
        spare_zone()
        give_back()
        with trio.move_on_after(CATCH_UP):
            await self._catch_up()
        with trio.move_on_after(_RELOADS):
            async with self._reloads:  # one that has begun is over
                pass
        self.dns.join(self._sockets, self._report_heavy)
        await nursery.start(self.dns.run)
        self._listening = True

    async def _catch_up(self) -> None:
        """Wait until all is read that the first process knew when it was asked: it comes in one order."""
        self._echo += 1
        number = self._echo
        self._news.set()
        while self._echoed < number:
            await self._back.wait()

    def _take(self, frame: worker_protocol.Frame) -> None:
        match frame:
            case worker_protocol.Stale(reason=reason):
                self.dns.mark_stale(reason)
            case worker_protocol.Flush(name=name, below=below):
                self.dns.flush(name, below)
            case worker_protocol.Reload():
                assert self._nursery is not None  # it runs
                self._nursery.start_soon(self._reload, frame)
            case worker_protocol.Settle(number=number):
                self._wanted = number
                self._news.set()
            case worker_protocol.Echo(number=number):
                self._echoed = number
                self._back.set()
                self._back = trio.Event()
            case worker_protocol.Leave():
                self.dns.leave()
            case worker_protocol.ProbeSeen(name=name):
                self.dns.forwarder.probe_seen(name)
            case worker_protocol.Follow() | worker_protocol.Unfollow():
                self._followers.take(frame)
            case (
                worker_protocol.Settings()
                | worker_protocol.Followed()
                | worker_protocol.Counts()
                | worker_protocol.Heavy()
                | worker_protocol.Beat()
                | Gathered()
            ):
                log.error("unexpected frame from the first process", frame=type(frame).__name__)
            case event:
                self._updater.apply(event)

    async def _reload(self, frame: worker_protocol.Reload) -> None:
        """Put new configurations in force, one after the other.

        The first process has checked them. Raises StartError if one cannot be used here: a new worker is started.
        """
        async with self._reloads:
            wanted = changes(self._config, frame.config)
            try:
                prepared = await self.dns.prepare(wanted, frame.texts)
            except (LocalDataError, ListenError) as error:
                raise StartError(str(error)) from error
            self.dns.apply(prepared)
            self._config = wanted.config
            for file in frame.authorities:
                self.dns.forwarder.authorities_changed(file)
            if "log" in wanted.parts:
                configure_logging(wanted.config.log.level, wanted.config.log.format, worker=self._number)

    async def _report(self, up: trio.abc.SendStream) -> None:
        """Report from time to time: that this event loop runs, its counts, its clients, and the probes that came."""
        with suppress(trio.BrokenResourceError):  # the first process has gone, which the frames tell as well
            due = trio.current_time()
            while True:
                wanted, now = self._wanted, trio.current_time()
                if wanted != self._settled or now >= due:
                    await settle(self.dns)
                    self._settled, due = wanted, now + _SETTLE_EVERY
                seen = [worker_protocol.ProbeSeen(name) for name in self.dns.forwarder.take_strangers()]
                if self._echo > self._echo_sent:
                    self._echo_sent = self._echo
                    await up.send_all(worker_protocol.encode(worker_protocol.Echo(self._echo)))
                heavy, self._heavy = self._heavy, []
                gathered = self._gatherer.take(trio.current_time(), self.dns.observer.missed)
                followed = self._followers.give()
                frames = (*seen, *heavy, gathered, *followed, self._counts())
                await up.send_all(b"".join(map(worker_protocol.encode, frames)))
                with trio.move_on_after(_REPORT_EVERY):
                    await self._news.wait()
                self._news = trio.Event()

    def _report_heavy(self, address: str, transport: str, network: bytes, bits: int) -> None:
        self._heavy.append(worker_protocol.Heavy(address, transport, network, bits))
        self._news.set()

    def _counts(self) -> worker_protocol.Counts | worker_protocol.Beat:
        if not self._listening:
            return worker_protocol.Beat()
        try:
            return worker_protocol.Counts(process(self.dns, self._lag, self._number), self._settled)
        except Exception as error:
            self._faults.took("metrics", error)
            return worker_protocol.Beat()


async def main() -> None:
    """Run on the pipes that the first process made of standard input and output."""
    down = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    up = trio.lowlevel.FdStream(os.dup(sys.stdout.fileno()))
    frames = worker_protocol.frames(down, _unread)
    async for first in frames:
        assert isinstance(first, worker_protocol.Settings)  # what the first process sends first
        configure_logging(first.config.log.level, first.config.log.format, worker=first.number)
        await Worker(first).run(frames, up)
        return


def _unread(error: Exception) -> None:
    log.error("invalid frame from the first process", error=str(error))


if __name__ == "__main__":
    settle_in(int(sys.argv[1]) if sys.argv[1:] else None)
    configure_logging()  # until the first frame says how
    report_uncaught()
    collect_seldom()
    keep_little()
    try:
        trio.run(main, clock=SystemClock())
    except* StartError as group:
        log.error("worker cannot start", error=str(group.exceptions[0]))  # noqa: TRY400 - the text says it all
        sys.exit(1)
