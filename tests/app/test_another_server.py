"""A kubeconfig that leads to another cluster by now: it is followed at once, and has a snapshot of its own."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from dnsserver.app.zone_snapshot import ZoneSnapshot
from dnsserver.config import Config
from dnsserver.config.changes import changes
from dnsserver.kube import snapshot
from dnsserver.wire import message as m
from dnsserver.zone.model import Event, Kind, Put
from tests.app.following import Rig, config_of, following
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing, wait_for
from tests.logs import capture_logs


@pytest.fixture
async def ours() -> AsyncIterator[ApiServer]:
    async with serving(cluster("ours")) as running:
        yield running


@pytest.fixture
async def theirs() -> AsyncIterator[ApiServer]:
    async with serving(cluster("theirs")) as running:
        yield running


def cluster(name: str) -> ApiServer:
    """One whose only service has this name."""
    server = ApiServer()
    server.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
    server.put(Kind.SERVICES, thing(name))
    return server


async def saved(folder: Path, of: ZoneSnapshot) -> set[str]:
    """The services in a snapshot; none if there is no snapshot of this zone."""
    events: list[Event] = []
    found = await snapshot.find(folder, of.whose)
    if found is not None:
        await found.give(events.append)
    return {each.object.metadata.name for each in events if isinstance(each, Put)} & {"ours", "theirs"}


def lead_to(server: ApiServer, config: Config, rig: Rig, user: dict[str, Any] | None = None) -> ZoneSnapshot:
    """Have the kubeconfig lead to a server, and what follows the cluster know it."""
    path = config.kubeconfig
    assert path is not None
    config_of(server, path.parent)
    if user is not None:
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "users": [{"name": "it", "user": user}]}))
    rig.sync.reconfigure(changes(config, config))
    rig.sync.credentials_changed()
    assert rig.sync.snapshot is not None
    return rig.sync.snapshot


async def test_another_cluster_is_followed_at_once(ours: ApiServer, theirs: ApiServer, tmp_path: Path) -> None:
    """While it does not answer, what was known of the first one is served, and not saved as the zone of the other."""
    config = config_of(ours, tmp_path)
    folder = tmp_path / "state"
    async with following(config) as rig:
        await wait_for(lambda: rig.saves == 1 and ours.streams(Kind.SERVICES))
        theirs.stop()
        kept = lead_to(theirs, config, rig)
        await wait_for(lambda: not ours.watches)
        ours.put(Kind.SERVICES, thing("later"))
        await trio.sleep(2.5 * config.kubernetes.snapshot_interval)
        assert rig.ask("ours")[0] == m.NOERROR
        assert rig.saves == 1
        theirs.start()
        await wait_for(lambda: rig.ask("theirs")[0] == m.NOERROR and rig.ask("ours")[0] == m.NXDOMAIN, 30)
        await wait_for(lambda: rig.saves == 2)
        assert await saved(folder, kept) == {"theirs"}


async def test_what_cannot_be_followed_is_not_saved_as_the_zone_that_is(
    ours: ApiServer, theirs: ApiServer, tmp_path: Path
) -> None:
    """The kubeconfig names another cluster, but its credentials cannot be loaded: the first one is followed on."""
    config = config_of(ours, tmp_path)
    async with following(config) as rig:
        await wait_for(lambda: rig.saves == 1 and ours.streams(Kind.SERVICES))
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "nobody-has-it"}
        with capture_logs() as logs:
            kept = lead_to(theirs, config, rig, {"exec": {**plugin, "interactiveMode": "Never"}})
            await wait_for(lambda: any("credentials not renewed" in log["event"] for log in logs))
        ours.put(Kind.SERVICES, thing("later"))
        await wait_for(lambda: rig.ask("later")[0] == m.NOERROR)
        await trio.sleep(2.5 * config.kubernetes.snapshot_interval)
        assert await saved(tmp_path / "state", kept) == set()
