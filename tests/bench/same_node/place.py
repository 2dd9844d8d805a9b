"""A place for many programs, of which nothing is left: no process, no network namespace and no file.

The programs have namespaces of their own for processes, mounts and the network. When the first process of a PID
namespace ends, for whatever reason, the kernel ends all others. Their files and network namespaces are in a /run that
is in memory and that only they see. The only network that they have is the one they make.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.balancer import run
from tests.bench.processes import PATH
from tests.bench.spaces import forward

NEEDED = ("ip", "mount", "setpriv", "unshare")
_RUN = Path("/run")
_TAIL = 1500  # characters of a log


def apart(command: Sequence[str]) -> "subprocess.Popen[str]":
    """Start a program as the first process of namespaces of its own; it ends with this process at the latest."""
    separate = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # When this process ends, the kernel kills `unshare`, and with it its child. In a session of its own: ^C is for us.
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *separate, *command],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class Place:
    """What the first process of such namespaces works with: a folder, and programs that log there."""

    def __init__(self) -> None:
        run("mount", "-t", "tmpfs", "none", str(_RUN))
        forward()
        self.folder = _RUN / "bench"
        self.folder.mkdir()
        # Nothing else of this process' environment: no proxy, no kubeconfig, no home.
        self.environment = {"PATH": PATH, "HOME": str(self.folder)}

    def start(self, name: str, command: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
        """Start a program that logs to the file of that name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.environment, **environment}
            )

    def logs(self) -> str:
        """Return the end of each log."""
        tail = -1 if os.environ.get("NODE_LOGS") else _TAIL
        texts = {path.name: path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))}
        return "\n".join(f"--- {name}\n{text[-tail:] if tail > 0 else text}" for name, text in texts.items())
