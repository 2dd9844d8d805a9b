"""No circle of imports anywhere, also not one that only the type checker sees."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Circles that are still to be opened.
OPEN = {
    ("dnsserver.app.figures", "dnsserver.app.server"),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports() -> dict[str, set[str]]:
    """Return what each module imports of the others, wherever in the file, under TYPE_CHECKING as well."""
    paths = {
        module_name(path): path for package in ("dnsserver", "loadtest") for path in (ROOT / package).rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = graph.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=aliases):
                    found |= {alias.name for alias in aliases} & paths.keys()
                case ast.ImportFrom(module=str(module), names=aliases):
                    inner = {f"{module}.{alias.name}" for alias in aliases} & paths.keys()
                    found |= inner or {module} & paths.keys()
        found.discard(name)
    return graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        graph = {name: {other for other in found if (name, other) not in OPEN} for name, found in imports().items()}
        order = tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
    assert len(order) > 100
