"""Which running server a command asks."""

from pathlib import Path

import pytest

from dnsserver.cli.running import in_force


@pytest.mark.parametrize(
    ("words", "admin"),
    [
        ("python -m dnsserver serve --config=@ --admin=[::]:9153", "[::]:9153"),
        ("/usr/bin/python3 /app/bin/dnsserver serve --admin 10.0.0.1:9253 --upstream 9.9.9.9", "10.0.0.1:9253"),
        ("python -m dnsserver serve --config=@", "127.0.0.1:7777"),
        ("python -m dnsserver serve", "[::]:8053"),
        ("python -m dnsserver serve --of-another-version 3", "[::]:8053"),
        ("python -m dnsserver check --admin=[::]:9153", "[::]:8053"),
        ("/sbin/init serve --admin=[::]:9153", "[::]:8053"),
        ("dnsserver", "[::]:8053"),
        ("", "[::]:8053"),
    ],
)
def test_the_configuration_of_the_server_that_a_container_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, admin: str
) -> None:
    monkeypatch.chdir(tmp_path)  # where no default file is
    file, first = tmp_path / "c.toml", tmp_path / "cmdline"
    file.write_text('admin = "127.0.0.1:7777"')
    first.write_bytes(b"".join(word.replace("@", str(file)).encode() + b"\0" for word in words.split()))
    assert str(in_force(None, first).admin) == admin


def test_a_file_that_is_named_goes_before_that(tmp_path: Path) -> None:
    file, first = tmp_path / "c.toml", tmp_path / "cmdline"
    file.write_text('admin = "127.0.0.1:7777"')
    first.write_bytes(b"python\0-m\0dnsserver\0serve\0--admin=[::]:9153\0")
    assert str(in_force(file, first).admin) == "127.0.0.1:7777"


def test_without_a_first_process_it_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(in_force(None, tmp_path / "none").admin) == "[::]:8053"
