"""The pod of a node with its own DNS: a server and a guardian, which are processes of this network namespace."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.bench.balancer import SERVICE

OWN = "169.254.20.10"


class Pod:
    """The pod of a node: a server and a guardian, which report in a folder of their own."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._run = folder / f"pod-{number}"
        self._run.mkdir()
        self._log = (folder / f"{number}.log").open("ab")
        self.guardian = self._guard()
        self.server = self._serve()

    @property
    def is_ready(self) -> bool:
        return (self._run / "ready").exists()

    def restart_server(self) -> None:
        self.server.kill()
        self.server.wait()
        self.server = self._serve()

    def restart_guardian(self) -> None:
        self.guardian.kill()
        self.guardian.wait()
        self.guardian = self._guard()

    def signal(self, number: signal.Signals) -> None:
        for process in (self.server, self.guardian):
            process.send_signal(number)

    def kill(self) -> None:
        for process in (self.server, self.guardian):
            process.kill()
            process.wait()

    def _serve(self) -> "subprocess.Popen[bytes]":
        flags = [f"--listen={OWN}:53", f"--listen={SERVICE}:53", "--admin=127.0.0.1:9253", f"--guardian={self._run}"]
        flags += [f"--takeover={self._folder / 'takeover'}", f"--config={self._folder / 'dnsserver.toml'}"]
        return self._start("serve", *flags)

    def _guard(self) -> "subprocess.Popen[bytes]":
        return self._start("guard-node", OWN, f"--cluster={SERVICE}", f"--report={self._run}")

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "dnsserver", *arguments], stdout=self._log, stderr=self._log)
