"""The guardian's process beside a server that answers everything, on a node without anything: a network namespace."""

from typing import Any

import pytest

from tests.node.spaces import SEPARATE, inside

BEGIN = """
import atexit, json, os, signal, socket, subprocess, sys, time, urllib.request
from pathlib import Path
from dnsserver.node.addresses import Addresses, parsed
from dnsserver.node.report import read
from tests.node import responder
folder, OWN, *CLUSTER = Path(sys.argv[1]), *sys.argv[2:]
ALL = sorted([OWN, *CLUSTER])
COMMAND = [sys.executable, "-m", "dnsserver", "guard-node", OWN, *(f"--cluster={each}" for each in CLUSTER)]
kernel = Addresses()
has = lambda: sorted({str(given.address) for given in kernel.all()} & {*ALL})
nft = lambda *command: subprocess.run(["nft", *command], capture_output=True, text=True, check=True).stdout
def serve():
    server = subprocess.Popen([sys.executable, responder.__file__, "53", *ALL], stdout=subprocess.PIPE)
    server.stdout.readline()
    return server
def guard(report=""):
    (folder / report).mkdir(exist_ok=True)
    return subprocess.Popen([*COMMAND, "--report", folder / report, "--metrics", "127.0.0.1:9353"])
def within(seconds, wanted, look=has):
    began = time.monotonic()
    while look() != wanted and time.monotonic() - began < seconds:
        time.sleep(0.02)
    assert look() == wanted, (look(), wanted)
    return time.monotonic() - began
server, guardian = serve(), guard()
atexit.register(lambda: [process.kill() for process in (server, guardian)])
within(10, ALL)
"""
END = "\nprint(json.dumps(found))"


def scenario(folder: Any, text: str, addresses: tuple[str, ...] = ("169.254.20.10", "10.96.0.10")) -> Any:
    return inside(BEGIN + text + END, str(folder), *addresses)


@SEPARATE
@pytest.mark.parametrize(("way", "most"), [("KILL", 0.4), ("STOP", 2.0)])
def test_without_a_server_the_node_has_no_cluster_address_within_two_seconds(
    tmp_path: Any, way: str, most: float
) -> None:
    found = scenario(
        tmp_path,
        f"""
server.send_signal(signal.SIG{way})
found = [within(5, [OWN])]
server.kill()
server.wait()
server = serve()
found.append(within(5, ALL))
""",
    )
    assert found[0] < most
    assert found[1] < 3.0


@SEPARATE
@pytest.mark.parametrize("way", ["KILL", "STOP"])
def test_without_its_guardian_the_node_has_no_cluster_address_after_its_lease(tmp_path: Any, way: str) -> None:
    found = scenario(
        tmp_path,
        f"""
guardian.send_signal(signal.SIG{way})
found = [within(6, [OWN]), nft("list", "ruleset").count("notrack")]
guardian.kill()
guardian.wait()
guardian = guard()
found.append(within(6, ALL))
""",
    )
    assert found[0] < 4.0
    assert found[1] == 12


@SEPARATE
def test_addresses_and_rules_that_are_taken_away_are_put_back_and_told_of(tmp_path: Any) -> None:
    back, rules, report, metrics = scenario(
        tmp_path,
        """
for address in ALL:
    for given in kernel.all():
        if str(given.address) == address:
            kernel.take(given.address, given.device)
back = within(3, ALL)
nft("flush", "ruleset")
rules = within(3, 12, lambda: nft("list", "ruleset").count("notrack"))
time.sleep(0.6)
metrics = urllib.request.urlopen("http://127.0.0.1:9353/metrics").read().decode()
found = [back, rules, read(folder)._asdict(), metrics]
""",
    )
    assert back < 2.0
    assert rules < 2.0
    assert report["addresses"] == {"169.254.20.10": True, "10.96.0.10": True}
    assert (report["rules"], report["answers"], report["problems"]) == (True, True, [])
    assert report["repairs"] >= 2
    assert 'coredns_nodecache_setup_errors_total{errortype="interface_add"} 0' in metrics


@SEPARATE
def test_at_its_end_nothing_is_left_and_what_a_killed_one_left_can_be_removed(tmp_path: Any) -> None:
    assert scenario(
        tmp_path,
        """
guardian.terminate()
time.sleep(1)
server.terminate()
guardian.wait(20)
found = [has(), nft("list", "ruleset")]
server, guardian = serve(), guard()
within(10, ALL)
for process in (guardian, server):
    process.kill()
    process.wait()
subprocess.run([*COMMAND, "--remove"], check=True)
found += [has(), nft("list", "ruleset")]
""",
    ) == [[], "", [], ""]


@SEPARATE
def test_one_guardian_after_the_other_leaves_no_gap(tmp_path: Any) -> None:
    gaps, ended = scenario(
        tmp_path,
        """
old, guardian = guardian, guard("next")
within(20, True, lambda: (said := read(folder / "next")) is not None and all(said.addresses.values()))
old.terminate()
gaps, ends = 0, time.monotonic() + 8
while time.monotonic() < ends:
    gaps += has() != ALL
    time.sleep(0.01)
found = [gaps, old.poll()]
""",
    )
    assert (gaps, ended) == (0, 0)


@SEPARATE
@pytest.mark.parametrize(
    "addresses",
    [("fd00::10", "fd00:10:96::a"), ("169.254.20.10", "10.96.0.10", "fd00:10:96::a"), ("169.254.20.10",)],
    ids=["IPv6", "dual-stack", "own alone"],
)
def test_each_family_is_guarded(tmp_path: Any, addresses: tuple[str, ...]) -> None:
    problems, there, without, again, rules, left = scenario(
        tmp_path,
        """
time.sleep(0.6)
report = read(folder)
server.kill()
server.wait()
found = [report.problems, report.addresses, within(3, [OWN])]
server = serve()
found += [within(5, ALL), nft("list", "ruleset").count("notrack")]
guardian.terminate()
time.sleep(1)
server.terminate()
guardian.wait(20)
found.append(has())
""",
        addresses,
    )
    assert (problems, there) == ([], dict.fromkeys(addresses, True))
    assert without < 0.6
    assert again < 3.0
    assert (rules, left) == (6 * len(addresses), [])
