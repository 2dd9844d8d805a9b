"""The names of a cluster that mixes ask for: from Kubernetes objects, from a pattern, or from a list."""

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

EXTERNAL = ("www.example.com", "www.example.net", "www.example.org")


class InventoryError(ValueError):
    """Names that cannot be read; the text says from where and what was expected."""


class Inventory(msgspec.Struct, frozen=True):
    """Names without the dot at the end. `ports` are the SRV names of services, `addresses` the addresses with a PTR."""

    domain: str
    namespaces: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    headless: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    external: tuple[str, ...] = EXTERNAL


class Pattern(msgspec.Struct, frozen=True):
    """Numbered names: service I is in the namespace I modulo `namespaces`, and has one port."""

    services: int
    namespaces: int
    headless: int = 0
    service: str = "svc-{i}"
    namespace: str = "ns-{i}"
    headless_service: str = "headless-{i}"
    port: str = "_http._tcp"


def from_pattern(pattern: Pattern, domain: str, external: tuple[str, ...] = EXTERNAL) -> Inventory:
    """Return the names that a pattern makes. Raises InventoryError for an invalid pattern."""
    try:
        namespaces = tuple(pattern.namespace.format(i=i) for i in range(pattern.namespaces))
        named = [
            tuple(f"{text.format(i=i)}.{namespaces[i % len(namespaces)]}.svc.{domain}" for i in range(count))
            for text, count in ((pattern.service, pattern.services), (pattern.headless_service, pattern.headless))
        ]
    except (KeyError, IndexError, ValueError) as error:
        raise InventoryError(f"expected a pattern such as `svc-{{i}}`, got one with {error}") from None
    services, headless = named
    return Inventory(
        domain=domain,
        namespaces=namespaces,
        services=services,
        headless=headless,
        ports=tuple(f"{pattern.port}.{name}" for name in services + headless),
        external=external,
    )


def from_names(lines: Iterable[str], domain: str, external: tuple[str, ...] = EXTERNAL) -> Inventory:
    """Return an inventory of services, from lines with one name each; a line that begins with `;` or `#` is a comment.

    Names of one or two labels, `SERVICE` or `SERVICE.NAMESPACE`, are completed with the namespace `default` and the
    domain. Raises InventoryError if there is no name.
    """
    stripped = (line.strip().removesuffix(".") for line in lines)
    names = tuple(_complete(name, domain) for name in stripped if name and name[0] not in ";#")
    if not names:
        raise InventoryError("expected a file with one name on each line, got one without names")
    ending = f".svc.{domain}"
    namespaces = dict.fromkeys(name.removesuffix(ending).rpartition(".")[2] for name in names if name.endswith(ending))
    return Inventory(domain=domain, namespaces=tuple(namespaces), services=names, external=external)


def _complete(name: str, domain: str) -> str:
    dots = name.count(".")
    if dots > 1:
        return name
    return f"{name}{'' if dots else '.default'}.svc.{domain}"


def from_objects(paths: Iterable[Path], domain: str, external: tuple[str, ...] = EXTERNAL) -> Inventory:
    """Return the names of Kubernetes objects, from files or folders of YAML or JSON as `kubectl get -o` prints them.

    Raises InventoryError naming the file.
    """
    found = _Found(domain)
    for path in paths:
        for file in sorted(_files(path)):
            for document in _documents(file):
                for item in _items(document):
                    try:
                        found.add(item)
                    except (KeyError, TypeError, ValueError, AttributeError) as error:
                        raise InventoryError(f"{file}: expected a Kubernetes object, not found: {error}") from None
    return found.inventory(external)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [file for file in path.rglob("*") if file.suffix in {".yaml", ".yml", ".json"}]


def _documents(file: Path) -> list[Any]:
    try:
        content = file.read_bytes()
        if file.suffix == ".json":
            return [msgspec.json.decode(content)]
        # The C loader, if PyYAML has it: the loader in Python needs minutes for 10,000 services.
        return list(yaml.load_all(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except OSError as error:
        raise InventoryError(f"{file}: expected a readable file, got: {error.strerror}") from None
    except (msgspec.DecodeError, yaml.YAMLError) as error:
        raise InventoryError(f"{file}: expected Kubernetes objects in YAML or JSON, got: {error}") from None


def _items(document: Any) -> Iterator[Any]:
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        kind = str(document.get("kind", "List")).removesuffix("List")
        for item in document["items"]:
            yield {"kind": kind, **item} if kind and isinstance(item, dict) else item
    elif document is not None:
        yield document


class _Found:
    """The names that objects have, each once, in the order of the objects."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._sets: dict[str, dict[str, None]] = {
            field: {} for field in ("namespaces", "services", "headless", "ports", "pods", "addresses")
        }

    def inventory(self, external: tuple[str, ...]) -> Inventory:
        """Return all that was added."""
        return Inventory(domain=self._domain, external=external, **{k: tuple(v) for k, v in self._sets.items()})

    def add(self, item: Any) -> None:
        """Add one object; other kinds are ignored."""
        kind = item["kind"]
        if kind == "Namespace":
            self._put("namespaces", item["metadata"]["name"])
        elif kind == "Service":
            self._add_service(item["metadata"], item.get("spec") or {})
        elif kind == "Pod":
            self._add_pod(item["metadata"], item.get("status") or {})

    def _put(self, field: str, name: str) -> None:
        self._sets[field][name] = None

    def _add_service(self, metadata: dict[str, Any], spec: dict[str, Any]) -> None:
        namespace = metadata.get("namespace", "default")
        name = f"{metadata['name']}.{namespace}.svc.{self._domain}"
        self._put("namespaces", namespace)
        if spec.get("type") == "ExternalName":
            return
        addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "None")]
        headless = addresses[0] in {"None", ""}
        self._put("headless" if headless else "services", name)
        for port in spec.get("ports") or ():
            if port.get("name"):
                self._put("ports", f"_{port['name']}._{port.get('protocol', 'TCP').lower()}.{name}")
        for address in () if headless else addresses:
            self._put("addresses", str(ipaddress.ip_address(address)))

    def _add_pod(self, metadata: dict[str, Any], status: dict[str, Any]) -> None:
        for entry in status.get("podIPs") or ():
            dashed = entry["ip"].replace(".", "-").replace(":", "-")
            self._put("pods", f"{dashed}.{metadata.get('namespace', 'default')}.pod.{self._domain}")
