"""Configurations with one mistake each: what `check` and `serve` say, how they end, and what /readyz is meanwhile.

The table of them is in docs/troubleshooting.md; DNSSERVER_TABLE=1 has this write it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.page import agree, expect_rows
from tests.e2e.process import FOLDER, PATIENCE

pytestmark = pytest.mark.e2e

GOOD = 'listen = ["127.0.0.1:0"]\nadmin = "127.0.0.1:0"\nupstreams = []\ndrain = 0\nobjects = "objects"\n'
ZONE = "$ORIGIN lab.example.\n@ 60 IN SOA ns h 1 2 3 4 5\n"
REFUSED, CANNOT_START = 2, 1
SERVES = None  # in place of an exit status


class Row(NamedTuple):
    """A mistake and what comes of it: `says` is in what both say; what `serve` says besides is its own."""

    name: str
    text: str  # of the configuration, in which GOOD's lines are replaced by lines for the same keys
    says: str
    serve: int | None = REFUSED
    flags: tuple[str, ...] = ()
    make: Callable[[Path], object] = lambda _: None
    check: int = 2


def static(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "lab.zone").write_text(text)


def only(name: str, data: bytes | None) -> Callable[[Path], object]:
    """Make the configuration file itself something else."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if data is None:
            os.mkfifo(folder / name)
        else:
            (folder / name).write_bytes(data)

    return make


USES_ZONE = 'static = ["lab.zone"]'
ROWS = [
    Row("key misspelled", "listn = []", "c.toml:6: listn: unknown key; did you mean listen?"),
    Row("key in the wrong table", "[udp]\nlisten = []", "c.toml:7: udp.listen: unknown key; did you mean listen?"),
    Row("key that is gone", "[search]\nnamespaces_off = []", "c.toml:7: search.namespaces_off: this key no longer"),
    Row("value that is gone", 'ipv6 = "auto"', 'c.toml:6: ipv6: "auto" no longer exists'),
    Row("wrong type", 'ttl = "5"', 'c.toml:6: ttl: found "5", expected a whole number of seconds from 0 to 3600'),
    Row("out of range", "workers = 99", "c.toml:6: workers: found 99, expected a whole number from 1 to 64"),
    Row("key twice", "ttl = 5\nttl = 6", "c.toml:7: ttl: is already in line 6; write it once"),
    Row("table twice", "[udp]\n[tcp]\n[udp]", "c.toml:8: udp: is already in line 6; write it once"),
    Row("no TOML", "ttl 5", "c.toml:6:5: Expected '=' after a key"),
    Row("100,000 brackets", f"x = {'[' * 100_000}", "c.toml:6: more than 16 nested brackets"),
    Row("not UTF-8", "", "c.toml: is not UTF-8 text: invalid octet at offset 1", make=only("c.toml", b"#\xff")),
    Row("a FIFO", "", "c.toml: is a FIFO, expected a regular file", make=only("c.toml", None)),
    Row("no file", "", "none.toml: there is no such file", flags=("--config", "none.toml")),
    Row("flag out of range", "", "--ttl: found 9999, expected a whole number of seconds", flags=("--ttl", "9999")),
    Row("unknown flag", "", "No such option", flags=("--lisen", "127.0.0.1:0")),
    Row(
        "listeners clash", 'listen = ["0.0.0.0:1053", "127.0.0.1:1053"]',
        "listen[1]: 127.0.0.1:1053 clashes with 0.0.0.0:1053",
    ),
    Row("admin on DNS's port", 'listen = ["127.0.0.1:8053"]\nadmin = "[::]:8053"', "admin: [::]:8053 clashes with"),
    Row(
        "not an address of this machine", 'listen = ["192.0.2.1:0"]',
        "cannot listen on 192.0.2.1:0", serve=CANNOT_START,
    ),
    Row("kubeconfig beside objects", 'kubeconfig = "k"', "kubeconfig: is set together with objects"),
    Row("context alone", 'context = "x"', "context: is set without kubeconfig"),
    Row("label selector", '[kubernetes]\nlabels = "app in web"', 'kubernetes.labels: found "app in web"'),
    Row(
        "selector beside objects", '[kubernetes]\nlabels = "app=web"',
        "has no effect with objects", serve=SERVES,
    ),
    Row("no objects there", 'objects = "none"', "none: there is no such file"),
    Row("objects in a FIFO", 'objects = "fifo"', "fifo: is a FIFO, expected a regular file", make=only("fifo", None)),
    Row(
        "objects in a subfolder", "", "subfolders are not read: sub", serve=SERVES,
        make=lambda folder: (folder / "objects" / "sub").mkdir(),
    ),
    Row("no zone file", USES_ZONE, "lab.zone: there is no such file"),
    Row("zone without SOA", USES_ZONE, "lab.zone: 0 SOA records", make=static("$TTL 5\na. A 192.0.2.1\n")),
    Row("zone with a delegation", USES_ZONE, "lab.zone:3: sub.lab.example. NS is a", make=static(ZONE + "sub NS ns\n")),
    Row("zone of class CH", USES_ZONE, "lab.zone:3: x.lab.example. is of class CH", make=static(ZONE + "x CH TXT a\n")),
    Row("out of zone", USES_ZONE, "lab.zone:3: x.test. is not in", make=static(ZONE + "x.test. A 192.0.2.1\n")),
    Row("no address", USES_ZONE, "lab.zone:3: A 192.0.2.1000: not", make=static(ZONE + "x A 192.0.2.1000\n")),
    Row(
        "zone in the cluster's domain", USES_ZONE, 'lies in the cluster domain "cluster.local"',
        make=static(ZONE.replace("lab.example", "svc.cluster.local")),
    ),
    Row("no authorities", '[forwarding]\nauthorities = "ca.pem"', "ca.pem: there is no such file"),
    Row(
        "authorities that are none", '[forwarding]\nauthorities = "c.toml"',
        "c.toml: has no readable certificates in PEM format",
    ),
    Row("no file of upstreams", 'upstreams = ["./resolv.conf"]', "resolv.conf: there is no such file", serve=SERVES),
    Row(
        "file without upstreams", 'upstreams = ["./c.toml"]', "c.toml: has no valid line `nameserver", serve=SERVES
    ),
    Row(
        "file with a line without an address", 'upstreams = ["./r"]', "nameserver 192.0.2.300",
        serve=SERVES, make=lambda folder: (folder / "r").write_text("nameserver 192.0.2.300\nnameserver 192.0.2.1\n"),
    ),
    Row("file meant, hostname written", 'upstreams = ["resolv.conf"]', 'write "./resolv.conf"', serve=SERVES),
    Row(
        "the server as its own upstream", 'listen = ["127.0.0.1:18553"]\nupstreams = ["127.0.0.1:18553"]',
        "a loop, it is left out", serve=SERVES,
    ),
    Row("upstream twice", 'upstreams = ["9.9.9.9", "9.9.9.9"]', "c.toml:6: upstreams[1]: 9.9.9.9 is already in"),
    Row(
        "search list without search", '[search]\nnamespaces = ["a"]',
        "has no effect without `enabled = true`", serve=SERVES,
    ),
    Row("no token", 'admin_token = "token"', "token: there is no such file", serve=SERVES),
    Row("state is a file", 'state = "c.toml"', "c.toml: is not a folder; no snapshot is kept", serve=SERVES),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "objects").mkdir()
    for source in sorted((FOLDER / "zones" / "demo").iterdir()):
        (tmp_path / "objects" / source.name).write_bytes(source.read_bytes())
    return tmp_path


