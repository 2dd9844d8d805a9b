"""Objects from files: changes become events, and a broken file removes no object."""

import json
import os
from pathlib import Path

import pytest
import trio

from dnsserver.kube.objects import ObjectFiles, ObjectsError
from dnsserver.wire.name import from_text
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone, ListStarted, Put, Remove, Service
from tests.kube.files import SHOP, polled, services, serving_files, shows
from tests.kube.support import Sink, thing, wait_for
from tests.logs import capture_logs


async def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(services("a", "b"))
    async with serving_files(path) as (files, sink):
        assert [type(event) for event in sink.events] == [ListStarted] * 4 + [Put] * 3 + [ListDone] * 4
        assert sink.synced == set(Kind)
        before = len(sink.events)
        path.write_text(services("b", "c"))
        await shows(sink, "b", "c")
        assert [type(event) for event in sink.events[before:]] == [Put, Remove], "only what differs, additions first"
        statistics = files.statistics()
        assert (statistics.files, statistics.broken) == (1, {})
        assert statistics.last_event is not None


async def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(services("a"))
    (tmp_path / "b.json").write_text(services("b"))
    (tmp_path / "README.md").write_text("not objects")
    (tmp_path / ".hidden.yaml").write_text(services("hidden"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.yaml").write_text(services("c"))
    async with serving_files(tmp_path) as (_, sink):
        await shows(sink, "a", "b")
        (tmp_path / "c.yml").write_text(services("c"))
        await shows(sink, "a", "b", "c")
        (tmp_path / "a.yaml").unlink()
        await shows(sink, "b", "c")


WRONG = [
    ("kind: [\n", {}),
    ("kind: Service\nmetadata: [\n", {Kind.SERVICES: 1}),
    ("kind: service\nmetadata: {name: b, namespace: shop}\n", {Kind.SERVICES: 1}),
    ("kind: Namespce\nmetadata: {name: b}\n", {Kind.NAMESPACES: 1}),
    ("kind: Service\nmetadata: {name: 7}\n", {Kind.SERVICES: 1}),
    ('{"kind": "EndpointSlice", "metadata": ', {Kind.ENDPOINTSLICES: 1}),
    ("metadata: {name: b}\n", {}),
]


@pytest.mark.parametrize(("text", "counted"), WRONG)
async def test_what_cannot_be_read_is_counted_and_told_as_long_as_it_is_so(
    tmp_path: Path, text: str, counted: dict[Kind, int]
) -> None:
    path = tmp_path / "a.yaml"
    (tmp_path / "b.yaml").write_text(services("b"))
    path.write_text(text)
    async with serving_files(tmp_path) as (files, sink):
        statistics = files.statistics()
        assert (statistics.faulty, statistics.bad_objects.keys()) == (1, counted.keys())
        (wrong,) = statistics.wrong
        assert wrong.startswith(f"{path}: line ")
        path.write_text(services("a"))
        await shows(sink, "a", "b")
        assert (files.statistics().faulty, files.statistics().wrong) == (0, ())


@pytest.mark.parametrize("broken", ["{", "kind: Service\nmetadata:\n  name: 7\n", ""])
async def test_a_file_that_breaks_keeps_its_last_good_content(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(services("a"))
    (tmp_path / "b.yaml").write_text(services("b"))
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (files, sink):
            loads = files.statistics().loads
            path.write_text(broken)
            await polled(files, loads + 1)
            (tmp_path / "b.yaml").write_text(services("b2"))
            await shows(sink, "a", "b2")
            if broken:
                assert list(files.statistics().broken) == [str(path)]
                assert files.statistics().broken[str(path)].startswith(f"{path}: line ")
            path.write_text(services("a2"))
            await shows(sink, "a2", "b2")
            assert files.statistics().broken == {}
    told = [log for log in logs if log["log_level"] == "warning" and log.get("file") == str(path)]
    assert len(told) == 1


async def test_a_broken_file_at_the_start_costs_itself_only(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("{")
    (tmp_path / "good.yaml").write_text(services("a"))
    (tmp_path / "half.yaml").write_text(services("b") + "\n---\nkind: Service\nmetadata: {name: 7}\n")
    async with serving_files(tmp_path) as (files, sink):
        await shows(sink, "a", "b")
        assert len(files.statistics().broken) == 2


async def test_nothing_good_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ObjectsError, match="no such file or folder"):
        await ObjectFiles(tmp_path / "missing", Sink().apply).run()
    (tmp_path / "bad.yaml").write_text("\n\nkind: [\n")
    with pytest.raises(ObjectsError, match=r"bad\.yaml: line \d: not YAML"):
        await ObjectFiles(tmp_path, Sink().apply).run()


async def test_a_rename_over_the_file(tmp_path: Path) -> None:
    """Editors save in this way; here size and time stay the same."""
    path, new = tmp_path / "a.yaml", tmp_path / "a.yaml.tmp"
    path.write_text(services("a"))
    times = path.stat().st_mtime_ns
    async with serving_files(path) as (_, sink):
        new.write_text(services("b"))
        os.utime(new, ns=(times, times))
        new.rename(path)
        await shows(sink, "b")
        assert sink.count(Remove) == 1


async def test_the_swap_of_a_configmap(tmp_path: Path) -> None:
    """`a.yaml -> ..data/a.yaml`, `..data -> ..version`: one rename changes all files."""
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "a.yaml").write_text(services(f"a{version}"))
        (tmp_path / f"..{version}" / "b.yaml").write_text(services(f"b{version}"))
    (tmp_path / "..data").symlink_to("..1")
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    async with serving_files(tmp_path) as (_, sink):
        await shows(sink, "a1", "b1")
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await shows(sink, "a2", "b2")


async def test_half_a_file_is_not_believed(tmp_path: Path) -> None:
    """A file is written in pieces, each of them valid YAML: no object of the whole file is removed meanwhile."""
    path = tmp_path / "a.yaml"
    pieces = services(*(f"s{number}" for number in range(20))).split("\n---\n")
    path.write_text("\n---\n".join(pieces))
    async with serving_files(path) as (files, sink):
        loads = files.statistics().loads
        with path.open("w") as file:
            for piece in [*pieces, json.dumps({"kind": "Service", **thing("last")})]:
                file.write(f"{piece}\n---\n")
                file.flush()
                await trio.sleep(0.005)
        await polled(files, loads + 1)
        await wait_for(lambda: "last" in sink.names(Kind.SERVICES))
        assert sink.count(Remove) == 0


@pytest.mark.parametrize("others", [(), ("other.yaml",)])
async def test_a_file_that_is_written_while_it_is_read_first_is_not_taken_for_empty(
    tmp_path: Path, others: tuple[str, ...]
) -> None:
    """The server is not ready until the file stays the same: otherwise it would say that no name exists."""
    path = tmp_path / "a.yaml"
    path.write_text(services("a"))
    for name in others:
        (tmp_path / name).write_text(services("b"))
    sink = Sink()
    files = ObjectFiles(tmp_path if others else path, sink.apply, poll=0.02)

    async def rewrite() -> None:
        with trio.move_on_after(0.5):
            while True:
                (tmp_path / "a.new").write_text(services("a"))
                (tmp_path / "a.new").replace(path)
                await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rewrite)
        await nursery.start(files.run)
        assert sink.names(Kind.SERVICES) == ({"a", "b"} if others else {"a"})
        nursery.cancel_scope.cancel()


async def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / "a.yaml").write_text(services("a"))
    with capture_logs():
        async with serving_files(folder) as (files, sink):
            folder.rename(tmp_path / "moved")
            await wait_for(lambda: files.statistics().wrong)
            assert sink.names(Kind.SERVICES) == {"a"}
            gone = f"{folder}: no such file or folder; its last good content stays in use"
            assert (files.statistics().wrong, files.statistics().faulty) == ((gone,), 1)
            folder.mkdir()
            (folder / "b.yaml").write_text(services("b"))
            await shows(sink, "b")
            assert (files.statistics().wrong, files.statistics().faulty) == ((), 0)


