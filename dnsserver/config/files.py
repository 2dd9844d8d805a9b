"""Reads files that a user names, up to a limit and without waiting, and says why one cannot be read."""

import os
import stat
from contextlib import suppress
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


_DENIED = "cannot be read by user {}: permission denied"


class UnusableFileError(Exception):
    """A file or folder that is of no use; the text says why, without its path."""


def read_bytes(path: Path, most: int) -> bytes:
    """Return what a regular file of at most `most` octets holds; raises UnusableFileError.

    It never waits: a FIFO without a writer is refused, not opened.
    """
    expect_regular_file(path, readable=False)  # before it is opened: that alone winds a tape, or starts a watchdog
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123 - of a descriptor
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise UnusableFileError(told(error)) from error
    if data is None:  # some files of /proc are regular ones and have to be waited for
        raise UnusableFileError("has no data that can be read without waiting")
    if len(data) > most:
        raise UnusableFileError(f"has more than {most:,} octets")
    return data


def read_text(path: Path, most: int) -> str:
    """Return the UTF-8 text of a file, less a byte order mark, every line ended by LF alone; raises as above."""
    data = read_bytes(path, most)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnusableFileError("is UTF-16 text, expected UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableFileError(f"is not UTF-8 text: invalid octet at offset {error.start}") from error
    return text.replace("\r\n", "\n")


def expect_regular_file(path: Path, *, readable: bool = True) -> None:
    """Raise UnusableFileError unless it is a regular file, and one that may be read."""
    try:
        mode = path.stat().st_mode
        denied = readable and not os.access(path, os.R_OK)
    except (OSError, ValueError) as error:
        raise UnusableFileError(told(error)) from error
    if not stat.S_ISREG(mode):
        raise UnusableFileError(f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, expected a regular file")
    if denied:
        raise UnusableFileError(_DENIED.format(os.geteuid()))


def expect_readable_folder(path: Path) -> None:
    """Raise UnusableFileError unless it is a folder whose files can be listed and opened."""
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            raise UnusableFileError("is not a folder")
        with os.scandir(path) as entries:
            next(entries, None)
    except (OSError, ValueError) as error:
        raise UnusableFileError(told(error, "folder")) from error
    if not os.access(path, os.R_OK | os.X_OK):
        raise UnusableFileError(_DENIED.format(os.geteuid()))


def expect_writable_folder(path: Path) -> None:
    """Raise UnusableFileError unless files can be made in this folder, which is made itself where it is missing."""
    try:
        with suppress(OSError):
            path.lstat()  # ValueError for what cannot be a path, which `exists` hides
        existing = next(folder for folder in (path, *path.parents) if folder.exists() or folder.is_symlink())
        is_folder = existing.is_dir()
    except (OSError, ValueError) as error:
        raise UnusableFileError(told(error, "folder")) from error
    shown = "" if existing == path else f"cannot be created: {existing} "
    if not is_folder:
        raise UnusableFileError(f"{shown}is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UnusableFileError(f"{shown}cannot be written to by user {os.geteuid()}")


def told(error: Exception, what: str = "file") -> str:
    """Return what an error of the operating system means for the user who named the file."""
    match error:
        case FileNotFoundError():
            return f"there is no such {what}"
        case PermissionError():
            return _DENIED.format(os.geteuid())
        case NotADirectoryError():
            return "a part of the path is a file, not a folder"
        case OSError():
            return f"cannot be read: {error.strerror or error}"
    return "is not a valid path"
