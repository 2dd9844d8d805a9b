"""The rules against connection tracking: how the kernel applies them, and that other programs' rules stay."""

from ipaddress import ip_address

from dnsserver.node.untracked import rules
from tests.node.spaces import SEPARATE, inside

ADDRESSES = ("169.254.20.10", "fd00:10:96::a")
BEGIN = """
import json, subprocess, sys
from dnsserver.node.addresses import parsed
from dnsserver.node.untracked import Untracked, rules
wanted, kernel = rules(map(parsed, sys.argv[1:])), Untracked()
nft = lambda *command: subprocess.run(["nft", *command], capture_output=True, text=True, check=True).stdout
"""


def test_both_ways_and_both_protocols_of_each_address() -> None:
    found = {(rule.chain, rule.protocol, rule.to) for rule in rules([ip_address("169.254.20.10")])}
    assert found == {
        (chain, protocol, to)
        for chain, to in (("prerouting", True), ("output", True), ("output", False))
        for protocol in ("udp", "tcp")
    }


@SEPARATE
def test_the_kernel_has_them_as_meant_and_what_is_missing_is_added() -> None:
    added, again, text, mended, gone = inside(
        BEGIN
        + """
nft("add", "table", "ip", "other")
added, again, text = len(kernel.ensure(wanted)), len(kernel.ensure(wanted)), nft("list", "ruleset")
nft("flush", "chain", "ip", "dnsserver", "output")
mended = [len(kernel.ensure(wanted))]
nft("flush", "ruleset")
nft("add", "table", "ip", "other")
mended += [len(kernel.ensure(wanted))]
kernel.remove()
kernel.remove()
print(json.dumps([added, again, text, mended, nft("list", "ruleset")]))
""",
        *ADDRESSES,
    )
    assert (added, again, mended) == (12, 0, [4, 12])
    for family, address in zip(("ip", "ip6"), ADDRESSES, strict=True):
        for protocol in ("udp", "tcp"):
            to = f"{family} daddr {address} fib daddr type local {protocol} dport 53 notrack"
            back = f"{family} saddr {address} fib saddr type local {protocol} sport 53 notrack"
            assert (text.count(to), text.count(back)) == (2, 1)
    assert text.count("priority raw") == 4
    assert gone.split() == ["table", "ip", "other", "{", "}"]
