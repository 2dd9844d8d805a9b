"""What a guardian orders, second by second. The kernel is a list of addresses that expire, and fails on command.

Two guardians may share it, as while a DaemonSet updates.
"""

import errno
import os
from ipaddress import ip_address

import pytest

from dnsserver.node.addresses import FOREVER, Address, Given
from dnsserver.node.guardian import LEASE, Guardian, Settings
from dnsserver.node.untracked import Rule, rules
from tests.logs import capture_logs

OWN, CLUSTER, OTHER = ip_address("169.254.20.10"), ip_address("10.96.0.10"), ip_address("fd00:10:96::a")
SETTINGS = Settings((OWN,), (CLUSTER, OTHER))
LO, OURS, IPVS, NODELOCAL = 1, 7, 8, 9
NAMES = {LO: "lo", OURS: "dnsserver0", IPVS: "kube-ipvs0", NODELOCAL: "nodelocaldns"}


class Node:
    """The kernel of a node: addresses and rules, and when addresses end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.held: dict[tuple[Address, int], tuple[float, float]] = {}  # until when it is there, and is fresh
        self.rules: set[Rule] = set()
        self.has_device = False
        self.refuses: dict[str, int] = {}

    def _may(self, what: str) -> None:
        if what in self.refuses:
            number = self.refuses[what]
            raise OSError(number, os.strerror(number))

    def device(self, name: str) -> int:
        self._may("device")
        assert name == NAMES[OURS]
        self.has_device = True
        return OURS

    def remove_device(self, name: str) -> None:
        assert name == NAMES[OURS]
        self.has_device = False
        self.held = {key: until for key, until in self.held.items() if key[1] != OURS}

    def all(self) -> list[Given]:
        self._may("all")
        self.held = {key: until for key, until in self.held.items() if until[0] > self.now}
        return [
            Given(address, device, FOREVER if fresh == float("inf") else max(0, round(fresh - self.now + 0.4)))
            for (address, device), (_, fresh) in self.held.items()
        ]

    def give(self, address: Address, device: int, valid: int, preferred: int) -> None:
        self._may("give")
        self.held[address, device] = (self.now + valid, self.now + preferred)

    def take(self, address: Address, device: int) -> None:
        self.held.pop((address, device), None)

    def name(self, device: int) -> str:
        return NAMES[device]

    def ensure(self, wanted: list[Rule]) -> list[Rule]:
        self._may("rules")
        missing = [rule for rule in wanted if rule not in self.rules]
        self.rules.update(missing)
        return missing

    def remove(self) -> None:
        self.rules.clear()

    def has(self) -> set[Address]:
        return {given.address for given in self.all() if given.device == OURS}


class Life:
    """A node, its server, and guardians that look twice a second."""

    def __init__(self, *guardians: Guardian, node: Node) -> None:
        self.node = node
        self.guardians = list(guardians)
        self.server = True
        self.mute: set[Address] = set()  # where nobody listens

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.node.now += 0.25
            now = self.node.now
            for guardian in self.guardians:
                if guardian.finished:
                    continue
                outcome = "answered" if self.server else "refused"
                for transport in ("tcp", "udp"):
                    guardian.note(OWN, transport, outcome, now)  # type: ignore[arg-type]
                for address in list(guardian.asked):
                    guardian.note(address, "udp", "refused" if address in self.mute else outcome, now)  # type: ignore[arg-type]
                if now % 0.5 == 0 or not self.server:
                    guardian.look(now)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def life(node: Node) -> Life:
    return Life(Guardian(SETTINGS, node, node), node=node)


def test_own_addresses_are_there_at_once_and_those_of_the_cluster_when_the_server_answers(life: Life) -> None:
    life.server = False
    life.pass_(5)
    assert life.node.has() == {OWN}
    assert life.node.rules == {*rules((OWN, CLUSTER, OTHER))}
    life.server = True
    life.pass_(1.5)
    assert life.node.has() == {OWN, CLUSTER, OTHER}
    life.pass_(60)
    assert life.node.has() == {OWN, CLUSTER, OTHER}
    assert life.guardians[0].report(0.0).repairs == 0


def test_a_server_that_ends_costs_the_cluster_addresses_at_once_and_gets_them_back(life: Life) -> None:
    life.pass_(3)
    life.server = False
    life.pass_(0.25)
    assert life.node.has() == {OWN}
    report = life.guardians[0].report(0.0)
    assert (report.answers, report.withdrawals, report.withheld) == (False, 2, (str(CLUSTER), str(OTHER)))
    life.server = True
    life.pass_(2)
    assert life.node.has() == {OWN, CLUSTER, OTHER}


def test_when_the_guardian_is_no_more_the_kernel_takes_the_cluster_addresses_away(life: Life) -> None:
    life.pass_(3)
    life.guardians.clear()
    life.pass_(LEASE)
    assert life.node.has() == {OWN}
    life.pass_(1000)
    assert life.node.has() == {OWN}
    life.guardians.append(Guardian(SETTINGS, life.node, life.node))  # the next start
    life.pass_(2)
    assert life.node.has() == {OWN, CLUSTER, OTHER}


def test_what_goes_is_put_back(life: Life) -> None:
    life.pass_(3)
    life.node.held.clear()
    life.node.rules.clear()
    life.pass_(0.5)
    assert life.node.has() == {OWN, CLUSTER, OTHER}
    assert life.node.rules == {*rules((OWN, CLUSTER, OTHER))}
    assert life.guardians[0].report(0.0).repairs == 4


def test_at_its_end_alone_it_waits_for_the_server_and_removes_all(life: Life) -> None:
    life.pass_(3)
    life.guardians[0].end(life.node.now)
    life.pass_(LEASE + 1)
    assert life.node.has() == {OWN}  # the server drains
    life.pass_(6)
    assert life.node.has() == {OWN}
    life.server = False
    life.pass_(1)
    assert life.guardians[0].finished
    assert (life.node.held, life.node.rules, life.node.has_device) == ({}, set(), False)


def test_at_its_end_it_waits_so_long_and_no_longer(life: Life) -> None:
    life.pass_(3)
    life.guardians[0].end(life.node.now)
    life.pass_(SETTINGS.drain - 1)
    before = life.guardians[0].finished
    life.pass_(2)
    assert (before, life.guardians[0].finished) == (False, True)
    assert life.node.has() == set()


def test_one_that_ends_leaves_all_to_the_next_one(life: Life) -> None:
    life.pass_(3)
    life.guardians.append(Guardian(SETTINGS, life.node, life.node))
    life.guardians[1].look(life.node.now)  # before it has heard anything of the server
    assert life.node.has() == {OWN, CLUSTER, OTHER}
    life.pass_(3)
    life.guardians[0].end(life.node.now)
    for _ in range(40):
        life.pass_(0.5)
        assert life.node.has() == {OWN, CLUSTER, OTHER}
    assert [guardian.finished for guardian in life.guardians] == [True, False]
    assert [guardian.report(0.0).repairs for guardian in life.guardians] == [0, 0]


def test_an_address_at_which_nobody_answers_is_tried_again_ever_less_often(life: Life) -> None:
    life.mute = {CLUSTER}
    life.pass_(8)
    assert life.node.has() == {OWN, OTHER}
    tries = 0
    for _ in range(600):
        before = life.guardians[0].report(0.0).withdrawals
        life.pass_(0.5)
        tries += life.guardians[0].report(0.0).withdrawals > before
        assert OTHER in life.node.has()
    assert 3 <= tries <= 6
    life.mute = set()
    life.pass_(600)
    assert life.node.has() == {OWN, CLUSTER, OTHER}


def test_who_keeps_off_an_address_does_not_take_it_from_another_guardian(life: Life) -> None:
    first, second = life.guardians[0], Guardian(SETTINGS, life.node, life.node)
    life.guardians.append(second)
    life.pass_(3)
    first.note(CLUSTER, "udp", "refused", life.node.now)  # as a question that was under way while it was away
    first.look(life.node.now)
    life.pass_(0.5)
    for _ in range(10):
        life.pass_(0.5)
        assert CLUSTER in life.node.has()
    assert first.report(life.node.now).withheld == (str(CLUSTER),)
    assert (first.report(life.node.now).withdrawals, second.report(life.node.now).withdrawals) == (1, 0)


def test_with_ipvs_a_cluster_address_is_not_taken_and_the_log_says_so_once(life: Life) -> None:
    life.node.held[CLUSTER, IPVS] = (float("inf"), float("inf"))
    with capture_logs() as logged:
        life.pass_(3)
    said = [line for line in logged if line["event"] == "kube-proxy has a cluster address itself"]
    problem = f"{CLUSTER} is on kube-ipvs0: with IPVS it cannot be the node's"
    assert [(line["address"], line["error"]) for line in said] == [(str(CLUSTER), problem)]
    assert life.node.has() == {OWN, OTHER}
    assert life.guardians[0].report(0.0).problems == (problem,)


def test_beside_nodelocal_it_has_the_same_addresses(life: Life) -> None:
    life.node.held[OWN, NODELOCAL] = life.node.held[CLUSTER, NODELOCAL] = (float("inf"), float("inf"))
    life.pass_(3)
    assert life.node.has() == {OWN, CLUSTER, OTHER}
    assert (OWN, NODELOCAL) in life.node.held


def test_what_an_older_version_put_on_the_loopback_interface_moves(life: Life) -> None:
    life.node.held[OWN, LO] = (float("inf"), float("inf"))
    life.pass_(1)
    assert list(life.node.held) == [(OWN, OURS), (CLUSTER, OURS), (OTHER, OURS)]


def test_what_nobody_gives_any_more_goes(life: Life) -> None:
    life.node.held[ip_address("169.254.20.99"), OURS] = (float("inf"), 1.0)
    life.pass_(4)
    assert life.node.has() == {OWN, CLUSTER, OTHER}


@pytest.mark.parametrize(
    ("refused", "kind", "has"),
    [
        ("device", "interface_check", set()),
        ("all", "interface_check", set()),
        ("give", "interface_add", set()),
        ("rules", "nftables", {OWN}),  # tracked, an address of the cluster would lead to the Service all the same
    ],
)
def test_what_the_kernel_refuses_is_counted_told_and_tried_again(
    life: Life, refused: str, kind: str, has: set[Address]
) -> None:
    life.node.refuses = {refused: errno.EPERM}
    life.pass_(3)
    report = life.guardians[0].report(0.0)
    assert report.errors[kind] > 1
    assert any("Operation not permitted" in problem for problem in report.problems)
    life.node.refuses = {}
    assert life.node.has() == has
    life.pass_(1)
    assert life.node.has() == {OWN, CLUSTER, OTHER}
    assert life.guardians[0].report(0.0).problems == ()
