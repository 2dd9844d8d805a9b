"""A node with its own DNS, in network namespaces: what its pod loses while the node is updated, and when it breaks."""

import os
import shutil

import pytest

from tests.bench.balancer import SERVICE
from tests.bench.node import measured
from tests.bench.pod import OWN

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "conntrack", "unshare"))),
        reason="network namespaces need root, `ip`, `nft`, `conntrack` and `unshare`",
    ),
]
RATE = 100.0


@pytest.mark.parametrize(
    ("scenario", "at_service", "at_own"),
    [
        ("update", 0.002, 0.002),
        ("update to one that dies", 0.002, 0.002),
        ("server killed (-9)", 0.05, 1.0),  # nobody else answers at the node's own address
        ("guardian killed", 0.02, 0.002),
        ("both addresses removed", 0.02, 0.02),
    ],
)
def test_what_a_pod_loses(scenario: str, at_service: float, at_own: float) -> None:
    found = measured(scenario, RATE)
    for address, most in ((SERVICE, at_service), (OWN, at_own)):
        ways = found[address].values()
        asked, lost = (sum(way[key] for way in ways) for key in ("asked", "lost"))
        wrong = sum(way["wrong"] for way in ways)
        assert asked > 100
        assert lost + wrong <= most * asked + 1
    assert found["tracked"] == 0
