"""Errors about flags: a path that is no file, and the errors of a server about keys, translated into flags."""

import pytest
from click.testing import CliRunner

from dnsserver.cli import cli
from dnsserver.cli.flags import in_flags

NAMES = {"name": "NAME", "type": "--type", "pod": "--pod", "namespace": "--namespace", "rcodes": "--rcode"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('/tail: rcodes[0]: found "NX", expected "DROP"', '--rcode: found "NX", expected "DROP"'),
        ("name: a\ntype: b; for all types leave the key out", "NAME: a\n--type: b; for all types leave the flag out"),
        ("pod and namespace are both given, expected one", "--pod and --namespace are both given, expected one"),
        ("127.0.0.1:8053 was silent for 60 s", "127.0.0.1:8053 was silent for 60 s"),
        ("the zone is not read yet: services", "the zone is not read yet: services"),
        ("", ""),
    ],
)
def test_keys_are_told_as_flags(said: str, told: str) -> None:
    assert in_flags(said, NAMES) == told


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("check", "-"), 'found "-", expected the path of a file: standard input is not read'),
        (("check", ""), "found nothing, expected the path of a file"),
        (("check", "--config", ""), "found nothing, expected the path of a file"),
        (("serve", "--config", "-"), 'found "-", expected the path of a file: standard input is not read'),
        (("import-corefile", ""), "found nothing, expected the path of a file"),
        (("compare", "--with", "127.0.0.1", "--names", "-"), 'found "-", expected the path of a file'),
    ],
)
def test_no_file_is_standard_input(words: tuple[str, ...], text: str) -> None:
    found = CliRunner().invoke(cli, words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert text in " ".join(found.stderr.split())