async def test_the_same_object_in_two_files(tmp_path: Path) -> None:
    """The last file's counts; that is told of the other one, as long as it is so."""
    first, last = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text(services("web", labels={"from": "1"}))
    last.write_text(services("web", labels={"from": "2"}))
    said = f"Service shop/web is in {last} as well, and that one counts"
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (files, sink):
            web = sink.objects[Kind.SERVICES, "shop", "web"]
            assert isinstance(web, Service)
            assert web.metadata.labels == {"from": "2"}
            assert (files.statistics().wrong, files.statistics().faulty) == ((f"{first}: {said}",), 0)
            last.unlink()
            await wait_for(lambda: sink.objects[Kind.SERVICES, "shop", "web"].metadata.labels == {"from": "1"})
            assert sink.count(Remove) == 0
            assert files.statistics().wrong == ()
    assert (logs[0]["file"], logs[0]["error"]) == (str(first), said)


async def test_a_file_that_is_emptied_keeps_its_content_and_that_is_told_as_long_as_it_is_so(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(services("a"))
    (tmp_path / "b.yaml").write_text(services("b"))
    said = "is empty; its last good content stays in use"
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (files, sink):
            path.write_text("")
            await wait_for(lambda: files.statistics().faulty == 1)
            assert (files.statistics().wrong, sink.names(Kind.SERVICES)) == ((f"{path}: {said}",), {"a", "b"})
            path.write_text(services("c"))
            await shows(sink, "b", "c")
            assert (files.statistics().wrong, files.statistics().faulty) == ((), 0)
    told = [(log["event"], log.get("error")) for log in logs if log.get("file") == str(path)]
    assert told == [("objects file problem", said), ("objects file is good again", None)]


async def test_what_is_not_read_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.yaml", "Corefile", "notes.txt", "a.yaml~", ".a.yaml.swp", "#a.yaml#", "4913", "a.yaml.tmp"):
        (tmp_path / name).write_text(services("a"))
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (_, sink):
            (tmp_path / "a.yaml").write_text(services("b"))
            await shows(sink, "b")
    assert [log["error"] for log in logs if log.get("file") == str(tmp_path)] == [
        "subfolders are not read: sub",
        "files whose names do not end in .yaml, .yml or .json are not read: Corefile, notes.txt",
    ]


async def test_a_good_change_and_an_emptied_folder_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{SHOP}\n---\n{services('a', 'b')}")
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (_, sink):
            path.write_text(f"{SHOP}\n---\n{services('b', 'c', 'd')}")
            await shows(sink, "b", "c", "d")
            path.unlink()
            await wait_for(lambda: not sink.objects)
            await wait_for(lambda: len(logs) >= 3)
    reloaded, empty, gone = logs
    assert reloaded["event"] == gone["event"] == "objects reloaded"
    assert (reloaded["files"], reloaded["objects_changed"], reloaded["objects_removed"]) == (["a.yaml"], 2, 1)
    assert (gone["files"], gone["gone"], gone["objects_removed"]) == ([], ["a.yaml"], 4)
    assert empty["event"] == "the folder is empty now, so no name of the cluster exists"


async def test_namespaces_without_an_object_are_taken_as_existing(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(services("a") + "\n---\n" + services("b", namespace="Other"))
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (_, sink):
            assert sink.names(Kind.NAMESPACES) == {"other", "shop"}
            path.write_text(services("a", "c"))
            await shows(sink, "a", "c")
            await wait_for(lambda: sink.names(Kind.NAMESPACES) == {"shop"})
            (tmp_path / "b.yaml").write_text(SHOP)
            path.write_text(services("a"))
            await shows(sink, "a")
            assert sink.names(Kind.NAMESPACES) == {"shop"}
            (tmp_path / "b.yaml").unlink()
            path.write_text(services("a", "d"))
            await shows(sink, "a", "d")
    told = [log["namespaces"] for log in logs if log["log_level"] == "warning" and "namespaces" in log]
    assert told == [["other", "shop"], ["shop"]]


async def test_the_same_mistake_is_said_again_after_it_was_mended(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    flawed = services("a", spec={"clusterIP": "10.0.0.300"})
    path.write_text(f"{SHOP}\n---\n{flawed}")
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (files, sink):
            for number, text in enumerate((services("b"), flawed, services("c"), flawed)):
                loads = files.statistics().loads
                path.write_text(f"{SHOP}\n---\n{text}" + " " * number)
                await polled(files, loads + 1)
            await shows(sink, "a")
            assert files.statistics().bad_values == {Kind.SERVICES: 3}
    told = [log["error"] for log in logs if log["log_level"] == "warning"]
    assert told == ["line 3: Service shop/a: spec.clusterIP: `10.0.0.300` is not an IP address"] * 3


async def test_an_object_whose_name_changes_its_case_only_stays(tmp_path: Path) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(services("Web", namespace="Shop"))
    async with serving_files(path) as (_, sink):
        before = len(sink.events)
        path.write_text(services("web", namespace="shop"))
        await wait_for(lambda: any(isinstance(event, Put) for event in sink.events[before:]))
        await trio.sleep(0.1)
        assert not [event for event in sink.events[before:] if isinstance(event, Remove)]


async def test_a_namespace_with_a_namespace_stays_after_the_list(tmp_path: Path) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text('{"kind": "Namespace", "metadata": {"name": "shop", "namespace": "default"}}')
    cluster = Cluster()
    files = ObjectFiles(path, lambda event: bool(cluster.apply(event, 0.0, 0.0)), poll=0.02)
    async with trio.open_nursery() as nursery:
        await nursery.start(files.run)
        answer = cluster.answer(from_text("web.shop.svc.cluster.local"), 1)
        assert answer is not None
        assert answer.reason.code == "service-missing"
        nursery.cancel_scope.cancel()


async def test_files_that_are_followed_anew_are_served_whole(tmp_path: Path) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(services("a"))
    sink = Sink()
    files = ObjectFiles(path, sink.apply, poll=0.02)
    for _ in range(2):  # as after a bug that ended it
        async with trio.open_nursery() as nursery:
            await nursery.start(files.run)
            assert sink.names(Kind.SERVICES) == {"a"}
            nursery.cancel_scope.cancel()
