"""What libraries import is loaded only if somebody uses it: 2.9 MiB of each server, and less time at its start.

Some modules are loaded late, when they are used. Some libraries get stand-ins for what they import only to know it.
The figures are of VmRSS with 10,000 services and 14,300 slices (Python 3.11).
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType, SimpleNamespace
from typing import Any

# Imported by those in brackets, which use them for what no server does, or not at its start. The first use loads them.
LATE = frozenset(
    {
        "shutil",  # (ctypes.util, tempfile) with libbz2 and liblzma 0.5 MiB
        "tempfile",  # (ctypes.util) 0.1 MiB
        "msgspec.inspect",  # (msgspec) 0.1 MiB
        "locale",  # (subprocess) names of languages, 0.3 MiB
    }
)


def begin() -> None:
    """Have what is imported from now on be loaded so."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def without_options() -> AbstractContextManager[None]:
    """Have httpcore2, which is imported in this block, do without what a server makes no use of.

    These are `importlib.metadata`, which says its version and imports what reads mail, zip and CSV files: 1.4 MiB; and,
    where they are installed, anyio and HTTP/2, in place of which there is trio and HTTP/1.1: 2.2 MiB.
    """
    return _stand_ins(_module("importlib.metadata", version=lambda _: ""), anyio=None, h2=None)


def without_types() -> AbstractContextManager[None]:
    """Have msgspec, which is imported in this block, know no UUID and no Decimal: nobody here has one.

    They are 0.5 MiB. And it takes from typing what it would take from typing_extensions, 0.3 MiB.
    """
    uuid = _module("uuid", UUID=type("UUID", (), {}), SafeUUID=SimpleNamespace(unknown=None))
    return _stand_ins(uuid, _module("decimal", Decimal=type("Decimal", (), {})), typing_extensions=None)


LIGHTER: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "httpcore2": without_options,
    "msgspec": without_types,
}


class _Finder:
    """Says how to load the modules above; any other is found by the next finder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, or None for any other."""
        if fullname not in LATE and fullname not in LIGHTER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            block = LIGHTER.get(fullname)
            loader: Any = LazyLoader(spec.loader) if block is None else _Loader(spec.loader, block)
            spec.loader = loader
        return spec


class _Loader:
    """Loads a module, with all that it imports, within a block."""

    def __init__(self, loader: Any, block: Callable[[], AbstractContextManager[None]]) -> None:
        self._loader = loader
        self._block = block

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module, or None for a usual one."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Load it; from then on it is as it would be without this loader."""
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        with self._block():
            self._loader.exec_module(module)


def _module(name: str, **content: object) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


@contextmanager
def _stand_ins(*modules: ModuleType, **missing: None) -> Iterator[None]:
    """Have what is imported in this block get these modules, and ImportError for others.

    Nothing stands in for one that is there already.
    """
    known: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None says that there is none
    given = {module.__name__: module for module in modules} | missing
    given = {name: module for name, module in given.items() if name not in known}
    known |= given
    try:
        yield
    finally:
        for name in given:
            del known[name]
