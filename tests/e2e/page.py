"""docs/troubleshooting.md: its rows are what the tests of mistakes see.

Each test compares its row with the page; with DNSSERVER_TABLE=1 it writes the row instead:
`DNSSERVER_TABLE=1 pytest tests/e2e/test_broken_config.py tests/e2e/test_broken_objects.py tests/e2e/test_broken_api.py`
"""

import os
import re
from collections.abc import Iterable

from tests.e2e.process import FOLDER

PAGE = FOLDER / "docs" / "troubleshooting.md"
_LONGEST = 200  # characters of a sentence
_HEAD = 2  # lines of a table before its rows
# What differs in another run or with another Python.
_VARYING = [
    (re.compile(r" ?\(_ssl\.c:\d+\)"), ""),
    (re.compile(r"127\.0\.0\.1:\d{5}"), "127.0.0.1:PORT"),
    (re.compile(r"process \d+"), "process PID"),
    (re.compile(r"for \d+ s$"), "for some seconds"),
    (re.compile(r"0x[0-9a-f]+"), "0x…"),
]


def agree(table: str, name: str, says: str, text: str, *columns: object) -> None:
    """Expect that a row of the page has these columns, and `says` in its sentence.

    With DNSSERVER_TABLE set, write the row first; its sentence is then `text`, cut if it is long.
    """
    row = [name, _sentence(says, text), *map(str, columns)]
    if "DNSSERVER_TABLE" in os.environ:
        _write(table, row)
    found = _rows(table).get(name)
    assert found is not None, f"no row {name!r} in {PAGE}: write it with DNSSERVER_TABLE=1"
    assert found[2:] == row[2:]
    assert _cell(_plain(says)) in found[1]


def expect_rows(table: str, names: Iterable[str]) -> None:
    """Expect that a table of the page has a row for each mistake that is tried, and no other."""
    assert list(_rows(table)) == list(names)


def _sentence(says: str, text: str) -> str:
    plain, sought = _plain(text), _plain(says)
    end = max(_LONGEST, plain.find(sought) + len(sought))
    return _cell(plain if len(plain) <= end else f"{plain[:end]}…")


def _plain(text: str) -> str:
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*").replace("[", "\\[")


def _rows(table: str) -> dict[str, list[str]]:
    lines = _part(PAGE.read_text("utf-8"), table)[1].splitlines()[_HEAD:]
    cells = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines]
    return {row[0]: row for row in cells}


def _part(text: str, table: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(f"<!-- {table}: begin -->\n\n")
    inside, end, after = rest.partition(f"\n<!-- {table}: end -->")
    assert begin
    assert end
    return before + begin, inside, end + after


def _write(table: str, row: list[str]) -> None:
    before, inside, after = _part(PAGE.read_text("utf-8"), table)
    rows = _rows(table) | {row[0]: row}
    head = inside.splitlines()[:_HEAD]
    lines = [*head, *(f"| {' | '.join(each)} |" for each in rows.values())]
    PAGE.write_text("{}{}\n{}".format(before, "\n".join(lines), after), "utf-8")
