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


@SEPARATE
@pytest.mark.parametrize(
    ("setting", "flags", "told"),
    [
        (["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"], [], "it needs the capability NET_ADMIN"),
        ([], ["--interface=lo"], "lo is there, and no dummy interface"),
    ],
)
def test_what_waiting_does_not_help_against_ends_it(setting: list[str], flags: list[str], told: str) -> None:
    command = ["unshare", "--net", *setting, sys.executable, "-m", "dnsserver", "guard-node", "169.254.20.10", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "cannot guard this node" in done.stderr
    assert told in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument"),
        (["lo"], "does not appear to be"),
        (["169.254.20.10", "--cluster", "0.0.0.0"], "one machine can have"),
        (["169.254.20.10", "--ask", "a..b"], "domain name"),
        (["169.254.20.10", "--metrics", "9353"], "--metrics"),
        (["169.254.20.10", "--interface", "much-too-long-for-one"], "1 to 15 octets"),
        (["169.254.20.10", "--interface", "dns 0"], "without space"),
        (["169.254.20.10", "--interface", ".."], "without space"),
        (["127.0.0.1"], "each pod's own"),
        (["fe80::10%eth0"], "as fd00::10"),
        (["169.254.20.10", "--cluster", "10.96.0.10", "--cluster", "10.96.0.10"], "10.96.0.10 is given twice"),
        (["10.96.0.10", "--cluster", "10.96.0.10"], "10.96.0.10 is given twice"),
    ],
)
def test_a_mistake_in_the_command_line_is_told(arguments: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dnsserver", "guard-node", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr
