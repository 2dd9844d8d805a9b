"""An interpreter of its own for a few lines of code, which nothing measures: coverage imports libraries of its own."""

import os
import subprocess
import sys
from pathlib import Path

_MEASURED = "COVERAGE_PROCESS_"


def printed(code: str, *, folder: Path | None = None, path: Path | None = None) -> str:
    """Run code in a folder, with one more place where modules are found, and return what it prints."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(_MEASURED)}
    if path is not None:
        found["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=found, capture_output=True, text=True, check=True
    )
    return done.stdout
