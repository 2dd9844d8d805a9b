"""The code that reads the command line is not part of the process that serves, but its output and status are."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]
# The program with an app that only says what it was given, and whether what reads a command line is there.
PROGRAM = """
import sys
sys.argv = ["dnsserver", "serve", *sys.argv[1:]]
import dnsserver.app
def run(loaded, warnings):
    config = loaded.config
    print([str(listen) for listen in config.listen], config.ttl, config.workers, loaded.given)
    print(sorted({"click", "dnsserver.cli", "gettext", "shutil"} & set(sys.modules)), [text for _, text, _ in warnings])
    return 7
dnsserver.app.run = run
from dnsserver.__main__ import main
main()
"""
NO_FORK = "import os\ndef fork(): raise BlockingIOError(11, 'no process')\nos.fork = fork\n"


def ran(*words: str | Path, code: str = PROGRAM) -> tuple[int, str, str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_server_has_its_flags_and_not_what_read_them(tmp_path: Path) -> None:
    file = tmp_path / "ä.toml"
    file.write_text("ttl = 9\n")
    words = ("--config", file, "--listen", "127.0.0.1:1053", "--listen", "[::1]:1053", "--workers", "2")
    rest = ("--objects", "zones/demo")
    status, out, err = ran(*words, *rest)
    assert (status, err) == (7, "")
    assert out == f"['127.0.0.1:1053', '[::1]:1053'] 9 2 {file}\n[] []\n"
    status, again, err = ran(*words, *rest, code=NO_FORK + PROGRAM)
    assert (status, err) == (7, "")
    assert again.splitlines()[0] == out.splitlines()[0], "without another process this one reads them"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--help",), 0, "Serve a cluster until SIGTERM"),
        (("--nix",), 2, "No such option '--nix'"),
        (("--ttl", "x"), 2, "'x' is not a valid integer"),
        (("--ttl", "4000"), 2, "--ttl: found 4000, expected a whole number"),
        (("--config", "/nowhere"), 2, "/nowhere: there is no such file"),
        (("--objects", "/nowhere"), 2, "there is no such file or folder"),
    ],
)
def test_where_nothing_is_served_it_says_why_once(words: tuple[str, ...], status: int, said: str) -> None:
    found, out, err = ran(*words)
    assert found == status
    assert (out + err).count(said) == 1
    assert "Traceback" not in err


def test_if_what_reads_the_flags_is_killed_nothing_is_served() -> None:
    killed = "import os, dnsserver.cli\ndnsserver.cli.cli = lambda **_: os.kill(os.getpid(), 9)\n"
    assert ran(code=killed + PROGRAM)[0] == 128 + 9


def test_nothing_of_it_is_left() -> None:
    code = PROGRAM.replace("return 7", "import os; print(os.listdir('/proc/self/fd')); os.waitpid(-1, 0)")
    status, out, err = ran("--objects", "zones/demo", code=code)
    assert status == 1
    assert "ChildProcessError" in err, "there is no child"
    assert len(eval(out.splitlines()[-1])) == 4, "0, 1, 2, and the folder's own"  # noqa: S307
