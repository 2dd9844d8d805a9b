"""What of a server the pages of admin HTTP show and change."""

from typing import Protocol

from dnsserver.app.dns_service import DnsService
from dnsserver.app.metrics_collector import MetricsCollector
from dnsserver.app.sync import Sync
from dnsserver.app.traffic import TrafficCounter
from dnsserver.app.workers import Workers
from dnsserver.config import Config
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.journal import Journal


class Parts(Protocol):
    """The parts of a server that are shown."""

    is_alone: bool
    config: Config
    cluster: Cluster
    journal: Journal
    dns: DnsService
    sync: Sync
    collector: MetricsCollector
    traffic: TrafficCounter
    workers: Workers

    def place(self, key: str) -> str:
        """Return where a key of the configuration is written."""

    def flush(self, name: bytes, below: bool) -> int:
        """Forget what is kept of a name, and of those below it, in all processes; return how many entries went."""
