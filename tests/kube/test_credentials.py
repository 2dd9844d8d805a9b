"""Ways in: a ServiceAccount's files, kubeconfigs of all sorts, and what happens when they change or end."""

import base64
import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from dnsserver.kube import credentials, loader
from dnsserver.kube.credentials import (
    ApiEndpoint,
    Credentials,
    CredentialsError,
    from_cluster,
    from_kubeconfig,
    tls_context,
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> str:
    """One with two contexts; the second leads nowhere."""
    path = folder / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": "https://api.example:6443/", **cluster}},
            {"name": "d", "cluster": {"server": "https://other.example"}},
        ],
        "users": [{"name": "u", "user": user}, {"name": "v", "user": {"token": "other"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
            {"name": "there", "context": {"cluster": "d", "user": "v"}},
        ],
        "current-context": "here",
    }
    path.write_text(json.dumps(content))
    return str(path)


def plugin(folder: Path, status: dict[str, Any]) -> dict[str, Any]:
    """An exec plugin that counts its runs."""
    script = folder / "plugin.py"
    api = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": api, "kind": "ExecCredential", "status": status}
    script.write_text(
        f"import pathlib\npathlib.Path({str(folder / 'runs')!r}).open('a').write('x')\nprint({json.dumps(answer)!r})"
    )
    return {"exec": {"apiVersion": api, "command": sys.executable, "args": [str(script)], "interactiveMode": "Never"}}


async def test_a_token(tmp_path: Path, ca: str) -> None:
    path = kubeconfig(
        tmp_path, {"certificate-authority-data": b64(ca), "tls-server-name": "kubernetes"}, {"token": "t"}
    )
    access = await from_kubeconfig(path)()
    assert access == ApiEndpoint("https://api.example:6443", "Bearer t", ca, server_name="kubernetes")


async def test_another_context(tmp_path: Path) -> None:
    access = await from_kubeconfig(kubeconfig(tmp_path, {}, {}), "there")()
    assert (access.server, access.authorization) == ("https://other.example", "Bearer other")


async def test_a_token_file_and_relative_paths(tmp_path: Path, ca: str) -> None:
    (tmp_path / "ca.pem").write_text(ca)
    (tmp_path / "token").write_text("from-file")
    path = kubeconfig(tmp_path, {"certificate-authority": "ca.pem"}, {"tokenFile": "token"})
    access = await from_kubeconfig(path)()
    assert (access.authorization, access.ca) == ("Bearer from-file", ca)


async def test_client_certificates(tmp_path: Path, authority: trustme.CA, ca: str) -> None:
    certificate = authority.issue_cert("user@example.com")
    chain, key = certificate.cert_chain_pems[0].bytes().decode(), certificate.private_key_pem.bytes().decode()
    user = {"client-certificate-data": b64(chain), "client-key-data": b64(key)}
    access = await from_kubeconfig(kubeconfig(tmp_path, {"certificate-authority-data": b64(ca)}, user))()
    assert (access.certificate, access.key, access.authorization) == (chain, key, "")
    assert tls_context(access).cert_store_stats()["x509_ca"] == 1


async def test_insecure(tmp_path: Path) -> None:
    access = await from_kubeconfig(kubeconfig(tmp_path, {"insecure-skip-tls-verify": True}, {"token": "t"}))()
    assert access.verify is False
    assert tls_context(access).verify_mode is ssl.CERT_NONE


async def test_an_exec_plugin(tmp_path: Path) -> None:
    expiry = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    user = plugin(tmp_path, {"token": "made", "expirationTimestamp": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")})
    access = await from_kubeconfig(kubeconfig(tmp_path, {}, user))()
    assert (access.authorization, access.expires) == ("Bearer made", expiry.timestamp())
    assert (tmp_path / "runs").read_text() == "x"


async def test_an_exec_plugin_that_fails(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}}
    with pytest.raises(CredentialsError, match="exec: process returned 1"):
        await from_kubeconfig(kubeconfig(tmp_path, {}, user))()


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "no such file"), ("", "config"), ("{not yaml", "config"), ("a: b", "config")],
)
async def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CredentialsError, match=says):
        await from_kubeconfig(str(path))()
    good = kubeconfig(tmp_path, {}, {})
    with pytest.raises(CredentialsError, match="nowhere"):
        await from_kubeconfig(good, "nowhere")()


