"""The page as one document: it contains its style and its script, and nothing else may be loaded or run.

A browser elsewhere gets the document before it has the token. So the document has no data of the server; the script
asks for that.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path

from dnsserver.server.http import Request, Response

_FILES = Path(__file__).parent / "files"
# The order in which they are run: what is used while a file is run stands in one before it.
_SCRIPTS = (
    "dom.js",
    "format.js",
    "server.js",
    "charts.js",
    "overview.js",
    "lists.js",
    "browse.js",
    "explain.js",
    "askers.js",
    "page.js",
)


def document(request: Request, status: int) -> Response | None:
    """Return the page, whose parts are read at the first request; None if the client is no browser. Raises OSError."""
    if "text/html" not in request.headers.get("accept", ""):
        return None
    body, policy = _document()
    return Response(body, status, "text/html; charset=utf-8", {"Content-Security-Policy": policy})


@cache
def _document() -> tuple[bytes, str]:
    """Return the document and its Content-Security-Policy (W3C, level 3)."""
    style = "\n" + (_FILES / "page.css").read_text("utf-8")
    # One scope for all, and none of it is global.
    parts = "\n".join((_FILES / name).read_text("utf-8") for name in _SCRIPTS)
    script = f'\n"use strict";\n{{\n{parts}}}\n'
    html = (_FILES / "page.html").read_text("utf-8")
    html = html.replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return html.encode(), policy


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
