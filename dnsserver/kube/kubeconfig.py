"""Finds mistakes in a kubeconfig that waiting does not cure: a sentence with the file and the key. Blocks.

The `kubernetes` package reports some mistakes, in whatever way its code fails, and does not read certificates. This
module looks first: at files, YAML, the way from the context to a server, PEM, plugins. It does not report what may
come right by itself, such as a server that is down or a plugin that fails.
"""

import base64
import binascii
import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dnsserver.kube.plain import NotPlainError, documents

_LARGEST = 4 << 20  # octets; thousands of clusters fit
_LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_SHOWN = 8  # names in a sentence


class KubeconfigError(Exception):
    """The sentence."""


class _Entry(msgspec.Struct):
    """A named entry, and the file that has it."""

    path: Path
    where: str
    body: dict[Any, Any]

    def error(self, key: str, problem: str) -> KubeconfigError:
        return KubeconfigError(f"kubeconfig {self.path}: {self.where}.{key}: {problem}")

    def text(self, key: str) -> str:
        """Return a string, empty if there is none. Raises KubeconfigError."""
        value = self.body.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, f"expected text, got {type(value).__name__}")
        return value or ""


def expect_usable(paths: str, context: str = "") -> None:
    """Look at a kubeconfig, or several joined by `:`, of which the first to say something counts.

    Raises KubeconfigError.
    """
    cluster, user = _chosen(paths, context)
    _expect_cluster(cluster)
    if user is not None:
        _expect_user(user)


def server_of(paths: str, context: str = "") -> str:
    """Return the URL of the API server that a kubeconfig leads to; empty if it leads nowhere."""
    try:
        return _chosen(paths, context)[0].text("server")
    except KubeconfigError:
        return ""


def _chosen(paths: str, context: str) -> tuple[_Entry, _Entry | None]:
    """Return the cluster and the user of the chosen context. Raises KubeconfigError."""
    found: dict[str, dict[str, _Entry]] = {kind: {} for kind in _LISTS}
    current, files = "", [Path(path).expanduser() for path in paths.split(os.pathsep) if path]
    for path in files:
        content = _content(path)
        current = current or str(content.get("current-context") or "")
        for kind, entry in _entries(path, content):
            found[kind].setdefault(entry[0], entry[1])
    shown = ":".join(map(str, files))
    name = context or current
    if not name:
        raise KubeconfigError(f"kubeconfig {shown}: current-context is not set: {_one_of(found['contexts'])}")
    chosen = found["contexts"].get(name)
    if chosen is None:
        key = "context" if context else "current-context"
        raise KubeconfigError(f'kubeconfig {shown}: {key} "{name}" is not in it: {_one_of(found["contexts"])}')
    cluster = _of(chosen, "cluster", found["clusters"])
    if cluster is None:
        raise chosen.error("cluster", f"is not set: {_one_of(found['clusters'])}")
    return cluster, _of(chosen, "user", found["users"])


def _content(path: Path) -> dict[Any, Any]:
    where = f"kubeconfig {path}"
    try:
        text = read_small(path)
        content = next((each.value for each in documents(text) if each.value is not None), None)
    except _UnreadableError as error:
        raise KubeconfigError(f"{where}: {error}") from None
    except NotPlainError as error:
        raise KubeconfigError(f"{where}: {error}") from None
    if not isinstance(content, dict) or not content.keys() & _LISTS.keys():
        got = "nothing" if content is None else "something else"
        raise KubeconfigError(f"{where}: expected clusters, contexts and users, got {got}")
    return content


def _entries(path: Path, content: dict[Any, Any]) -> Iterator[tuple[str, tuple[str, _Entry]]]:
    for kind, inner in _LISTS.items():
        listed = content.get(kind) or []
        if not isinstance(listed, list):
            raise KubeconfigError(f"kubeconfig {path}: {kind}: expected a list")
        for number, each in enumerate(listed):
            if not isinstance(each, dict) or not isinstance(each.get("name"), str):
                raise KubeconfigError(f"kubeconfig {path}: {kind}[{number}]: expected a name and a {inner}")
            body = each.get(inner) or {}
            if not isinstance(body, dict):
                raise KubeconfigError(f"kubeconfig {path}: {kind}[{number}].{inner}: expected a map")
            yield kind, (each["name"], _Entry(path, f"{inner} {each['name']}", body))


def _of(chosen: _Entry, key: str, known: dict[str, _Entry]) -> _Entry | None:
    name = chosen.text(key)
    if name and name not in known:
        raise chosen.error(key, f'"{name}" is not in it: {_one_of(known)}')
    return known.get(name)


