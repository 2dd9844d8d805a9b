"""What fuzzers have kept holds, a short time under atheris finds nothing, and bugs that are planted can be planted."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS, TARGETS
from tests.fuzz.planted import BUGS, ROOT

KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
RUNS = 2_000  # 2 to 12 s


def test_every_target_has_inputs_to_begin_with_and_a_bug_to_find() -> None:
    assert {path.parent.name for path in KEPT} == set(TARGETS) == {bug.target for bug in BUGS.values()}


@pytest.mark.made_up
@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_kept_holds(path: Path) -> None:
    importlib.import_module(f"tests.fuzz.{path.parent.name}").run(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_time_finds_nothing(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="there is no atheris for this interpreter or machine")
    command = [sys.executable, "-m", "tests.fuzz", target, "--runs", str(RUNS), "--seconds", "40", "--no-lines"]
    command += ["--kept", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=160)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"{target}: " in ended.stdout


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_can_be_planted(name: str) -> None:
    bug = BUGS[name]
    assert (ROOT / "dnsserver" / bug.file).read_text().count(bug.old) == 1