@pytest.fixture
def account(tmp_path: Path, ca: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text(ca)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return tmp_path


async def test_a_service_account(account: Path, ca: str) -> None:
    access = await from_cluster(str(account))()
    assert (access.server, access.ca) == ("https://[fd00::1]:443", ca)
    assert access.authorization.split() == ["bearer", "first"]
    assert access.token_file == str(account / "token")


async def test_outside_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(CredentialsError, match="no cluster to follow: this is not a pod"):
        await from_cluster()()


def test_the_loader_is_a_program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert loader.main([]) == 1
    assert "error" in json.loads(capsys.readouterr().out)


async def test_a_loader_started_before(tmp_path: Path) -> None:
    """The loader serves the first load; later loads start their own process."""
    user = plugin(tmp_path, {"token": "made"})
    path = kubeconfig(tmp_path, {}, user)
    load = from_kubeconfig(path, loader_process=loader.begin(path))
    for runs in ("x", "xx"):
        assert (await load()).authorization == "Bearer made"
        assert (tmp_path / "runs").read_text() == runs


async def test_a_plugin_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "LOAD_TIMEOUT", 1.0)
    api = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": api, "command": "sleep", "args": ["60"], "interactiveMode": "Never"}}
    with pytest.raises(CredentialsError, match="took longer than 1 s"):
        await from_kubeconfig(kubeconfig(tmp_path, {}, user))()


async def test_the_token_file_is_read_again(
    account: Path, ca: str, authority: trustme.CA, mock_clock: trio.testing.MockClock
) -> None:
    loads = 0

    async def load() -> ApiEndpoint:
        nonlocal loads
        loads += 1
        return ApiEndpoint(
            "https://x", "Bearer first", ca, token_file=str(account / "token"), ca_file=str(account / "ca.crt")
        )

    held = Credentials(load)
    first = await held.current()
    (account / "token").write_text("second")
    assert await held.current() is first, "from memory, within a minute"
    mock_clock.jump(61)
    second = await held.current()
    assert second.authorization == "Bearer second"
    # A 401 does not wait for the minute, nor does a new CA.
    (account / "token").write_text("third")
    new_ca = trustme.CA().cert_pem.bytes().decode()
    (account / "ca.crt").write_text(new_ca)
    held.invalidate(second)
    third = await held.current()
    assert (third.authorization, third.ca, loads) == ("Bearer third", new_ca, 1)
    # Half a rotation: the file is empty for a moment, or gone.
    (account / "token").write_text("")
    mock_clock.jump(61)
    assert await held.current() is third
    (account / "token").unlink()
    mock_clock.jump(61)
    assert await held.current() is third
    held.invalidate(second)
    assert await held.current() is third, "what is not in use any more cannot be distrusted"


async def test_a_change_while_they_are_loaded_is_looked_at_as_well() -> None:
    """At once, and not after the pause between two loads."""
    servers = iter(("https://one", "https://one", "https://two"))
    changed = False

    async def load() -> ApiEndpoint:
        nonlocal changed
        found = ApiEndpoint(next(servers))
        if found.server == "https://one" and held.server and not changed:
            changed = True
            held.look_again()
        await trio.lowlevel.checkpoint()
        return found

    held = Credentials(load)
    await held.current()
    held.look_again()
    assert [(await held.current()).server for _ in range(3)] == ["https://one", "https://two", "https://two"]


async def test_a_change_that_could_not_be_loaded_is_tried_again(mock_clock: trio.testing.MockClock) -> None:
    server, failing = "https://one", False

    async def load() -> ApiEndpoint:
        if failing:
            raise CredentialsError("the plugin is broken")
        return ApiEndpoint(server)

    held = Credentials(load)
    await held.current()
    server, failing = "https://two", True
    held.look_again()
    assert (await held.current()).server == "https://one"
    failing = False
    assert (await held.current()).server == "https://one", "not before a pause"
    mock_clock.jump(credentials.RELOAD_PAUSE)
    assert (await held.current()).server == "https://two"


