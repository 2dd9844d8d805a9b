"""`dnsserver compare` between processes: one server with itself, with another one, with nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import FOLDER, served

pytestmark = pytest.mark.e2e

DEMO = FOLDER / "zones" / "demo"
FLAGS = ("--admin=127.0.0.1:0", "--listen=127.0.0.1:0", "--upstream=127.0.0.1:9")


def compared(*arguments: str) -> tuple[int, list[str], str]:
    command = [sys.executable, "-m", "dnsserver", "compare", "--rate=2000", *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_server_says_what_it_says_itself() -> None:
    with served(*FLAGS, f"--objects={DEMO}") as server:
        here = f"127.0.0.1:{server.port}"
        status, lines, _ = compared(f"--objects={DEMO}", f"--server={here}", f"--with={here}")
    assert status == 0
    assert lines[-1] == "0 unexplained"
    assert int(lines[-2].split()[0]) > 50


def test_what_another_one_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")
    (tmp_path / "names").write_text("web.other.svc.cluster.local A\nlocalhost A  # the same of both\n")
    with served(*FLAGS, f"--objects={DEMO}") as ours, served(*FLAGS, f"--objects={tmp_path}") as theirs:
        where = (f"--server=127.0.0.1:{ours.port}", f"--with=127.0.0.1:{theirs.port}")
        status, lines, _ = compared(f"--objects={DEMO}", *where, f"--names={tmp_path / 'names'}")
    assert status == 1
    assert any(
        ": unexplained: ours NOERROR aa ra A " in line and line.endswith("theirs NXDOMAIN aa ra") for line in lines
    )
    assert not any(line.startswith(("web.other", "localhost")) for line in lines)
    assert int(lines[-1].removesuffix(" unexplained")) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--with=nonsense"], 'expected an address of DNS, as in "10.96.0.10" or "[fd00::10]:53"'),
        (["--with=127.0.0.1", "--names=/does/not/exist"], "/does/not/exist: there is no such file"),
        (["--with=127.0.0.1", "--rate=0"], "0.0 is not in the range"),
        (["--with=127.0.0.1", "--rate=nan"], "nan is no number"),
        (["--with=127.0.0.1:9", "--server=127.0.0.1:9", f"--objects={DEMO}"], "127.0.0.1:9: no answer over UDP"),
        (["--with=127.0.0.1", "--server=255.255.255.255", f"--objects={DEMO}"], "255.255.255.255:53 cannot be asked: "),
        (["--with=127.0.0.1", "--kubeconfig=/does/not/exist"], "kubeconfig /does/not/exist"),
    ],
)
def test_nothing_to_compare(arguments: list[str], message: str) -> None:
    status, lines, err = compared(*arguments)
    assert status == 2
    assert not lines
    assert message in err
