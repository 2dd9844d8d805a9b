"""Reads the zone once from its source, for commands that need it only once."""

import msgspec
import trio

from dnsserver.app import settings
from dnsserver.app.sync import Sync
from dnsserver.config import Config
from dnsserver.kube.folder import look_around
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.zone.cluster import Cluster

SYNC_WAIT = 60.0  # seconds until the objects of the cluster are there
_TRIES = 3.0  # seconds for which an API server that cannot be asked is tried again
_LOOK = 0.1  # seconds


class NoZoneError(Exception):
    """The objects of the cluster cannot be had; the text says why."""


async def zone_of(config: Config) -> Cluster:
    """Return the zone of the objects that a configuration names. Raises NoZoneError."""
    expect_objects(config)
    cluster = Cluster(config.domain.wire, **settings.cluster(config))
    sync = Sync(msgspec.structs.replace(config, state=None), cluster, ReplyCache(1 << 20))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sync.run)
            await wait_zone(sync, cluster)
            nursery.cancel_scope.cancel()
    except* Exception as errors:
        raise NoZoneError(str(first_of(errors))) from errors
    return cluster


async def wait_zone(sync: Sync, cluster: Cluster) -> None:
    """Wait until the objects of the cluster are there. Raises NoZoneError with what is in the way, or after a minute.

    Files that cannot be read are not waited for, and an API server that cannot be asked for a few seconds only.
    """
    began = trio.current_time()
    while cluster.missing:
        waited, problem = trio.current_time() - began, sync.in_the_way()
        if problem and (sync.client is None or waited >= _TRIES):
            raise NoZoneError(problem)
        if waited >= SYNC_WAIT:
            raise NoZoneError(f"the objects of the cluster could not be read within {SYNC_WAIT:g} seconds")
        with trio.move_on_after(_LOOK):
            await sync.wait_synced()


def expect_objects(config: Config) -> None:
    """Raise NoZoneError where there are no files of objects: a server would wait for them."""
    problem = "" if config.objects is None else look_around(config.objects).problem
    if problem:
        raise NoZoneError(f"{config.objects}: {problem}")


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one error of a group, and of the groups in it."""
    (first, *_) = errors.exceptions
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
