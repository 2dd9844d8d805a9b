"""A descriptor may be slow, unread, closed or full: the program goes on, and lost lines are counted and reported."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsserver.log.writer import LineWriter

PATIENCE = 10.0
SMALL_PIPE = 4096


def notice(count: int) -> bytes:
    return b"lost %d\n" % count


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds a page: its reading end, and its writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
    yield reading, writing
    for end in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(end)


class Reader:
    """Reads a pipe in the background from the moment it is made."""

    def __init__(self, descriptor: int) -> None:
        self.got = b""
        self._more = threading.Condition()
        self._descriptor = os.dup(descriptor)  # the test may close its own
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._descriptor, 65536):
            with self._more:
                self.got += data
                self._more.notify_all()
        os.close(self._descriptor)

    def wait_for(self, text: bytes) -> None:
        with self._more:
            assert self._more.wait_for(lambda: text in self.got, PATIENCE), self.got[-300:]


def test_lines_come_in_their_order(pipe: tuple[int, int]) -> None:
    reader = Reader(pipe[0])
    writer = LineWriter(pipe[1], notice)
    lines = [b"%05d %s\n" % (number, b"x" * (number % 300)) for number in range(500)]
    for line in lines:
        writer.write(line)
    assert writer.flush(PATIENCE)
    reader.wait_for(lines[-1])
    assert reader.got == b"".join(lines)
    assert writer.lost == 0
    writer.close(PATIENCE)


def test_no_line_of_one_process_stands_in_a_line_of_another(pipe: tuple[int, int]) -> None:
    """Two writers share one pipe, and each has more than the pipe takes at once."""
    reader = Reader(pipe[0])
    writers = [LineWriter(pipe[1], notice) for _ in range(2)]
    for number in range(400):
        for name, writer in zip(b"ab", writers, strict=True):
            writer.write(bytes((name,)) * (number % 700 + 1) + b"\n")
    for writer in writers:
        assert writer.flush(PATIENCE)
        writer.write(b"end\n")
        assert writer.flush(PATIENCE)
        writer.close(PATIENCE)
        reader.wait_for(b"end\n")
    ends = time.monotonic() + PATIENCE
    while reader.got.count(b"end\n") < 2 and time.monotonic() < ends:
        time.sleep(0.01)
    lines = reader.got.splitlines()
    assert len(lines) == 802
    assert [line for line in lines if len(set(line)) > 1 and line != b"end"] == []


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], notice, capacity=64 * 1024)
    line = b"y" * 999 + b"\n"
    began = time.monotonic()
    for _ in range(10_000):
        writer.write(line)
    assert time.monotonic() - began < 5.0  # 10 ms on an idle machine; a write that waits would never end
    assert not writer.flush(0.05)
    lost = writer.lost
    assert 10_000 - 80 <= lost < 10_000  # the pipe's page, and 64 KiB that wait
    reader = Reader(pipe[0])
    reader.wait_for(b"lost %d\n" % lost)
    assert reader.got.count(line) == 10_000 - lost
    writer.write(b"again\n")
    reader.wait_for(b"again\n")
    assert reader.got.count(b"lost ") == 1
    writer.close(PATIENCE)


def test_a_pipe_that_is_closed_costs_the_lines_only(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    writer = LineWriter(pipe[1], notice)
    for _ in range(5):
        writer.write(b"line\n")
    assert writer.flush(PATIENCE)
    assert writer.lost == 5
    writer.close(PATIENCE)


@pytest.mark.parametrize("descriptor", [None, 987_654])
def test_without_a_descriptor_every_line_is_lost(descriptor: int | None) -> None:
    writer = LineWriter(descriptor, notice)
    for _ in range(3):
        writer.write(b"line\n")
    assert writer.flush(PATIENCE)
    assert writer.lost == 3
    writer.close(PATIENCE)


def test_a_full_device() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(descriptor, notice)
    for _ in range(3):
        writer.write(b"line\n")
    assert writer.flush(PATIENCE)
    assert writer.lost == 3
    writer.close(PATIENCE)
    os.close(descriptor)


def test_what_was_lost_is_told_without_another_line(tmp_path: Path) -> None:
    """As after a full disk has room again. /dev/full never has room, so another file takes its descriptor."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(descriptor, notice)
    for _ in range(4):
        writer.write(b"line\n")
    assert writer.flush(PATIENCE)
    with (tmp_path / "log").open("wb", buffering=0) as file:
        os.dup2(file.fileno(), descriptor)
    ends = time.monotonic() + PATIENCE
    while not (tmp_path / "log").read_bytes() and time.monotonic() < ends:
        time.sleep(0.02)
    writer.write(b"next\n")
    assert writer.flush(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"lost 4\nnext\n"
    writer.close(PATIENCE)
    os.close(descriptor)


def test_a_line_that_was_torn_is_ended_before_the_next_one(pipe: tuple[int, int]) -> None:
    """A write that the kernel takes in part, and then an error: here the reader goes in the middle of a line."""
    reading, writing = pipe
    writer = LineWriter(writing, notice)
    writer.write(b"z" * 3 * SMALL_PIPE + b"\n")
    assert len(os.read(reading, SMALL_PIPE)) == SMALL_PIPE
    os.close(reading)
    assert writer.flush(PATIENCE)
    assert writer.lost == 1
    again, new = os.pipe()
    os.dup2(new, writing)
    reader = Reader(again)
    writer.write(b"next\n")
    reader.wait_for(b"next\n")
    assert b"\nnext\n" in reader.got
    writer.close(PATIENCE)
    os.close(new)
    os.close(writing)


def test_a_descriptor_that_somebody_made_non_blocking(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1], notice)
    for _ in range(100):
        writer.write(b"w" * 999 + b"\n")
    assert not writer.flush(0.05)
    reader = Reader(pipe[0])
    assert writer.flush(PATIENCE)
    reader.wait_for(b"\n")
    assert writer.lost == 0
    assert not os.get_blocking(pipe[1])  # it is shared: whoever set it wants it so
    writer.close(PATIENCE)


