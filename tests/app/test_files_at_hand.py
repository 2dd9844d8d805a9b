"""Objects of files that are read once more, for what the zone does not keep."""

from pathlib import Path

import msgspec
import pytest

from dnsserver.app.files_at_hand import TooLargeError, objects_of
from tests.cluster import namespace, pod, service

YAML = (
    "kind: Pod\nmetadata: {name: one, namespace: shop}\n---\nkind: List\nitems:\n- kind: Pod\n  metadata: {name: two}\n"
)


def names(folder: Path, kind: str = "Pod", *, is_alone: bool = True) -> list[object]:
    return [thing["metadata"]["name"] for thing in objects_of(folder, kind, is_alone=is_alone)]  # type: ignore[index]


def test_objects_of_a_kind_are_found_in_all_files_and_lists(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    things = {"kind": "List", "items": [namespace("shop"), pod("three", "10.0.0.3"), service("web", "10.9.0.1")]}
    (tmp_path / "b.json").write_bytes(msgspec.json.encode(things))
    assert names(tmp_path) == ["one", "two", "three"]
    assert names(tmp_path, "Service") == ["web"]


@pytest.mark.parametrize(
    ("octets", "is_alone", "fits"), [(2**17, False, True), (2**19, False, False), (2**19, True, True)]
)
def test_large_files_are_read_only_by_who_answers_nobody(
    octets: int, is_alone: bool, fits: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(YAML + "#" * octets)
    if fits:
        assert names(tmp_path, is_alone=is_alone) == ["one", "two"]
    else:
        with pytest.raises(TooLargeError, match="too large to be read beside answering"):
            names(tmp_path, is_alone=is_alone)
