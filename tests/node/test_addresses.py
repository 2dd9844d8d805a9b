"""Addresses that a node is given: there at once, gone by themselves; in a network namespace of the test's own."""

import pytest

from dnsserver.node.addresses import FOREVER, made, parsed
from dnsserver.node.netlink import encoded
from tests.node.spaces import SEPARATE, inside

GIVEN = """
import json, subprocess, sys, time
from dnsserver.node.addresses import Addresses, parsed
kernel, (address, *more) = Addresses(), map(parsed, sys.argv[1:])
device = kernel.device("dns-test0")
seen = lambda: [given.preferred for given in kernel.all() if given.address == address and given.device == device]
shown = lambda: subprocess.run(["ip", "-o", "address", "show"], capture_output=True, text=True).stdout
"""


@SEPARATE
@pytest.mark.parametrize("address", ["169.254.20.10", "10.96.0.10", "fd00:10:96::a"])
def test_an_address_is_there_at_once_is_given_again_and_ends(address: str) -> None:
    found = inside(
        GIVEN
        + """
kernel.take(address, device)
kernel.give(address, device, 1, 1)
kernel.give(address, device, 3, 2)
once, text = seen(), shown()
ends = time.monotonic() + 8
while seen() and time.monotonic() < ends:
    time.sleep(0.05)
lasted = 8 - (ends - time.monotonic())
heard = kernel.changes.heard()
kernel.give(address, device, 3600, 2)
kernel.take(address, device)
print(json.dumps([once, text, lasted, seen(), heard]))
""",
        address,
    )
    once, text, lasted, left, heard = found
    assert once == [2]
    (line,) = [line for line in text.splitlines() if address in line]
    assert "tentative" not in line
    assert f"{address}/{parsed(address).max_prefixlen}" in line
    assert 2.0 < lasted < 5.0  # the kernel takes up to a second more
    assert left == []
    assert 21 in heard  # RTM_DELADDR


@SEPARATE
def test_one_that_is_only_old_stays() -> None:
    found = inside(
        GIVEN + "kernel.give(address, device, 3600, 1)\ntime.sleep(2.1)\nprint(json.dumps(seen()))", "169.254.20.10"
    )
    assert found == [0]


@SEPARATE
def test_our_interface_is_made_once_and_removed_or_the_loopback_interface_is_taken() -> None:
    found = inside(
        GIVEN
        + """
again, name = kernel.device("dns-test0"), kernel.name(device)
kernel.remove_device("dns-test0")
kernel.remove_device("dns-test0")
print(json.dumps([device, again, name, shown()]))
""",
        "10.96.0.10",
    )
    device, again, name, text = found
    assert device == again
    assert name in {"dns-test0", "lo"}
    assert "dns-test0" not in text


@SEPARATE
def test_what_nobody_gave_is_there_for_ever() -> None:
    found = inside(
        GIVEN + "print(json.dumps([given.preferred for given in kernel.all() if given.address == address]))",
        "127.0.0.1",
    )
    assert found == [FOREVER]


@pytest.mark.parametrize("text", ["", "lo", "169.254.20", "169.254.20.10/32", "0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_what_no_machine_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|appear"):
        parsed(text)


def test_an_interface_is_made_by_its_name() -> None:
    message = encoded(made("dnsserver0"), 1)
    assert b"dnsserver0\0" in message
    assert b"dummy" in message
