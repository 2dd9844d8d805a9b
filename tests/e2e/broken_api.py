"""Kubeconfigs and API servers with one fault each, and the message about it."""

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

import trustme

from tests.free_port import free_port
from tests.kube.apiserver import ApiServer, Fault

Content = dict[str, Any]


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
    Hopeless("certificate, no key", user(**{"client-certificate-data": "eHl6"}), "is set without client-key"),
    Hopeless("token file gone", user(tokenFile="/x"), "user u.tokenFile: /x: no such file"),
    Hopeless("plugin not installed", plugin("kubelogin-x"), "no program kubelogin-x in PATH: the plugin is"),
]


class Passing(NamedTuple):
    """A fault that may pass: `reason` and `says` are in the one line of the log about it."""

    name: str
    spoil: Callable[[ApiServer, Content], Any]
    reason: str
    says: str


def refuse(_: ApiServer, content: Content) -> None:
    cluster(server=f"https://127.0.0.1:{free_port()}")(content)


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
