"""Files of objects with one mistake each, and the message about it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dnsserver.kube.reading import LARGEST

GOOD = """\
{kind: Namespace, metadata: {name: shop}}
---
{kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}}
"""
SLICE = "{kind: EndpointSlice, metadata: {name: a, namespace: shop, labels: {kubernetes.io/service-name: web}}"


class Row(NamedTuple):
    """`text` is the text of a file beside a good one, or makes it; `says` is in a line of the log, of that `level`."""

    name: str
    text: str | bytes | Callable[[Path], object]
    says: str
    level: str = "warning"
    file: str = "broken.yaml"

    def make(self, path: Path) -> None:
        """Make the broken file at the path."""
        if isinstance(self.text, str):
            path.write_text(self.text)
        elif isinstance(self.text, bytes):
            path.write_bytes(self.text)
        else:
            self.text(path)


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


ROWS = [
    Row("syntax", "kind: [\n", "line 2: not YAML: did not find expected node content"),
    Row("tag", "kind: !!bool maybe\n", "line 1: `maybe` cannot be read as !!bool"),
    Row("program in a tag", "a: !!python/object/apply:os.abort []\n", "line 1: the tag !!python/object/apply:os.abort"),
    Row("alias in a circle", "&a {kind: List, items: [*a]}\n", "line 1: *a refers to itself"),
    Row(
        "aliases of aliases",
        "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(12)),
        "line 6: aliases expand to more than 200000 values",
    ),
    Row("100,000 brackets", "[" * 100_000, "line 1: nested deeper than 100 levels"),
    Row("the same as JSON", "[" * 100_000, "line 1: nested too deeply", file="broken.json"),
    Row("NUL", b"kind: \0", "line 1: not YAML: control characters are not allowed"),
    Row("not UTF-8", b"# x\nkind: \xff", "line 2: not YAML: invalid leading UTF-8 octet"),
    Row("cut JSON", '{"kind": "List", "items": [', "line 1: not JSON: Input data was truncated", file="broken.json"),
    Row("no kind", "metadata: {name: x}\n", "line 1: an object without kind"),
    Row("no name", "kind: Service\nmetadata: {}\n", "line 2: Service /: metadata.name: is missing"),
    Row(
        "an address",
        "kind: Service\nmetadata: {name: db, namespace: shop}\nspec: {clusterIP: 10.0.0.256}\n",
        "line 3: Service shop/db: spec.clusterIP: `10.0.0.256` is not an IP address",
    ),
    Row(
        "a port",
        "kind: Service\nmetadata: {name: db, namespace: shop}\nspec: {clusterIP: 10.0.0.2, ports: [{port: http}]}\n",
        "line 3: Service shop/db: spec.ports[0].port: expected a number from 1 to 65535, got `http`",
    ),
    Row("addressType", f"{SLICE}, addressType: ipv4}}\n", "EndpointSlice shop/a: addressType: expected IPv4, IPv6 or"),
    Row(
        "a key twice",
        "{kind: Namespace, kind: Namespace, metadata: {name: x}}\n",
        "line 1: the key kind is",
    ),
    Row("v1 Endpoints", "{kind: Endpoints, metadata: {name: web}}\n", "line 1: v1 Endpoints are not read, only Endp"),
    Row("Ingress", "{kind: Ingress, metadata: {name: web}}\n", "line 1: an Ingress has no name in a cluster's DNS"),
    Row("Deployment", "{kind: Deployment, metadata: {name: web}}\n", "a cluster's DNS: 1 Deployment", "info"),
    Row("Helm template", "kind: Service\nmetadata:\n  name: {{ .Values.name }}\n", "line 3: this is a template (`{{`)"),
    Row("Corefile", ".:53 {\n  errors\n  forward . 9.9.9.9\n}\n", "line 1: this is a Corefile"),
    Row("zone file", "$ORIGIN example.org.\n@ IN SOA a b 1 2 3 4 5\n", "line 1: this is a DNS zone file"),
    Row("kustomization", "resources: [a.yaml]\n", "line 1: a kustomization describes", file="kustomization.yaml"),
    Row("kubeconfig", "{kind: Config, clusters: []}\n", "line 1: a kubeconfig holds no objects"),
    Row(
        "other name",
        GOOD,
        "whose names do not end in .yaml, .yml or .json are not read: objects.txt",
        file="objects.txt",
    ),
    Row(
        "no Namespace",
        "{kind: Service, metadata: {name: web, namespace: new}, spec: {clusterIP: 10.0.0.3}}\n",
        "namespaces without a Namespace object are taken as existing, since objects name them",
    ),
    Row(
        "no clusterIP",
        "{kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 80}]}}\n",
        "Service shop/db has no clusterIP, and so no address",
    ),
    Row("folder", lambda path: path.mkdir(), "it is a folder: expected a regular file"),
    Row("named pipe", os.mkfifo, "it is a named pipe: expected a regular file"),
    Row("device", lambda path: path.symlink_to("/dev/zero"), "it is a device: expected a regular file"),
    Row("socket", a_socket, "it is a socket: expected a regular file"),
    Row("links in a circle", lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
    Row("link to nothing", lambda path: path.symlink_to("nothing"), "no such file or directory"),
    Row("too large", too_large, "it has 67,108,865 octets: expected at most 67,108,864"),
]
