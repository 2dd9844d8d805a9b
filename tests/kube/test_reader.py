"""A path that is no file of objects, and anything that ends the process that reads files, costs only that file."""

import errno
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsserver.kube import reader
from dnsserver.kube.objects import ObjectFiles, ObjectsError
from dnsserver.kube.reading import LARGEST
from dnsserver.zone.model import Kind
from tests.kube.files import services, serving_files, shows
from tests.kube.support import Sink, wait_for
from tests.logs import capture_logs


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_circle(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def one_that_is_too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


UNUSABLE = {
    a_pipe: "it is a named pipe: expected a regular file",
    a_socket: "it is a socket: expected a regular file",
    a_device: "it is a device: expected a regular file",
    a_folder: "it is a folder: expected a regular file",
    a_circle: "too many levels of symbolic links",
    a_link_to_nothing: "no such file or directory",
    one_that_is_too_large: "it has 67,108,865 octets: expected at most 67,108,864",
}


@pytest.mark.parametrize(("make", "problem"), UNUSABLE.items(), ids=lambda value: getattr(value, "__name__", ""))
async def test_what_is_no_file_of_objects_costs_itself_only(
    tmp_path: Path, make: Callable[[Path], None], problem: str
) -> None:
    """This holds during the service, in place of a good file, and at the start; nothing waits for the path."""
    path = tmp_path / "b.yaml"
    path.write_text(services("b"))
    (tmp_path / "a.yaml").write_text(services("a"))
    async with serving_files(tmp_path) as (files, sink):
        await shows(sink, "a", "b")
        path.unlink()
        make(path)
        await wait_for(lambda: files.statistics().broken == {str(path): f"{path}: {problem}"})
        assert sink.names(Kind.SERVICES) == {"a", "b"}
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (files, sink):
            await shows(sink, "a")
    assert [log["error"] for log in logs if log.get("file") == str(path)] == [problem]
    if make is a_folder:  # which is read as one where it is the path itself
        return
    with pytest.raises(ObjectsError, match=re.escape(f"{path}: {problem[:12]}")):
        await ObjectFiles(path, Sink().apply).run()


async def test_a_folder_that_may_not_be_read_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", denied)  # as root, no folder is closed to us
    with pytest.raises(ObjectsError, match="permission denied"):
        await ObjectFiles(tmp_path, Sink().apply).run()


BROKEN = {
    "bool": "a: !!bool maybe",
    "timestamp": "a: !!timestamp foo\nb: !!int foo",
    "object": "a: !!python/object/apply:os.system [exit]",
    "unknown tag": "a: !secret foo",
    "cycle": "&a {kind: List, items: [*a]}",
    "laughs": "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(12)),
    "brackets": "[" * 100_000,
    "braces": "{a: " * 100_000,
    "dashes": "- " * 100_000,
    "questions": "? " * 100_000,
    "key of a list": "[a]: b",
    "number": f"a: {'1' * 10_000}",
    "nul": "a: \0",
    "surrogate": 'a: \\ud800\nb: "\\ud800"',
    "utf-8": "a: \udcff",
    "utf-16": "\udcff\udcfea",
    "not json": "{,}",
    "two": "kind: Service\nmetadata: {name: 7}",
}


async def test_no_file_ends_more_than_its_own_change(tmp_path: Path) -> None:
    """All such files come at once, as YAML and as JSON; then all of them at a start."""
    paths = {tmp_path / f"{name}.{suffix}": name for name in BROKEN for suffix in ("yaml", "json")}
    for number, path in enumerate(paths):
        path.write_text(services(f"s{number}"))
    good = tmp_path / "good.yaml"
    good.write_text(services("a"))
    names = {f"s{number}" for number in range(len(paths))}
    with capture_logs() as logs:
        async with serving_files(tmp_path) as (files, sink):
            for path, name in paths.items():
                path.write_bytes(BROKEN[name].encode(errors="surrogateescape"))
            await wait_for(lambda: len(files.statistics().broken) == len(paths))
            good.write_text(services("b"))
            await shows(sink, "b", *names)
    told = {log["file"]: log for log in logs if log["log_level"] == "warning" and "file" in log}
    assert set(told) == {str(path) for path in paths}
    for log in told.values():
        assert log["event"] == "objects file is broken, its last good content is served on"
        assert re.match(r"line \d+: ", log["error"]), log
    async with serving_files(tmp_path) as (files, sink):
        await shows(sink, "b")
        assert set(files.statistics().broken) == set(told)


@pytest.mark.parametrize("end", ["os.abort()", "os._exit(3)", "bytearray(1 << 40)", "print('nonsense', flush=True)"])
async def test_whatever_its_reader_dies_of_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """This test replaces the code of the reader; the process, its pipe and its end are real."""
    wrapper = tmp_path / "sitecustomize.py"
    wrapper.write_text(
        "import os, sys\n"
        "if 'dnsserver.kube.reading' in sys.orig_argv:\n"
        "    from dnsserver.kube import documents\n"
        "    good = documents.read\n"
        "    def read(text, **rest):\n"
        f"        b'die' in text and {end}\n"
        "        return good(text, **rest)\n"
        "    documents.read = read\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "objects"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.yaml").write_text(services(name))
    async with serving_files(folder) as (files, sink):
        await shows(sink, "a", "b", "c")
        for name in ("a", "b", "c"):
            (folder / f"{name}.yaml").write_text(services("die" if name == "b" else f"{name}2"))
        await shows(sink, "a2", "b", "c2")
        assert list(files.statistics().broken) == [str(folder / "b.yaml")]
        assert "reading it" in files.statistics().broken[str(folder / "b.yaml")]
        (folder / "b.yaml").write_text(services("b2"))
        await shows(sink, "a2", "b2", "c2")


async def test_a_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\nif 'dnsserver.kube.reading' in sys.orig_argv:\n    time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(reader, "TIME", 0.2)
    path = tmp_path / "a.yaml"
    path.write_text(services("a"))
    with pytest.raises(ObjectsError, match=r"a\.yaml: reading it took longer than 0\.2 s"):
        await ObjectFiles(path, Sink().apply).run()
