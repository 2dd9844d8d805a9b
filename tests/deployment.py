"""What the tests of zones/ and manifests/ share: YAML as values, overlays rendered, and the API's own schemas."""

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

from dnsserver.app.ceiling import MIB
from dnsserver.config import Address, Config, load
from dnsserver.zone.model import Kind

ROOT = Path(__file__).parent.parent
MANIFESTS = ROOT / "manifests"
OWNED = ["shadow", "replace", "same-node", "node-local"]  # what an overlay of a user builds on
COMPONENTS = sorted(folder.name for folder in (MANIFESTS / "components").iterdir())
_WORKLOADS = {"Deployment", "DaemonSet"}
LATEST = str(kubernetes_validate.latest_version())  # of Kubernetes; the package carries schemas, nothing is downloaded
CUSTOM = {"monitoring.coreos.com/v1"}  # kinds that are not of Kubernetes itself: nothing here knows their schemas

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def demo_objects() -> Iterator[Manifest]:
    for path in sorted((ROOT / "zones/demo").glob("*.yaml")):
        yield from documents(path.read_text())


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def complaint(manifest: Manifest, version: str = LATEST) -> str | None:
    """What the strict schema of its kind says against an object: a field missing, of a wrong type, or unknown."""
    if manifest["apiVersion"] in CUSTOM:
        return None
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return f"{title(manifest)}: {manifest['apiVersion']} has no such kind"
    except kubernetes_validate.ValidationError as error:
        return f"{title(manifest)}: {'.'.join(map(str, error.path))}: {error.message}"
    return None


@functools.cache
def why_not_rendered() -> str | None:
    """Why kustomize is not to be had here; the kubectl of an old distribution knows an old kustomize."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return "kubectl is not installed: it renders the manifests (kubectl kustomize)"
    said = subprocess.run([kubectl, "version", "--client", "-o", "json"], capture_output=True, text=True, check=False)
    version = json.loads(said.stdout or "{}").get("kustomizeVersion", "v0")
    if int(version.lstrip("v").split(".")[0]) < 5:
        return f"kubectl's kustomize is {version}; the manifests need v5 (kubectl 1.27) or later"
    return None


@functools.cache
def rendered(overlay: str) -> list[Manifest]:
    if reason := why_not_rendered():
        pytest.skip(reason)
    return built(MANIFESTS / overlay)


def built(folder: Path) -> list[Manifest]:
    """What `kubectl apply -k FOLDER` would apply."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


@functools.cache
def composed(overlay: str, *components: str) -> list[Manifest]:
    """The overlay of a user elsewhere, who owns nothing but what it is made of."""
    with owned() as folder:
        own = {
            "resources": [led_to(overlay, folder)],
            "components": [led_to(f"components/{c}", folder) for c in components],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(own))
        return built(folder)


@contextmanager
def owned() -> Iterator[Path]:
    """A folder of a user, from which relative paths lead to the checkout: kustomize takes no others."""
    if reason := why_not_rendered():
        pytest.skip(reason)
    with TemporaryDirectory() as name:
        yield Path(name).resolve()


def led_to(part: str, folder: Path) -> str:
    """The way from a user's folder to a part of manifests/."""
    return os.path.relpath(MANIFESTS / part, folder)


def of_kind(overlay: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in overlay if manifest["kind"] == kind]


def ours(manifest: Manifest) -> bool:
    """Whether an object is the server's, and not its autoscaler's."""
    return bool(manifest["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "dnsserver")


def workload(overlay: list[Manifest]) -> Manifest:
    (found,) = [manifest for manifest in overlay if manifest["kind"] in _WORKLOADS and ours(manifest)]
    return found


def pod(overlay: list[Manifest]) -> Manifest:
    spec: Manifest = workload(overlay)["spec"]["template"]["spec"]
    return spec


def container(overlay: list[Manifest], name: str = "dnsserver") -> Manifest:
    (found,) = [each for each in pod(overlay)["containers"] if each["name"] == name]
    only: Manifest = found
    return only


def pod_labels(overlay: list[Manifest]) -> dict[str, str]:
    labels: dict[str, str] = workload(overlay)["spec"]["template"]["metadata"]["labels"]
    return labels


def rights(role: Manifest) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked_for(config: Config) -> set[tuple[str, str, str]]:
    """What the program does at the API server with a configuration."""
    kinds = [kind for kind in Kind if kind is not Kind.PODS or config.pods == "verified"]
    groups = {Kind.ENDPOINTSLICES: "discovery.k8s.io"}
    return {(groups.get(kind, ""), str(kind), verb) for kind in kinds for verb in ("list", "watch")}


def base() -> tuple[Config, int]:
    """The configuration that the base's pod runs with, and its memory limit in octets."""
    deployment: Any = yaml.safe_load((ROOT / "manifests/base/deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    listen = tuple(Address.parse(arg.split("=")[1]) for arg in container["args"] if arg.startswith("--listen="))
    limit = re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])
    assert limit is not None
    return msgspec.structs.replace(load(ROOT / "zones/dnsserver.toml"), listen=listen), int(limit[1]) * MIB
