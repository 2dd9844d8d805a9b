"""`check` with all broken files of objects and API servers of other tests: never status 0 if `serve` does not serve.

What `serve` does with each row is held by test_broken_objects and test_broken_api; here it is what `check` says to it.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dnsserver.cli import cli
from tests.e2e import broken_api as api
from tests.e2e import broken_objects as files
from tests.kube.apiserver import ApiServer, serving

pytestmark = pytest.mark.e2e

FLAGS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", "192.0.2.1")
# Of what `serve` warns of, that it serves or passes over by right.
SERVED = {"no Namespace"}
PASSED_OVER = {"Deployment"}


def checked(*flags: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ("check", *FLAGS, *flags))
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize("row", files.ROWS, ids=[row.name for row in files.ROWS])
def test_objects_that_are_not_all_served(tmp_path: Path, row: files.Row) -> None:
    (tmp_path / "good.yaml").write_text(files.GOOD)
    path = tmp_path / row.file
    row.make(path)
    status, told = checked("--objects", str(tmp_path))
    if row.name in PASSED_OVER:
        assert (status, told) == (0, "")
        return
    assert status == (0 if row.name in SERVED else 2)
    (line,) = told.splitlines()
    assert line.startswith("--objects: ")
    assert row.says in line
    assert ("warning: " in line) == (row.name in SERVED)


@pytest.mark.parametrize("row", api.HOPELESS, ids=[row.name for row in api.HOPELESS])
async def test_ways_to_an_api_server_that_lead_nowhere(tmp_path: Path, row: api.Hopeless) -> None:
    path = tmp_path / "kubeconfig"
    async with serving(ApiServer()) as server:
        content = api.content_for(server)
    row.spoil(content)
    if row.text != b"gone":
        path.write_bytes(row.text or json.dumps(content).encode())
    status, told = checked("--kubeconfig", str(path), *row.flags)
    assert status == 2
    assert told.startswith(f"--kubeconfig: {path}: ")
    assert row.says in told


@pytest.mark.parametrize("row", api.PASSING, ids=[row.name for row in api.PASSING])
async def test_an_api_server_that_may_come_right_is_no_mistake(tmp_path: Path, row: api.Passing) -> None:
    path = tmp_path / "kubeconfig"
    async with serving(ApiServer()) as server:
        content = api.content_for(server)
        row.spoil(server, content)
        path.write_text(json.dumps(content))
        assert checked("--kubeconfig", str(path)) == (0, "")
        assert not server.requests  # it asks nobody
