"""A server that starts while the API is down says what it knew, marked as such, until it hears how it is now."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from dnsserver.app import sync
from dnsserver.app.sync import Sync
from dnsserver.config import Config
from dnsserver.config.changes import changes
from dnsserver.config.model import Kubernetes
from dnsserver.kube import snapshot
from dnsserver.kube.objects import ObjectFiles
from dnsserver.kube.scope import rbac_rule, scopes_of
from dnsserver.resolver.reply_cache import Reply, ReplyCache
from dnsserver.wire import message as m
from dnsserver.wire.message import EDE
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Event, Kind, ListDone
from tests.app.following import Rig, config_of, following
from tests.cluster import namespace, service
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing, wait_for
from tests.logs import capture_logs
from tests.running import write_objects

POD = "10-1-0-1.shop.pod.cluster.local"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        running.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        for name, address in (("stays", "10.0.0.1"), ("changes", "10.0.0.2"), ("goes", "10.0.0.3")):
            put(running, name, address)
        running.put(Kind.SERVICES, thing("db", spec={"clusterIP": "None"}))
        running.put(Kind.ENDPOINTSLICES, endpoints("db-1", "10.1.0.1"))
        running.put(Kind.PODS, thing("db-0", status={"phase": "Running", "podIP": "10.1.0.1"}))
        yield running


def put(server: ApiServer, name: str, address: str) -> None:
    server.put(Kind.SERVICES, thing(name, spec={"clusterIP": address}))


def endpoints(name: str, address: str) -> dict[str, Any]:
    found = [{"addresses": [address], "hostname": "db-0"}]
    labels = {"kubernetes.io/service-name": "db"}
    return thing(name, labels=labels, addressType="IPv4", endpoints=found, ports=[])


async def save_copy(config: Config) -> None:
    async with following(config) as rig:
        await wait_for(lambda: rig.saves)


async def test_a_start_without_the_api_serves_the_copy_until_the_api_is_back(server: ApiServer, tmp_path: Path) -> None:
    config = config_of(server, tmp_path)
    await save_copy(config)
    server.stop()
    put(server, "changes", "10.0.0.22")
    server.delete(Kind.SERVICES, "shop", "goes")
    put(server, "comes", "10.0.0.4")
    async with following(config) as rig:
        wrong: list[object] = []
        real: list[Kind] = []

        def watch(event: Event) -> None:
            """After every event, each question has the old answer or the new one."""
            if rig.cluster.missing:
                return
            allowed: dict[str, list[str | None]]
            if Kind.SERVICES in real:
                allowed = {"changes": ["10.0.0.22"], "goes": [None], "comes": ["10.0.0.4"]}
            else:
                allowed = {"changes": ["10.0.0.2", "10.0.0.22"], "goes": ["10.0.0.3"], "comes": [None, "10.0.0.4"]}
            allowed |= {"stays": ["10.0.0.1"], "db": ["10.1.0.1"], "db-0.db": ["10.1.0.1"]}
            for name, may in allowed.items():
                rcode, addresses = rig.ask(name)
                if (addresses[0] if rcode == m.NOERROR else None) not in may:
                    wrong.append((event, name, rcode, addresses))

        rig.sync.listeners.append(watch)
        await wait_for(lambda: not rig.cluster.missing)
        assert rig.sync.serving_snapshot
        assert rig.ask("goes") == (m.NOERROR, ("10.0.0.3",))
        assert rig.ask(POD) == (m.NOERROR, ("10.1.0.1",))
        reason = rig.sync.stale_reason()
        assert reason is not None
        assert (reason.code, reason.ede) == ("stale", EDE.STALE_ANSWER)
        assert "served from a snapshot that was up to date more than" in reason.text
        assert rig.sync.snapshot is not None
        assert rig.sync.snapshot.statistics().serving
        await wait_for(lambda: any(r.statistics().last_error for r in rig.sync.reflectors))  # it has tried
        assert rig.sync.serving_snapshot

        rig.keep_reply()
        rig.sync.listeners.insert(0, lambda event: real.append(event.kind) if isinstance(event, ListDone) else None)
        server.start()
        await wait_for(lambda: not rig.sync.serving_snapshot, 30)
        assert sorted(real) == sorted(Kind)
        assert rig.sync.stale_reason() is None
        assert not rig.table.replies  # also what was not changed was marked as stale
        assert not rig.sync.snapshot.statistics().serving
        assert rig.ask("goes")[0] == m.NXDOMAIN
        assert rig.ask("changes") == (m.NOERROR, ("10.0.0.22",))
        assert rig.ask("comes") == (m.NOERROR, ("10.0.0.4",))
        assert not wrong
        await wait_for(lambda: rig.saves)


async def test_an_update_serves_the_copy_for_a_moment_and_says_nothing_of_it(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "MOMENT", 60.0)  # however slow the machine is
    config = config_of(server, tmp_path)
    await save_copy(config)
    with capture_logs() as logs:
        async with following(config) as rig:
            await wait_for(lambda: not rig.cluster.missing)
            assert rig.sync.serving_snapshot
            await wait_for(lambda: not rig.sync.serving_snapshot)
    said = {"the snapshot is served until the API server answers", "cluster data is fresh again"}
    assert not said & set(events_of(logs))


async def test_a_start_of_files_that_are_not_there_yet_says_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "MOMENT", 0.5)
    objects = write_objects(tmp_path, [namespace("shop"), service("web", "10.9.0.1")])
    config = Config(objects=objects, state=tmp_path / "state", upstreams=(), kubernetes=Kubernetes(snapshot_interval=1))
    await save_copy(config)
    objects.unlink()
    with capture_logs() as logs:
        async with following(config) as rig:
            await wait_for(lambda: "the snapshot is served until the object files are read" in events_of(logs))
            assert rig.ask("web") == (m.NOERROR, ("10.9.0.1",))
    assert "the snapshot is served until the API server answers" not in events_of(logs)


async def test_a_start_with_the_api_is_fresh_at_once_and_saves_what_changes(server: ApiServer, tmp_path: Path) -> None:
    config = config_of(server, tmp_path)
    await save_copy(config)
    async with following(config) as rig:
        await wait_for(lambda: rig.sync.serving_snapshot)
        await wait_for(lambda: not rig.sync.serving_snapshot)
        assert rig.sync.stale_reason() is None
        await wait_for(lambda: rig.saves == 1)
        put(server, "new", "10.0.0.9")
        await wait_for(lambda: rig.saves == 2)
    server.stop()
    async with following(config) as rig:
        await wait_for(lambda: not rig.cluster.missing)
        assert rig.ask("new") == (m.NOERROR, ("10.0.0.9",))


async def test_without_a_copy_nothing_is_answered_before_the_api_is_heard(server: ApiServer, tmp_path: Path) -> None:
    config = config_of(server, tmp_path)
    server.stop()
    async with following(config) as rig:
        await wait_for(lambda: all(r.statistics().last_error for r in rig.sync.reflectors))
        assert rig.ask("stays")[0] == m.SERVFAIL
        assert not rig.sync.stale
        server.start()
        await wait_for(lambda: not rig.cluster.missing, 30)
        assert rig.ask("stays") == (m.NOERROR, ("10.0.0.1",))


def other_pods(config: Config) -> Config:
    return msgspec.structs.replace(config, pods="insecure")


def other_selector(config: Config) -> Config:
    return msgspec.structs.replace(config, kubernetes=Kubernetes(labels="tier=web"))


@pytest.mark.parametrize("change", [other_pods, other_selector])
async def test_the_copy_of_another_choice_of_objects_is_not_served(
    server: ApiServer, tmp_path: Path, change: Any
) -> None:
    config = config_of(server, tmp_path)
    await save_copy(config)
    server.stop()
    with capture_logs() as logs:
        async with following(change(config)) as rig:
            await wait_for(lambda: any(log.get("error") for log in logs))
            assert rig.ask("stays")[0] == m.SERVFAIL
            assert not rig.sync.serving_snapshot


@pytest.mark.parametrize("kind", [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES])
@pytest.mark.parametrize("how", ["forbidden", "missing"])
async def test_a_kind_that_may_not_be_read_keeps_it_not_ready_until_it_may(
    server: ApiServer, tmp_path: Path, kind: Kind, how: str
) -> None:
    getattr(server, how).add(kind)
    config = msgspec.structs.replace(config_of(server, tmp_path), pods="insecure", state=None)
    async with following(config) as rig:
        (reflector,) = (each for each in rig.sync.reflectors if each.kind is kind)
        others = [each for each in rig.sync.reflectors if each is not reflector]
        await wait_for(lambda: all(each.statistics().synced for each in others) and reflector.statistics().last_error)
        rig.sync.look()
        assert rig.cluster.missing == {kind}
        assert rig.ask("stays")[0] == m.SERVFAIL
        assert rig.ask("nowhere.cluster.local")[0] == m.NXDOMAIN
        statistics = reflector.statistics()
        assert (statistics.forbidden, statistics.missing) == (how == "forbidden", how == "missing")
        assert statistics.rule == (rbac_rule(*scopes_of(kind)) if how == "forbidden" else "")

        getattr(server, how).clear()
        await wait_for(lambda: not rig.cluster.missing)
        assert rig.ask("stays") == (m.NOERROR, ("10.0.0.1",))
        assert not reflector.statistics().rule

        getattr(server, how).add(kind)  # what was read once is served on, and ages
        server.disturb("cut", kind)
        await wait_for(lambda: reflector.statistics().forbidden or reflector.statistics().missing)
        rig.sync.look()
        assert not rig.cluster.missing
        assert rig.ask("stays") == (m.NOERROR, ("10.0.0.1",))
        await wait_for(lambda: rig.sync.age() > 0.05)


async def test_a_kind_that_is_forbidden_costs_its_own_names_only(server: ApiServer, tmp_path: Path) -> None:
    server.forbidden = {Kind.PODS}
    config = config_of(server, tmp_path)
    async with following(config) as rig:
        await wait_for(lambda: not rig.cluster.missing)
        assert rig.cluster.denied == {Kind.PODS}
        assert rig.ask("stays") == (m.NOERROR, ("10.0.0.1",))
        assert rig.ask(POD)[0] == m.SERVFAIL
        await wait_for(lambda: rig.saves)
    found = await snapshot.find(tmp_path / "state", _identity(config))
    assert found is not None
    assert list(found.header.versions) == [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES]
    assert all(version.isdigit() for versions in found.header.versions.values() for version in versions)


def _identity(config: Config) -> snapshot.Identity:
    loaded = Sync(config, Cluster(), ReplyCache()).snapshot
    assert loaded is not None
    return loaded.whose


async def test_a_kind_that_the_copy_has_is_served_on_when_it_is_forbidden(server: ApiServer, tmp_path: Path) -> None:
    config = config_of(server, tmp_path)
    await save_copy(config)
    server.forbidden = {Kind.PODS}
    put(server, "new", "10.0.0.9")
    async with following(config) as rig:
        await wait_for(
            lambda: rig.ask("new")[0] == m.NOERROR and any(r.statistics().forbidden for r in rig.sync.reflectors)
        )
        assert rig.ask(POD) == (m.NOERROR, ("10.1.0.1",))
        assert rig.sync.serving_snapshot
        assert not rig.cluster.denied


async def test_pods_of_a_copy_go_when_they_stay_forbidden(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says what became of them. The copy is renewed without them, and they are back when they may be read."""
    monkeypatch.setattr(sync, "DENIED_FOR", 0.2)
    config = config_of(server, tmp_path)
    await save_copy(config)
    server.forbidden = {Kind.PODS}
    put(server, "new", "10.0.0.9")
    async with following(config) as rig:
        await wait_for(lambda: rig.cluster.denied == {Kind.PODS})
        assert rig.ask(POD)[0] == m.SERVFAIL
        assert rig.ask("new") == (m.NOERROR, ("10.0.0.9",))
        assert not rig.sync.serving_snapshot
        await wait_for(lambda: rig.saves)
        server.forbidden.clear()
        await wait_for(lambda: rig.ask(POD) == (m.NOERROR, ("10.1.0.1",)))
        assert not rig.cluster.denied


