"""A browser that looks at the page: headless Chromium, driven from outside, with all that goes wrong in it noted."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# The folder of the screenshots of the last run; git ignores it.
ARTEFACTS = Path(os.environ.get("ARTEFACTS", Path(__file__).parents[2] / "artefacts"))
PATIENCE = 15_000  # ms


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Run a browser without its sandbox, which does not work in a container."""
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab, the requests that it sent, and the errors and warnings in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.wrong: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in {"error", "warning"} else None)

    def shows(self, text: str, where: str = "body") -> None:
        """Wait until a text is shown."""
        self.page.locator(where).filter(has_text=text).first.wait_for()

    def fact(self, term: str) -> str:
        """Return what the overview says of a term."""
        return _plain(self.page.locator(f"#facts div:has(dt:text-is('{term}')) dd").inner_text())

    def rows(self, table: str) -> list[list[str]]:
        """Return the cells of a table, by the id of where it is shown."""
        rows = self.page.locator(f"#{table} tbody tr").all()
        return [[_plain(cell) for cell in row.locator("th, td").all_inner_texts()] for row in rows]

    def hide(self, hidden: bool) -> None:
        """Tell the page that its tab is hidden, or visible again."""
        self.page.evaluate(
            "(hidden) => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });"
            "document.dispatchEvent(new Event('visibilitychange')); }",
            hidden,
        )

    def keep(self, name: str) -> None:
        """Save a screenshot of the whole page."""
        ARTEFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


def _plain(text: str) -> str:
    """Return a shown text with ordinary spaces; those of the page keep a number and its unit on one line."""
    return text.strip().replace("\N{NO-BREAK SPACE}", " ")


@contextmanager
def tab(browser: Browser, url: str, *, scheme: Literal["light", "dark"] = "light", width: int = 1280) -> Iterator[Tab]:
    """Open a tab with the page."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    try:
        opened = Tab(context.new_page())
        opened.page.goto(url)
        yield opened
    finally:
        context.close()
