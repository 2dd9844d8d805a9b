"""The whole server: it answers, follows the cluster, and serves HTTP. It starts, drains and ends its parts in order."""

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio

from dnsserver.app.admin_pages import AdminPages
from dnsserver.app.clock import SystemClock, now
from dnsserver.app.dns_service import DnsService, StartError
from dnsserver.app.drain import Drain, time_under_way, wait_answered, wait_drained
from dnsserver.app.gc_tuning import collect_seldom, spare_zone
from dnsserver.app.heap import give_back
from dnsserver.app.listening import ListenError
from dnsserver.app.metrics_collector import Lag, MetricsCollector
from dnsserver.app.node_guardian import NodeGuardian
from dnsserver.app.reload import Applied, Reloader
from dnsserver.app.sync import Sync
from dnsserver.app.takeover import Offer, Predecessor, predecessor
from dnsserver.app.traffic import TrafficCounter
from dnsserver.app.workers import Workers
from dnsserver.config import Address, Config, Loaded
from dnsserver.config.changes import Changes
from dnsserver.kube.credentials import Process
from dnsserver.log import configure_logging
from dnsserver.logger import get_logger
from dnsserver.server.admin import Admin, bind
from dnsserver.signals import INTERRUPTED
from dnsserver.zone.journal import Journal

log = get_logger("dnsserver")

_FAREWELL = 2.0  # seconds after the drain until what still hangs, in a thread or in the kernel, is left to itself
_LISTED_WITHIN = 60.0  # seconds that a server which takes over waits for the API, when it has a snapshot to serve


def serve(loaded: Loaded, loader_process: Process | None = None) -> int:
    """Do what `dnsserver.app.run` says; `loader_process` loads credentials, if it was started."""
    collect_seldom()
    status = 0
    try:
        server = Server(loaded.config, loader_process, now, _end_within, loaded)
        status = trio.run(server.run, clock=SystemClock())
    except* StartError as group:
        for error in _each(group):
            log.error("cannot start", error=str(error))  # noqa: TRY400 - the text says it all
            status = max(status, error.status)
    return status