async def test_a_folder_that_cannot_be_written_is_said_once_and_ends_nothing(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    with capture_logs() as logs:
        async with following(config_of(server, tmp_path)) as rig:
            loaded = rig.sync.snapshot
            assert loaded is not None
            await wait_for(lambda: loaded.statistics().failures >= 2)
            assert rig.ask("stays") == (m.NOERROR, ("10.0.0.1",))
            (tmp_path / "state").unlink()
            await wait_for(lambda: rig.saves)
    assert events_of(logs).count("snapshot of the zone not saved") == 1
    assert "snapshot of the zone saved again" in events_of(logs)


def events_of(logs: Iterable[Any]) -> list[str]:
    return [log["event"] for log in logs]


async def test_a_path_without_objects_is_said_once_and_served_when_it_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "RETRY", 0.05)
    looks, look = 0, ObjectFiles.run

    async def counted(files: ObjectFiles) -> None:
        nonlocal looks
        looks += 1
        await look(files)

    async def wait_looks(count: int) -> None:
        before = looks
        await wait_for(lambda: looks >= before + count)

    monkeypatch.setattr(ObjectFiles, "run", counted)
    path = tmp_path / "objects.yaml"
    rig = Rig(Config(objects=path))
    with capture_logs() as logs:

        def errors() -> list[str]:
            return [log["error"] for log in logs if log["log_level"] == "error"]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.sync.run)
            await wait_looks(3)
            assert rig.cluster.missing
            path.write_text("kind: [")
            await wait_for(lambda: len(errors()) == 2)
            await wait_looks(2)
            path.write_text("{kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.0.0.1}}")
            await wait_for(lambda: not rig.cluster.missing)
            nursery.cancel_scope.cancel()
    assert rig.ask("web") == (m.NOERROR, ("10.0.0.1",))
    first, second = errors()
    assert first == f"{path}: no such file or folder"
    assert second.startswith(f"{path}: line 2: not YAML")


