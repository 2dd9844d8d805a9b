"""What docs/upgrades.md promises, held against the files of the version before in `tests/upgrades`."""

import struct
import tomllib
import zlib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from dnsserver.cli import cli
from dnsserver.config import load, render
from dnsserver.kube import snapshot
from dnsserver.kube.snapshot import Header, Identity
from dnsserver.metrics.families import FAMILIES
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.dump import objects
from dnsserver.zone.model import Event, Kind

UPGRADES = Path(__file__).parent / "upgrades"
BEFORE = max(UPGRADES.iterdir(), key=lambda folder: [int(number) for number in folder.name.split(".")])
PAGE = (UPGRADES.parents[1] / "docs/upgrades.md").read_text()
OURS = Identity("cluster.local.", "the cluster; pods verified")
SAVED = 1_790_000_000.0


def lines(name: str) -> list[list[str]]:
    return [line.split() for line in (BEFORE / name).read_text().splitlines()]


def excepted(what: str) -> bool:
    """Whether the page says that a thing of the version before is gone."""
    return f"| `{what}` |" in PAGE


def leaves(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{above}{key}.")
        else:
            found[above + key] = value
    return found


def test_the_configuration_of_the_version_before_means_the_same() -> None:
    now = leaves(tomllib.loads(render(load(BEFORE / "dnsserver.toml"))))
    then = leaves(tomllib.loads((BEFORE / "in-force.toml").read_text()))
    assert {key: now.get(key) for key in then if not excepted(key)} == {
        key: value for key, value in then.items() if not excepted(key)
    }


@pytest.mark.parametrize("line", lines("metrics.txt"), ids=lambda line: line[1])
def test_a_metric_of_the_version_before_is_there(line: list[str]) -> None:
    kind, name, *labels = line
    now = {(str(family.type), family.name): set(family.labels) for family in FAMILIES}
    assert (kind, name) in now or excepted(name)
    assert {label for given in labels for label in given.split(",")} <= now.get((kind, name), set()) or excepted(name)


def parameters(command: click.Command) -> set[str]:
    return {parameter.opts[0] if parameter.opts else str(parameter.name) for parameter in command.params}


def test_commands_and_flags_of_the_version_before_are_there() -> None:
    gone = [
        f"{command} {flag}"
        for command, flag in lines("flags.txt")
        if command not in cli.commands or flag not in parameters(cli.commands[command])
    ]
    assert [flag for flag in gone if not excepted(flag)] == []


async def found_objects() -> tuple[dict[str, list[Any]], Cluster]:
    """What is served after a start from the snapshot of the version before."""
    cluster = Cluster(b"\x07cluster\x05local\0")

    def apply(event: Event) -> None:
        cluster.apply(event, 0.0, 0.0)

    found = await snapshot.find(BEFORE, OURS, wall=lambda: SAVED + 60)
    assert found is not None
    await found.give(apply)
    return {str(kind): [msgspec.to_builtins(each) for each in objects(cluster.index, kind)] for kind in Kind}, cluster


def in_order(objects_of: list[Any]) -> list[Any]:
    return sorted(objects_of, key=lambda each: (each["metadata"].get("namespace", ""), each["metadata"]["name"]))


async def test_a_snapshot_of_the_version_before_is_served() -> None:
    held, _ = await found_objects()
    wanted = msgspec.json.decode((BEFORE / "objects.json").read_bytes())
    assert {kind: in_order(each) for kind, each in held.items()} == wanted


def parts(data: bytes) -> list[Any]:
    """What the version before reads of a snapshot, written down again from the head of `kube/snapshot.py` as it was."""
    magic = b"dnsserver zone copy\n"
    assert data.startswith(magic)
    at, found = len(magic), []
    while at < len(data):
        length, checksum = struct.unpack_from(">II", data, at)
        body = data[at + 8 : at + 8 + length]
        assert zlib.crc32(body) == checksum
        found.append(msgspec.msgpack.decode(body))
        at += 8 + length
    return found


async def test_a_snapshot_of_this_version_is_one_that_the_version_before_serves(tmp_path: Path) -> None:
    _, cluster = await found_objects()
    header = Header(OURS, SAVED, dict.fromkeys(Kind, ("7",)))
    await snapshot.save(tmp_path, header, lambda kind: objects(cluster.index, kind))
    then, now = (parts((folder / snapshot.NAME).read_bytes()) for folder in (BEFORE, tmp_path))
    assert now[0][1]["format"] == then[0][1]["format"]
    assert now[0][1].keys() >= then[0][1].keys()
    assert [each[0] for each in now] == [each[0] for each in then]
    for (kind, ours), (_, theirs) in zip(now[1:-1], then[1:-1], strict=True):
        by_name = {(each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in ours}
        for each in theirs:  # what it has, under the names that it reads; more may be there
            assert each.items() <= by_name[each["metadata"].get("namespace"), each["metadata"]["name"]].items(), kind
