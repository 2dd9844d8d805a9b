"""Every Corefile of tests/corefiles: CoreDNS runs it, this server runs its import, and both are asked the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from dnsserver.app.difference import Known, correction, read
from dnsserver.app.questions import Question, of_lines
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
_REVERSE = "reverse names of Services and pods are answered here"
_SENT_REVERSE = "CoreDNS asked for reverse names of the cluster as for others, here they are answered"
_REFUSED = "refused"
NAMED = {
    "13-kubespray": {"www.new.example. A": "a name below new.example that a client asks for directly goes to these"},
    "15-node-local": {
        "cluster.local. SOA": "cluster.local itself and reverse names",
        "cluster.local. A": "cluster.local itself and reverse names",
        "1.0.96.10.in-addr.arpa. PTR": _REVERSE,
        "20.0.20.172.in-addr.arpa. PTR": _REVERSE,
    },
    "21-openshift": {"hostname.bind. TXT": _REFUSED},
    "24-many-blocks": {
        "20.0.20.172.in-addr.arpa. PTR": "reverse names in them that the cluster knows are answered here",
        "host.secret.example. A": "clients get REFUSED for its names, where CoreDNS said SERVFAIL",
        "host.nobody.example. A": _REFUSED,
    },
    "30-zone-blocks": {"host.in.zone.example. A": "a name that the file does not have gets NXDOMAIN"},
    "29-search-junk": {"missing.nowhere.test. A": "clients get REFUSED for its names, where CoreDNS said SERVFAIL"},
    "31-hosts-wildcards": {"missing.office.test. A": "gets NXDOMAIN, where CoreDNS said SERVFAIL"},
    "32-odd-networks": {
        "20.0.20.172.in-addr.arpa. PTR": "outside of its reverse zones: CoreDNS asked for reverse names",
    },
    "33-acl-types": {"host.ads.test. A": "a rule on addresses is for all names and types here, and not for some"},
    "34-excepts": {
        "host.node.consul. A": "clients get REFUSED for its names, where CoreDNS said SERVFAIL",
        "host.us.corp.test. A": "clients get REFUSED for its names, where CoreDNS said SERVFAIL",
    },
    "35-rewrites-in-blocks": {
        "host.new-home.test. A": "a name below new-home.test that a client asks for directly goes to these",
        "host.taken.test. A": "names below lab.example are asked for at the upstreams of",
    },
    "38-fallthrough-in-part": dict.fromkeys(("www.corp.test. A",), "gets NXDOMAIN, where CoreDNS said SERVFAIL"),
    "40-second-domain": {
        "1.0.96.10.in-addr.arpa. PTR": _SENT_REVERSE,
        "20.0.20.172.in-addr.arpa. PTR": _SENT_REVERSE,
    },
    "27-acl": {
        "1.0.96.10.in-addr.arpa. PTR": _SENT_REVERSE,
        "20.0.20.172.in-addr.arpa. PTR": _SENT_REVERSE,
    },
}


def questions(corefile: Path) -> list[Question]:
    """What is asked: the same of all, and what a Corefile says in lines like `# ask www.example.org A AAAA`."""
    own = [line.removeprefix("# ask ") for line in corefile.read_text().splitlines() if line.startswith("# ask ")]
    return list(of_lines([*QUESTIONS.splitlines(), *own]))


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("corefile", COREFILES, ids=lambda path: path.stem)
def test_both_say_the_same_but_for_corrections(corefile: Path, tmp_path: Path) -> None:
    unexplained = []
    named = NAMED.get(corefile.stem, {})
    known = Known(b"\x07cluster\x05local\0", {question.name for question in questions(corefile)})
    with both(corefile, tmp_path) as report:
        for question in questions(corefile):
            name, rtype = str(question).split()
            ours, theirs = (read(ask(host, name, rtype).to_wire(), question) for host in (OURS, THEIRS))
            assert ours is not None
            assert theirs is not None
            if correction(question, ours, theirs, known) is None and str(question) not in named:
                unexplained.append(f"{question}: ours {ours}, theirs {theirs}")
    assert not unexplained, "\n".join([*unexplained, report])


@pytest.mark.parametrize("name", NAMED)
def test_the_import_names_what_is_different(name: str) -> None:
    command = [sys.executable, "-m", "dnsserver", "import-corefile", str(FOLDER / f"{name}.Corefile")]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert [words for words in NAMED[name].values() if words not in report] == []


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_compare_explains_every_name_of_the_cluster(tmp_path: Path) -> None:
    with both(FOLDER / "01-kubeadm.Corefile", tmp_path):
        command = [sys.executable, "-m", "dnsserver", "compare", f"--with={THEIRS}", f"--server={OURS}", "--rate=500"]
        config = f"--config={tmp_path / 'dnsserver.toml'}"
        done = subprocess.run([*command, config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = {int(line.split()[3].rstrip(":")) for line in done.stdout.splitlines() if " by correction " in line}
    assert numbers >= {2, 5, 7, 12, 14}, done.stdout
