"""The one door to the `kubernetes` package: a short program that prints how to reach an API server, as one JSON object.

    python -m dnsserver.kube.loader                               the ServiceAccount of this pod
    python -m dnsserver.kube.loader --kubeconfig FILE [--context NAME]

It is its own process because importing the package costs 35 MiB for good and a third of a second of processor time
(measured: 43 MiB RSS and 0.29-0.33 s for `import kubernetes.config`, kubernetes 37), and because exec plugins, OIDC
refreshes and files on slow disks then block nobody. Keys the loaders unpack into temporary files are read back here and
are gone from the disk when this process ends.
"""

import atexit
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnsserver.kube.orphan import settle_in, signals_held

_NOWHERE = (
    "no cluster to follow: this is not a pod (KUBERNETES_SERVICE_HOST is not set), and neither kubeconfig nor objects "
    "says where else its objects are"
)
_END = 1.0  # seconds for its end to be known; later it is init's
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def begin(kubeconfig: str = "", context: str = "", service_account: str = "") -> "subprocess.Popen[bytes]":
    """Start this program. Called first thing, it is done when our own imports are: a third of a second saved."""
    command = [sys.executable, "-m", "dnsserver.kube.loader", "--parent", str(os.getpid())]
    for flag, value in (("--kubeconfig", kubeconfig), ("--context", context), ("--service-account", service_account)):
        if value:
            command += [flag, value]
    # In a session of its own: its plugins can be ended with it, and ^C is for the server to handle.
    with signals_held():
        return subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """End it, and the plugin that it waits for, if it has not ended by itself. Blocks for a second at most."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a file system that hangs holds it
            process.wait(_END)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


class _Warnings(logging.Handler):
    """Keeps the warnings that the package only logs: for an exec plugin that fails, it raises nothing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note the message."""
        self.messages.append(record.getMessage())


class HopelessError(ValueError):
    """There is no way to reach the API, and only a person can change that; the text is a sentence for that person."""


def load(kubeconfig: str = "", context: str = "", service_account: str = SERVICE_ACCOUNT) -> dict[str, Any]:
    """Return the fields of `credentials.ApiEndpoint`, for a kubeconfig (or several, joined by `:`) or for this pod.

    Raises HopelessError when there is no way in, and ValueError when there is none now.
    """
    if kubeconfig:
        # Late: YAML is 50 ms and 2 MiB, and this module is also imported by the server, which begins the loader.
        from dnsserver.kube.kubeconfig import KubeconfigError, expect_usable  # noqa: PLC0415

        try:
            expect_usable(kubeconfig, context)
        except KubeconfigError as error:
            raise HopelessError(str(error)) from None
    elif not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise HopelessError(_NOWHERE)
    # A validator of manifests that the package imports wherever it is installed: 15 MiB and 2 s more.
    sys.modules.setdefault("kubernetes_validate", None)  # type: ignore[arg-type]
    from kubernetes.client import Configuration  # noqa: PLC0415  (35 MiB: only in this process, and late even here)
    from kubernetes.config import ConfigException, incluster_config, kube_config  # noqa: PLC0415

    # The package's functions have no annotations.
    kubeconfig_files: Any = kube_config.KubeConfigMerger
    kubeconfig_loader: Any = kube_config.KubeConfigLoader
    pod_loader: Any = incluster_config.InClusterConfigLoader

    warned = _Warnings()
    logging.getLogger().addHandler(warned)
    configuration = Configuration()
    fields: dict[str, Any] = {}
    try:
        if kubeconfig:
            merged = kubeconfig_files(kubeconfig)
            loader = kubeconfig_loader(
                merged.config,
                active_context=context or None,
                config_base_path=None,
                config_persister=merged.save_changes,
            )
            loader.load_and_set(configuration)
            if warned.messages:
                raise ValueError(f"kubeconfig {kubeconfig}: {'; '.join(warned.messages)}")
            expiry = getattr(loader, "expiry", None)
            if expiry is not None:
                fields["expires"] = expiry.timestamp()
        else:
            token_file, ca_file = f"{service_account}/token", f"{service_account}/ca.crt"
            pod_loader(token_file, ca_file).load_and_set(configuration)
            # The kubelet renews these files; who reads them again needs no second run of this program.
            fields["token_file"], fields["ca_file"] = token_file, ca_file
    except ConfigException as error:
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "ServiceAccount of this pod"
        raise HopelessError(f"{where}: {error}") from error
    fields["server"] = configuration.host
    fields["authorization"] = (configuration.api_key.get("BearerToken") or "").strip()
    fields["verify"] = bool(configuration.verify_ssl)
    fields["server_name"] = configuration.tls_server_name or ""
    fields["proxy"] = configuration.proxy or ""
    for field, path in (
        ("ca", configuration.ssl_ca_cert),
        ("certificate", configuration.cert_file),
        ("key", configuration.key_file),
    ):
        fields[field] = Path(path).read_text(encoding="ascii") if path else ""
    return fields


def main(arguments: Sequence[str]) -> int:
    """Print the fields, or `{"error": ..., "hopeless": ...}` and end with 1."""
    from argparse import ArgumentParser  # noqa: PLC0415 - 0.3 MiB that the server, which imports this module, can spare

    parser = ArgumentParser()
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--context", default="")
    parser.add_argument("--service-account", default=SERVICE_ACCOUNT)
    parser.add_argument("--parent", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.parent:
        _be_a_child(options.parent)
    try:
        answer, status = load(options.kubeconfig, options.context, options.service_account), 0
    except Exception as error:  # the border of this process: whatever went wrong is told, not traced
        answer, status = {"error": str(error) or repr(error), "hopeless": isinstance(error, HopelessError)}, 1
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    return status


def _be_a_child(parent: int) -> None:
    """End when the parent ends, in whatever way, and let no plugin and no process of a plugin outlive us."""
    signal.signal(signal.SIGTERM, lambda *_: _end_group())
    settle_in(parent, signal.SIGTERM)
    atexit.register(_end_group)  # first in, last out: the package removes the keys that it unpacked before
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
