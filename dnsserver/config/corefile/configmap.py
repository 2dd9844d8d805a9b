"""Finds what to import in a file: a Corefile, a ConfigMap that contains one, or kube-dns's ConfigMap."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from dnsserver.config.corefile.nonsense import nonsense
from dnsserver.kube.plain import Document, NotPlainError, documents

_OBJECT = re.compile(r'^[ \t]*(?:"?(?:apiVersion|kind)"?\s*:|\{\s*"(?:apiVersion|kind)")', re.MULTILINE)
_BLOCK = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?\Z")
_COREFILE = "Corefile"
_KUBE_DNS = {"stubDomains", "upstreamNameservers"}


class NotACorefileError(Exception):
    """A file with nothing to import in it; its text says why."""


class Sources(msgspec.Struct, frozen=True):
    """What is imported. `kube_dns` has each key with its line and text; `beside` are the other keys of ConfigMaps."""

    name: str
    corefile: str = ""
    kube_dns: dict[str, tuple[int, str]] | None = None
    beside: dict[str, str] = {}


def sources(name: str, text: str) -> Sources:
    """Return what a file's text holds; lines count as in the file. Raises NotACorefileError."""
    if not _OBJECT.search(text):
        return _sensible(Sources(name, text))
    try:
        maps = [found for document in documents(text.encode()) for found in _maps(document, document.value, ())]
    except NotPlainError as error:
        raise NotACorefileError(f"{name}:{error.line}: {error.problem}") from error
    if not maps:
        raise NotACorefileError(f"{name}: has no ConfigMap: expected a Corefile, or a ConfigMap with one")
    beside = {key: value[1] for found in maps for key, value in _data(*found).items() if key != _COREFILE}
    for document, value, path in maps:
        data = _data(document, value, path)
        if _COREFILE in data:
            line, corefile = data[_COREFILE]
            lines = text.splitlines()
            if 0 < line <= len(lines) and _BLOCK.search(lines[line - 1]):
                return _sensible(Sources(name, "\n" * line + corefile, beside=beside))
            return _sensible(Sources(f"{name}, {_COREFILE}", corefile, beside=beside))
    for document, value, path in maps:
        data = _data(document, value, path)
        if _KUBE_DNS & data.keys() or _name(value) == "kube-dns":
            return Sources(name, kube_dns=data)
    raise NotACorefileError(
        f"{name}: expected a ConfigMap with the key {_COREFILE}, stubDomains or upstreamNameservers"
    )


def _sensible(given: Sources) -> Sources:
    """Return what was imported; raises NotACorefileError for a text that is not a Corefile."""
    found = nonsense(given.corefile)
    if found is not None:
        place = f"{given.name}:{found.line}" if found.line else given.name
        raise NotACorefileError(f"{place}: {found.text}")
    return given


def _maps(
    document: Document, value: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[Document, dict[str, Any], tuple[str | int, ...]]]:
    """Yield the ConfigMaps of a document, including those in a List."""
    if not isinstance(value, dict):
        return
    items = value.get("items")
    if isinstance(items, list):
        for index, item in enumerate(items):
            yield from _maps(document, item, (*path, "items", index))
    elif value.get("kind") == "ConfigMap":
        yield document, value, path


def _data(document: Document, value: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, tuple[int, str]]:
    data = value.get("data")
    if not isinstance(data, dict):
        return {}
    return {
        str(key): (document.line_of((*path, "data", key)), text) for key, text in data.items() if isinstance(text, str)
    }


def _name(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
