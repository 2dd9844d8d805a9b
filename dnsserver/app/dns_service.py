"""The part that answers: the zone, the caches, the upstreams and the sockets of one process, connected.

The two flows meet here: an event goes to the zone, and the replies that it changes leave the reply cache, before the
server looks at the next packet.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import trio

from dnsserver.app import descriptors, listening, settings
from dnsserver.app.alteration import altered, recursion
from dnsserver.app.audience import Audience
from dnsserver.app.digest import Digest
from dnsserver.app.heap import give_back
from dnsserver.app.listeners import Descriptors, Listeners, Opened, Report
from dnsserver.app.local_data import LocalData, LocalDataError, Texts, read_texts
from dnsserver.app.takeover import Handed
from dnsserver.config import Address, Config
from dnsserver.config.changes import Changes
from dnsserver.faults import Faults
from dnsserver.forward.forwarder import Forwarder
from dnsserver.forward.nonce import SECRET_SIZE
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.sources import Known
from dnsserver.log import write
from dnsserver.logger import get_logger
from dnsserver.pace import next_look
from dnsserver.resolver.altered import Alteration
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.families import WithoutIPv6
from dnsserver.server.observer import Observer
from dnsserver.server.reply import Outside
from dnsserver.server.respond import Responder
from dnsserver.server.tcp import TcpLimits, TcpServer
from dnsserver.server.udp_listener import UdpListener
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.record import Reason

log = get_logger("dnsserver")

_ADDRESS_RETRY = 0.1  # seconds until an address that another user has is tried again
_LET_GO_EVERY = 60.0  # seconds between two times that what nobody needs any more is let go


class StartError(Exception):
    """The server cannot start; the text says what is in the way, and what was expected."""

    status = 1  # of the process


class MistakeError(StartError):
    """A setting cannot be right, and only a person can change it."""

    status = 2


class DnsService:
    """The parts of one process that answer; `clock` gives the seconds that trio runs by.

    `secret` is known to the processes of this server and to nobody else: it marks their probes.
    """

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = trio.current_time,
        secret: bytes | None = None,
        texts: dict[str, str] | None = None,
    ) -> None:
        """Build the parts; `texts` are those of the files that the configuration names, if they were read already.

        Raises StartError for a zone file that cannot be read.
        """
        self.secret = secret or os.urandom(SECRET_SIZE)
        self._config = config
        self._clock = clock
        self.faults = Faults()
        self.replies = ReplyCache(config.reply_cache.size // config.workers)
        self.cluster = Cluster(config.domain.wire, **settings.cluster(config))
        try:
            self._local = LocalData(config, read_texts(config) if texts is None else texts)
        except LocalDataError as error:
            raise StartError(str(error)) from error
        self.chain = Chain([])
        self._use_local(config)
        self.forwarder = Forwarder(
            settings.routes(config),
            settings.cache(config),
            own=self._local.own(),
            limits=settings.limits(config),
            runtime=Runtime(clock=clock, on_batch_end=self._flush_late, faults=self.faults),
            secret=self.secret,
        )
        self.observer = Observer(clock)
        self.digest = Digest(self.observer, clock, self.faults)
        self.responder = Responder(
            self.chain,
            self._outside(config),
            self.replies,
            clock,
            udp_limit=config.udp.size,
            recursion=recursion(config),
            services=self.cluster,
            guard=settings.guard(config),
            faults=self.faults,
            observer=self.observer,
        )
        self.responder.sampler.switch(config.top.sample)
        self.responder.standstill.listeners.append(self._release_retained)
        self.audience = Audience(self.observer, self.responder, self.digest, write, clock)
        self.audience.use(config.query_log, config.workers)
        self.listeners = Listeners(self.responder, self.replies, self.faults, config.domain.wire)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses in force, with the ports that the system chose."""
        return tuple(listener.address for listener in self.listeners.present())

    @property
    def texts(self) -> Texts:
        """The texts of the files from which answers are made."""
        return self._local.texts

    def zone_file(self, name: bytes) -> str | None:
        """Return the path of the zone file that has a name, if one has."""
        return self._local.zone_file(name)

    @property
    def udp(self) -> list[tuple[Address, UdpListener]]:
        """What answers over UDP, with its address."""
        return [(listener.address, listener.udp) for listener in self.listeners.all]

    @property
    def tcp(self) -> list[tuple[Address, TcpServer]]:
        """What answers over TCP, with its address."""
        return [(listener.address, listener.tcp) for listener in self.listeners.all]

    def _flush_late(self) -> None:
        """Send together the replies that upstreams have just brought."""
        for listener in self.listeners.all:
            for port in listener.udp.ports:
                try:
                    port.flush()
                except Exception as error:
                    self.faults.took("udp", error)

    def mark_stale(self, reason: Reason | None) -> None:
        """Start or stop marking answers of the zone as too old."""
        self.responder.mark_stale(reason)
        self.replies.clear_own()

    def leave(self) -> None:
        """Tell TCP clients after their answers that this server is about to end."""
        for _, tcp in self.tcp:
            tcp.leave()

    def asked(self) -> int:
        """Return how many packets came, and how often connections were served: it grows as long as clients ask."""
        packets = sum(udp.statistics().received for _, udp in self.udp)
        return packets + sum(tcp.heard for _, tcp in self.tcp)

    def flush(self, name: bytes, below: bool) -> int:
        """Forget what is cached of an outside name, or of all names below it; return how many answers that were."""
        flushed = self.forwarder.flush(name, below=below)
        self.replies.clear_outside()
        return len(flushed)

    def listen(self, processes: int = 1) -> None:
        """Open the sockets, for so many processes: UDP and TCP of an address share its port. Raises StartError."""
        try:
            self.listeners.open(self._config.listen, _tcp_limits(self._config), processes=processes)
        except listening.ListenError as error:
            raise StartError(str(error)) from error

    async def listen_beside(self, handed: Handed, wait_ready: Callable[[], Awaitable[None]]) -> None:
        """Answer with the sockets that were `handed` over, and at once where nobody has the address.

        What another program of this user has is shared with it, once this server is ready; what is another user's is
        waited for. Raises StartError.
        """
        left = self._adopt(self._config.listen, handed, share=False)
        if left:
            await wait_ready()
            left = self._adopt(left, {}, share=True)
        if left:
            log.warning("addresses are in use, this server waits for them", listen=[str(each) for each in left])
        while left:
            await trio.sleep(_ADDRESS_RETRY)
            left = self._adopt(left, {}, share=True)

    def _adopt(self, addresses: Sequence[Address], handed: Handed, *, share: bool) -> list[Address]:
        try:
            return self.listeners.adopt(addresses, _tcp_limits(self._config), handed, share=share)
        except listening.ListenError as error:
            raise StartError(str(error)) from error

    def join(self, given: Mapping[str, Descriptors], report: Report) -> None:
        """Answer beside the first process, as `Listeners.join` does. Raises StartError."""
        try:
            self.listeners.join(self._config.listen, _tcp_limits(self._config), given, report)
        except listening.ListenError as error:
            raise StartError(str(error)) from error

    # ---- another configuration

    async def prepare(self, changes: Changes, texts: Texts) -> "Prepared":
        """Do the part of a change of the configuration that takes time or may fail: nothing changes yet.

        `texts` are those of the files that answers are made of. Raises LocalDataError, and ListenError.
        """
        config = changes.config
        local = self._local
        if "local" in changes.parts or "forward" in changes.keys or texts != local.texts:
            local = await trio.to_thread.run_sync(LocalData, config, texts, self._local)
        known = Known()
        if "outside" in changes.parts:
            known = await self.forwarder.look_ahead(settings.routes(config))
        opens = "listeners" in changes.parts and self.listeners.is_open
        if opens:
            await self.listeners.wait_closed(config.listen)
        opened = self.listeners.open_new(config.listen) if opens else ()
        return Prepared(changes, local, known, opened)

    def apply(self, prepared: "Prepared") -> int:
        """Put a change in force, in one step; return how many finished replies it may have altered, which are dropped.

        Questions under way get the answer of the one configuration or the other.
        """
        changes, local = prepared.changes, prepared.local
        before, self._config = self._config, changes.config
        config, parts = changes.config, changes.parts
        is_local = local is not self._local
        what = altered(before, changes, local.take_over(self._local) if is_local else frozenset())
        alteration = Alteration(what, local.rules_differ(self._local) if is_local else None)
        self._local = local
        if parts & {"cluster", "listeners"}:
            self.cluster.reconfigure(**settings.cluster(config))
        if is_local or "local" in parts:
            self._use_local(config)
        if is_local or parts & {"local", "outside", "answers"}:
            self.forwarder.reconfigure(
                settings.routes(config),
                settings.cache(config),
                local.own(),
                settings.limits(config),
                prepared.known,
                alteration.of_answer if what.of_answers else None,
                alteration.labels,
            )
        if is_local or parts & {"cluster", "local", "outside", "replies", "clients"}:
            self.responder.reconfigure(
                self._outside(config),
                udp_limit=config.udp.size,
                recursion=recursion(config),
                guard=settings.guard(config) if "clients" in parts else self.responder.guard,
                services=self.cluster,
            )
        if parts & {"tcp", "clients", "outside"}:
            self.listeners.reconfigure(_tcp_limits(config))
        if "listeners" in parts:
            self.listeners.replace(config.listen, prepared.opened)
        if "top" in parts:
            self.responder.sampler.switch(config.top.sample)
        if "queries" in parts:
            self.audience.use(config.query_log, config.workers)
        if "replies" in parts:
            self.replies.resize(config.reply_cache.size // config.workers)
        return self.replies.drop_altered(alteration.of_reply if alteration.of_replies else None, alteration.labels)

    def _use_local(self, config: Config) -> None:
        local = self._local
        self.chain.use(local.sources(self.cluster), settings.search(config), local.rules)
        self.cluster.elsewhere = None if local.rules is None else local.rules.concerns

    def _outside(self, config: Config) -> Outside:
        return self.forwarder if config.ipv6 == "on" else WithoutIPv6(self.forwarder)

    def _release_retained(self, seconds: float) -> None:
        """Release the endpoints whose grace may be over: they may have left as the standstill began."""
        try:
            self.replies.drop(self.cluster.expire(self._clock() + seconds, time.time()))
        except Exception as error:
            self.faults.took("grace", error)

    async def _let_go(self) -> None:
        """Forget the replies that have expired, and give back free memory, from time to time until cancelled."""
        while True:
            await trio.sleep_until(next_look(_LET_GO_EVERY))
            for _ in self.replies.sweep(self._clock()):
                await trio.lowlevel.checkpoint()
            give_back()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled; started when names outside the cluster can be asked."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.forwarder.run)
            nursery.start_soon(self.faults.keep, "udp", self.responder.standstill.run)
            await nursery.start(self.listeners.run)
            nursery.start_soon(self.faults.keep, "observed", self.digest.run)
            nursery.start_soon(self.faults.keep, "observed", self.audience.run)
            nursery.start_soon(self.faults.keep, "memory", self._let_go)
            task_status.started()


class Prepared(msgspec.Struct, frozen=True):
    """A change of the configuration, and all that is needed to put it in force at once."""

    changes: Changes
    local: LocalData
    known: Known
    opened: Opened


def _tcp_limits(config: Config) -> TcpLimits:
    """Return the limits of TCP clients: fewer connections than configured if there are few descriptors."""
    limits = settings.tcp(config)
    places = descriptors.for_clients(config, limits.connections, descriptors.raise_limit())
    return msgspec.structs.replace(limits, connections=places)
