"""The output of the process that reads files, and its cost."""

import resource
import tracemalloc
from pathlib import Path

import pytest

from dnsserver.kube import reading
from dnsserver.kube.content import Content


@pytest.mark.parametrize(("limit", "says"), [(1 << 40, 1024), (64 << 20, 64)])
def test_what_was_not_enough_is_told_as_it_was(
    limit: int, says: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> Content:
        raise MemoryError

    monkeypatch.setattr(reading, "read", short)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, resource.RLIM_INFINITY))
    path = tmp_path / "a.yaml"
    path.write_text("")
    _, content = reading.read_file(path)
    assert content.findings.problems == [f"reading it needed more than {says} MiB of memory"]


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("kind: List\nitems: []\n")
    tracemalloc.start()
    reading.read_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20
