"""A configuration in several files: their order, which values are joined, and the place of each mistake."""

import hashlib
from pathlib import Path

import pytest

from dnsserver.config import Config, ConfigError, Override, load, read
from dnsserver.config.values import ZoneFile

BASE = 'include = ["conf.d/*.toml"]\n'


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files into a folder, and return the first of them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / next(iter(files))


def loaded(folder: Path, files: dict[str, str]) -> Config:
    return load(write(folder, files))


def problems(folder: Path, files: dict[str, str], overrides: dict[str, Override] | None = None) -> list[str]:
    """Return the messages for these files, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(write(folder, files), overrides)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def forward(domain: str, upstream: str = "10.0.0.2") -> str:
    return f'[[forward]]\ndomain = "{domain}"\nupstreams = ["{upstream}"]\n'


def test_keys_of_all_files_are_in_force(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        {
            "c.toml": f"{BASE}ttl = 7\n[cache]\nttl_cap = 60\n",
            "conf.d/a.toml": "[cache]\nttl_floor = 3\n",
            "conf.d/b.toml": 'pods = "disabled"\n[log]\nlevel = "debug"\n',
        },
    )
    assert (config.ttl, config.cache.ttl_cap, config.cache.ttl_floor) == (7, 60, 3)
    assert (config.pods, config.log.level) == ("disabled", "debug")


def test_tables_of_forwards_add_up_by_the_names_of_the_files(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        {
            "c.toml": BASE + forward("first.example"),
            "conf.d/20.toml": forward("last.example"),
            "conf.d/10.toml": forward("b.example") + forward("c.example"),
            "conf.d/.hidden.toml": "no TOML at all",
            "conf.d/10.toml~": "no TOML at all",
        },
    )
    names = ["first.example", "b.example", "c.example", "last.example"]
    assert [str(route.domain) for route in config.forward] == names


@pytest.mark.parametrize(
    ("include", "order"),
    [
        ('["b.toml", "a.toml"]', ["b", "a"]),
        ('["?.toml"]', ["a", "b", "d"]),
        ('["b.toml", "*.toml"]', ["b", "a", "d"]),
        ('["none-*.toml"]', []),
        ("[]", []),
    ],
)
def test_files_come_in_the_order_of_the_patterns_and_each_once(tmp_path: Path, include: str, order: list[str]) -> None:
    files = {f"{name}.toml": forward(f"{name}.example") for name in ("b", "d", "a")}
    config = loaded(tmp_path, {"main.conf": f"include = {include}\n", **files})
    assert [str(route.domain) for route in config.forward] == [f"{name}.example" for name in order]


def test_a_relative_path_starts_at_the_file_that_it_stands_in(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        {
            "c.toml": f'{BASE}state = "state"\n',
            "conf.d/a.toml": 'static = ["x.zone"]\n[[forward]]\ndomain = "a.example"\nupstreams = ["./resolv.conf"]\n',
        },
    )
    assert config.state == tmp_path / "state"
    assert config.static == (ZoneFile(tmp_path / "conf.d" / "x.zone"),)
    assert config.forward[0].upstreams[0].host == str(tmp_path / "conf.d" / "resolv.conf")


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            {"c.toml": f"{BASE}ttl = 7\n", "conf.d/a.toml": "\nttl = 7\n"},
            ["conf.d/a.toml:2: ttl: is already in c.toml:2; write it once"],
        ),
        (
            {"c.toml": BASE, "conf.d/a.toml": "[log]\nlevel = 'info'\n", "conf.d/b.toml": "log.level = 'debug'\n"},
            ["conf.d/b.toml:1: log.level: is already in conf.d/a.toml:2; write it once"],
        ),
        (
            {"c.toml": f"{BASE}upstreams = []\n", "conf.d/a.toml": "upstreams = []\n"},
            ["conf.d/a.toml:1: upstreams: is already in c.toml:2; write it once"],
        ),
        (
            {"c.toml": f"{BASE}ttl = 7\n", "conf.d/a.toml": "[ttl]\n"},
            ["conf.d/a.toml:1: ttl: is already in c.toml:2; write it once"],
        ),
        (
            {
                "c.toml": BASE + forward("a.example"),
                "conf.d/a.toml": forward("b.example") + forward("A.example"),
                "conf.d/b.toml": "\n" + forward("c.example", "nobody at home"),
            },
            [
                'conf.d/b.toml:4: forward[3].upstreams[0]: found "nobody at home", expected an address or hostname',
                'conf.d/a.toml:5: forward[2].domain: "a.example" is already in another [[forward]]',
            ],
        ),
        (
            {"c.toml": BASE + forward("a.example"), "conf.d/a.toml": forward("b.example") + forward("A.example")},
            ['conf.d/a.toml:5: forward[2].domain: "a.example" is already in another [[forward]]'],
        ),
        (
            {"c.toml": f"{BASE}ttl = -1\n", "conf.d/a.toml": "[cache]\nsizes = 1\n[tcp]\nidle = 'x'\n"},
            [
                "c.toml:2: ttl: found -1",
                "conf.d/a.toml:2: cache.sizes: unknown key",
                "conf.d/a.toml:4: tcp.idle: found",
            ],
        ),
        (
            {"c.toml": BASE, "conf.d/a.toml": "ttl = \n", "conf.d/b.toml": "[x\n"},
            ["conf.d/a.toml:1:7: Invalid value", "conf.d/b.toml:1:3: Expected"],
        ),
        (
            {"c.toml": BASE, "conf.d/a.toml": '\ninclude = ["b.toml"]\n'},
            ["conf.d/a.toml:2: include: an included file cannot include others; list them all in the first file"],
        ),
        ({"c.toml": 'include = ["x.toml"]\n'}, ["c.toml:1: include: x.toml: there is no such file"]),
        ({"c.toml": 'include = "x.toml"\n'}, ["c.toml:1: include: expected a list of file names"]),
        ({"c.toml": "include = [1]\n"}, ["c.toml:1: include: expected a list of file names"]),
        ({"c.toml": 'includes = ["x.toml"]\n'}, ["c.toml:1: includes: unknown key; did you mean include?"]),
    ],
)
def test_a_mistake_names_the_file_that_it_is_in(tmp_path: Path, files: dict[str, str], messages: list[str]) -> None:
    found = problems(tmp_path, files)
    assert len(found) == len(messages), found
    for problem, message in zip(found, messages, strict=True):
        assert problem.startswith(message)


def test_a_flag_wins_over_all_files(tmp_path: Path) -> None:
    file = write(tmp_path, {"c.toml": BASE, "conf.d/a.toml": "ttl = 7\n"})
    assert load(file, {"ttl": Override("--ttl", 9)}).ttl == 9


def test_what_was_read_is_known_with_the_hash_of_it_all(tmp_path: Path) -> None:
    texts = {"c.toml": BASE, "conf.d/a.toml": "ttl = 7\n", "conf.d/b.toml": "[log]\n"}
    found = read(write(tmp_path, texts))
    assert [str(file.relative_to(tmp_path)) for file in found.files] == list(texts)
    assert found.patterns == (str(tmp_path / "conf.d" / "*.toml"),)
    assert found.digest == hashlib.sha512("".join(texts.values()).encode()).hexdigest()
    assert found.place("ttl") == f"{tmp_path}/conf.d/a.toml:1: ttl"
    assert "ttl" in found.written
    assert "pods" not in found.written


def test_of_one_file_the_hash_is_the_files(tmp_path: Path) -> None:
    file = write(tmp_path, {"c.toml": "ttl = 7\n"})
    assert read(file).digest == hashlib.sha512(file.read_bytes()).hexdigest()
