"""Applies events to the zone of this process, and drops the replies that they make wrong."""

import time

import trio

from dnsserver.faults import Faults
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Event

_SHOWN = 300  # characters of an event that a bug met


class ZoneUpdater:
    """The one place where events change a zone; another configuration changes it in `DnsService.apply`."""

    def __init__(self, cluster: Cluster, replies: ReplyCache, faults: Faults) -> None:
        """Keep `replies` in step with `cluster`."""
        self._faults = faults
        self._cluster = cluster
        self._replies = replies
        self._retains = trio.Event()
        self.changes = 0

    def apply(self, event: Event) -> bool:
        """Apply one event to the zone, drop the replies that it made wrong, and return whether the zone changed."""
        try:
            changed = self._cluster.apply(event, trio.current_time(), time.time())
            if changed:
                self.changes += 1
                self._replies.drop(changed)
                if self._cluster.retained:
                    self._retains.set()
            return bool(changed)
        except Exception as error:
            self._faults.took("event", error, change=repr(event)[:_SHOWN])
            self.changes += 1
            self._replies.clear()  # which of them are wrong is not known
            return True

    async def expire(self) -> None:
        """Release what the zone retains when its grace is over, until cancelled."""
        await self._faults.keep("grace", self._expire)

    async def _expire(self) -> None:
        while True:
            expiry = self._cluster.next_expiry
            if expiry is None:
                self._retains = trio.Event()
                await self._retains.wait()
                continue
            await trio.sleep_until(expiry)
            self._replies.drop(self._cluster.expire(trio.current_time(), time.time()))
