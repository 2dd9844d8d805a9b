"""What the tests of zones/ and manifests/ share: where things stand, YAML as values, and the API's own schemas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).parent.parent
SCHEMAS = str(kubernetes_validate.latest_version())  # of Kubernetes; the package carries them, nothing is downloaded

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def demo_objects() -> Iterator[Manifest]:
    for path in sorted((ROOT / "zones/demo").glob("*.yaml")):
        yield from documents(path.read_text())


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def complaint(manifest: Manifest) -> str | None:
    """What the strict schema of its kind says against an object: a field missing, of a wrong type, or unknown."""
    try:
        kubernetes_validate.validate(manifest, SCHEMAS, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return f"{title(manifest)}: {manifest['apiVersion']} has no such kind"
    except kubernetes_validate.ValidationError as error:
        return f"{title(manifest)}: {'.'.join(map(str, error.path))}: {error.message}"
    return None