def test_the_mode_of_a_shared_descriptor_stays(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], notice)
    writer.write(b"line\n")
    writer.flush(PATIENCE)
    assert os.get_blocking(pipe[1])
    writer.close(PATIENCE)


def writing() -> set[threading.Thread]:
    """The threads that write logs; others may come and go meanwhile."""
    return {thread for thread in threading.enumerate() if thread.name == "log"}


def test_no_thread_before_the_first_line_and_none_after_the_end(pipe: tuple[int, int]) -> None:
    before = writing()  # those of tests before may be about to end
    writer = LineWriter(pipe[1], notice)
    assert writing() <= before
    writer.write(b"line\n")
    assert len(writing() - before) == 1
    assert writer.close(PATIENCE)
    ends = time.monotonic() + PATIENCE
    while writing() - before and time.monotonic() < ends:
        time.sleep(0.01)
    assert writing() <= before


def test_a_system_without_another_thread(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    writer = LineWriter(pipe[1], notice)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        writer.write(b"one\n")
    ends = time.monotonic() + PATIENCE
    while not writer.flush(0.01) and time.monotonic() < ends:
        writer.wake()
        time.sleep(0.05)
    assert os.read(pipe[0], 100) == b"one\n"
    writer.close(PATIENCE)


def test_overdue_lines_are_asked_for_after_wake_until_there_are_none(pipe: tuple[int, int]) -> None:
    given: list[list[bytes] | None] = [[], [b"due\n"], None]
    asked: list[bool] = []

    def overdue(final: bool) -> list[bytes] | None:
        asked.append(final)
        return given.pop(0) if given else None

    reader = Reader(pipe[0])
    writer = LineWriter(pipe[1], notice, overdue)
    writer.wake()
    reader.wait_for(b"due\n")
    writer.flush(PATIENCE)
    assert asked[-1]
    assert not any(asked[:-1])
    writer.close(PATIENCE)
