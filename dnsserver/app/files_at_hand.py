"""Objects of files, read once more for what the zone does not keep of them: what a pod says of DNS, all endpoints."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

_READ_BESIDE = 1 << 18  # octets of files that a server reads beside answering: a fifth of a second of a thread


class TooLargeError(ValueError):
    """The files are too large to be read while clients are answered."""


def objects_of(path: Path, kind: str, *, is_alone: bool) -> Iterator[dict[str, object]]:
    """Yield the objects of a kind, read in this thread; small files only, if others are answered beside.

    Raises TooLargeError, and OSError, ValueError and msgspec.MsgspecError for a file that cannot be read.
    """
    from dnsserver.kube.folder import look_around  # noqa: PLC0415 - of object files

    looks = look_around(path).looks
    if not is_alone and sum(size for _, size, _ in looks.values()) > _READ_BESIDE:
        raise TooLargeError("these files are too large to be read beside answering")
    for file in looks:
        for value in _documents(file):
            for thing in _things(value):
                if thing.get("kind") == kind:
                    yield thing


def _documents(file: Path) -> Iterator[object]:
    if file.suffix == ".json":
        yield msgspec.json.decode(file.read_bytes())
        return
    from dnsserver.kube.plain import documents  # noqa: PLC0415 - YAML, 2 MiB

    yield from (document.value for document in documents(file.read_bytes()))


def _things(value: object) -> Iterator[dict[str, object]]:
    """Yield the objects of a document, including those of a List."""
    if isinstance(value, dict):
        items = value.get("items")
        if isinstance(items, list):
            for item in items:
                yield from _things(item)
        else:
            yield value
