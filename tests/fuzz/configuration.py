"""Configuration files: each is refused with the places of its mistakes, or can be printed and read again."""

import re
from collections.abc import Sequence
from pathlib import Path

from dnsserver.config import ConfigError, render
from dnsserver.config.reader import load_text

_FILE = Path("/etc/dnsserver/dnsserver.toml")
_MOST = 4_000  # octets of a sentence


def run(data: bytes) -> None:
    """Read a text, and what is printed of it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        shown = render(load_text(text, _FILE))
    except ConfigError as error:
        _check(error.problems)
    else:
        assert render(load_text(shown, _FILE)) == shown


def _check(problems: Sequence[str]) -> None:
    assert problems
    for problem in problems:
        assert re.match(rf"{_FILE}(:\d+)?(:\d+)?: .", problem, re.DOTALL), problem
        assert len(problem) <= _MOST, problem[:200]
