"""The command for a node, as far as the command line goes: its mistakes, and what the kernel does not allow."""

import subprocess
import sys

import pytest

from tests.node.spaces import SEPARATE


@SEPARATE
def test_without_the_capability_it_says_so() -> None:
    command = ["unshare", "--net", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable]
    command += ["-m", "dnsserver", "guard-node", "169.254.20.10", "--remove"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "cannot remove what is left on this node: Operation not permitted\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument"),
        (["lo"], "does not appear to be"),
        (["169.254.20.10", "--cluster", "0.0.0.0"], "one machine can have"),
        (["169.254.20.10", "--ask", "a..b"], "domain name"),
        (["169.254.20.10", "--metrics", "9353"], "--metrics"),
        (["169.254.20.10", "--interface", "much-too-long-for-one"], "1 to 15 octets"),
    ],
)
def test_a_mistake_in_the_command_line_is_told(arguments: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dnsserver", "guard-node", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr
