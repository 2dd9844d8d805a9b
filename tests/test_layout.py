"""The places of tests: the file with its name tests a module, and no test depends on another file of tests."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LONGEST = 400  # lines

# Modules without tests of their own, and that no module of their package with such has a use for: where they are seen.
SEEN_IN = {
    "app/test_ending.py": ["signals"],
    "app/test_import_corefile.py": ["app.corefile", "cli.migrating"],
    "app/test_workers.py": ["app.worker"],
    "config/corefile/test_importer.py": ["config.corefile.*"],
    "e2e/test_compare.py": ["app.compare"],
    "forward/test_forwarder.py": ["forward.reports"],
    "forward/test_health.py": ["forward.watch"],
    "test_metrics.py": ["metrics.*"],
}
# Where a test puts a bug into the middle of a module, and so names functions that are private to it.
BREAKS = {"tests/test_borders.py", "tests/forward/test_forward_faults.py"}


def imported(path: Path) -> set[str]:
    """Return all modules, and names of modules, that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module, *(f"{module}.{alias.name}" for alias in names)}
    return found


def test_every_module_has_its_tests() -> None:
    """It has the name of a file of tests, a test of its package imports it, or it is a part of a module so tested."""
    of_tests: dict[Path, set[str]] = {}
    for path in TESTS:
        of_tests.setdefault(path.parent, set()).update(imported(path))
    modules: dict[str, tuple[Path, set[str]]] = {}
    for path in (ROOT / "dnsserver").rglob("*.py"):
        if not path.stem.startswith("__"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            modules[name] = ROOT / "tests" / path.parent.relative_to(ROOT / "dnsserver"), imported(path)
    tested = {
        name
        for name, (tests, _) in modules.items()
        if (tests / f"test_{name.rpartition('.')[2]}.py").exists() or name in of_tests.get(tests, ())
    }
    parts = {
        part for name in tested for part in modules[name][1] if part in modules and modules[part][0] == modules[name][0]
    }
    rows = [f"dnsserver.{row}" for rows in SEEN_IN.values() for row in rows]
    assert [
        name for name in sorted(modules.keys() - tested - parts) if not any(fnmatch(name, row) for row in rows)
    ] == []


def test_what_the_table_names_is_there() -> None:
    modules = [module for modules in SEEN_IN.values() for module in modules]
    assert [name for name in modules if not list((ROOT / "dnsserver").glob(f"{name.replace('.', '/')}.py"))] == []
    assert [name for name in SEEN_IN if not (ROOT / "tests" / name).exists()] == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_tests_needs_another(path: Path) -> None:
    text = path.read_text()
    assert [name for name in imported(path) if re.match(r"tests\.(\w+\.)*test_", name)] == []
    assert re.findall(r"from tests\.(?:\w+\.)*test_\w+ import", text) == []  # in a program that it starts


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_private_is_looked_at_or_replaced(path: Path) -> None:
    """The linter finds attributes (SLF001); here are its exemptions, and names that are given as text."""
    text = path.read_text()
    assert "noqa: SLF" + "001" not in text
    if str(path.relative_to(ROOT)) not in BREAKS:
        assert re.findall(r"setattr\([^()]*\"_\w+\"", text) == []


def test_long_files_say_why() -> None:
    long = [path for path in (ROOT / "tests").rglob("*.py") if path.read_text().count("\n") > LONGEST]
    heads = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in long}
    assert [path for path, head in heads.items() if f"Over {LONGEST} lines" not in " ".join(head.split())] == []
