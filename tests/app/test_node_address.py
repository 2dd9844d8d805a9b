"""The address that a server on every node listens at: given by netlink, in a network namespace of the test's own."""

import os
import shutil
import subprocess
import sys

import pytest

from dnsserver.app.node_address import parsed, request
from tests.deployment import ROOT

SEPARATE = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip"))),
    reason="a network namespace needs root, `unshare` and `ip` (Debian: util-linux, iproute2)",
)


def in_a_namespace(script: str) -> "subprocess.CompletedProcess[str]":
    command = ["unshare", "--net", "sh", "-c", f"ip link set lo up; {script}", sys.executable]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


@SEPARATE
@pytest.mark.parametrize(("address", "shown"), [("169.254.20.10", "169.254.20.10/32"), ("fd00::53", "fd00::53/128")])
def test_the_address_is_there_at_once_and_twice_is_as_once(address: str, shown: str) -> None:
    give = f"$0 -m dnsserver node-address {address}"
    done = in_a_namespace(f"{give} && {give} && ip -o address show dev lo")
    assert done.stderr == ""
    assert [line.split()[3] for line in done.stdout.splitlines()].count(shown) == 1
    assert "tentative" not in done.stdout


@SEPARATE
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs `setpriv` (Debian: util-linux)")
def test_without_the_capability_it_says_so() -> None:
    done = in_a_namespace(
        "setpriv --bounding-set=-net_admin --inh-caps=-net_admin $0 -m dnsserver node-address 10.9.9.9"
    )
    assert done.returncode == 1
    assert done.stderr == "cannot give this machine 10.9.9.9: Operation not permitted\n"


@pytest.mark.parametrize("text", ["", "lo", "169.254.20", "169.254.20.10/32", "0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_what_no_machine_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|appear"):
        parsed(text)


def test_the_message_has_the_length_that_it_says() -> None:
    for text in ("169.254.20.10", "fd00::53"):
        message = request(parsed(text), 1)
        assert int.from_bytes(message[:4], sys.byteorder) == len(message)
