"""The Markdown files of the repository."""

import re
from pathlib import Path

from tests.deployment import ROOT

PAGES = sorted(path for path in ROOT.glob("**/*.md") if not {".venv", ".pytest_cache"} & set(path.parts))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def title(page: Path) -> str:
    """What a page is called here: its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCED.sub("", page.read_text())
