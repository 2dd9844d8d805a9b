"""Keeps the zone in step with where the objects come from, and knows how old it is."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from dnsserver.app.dns_service import MistakeError
from dnsserver.app.zone_snapshot import ZoneSnapshot, snapshot_of
from dnsserver.app.zone_updater import ZoneUpdater
from dnsserver.config import Config
from dnsserver.config.changes import Changes
from dnsserver.faults import Faults
from dnsserver.kube.credentials import CredentialsError, HopelessCredentialsError, Process
from dnsserver.logger import get_logger
from dnsserver.metrics import PROGRAMMING, Histogram
from dnsserver.pace import next_look
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.wire.extended_errors import age_text
from dnsserver.wire.message import EDE
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Denied, EndpointSlice, Event, Kind, ListDone, Remove
from dnsserver.zone.record import Reason

if TYPE_CHECKING:
    from dnsserver.app.api_source import ApiSource
    from dnsserver.kube.api import Client
    from dnsserver.kube.objects import ObjectFiles
    from dnsserver.kube.reflector import Reflector

log = get_logger("dnsserver")

_LOOK = 1.0  # seconds between two looks at the age of the data
RETRY = 5.0  # seconds until a folder without objects is looked at again
DENIED_FOR = 60.0  # seconds that pods may not be read, while all else is, before those of a snapshot go
MOMENT = 3.0  # seconds for which a snapshot is served without a word, as each update begins with one
_LISTED_LOOK = 0.1  # seconds between two looks at what is listed


class Sync:
    """Lets `ZoneUpdater` apply each event of the source, and then passes the event on to all listeners."""

    def __init__(
        self,
        config: Config,
        cluster: Cluster,
        replies: ReplyCache,
        loader_process: Process | None = None,
        faults: Faults | None = None,
    ) -> None:
        """Connect the source that the configuration names: files, a kubeconfig's cluster, or the one of this pod.

        `loader_process` loads credentials, if it was started before the rest was imported.
        """
        self._config = config
        self._cluster = cluster
        self._replies = replies
        self._stale = self._said_stale = False
        self._quiet_until = 0.0  # since when a snapshot is served, and `MOMENT` more; 0 before
        self._told_stale: Reason | None = None  # what the stale listeners were told last
        self._denied_since: float | None = None  # pods, which a snapshot had, while all else was listed
        self._loaded = trio.Event()
        self._synced = trio.Event()
        self._fresh = trio.Event()
        self._faults = faults or Faults()
        self.updater = ZoneUpdater(cluster, replies, self._faults)
        self.snapshot = snapshot_of(config)
        self.listeners: list[Callable[[Event], None]] = []  # get every event after it is applied
        self.stale_listeners: list[Callable[[Reason | None], None]] = []
        self.programming: dict[str, Histogram] = {}
        self.programming_live: dict[str, Histogram] = {}
        self.kinds: tuple[Kind, ...] = tuple(k for k in Kind if k is not Kind.PODS or config.pods == "verified")
        self.files: ObjectFiles | None = None
        self._api: ApiSource | None = None
        if config.objects:
            from dnsserver.kube import objects  # noqa: PLC0415 - 0.1 MiB, which the API does not need

            self.files = objects.ObjectFiles(config.objects, self.apply)
        else:
            from dnsserver.app import api_source  # noqa: PLC0415 - 4 MiB, which files of objects do not need

            self._api = api_source.ApiSource(
                config, self.kinds, self.apply, self._programmed, self._faults, loader_process
            )
        self._nursery: trio.Nursery | None = None
        self._no_files = ""  # why there are no objects of files

    @property
    def reflectors(self) -> "list[Reflector]":
        """Return what lists and watches the kinds, if the API server is asked."""
        return [] if self._api is None else self._api.reflectors

    @property
    def client(self) -> "Client | None":
        """Return what asks the API server, if there is one."""
        return None if self._api is None else self._api.client

    def in_the_way(self) -> str:
        """Return why kinds of objects are not there yet, "" where that is not known."""
        for each in (reflector.statistics() for reflector in self.reflectors):
            if each.last_error and not each.synced:
                return f"the API server cannot be asked for {each.kind}: {each.last_error}"
        return self._no_files

    def unheard(self) -> str:
        """Return why the zone may lack the last changes of the cluster; "" as long as nothing is known to fail."""
        for each in (reflector.statistics() for reflector in self.reflectors):
            if each.last_error and each.state not in {"watching", "listing"}:
                age = (
                    f" was followed {age_text(self.age())} ago at the latest" if self.age() else " was not followed yet"
                )
                return f"the API server{age}: {each.kind}: {each.last_error}"
        return self.files.unheard() if self.files is not None else ""

    def apply(self, event: Event, *, from_snapshot: bool = False) -> bool:
        """Apply one event of the source to the zone, and return whether it changed; a bug in that costs this event."""
        try:
            if isinstance(event, ListDone | Denied):
                return self._end_list(event, from_snapshot=from_snapshot)
            changed = self.updater.apply(event)
            if self.listeners:
                self._pass_on(event)
        except Exception as error:
            self._faults.took("event", error)
            return False
        return changed

    def _end_list(self, event: ListDone | Denied, *, from_snapshot: bool) -> bool:
        """Apply the end of a list: pass on each dropped object, as a worker may have missed the beginning."""
        dropped: list[Event] = []
        if isinstance(event, ListDone):
            if self.snapshot is not None and not from_snapshot:
                self.snapshot.listed(event.kind)
            unseen = self._cluster.unseen(event.kind, event.kept)
            dropped += (Remove(event.kind, namespace.decode(), name.decode()) for namespace, name in unseen)
        changed = self.updater.apply(event)
        self._pass_on(*dropped, event)
        self._judge_age()
        if not self._cluster.missing:
            self._synced.set()
        return changed

    def _pass_on(self, *events: Event) -> None:
        for listener in self.listeners:
            try:
                for event in events:
                    listener(event)
            except Exception as error:
                self._faults.took("event", error)

    @property
    def changes(self) -> int:
        """Return how many events have changed the zone."""
        return self.updater.changes

    def stale_reason(self) -> Reason | None:
        """Return why answers of the zone are marked as stale, or None when they are not."""
        if not self._stale:
            return None
        age = age_text(self.age())
        if self.serving_snapshot:
            return Reason("stale", EDE.STALE_ANSWER, f"served from a snapshot that was up to date more than {age} ago")
        return Reason("stale", EDE.STALE_ANSWER, f"no word from the Kubernetes API for more than {age}")

    def age(self) -> float:
        """Return how old the zone's data may be, in seconds: since the quietest stream was heard, or since the snapshot
        was up to date.

        It is 0 before the first sync.
        """
        if self.snapshot is not None and self.snapshot.serving:
            return self.snapshot.age()
        heard = {} if self._api is None else self._api.heard()
        return trio.current_time() - min(heard.values()) if heard else 0.0

    @property
    def stale(self) -> bool:
        """Tell whether answers of the zone are marked as stale."""
        return self._stale

    @property
    def serving_snapshot(self) -> bool:
        """Tell whether some of the zone came from the snapshot in the state folder and was not listed since."""
        return self.snapshot is not None and self.snapshot.serving

    async def wait_loaded(self) -> None:
        """Wait until what a snapshot has is there: nothing of the source is, and nothing at all without a snapshot."""
        await self._loaded.wait()

    async def wait_synced(self) -> None:
        """Wait until every kind is there, listed or from the snapshot."""
        await self._synced.wait()

    async def wait_listed(self, most: float) -> None:
        """Wait until every kind is there, and listed by the API, or `most` seconds if there is a snapshot to serve."""
        await self.wait_synced()
        with trio.move_on_after(most):
            while not self._are_listed():  # noqa: ASYNC110 - each one tells the zone
                await trio.sleep(_LISTED_LOOK)

    async def run(self) -> None:
        """Follow the source until cancelled; nothing that it does ends the server.

        Raises MistakeError when there is no way to the source, and nobody but a person can change that, and there is no
        snapshot of the zone to serve.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.updater.expire)
            nursery.start_soon(self._faults.keep, "age", self._watch_age)
            if self.snapshot is not None:
                # Before anything of the source, which would be older if it came in between.
                await self._faults.once("snapshot", self.snapshot.load, partial(self.apply, from_snapshot=True))
                nursery.start_soon(self._faults.keep, "snapshot", self._keep_snapshot, self.snapshot)
            self._loaded.set()
            if self.files is not None:
                nursery.start_soon(self._faults.keep, "objects", self._follow_files, self.files)
            if self._api is not None:
                await self._expect_way_in(self._api.client)
                if self._config.search.enabled:
                    nursery.start_soon(self._faults.once, "api", self._api.warn_of_policies)
                self._nursery = nursery
                nursery.start_soon(self._api.run)

    def reconfigure(self, wanted: Changes) -> None:
        """Use another configuration from now on; everything is listed again only if what is listed has changed."""
        before, self._config = self._config, wanted.config
        if self.snapshot is not None:
            self.snapshot.reconfigure(wanted.config)
        if self._api is None:
            return
        self._api.reconfigure(wanted)
        if wanted.config.search.enabled and not before.search.enabled and self._nursery is not None:
            self._nursery.start_soon(self._faults.once, "api", self._api.warn_of_policies)

    def credentials_changed(self) -> None:
        """Record that the file of credentials has changed: it is used from now on, and may lead to another server."""
        if self._api is not None:
            self._api.client.renew_credentials()
            if self._nursery is not None:
                self._nursery.start_soon(self._faults.once, "api", self._api.client.use_renewed)

    async def _expect_way_in(self, client: "Client") -> None:
        """Wait for credentials, or for the first attempt to fail."""
        try:
            await client.expect_way_in()
        except HopelessCredentialsError as error:
            if not self.serving_snapshot:
                raise MistakeError(str(error)) from None
            log.warning("no way to the API server, serving the snapshot of the zone", error=str(error))
        except CredentialsError:
            return  # said by whoever asks next, and tried again
        except Exception as error:  # a bug; whoever asks next tries again
            self._faults.took("api", error)

    async def _keep_snapshot(self, snapshot: ZoneSnapshot) -> None:
        """Save the zone from time to time, once it is the source's."""
        await self._fresh.wait()
        await snapshot.keep(self._cluster.index, lambda: self.changes, self._versions, self._are_listed, self._silence)

    def _silence(self) -> float:
        """Return for how many seconds nothing at all was heard of the API server; 0 for files.

        What may not be read any more does not make a snapshot of all the rest old.
        """
        words = [word for each in self.reflectors if (word := each.last_word()) is not None]
        return trio.current_time() - max(words) if words else 0.0

    def _are_listed(self) -> bool:
        """Tell whether all was listed, by the present choice and of the server whose zone a snapshot is to be."""
        snapshot = self.snapshot
        return all(
            (each.statistics().synced and (snapshot is None or snapshot.is_of(each.server)))
            or each.kind in self._cluster.denied
            for each in self.reflectors
        )

    def _versions(self) -> dict[Kind, tuple[str, ...]]:
        """Return the resourceVersions of the kinds that are there; files have none."""
        held = [kind for kind in self.kinds if kind not in self._cluster.denied]
        known = {reflector.kind: reflector.versions() for reflector in self.reflectors}
        return {kind: known.get(kind, ()) for kind in held}

    async def _follow_files(self, files: "ObjectFiles") -> None:
        """Serve the files, and check from time to time whether there are any; each reason why not is logged once."""
        from dnsserver.kube.objects import ObjectsError  # noqa: PLC0415

        while True:
            try:
                await files.run()
            except ObjectsError as error:
                if str(error) != self._no_files:
                    self._no_files = str(error)
                    log.error("no objects to serve", error=self._no_files, retry_seconds=RETRY)  # noqa: TRY400 - it says it all
                await trio.sleep(RETRY)

    async def _watch_age(self) -> None:
        """Look, from time to time, how old the data is, and whether there are kinds that will not come."""
        while True:
            await trio.sleep_until(next_look(_LOOK))
            self.look()

    def look(self) -> None:
        """Record which kinds will not come, and how old the data is."""
        if self._api is not None:
            self._api.look()
        for reflector in self.reflectors:
            if reflector.kind is Kind.PODS:  # other kinds are waited for, and the server is not ready
                stat = reflector.statistics()
                if Kind.PODS in self._cluster.missing and (stat.forbidden or stat.missing):
                    self.apply(Denied(Kind.PODS))
                self._judge_pods(is_denied=stat.state in {"forbidden", "missing"})
        self._judge_age()

    def _judge_pods(self, *, is_denied: bool) -> None:
        """Go on without the pods of a snapshot, if they may not be read for long, as nobody says what became of them.

        At first they are served on: an API server says 403 to everything for a moment when it starts.
        """
        now, snapshot = trio.current_time(), self.snapshot
        if not is_denied or snapshot is None or snapshot.copied != {Kind.PODS}:
            self._denied_since = None
        elif self._denied_since is None:
            self._denied_since = now
        elif now - self._denied_since >= DENIED_FOR:
            log.warning("pods of the snapshot are not served any more", seconds=round(self.age()))
            snapshot.listed(Kind.PODS)
            self.apply(Denied(Kind.PODS))

    def _judge_age(self) -> None:
        """Mark answers as stale once the data is too old, and no longer once it is not; by steps they say how old.

        With each step the finished replies about the zone go, as they tell the last one.
        """
        if not self._cluster.missing and not self.serving_snapshot:
            self._fresh.set()
        stale = self.serving_snapshot or self.age() > self._config.kubernetes.stale_after
        self._stale = stale
        self._say_age()
        reason = self.stale_reason()
        if reason == self._told_stale:
            return
        self._told_stale = reason
        self._replies.clear_own()
        for listener in self.stale_listeners:
            try:
                listener(reason)
            except Exception as error:
                self._faults.took("age", error)

    def _say_age(self) -> None:
        """Log, once each, that the data is old and that it is not any more."""
        if self._stale == self._said_stale:
            return
        if self.serving_snapshot:
            now = trio.current_time()
            self._quiet_until = self._quiet_until or now + MOMENT
            if now < self._quiet_until:
                return
        self._said_stale = self._stale
        if self.serving_snapshot and self._config.objects is not None:
            log.warning("the snapshot is served until the object files are read", seconds=round(self.age()))
        elif self.serving_snapshot:
            log.warning("the snapshot is served until the API server answers", seconds=round(self.age()))
        elif self._stale:
            log.warning("cluster data is stale, the API server is not heard", seconds=round(self.age()))
        else:
            log.info("cluster data is fresh again")

    def _programmed(self, part: EndpointSlice, seconds: float, initial: bool) -> None:
        """Count how long a change took from the cluster to the zone (SIG Scalability's DNS programming latency)."""
        kind = self._cluster.service_kind(part)
        for histograms in (self.programming,) if initial else (self.programming, self.programming_live):
            histograms.setdefault(kind, Histogram(PROGRAMMING)).observe(max(0.0, seconds))
