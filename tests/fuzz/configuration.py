"""Configuration files: each is refused with the places of its mistakes, or can be printed and read again."""

import random
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from dnsserver.config import ConfigError, render
from dnsserver.config.reader import load_text
from tests.fuzz.pieces import separated
from tests.fuzz.quick import remember_fields

_FILE = Path("/etc/dnsserver/dnsserver.toml")
_MOST = 4_000  # characters of a message

remember_fields()
# The lines of the file with all settings, by table, each with its head first; the first lines are in no table.
_LINES = re.findall(
    r"^#?((?:\w+ = .+|\[.+\]))$", (Path(__file__).parents[2] / "zones/dnsserver.toml").read_text(), re.MULTILINE
)
_HEADS = [0, *(number for number, line in enumerate(_LINES) if line.startswith("[")), len(_LINES)]
_TABLES = [_LINES[begin:end] for begin, end in pairwise(_HEADS)]
_VALUES = [line.partition(" = ")[2] for line in _LINES if not line.startswith("[")]
_VALUES += [
    "true",
    "-1",
    "0",
    "1.5",
    "1e400",
    '""',
    "[]",
    '["a.example", "A.example."]',
    "1979-05-27",
    "{}",
    '"x\x7f""',
]


_DOMAIN = re.compile(r"[a-z-]+(?:\.[a-z-]+)*\.example|cluster\.local")
_DOMAINS = """
. a.example b.a.example A.Example cluster.local svc.cluster.local shop.svc.cluster.local pod.cluster.local local
localhost 10.in-addr.arpa 1.10.in-addr.arpa d.f.ip6.arpa 10.0.0.0/8 example.:53 https://a.example invalid *.example x..y
""".split()  # noqa: SIM905 - a list of so many quotes hides them


def _table(chance: random.Random) -> bytes:
    """Return a table with all or some of its lines, perhaps with a value or a domain of another table."""
    head, *lines = chance.choice(_TABLES)
    if chance.random() < 0.4 or len(lines) > 20:
        lines = chance.sample(lines, min(len(lines), 1 + chance.randrange(4)))
    if lines and chance.random() < 0.2:
        at = chance.randrange(len(lines))
        lines[at] = f"{lines[at].partition(' = ')[0]} = {chance.choice(_VALUES)}"
    text = "\n".join([head, *lines])
    if chance.random() < 0.3:
        text = _DOMAIN.sub(lambda _: chance.choice(_DOMAINS), text)
    return text.encode()


PIECES = separated(b"\n\n", _table)


def run(data: bytes) -> None:
    """Read a text as a configuration; print a valid one, read that again, and expect that it is printed the same."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        shown = render(load_text(text, _FILE))
    except ConfigError as error:
        _check([*map(str, error.problems)])
    else:
        assert render(load_text(shown, _FILE)) == shown


def _check(problems: Sequence[str]) -> None:
    assert problems
    for problem in problems:
        assert re.match(rf"{_FILE}(:\d+)?(:\d+)?: .", problem, re.DOTALL), problem
        assert len(problem) <= _MOST, problem[:200]
