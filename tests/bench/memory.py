"""A process that the kernel kills because its memory cgroup is full, as with a container that reaches its limit."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.processes import wait_until

_LIMIT = 32 * 1024 * 1024
_FIRST, _UNIFIED = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
# Takes memory of the cgroup until it is full, and may not be killed for that: the kernel kills the other process in it.
_TAKER = """
import os, sys, time
open("/proc/self/oom_score_adj", "w").write("-1000")
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
held = []
while len(held) < 64:
    held.append(b"x" * 1024 * 1024)
time.sleep(60)
"""


def can_run_out() -> bool:
    """Tell whether this machine has memory cgroups, of version 1 or 2, and this process may make one."""
    return os.geteuid() == 0 and _parent() is not None


def run_out(process: "subprocess.Popen[bytes]") -> None:
    """Let a process run out of memory, and wait until the kernel has killed it. Raises TimeoutError."""
    parent = _parent()
    assert parent is not None
    folder = parent / f"dnsserver-bench-{process.pid}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if parent == _FIRST else "memory.max")).write_text(str(_LIMIT))
        (folder / "cgroup.procs").write_text(str(process.pid))
        with subprocess.Popen([sys.executable, "-c", _TAKER, str(folder)]) as taker:
            try:
                wait_until(lambda: process.poll() is not None, "a process that is killed for want of memory", 20)
            finally:
                taker.kill()
        kills = (folder / ("memory.oom_control" if parent == _FIRST else "memory.events")).read_text()
        if "oom_kill 0" in kills.splitlines() or process.returncode != -9:
            raise TimeoutError(f"expected a kill for want of memory, got {process.returncode}")
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), "a cgroup without processes")
        folder.rmdir()


def _parent() -> Path | None:
    if (_FIRST / "memory.limit_in_bytes").exists():
        return _FIRST
    controllers = _UNIFIED / "cgroup.subtree_control"
    return _UNIFIED if controllers.exists() and "memory" in controllers.read_text().split() else None
