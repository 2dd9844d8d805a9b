"""Processor time used by other processes, from /proc (proc(5))."""

import os
from collections.abc import Sequence
from pathlib import Path

_UTIME, _STIME = 11, 12  # in /proc/PID/stat, counted after the command name, which may have spaces and parentheses


class ProcessGoneError(LookupError):
    """A process whose time is wanted does not exist."""


class ProcessTimes:
    """The processor time of processes and of the descendants that they have when this is made. Servers such as NSD
    answer in a child process, and the process that was started does nothing. Raises ProcessGoneError.
    """

    def __init__(self, pids: Sequence[int], proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._tick = 1 / os.sysconf("SC_CLK_TCK")
        family = dict.fromkeys(pids)
        todo = list(family)
        while todo:
            children = [child for child in self._children(todo.pop()) if child not in family]
            family.update(dict.fromkeys(children))
            todo += children
        self.pids = tuple(family)

    def seconds(self) -> float:
        """Return user and system time of all of them together, in seconds, exact to 0.01 s. Raises ProcessGoneError."""
        return sum(self._ticks(pid) for pid in self.pids) * self._tick

    def _ticks(self, pid: int) -> int:
        fields = self._read(pid, "stat").rpartition(")")[2].split()
        return int(fields[_UTIME]) + int(fields[_STIME])

    def _children(self, pid: int) -> list[int]:
        try:
            threads = [int(entry.name) for entry in (self._proc / str(pid) / "task").iterdir()]
        except OSError:
            raise ProcessGoneError(f"expected a process that runs, got {pid}") from None
        return [int(child) for thread in threads for child in self._read(pid, f"task/{thread}/children").split()]

    def _read(self, pid: int, name: str) -> str:
        try:
            return (self._proc / str(pid) / name).read_text()
        except OSError:
            raise ProcessGoneError(f"expected a process that runs, got {pid}") from None
