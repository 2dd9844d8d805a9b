"""The questions of `compare`: every name that the objects have, and the lines of a list."""

from pathlib import Path

import pytest

from dnsserver.app.questions import Question, of_cluster, of_lines
from dnsserver.kube.documents import read
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone, Put

OBJECTS = Path(__file__).parents[1] / "conformance" / "objects.json"
_RCODES = {m.NOERROR, m.NXDOMAIN}


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    found = Cluster()
    for thing in read(OBJECTS.read_bytes(), json=True).objects.values():
        found.apply(Put(thing), 0, 0)
    for kind in Kind:
        found.apply(ListDone(kind), 0, 0)
    return found


def test_every_service_endpoint_and_address_is_asked_for(cluster: Cluster) -> None:
    asked = set(of_cluster(cluster.index, cluster.domain, pods=True))
    for line in (
        "cluster.local SOA",
        "dns-version.cluster.local TXT",
        "edge.svc.cluster.local A",
        "web.edge.svc.cluster.local A AAAA SRV",
        "_http._tcp.web.edge.svc.cluster.local SRV A",
        "hl-0.hl.edge.svc.cluster.local A AAAA SRV",
        "ext.edge.svc.cluster.local A AAAA SRV",
        "172-20-0-20.edge.pod.cluster.local A",
        "1.0.96.10.in-addr.arpa PTR",
        "20.0.20.172.in-addr.arpa PTR",
    ):
        assert asked >= set(of_lines([line])), line


def test_the_cluster_has_an_answer_to_each(cluster: Cluster) -> None:
    for question in of_cluster(cluster.index, cluster.domain, pods=True):
        answer = cluster.answer(question.name, question.type)
        # An address that no Service of the cluster has is asked upstream.
        assert answer is not None or question.type == m.PTR, question
        assert answer is None or answer.rcode in _RCODES, question


def test_without_pods_their_names_are_not_asked_for(cluster: Cluster) -> None:
    asked = of_cluster(cluster.index, cluster.domain, pods=False)
    assert not any(b"\x03pod\x07cluster" in question.name and question.name[0] != 3 for question in asked)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        (["", "  # a remark"], []),
        (["www.example.org"], ["www.example.org. A", "www.example.org. AAAA"]),
        (["WWW.Example.org. txt MX # both"], ["www.example.org. TXT", "www.example.org. MX"]),
    ],
)
def test_lines_of_a_list(lines: list[str], expected: list[str]) -> None:
    assert [str(question) for question in of_lines(lines)] == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a..b", "line 1: "),
        ("a.example AXFR", "line 1: found AXFR, expected one of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT"),
    ],
)
def test_lines_that_are_no_questions(line: str, message: str) -> None:
    with pytest.raises(ValueError, match="line 1") as error:
        list(of_lines([line]))
    assert str(error.value).startswith(message)


def test_a_question_as_text() -> None:
    assert str(Question(from_text("a.example."), m.A)) == "a.example. A"