class Aging(Sync):
    """A sync whose data is as old as the test says."""

    seconds = 0.0

    def age(self) -> float:
        return self.seconds


async def test_another_choice_of_objects_does_not_make_old_data_fresh(server: ApiServer, tmp_path: Path) -> None:
    config = msgspec.structs.replace(config_of(server, tmp_path), state=None)
    async with following(config) as rig:
        await rig.sync.wait_synced()
        server.stop()
        await trio.sleep(0.5)
        old = rig.sync.age()
        assert old > 0.4
        other = msgspec.structs.replace(config.kubernetes, labels="team=dns")
        rig.sync.reconfigure(changes(config, msgspec.structs.replace(config, kubernetes=other)))
        await trio.sleep(0.1)
        assert rig.sync.age() > old


def test_how_old_the_data_is_is_told_by_steps_and_replies_that_tell_less_go(tmp_path: Path) -> None:
    replies = ReplyCache()
    table = replies.add_table("udp", "1")
    following = Aging(Config(objects=tmp_path), Cluster(), replies)
    told: list[str | None] = []
    following.stale_listeners.append(lambda reason: told.append(reason.text if reason else None))
    kept = []
    with capture_logs() as logs:
        for seconds in (0, 300, 301, 400, 599, 600, 1199, 1200, 4000, 90_000, 100_000, 1):
            replies.keep(table, b"a question", Reply(b"\x84\0 and a reply of our own", (1, 0, "found")))
            following.seconds = seconds
            following.look()
            kept.append(bool(table.replies))
    old = "no word from the Kubernetes API for more than"
    steps = ("5 min", "10 min", "20 min", "1 h", "1 d")
    assert told == [*(f"{old} {step}" for step in steps), None]
    assert kept == [True, True, False, True, True, False, True, False, False, False, True, False]
    assert [line["event"] for line in logs] == [
        "cluster data is stale, the API server is not heard",
        "cluster data is fresh again",
    ]
