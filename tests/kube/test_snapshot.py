"""A snapshot is read back unchanged, or refused with a reason; the old one survives any end of a save."""

import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from dnsserver.kube import snapshot
from dnsserver.kube.snapshot import NAME, TOO_OLD, YIELD_EVERY, Identity
from dnsserver.zone.model import (
    Event,
    Kind,
    ListDone,
    ListStarted,
    Object,
    Put,
)
from tests.kube.copies import NOW, OURS, SERVICES, header, held
from tests.logs import capture_logs

MAGIC = b"dnsserver zone copy\n"


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def load(folder: Path, now: float = NOW) -> list[Event] | None:
    found = await snapshot.find(folder, OURS, wall=lambda: now)
    if found is None:
        return None
    events: list[Event] = []
    await found.give(events.append)
    return events


async def test_what_is_saved_comes_back_as_lists(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for it"
    size = await snapshot.save(folder, header(), held)
    assert size == (folder / NAME).stat().st_size
    events = await load(folder)
    assert events == [
        event for kind in header().versions for event in (ListStarted(kind), *map(Put, held(kind)), ListDone(kind))
    ]
    found = await snapshot.find(folder, OURS, wall=lambda: NOW)
    assert found is not None
    assert (found.header, found.size) == (header(), size)
    assert files(folder) == [NAME]


async def test_two_servers_that_save_at_the_same_time_leave_each_others_file_alone(tmp_path: Path) -> None:
    begun = trio.Event()

    def many(kind: Kind) -> Iterator[Object]:
        begun.set()
        return (each for each in held(kind) for _ in range(50))

    (tmp_path / f"{NAME}.of-a-killed-server.new").write_bytes(MAGIC)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(snapshot.save, tmp_path, header(), many)
        await begun.wait()
        await snapshot.save(tmp_path, header(), held)
    assert files(tmp_path) == [NAME]


async def test_no_file_is_no_warning(tmp_path: Path) -> None:
    with capture_logs() as logs:
        assert await load(tmp_path) is None
    assert [log["log_level"] for log in logs] == ["info"]


def part(*body: object) -> bytes:
    octets = msgspec.msgpack.encode(body)
    return len(octets).to_bytes(4, "big") + zlib.crc32(octets).to_bytes(4, "big") + octets


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def without_part(data: bytes, number: int) -> bytes:
    start = len(MAGIC)
    for _ in range(number):
        start += 8 + int.from_bytes(data[start : start + 4], "big")
    return data[:start] + data[start + 8 + int.from_bytes(data[start : start + 4], "big") :]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda _: b"", "it is not a snapshot of a zone"),
        (lambda _: b"<html>" * 100, "it is not a snapshot of a zone"),
        (lambda data: data[: len(MAGIC)], "truncated"),
        (lambda data: data[: len(MAGIC) + 3], "truncated"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: without_part(data, 6), "truncated: it has no end"),
        (lambda data: without_part(data, 3), "corrupt: parts are missing, or are there twice"),
        (lambda data: data + part("end", 5), "corrupt: parts are missing, or are there twice"),
        (lambda data: without_part(data, 0), "it begins without a header"),
        (lambda data: flipped(data, len(MAGIC) + 20), "corrupt: a checksum is wrong"),
        (lambda data: flipped(data, len(data) // 2), "corrupt: a checksum is wrong"),
        (lambda data: flipped(data, len(data) - 1), "corrupt: a checksum is wrong"),
        (lambda _: MAGIC + part("header", {"format": 99}), "it has format 99, expected 1"),
        (lambda _: MAGIC + part("header", {"format": 1}), "corrupt: Object missing required field `whose`"),
        (lambda _: MAGIC + part("header"), "corrupt: Expected `array` of length 2, got 1"),
        (lambda data: data + b"\xff" * 12, "truncated"),
        (
            lambda data: without_part(data, 6) + part("nodes", []) + part("end", 6),
            "corrupt: 'nodes' is not a valid Kind",
        ),
    ],
)
async def test_a_damaged_file_is_ignored(tmp_path: Path, damage: Callable[[bytes], bytes], problem: str) -> None:
    await snapshot.save(tmp_path, header(), held)
    path = tmp_path / NAME
    path.write_bytes(damage(path.read_bytes()))
    with capture_logs() as logs:
        assert await load(tmp_path) is None
    (log,) = logs
    assert log["log_level"] == "warning"
    assert problem in log["error"]


async def test_any_octet_flipped_anywhere_and_any_cut_is_noticed(tmp_path: Path) -> None:
    await snapshot.save(tmp_path, header(), partial(held, services=2))
    path = tmp_path / NAME
    whole = path.read_bytes()
    for position in range(len(whole)):
        for damaged in (flipped(whole, position), whole[:position]):
            path.write_bytes(damaged)
            assert await load(tmp_path) is None, position


