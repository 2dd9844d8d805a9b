"""Programs in a network namespace of their own, a node without anything: what they print as JSON comes back."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.deployment import ROOT

SEPARATE = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip", "nft"))),
    reason="a network namespace needs root, `unshare`, `ip` and `nft` (Debian: util-linux, iproute2, nftables)",
)


def inside(program: str, *arguments: str) -> Any:
    """Run a program of Python in a namespace with a loopback device, and return what it prints."""
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$0" "$@"', sys.executable, "-c", program]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def needs_kind(kind: str) -> None:
    """Skip a test where the kernel has no interfaces of a kind."""
    command = ["unshare", "--net", "ip", "link", "add", "try0", "type", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this kernel makes no interfaces of the kind {kind}: {done.stderr.strip()}")
