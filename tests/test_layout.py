"""Where tests stand: a module is tested by the file that has its name, and no test hangs on another one's file."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LONGEST = 400  # lines

# Modules that no file of tests is named after and that no test of their package imports: what they do is seen in the
# part whose tests these are; of a package (`*`) all such modules.
SEEN_IN = {
    "app/test_import_corefile.py": ["app.corefile"],
    "app/test_reload_parts.py": ["app.dns_service", "app.local_data"],
    "app/test_sync.py": ["app.api_source"],
    "app/test_workers.py": ["app.worker", "app.zone_updater"],
    "config/corefile/test_importer.py": ["config.corefile.*"],
    "config/test_reader.py": ["config.files", "config.hints", "config.values"],
    "config/test_syntax.py": ["config.places"],
    "e2e/test_compare.py": ["app.compare"],
    "forward/test_forwarder.py": ["forward.engine", "forward.join", "forward.receiver", "forward.reports"],
    "forward/test_health.py": ["forward.watch"],
    "kube/test_credentials.py": ["kube.orphan"],
    "kube/test_objects.py": ["kube.folder", "kube.mistaken", "kube.salvage"],
    "kube/test_api.py": ["kube.transport"],
    "kube/test_reflector.py": ["kube.check"],
    "server/test_respond.py": ["server.reply"],
    "test_metrics.py": ["metrics.*"],
    "app/test_ending.py": ["signals"],
    "app/test_run.py": ["app.clock", "app.gc_tuning"],
    "zone/test_cluster.py": ["zone.addresses", "zone.answer_builder"],
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
    of_package: dict[Path, set[str]] = {}
    for path in TESTS:
        of_package.setdefault(path.parent, set()).update(imported(path))
    rows = [module for modules in SEEN_IN.values() for module in modules]
    without = set()
    for path in (ROOT / "dnsserver").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "dnsserver").with_suffix("").parts)
        tests = ROOT / "tests" / path.parent.relative_to(ROOT / "dnsserver")
        named = (tests / f"test_{path.stem}.py").exists() or f"dnsserver.{module}" in of_package.get(tests, set())
        if not named and not path.stem.startswith("__"):
            without.add(module)
    assert [module for module in sorted(without) if not any(fnmatch(module, row) for row in rows)] == []


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
