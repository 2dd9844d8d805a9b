"""`dnsserver import-corefile`: the files that it reads, where its output goes, and how it ends."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dnsserver.cli import cli
from dnsserver.config import load

COREFILES = sorted((Path(__file__).parents[1] / "corefiles").glob("[0-9]*"))


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["import-corefile", *arguments], prog_name="dnsserver")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def written(folder: Path, files: Mapping[str, str]) -> str:
    """Write files, and return the path of the first one."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder / next(iter(files)))


@pytest.mark.parametrize("path", COREFILES, ids=lambda path: path.stem)
def test_what_is_printed_loads(path: Path, tmp_path: Path) -> None:
    status, out, err = run(str(path))
    assert status == 0
    (tmp_path / "dnsserver.toml").write_text(out)
    load(tmp_path / "dnsserver.toml")
    assert err.splitlines()[-1].endswith(("losses", "1 loss"))
    assert "not taken by dnsserver" not in err


@pytest.mark.parametrize(
    ("text", "flags", "status", "last"),
    [
        (". {\n errors\n}", (), 0, "0 losses"),
        (". {\n errors\n}", ("--strict",), 0, "0 losses"),
        (". {\n dns64\n}", (), 0, "1 loss"),
        (". {\n dns64\n}", ("--strict",), 1, "1 loss"),
        (". {\n dns64\n whoami\n}", ("--strict",), 1, "2 losses"),
    ],
)
def test_a_loss_ends_strict_with_1(tmp_path: Path, text: str, flags: tuple[str, ...], status: int, last: str) -> None:
    found, out, err = run(written(tmp_path, {"Corefile": text}), *flags)
    assert found == status
    assert tomllib.loads(out) == {"upstreams": []}
    assert err.splitlines()[-1] == last


def test_what_is_said_stands_under_its_heading(tmp_path: Path) -> None:
    path = written(tmp_path, {"Corefile": ". {\n errors\n ready\n dns64\n forward . 192.0.2.1\n}"})
    _, _, err = run(path)
    lines = err.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "What became of it:",
        "What it does without a setting:",
        "What is different now:",
        "What has no counterpart:",
        "1 loss",
    ]
    assert f'  {path}:5: forward: upstreams = ["192.0.2.1"]' in lines
    assert any(
        line.startswith(f"  {path}:4: dns64: no AAAA is made from A: pods that have only IPv6") for line in lines
    )


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    _, out, err = run(written(tmp_path, {"Corefile": '. {\n qu\x1b[31mux "\x07a"\n}'}))
    assert "\x1b" not in out + err
    assert "\x07" not in out + err


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Corefile": ". {\n errors\n"}, "{}:1: the block is not closed: expected }} at its end"),
        ({"Corefile": "kind: Secret\n"}, "{}: has no ConfigMap: expected a Corefile, or a ConfigMap with one"),
        ({"gone/": ""}, "{}: "),
    ],
)
def test_what_cannot_be_imported_ends_with_2(tmp_path: Path, files: dict[str, str], message: str) -> None:
    name = next(iter(files))
    path = str(tmp_path / "gone") if name.endswith("/") else written(tmp_path, files)
    status, out, err = run(path)
    assert (status, out) == (2, "")
    assert err.startswith(message.format(path))


IMPORTED: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"Corefile": ". {\n import part\n forward . 192.0.2.1\n}", "part": "cache 7"}, {"ttl_cap": 7, "negative_cap": 7}),
    ({"Corefile": ". {\n import sub/*.override\n forward . 192.0.2.1\n}", "sub/b.override": "cache 9",
      "sub/a.override": "errors"}, {"ttl_cap": 9, "negative_cap": 9}),
    # A file that is imported imports by its own folder.
    ({"Corefile": "import sub/blocks", "sub/blocks": ". {\n import inner\n forward . 192.0.2.1\n}",
      "sub/inner": "cache 8"}, {"ttl_cap": 8, "negative_cap": 8}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "cache"), IMPORTED)
def test_files_that_are_imported(tmp_path: Path, files: dict[str, str], cache: dict[str, Any]) -> None:
    status, out, err = run(written(tmp_path, files))
    assert (status, err.splitlines()[-1]) == (0, "0 losses")
    assert tomllib.loads(out)["cache"] == cache


def test_a_file_that_is_not_there_is_a_loss(tmp_path: Path) -> None:
    path = written(tmp_path, {"Corefile": ". {\n import gone\n}"})
    status, _, err = run(path, "--strict")
    assert status == 1
    assert f"{path}:2: import: gone: there is no such file or snippet" in err


def test_paths_lead_to_where_the_files_are(tmp_path: Path) -> None:
    files = {
        "Corefile": ". {\n hosts names {\n  fallthrough\n }\n file /zones/db.a a.example\n}",
        "names": "10.0.0.1 a\n",
    }
    _, out, err = run(written(tmp_path, files))
    found = tomllib.loads(out)
    assert found["hosts"][0]["file"] == str(tmp_path / "names")
    assert found["static"] == ["a.example=/zones/db.a"]
    assert "/zones/db.a does not exist on this machine: it has to exist where the server runs" in err


def test_keys_beside_the_corefile_are_files_beside_it(tmp_path: Path) -> None:
    custom = "kind: ConfigMap\nmetadata: {name: custom}\ndata:\n  own.server: |\n    a.example {\n      dns64\n    }\n"
    main = "kind: ConfigMap\ndata:\n  Corefile: |\n    . {\n    }\n    import custom/*.server\n"
    path = written(tmp_path, {"maps.yaml": f"{main}---\n{custom}"})
    _, out, err = run(path)
    assert tomllib.loads(out)["forward"] == [{"domain": "a.example", "upstreams": []}]
    assert f"{path}, own.server:2: dns64: " in err


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["import-corefile", "-"], input=". {\n forward . 192.0.2.1\n}\n")
    assert (result.exit_code, tomllib.loads(result.stdout)) == (0, {"upstreams": ["192.0.2.1"]})