async def test_what_expires_is_renewed_before(mock_clock: trio.testing.MockClock) -> None:
    made: list[ApiEndpoint] = []
    failing = False

    async def load() -> ApiEndpoint:
        if failing:
            raise CredentialsError("the plugin is broken")
        made.append(ApiEndpoint("https://x", f"Bearer {len(made)}", expires=mock_clock.current_time() + 600))
        return made[-1]

    held = Credentials(load, wall=mock_clock.current_time)
    assert (await held.current()) is made[0]
    mock_clock.jump(500)
    assert (await held.current()) is made[0]
    mock_clock.jump(60)
    assert (await held.current()) is made[1]
    failing = True
    mock_clock.jump(590)
    assert (await held.current()) is made[1], "better than none"
    failing = False
    assert (await held.current()) is made[1], "and it is not tried again at once"
    mock_clock.jump(credentials.RELOAD_PAUSE)
    assert (await held.current()) is made[2]


@pytest.mark.parametrize(
    ("steps", "loads"),
    [
        pytest.param([(500, 366 * 86_400), (41, 0)], [1, 2], id="set a year ahead and left"),
        pytest.param([(500, -366 * 86_400), (41, 0)], [1, 2], id="set a year back"),
        pytest.param([(500, -3600), (41, 0)], [1, 2], id="set an hour back"),
        pytest.param([(541, 0), (30, 366 * 86_400), (500, 0), (11, 0)], [2, 2, 2, 3], id="after a renewal"),
    ],
)
async def test_a_clock_that_is_set_renews_nothing_early_or_late(
    steps: list[tuple[float, float]], loads: list[int], mock_clock: trio.testing.MockClock
) -> None:
    wall = [1e9]
    made: list[ApiEndpoint] = []

    async def load() -> ApiEndpoint:
        made.append(ApiEndpoint("https://x", f"Bearer {len(made)}", expires=wall[0] + 600))
        return made[-1]

    held = Credentials(load, wall=lambda: wall[0])
    await held.current()
    seen = []
    for seconds, step in steps:
        mock_clock.jump(seconds)
        wall[0] += seconds + step
        await held.current()
        seen.append(len(made))
    assert seen == loads


async def test_what_has_expired_by_a_wrong_clock_is_not_asked_for_all_the_time(
    mock_clock: trio.testing.MockClock,
) -> None:
    made: list[ApiEndpoint] = []

    async def load() -> ApiEndpoint:
        made.append(ApiEndpoint("https://x", f"Bearer {len(made)}", expires=1e9))
        return made[-1]

    held = Credentials(load, wall=lambda: 1e9 + 366 * 86_400)
    for _ in range(600):
        await held.current()
        mock_clock.jump(1)
    assert len(made) <= 11
    held.invalidate(made[-1])
    before = len(made)
    mock_clock.jump(credentials.RELOAD_PAUSE)
    await held.current()
    assert len(made) == before + 1, "unless the API server says so"


async def test_the_first_load_must_work() -> None:
    async def load() -> ApiEndpoint:
        raise CredentialsError("nothing there")

    with pytest.raises(CredentialsError):
        await Credentials(load).current()


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(ApiEndpoint("https://x", "Bearer secret", key="secret"))


async def test_loading_does_not_block(tmp_path: Path) -> None:
    """The event loop goes on while the loader's process runs."""
    path = kubeconfig(tmp_path, {}, {"token": "t"})
    turns = 0
    async with trio.open_nursery() as nursery:

        async def turn() -> None:
            nonlocal turns
            while True:
                await trio.sleep(0.001)
                turns += 1

        nursery.start_soon(turn)
        await from_kubeconfig(path)()
        nursery.cancel_scope.cancel()
    assert turns > 20
