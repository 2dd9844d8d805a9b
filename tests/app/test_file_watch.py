"""How the server knows that files have changed, and that the change is complete."""

import os
from pathlib import Path

import pytest

from dnsserver.app.file_watch import FileWatch, look

A, B, C = ({"f": (number, 0, 0, 0, 0)} for number in range(3))


@pytest.mark.parametrize(
    ("looks", "settled"),
    [
        ([A, A, A], [False, False, False]),
        ([A, B, B, B], [False, False, True, False]),
        ([A, B, C, C, C], [False, False, False, True, False]),
        ([A, B, A, A], [False, False, False, True]),
        ([A, {"f": None}, {"f": None}], [False, False, True]),
        ([A, {**A, "g": None}, {**A, "g": None}], [False, False, True]),
    ],
)
def test_a_change_is_told_once_when_a_look_has_seen_no_other(
    looks: list[dict[str, tuple[int, int, int, int, int] | None]], settled: list[bool]
) -> None:
    watch = FileWatch()
    assert [watch.has_settled(each) for each in looks] == settled


def test_what_made_no_sense_is_looked_at_again_and_what_was_read_is_known() -> None:
    watch = FileWatch()
    watch.look_again()
    assert watch.has_settled(A)
    watch.look_again()
    watch.accept(B)
    assert not watch.has_settled(B)
    assert not watch.has_settled(A)
    assert watch.has_settled(A)


def _same_size(file: Path) -> None:
    before = file.stat()
    file.write_text("b")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # ctime tells it


def _replaced(file: Path) -> None:
    new = file.with_name("new")
    new.write_text("a")
    new.rename(file)


@pytest.mark.parametrize(
    "change",
    [_same_size, _replaced, Path.unlink, lambda file: file.chmod(0o600), lambda file: file.write_text("aa")],
)
def test_every_way_in_which_a_file_changes_is_seen(tmp_path: Path, change: object) -> None:
    file = tmp_path / "f"
    file.write_text("a")
    before = look([str(file)])
    change(file)  # type: ignore[operator]
    assert look([str(file)]) != before


def test_a_file_that_a_pattern_means_is_seen_when_it_comes(tmp_path: Path) -> None:
    pattern = str(tmp_path / "*.toml")
    before = look([], [pattern])
    (tmp_path / ".hidden.toml").write_text("")
    (tmp_path / "x.txt").write_text("")
    assert look([], [pattern]) == before
    (tmp_path / "a.toml").write_text("")
    assert list(look([], [pattern])) == [str(tmp_path / "a.toml")]
