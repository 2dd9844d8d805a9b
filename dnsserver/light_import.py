"""What libraries import is loaded only if somebody uses it: 1.0 MiB of each server, and less time at its start.

The figures are of VmRSS with 10,000 services and 14,300 slices (Python 3.11).
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType, SimpleNamespace

# Imported by those in brackets, which use them for what no server does, or not at its start. The first use loads them.
LATE = frozenset(
    {
        "shutil",  # (ctypes.util, tempfile) with libbz2 and liblzma 0.5 MiB
        "tempfile",  # (ctypes.util) 0.1 MiB
        "msgspec.inspect",  # (msgspec) 0.1 MiB
        "locale",  # (subprocess) names of languages, 0.3 MiB
    }
)


class _Late:
    """Finds the modules that are loaded when they are first used."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module of `LATE`, and None for any other, which the next finder finds."""
        if fullname not in LATE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def load_late() -> None:
    """Have the modules of `LATE` that nobody has imported yet be loaded at their first use."""
    if not any(isinstance(finder, _Late) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Late())


def without_versions() -> AbstractContextManager[None]:
    """Have what is imported in this block be told "" for its version by `importlib.metadata`.

    The real one imports what reads mail, zip and CSV files, which is 1.4 MiB of each server that nothing else needs.
    """
    return _stand_ins(_module("importlib.metadata", version=lambda _: ""))


def without_types() -> AbstractContextManager[None]:
    """Have msgspec, which is imported in this block, know no UUID and no Decimal: nobody here has one.

    They are 0.5 MiB. And it takes from typing what it would take from typing_extensions, 0.3 MiB.
    """
    uuid = _module("uuid", UUID=type("UUID", (), {}), SafeUUID=SimpleNamespace(unknown=None))
    return _stand_ins(uuid, _module("decimal", Decimal=type("Decimal", (), {})), typing_extensions=None)


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
