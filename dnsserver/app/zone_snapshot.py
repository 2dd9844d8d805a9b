"""The snapshot of the zone in the state folder: served after a start until the API answers, and then kept fresh."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from dnsserver import metrics
from dnsserver.config import Config
from dnsserver.kube import snapshot
from dnsserver.kube.snapshot import ANY, Header, Identity
from dnsserver.logger import get_logger
from dnsserver.zone.dump import objects
from dnsserver.zone.index import Index
from dnsserver.zone.model import Event, Kind, ListDone

log = get_logger("dnsserver")

_REFRESH = 3600.0  # seconds by which the snapshot of an unchanged zone may be behind: it says how old it is

Versions = Callable[[], dict[Kind, tuple[str, ...]]]


class ZoneSnapshot:
    """What there is of a snapshot, and which kinds of the zone in force are still `copied` from it."""

    def __init__(self, folder: Path, whose: Identity, interval: float, server: str = "") -> None:
        """Keep the snapshot of a zone in `folder`, written at most every `interval` seconds.

        `server` is the URL of the API server whose zone it is, if that has to be a certain one.
        """
        self._folder = folder
        self.whose = whose
        self._interval = interval
        self._server = server
        self._wake = trio.Event()  # by `reconfigure`
        self._saved_changes = -1
        self.copied: set[Kind] = set()
        # When what is saved was up to date: trio time, which goes on evenly where somebody sets the system's clock.
        self._as_of: float | None = None
        self._saves = self._failures = self._size = 0
        self._problem = ""

    def reconfigure(self, config: Config) -> None:
        """Save as often as another configuration says, as the snapshot of what that chooses."""
        self._interval = config.kubernetes.snapshot_interval
        self._wake.set()
        self._wake = trio.Event()
        self._server = _server(config)
        whose = _identity(config, self._server)
        if whose != self.whose:
            self.whose, self._saved_changes = whose, -1

    def is_of(self, server: str) -> bool:
        """Tell whether what the API server at a URL has is what the snapshot is to have."""
        return self._server.rstrip("/") in {"", server.rstrip("/")}

    @property
    def serving(self) -> bool:
        """Tell whether some of the zone in force came from the snapshot and was not listed since."""
        return bool(self.copied)

    def age(self) -> float:
        """Return for how many seconds its objects may not be up to date any more."""
        return 0.0 if self._as_of is None else trio.current_time() - self._as_of

    def listed(self, kind: Kind) -> None:
        """Note that a kind is as the API has it, or that it is not served any more."""
        self.copied.discard(kind)

    async def load(self, apply: Callable[[Event], object]) -> None:
        """Hand on what the snapshot holds; nothing if it is of no use."""

        def take(event: Event) -> None:
            if isinstance(event, ListDone):
                self.copied.add(event.kind)
            apply(event)

        found = await snapshot.find(self._folder, self.whose)
        if found is None:
            return
        self._as_of, self._size = trio.current_time() - max(0.0, time.time() - found.header.saved), found.size
        try:
            await found.give(take)
        except msgspec.MsgspecError as error:  # whole, but not what this version writes; names that need it wait
            log.error("snapshot of the zone cannot be read", error=str(error))  # noqa: TRY400 - the text says it all

    async def keep(
        self,
        index: Index,
        changes: Callable[[], int],
        versions: Versions,
        is_whole: Callable[[], bool],
        age: Callable[[], float],
    ) -> None:
        """Save the zone when it has changed, until cancelled; nothing that goes wrong ends the server.

        `versions` gives the resourceVersions of the kinds to save. The zone `is_whole` where it has all that the
        configuration chooses, and no more: not before that is listed after a change of it. `age` gives for how many
        seconds nothing may have been heard of the zone: of so long ago is what is saved, however often it is saved.
        """
        self._saved_changes = -1
        while True:
            if is_whole() and (changes() != self._saved_changes or self.age() - age() > _REFRESH):
                before, whose = changes(), self.whose
                if await self._save(index, versions(), age()) and whose == self.whose:
                    self._saved_changes = before
            began = trio.current_time()
            while (left := began + self._interval - trio.current_time()) > 0:
                with trio.move_on_after(left):
                    await self._wake.wait()

    async def _save(self, index: Index, versions: dict[Kind, tuple[str, ...]], age: float) -> bool:
        as_of, header = trio.current_time() - age, Header(self.whose, time.time() - age, versions)
        try:
            self._size = await snapshot.save(self._folder, header, lambda kind: objects(index, kind))
        except OSError as error:
            self._fail(error.strerror or str(error))
            return False
        except Exception:  # a bug in what only helps the next start must not end this one
            self._failures += 1
            self._problem = "a bug, see the log"
            log.exception("snapshot of the zone not saved")
            return False
        self._saves += 1
        self._as_of = as_of
        if self._problem:
            log.info("snapshot of the zone saved again")
        self._problem = ""
        return True

    def _fail(self, problem: str) -> None:
        """Count a failure, and log it once for each cause."""
        self._failures += 1
        if problem != self._problem:
            self._problem = problem
            log.warning("snapshot of the zone not saved", folder=str(self._folder), error=problem)

    def statistics(self) -> metrics.ZoneSnapshot:
        """Return the snapshot in numbers."""
        problem = f"{self._folder}: {self._problem.lower()}" if self._problem else ""
        return metrics.ZoneSnapshot(self.serving, self._as_of, self._saves, self._failures, self._size, problem)


def snapshot_of(config: Config) -> ZoneSnapshot | None:
    """Return what keeps the snapshot, if the configuration names a folder for it."""
    if config.state is None:
        return None
    server = _server(config)
    return ZoneSnapshot(config.state, _identity(config, server), config.kubernetes.snapshot_interval, server)


def _identity(config: Config, server: str) -> Identity:
    return Identity(str(config.domain), _source(config, server))


def _server(config: Config) -> str:
    """Return the URL of the API server that the kubeconfig names; empty if there is none, or it cannot be read now."""
    if config.objects is not None or config.kubeconfig is None:
        return ""
    from dnsserver.kube.kubeconfig import server_of  # noqa: PLC0415 - 50 ms: YAML; only who has a kubeconfig

    return server_of(str(config.kubeconfig.absolute()), config.context or "")


def _source(config: Config, server: str) -> str:
    """Return the source of the objects and how they are chosen: a snapshot is used only if both are the same.

    A kubeconfig names its server; one that cannot be read now may have named any server. In a cluster, the folder
    belongs to the cluster.
    """
    kubernetes = config.kubernetes
    if config.objects is not None:
        source = f"objects in {config.objects.absolute()}"
    elif config.kubeconfig is not None:
        path = config.kubeconfig.absolute()
        source = " ".join(filter(None, ("kubeconfig", str(path), server or ANY, config.context)))
    else:
        source = f"the cluster at {os.environ.get('KUBERNETES_SERVICE_HOST', 'an unknown address')}"
    chosen = {
        "namespaces": ",".join(sorted(kubernetes.namespaces)),
        "labels": kubernetes.labels,
        "namespace_labels": kubernetes.namespace_labels,
        "pods": config.pods,
    }
    return "; ".join([source, *(f"{name} {value}" for name, value in chosen.items() if value)])
