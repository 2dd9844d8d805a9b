"""What follows the API server of a cluster: the client, a reflector for each kind, and the reports of an outage.

It is a module of its own because a server of object files does not need it: with its imports it takes 4 MiB.
"""

from collections.abc import Callable, Sequence

import trio

from dnsserver.app import settings
from dnsserver.app.policies import warn_of_policies_by_name
from dnsserver.config import Config
from dnsserver.config.changes import Changes
from dnsserver.faults import Faults
from dnsserver.kube.api import Client
from dnsserver.kube.credentials import Credentials, Process, from_cluster, from_kubeconfig
from dnsserver.kube.outage import Outage
from dnsserver.kube.reflector import OnProgrammed, Reflector
from dnsserver.kube.scope import scopes_of
from dnsserver.zone.model import Event, Kind


class ApiSource:
    """A cluster's API server as a source of events; `loader_process` loads credentials, if it was started before."""

    def __init__(
        self,
        config: Config,
        kinds: Sequence[Kind],
        apply: Callable[[Event], bool],
        on_programmed: OnProgrammed,
        faults: Faults,
        loader_process: Process | None,
    ) -> None:
        """Wire the cluster of the kubeconfig, or the one this pod runs in; nothing is asked yet."""
        kubernetes = config.kubernetes
        if config.kubeconfig:
            load = from_kubeconfig(str(config.kubeconfig), config.context or "", loader_process=loader_process)
        else:
            load = from_cluster(loader_process=loader_process)
        self.client = Client(Credentials(load), page_size=kubernetes.page_size, read_timeout=kubernetes.silence)
        self._outage = Outage(lambda: self.client.server)
        self._kinds = tuple(kinds)
        self._apply = apply
        self._on_programmed = on_programmed
        self._faults = faults
        self._followed = trio.CancelScope()  # of the present reflectors
        self._heard_before: dict[Kind, float] = {}  # by the reflectors that were here before
        self.reflectors = self._make_reflectors(config)

    def _make_reflectors(self, config: Config) -> list[Reflector]:
        kubernetes = config.kubernetes
        return [
            Reflector(
                self.client,
                scopes_of(
                    kind,
                    namespaces=kubernetes.namespaces,
                    labels=kubernetes.labels,
                    namespace_labels=kubernetes.namespace_labels,
                ),
                self._apply,
                timing=settings.timing(config),
                on_programmed=self._on_programmed,
                outage=self._outage,
                faults=self._faults,
            )
            for kind in self._kinds
        ]

    def reconfigure(self, wanted: Changes) -> None:
        """Go by another configuration; everything is listed again only if what is listed has changed."""
        kubernetes = wanted.config.kubernetes
        self.client.use(page_size=kubernetes.page_size, read_timeout=kubernetes.silence)
        if "selectors" in wanted.parts:
            self._heard_before = self.heard()
            self.reflectors = self._make_reflectors(wanted.config)
            self._followed.cancel()
        elif "source" in wanted.parts:
            for reflector in self.reflectors:
                reflector.use(settings.timing(wanted.config))

    def heard(self) -> dict[Kind, float]:
        """Return when what is known of each kind was heard last; a kind that was never listed is not there."""
        now = {stat.kind: stat.last_heard for stat in (each.statistics() for each in self.reflectors) if stat.synced}
        return {**self._heard_before, **{Kind(kind): moment for kind, moment in now.items() if moment is not None}}

    async def run(self) -> None:
        """List and watch all kinds until cancelled, and from the beginning when other objects are wanted."""
        while True:
            with trio.CancelScope() as self._followed:
                async with trio.open_nursery() as nursery:
                    for reflector in self.reflectors:
                        nursery.start_soon(self._faults.keep, "api", reflector.run)

    def look(self) -> None:
        """Report what only time tells: that a request has waited for long."""
        self._outage.look(self.client.waiting())

    async def warn_of_policies(self) -> None:
        """Warn once if the API serves policies that go by DNS names."""
        await warn_of_policies_by_name(self.client)