def _one_of(known: dict[str, _Entry]) -> str:
    names = sorted(known)
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"expected {'one of ' if len(names) > 1 else ''}{shown}" if names else "there is none"


def _expect_cluster(cluster: _Entry) -> None:
    server = cluster.text("server")
    if not _is_url(server):
        raise cluster.error("server", f'expected https://HOST:PORT, got "{server}"')
    proxy = cluster.text("proxy-url")
    if proxy and not _is_url(proxy):
        raise cluster.error("proxy-url", f'expected http://HOST:PORT, got "{proxy}"')
    key, pem = _pem(cluster, "certificate-authority")
    if pem:
        try:
            ssl.create_default_context(cadata=pem)
        except (ssl.SSLError, ValueError):
            raise cluster.error(key, "expected certificates in PEM, cannot read them") from None


def _is_url(text: str) -> bool:
    """Tell whether a text is the URL of an API server."""
    try:
        url = urlsplit(text)
        is_whole = url.scheme in {"https", "http"} and bool(url.hostname) and url.port != 0
        return is_whole and " " not in text and text.isprintable()
    except ValueError:  # brackets that do not close, a port that is none
        return False


def _expect_user(user: _Entry) -> None:
    certificate_key, certificate = _pem(user, "client-certificate")
    key_key, key = _pem(user, "client-key")
    if bool(certificate) != bool(key):
        missing, there = ("client-key", certificate_key) if certificate else ("client-certificate", key_key)
        raise user.error(there, f"is set without {missing}")
    if certificate:
        _expect_pair(user, certificate_key, certificate, key)
    if not (user.text("token").isascii() and user.text("token").isprintable()):
        raise user.error("token", "has characters that a token cannot have")
    token = user.text("tokenFile")
    if token:
        _file(user, "tokenFile", token)
    plugin = user.body.get("exec")
    if plugin is not None:
        _expect_plugin(user, plugin)


def _expect_pair(user: _Entry, name: str, certificate: str, key: str) -> None:
    handle = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(handle, f"{certificate}\n{key}\n".encode())
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(f"/proc/self/fd/{handle}", password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise user.error(name, "and client-key do not belong together") from None
        raise user.error(name, "expected a certificate and its key in PEM, cannot read them") from None
    except ValueError:
        raise user.error(name, "the client key needs a password: expected one without") from None
    finally:
        os.close(handle)


def _no_password() -> str:
    raise ValueError("nobody is asked for it")


def _expect_plugin(user: _Entry, plugin: Any) -> None:
    command = plugin.get("command") if isinstance(plugin, dict) else None
    if not isinstance(command, str) or not command:
        raise user.error("exec.command", "is not set: expected the name of a program")
    if not plugin.get("apiVersion"):
        raise user.error("exec.apiVersion", "is not set: expected client.authentication.k8s.io/v1")
    path = str(user.path.parent / command) if os.sep in command else command
    if shutil.which(path) is None:
        hint = plugin.get("installHint")
        more = f". {' '.join(hint.split())[:300]}" if isinstance(hint, str) and hint.strip() else ""
        where = "" if os.sep in command else " in PATH"
        raise user.error("exec.command", f"no program {command}{where}: the plugin is not installed{more}")


def _pem(entry: _Entry, key: str) -> tuple[str, str]:
    """Return the key that is used, and its PEM text; empty if there is none. Raises KubeconfigError."""
    data = entry.text(f"{key}-data")
    if data:
        try:
            return f"{key}-data", base64.b64decode("".join(data.split()), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise entry.error(f"{key}-data", "expected PEM in base64, cannot read it") from None
    name = entry.text(key)
    if not name:
        return key, ""
    return key, _file(entry, key, name)


def _file(entry: _Entry, key: str, name: str) -> str:
    path = entry.path.parent / Path(name).expanduser()
    try:
        return read_small(path).decode("ascii", "replace")
    except _UnreadableError as error:
        raise entry.error(key, f"{path}: {error}") from None


class _UnreadableError(Exception):
    """Return why a file cannot be read."""


def read_small(path: Path) -> bytes:
    """Return what is in a regular file of bounded size, without waiting. Raises _UnreadableError."""
    try:
        if not path.is_file():
            path.stat()
            raise _UnreadableError(f"is a {'folder' if path.is_dir() else 'device'}: expected a file")
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123  (a descriptor)
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise _UnreadableError((error.strerror or str(error)).lower()) from None
    if text is None:  # some files of /proc are regular ones and have to be waited for
        raise _UnreadableError("has no data that can be read without waiting")
    if len(text) > _LARGEST:
        raise _UnreadableError(f"has more than {_LARGEST >> 20} MiB: expected a kubeconfig or certificates")
    return text
