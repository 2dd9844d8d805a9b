"""What was found in a file of objects, as a whole."""

import pytest

from dnsserver.kube.documents import read

MISTAKES = {
    # of these the object is served without a part; they are warnings
    "an address": "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.256}\n",
    "an address before a port": (
        "kind: Service\nmetadata: {name: more}\nspec:\n  clusterIPs: [10.0.0.1,\n  x]\n  ports:\n  - {port: x}\n"
    ),
    "a protocol before a port": (
        "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: None\n  ports:\n"
        "  - {port: 80, protocol: TPC}\n  - {port: x}\n"
    ),
    # and these cost a whole object
    "no name": "kind: Service\nmetadata: {}\n",
    "no kind": "metadata: {name: x}\n",
}


@pytest.mark.parametrize("before", MISTAKES)
@pytest.mark.parametrize("after", MISTAKES)
def test_mistakes_are_told_in_the_order_of_their_lines(before: str, after: str) -> None:
    without_address = "kind: Service\nmetadata: {name: alone}\n"
    findings = read("---\n".join([without_address, MISTAKES[before], MISTAKES[after]]).encode()).findings
    *said, last = findings.in_order()
    assert last.startswith("Service default/alone has no clusterIP")
    lines = [int(sentence.removeprefix("line ").partition(":")[0]) for sentence in said]
    assert len(lines) >= 2
    assert lines == sorted(lines)
