"""The command line: its standard output, its standard error, and its exit status."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import dnsserver.app
from dnsserver import __version__
from dnsserver.cli import cli
from dnsserver.config import Config, Loaded, ServiceName, load

NO_CLUSTER = "is not set, nor is objects, and this is not a pod: here `serve` would have no cluster to serve"
FOLDER = Path(__file__).parents[2]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that reached an app which ends at once with status 7."""
    configs: list[Config] = []

    def run(loaded: Loaded, warnings: Sequence[tuple[str, str]] = ()) -> int:
        assert not warnings
        configs.append(loaded.config)
        return 7

    monkeypatch.setattr(dnsserver.app, "run", run)
    log = SimpleNamespace(configure_logging=lambda *_: None, report_uncaught=lambda: None)
    monkeypatch.setitem(sys.modules, "dnsserver.log", log)
    return configs


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, arguments, prog_name="dnsserver")
    return result.exit_code, result.stdout, result.stderr


def test_version() -> None:
    assert run("--version") == (0, f"dnsserver {__version__}\n", "")


def test_check_prints_what_would_be_in_force_and_that_loads_back_equal(tmp_path: Path) -> None:
    shipped = FOLDER / "zones" / "dnsserver.toml"
    status, out, err = run("check", str(shipped))
    assert status == 0
    assert err == f"{shipped}: kubeconfig: warning: {NO_CLUSTER}\n"
    (tmp_path / "printed.toml").write_text(out)
    assert load(tmp_path / "printed.toml") == load(shipped)


@pytest.mark.parametrize(("text", "told"), [("", True), ("ttl = 5\n", False), ("# as it is\n", False)])
def test_check_of_an_empty_file(tmp_path: Path, text: str, told: bool) -> None:
    """It is what is left where the program that should have written it has failed."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    status, _, err = run("check", str(path))
    assert (status, f"{path}: warning: is empty, so every setting has its default" in err) == (0, told)


def test_check_of_the_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("check")
    assert status == 0
    assert out.startswith("# In force, from the defaults, as there is no zones/dnsserver.toml:\n")
    assert "ttl = 5\n" in out


def test_check_tells_every_mistake_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("ttl = 'x'\nlisten = ['y']\n")
    status, out, err = run("check", str(file))
    assert (status, out) == (2, "")
    assert [line.partition(" found")[0] for line in err.splitlines()] == [f"{file}:1: ttl:", f"{file}:2: listen[0]:"]


def test_check_of_a_missing_file(tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "none")) == (2, "", f"{tmp_path / 'none'}: there is no such file\n")


def test_serve_hands_over_the_configuration_and_its_status(served: list[Config], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("ttl = 9")
    flags = {
        "--listen": ["127.0.0.1:1053", "[::1]:1053"],
        "--admin": ["127.0.0.1:0"],
        "--domain": ["k8s.example"],
        "--service": ["kube-system/own"],
        "--pods": ["verified"],
        "--kubeconfig": [str(file)],
        "--context": ["here"],
        "--upstream": ["9.9.9.9", "tls://dns.quad9.net"],
        "--workers": ["2"],
        "--state": [str(tmp_path)],
    }
    arguments = [word for flag, values in flags.items() for value in values for word in (flag, value)]
    assert run("serve", "--config", str(file), *arguments) == (7, "", "")
    (config,) = served
    assert [str(address) for address in config.listen] == ["127.0.0.1:1053", "[::1]:1053"]
    assert str(config.admin) == "127.0.0.1:0"
    assert (str(config.domain), config.ttl, config.pods, config.workers) == ("k8s.example", 9, "verified", 2)
    assert config.service == ServiceName("kube-system", "own")
    assert (config.kubeconfig, config.context, config.state) == (file, "here", tmp_path)
    assert [str(upstream) for upstream in config.upstreams] == ["9.9.9.9", "tls://dns.quad9.net"]


def test_serve_names_the_flag_that_is_wrong(served: list[Config]) -> None:
    status, _, err = run("serve", "--ttl", "4000", "--pods", "x", "--upstream", "9.9.9.9", "--upstream", "y:")
    assert status == 2
    assert err.splitlines()[:2] == [
        "--ttl: found 4000, expected a whole number of seconds from 0 to 3600",
        '--pods: found "x", expected "disabled", "insecure" or "verified"',
    ]
    assert err.splitlines()[2].startswith('--upstream: found "y:", expected an address or hostname')
    assert served == []


def test_a_default_is_said_to_be_one_where_there_is_no_file(tmp_path: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "dnsserver", "check"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert checked.stderr == f"kubeconfig, by default: warning: {NO_CLUSTER}\n"


def test_the_module_is_the_same_program_and_check_imports_no_server() -> None:
    code = (
        "import sys; sys.argv = ['x', 'check']\nfrom dnsserver.__main__ import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'trio', 'h11', 'kubernetes', 'dnslib', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    by_code = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER, check=False)
    assert (by_code.returncode, by_code.stderr) == (0, f"zones/dnsserver.toml: kubeconfig: warning: {NO_CLUSTER}\n")
    by_name = subprocess.run(
        [sys.executable, "-m", "dnsserver", "check"], capture_output=True, text=True, cwd=FOLDER, check=True
    )
    assert by_name.stdout == by_code.stdout


@pytest.mark.parametrize("command", [(), ("serve",), ("check",)])
def test_help_fits_80_columns(command: tuple[str, ...]) -> None:
    status, out, _ = run(*command, "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80


def test_check_and_serve_take_the_same_flags() -> None:
    flags = {name: {option.opts[0] for option in cli.commands[name].params} for name in ("serve", "check")}
    assert flags["check"] == flags["serve"] | {"file"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shop.yaml", "; this file has to be TOML: give Kubernetes objects with --objects"),
        ("Corefile", "; this file has to be TOML: translate a Corefile with `dnsserver import-corefile`"),
        ("c.toml", ""),
    ],
)
def test_check_of_a_file_that_is_something_else(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).write_text("kind: Service")
    _, _, err = run("check", str(tmp_path / name))
    assert err == f"{tmp_path / name}:1:5: Expected '=' after a key in a key/value pair{hint}\n"


def test_check_of_two_files(tmp_path: Path) -> None:
    status, _, err = run("check", "a.toml", "--config", "b.toml")
    assert status == 2
    assert "expected one configuration file, got a.toml and --config b.toml" in err


def test_not_more_is_told_than_anybody_reads(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"static = {[f'x{number}' for number in range(1000)]}")
    status, out, err = run("check", str(file))
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == f"{file}:1: static[0]: {tmp_path}/x0: there is no such file"
    assert len(err.splitlines()) == 101
    assert err.splitlines()[-1].startswith("and 90")
