"""Ways in and API servers with one fault each: what `serve` says, how often, how it ends, what /readyz is.

The table of them is in docs/troubleshooting.md; DNSSERVER_TABLE=1 has this write it. The sentences about kubeconfigs
are in tests/kube/test_kubeconfig.py, one row each.
"""

import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from dnsserver.zone.model import Kind
from tests.e2e.broken_api import HOPELESS, PASSING, Hopeless, Passing, cluster, content_for, plugin
from tests.e2e.observed import Line, Observed, in_page, observe
from tests.e2e.page import expect_rows
from tests.free_port import free_port
from tests.kube.apiserver import ApiServer, Fault, serving
from tests.kube.support import thing, wait_for

pytestmark = pytest.mark.e2e

OUTAGE = "the API server cannot be followed, trying again"
DENIED = "the API server does not allow to list and watch these objects"
LINGER = 1.0  # seconds, in which four kinds try three times each
NEEDED = [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES]
HANGING = ["API", "plugin", "answer of the API"]


# What no waiting mends ------------------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        running.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        running.put(Kind.SERVICES, thing("web"))
        yield running


@pytest.fixture
def admin() -> str:
    return f"127.0.0.1:{free_port()}"


async def observed(folder: Path, *flags: str, **settings: Any) -> Observed:
    return await trio.to_thread.run_sync(partial(observe, folder, *flags, **settings))


def never(_: Line) -> bool:
    return False


@pytest.mark.parametrize("row", HOPELESS, ids=[row.name for row in HOPELESS])
async def test_what_no_waiting_mends_ends_it_with_status_2(
    tmp_path: Path, admin: str, server: ApiServer, row: Hopeless
) -> None:
    path, content = tmp_path / "kubeconfig", content_for(server)
    row.spoil(content)
    if row.text != b"gone":
        path.write_bytes(row.text or json.dumps(content).encode())
    seen = await observed(tmp_path, "--kubeconfig", str(path), "--admin", admin, *row.flags, until=never)
    in_page("clusters", row.name, seen, row.says, tmp_path)
    assert seen.status == 2
    (line,) = seen.log
    assert line["level"] == "error"
    assert line["error"].startswith(f"kubeconfig {path}: ")
    assert row.says in line["error"]


async def test_no_cluster_at_all_ends_it_with_status_2(tmp_path: Path, admin: str) -> None:
    seen = await observed(tmp_path, "--admin", admin, until=never, environment={"KUBERNETES_SERVICE_HOST": ""})
    assert seen.status == 2
    assert seen.log[-1]["error"].startswith("no cluster to follow: this is not a pod")


@pytest.mark.parametrize("how", ["kubeconfig gone", "CA gone", "plugin not installed"])
async def test_a_saved_copy_is_served_instead(tmp_path: Path, admin: str, server: ApiServer, how: str) -> None:
    path, content = tmp_path / "kubeconfig", content_for(server)
    path.write_text(json.dumps(content))
    flags = ("--kubeconfig", str(path), "--admin", admin, "--state", str(tmp_path / "state"))
    copy = tmp_path / "state" / "zone.copy"
    await observed(tmp_path, *flags, until=lambda line: line["event"] == "serving", linger=0.5)
    assert copy.exists()
    if how == "kubeconfig gone":
        path.unlink()
    else:
        spoil = (
            cluster(certificate_authority_data="", certificate_authority="/x") if how == "CA gone" else plugin("x-y")
        )
        spoil(content)
        path.write_text(json.dumps(content))
    seen = await observed(tmp_path, *flags, until=lambda line: "no way to the API server" in line["event"], linger=0.3)
    assert (seen.status, seen.ready) == (None, 200)
    assert seen.line("no way to the API server")["level"] == "warning"
    copy.write_bytes(b"spoilt")
    seen = await observed(tmp_path, *flags, until=never)
    assert seen.status == 2


# What may come right --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", PASSING, ids=[row.name for row in PASSING])
async def test_what_may_come_right_is_one_warning(tmp_path: Path, admin: str, server: ApiServer, row: Passing) -> None:
    path, content = tmp_path / "kubeconfig", content_for(server)
    row.spoil(server, content)
    path.write_text(json.dumps(content))
    flags = ("--kubeconfig", str(path), "--admin", admin)
    seen = await observed(tmp_path, *flags, until=lambda line: line["event"] == OUTAGE, linger=LINGER)
    in_page("clusters", row.name, seen, OUTAGE, tmp_path)
    assert (seen.status, seen.ready) == (None, 503)
    told = [line for line in seen.log if line["level"] in {"warning", "error"}]
    assert [(line["level"], line["reason"]) for line in told] == [("warning", row.reason)], told
    assert row.says in told[0]["error"]
    url = content["clusters"][0]["cluster"]["server"]
    assert told[0]["server"] == (url if row.reason != "unauthorized" or row.name == "401" else "not known yet")
    assert len(seen.log) < 6


