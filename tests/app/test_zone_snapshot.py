"""Which zone a snapshot belongs to, and that a fault of a snapshot does not harm the server."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from dnsserver.app.zone_snapshot import ZoneSnapshot, snapshot_of
from dnsserver.config import Config, Domain
from dnsserver.config.model import Kubernetes
from dnsserver.kube import snapshot
from dnsserver.kube.snapshot import Header, Identity
from dnsserver.zone.index import Index
from dnsserver.zone.model import (
    Event,
    Kind,
    ListDone,
    ListStarted,
    Metadata,
    Namespace,
    Object,
    Service,
    ServicePort,
    ServiceSpec,
)
from tests.kube.support import wait_for
from tests.logs import capture_logs

OURS = Identity("cluster.local.", "somewhere")


def identity(config: Config) -> Identity:
    loaded = snapshot_of(config)
    assert loaded is not None
    return loaded.whose


def test_without_a_folder_there_is_no_copy() -> None:
    assert snapshot_of(Config()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": Domain.parse("other.example")},
        {"pods": "verified"},
        {"objects": Path("objects.yaml")},
        {"kubeconfig": Path("kubeconfig")},
        {"kubernetes": Kubernetes(namespaces=("a",))},
        {"kubernetes": Kubernetes(labels="a=b")},
        {"kubernetes": Kubernetes(namespace_labels="a=b")},
    ],
    ids=str,
)
def test_what_makes_other_objects_makes_another_copy(changes: dict[str, Any]) -> None:
    assert identity(Config(state=Path("x"), **changes)) != identity(Config(state=Path("x")))


def test_what_makes_no_other_objects_keeps_the_copy() -> None:
    one = Config(state=Path("x"), kubernetes=Kubernetes(namespaces=("a", "b")))
    other = Config(state=Path("y"), ttl=30, kubernetes=Kubernetes(namespaces=("b", "a"), stale_after=5.0))
    assert identity(one) == identity(other)


def test_a_kubeconfig_that_leads_elsewhere_makes_another_copy(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    config = Config(state=Path("x"), kubeconfig=path)
    clusters = [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in ("one", "two")]
    contexts = [{"name": name, "context": {"cluster": name}} for name in ("one", "two")]

    def write(current: str, **rest: Any) -> None:
        content = {"clusters": clusters, "contexts": contexts, "current-context": current, **rest}
        path.write_text(json.dumps(content))

    write("one")
    one = identity(config)
    write("two")
    two = identity(config)
    named = identity(msgspec.structs.replace(config, context="one"))
    assert not any(this.fits(other) for this, other in itertools.permutations((one, two, named), 2))
    write("one", users=[{"name": "u", "user": {"token": "another"}}])
    assert identity(config) == one
    # What led there may have been broken since; then what it led to is not known any more.
    path.write_text("[")
    assert identity(config).fits(one)
    assert not identity(config).fits(named)
    path.unlink()
    assert identity(config).fits(two)
    assert not identity(msgspec.structs.replace(config, context="two")).fits(named)


def shop() -> Index:
    index = Index()
    index.put_namespace(Namespace(Metadata("shop")))
    return index


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def versions() -> dict[Kind, tuple[str, ...]]:
    return {Kind.NAMESPACES: ("7",), Kind.SERVICES: ("8",)}


async def keeping(loaded: ZoneSnapshot, index: Index, until: Callable[[], object], changes: Callable[[], int]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loaded.keep, index, changes, versions, lambda: True, float)
        await wait_for(until)
        nursery.cancel_scope.cancel()


async def test_what_is_kept_is_loaded_and_serves_until_each_kind_is_listed(tmp_path: Path) -> None:
    kept = ZoneSnapshot(tmp_path, OURS, 0.01)
    await keeping(kept, shop(), lambda: kept.statistics().saves, lambda: 1)
    loaded = ZoneSnapshot(tmp_path, OURS, 0.01)
    assert (loaded.serving, loaded.age()) == (False, 0.0)
    events: list[Event] = []
    serving: list[bool] = []

    def take(event: Event) -> None:
        events.append(event)
        serving.append(loaded.serving)

    await loaded.load(take)
    assert [event.kind for event in events if isinstance(event, ListDone)] == [Kind.NAMESPACES, Kind.SERVICES]
    assert serving == [False, False, True, True, True]  # from the first kind on that is there
    assert 0 <= loaded.age() < 60
    figures = loaded.statistics()
    assert (figures.serving, figures.size) == (True, kept.statistics().size)
    assert figures.as_of is not None
    loaded.listed(Kind.SERVICES)
    assert loaded.serving
    loaded.listed(Kind.NAMESPACES)
    assert not loaded.serving


async def test_a_zone_that_does_not_change_is_not_saved_again(tmp_path: Path) -> None:
    loaded = ZoneSnapshot(tmp_path, OURS, 0.001)
    looks = 0

    def changes() -> int:
        nonlocal looks
        looks += 1
        return looks // 20

    await keeping(loaded, shop(), lambda: looks > 200, changes)
    assert 2 <= loaded.statistics().saves <= 12


async def test_another_interval_is_gone_by_at_once(tmp_path: Path) -> None:
    config = Config(state=tmp_path, kubernetes=Kubernetes(snapshot_interval=86_400.0))
    loaded = snapshot_of(config)
    assert loaded is not None
    index, changes = shop(), 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loaded.keep, index, lambda: changes, versions, lambda: True, float)
        await wait_for(lambda: loaded.statistics().saves == 1)
        changes = 2
        loaded.reconfigure(msgspec.structs.replace(config, kubernetes=Kubernetes(snapshot_interval=0.01)))
        await wait_for(lambda: loaded.statistics().saves == 2)
        nursery.cancel_scope.cancel()


async def test_what_another_choice_has_listed_is_saved_as_its_own_and_nothing_before(tmp_path: Path) -> None:
    config = Config(state=tmp_path, kubernetes=Kubernetes(snapshot_interval=0.01))
    loaded = snapshot_of(config)
    assert loaded is not None
    index, changes, is_whole = shop(), 1, True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loaded.keep, index, lambda: changes, versions, lambda: is_whole, float)
        await wait_for(lambda: loaded.statistics().saves == 1)
        first, is_whole, changes = loaded.whose, False, 2
        loaded.reconfigure(
            msgspec.structs.replace(config, kubernetes=Kubernetes(snapshot_interval=0.01, namespaces=("shop",)))
        )
        await trio.sleep(0.1)
        assert loaded.statistics().saves == 1
        assert await snapshot.find(tmp_path, first) is not None
        is_whole = True  # whether or not the list has changed anything
        await wait_for(lambda: loaded.statistics().saves == 2)
        nursery.cancel_scope.cancel()
    assert await snapshot.find(tmp_path, first) is None
    assert await snapshot.find(tmp_path, loaded.whose) is not None


@pytest.mark.parametrize("step", [366 * 86_400, -366 * 86_400, -3600], ids=str)
async def test_a_clock_that_is_set_alters_no_age(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.rate = 1.0
    kept = ZoneSnapshot(tmp_path, OURS, 0.01)
    await keeping(kept, shop(), lambda: kept.statistics().saves, lambda: 1)
    loaded = ZoneSnapshot(tmp_path, OURS, 1.0)
    await loaded.load(lambda _: None)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + step)
    ages = [loaded.age(), kept.age()]
    mock_clock.jump(100)
    assert [loaded.age(), kept.age()] == pytest.approx([age + 100 for age in ages], abs=5)
    assert max(ages) < 10
    saves, looks = kept.statistics().saves, itertools.count(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.keep, shop(), lambda: bool(next(looks)), versions, lambda: True, float)
        await wait_for(lambda: next(looks) > 50)
        assert kept.statistics().saves == saves + 1, "as it begins"
        mock_clock.jump(3600)
        await wait_for(lambda: kept.statistics().saves == saves + 2)
        nursery.cancel_scope.cancel()


async def test_saving_makes_nothing_younger(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """While the source is not heard, an unchanged zone is not saved, and a changed one as of when it was heard last."""
    mock_clock.rate = 1.0
    kept = ZoneSnapshot(tmp_path, OURS, 0.01)
    heard, changes, looks = trio.current_time(), 1, itertools.count(1)

    def counted() -> int:
        next(looks)
        return changes

    def age() -> float:
        return trio.current_time() - heard

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.keep, shop(), counted, versions, lambda: True, age)
        await wait_for(lambda: kept.statistics().saves == 1)
        mock_clock.jump(3 * 86_400)
        await wait_for(lambda: next(looks) > 50)
        assert kept.statistics().saves == 1
        changes = 2
        await wait_for(lambda: kept.statistics().saves == 2)
        assert kept.age() == pytest.approx(3 * 86_400, abs=10)
        found = await snapshot.find(tmp_path, OURS)
        assert found is not None
        assert time.time() - found.header.saved == pytest.approx(3 * 86_400, abs=10)
        heard = trio.current_time()
        await wait_for(lambda: kept.statistics().saves == 3)
        assert kept.age() < 10
        nursery.cancel_scope.cancel()


async def test_why_nothing_is_saved_is_told_until_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    kept = ZoneSnapshot(folder, OURS, 0.01)
    folder.write_text("a file")
    await keeping(kept, shop(), lambda: kept.statistics().failures, lambda: 1)
    assert kept.statistics().problem == f"{folder}: file exists"
    folder.unlink()
    await keeping(kept, shop(), lambda: kept.statistics().saves, lambda: 1)
    assert kept.statistics().problem == ""


async def test_a_bug_while_saving_is_logged_and_ends_nothing(tmp_path: Path) -> None:
    index = shop()
    index.namespaces.add("no octets")  # type: ignore[arg-type]
    loaded = ZoneSnapshot(tmp_path, OURS, 0.01)
    with capture_logs() as logs:
        await keeping(loaded, index, lambda: loaded.statistics().failures > 1, lambda: 1)
    assert logs[0]["event"] == "snapshot of the zone not saved"
    assert logs[0]["exc_info"]
    assert loaded.statistics().problem == f"{tmp_path}: a bug, see the log"
    assert not files(tmp_path)


async def test_a_copy_that_is_not_understood_ends_nothing(tmp_path: Path) -> None:
    """The kinds that were read are served; the others wait for the API."""
    bad = Service(Metadata("web", "shop"), ServiceSpec(ports=[ServicePort(70_000)]))

    def objects(kind: Kind) -> Iterator[Object]:
        yield bad if kind is Kind.SERVICES else Namespace(Metadata("shop"))

    await snapshot.save(tmp_path, Header(OURS, time.time(), versions()), objects)
    loaded = ZoneSnapshot(tmp_path, OURS, 0.01)
    events: list[Event] = []
    with capture_logs() as logs:
        await loaded.load(events.append)
    assert [log["event"] for log in logs] == ["snapshot of the zone cannot be read"]
    assert events[-1] == ListStarted(Kind.SERVICES)
    assert loaded.serving
