"""Ways in and API servers with one fault each: what `serve` says, how often, how it ends, what /readyz is.

The table of them is in docs/troubleshooting.md; DNSSERVER_TABLE=1 has this write it. The sentences about kubeconfigs
are in tests/kube/test_kubeconfig.py, one row each.
"""

import base64
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme

from dnsserver.zone.model import Kind
from tests.e2e.observed import Line, Observed, in_page, observe
from tests.e2e.page import expect_rows
from tests.kube.apiserver import ApiServer, Fault, serving
from tests.kube.support import thing, wait_for

pytestmark = pytest.mark.e2e

OUTAGE = "the API server cannot be followed, trying again"
DENIED = "the API server does not allow to list and watch these objects"
LINGER = 1.0  # seconds, in which four kinds try three times each
Content = dict[str, Any]
NEEDED = [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES]
HANGING = ["API", "plugin", "answer of the API"]


def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def content_for(server: ApiServer) -> Content:
    authority = base64.b64encode(server.ca.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server.url, "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": {"token": server.token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def user(**fields: Any) -> Callable[[Content], None]:
    return lambda content: content["users"][0].__setitem__("user", fields)


def plugin(*command: str) -> Callable[[Content], None]:
    api = "client.authentication.k8s.io/v1"
    return user(exec={"apiVersion": api, "command": command[0], "args": command[1:], "interactiveMode": "Never"})


def cluster(**fields: str) -> Callable[[Content], None]:
    return lambda content: content["clusters"][0]["cluster"].update(
        {name.replace("_", "-"): value for name, value in fields.items()}
    )


# What no waiting mends ------------------------------------------------------------------------------------------------


class Hopeless(NamedTuple):
    name: str
    spoil: Callable[[Content], Any]
    says: str
    flags: tuple[str, ...] = ()
    text: bytes | None = None


HOPELESS = [
    Hopeless("no kubeconfig", lambda _: None, "no such file", text=b"gone"),
    Hopeless("no YAML", lambda _: None, "line 2: not YAML", text=b"a: [\n"),
    Hopeless("100,000 brackets", lambda _: None, "line 1: nested deeper than 100 levels", text=b"[" * 100_000),
    Hopeless("another kind of file", lambda _: None, "expected clusters, contexts and users", text=b"kind: Pod\n"),
    Hopeless("no such context", lambda _: None, 'context "y" is not in it: expected x', ("--context", "y")),
    Hopeless("no current context", lambda c: c.pop("current-context"), "current-context is not set: expected x"),
    Hopeless("no such cluster", lambda c: c["clusters"].clear(), 'context x.cluster: "c" is not in it'),
    Hopeless("no such user", lambda c: c["users"].clear(), 'context x.user: "u" is not in it'),
    Hopeless("no URL", cluster(server="api"), 'cluster c.server: expected https://HOST:PORT, got "api"'),
    Hopeless(
        "CA file gone", cluster(certificate_authority_data="", certificate_authority="/x"), "authority: /x: no such"
    ),
    Hopeless("CA is no PEM", cluster(certificate_authority_data="eHl6"), "expected certificates in PEM"),
    Hopeless("certificate gone", user(**{"client-certificate": "/x", "client-key": "/x"}), "certificate: /x: no such"),
    Hopeless("certificate, no key", user(**{"client-certificate-data": "eHl6"}), "stands without client-key"),
    Hopeless("token file gone", user(tokenFile="/x"), "user u.tokenFile: /x: no such file"),
    Hopeless("plugin not installed", plugin("kubelogin-x"), "no program kubelogin-x in PATH: the plugin is"),
]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        running.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        running.put(Kind.SERVICES, thing("web"))
        yield running


@pytest.fixture
def admin() -> str:
    return f"127.0.0.1:{unused_port()}"


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


class Passing(NamedTuple):
    """`reason` and `says` are of the one line about it; `mend` makes it right."""

    name: str
    spoil: Callable[[ApiServer, Content], Any]
    reason: str
    says: str


def refuse(_: ApiServer, content: Content) -> None:
    cluster(server=f"https://127.0.0.1:{unused_port()}")(content)


def answer_with(action: str, **rest: Any) -> Callable[[ApiServer, Content], None]:
    return lambda server, _: server.faults.append(Fault(action, times=10_000, **rest))


def unknown_authority(server: ApiServer, _: Content) -> None:
    server.new_certificate(trustme.CA())


def other_token(server: ApiServer, _: Content) -> None:
    server.token = "another"


def other_name(server: ApiServer, content: Content) -> None:
    cluster(tls_server_name="elsewhere.example")(content)


def without_tls(server: ApiServer, content: Content) -> None:
    cluster(server=server.url.replace("https", "http"))(content)


def with_plugin(*command: str) -> Callable[[ApiServer, Content], None]:
    return lambda _, content: plugin(*command)(content)


PASSING = [
    Passing("refused", refuse, "disconnected", "onnect"),
    Passing("401", other_token, "unauthorized", "401 Unauthorized"),
    Passing("500", answer_with("status", status=500), "server-failure", "500 InternalError"),
    Passing("503 of a proxy", answer_with("status", status=503, body=b"<html>"), "server-failure", "503 : <html>"),
    Passing("429", answer_with("status", status=429), "too-many-requests", "429"),
    Passing("a proxy's page", answer_with("garbage"), "malformed", "expected JSON, got text/html"),
    Passing("unknown CA", unknown_authority, "disconnected", "certificate verify failed"),
    Passing("another's certificate", other_name, "disconnected", "certificate is not valid for 'elsewhere.example'"),
    Passing("no TLS on our side", without_tls, "disconnected", ""),
    Passing("closes", answer_with("close"), "disconnected", ""),
    Passing("plugin fails", with_plugin("false"), "unauthorized", "exec: process returned 1"),
    Passing("plugin prints nonsense", with_plugin("echo", "x"), "unauthorized", "failed to decode process output"),
    Passing("plugin kills its loader", with_plugin("sh", "-c", "kill -9 $PPID"), "unauthorized", "their loader ended"),
]


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
