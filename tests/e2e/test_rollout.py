"""A rollout of real processes behind a node's rules and its connection tracking: no question is lost.

`python -m tests.bench.rollout` has more of it, beside CoreDNS.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.asking import KEPT
from tests.bench.processes import found
from tests.bench.rollout import SCENARIOS
from tests.deployment import ROOT

MISSING = [program for program in ("ip", "nft", "conntrack", "unshare") if not found(program)]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (Debian: iproute2, nftables, conntrack)"),
]


def test_replicas_that_are_replaced_one_by_one_lose_no_question() -> None:
    inside = [sys.executable, "-m", "tests.bench.rollout", "--inside", "dnsserver", "1", SCENARIOS[0], "--rate", "50"]
    done = subprocess.run(["unshare", "--net", *inside], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {way: each["lost"] + each["wrong"] for way, each in result.items() if way != "kept"} == {"udp": 0, "tcp": 0}
    # A reply that is on its way just as the node deletes the flow's entry is lost, whoever answers: one a flow at most.
    assert result["kept"]["lost"] <= KEPT
    assert result["kept"]["wrong"] == 0
