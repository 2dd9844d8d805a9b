"""What stands in for `importlib.metadata` while a library is imported, and that it is gone then."""

import subprocess
import sys

import pytest

LIGHT = """
from dnsserver.kube.light_import import without_versions
with without_versions():
    import httpcore2
import sys
print(httpcore2.__version__, "importlib.metadata" in sys.modules, "zipfile" in sys.modules)
import importlib.metadata
print(importlib.metadata.version("httpcore2") != "")
"""
FAILED = """
import sys
from dnsserver.kube.light_import import without_versions
try:
    with without_versions():
        import there_is_no_such_library
except ImportError:
    print("importlib.metadata" in sys.modules)
"""
THERE = """
import importlib.metadata
from dnsserver.kube.light_import import without_versions
with without_versions():
    import httpcore2
print(httpcore2.__version__ == importlib.metadata.version("httpcore2"))
"""


@pytest.mark.parametrize(("code", "said"), [(LIGHT, " False False\nTrue\n"), (FAILED, "False\n"), (THERE, "True\n")])
def test_a_library_is_imported_without_what_tells_its_version(code: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == said
