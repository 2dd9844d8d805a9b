"""The shipped file has the keys and defaults of the program, and the output of `check` can be loaded."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.config import (
    Address,
    Config,
    Domain,
    Network,
    Upstream,
    load,
    render,
)
from dnsserver.config.changes import PARTS
from dnsserver.config.model import Forward, Table
from dnsserver.config.values import ZoneFile
from tests.config.reading import loaded

SHIPPED = Path(__file__).parents[2] / "zones" / "dnsserver.toml"


def uncommented() -> str:
    """Return the shipped file with every setting switched on: those lines have no blank after the `#`."""
    return re.sub(r"^#(?=\S)", "", SHIPPED.read_text(), flags=re.MULTILINE)


def keys(table: type[Table], path: str = "") -> set[str]:
    found = set()
    for field in msgspec.structs.fields(table):
        inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
        name = f"{path}{field.encode_name}"
        if isinstance(inner, type) and issubclass(inner, Table):
            found |= keys(inner, f"{name}.")
        else:
            found.add(name)
    return found


def keys_of(data: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for key, value in data.items():
        inner = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for one in inner:
            found |= keys_of(one, f"{path}{key}.") if isinstance(one, dict) else {f"{path}{key}"}
    return found


def test_the_shipped_file_has_every_key_and_no_other() -> None:
    assert keys_of(tomllib.loads(uncommented())) == keys(Config) | {"include"}


def test_the_shipped_file_shows_the_defaults() -> None:
    assert load(SHIPPED) == Config()
    shown, defaults = tomllib.loads(uncommented()), tomllib.loads(render(Config()))
    for key, value in defaults.items():
        if key in {"forward", "rewrite", "answer", "hosts", "query_log"}:
            continue
        if isinstance(value, dict):
            assert {name: shown[key][name] for name in value} == value
        else:
            assert shown[key] == value, key


def test_the_shipped_file_loads_with_everything_switched_on(tmp_path: Path) -> None:
    config = loaded(tmp_path, uncommented().replace('objects = "demo"', ""))  # one source of the cluster
    assert config.context == "kind-kind"
    assert len(config.forward) == 1


def test_every_key_of_the_shipped_file_has_a_comment() -> None:
    comment = False
    for line in SHIPPED.read_text().splitlines():
        if line.startswith("# "):
            comment = True
        elif re.match(r"#\w+ =", line):
            assert comment, line
        elif not line or line.startswith("["):
            comment = False


def words(kind: Any) -> set[str]:
    """What a setting of this type can be, where that is one of some words."""
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Table):
        return {word for field in msgspec.structs.fields(kind) for word in words(field.type)}
    return {word for inner in get_args(kind) for word in words(inner)}


def test_every_word_that_a_setting_takes_stands_in_the_shipped_file() -> None:
    found = words(Config)
    assert "round_robin" in found
    assert [word for word in sorted(found) if f'"{word}"' not in SHIPPED.read_text()] == []


def test_the_shipped_file_says_what_needs_a_restart() -> None:
    text = SHIPPED.read_text().replace("\n# ", " ")
    (named,) = re.findall(r"Only (`.*?) need a restart", text)
    needed = [key for key, part in PARTS.items() if part == "restart"]
    assert sorted(re.findall(r"`([^`]+)`", named)) == sorted([*needed, 'pods = "verified"'])


# --- what `check` prints


hosts = st.ip_addresses().map(str)
machines = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
ports = st.integers(0, 65535).filter(lambda port: port != 8053)  # where `admin` listens
names = st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z][a-z0-9]{0,10}){0,3}", fullmatch=True)
paths = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).map(lambda text: Path("/x") / text)
upstreams = st.lists(
    st.builds(Upstream, machines | names, ports, st.just("udp"))
    | st.builds(Upstream, names, ports, st.just("tls"), names),
    unique=True,
).map(tuple)
configs = st.builds(
    Config,
    listen=st.lists(st.builds(Address, machines, ports), min_size=1, unique=True).map(tuple),
    domain=names.map(Domain.parse),
    ttl=st.integers(0, 3600),
    pods=st.sampled_from(["disabled", "insecure", "verified"]),
    reverse_zones=st.lists(hosts.map(Network.parse)).map(tuple),
    static=st.lists(st.builds(ZoneFile, paths, st.none() | names.map(Domain.parse))).map(tuple),
    kubeconfig=paths,
    context=st.none() | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"))),
    upstreams=upstreams,
    drain=st.floats(0, 3600),
    forward=st.lists(
        st.builds(
            Forward,
            domain=names.map(lambda name: Domain.parse(f"{name}.example")),
            upstreams=upstreams,
            deadline=st.none() | st.floats(0.05, 60),
            mixed_case=st.none() | st.booleans(),
        ),
        unique_by=lambda forward: forward.domain.wire,
        max_size=3,
    ).map(tuple),
)


@given(config=configs)
def test_what_is_printed_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    file = tmp_path_factory.mktemp("c", numbered=True) / "c.toml"
    file.write_text(render(config), "utf-8")
    assert load(file) == config
