"""Every Corefile of tests/corefiles: CoreDNS runs it, this server what became of it, and both are asked the same."""

from pathlib import Path

import pytest

from dnsserver.app.difference import Known, correction, read
from dnsserver.app.questions import of_lines
from tests.e2e.beside import OURS, THEIRS, ask, both, why_not

FOLDER = Path(__file__).parents[1] / "corefiles"
COREFILES = sorted(FOLDER.glob("*.Corefile"))

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("port 53")]

QUESTIONS = """
cluster.local SOA A
svc.cluster.local A
edge.svc.cluster.local A
web.edge.svc.cluster.local A AAAA SRV TXT MX
_http._tcp.web.edge.svc.cluster.local SRV A
hl.edge.svc.cluster.local A AAAA SRV
dual.edge.svc.cluster.local A AAAA
ext.edge.svc.cluster.local A AAAA
ext-incluster.edge.svc.cluster.local A
ext-missing.edge.svc.cluster.local A
missing.edge.svc.cluster.local A AAAA SOA
web.missing.svc.cluster.local A
missing.cluster.local A
10-1-2-3.edge.pod.cluster.local A AAAA
10-1-2-3.missing.pod.cluster.local A
1.0.96.10.in-addr.arpa PTR
139.66.106.10.in-addr.arpa PTR
20.0.20.172.in-addr.arpa PTR
9.9.9.9.in-addr.arpa PTR
dns-version.cluster.local TXT A
host.example.org A AAAA TXT MX
missing.example.org A
empty.example.org A
alias.example.org A AAAA
broken.example.org A
alias.corp.example A
host.corp.example A TXT
host.lab.example A
node-a A AAAA
host.lab.internal A AAAA
other.lab.internal A
11.0.10.10.in-addr.arpa PTR
www.old.example A AAAA
missing.old.example A
www.new.example A
a.b.c.d.vnet.example A
www.vnet.example A
legacy.example A
www.legacy.example AAAA TXT
host.mesh.example A
api.payments.svc.cluster.local A
host.k8s.example A
"""

# What no number explains: the import has said so, in these words.
NAMED = {
    "13-kubespray": ({"www.new.example. A"}, "a name below new.example that a client asks for itself goes to these"),
    "15-node-local": (
        {"cluster.local. SOA", "cluster.local. A", "1.0.96.10.in-addr.arpa. PTR", "20.0.20.172.in-addr.arpa. PTR"},
        "cluster.local itself and reverse names of Services and pods are answered here",
    ),
}


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("corefile", COREFILES, ids=lambda path: path.stem)
def test_both_say_the_same_but_for_corrections(corefile: Path, tmp_path: Path) -> None:
    unexplained = []
    named, words = NAMED.get(corefile.stem, (set(), ""))
    known = Known(b"\x07cluster\x05local\0", {question.name for question in of_lines(QUESTIONS.splitlines())})
    with both(corefile, tmp_path) as report:
        for question in of_lines(QUESTIONS.splitlines()):
            name, rtype = str(question).split()
            ours, theirs = (read(ask(host, name, rtype).to_wire(), question) for host in (OURS, THEIRS))
            assert ours is not None
            assert theirs is not None
            if correction(question, ours, theirs, known) is None and str(question) not in named:
                unexplained.append(f"{question}: ours {ours}, theirs {theirs}")
    assert not unexplained, "\n".join([*unexplained, report])
    assert words in report
