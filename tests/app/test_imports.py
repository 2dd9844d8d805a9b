"""What a server imports: every import costs time at each start, and memory as long as the server runs."""

from pathlib import Path

import pytest

from tests.interpreter import printed

FOLDER = Path(__file__).parents[2]
NEVER = {"asyncio", "rich", "structlog", "httpx2", "anyio", "kubernetes", "yaml", "prometheus_client", "http.server"}
NEVER |= {"argparse", "difflib", "email", "zipfile"}  # which only what somebody asks for needs, if that
# Which libraries import, and no server uses.
NEVER |= {"bz2", "lzma", "typing_extensions", "uuid", "decimal", "click", "h2"}
SHOWN = {"dnsserver.page.browse", "dnsserver.explain", "dnsserver.advice"}  # for who looks at the page
RULES = {"dnslib", "re2", "dnsserver.resolver.rules"}  # for who has zone files or rules


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("dnsserver.app.server", {*NEVER, *RULES, *SHOWN, "httpcore2"}),  # of object files
        ("dnsserver.app.api_source", {*NEVER, *RULES}),
        ("dnsserver.app.worker", {*NEVER, *RULES, "httpcore2"}),
    ],
)
def test_a_server_imports_nothing_that_it_can_do_without(module: str, without: set[str]) -> None:
    code = f"import sys, {module}; print(*(sorted({without!r} & set(sys.modules))))"
    assert printed(code, folder=FOLDER).split() == []
