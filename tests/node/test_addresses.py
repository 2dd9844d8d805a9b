"""Addresses that a node is given: there at once, gone by themselves; in a network namespace of the test's own."""

import pytest

from dnsserver.node.addresses import FOREVER, made, parsed
from dnsserver.node.netlink import encoded
from tests.node.spaces import SEPARATE, inside, needs_kind

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
@pytest.mark.parametrize("kind", ["dummy", "ifb", "bridge"])
def test_our_interface_is_made_once_has_its_addresses_and_is_removed(kind: str) -> None:
    needs_kind(kind)
    found = inside(
        """
import json, subprocess, sys
from dnsserver.node.addresses import Addresses, parsed
kernel, addresses = Addresses(sys.argv[1]), [parsed(each) for each in sys.argv[2:]]
shown = lambda: subprocess.run(["ip", "-o", "address", "show"], capture_output=True, text=True).stdout
device = kernel.device("dns-test0")
for address in addresses:
    kernel.give(address, device, 60, 2)
found = [device, kernel.device("dns-test0"), kernel.name(device), shown()]
subprocess.run(["ip", "link", "set", "dns-test0", "down"], check=True)
found.append(kernel.device("dns-test0"))
found.append(subprocess.run(["ip", "link", "show", "dns-test0"], capture_output=True, text=True).stdout)
kernel.remove_device("dns-test0")
kernel.remove_device("dns-test0")
print(json.dumps([*found, shown()]))
""",
        kind,
        "169.254.20.10",
        "fd00:10:96::a",
    )
    device, again, name, text, once_more, up, removed = found
    assert device == again == once_more
    assert name == "dns-test0"
    assert "inet 169.254.20.10/32 scope host" in text
    assert "inet6 fd00:10:96::a/128" in text
    assert "UP" in up.partition(">")[0]
    assert "dns-test0" not in removed
    assert "169.254.20.10" not in removed


@SEPARATE
def test_without_interfaces_of_our_kind_the_loopback_interface_is_taken() -> None:
    found = inside(
        """
import json
from dnsserver.node.addresses import Addresses, parsed
kernel = Addresses("none-such")
device = kernel.device("dns-test0")
kernel.give(parsed("10.96.0.10"), device, 60, 2)
kernel.remove_device("dns-test0")
print(json.dumps([kernel.name(device), [str(each.address) for each in kernel.all() if each.device == device]]))
"""
    )
    assert found == ["lo", ["127.0.0.1", "10.96.0.10", "::1"]]


@SEPARATE
@pytest.mark.parametrize("other", ["lo", "veth0"])
def test_an_interface_of_somebody_else_is_neither_taken_nor_removed(other: str) -> None:
    found = inside(
        """
import json, subprocess, sys
from dnsserver.node.addresses import Addresses
subprocess.run(["ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"], check=True)
kernel = Addresses()
try:
    kernel.device(sys.argv[1])
except FileExistsError as error:
    said = error.strerror
kernel.remove_device(sys.argv[1])
print(json.dumps([said, subprocess.run(["ip", "link", "show", sys.argv[1]]).returncode]))
""".replace("sys.argv[1]]).returncode", "sys.argv[1]], stdout=subprocess.DEVNULL).returncode"),
        other,
    )
    assert found == [f"{other} is there, and no dummy interface", 0]


@SEPARATE
def test_what_nobody_gave_is_there_for_ever() -> None:
    found = inside(
        GIVEN + 'print(json.dumps([given.preferred for given in kernel.all() if str(given.address) == "127.0.0.1"]))',
        "10.96.0.10",
    )
    assert found == [FOREVER]


@pytest.mark.parametrize(
    "text",
    [
        *("", "lo", "169.254.20", "169.254.20.10/32", "169.254.20.10:53", "0.0.0.0", "::", "224.0.0.1", "ff02::1"),
        *("255.255.255.255", "127.0.0.1", "127.0.0.53", "::1", "fe80::1", "fe80::1%eth0", "::ffff:10.96.0.10"),
    ],
)
def test_what_no_machine_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|appear"):
        parsed(text)


def test_an_interface_is_made_by_its_name() -> None:
    message = encoded(made("dnsserver0", b"dummy"), 1)
    assert b"dnsserver0\0" in message
    assert b"dummy" in message
