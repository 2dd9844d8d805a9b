"""Modules that libraries import and nobody uses are not loaded; if one is used after all, it is loaded."""

from pathlib import Path

import pytest

from tests.interpreter import printed

LIGHT = """
import dnsserver, httpcore2
import sys
print(httpcore2.__version__, "importlib.metadata" in sys.modules, "zipfile" in sys.modules)
import importlib.metadata
print(importlib.metadata.version("httpcore2") != "", {"anyio", "h2"} & set(sys.modules))
import anyio, h2
"""
FAILED = """
import sys
from dnsserver.light_import import without_options
try:
    with without_options():
        import there_is_no_such_library
except ImportError:
    print("importlib.metadata" in sys.modules)
"""
THERE = """
import importlib.metadata
import dnsserver, httpcore2
print(httpcore2.__version__ == importlib.metadata.version("httpcore2"))
"""


@pytest.mark.parametrize(
    ("code", "said"), [(LIGHT, " False False\nTrue set()\n"), (FAILED, "False\n"), (THERE, "True\n")]
)
def test_a_library_is_imported_without_what_it_need_not_have(code: str, said: str, tmp_path: Path) -> None:
    for name in ("anyio", "h2"):  # installed or not, they are there
        (tmp_path / f"{name}.py").touch()
    assert printed(code, path=tmp_path) == said


UNUSED = """
import sys
import dnsserver, shutil
print("bz2" in sys.modules)
print(callable(shutil.which), "bz2" in sys.modules)
"""
# msgspec does without what the block keeps from it, and who imports that later has it.
TYPES = """
import sys
import dnsserver, msgspec
print({"typing_extensions", "uuid", "decimal"} & set(sys.modules), msgspec.json.decode(b"[1, 1.5]"))
import decimal, typing_extensions, uuid
print(decimal.Decimal(1), len(str(uuid.uuid4())), bool(typing_extensions.__file__))
"""
INSPECTED = """
import sys
import dnsserver, msgspec
inspect = msgspec.inspect
print(type(inspect.type_info(int)).__name__)
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [(UNUSED, "False\nTrue True\n"), (TYPES, "set() [1, 1.5]\n1 36 True\n"), (INSPECTED, "IntType\n")],
)
def test_a_module_is_loaded_when_it_is_used(code: str, said: str) -> None:
    assert printed(code) == said


def test_modules_that_are_there_already_stay_as_they_are() -> None:
    code = "import shutil; before = shutil.which; import dnsserver; import shutil; print(shutil.which is before)"
    assert printed(code) == "True\n"
