"""The messages about broken kubeconfigs: the file, the key, and what was expected."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from dnsserver.kube.kubeconfig import KubeconfigError, expect_usable

Config = dict[str, Any]


def b64(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def good(authority: trustme.CA) -> Config:
    issued = authority.issue_cert("user@example.com")
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://api.example:6443",
                    "certificate-authority-data": b64(authority.cert_pem.bytes()),
                },
            }
        ],
        "users": [
            {
                "name": "u",
                "user": {
                    "client-certificate-data": b64(issued.cert_chain_pems[0].bytes()),
                    "client-key-data": b64(issued.private_key_pem.bytes()),
                },
            }
        ],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}, {"name": "there", "context": {}}],
        "current-context": "here",
    }


def cluster(**fields: Any) -> Callable[[Config], None]:
    return lambda config: config["clusters"][0].__setitem__("cluster", fields)


def authority_of(**fields: Any) -> Callable[[Config], None]:
    return cluster(server="https://x", **{name.replace("_", "-"): value for name, value in fields.items()})


def user(**fields: Any) -> Callable[[Config], None]:
    return lambda config: config["users"][0]["user"].update(
        {name.replace("_", "-"): value for name, value in fields.items()}
    )


def plugin(**fields: Any) -> Callable[[Config], None]:
    api = "client.authentication.k8s.io/v1"
    return lambda config: config["users"][0].__setitem__("user", {"exec": {"apiVersion": api, **fields}})


def context(**fields: Any) -> Callable[[Config], None]:
    return lambda config: config["contexts"][0].__setitem__("context", fields)


def top(**fields: Any) -> Callable[[Config], None]:
    return lambda config: config.update({name.replace("_", "-"): value for name, value in fields.items()})


TABLE: list[tuple[Callable[[Config], None], str]] = [
    (top(current_context=""), "current-context is not set: expected one of here, there"),
    (top(current_context="gone"), 'current-context "gone" is not in it: expected one of here, there'),
    (top(contexts=[]), 'current-context "here" is not in it: there is none'),
    (top(contexts=7), "contexts: expected a list"),
    (top(clusters=[{"name": 7}]), "clusters[0]: expected a name and a cluster"),
    (top(users=[{"name": "u", "user": []}, {"name": "v", "user": "x"}]), "users[1].user: expected a map"),
    (context(cluster="c2", user="u"), 'context here.cluster: "c2" is not in it: expected c'),
    (context(cluster="c", user="u2"), 'context here.user: "u2" is not in it: expected u'),
    (context(user="u"), "context here.cluster: is not set: expected c"),
    (context(cluster=7), "context here.cluster: expected text, got int"),
    (cluster(), 'cluster c.server: expected https://HOST:PORT, got ""'),
    *(
        (cluster(server=url), f'cluster c.server: expected https://HOST:PORT, got "{url}"')
        for url in ("https://", "https://a:99999", "https://a:x", "https://a :6443", "https://[::1:6443", "https://a:0")
    ),
    *(
        (
            cluster(**{"server": "https://api.example", "proxy-url": url}),
            f'cluster c.proxy-url: expected http://HOST:PORT, got "{url}"',
        )
        for url in ("not a url", "proxy.example:3128", "http://", "socks5://proxy.example")
    ),
    *(
        (user(token=token), "user u.token: has characters that a token cannot have")
        for token in ("a\nb", "t\u00f6ken", "a\0")
    ),
    (cluster(server="api.example:6443"), 'cluster c.server: expected https://HOST:PORT, got "api.example:6443"'),
    (
        authority_of(certificate_authority_data="%%%"),
        "cluster c.certificate-authority-data: expected PEM in base64, cannot read it",
    ),
    (
        authority_of(certificate_authority_data=b64(b"\xff\xfe")),
        "cluster c.certificate-authority-data: expected PEM in base64, cannot read it",
    ),
    (
        authority_of(certificate_authority_data=b64(b"garbage")),
        "cluster c.certificate-authority-data: expected certificates in PEM, cannot read them",
    ),
    (
        authority_of(certificate_authority="/nowhere/ca.crt"),
        "cluster c.certificate-authority: /nowhere/ca.crt: no such file or directory",
    ),
    (authority_of(certificate_authority="/dev"), "cluster c.certificate-authority: /dev: is a folder: expected a file"),
    (user(client_key_data=""), "user u.client-certificate-data: is set without client-key"),
    (user(client_key_data="", client_key="/nowhere/key"), "user u.client-key: /nowhere/key: no such file"),
    (user(client_certificate_data=b64(b"x")), "user u.client-certificate-data: expected a certificate and its key"),
    (
        user(client_key_data=b64(trustme.CA().private_key_pem.bytes())),
        "user u.client-certificate-data: and client-key do not belong together",
    ),
    (user(tokenFile="/nowhere/token"), "user u.tokenFile: /nowhere/token: no such file or directory"),
    (
        plugin(command="no-such-plugin", installHint="Get it from\n  the store."),
        "user u.exec.command: no program no-such-plugin in PATH: the plugin is not installed. Get it from the store.",
    ),
    (plugin(command="./plugin"), "user u.exec.command: no program ./plugin: the plugin is not installed"),
    (plugin(), "user u.exec.command: is not set: expected the name of a program"),
    (plugin(apiVersion="", command="true"), "user u.exec.apiVersion: is not set: expected client.authentication"),
]


@pytest.mark.parametrize(("spoil", "problem"), TABLE, ids=[problem[:50] for _, problem in TABLE])
def test_one_sentence_says_which_key_and_what_was_expected(
    tmp_path: Path, good: Config, spoil: Callable[[Config], None], problem: str
) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps(good))
    expect_usable(str(path))
    spoil(good)
    path.write_text(json.dumps(good))
    with pytest.raises(KubeconfigError) as found:
        expect_usable(str(path))
    assert str(found.value).startswith(f"kubeconfig {path}: {problem}")


FILES: dict[bytes, str] = {
    b"": "expected clusters, contexts and users, got nothing",
    b"- a\n": "expected clusters, contexts and users, got something else",
    b"a: [\n": "line 2: not YAML",
    b"[" * 100_000: "line 1: nested deeper than",
    b"a: !!python/none x": "line 1: the tag !!python/none is not supported here",
    b"\0": "line 1: not YAML",
    b"#" * (4 << 20) + b"\n": "has more than 4 MiB",
}


@pytest.mark.parametrize(("text", "problem"), FILES.items(), ids=FILES.values())
def test_what_is_no_kubeconfig(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(text)
    with pytest.raises(KubeconfigError) as found:
        expect_usable(str(path))
    assert str(found.value).startswith(f"kubeconfig {path}: {problem}")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (("none", "no such file or directory"), (".", "is a folder"), ("pipe", "is a device")):
        with pytest.raises(KubeconfigError, match=problem):
            expect_usable(str(tmp_path / name))


def test_a_context_by_name_and_several_files(tmp_path: Path, good: Config) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(json.dumps({"contexts": good.pop("contexts")}))
    second.write_text(json.dumps(good))
    expect_usable(f"{first}:{second}")
    with pytest.raises(KubeconfigError, match=r"context there\.cluster: is not set"):
        expect_usable(f"{first}:{second}", "there")
    with pytest.raises(KubeconfigError, match='context "elsewhere" is not in it: expected one of here, there'):
        expect_usable(f"{first}:{second}", "elsewhere")


def test_a_plugin_beside_the_kubeconfig(tmp_path: Path, good: Config) -> None:
    plugin(command="./plugin")(good)
    path = tmp_path / "config"
    path.write_text(json.dumps(good))
    (tmp_path / "plugin").write_text("#!/bin/sh\n")
    (tmp_path / "plugin").chmod(0o755)
    expect_usable(str(path))