def _each(group: BaseExceptionGroup[StartError]) -> Iterator[StartError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _each(error)
        else:
            yield error


async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    """Wait until one of them has come."""
    async with trio.open_nursery() as nursery:

        async def end(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(end, wait)


def _end_within(seconds: float) -> None:
    """End this process at that time, whatever still delays it, such as a file on a network."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    with suppress(RuntimeError, MemoryError):  # no thread is to be had: the end takes what it takes
        timer.start()


class Server:
    """The first process: it answers, follows the cluster, and feeds the other processes that answer."""

    is_alone = False  # others wait to be answered

    def __init__(
        self,
        config: Config,
        loader_process: Process | None = None,
        clock: Callable[[], float] = trio.current_time,
        end_within: Callable[[float], None] = lambda _: None,
        loaded: Loaded | None = None,
    ) -> None:
        """Build the parts; raises StartError for a zone file that cannot be read.

        `end_within` is called when the end begins, with the seconds that it may take. `loaded` are the files that
        `config` comes from and that are followed, None where it comes from none.
        """
        self._end_within = end_within
        self._status = 0
        self.config = config
        self.dns = DnsService(config, clock)
        self.cluster = self.dns.cluster
        self.journal = self.cluster.journal = Journal(self.cluster.index)
        self.sync = Sync(config, self.cluster, self.dns.replies, loader_process, self.dns.faults)
        self.sync.stale_listeners.append(self.dns.mark_stale)
        self.workers = Workers(config, self.dns, self.sync)
        self.lag = Lag()
        self.collector = MetricsCollector(self)
        self.traffic = TrafficCounter(self.dns, self.collector.brief, self.workers.processes)
        self.workers.gathered_listeners.append(self.traffic.take)
        self.reloader = None if loaded is None else Reloader(self, loaded, self.dns.faults)
        self.guardian = None if config.guardian is None else NodeGuardian(config.guardian)
        self.pages = AdminPages(self)
        self.admin = self._make_admin()
        self._admin_scope = trio.CancelScope()
        self._admin_closed = trio.Event()
        self._admin_closed.set()
        self._has_admin = False  # as before a takeover, and after one
        self._nursery: trio.Nursery | None = None
        self.draining = False
        self._drained = False
        self._handed_over = False
        self._last: Predecessor | None = None
        self._offer: Offer | None = None

    def place(self, key: str) -> str:
        """Return where a key of the configuration is written, for people."""
        return key if self.reloader is None else self.reloader.place(key)

    @property
    def ready(self) -> bool:
        """Whether clients may be sent here: the first sync is complete, and the end has not begun.

        The last ready endpoint of this server's Service stays ready while it drains: nobody else could answer.
        """
        if not self._serves or (self.guardian is not None and self.guardian.problems()):
            return False
        return not self.draining or (not self._drained and self.cluster.has_another_server() is False)

    @property
    def _serves(self) -> bool:
        """Whether clients may be asking here: there is a zone, and sockets that are read."""
        return not self.cluster.missing and bool(self.dns.listeners.all) and not self._handed_over

    async def run(self) -> int:
        """Serve until told to end, and return the exit status. Raises StartError."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            if self.config.takeover is None:
                self.dns.listen(self.config.workers)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_on_signal, signals, nursery.cancel_scope)
                await self._start(nursery)
            log.info("ended")
        return self._status

    def _make_admin(self) -> Admin:
        admin = self.config.admin
        pages, token = self.pages, self.config.admin_token
        return Admin(admin.host, admin.port, pages.routes(), self.dns.faults, token=token, late=pages.late_routes)

    async def _run_admin(
        self,
        sock: socket.socket | None = None,
        *,
        task_status: trio.TaskStatus[tuple[str, int] | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._admin_closed, self._has_admin = trio.Event(), True
        try:
            with trio.CancelScope() as self._admin_scope:
                await self.dns.faults.keep_started("admin", self.admin.run, sock, task_status=task_status)
        finally:
            self._admin_closed.set()

    async def _close_admin(self) -> None:
        """Close admin HTTP; its address is free for another one then, but where a request hangs on a file."""
        self._admin_scope.cancel()
        with trio.move_on_after(_FAREWELL):
            await self._admin_closed.wait()

    def _bind_admin(self, address: Address) -> socket.socket | None:
        """Return what listens on another address for admin HTTP; None if ours is in its way. Raises ListenError."""
        ours = self.config.admin
        try:
            return bind(address.host, address.port)
        except OSError as error:
            meet = address.port == ours.port and {address.host, ours.host} & {"0.0.0.0", "::"}
            if meet and error.errno == errno.EADDRINUSE:
                return None
            raise ListenError(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}") from error

    async def reconfigure(self, wanted: Changes, texts: dict[str, str], authorities: tuple[str, ...]) -> Applied:
        """Put another configuration in force, in one step, after all that takes time or may fail.

        `texts` are those of the files that answers are made of, `authorities` other files that say something else now.
        Raises LocalDataError, ListenError, or OSError, without any effect.
        """
        config = wanted.config
        moves = self._has_admin and config.admin != self.config.admin
        sock = self._bind_admin(config.admin) if moves else None
        try:
            prepared = await self.dns.prepare(wanted, texts)
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        began = time.perf_counter()
        dropped = self.dns.apply(prepared)
        self.config = config
        self.sync.reconfigure(wanted)
        for file in authorities:
            self.dns.forwarder.authorities_changed(file)
            if file == str(config.kubeconfig):
                self.sync.credentials_changed()
        self.workers.reconfigure(config, authorities)
        if "log" in wanted.parts:
            configure_logging(config.log.level, config.log.format)
        seconds = time.perf_counter() - began
        if moves and self._nursery is not None:
            await self._close_admin()
            self.admin = self._make_admin()
            self._nursery.start_soon(self._run_admin, sock)
        elif not self._has_admin:
            self.admin = self._make_admin()
        elif "admin" in wanted.parts:
            self.admin.let_in(config.admin_token)
        return Applied(dropped, sum(len(table.held()) for table in self.dns.replies.tables), seconds)

    async def _start(self, nursery: trio.Nursery) -> None:
        faults = self.dns.faults
        self._nursery = nursery
        await nursery.start(self.dns.run)
        if self.config.takeover is None:
            admin = await nursery.start(self._run_admin)
            nursery.start_soon(faults.once, "announce", self._announce, Address(*admin) if admin else None)
        else:
            nursery.start_soon(self._take_over, self.config.takeover, nursery)
        if self.guardian is not None:
            nursery.start_soon(faults.keep, "announce", self.guardian.announce, lambda: self.ready)
        nursery.start_soon(faults.keep, "metrics", self.lag.watch)
        nursery.start_soon(faults.keep, "observed", self.traffic.run)
        nursery.start_soon(faults.keep, "overview", self.pages.watch)
        nursery.start_soon(self.sync.run)
        nursery.start_soon(self.workers.run)
        if self.reloader is not None:
            nursery.start_soon(faults.keep, "reload", self.reloader.run)

    async def _take_over(self, path: Path, nursery: trio.Nursery) -> None:
        """Get ready, take the addresses from the old server if there is one, and offer them to the next one."""
        await self.sync.wait_loaded()  # who asks before that would hear SERVFAIL of names that the snapshot has
        last, handed = await predecessor(path), None
        wait_listed = partial(self.sync.wait_listed, _LISTED_WITHIN)
        if last is not None:
            log.info("another server has the addresses, this one takes them over when it is ready")
            await _first_of(wait_listed, last.wait_gone)
            handed = await last.take()
        await self.dns.listen_beside(handed or {}, wait_listed)
        if last is not None:
            if handed is None:
                last.close()
            else:
                await last.confirm()
                self._last = last  # it hears of our end by that
        admin = await nursery.start(self._run_admin)
        self._offer = Offer(path, self.dns.listeners.to_hand_over, self._release, self._rest)
        nursery.start_soon(self.dns.faults.keep, "takeover", self._offer.run)
        await self.dns.faults.once("announce", self._announce, Address(*admin) if admin else None)

    async def _release(self) -> None:
        """Release the address of admin HTTP, which the next server uses from now on."""
        self._has_admin = False
        await self._close_admin()

    def _rest(self, does: bool) -> None:
        """Stop reading new packets, because the next server reads them; or start to read again."""
        self._handed_over = does
        self.dns.listeners.rest(does)
        if not does and self._nursery is not None:
            self._nursery.start_soon(self._run_admin)

    async def _end_on_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        """Drain at the first SIGTERM or SIGINT; end at once at the next SIGINT.

        A server that was never ready has no clients that have to know of the end first.
        """
        first = await anext(signals)
        under_way = time_under_way(self.dns.forwarder.longest_deadline)
        most = self.config.drain if self._serves else under_way if self._handed_over else 0.0
        # A person waits for the end, or the nodes have to hear of it first.
        least = 0.0 if first == signal.SIGINT else min(most, self.config.drain_min)
        hint = "press Ctrl-C again to end it at once" if first == signal.SIGINT else "SIGKILL ends it at once"
        log.info("draining", seconds=most, hint=hint)
        self.draining = True
        if self._offer is not None and not self._offer.is_taken:
            self.dns.listeners.give_way()
        self._end_within(most + under_way + _FAREWELL)
        self.dns.leave()
        self.workers.leave()
        self.admin.end_streams()
        async with trio.open_nursery() as nursery:
            drain = Drain(trio.current_time(), least, most)
            nursery.start_soon(self._drain, drain, under_way, nursery.cancel_scope)
            async for number in signals:
                if number == signal.SIGINT:
                    self._status = INTERRUPTED
                    break
            nursery.cancel_scope.cancel()
        self._end_within(_FAREWELL)
        if self._offer is not None and self._offer.withdraw():
            await self.dns.listeners.take_last()
        scope.cancel()

    async def _drain(self, drain: Drain, under_way: float, scope: trio.CancelScope) -> None:
        """Wait for the end of the drain, and then, so many seconds, for the open questions to upstreams."""
        await wait_drained(drain, self._asked)
        self._drained = True
        if drain.most:
            await wait_answered(self._under_way, under_way)
        scope.cancel()

    def _asked(self) -> int:
        return self.dns.asked() + sum(process.asked for process in self.workers.processes())

    def _under_way(self) -> int:
        workers = sum(process.forward.in_flight for process in self.workers.processes())
        return self.dns.forwarder.statistics().in_flight + workers

    def flush(self, name: bytes, below: bool) -> int:
        """Forget what is kept of a name, and of those below it, in all processes; return how many entries went here."""
        self.workers.flush(name, below)
        return self.dns.flush(name, below)

    async def _announce(self, admin: Address | None) -> None:
        """Log what is served, and a command to try it."""
        await self.sync.wait_synced()
        spare_zone()
        give_back()
        listening = [str(address) for address, _ in self.dns.udp]
        counts = {str(kind): self.cluster.index.count(kind) for kind in self.sync.kinds}
        log.info(
            "serving",
            domain=str(self.config.domain),
            listen=listening,
            admin=str(admin) if admin else "not yet",
            **counts,
        )
        example = self.cluster.example()
        if example and self.dns.udp and (os.isatty(2) or self.config.objects):
            address = self.dns.udp[0][0]
            host = "127.0.0.1" if address.host == "0.0.0.0" else address.host
            log.info("try it", command=f"dig @{host} -p {address.port} {example}")
