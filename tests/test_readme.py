"""README.md: its first screen, and that its figures are those of docs/benchmarks.md."""

import re

import pytest

from tests.deployment import ROOT

README = (ROOT / "README.md").read_text()
SCREEN, _, _ = README.partition("\n|")  # what stands before the first table
BENCHMARKS = (ROOT / "docs/benchmarks.md").read_text()
UNIT = r" (?:µs|ms|s|MiB|to \d|of \d|from|over|questions)\b| %|\)"
FIGURE = re.compile(rf"(?<![\w.,-])(\d+(?:,\d{{3}})*(?:\.\d+)?)(?={UNIT})")


def paragraph(begin: str) -> str:
    """What stands from a bold word to the next one."""
    return SCREEN.partition(f"**{begin}")[2].partition("\n\n**")[0]


def test_what_comes_before_the_first_table_is_one_screen() -> None:
    lines = SCREEN.splitlines()
    assert len(lines) <= 50
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("said", ["make run", "`make test`", "do not need a cluster", "**What it does not do.**"])
def test_the_first_screen_says(said: str) -> None:
    assert said in SCREEN


def test_there_are_five_reasons_and_each_has_figures() -> None:
    reasons = re.split(r"^- ", paragraph("Why"), flags=re.MULTILINE)[1:]
    assert len(reasons) == 5
    assert [reason for reason in reasons if not FIGURE.search(reason)] == []


def is_measured(figure: str) -> bool:
    """Whether docs/benchmarks.md has the figure, with as many decimals or more."""
    wanted, decimals = float(figure.replace(",", "")), len(figure.partition(".")[2])
    found = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", BENCHMARKS)]
    return any(round(number, decimals) == wanted for number in found)


def test_each_figure_is_one_of_the_benchmarks() -> None:
    figures = FIGURE.findall(paragraph("Why") + paragraph("What it does not do"))
    assert len(figures) >= 15
    assert [figure for figure in figures if not is_measured(figure)] == []


def test_what_is_a_figure() -> None:
    said = "5.7 µs, 64 others, 0.00 %, 1.2 to 1.5 s, none of 11,080 questions (17 of 2,000), 6 from 3 over 9, of 6,451)"
    assert FIGURE.findall(said) == ["5.7", "0.00", "1.2", "1.5", "11,080", "17", "2,000", "6", "3", "6,451"]


def test_the_days_of_the_figures_are_those_of_the_benchmarks() -> None:
    first, *others = re.findall(r"\d{4}-\d\d-\d\d", paragraph("Why"))
    assert first in BENCHMARKS.partition("## ")[0]
    assert [day for day in others if day not in BENCHMARKS] == []


def test_every_page_is_one_step_away() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert sorted(pages - linked) == []
