"""What this process uses, as Linux reports it (proc_pid_stat(5)), under the names of Prometheus's own clients."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from dnsserver.metrics import Usage

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = resource.getpagesize()


def usage() -> Usage | None:
    """Return what this process takes now, or None where there is no /proc."""
    with suppress(OSError, ValueError, IndexError):
        own = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        return Usage(
            virtual_memory=int(own[20]),
            resident_memory=int(own[21]) * _PAGE,
            started=_booted() + int(own[19]) / _TICKS,
            cpu=(int(own[11]) + int(own[12])) / _TICKS,
            open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
            max_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
    return None


def _booted() -> int:
    """Return the unix time at which the machine started. Raises OSError and IndexError."""
    _, _, rest = Path("/proc/stat").read_bytes().partition(b"\nbtime ")
    return int(rest.split(maxsplit=1)[0])
