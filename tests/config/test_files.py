"""Files and folders that a user names: what is wrong with unusable ones, found without waiting for any of them."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsserver.config.files import (
    UnusableFileError,
    expect_readable_folder,
    expect_regular_file,
    expect_writable_folder,
    read_bytes,
    read_text,
    told,
)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


Make = Callable[[Path], object]
BAD_FILES: list[tuple[Make, str]] = [
    (lambda _: None, "there is no such file"),
    (Path.mkdir, "is a folder, expected a regular file"),
    (os.mkfifo, "is a FIFO, expected a regular file"),
    (a_socket, "is a socket, expected a regular file"),
    (lambda path: path.symlink_to("/dev/null"), "is a device, expected a regular file"),
    (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links"),
]


@pytest.mark.parametrize(("make", "why"), BAD_FILES)
def test_what_is_no_file_is_not_opened(make: Make, why: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    make(path)
    for use in (expect_regular_file, lambda path: read_bytes(path, 100)):
        with pytest.raises(UnusableFileError) as caught:
            use(path)
        assert str(caught.value) == why


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (bytes(101), "has more than 100 octets"),
        (b"\xff\xfea\0", "is UTF-16 text, expected UTF-8"),
        (b"ab\xff", "is not UTF-8 text: invalid octet at offset 2"),
    ],
)
def test_text_that_is_none(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(UnusableFileError) as caught:
        read_text(tmp_path / "it", 100)
    assert str(caught.value) == why


def test_text_has_no_mark_and_one_kind_of_line_end(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"\xef\xbb\xbfa\r\nb\n")
    assert read_text(tmp_path / "it", 100) == "a\nb\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [("file", "is not a folder"), ("not", "there is no such folder"), ("file/x", "a part of the path is a file")],
)
def test_what_is_no_folder_to_read(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    expect_readable_folder(tmp_path)
    with pytest.raises(UnusableFileError) as caught:
        expect_readable_folder(tmp_path / name)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("name", "why"), [("file", "is not a folder"), ("file/x/y", "cannot be created: {}/file is not a folder")]
)
def test_what_is_no_folder_to_write(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    expect_writable_folder(tmp_path)
    expect_writable_folder(tmp_path / "made" / "later")
    with pytest.raises(UnusableFileError) as caught:
        expect_writable_folder(tmp_path / name)
    assert str(caught.value) == why.format(tmp_path)


@pytest.mark.parametrize(
    "use", [expect_regular_file, expect_readable_folder, expect_writable_folder, lambda path: read_bytes(path, 1)]
)
def test_what_is_no_path_at_all(use: Callable[[Path], object]) -> None:
    with pytest.raises(UnusableFileError) as caught:
        use(Path("a\0b"))
    assert str(caught.value) == "is not a valid path"


def test_what_may_not_be_read_says_by_whom() -> None:
    assert told(PermissionError(13, "x")) == f"cannot be read by user {os.geteuid()}: permission denied"
    assert told(OSError(5, "Input/output error")) == "cannot be read: Input/output error"
