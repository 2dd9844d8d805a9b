"""What docs/upgrades.md promises, held against the files of the version before in `tests/upgrades`."""

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from dnsserver.cli import cli
from dnsserver.config import Config, load, render
from dnsserver.config.changes import PARTS, value_of
from dnsserver.kube import documents, snapshot
from dnsserver.kube.snapshot import Header, Identity
from dnsserver.metrics.families import FAMILIES
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.dump import objects
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Put
from tests.deployment import ROOT, rendered
from tests.log.events import events
from tests.upgrades.reader_0_1_0 import read

UPGRADES = Path(__file__).parent / "upgrades"
BEFORE = max(UPGRADES.glob("*.*.*"), key=lambda folder: [int(number) for number in folder.name.split(".")])
PAGE = (ROOT / "docs/upgrades.md").read_text()
GONE = re.findall(r"^\| `([^`]+)` \| (?:the version after )?\d+\.\d+\.\d+ \|", PAGE, re.MULTILINE)
OURS = Identity("cluster.local.", "the cluster; pods verified")
SAVED = 1_790_000_000.0


def lines(name: str) -> list[list[str]]:
    return [line.split() for line in (BEFORE / name).read_text().splitlines()]


# --- The configuration


def leaves(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{above}{key}.")
        else:
            found[above + key] = value
    return found


def cut_to(now: Any, then: Any) -> Any:
    """What is said now, without the keys that tables of an array did not have then."""
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [cut_to(*pair) for pair in zip(now, then, strict=True)]
    return {key: now.get(key) for key in then} if isinstance(then, dict) else now


@pytest.mark.parametrize("name", ["dnsserver", "every-key"])
def test_a_configuration_of_the_version_before_means_the_same(name: str) -> None:
    now = leaves(tomllib.loads(render(load(BEFORE / f"{name}.toml"))))
    in_force = "in-force.toml" if name == "dnsserver" else f"{name}.in-force.toml"
    said = leaves(tomllib.loads((BEFORE / in_force).read_text()))
    then = {key: value for key, value in said.items() if key not in GONE}
    assert {key: cut_to(now.get(key), value) for key, value in then.items()} == then


def test_the_file_with_every_key_has_no_default_in_it() -> None:
    then = leaves(tomllib.loads((BEFORE / "every-key.toml").read_text()))
    defaults = leaves(tomllib.loads((BEFORE / "in-force.toml").read_text()))
    assert then.keys() >= defaults.keys()
    assert [key for key, value in defaults.items() if then[key] == value] == []


def test_keys_that_are_new_leave_what_an_old_file_says_as_it_was() -> None:
    then = leaves(tomllib.loads((BEFORE / "every-key.toml").read_text()))
    config = load(BEFORE / "every-key.toml")
    new = [key for key in PARTS if key not in then and key != "objects"]
    assert [key for key in new if value_of(config, key) != value_of(Config(), key)] == []


# --- Metrics, commands, the log, manifests


@pytest.mark.parametrize("line", lines("metrics.txt"), ids=lambda line: line[1])
def test_a_metric_of_the_version_before_is_there(line: list[str]) -> None:
    kind, name, *labels = line
    now = {(str(family.type), family.name): set(family.labels) for family in FAMILIES}
    assert (kind, name) in now or name in GONE
    assert {label for given in labels for label in given.split(",")} <= now.get((kind, name), set()) or name in GONE


def parameters(command: click.Command) -> set[str]:
    return {parameter.opts[0] if parameter.opts else str(parameter.name) for parameter in command.params}


def test_commands_and_flags_of_the_version_before_are_there() -> None:
    gone = [
        f"{command} {flag}"
        for command, flag in lines("flags.txt")
        if command not in cli.commands or flag not in parameters(cli.commands[command])
    ]
    assert [flag for flag in gone if flag not in GONE] == []


def test_events_of_the_log_of_the_version_before_are_there_with_their_fields() -> None:
    now = {(event.text, event.level): set(event.fields) for event in events()}
    then = [[part.strip() for part in line.split("|")] for line in (BEFORE / "log.txt").read_text().splitlines()]
    assert len(then) >= 80
    for level, text, fields in then:
        if text not in GONE:
            assert (text, level) in now
            assert set(fields.split()) <= now[text, level], text


@pytest.mark.parametrize("line", lines("manifests.txt"), ids=" ".join)
def test_an_object_of_the_manifests_before_is_there_and_selects_the_same_pods(line: list[str]) -> None:
    overlay, kind, name, labels = line
    found = {
        (each["kind"], f"{each['metadata'].get('namespace', '-')}/{each['metadata']['name']}"): each
        for each in rendered(overlay)
    }
    assert (kind, name) in found or f"{kind} {name}" in GONE
    selector = found[kind, name].get("spec", {}).get("selector") or {}
    now = {f"{key}={value}" for key, value in selector.get("matchLabels", selector).items()}
    assert ",".join(sorted(now)) == ("" if labels == "-" else labels)


# --- The snapshot of the zone


async def served_from(folder: Path) -> Cluster:
    """What is served after a start from the snapshot in a folder."""
    cluster = Cluster(b"\x07cluster\x05local\0")

    def apply(event: Event) -> None:
        cluster.apply(event, 0.0, 0.0)

    found = await snapshot.find(folder, OURS, wall=lambda: SAVED + 60)
    assert found is not None
    await found.give(apply)
    return cluster


def in_order(objects_of: list[Any]) -> list[Any]:
    plain: list[Any] = [msgspec.to_builtins(each) for each in objects_of]
    return sorted(plain, key=lambda each: (each["metadata"].get("namespace", ""), each["metadata"]["name"]))


async def test_a_snapshot_of_the_version_before_is_served() -> None:
    cluster = await served_from(BEFORE)
    held = {str(kind): in_order(list(objects(cluster.index, kind))) for kind in Kind}
    assert held == msgspec.json.decode((BEFORE / "objects.json").read_bytes())


def test_the_reader_of_the_version_before_reads_its_own_snapshot() -> None:
    header, held = read((BEFORE / "zone.copy").read_bytes())
    assert (header.whose.domain, header.saved) == ("cluster.local.", SAVED)
    wanted = msgspec.json.decode((BEFORE / "objects.json").read_bytes())
    assert {kind: in_order(each) for kind, each in held.items()} == wanted


def is_part(part: Any, whole: Any) -> bool:
    """Whether all that is said in one value is said in another one, which may have more keys."""
    if isinstance(part, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(is_part(*pair) for pair in zip(part, whole, strict=True))
    return bool(part == whole)


def demo() -> Cluster:
    """The demo cluster, which has a Service of every shape."""
    cluster = Cluster(b"\x07cluster\x05local\0")
    contents = [documents.read(path.read_bytes()) for path in (ROOT / "zones/demo").glob("*.yaml")]
    told: list[Event] = [*map(ListStarted, Kind)]
    told += [Put(thing) for content in contents for thing in content.objects.values()]
    for event in (*told, *map(ListDone, Kind)):
        cluster.apply(event, 0.0, 0.0)
    return cluster


async def saved(cluster: Cluster, folder: Path) -> bytes:
    """What this version writes of a cluster."""
    header = Header(OURS, SAVED, dict.fromkeys(Kind, ("7",)))
    await snapshot.save(folder, header, lambda kind: objects(cluster.index, kind))
    return (folder / snapshot.NAME).read_bytes()


async def test_a_snapshot_of_this_version_is_read_by_the_version_before(tmp_path: Path) -> None:
    """What came from a snapshot of the version before is the same for it when it comes back."""
    header, held = read(await saved(await served_from(BEFORE), tmp_path))
    assert (header.whose.domain, header.whose.source, header.saved) == (OURS.domain, OURS.source, SAVED)
    assert header.versions == dict.fromkeys(map(str, Kind), ("7",))
    wanted = msgspec.json.decode((BEFORE / "objects.json").read_bytes())
    assert {kind: in_order(each) for kind, each in held.items()} == wanted


async def test_what_the_version_before_reads_of_new_objects_is_right(tmp_path: Path) -> None:
    cluster = demo()
    _, held = read(await saved(cluster, tmp_path))
    for kind in Kind:
        now = in_order(list(objects(cluster.index, kind)))
        assert len(held[kind]) == len(now) > 0
        assert [each for each in zip(in_order(held[kind]), now, strict=True) if not is_part(*each)] == []


# --- What was taken back


def there() -> set[str]:
    """All names that a row of the page could be about."""
    flags = {f"{name} {flag}" for name, command in cli.commands.items() for flag in parameters(command)}
    return {*PARTS, *flags, *cli.commands, *(family.name for family in FAMILIES), *(event.text for event in events())}


def test_what_the_page_says_is_gone_is_gone_and_the_changelog_has_it() -> None:
    assert [name for name in GONE if name in there()] == []
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in GONE if f"`{name.split()[0]}`" not in changes] == []


def test_no_page_speaks_of_a_version_that_is_not_there() -> None:
    known = set(re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    told = set(re.findall(r"^\| `[^`]+` \| (?:the version after )?(\d+\.\d+\.\d+) \|", PAGE, re.MULTILINE))
    assert told <= known
