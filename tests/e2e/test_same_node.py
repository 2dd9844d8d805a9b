"""Pods that ask the server of their own node, with the programs of Kubernetes: what an update and a crash cost them.

`python -m tests.bench.same_node` has more of it, beside CoreDNS.
"""

import os

import pytest

from tests.bench.processes import found
from tests.bench.same_node.__main__ import NEEDED, measured
from tests.bench.same_node.servers import OURS

MISSING = [program for program in NEEDED if not found(program)]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} on PATH"),
]
RATE = 100.0
UPDATE, DELETED, KILLED = "update of all three nodes", "deleted, and none follows", "killed (-9), and started again"


def test_questions_stay_on_the_node_while_it_has_a_server_and_in_the_zone_otherwise() -> None:
    results = {result["scene"]: result for result in measured(OURS, [UPDATE, DELETED, KILLED], RATE)}
    # Who is killed loses a second or two, and what is on its way while the node deletes an entry is lost.
    for scene, most in ((UPDATE, 0.002), (DELETED, 0.002), (KILLED, 0.3)):
        ways = results[scene]["ways"].values()
        asked, failed = (sum(way[key] for way in ways) for key in ("asked", "lost"))
        assert asked > 100
        assert failed <= most * asked + 1, scene
        assert sum(way["wrong"] for way in ways) == 0
    own, near, far = results[UPDATE]["led"]
    assert own > 0
    assert (near, far) == (0, 0)
    own, near, far = results[DELETED]["led"]
    assert min(own, near) > 0
    assert far == 0
