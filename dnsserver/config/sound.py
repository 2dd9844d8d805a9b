"""Removes the wrong values from a configuration, so that mistakes between the remaining ones can be found as well."""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

_ELEMENT = re.compile(r"(\w+)\[(\d+)\]")
# Values that a mistake of a key depends on besides its own: where one of them is not known, nothing is said of the key.
_DEPENDS: dict[str, AbstractSet[str]] = {
    "admin": {"listen"},
    "context": {"kubeconfig", "objects"},
    "forward": {"domain"},
    "kubeconfig": {"objects"},
    "listen": {"admin"},
    "local": {"domain", "forward"},
    "search": {"domain"},
    "takeover": {"workers"},
}


class Sound(msgspec.Struct, frozen=True):
    """The data without what is wrong. `gone` are top-level keys that are not whole, `kept` the old numbers of lists."""

    data: dict[str, Any]
    gone: frozenset[str]
    kept: dict[str, list[int]]

    def as_written(self, key: str) -> str | None:
        """Return a key of this data as it is in the files, None if what is wrong with it may come of what is gone."""
        top = re.split(r"[.\[]", key, maxsplit=1)[0]
        if top in self.gone or self.gone & _DEPENDS.get(top, frozenset()):
            return None
        found = _ELEMENT.match(key)
        if found is None or found[1] not in self.kept:
            return key
        return f"{found[1]}[{self.kept[found[1]][int(found[2])]}]{key[found.end() :]}"


def sound(data: dict[str, Any], wrong: Iterable[str], broken: AbstractSet[str]) -> Sound:
    """Return the data without the keys that are `wrong`; of a list of tables each table stands for itself."""
    left = dict(data)
    gone = set(broken)
    elements: dict[str, set[int]] = {}
    for key in wrong:
        top = re.split(r"[.\[]", key, maxsplit=1)[0]
        found = _ELEMENT.match(key)
        if found is not None and isinstance(data.get(top), list) and isinstance(_first(data[top]), dict):
            elements.setdefault(top, set()).add(int(found[2]))
        else:
            left.pop(top, None)
            gone.add(top)
    kept = {}
    for top, numbers in elements.items():
        if top in left:
            kept[top] = [number for number in range(len(data[top])) if number not in numbers]
            left[top] = [data[top][number] for number in kept[top]]
    return Sound(left, frozenset(gone), kept)


def _first(values: list[Any]) -> Any:
    return next((value for value in values if isinstance(value, dict)), None)