@pytest.mark.parametrize("kind", NEEDED)
async def test_a_missing_right_is_not_ready_and_says_the_rule(
    tmp_path: Path, admin: str, server: ApiServer, kind: Kind
) -> None:
    server.forbidden.add(kind)
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content_for(server)))
    flags = ("--kubeconfig", str(path), "--admin", admin)
    seen = await observed(tmp_path, *flags, until=lambda line: line["event"] == DENIED, linger=LINGER)
    in_page("clusters", f"403 on {kind}", seen, DENIED, tmp_path)
    (line,) = (line for line in seen.log if line["level"] in {"warning", "error"})
    group = "discovery.k8s.io" if kind is Kind.ENDPOINTSLICES else ""
    rule = f'apiGroups: ["{group}"], resources: ["{kind}"], verbs: ["list", "watch"]'
    assert line["rule_to_add"] == rule
    assert (seen.status, seen.ready) == (None, 503)
    assert rule in seen.page
    assert all(state in seen.page for state in {str(each) for each in Kind} - {"pods"})


@asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """A port that takes connections and says nothing."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("what", HANGING)
async def test_what_hangs_is_said_within_10_seconds(tmp_path: Path, admin: str, server: ApiServer, what: str) -> None:
    content = content_for(server)
    async with deaf() as port:
        match what:
            case "API":
                cluster(server=f"https://127.0.0.1:{port}")(content)
            case "plugin":
                plugin("sleep", "1000")(content)
            case _:
                server.faults.append(Fault("silent", times=10_000))
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        flags = ("--kubeconfig", str(path), "--admin", admin)
        with trio.fail_after(10 + 2):  # and a start of two seconds on a busy machine
            seen = await observed(tmp_path, *flags, until=lambda line: line["event"] == OUTAGE)
    in_page("clusters", f"{what} hangs", seen, OUTAGE, tmp_path)
    assert (seen.ready, seen.log[-1]["event"]) == (503, "ended")
    assert seen.line(OUTAGE)["reason"] == "slow"


def test_the_page_has_these_mistakes_and_no_others() -> None:
    tried = [*(row.name for row in HOPELESS), *(row.name for row in PASSING)]
    expect_rows("clusters", [*tried, *(f"403 on {kind}" for kind in NEEDED), *(f"{what} hangs" for what in HANGING)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_nothing_that_a_plugin_starts_outlives_us(
    tmp_path: Path, admin: str, server: ApiServer, number: signal.Signals
) -> None:
    marks = tmp_path / "pids"
    script = f"sleep 1000 & echo $! $$ > {marks}; exec sleep 1000"
    content = content_for(server)
    plugin("sh", "-c", script)(content)
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    command = [sys.executable, "-m", "dnsserver", "serve", "--kubeconfig", str(path), "--listen", "127.0.0.1:0"]
    process = await trio.lowlevel.open_process([*command, "--admin", admin])
    try:
        await wait_for(lambda: marks.exists() and marks.read_text().strip(), 20)
        pids = [int(pid) for pid in marks.read_text().split()]
        assert all(alive(pid) for pid in pids)
        process.send_signal(number)
        await process.wait()
        await wait_for(lambda: not any(alive(pid) for pid in pids), 5)
    finally:
        process.kill()


async def test_nothing_that_a_plugin_left_behind_outlives_its_loader(
    tmp_path: Path, admin: str, server: ApiServer
) -> None:
    marks = tmp_path / "pids"
    api = "client.authentication.k8s.io/v1"
    answer = json.dumps({"apiVersion": api, "kind": "ExecCredential", "status": {"token": server.token}})
    content = content_for(server)
    plugin("sh", "-c", f"sleep 1000 >/dev/null 2>&1 & echo $! > {marks}; echo '{answer}'")(content)
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    flags = ("--kubeconfig", str(path), "--admin", admin)
    seen = await observed(tmp_path, *flags, until=lambda line: line["event"] == "serving")
    assert seen.ready == 200
    await wait_for(lambda: not alive(int(marks.read_text())), 5)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
