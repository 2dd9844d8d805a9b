"""Finds what `serve` would report only after its start: `check` runs it after `preflight`.

The same code reports it: the code that serves object files reads them here, and its log lines are the findings.
"""

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dnsserver.app.preflight import Finding, Level
from dnsserver.config import Address, Config
from dnsserver.config.files import UnusableFileError, expect_regular_file, read_text
from dnsserver.kube.kubeconfig import KubeconfigError, expect_usable
from dnsserver.kube.loader import SERVICE_ACCOUNT

_MOST_OF_A_FILE = 1024 * 1024
_MOST_LINES = 5
_OF_A_FILE = "objects file problem"  # what the log says in front of a sentence that says it all
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_HARMLESS = ("are taken as existing", "it is served all the same")  # of what is said of object files
_NOT_READ = "files whose names do not end in .yaml, .yml or .json are not read: "
_DOCUMENTS = (".md", ".rst", ".adoc", ".toml", ".sh", ".py", "LICENSE", "OWNERS", "Makefile", "Dockerfile", "...")


def rehearse(config: Config) -> Iterator[Finding]:
    """Yield what is found: addresses that cannot be had, objects that are not served, no cluster to ask."""
    for index, address in enumerate(config.listen):
        error = _not_bound(address, socket.SOCK_DGRAM) or _not_bound(address, socket.SOCK_STREAM)
        if error is not None and not (address.host == "::" and error.errno in _NO_IPV6 and len(config.listen) > 1):
            yield Finding(f"listen[{index}]", _why_not(address, error), _level(error))
    if (error := _not_bound(config.admin, socket.SOCK_STREAM)) and not (
        config.admin.host == "::" and error.errno in _NO_IPV6
    ):
        yield Finding("admin", _cannot(config.admin, error), _level(error))
    yield from _skipped_lines(config)
    if config.objects is not None:
        yield from _objects(config.objects)
    elif config.kubeconfig is not None:
        try:
            expect_regular_file(config.kubeconfig)
            expect_usable(str(config.kubeconfig), config.context or "")
        except UnusableFileError as error:
            yield Finding("kubeconfig", f"{config.kubeconfig}: {error}", "refused")
        except KubeconfigError as error:
            yield Finding("kubeconfig", str(error).removeprefix("kubeconfig "), "refused")
    elif os.environ.get("KUBERNETES_SERVICE_HOST"):
        yield from _service_account(Path(SERVICE_ACCOUNT))
    else:
        text = "is not set, nor is objects, and this is not a pod: here `serve` would have no cluster to serve"
        yield Finding("kubeconfig", text, "noted")


def _skipped_lines(config: Config) -> Iterator[Finding]:
    """Find lines of a file of upstreams that cannot be read; those of the default file are only noted."""
    from dnsserver.forward import resolvconf  # noqa: PLC0415 - 10 ms

    level: Level = "ignored" if config.upstreams != Config().upstreams else "noted"
    for index, route in enumerate(config.routes()):
        key = f"forward[{index - 1}].upstreams" if index else "upstreams"
        for path in (upstream.host for upstream in route.upstreams if upstream.transport == "file"):
            with suppress(UnusableFileError):  # of which `preflight` has told
                found = resolvconf.read(read_text(Path(path), _MOST_OF_A_FILE))
                for line in found.not_understood[:_MOST_LINES]:
                    yield Finding(key, f"{path}: has no address in the line: {line}", level)


def _not_bound(address: Address, kind: socket.SocketKind) -> OSError | None:
    """Bind an address for a moment; return the error, or None if there is none."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        return error
    return None


def _level(error: OSError) -> Level:
    """Return how serious it is that an address cannot be bound: the checked server may have it, or other rights."""
    return "noted" if error.errno in {errno.EADDRINUSE, errno.EACCES} else "refused"


def _cannot(address: Address, error: OSError) -> str:
    return f"cannot listen on {address}: {(error.strerror or str(error)).lower()}"


def _why_not(address: Address, error: OSError) -> str:
    """Return what `serve` would say. Its module is imported only here, as it imports all that answers questions."""
    from dnsserver.app.listening import ListenError, open_all  # noqa: PLC0415

    try:
        for _, sockets in open_all([address]):
            for sock in sockets:
                sock.close()
    except ListenError as reason:
        return str(reason)
    return _cannot(address, error)


def _service_account(folder: Path) -> Iterator[Finding]:
    """Check the files that a pod needs for access to its API server."""
    for path in (folder / "token", folder / "ca.crt"):
        try:
            problem = "" if read_text(path, _MOST_OF_A_FILE).strip() else "is empty"
        except UnusableFileError as error:
            problem = str(error)
        if problem:
            yield Finding(
                "kubeconfig", f"is not set, and this pod's ServiceAccount has a problem: {path}: {problem}", "refused"
            )


def _objects(path: Path) -> Iterator[Finding]:
    """Yield the log lines of a first read of the files, each once."""
    import trio  # noqa: PLC0415 - these three cost 0.1 s, and only object files need them

    from dnsserver.kube.objects import ObjectFiles, ObjectsError  # noqa: PLC0415
    from dnsserver.logger import redirected  # noqa: PLC0415

    events: list[tuple[str, Mapping[str, Any]]] = []

    def record(level: str, _: str, event: dict[str, Any]) -> None:
        events.append((level, event))

    async def read() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(ObjectFiles(path, lambda _: None).run)
            nursery.cancel_scope.cancel()

    failures: tuple[Exception, ...] = ()
    try:
        with redirected(record):
            trio.run(read)
    except* ObjectsError as errors:
        failures = errors.exceptions
    if not events:
        yield from (Finding("objects", str(error), "ignored") for error in failures)
    for level, event in events:
        if level in {"warning", "error"}:
            text = _sentence(event)
            yield Finding("objects", text, "noted" if _is_harmless(text) else "ignored")


def _is_harmless(text: str) -> bool:
    """Tell whether a finding is harmless: nothing that may be an object is left out."""
    _, separator, names = text.partition(_NOT_READ)
    return any(harmless in text for harmless in _HARMLESS) or (
        bool(separator) and all(name.endswith(_DOCUMENTS) for name in names.split(", "))
    )


def _sentence(event: Mapping[str, Any]) -> str:
    """Return an event of the log as a sentence: the place, the problem, and the other fields."""
    where = event.get("file") or event.get("path")
    what = event.get("problem") or ("" if event["event"] == _OF_A_FILE else event["event"])
    rest = [value for name, value in event.items() if name not in {"event", "file", "path", "problem"}]
    words = [
        ", ".join(map(str, word)) if isinstance(word, list) else str(word) for word in (where, what, *rest) if word
    ]
    return ": ".join(words)