@pytest.mark.parametrize(
    ("changes", "now", "problem"),
    [
        (
            {"whose": Identity("other.zone.", OURS.source)},
            NOW,
            "it belongs to other.zone. from the cluster; pods insecure",
        ),
        ({"whose": Identity(OURS.domain, "elsewhere")}, NOW, "it belongs to cluster.local. from elsewhere, expected"),
        ({}, NOW + TOO_OLD + 3600, "it is 7.0 days old, expected at most 7"),
    ],
)
async def test_a_copy_of_another_zone_or_time_is_ignored(
    tmp_path: Path, changes: dict[str, Any], now: float, problem: str
) -> None:
    await snapshot.save(tmp_path, header(**changes), held)
    with capture_logs() as logs:
        assert await load(tmp_path, now) is None
    assert [problem in log["error"] for log in logs] == [True]


@pytest.mark.parametrize(("back", "said"), [(60, 0), (2 * 3600, 1), (366 * 86_400, 1), (NOW, 1)])
async def test_a_clock_that_is_behind_costs_no_copy(back: float, said: int, tmp_path: Path) -> None:
    await snapshot.save(tmp_path, header(), held)
    with capture_logs() as logs:
        assert await load(tmp_path, NOW - back)
    assert len(logs) == said


async def test_objects_that_are_not_understood_end_the_list_of_their_kind(tmp_path: Path) -> None:
    await snapshot.save(tmp_path, header(versions={Kind.NAMESPACES: ()}), held)
    path = tmp_path / NAME
    data = path.read_bytes()
    path.write_bytes(without_part(without_part(data, 2), 1) + part("namespaces", [{"metadata": 1}]) + part("end", 1))
    found = await snapshot.find(tmp_path, OURS, wall=lambda: NOW)
    assert found is not None
    events: list[Event] = []
    with pytest.raises(msgspec.ValidationError):
        await found.give(events.append)
    assert events == [ListStarted(Kind.NAMESPACES)]


async def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A file in its place stands for a read-only file system: root, who may write anywhere, meets this too."""
    (tmp_path / "state").write_text("")
    with pytest.raises(OSError, match="exists"):
        await snapshot.save(tmp_path / "state", header(), held)


async def test_a_disk_that_is_full_leaves_the_old_copy_and_nothing_else(tmp_path: Path) -> None:
    await snapshot.save(tmp_path, header(), held)
    before = (tmp_path / NAME).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            await snapshot.save(tmp_path, header(), held)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == before


async def test_a_save_that_is_cancelled_leaves_the_old_copy_and_nothing_else(tmp_path: Path) -> None:
    await snapshot.save(tmp_path, header(), held)
    before = (tmp_path / NAME).read_bytes()

    def endless(kind: Kind) -> Iterator[Object]:
        while True:
            scope.cancel()
            yield from held(Kind.SERVICES)

    with trio.CancelScope() as scope:
        await snapshot.save(tmp_path, header(), endless)
    assert scope.cancelled_caught
    assert files(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == before


async def test_objects_that_raise_leave_the_old_copy_and_nothing_else(tmp_path: Path) -> None:
    await snapshot.save(tmp_path, header(), held)

    def broken(kind: Kind) -> Iterator[Object]:
        yield from held(kind)
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await snapshot.save(tmp_path, header(), broken)
    assert files(tmp_path) == [NAME]


KILLED = """
import sys, trio
from pathlib import Path
from dnsserver.kube import snapshot
from tests.kube.copies import header, held

def slow(kind):
    for number, obj in enumerate(held(kind, 200_000)):
        if number == 100_000:
            print("half way", flush=True)
            sys.stdin.read()
        yield obj

trio.run(snapshot.save, Path(sys.argv[1]), header(), slow)
"""


def test_kill_in_the_middle_of_a_save_leaves_the_old_copy(tmp_path: Path) -> None:
    trio.run(snapshot.save, tmp_path, header(), held)
    before = (tmp_path / NAME).read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half way\n"
        assert max(path.stat().st_size for path in tmp_path.iterdir()) > 1_000_000  # of the new one
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / NAME).read_bytes() == before
    assert trio.run(load, tmp_path)
    assert len(files(tmp_path)) == 2  # what it was writing
    trio.run(snapshot.save, tmp_path, header(), held)
    assert files(tmp_path) == [NAME]


async def test_the_loop_goes_on_between_bites(tmp_path: Path) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await snapshot.save(tmp_path, header(), held)
        while_saving = turns
        await load(tmp_path)
        nursery.cancel_scope.cancel()
    parts = SERVICES // YIELD_EVERY
    assert while_saving >= parts
    assert turns - while_saving >= parts