def write(folder: Path, row: Row) -> None:
    lines = GOOD.splitlines()
    if row.text:
        given = {match[1] for match in re.finditer(r"^(\w+) =", row.text.partition("\n[")[0], re.MULTILINE)}
        # A line that is replaced stays as a comment, so that a row's first line is always the sixth.
        lines = [f"# {line}" if line.split()[0] in given else line for line in lines]
    (folder / "c.toml").write_text("\n".join([*lines, row.text, ""]))
    row.make(folder)


def command(what: str, folder: Path, row: Row) -> list[str]:
    config = () if "--config" in row.flags else ("--config", "c.toml")
    return [sys.executable, "-m", "dnsserver", what, *config, *row.flags]


def checked(folder: Path, row: Row) -> tuple[int, str]:
    done = subprocess.run(
        command("check", folder, row), cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert bool(done.stdout) == (done.returncode == 0)
    return done.returncode, done.stderr


def served(folder: Path, row: Row) -> tuple[int | None, str, int]:
    """Return how it ended by itself (or None), what it said until it served or ended, and the status of /readyz."""
    process = subprocess.Popen(command("serve", folder, row), cwd=folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said, ready = "", 0
    try:
        for line in process.stderr:
            said += line
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "serving":
                ready = readiness(event["admin"])
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)
                return None, said, ready
        return process.wait(PATIENCE), said, ready
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def readiness(admin: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{admin}/readyz", timeout=PATIENCE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_mistake_is_said_by_both_and_check_is_never_content_where_serve_is_not(folder: Path, row: Row) -> None:
    write(folder, row)
    status, told = checked(folder, row)
    ended, said, ready = served(folder, row)
    assert row.says in told
    assert row.says in said.replace('\\"', '"')
    assert (status, ended, ready) == (row.check, row.serve, 200 if row.serve is SERVES else 0)
    for text in (told, said):
        assert "Traceback" not in text
        assert len(text) < 5000
    if row.serve is SERVES:
        assert '"level": "warning"' in said
    first = next(line for line in told.splitlines() if row.says in line)
    outcome = "serves" if ended is None else ended
    agree("configurations", row.name, row.says, first.replace(f"{folder}/", ""), status, outcome, ready or "-")


def test_the_page_has_these_mistakes_and_no_others() -> None:
    expect_rows("configurations", [row.name for row in ROWS])


def test_what_is_in_order_is_served_without_a_warning(folder: Path) -> None:
    row = Row("good", "", "", serve=SERVES, check=0)
    write(folder, row)
    assert checked(folder, row) == (0, "")
    ended, said, ready = served(folder, row)
    assert (ended, ready) == (None, 200)
    assert '"level": "warning"' not in said
    assert '"level": "error"' not in said


def test_check_takes_the_flags_of_serve(folder: Path) -> None:
    row = Row(
        "flags", "", "", flags=("--listen", "127.0.0.1:1", "--domain", "k8s.example", "--state", "here", "--ttl", "9")
    )
    write(folder, row)
    done = subprocess.run(
        command("check", folder, row), cwd=folder, capture_output=True, text=True, check=True, timeout=20
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "# In force, from c.toml and --domain, --listen, --state, --ttl:"
    for line in (
        'listen = ["127.0.0.1:1"]  # default: ["0.0.0.0:53", "[::]:53"]',
        'domain = "k8s.example"  # default: "cluster.local"',
        f'state = "{folder}/here"  # default: not set',
        "ttl = 9  # default: 5",
        'pods = "insecure"',
    ):
        assert line in lines
