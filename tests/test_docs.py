"""What the Markdown files name exists: links, files, symbols, settings, tests, targets, layers."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from dnsserver.advice import CODES
from dnsserver.app import ceiling
from dnsserver.config import Config, load
from dnsserver.config.model import Policy
from dnsserver.node.report import Report
from dnsserver.node.report import metrics as guardian_metrics
from dnsserver.wire.name import to_text
from dnsserver.zone.static import SPECIAL
from tests.deployment import ROOT
from tests.pages import PAGES, prose, title

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
RULES = re.findall(r"^\| .* \| `(dnsserver/[\w/]+\.py)` \| (`.*`) \|$", ARCHITECTURE, re.MULTILINE)
HELD = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PROTOCOL)
NOTHING = Report(0.0, {}, (), False, False, (), {}, 0, 0)


@cache
def symbols(path: str) -> frozenset[str]:
    """What a file defines: functions, classes and names, and `Class.member`."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        for name in _names(node):
            found.add(name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for member in node.body for name in _names(member)}
    return frozenset(found)


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def anchor(heading: str) -> str:
    """The fragment that leads to a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, link


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_files_and_targets_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"(?<!/)\b(?:dnsserver|docs|loadtest|manifests|tests|zones)/[\w./-]*\w", text):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z0-9-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m ([\w.]+)", text):
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), module


def settings() -> dict[str, set[str]]:
    """The tables of the configuration and their keys."""
    shown: dict[str, Any] = msgspec.to_builtins(Config(), enc_hook=str)
    return {table: set(keys) for table, keys in shown.items() if isinstance(keys, dict)}


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_settings_and_modules_that_are_named_are_there(page: Path) -> None:
    tables = settings()
    packages = {path.parent.name for path in (ROOT / "dnsserver").glob("*/__init__.py")}
    for first, second in re.findall(r"`([a-z_]+)\.([a-z_]+)`", prose(page)):
        if second != "toml" and (first in tables or first in packages):  # else it is a user's file
            module = ROOT / "dnsserver" / first / f"{second}.py"
            assert second in tables.get(first, ()) or module.exists(), f"{first}.{second}"


def test_packages_and_layers_are_those_of_the_code() -> None:
    named = re.findall(r"^\| `(\w+)/` \|", ARCHITECTURE, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "dnsserver").glob("*/__init__.py"))
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert " > ".join(layers) in ARCHITECTURE


def test_there_are_rules_and_each_is_where_the_table_says() -> None:
    assert len(RULES) >= 15
    for path, named in RULES:
        for symbol in re.findall(r"`([\w.]+)`", named):
            assert symbol in symbols(path), f"{path}: {symbol}"
    for path, symbol in re.findall(r"`([\w/]+\.py)::([\w.]+)`", ARCHITECTURE):
        assert symbol in symbols(path), f"{path}: {symbol}"


def test_each_row_of_the_protocol_is_held_by_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (\d+) \| .*::test_.* \|$", PROTOCOL, re.MULTILINE)
    assert [int(row) for row in rows] == [*range(1, 33), *range(40, 66)]
    for path, name in HELD:
        assert any(found == name or found.startswith(f"{name}_") for found in symbols(path)), f"{path}: {name}"


def test_each_class_of_attacks_is_shown_by_rows_and_tests_that_are_there() -> None:
    rows = set(re.findall(r"^\| (\d+) \|", PROTOCOL, re.MULTILINE))
    _, _, section = PROTOCOL.partition("## Attacks by their class")
    classes = re.findall(r"^\| \w.* \| ([^|]*) \|$", section.partition("\n## ")[0], re.MULTILINE)[1:]
    assert len(classes) >= 15
    for shown in classes:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
        numbers = re.findall(r"\b\d+\b", re.sub(r"`[^`]*`", "", shown))
        assert tests or numbers, shown
        assert set(numbers) <= rows, shown
        assert [f"{path}::{name}" for path, name in tests if name not in symbols(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_tests_that_are_named_are_there(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w./-]+\.py)::(\w+)", page.read_text()):
        assert any(found == name or found.startswith(f"{name}_") for found in symbols(path)), f"{path}::{name}"


def test_each_threat_is_stopped_as_tests_show_or_by_nothing() -> None:
    page = (ROOT / "docs/security.md").read_text()
    rows = page.partition("| who | could do what |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) >= 20
    assert [row for row in rows if ("`tests/" in row) == ("**Nothing" in row)] == []


def test_each_promise_about_updates_is_held_by_a_test() -> None:
    table = (ROOT / "docs/upgrades.md").read_text().partition("| what |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) >= 10
    assert [row for row in rows if "`tests/" not in row] == []


def test_each_test_of_a_row_is_in_that_row() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*)$", PROTOCOL, re.MULTILINE))
    for path in (ROOT / "tests").glob("**/test_*.py"):
        name = path.relative_to(ROOT).as_posix()
        for row in {found[9:11] for found in symbols(name) if re.match(r"test_row_\d\d", found)}:
            assert f"`{name}::test_row_{row}`" in rows[str(int(row))], f"{name}: row {row}"


def test_each_reason_that_an_answer_can_have_is_explained() -> None:
    page = (ROOT / "docs/failing-names.md").read_text()
    _, _, table = page.partition("## Reasons")
    explained = re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    code = "".join(path.read_text() for path in sorted((ROOT / "dnsserver").glob("**/*.py")))
    assert len(explained) == len(set(explained))
    assert set(explained) == CODES
    for text in re.findall(r"^\| `EDE: \d+ \([\w ]+\): \(([^(…:]+)[…)]", page, re.MULTILINE):
        assert text.strip() in code, text


def test_words_of_the_code_are_all_told() -> None:
    answers, rules = ((ROOT / f"docs/{page}.md").read_text() for page in ("answers", "rules"))
    told = answers.partition("Special-use names are answered here")[2].partition("(`[[rewrite]]`")[0]
    special = [to_text(name).removesuffix(".") for name in SPECIAL]
    assert [name for name in special if not re.search(rf"\b{re.escape(name)}\b", told)] == []
    (policies,) = re.findall(r"^- `policy`: (.*?)\. ", rules, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", policies)) == set(get_args(Policy))


def test_the_ceiling_adds_up_as_check_prints_it() -> None:
    page = (ROOT / "docs/security.md").read_text()
    table = re.findall(r"^\| ([^|]+) \| (\d+\.\d) \| (?:`([\w.]+)` )?\|", page, re.MULTILINE)
    parts = ceiling.parts(load(ROOT / "zones/dnsserver.toml"))
    assert [(name, bound) for name, _, bound in table] == [*((part.name, part.bound) for part in parts), ("all", "")]
    for part, (name, octets, _) in zip(parts, table, strict=False):
        if name != "UDP in the kernel":  # it depends on the machine
            assert f"{part.octets / ceiling.MIB:.1f}" == octets, name
    (limit,) = re.findall(r"limit of `manifests/base` is (\d+) MiB", page)
    assert f"memory: {limit}Mi" in (ROOT / "manifests/base/deployment.yaml").read_text()
    assert sum(float(octets) for _, octets, _ in table[:-1]) == pytest.approx(float(table[-1][1]), abs=1)


BENCHMARKS = (ROOT / "docs/benchmarks.md").read_text()
COMMAND = r"make (?:bench|profile|soak)|python -m tests\.bench\.(\w+)"


@pytest.mark.parametrize("section", re.split(r"^## ", BENCHMARKS, flags=re.MULTILINE)[1:], ids=lambda text: text[:20])
def test_each_table_of_figures_has_the_command_that_measures_it(section: str) -> None:
    assert re.search(COMMAND, section)


def test_each_benchmark_is_told_with_its_command() -> None:
    parts = {"bare", "flood"}  # programs that others start
    modules = {
        path.stem for path in (ROOT / "tests/bench").glob("*.py") if '__name__ == "__main__"' in path.read_text()
    }
    of_make = dict(
        re.findall(r"^([\w-]+): .*\n.*-m tests\.bench\.(\w+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    told = set(re.findall(r"-m tests\.bench\.(\w+)", BENCHMARKS))
    told |= {module for target, module in of_make.items() if f"`make {target}`" in BENCHMARKS}
    assert sorted(modules - parts - told) == []


def test_the_metrics_that_pages_name_are_told() -> None:
    told = set(re.findall(r"`((?:dnsserver|coredns)_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    told |= set(re.findall(r"^# TYPE (\w+)", guardian_metrics(NOTHING), re.MULTILINE))  # of the guardian
    for page in PAGES:
        named = set(re.findall(r"\b((?:dnsserver|coredns)_\w+)(?=\{|\[| [><=])", page.read_text()))
        assert named <= told, page
