"""The answers that README.md shows are those of `make run`."""

import re
import shutil
import subprocess

import pytest

from tests.e2e.process import FOLDER, PATIENCE, served

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("dig") is None, reason="needs dig (Debian: bind9-dnsutils)"),
]

FLAGS = ("--config=zones/dnsserver.toml", "--objects=zones/demo", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0")


def shown() -> dict[str, str]:
    """The commands of README.md whose output it has, and that output."""
    blocks = re.findall(r"^```\n(\$ .*?)^```", (FOLDER / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    commands = [part.partition("\n") for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return {command: output for command, _, output in commands}


def steady(text: str) -> str:
    """Output without what differs each time, and with one blank between columns."""
    return re.sub(r"[ \t]+", " ", re.sub(r"id: \d+", "id: ID", text))


def test_the_answers_are_those_that_are_given() -> None:
    commands = shown()
    assert {"+noall" in command for command in commands} == {True, False}
    with served(*FLAGS) as server:
        for command, output in commands.items():
            asked = subprocess.run(
                ["bash", "-c", command.replace("-p 1053", f"-p {server.port}")],
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE,
            )
            assert steady(asked.stdout) == steady(output), command
