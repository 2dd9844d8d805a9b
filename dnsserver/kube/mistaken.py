"""Recognizes other files that people put in the place of Kubernetes objects, and says what to do."""

import difflib
import re
from typing import Any

# In each of these a text fits in one way at most, so that no file takes more time than its length.
_COREFILE = re.compile(rb"^[^\s#{}:]*+(?::\d+)?+(?:[ \t,][^#{}\n]*+)?\{[ \t]*$", re.MULTILINE)
_PLUGINS = re.compile(
    rb"^[ \t]+(?:forward|kubernetes|errors|cache|loop|reload|prometheus|hosts|health)\b", re.MULTILINE
)
_ZONE = re.compile(rb"^\$(?:ORIGIN|TTL)\b|[ \t]IN[ \t]+SOA[ \t]", re.MULTILINE)
_TEMPLATE = re.compile(rb"\{\{")
_A_KIND = re.compile(
    rb"""(?:^[ \t-]{0,40}|[{,][ \t]{0,8})["']?kind["']?[ \t]{0,8}:[ \t]{0,8}["']?([A-Za-z]{1,40})""", re.MULTILINE
)
_LOOKED_AT = 65536  # octets of a file that cannot be read

# A kind that names nothing here, and that its author may take for something that does.
_KINDS = {
    "Endpoints": "v1 Endpoints are not read, only EndpointSlices, which Kubernetes makes from them",
    "Ingress": "an Ingress has no name in a cluster's DNS: its hosts are for the DNS outside",
    "Kustomization": "a kustomization describes objects, but is not an object: `kubectl kustomize FOLDER` prints them",
    "Component": "a kustomization describes objects, but is not an object: `kubectl kustomize FOLDER` prints them",
    "HelmRelease": "a HelmRelease describes objects, but is not an object: `helm template` prints them",
}
# How people write the kinds that are read, in small letters; what is as near to one as a slip of the pen means it.
_MEANT = {name.lower(): name for name in ("Namespace", "Service", "EndpointSlice", "Pod", "List")}
_NEAR = 0.85
_KUSTOMIZE = ("kustomization.yaml", "kustomization.yml", "kustomization")
_KUSTOMIZE_KEYS = {"resources", "bases", "patches", "patchesStrategicMerge", "configMapGenerator", "components"}


def text(name: str, content: bytes) -> str | None:
    """Return what a file is whose text gives no objects, or None if that is not known."""
    head = content[:_LOOKED_AT]
    if is_kustomization(name):
        return f"line 1: {_KINDS['Kustomization']}"
    if (line := template_line(content)) is not None:
        return template(line)
    if name.startswith("Corefile") or (_COREFILE.search(head) and _PLUGINS.search(head)):
        return "line 1: this is a Corefile, the configuration of CoreDNS: expected Kubernetes objects"
    if (found := _ZONE.search(head)) is not None:
        line = head.count(b"\n", 0, found.start()) + 1
        return f"line {line}: this is a DNS zone file, which belongs under `static`: expected Kubernetes objects"
    return None


def is_kustomization(name: str) -> bool:
    """Tell whether a file of that name is kustomize's."""
    return name.lower() in _KUSTOMIZE


def template_line(content: bytes) -> int | None:
    """Return the line of the first `{{`, if there is any."""
    found = _TEMPLATE.search(content)
    return None if found is None else content.count(b"\n", 0, found.start()) + 1


def template(line: int) -> str:
    """Return the sentence about a template."""
    return f"line {line}: this is a template (`{{{{`), as in Helm: expected objects, which `helm template CHART` prints"


def kind(name: str, thing: dict[Any, Any]) -> str | None:
    """Return what is to be said of an object of another kind, or None if nothing but that it is passed over."""
    if name == "Config" and "clusters" in thing:
        return "a kubeconfig holds no objects: it belongs under `kubeconfig`"
    return _KINDS.get(name) or _misspelled(name, thing.get("apiVersion"))


def _misspelled(name: str, version: object) -> str | None:
    """Return a question about a kind that does not exist, if its API group is one that is read here, or none."""
    near = meant(name, version)
    return f"there is no kind `{name[:60]}`: did you mean {near}?" if near else None


def meant(name: str, version: object) -> str | None:
    """Return the kind that a name is a slip of the pen for, if its group is one of ours or none."""
    if isinstance(version, str) and "/" in version and not version.startswith("discovery.k8s.io/"):
        return None
    near = difflib.get_close_matches(name.lower(), _MEANT, n=1, cutoff=_NEAR)
    return _MEANT[near[0]] if near else None


def kinds_in(content: bytes) -> set[str]:
    """Return the kinds of objects that a text names whose objects cannot be read, as far as it can be seen."""
    names = (found[1].decode() for found in _A_KIND.finditer(content[:_LOOKED_AT]))
    return {kind for name in names if (kind := meant(name, None)) is not None} - {"List"}


def kindless(thing: dict[Any, Any]) -> str:
    """Return what is wrong with a map that does not say what it is."""
    if "metadata" not in thing and _KUSTOMIZE_KEYS & thing.keys():
        return _KINDS["Kustomization"]
    if {"name", "version"} <= thing.keys() and "metadata" not in thing:
        return "this is a Chart.yaml of Helm: expected objects, which `helm template CHART` prints"
    return "an object without kind"


def line_in(message: str, content: bytes) -> int:
    """Return the line that a JSON parser's message is about, which it says in octets; else the last."""
    found = re.search(r"\(byte (\d+)\)|in position (\d+)", message)
    end = int(found[1] or found[2]) if found else len(content)
    return content.count(b"\n", 0, end) + 1
