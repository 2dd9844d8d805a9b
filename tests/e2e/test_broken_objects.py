"""Files of objects with one mistake each: what `serve` says, at which level, and that everything else is served.

The table of them is in docs/troubleshooting.md; DNSSERVER_TABLE=1 has this write it.
"""

from pathlib import Path

import pytest

from tests.e2e.broken_objects import GOOD, ROWS, Row
from tests.e2e.observed import Line, in_page, observe
from tests.e2e.page import expect_rows
from tests.free_port import free_port

pytestmark = pytest.mark.e2e


def serving(line: Line) -> bool:
    return line.get("event") == "serving"


@pytest.fixture
def admin() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_one_mistake_is_said_and_everything_else_is_served(tmp_path: Path, admin: str, row: Row) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / "good.yaml").write_text(GOOD)
    path = folder / row.file
    row.make(path)
    seen = observe(tmp_path, "--objects", str(folder), "--admin", admin, until=serving)
    in_page("objects", row.name, seen, row.says, folder)
    assert (seen.status, seen.ready) == (None, 200)
    line = seen.line(row.says)
    assert line["level"] == row.level
    assert str(line.get("file", folder)) in {str(path), str(folder)}
    assert sum(other["level"] in {"warning", "error"} for other in seen.log) == (row.level == "warning")
    assert seen.line("serving")["services"] >= 1


def test_nothing_but_a_broken_file_is_not_ready_and_said_once(tmp_path: Path, admin: str) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / "broken.yaml").write_text("kind: [\n")

    def until(line: Line) -> bool:
        return line.get("event") == "no objects to serve"

    seen = observe(tmp_path, "--objects", str(folder), "--admin", admin, until=until)
    assert (seen.status, seen.ready) == (None, 503)
    assert "broken.yaml: line 2: not YAML" in seen.line("no objects to serve")["error"]


def test_the_page_has_these_mistakes_and_no_others() -> None:
    expect_rows("objects", [row.name for row in ROWS])
