"""What libraries import is loaded only if somebody uses it: 1.0 MiB of each server, and less time at its start.

The figures are of VmRSS with 10,000 services and 14,300 slices (Python 3.11).
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

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


@contextmanager
def stand_in(name: str, module: ModuleType | None) -> Iterator[None]:
    """Have what is imported in this block get another module by this name, or ImportError for None.

    Nothing is done where the real one is there already.
    """
    if name in sys.modules:
        yield
        return
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None says that there is none
    modules[name] = module
    try:
        yield
    finally:
        del modules[name]


def without_versions() -> AbstractContextManager[None]:
    """Have what is imported in this block be told "" for its version by `importlib.metadata`.

    The real one imports what reads mail, zip and CSV files, which is 1.4 MiB of each server that nothing else needs.
    """
    told = ModuleType("importlib.metadata")
    told.__dict__["version"] = lambda _: ""
    return stand_in("importlib.metadata", told)
