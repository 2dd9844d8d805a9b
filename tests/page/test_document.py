"""The page as a document: nothing in it but what the policy allows, and nothing of the server's data."""

import base64
import hashlib
import re

from dnsserver.page.document import document
from dnsserver.server.http import Request, Response

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def page(status: int = 200, accept: str = BROWSER) -> Response | None:
    return document(Request("GET", "/", {}, {"accept": accept}, "127.0.0.1"), status)


def test_who_is_no_browser_gets_none() -> None:
    for accept in ("", "*/*", "application/json", "text/plain"):
        assert page(accept=accept) is None


def test_the_policy_lets_the_page_s_own_script_and_style_run_and_nothing_else() -> None:
    found = page()
    assert found is not None
    assert isinstance(found.body, bytes)
    text = found.body.decode()
    policy = dict(part.strip().partition(" ")[::2] for part in found.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in found.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        [inside] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert policy[f"{tag}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
    assert not re.findall(r"\bon[a-z]+=|\bstyle=|javascript:", text.partition("<body>")[2].partition("<script>")[0])


def test_nothing_is_asked_of_others() -> None:
    found = page()
    assert found is not None
    assert isinstance(found.body, bytes)
    text = found.body.decode()
    assert set(re.findall(r"""(?:https?:)?//[a-z][\w.]+\.\w+[^\s"'`]*""", text)) <= {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text
    assert "eval(" not in text


def test_a_stranger_gets_the_same_document_with_another_status() -> None:
    found, denied = page(), page(403)
    assert found is not None
    assert denied is not None
    assert (found.status, denied.status) == (200, 403)
    assert found.body == denied.body
    assert found.headers == denied.headers
