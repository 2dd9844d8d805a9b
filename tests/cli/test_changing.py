"""`dnsserver changes`: what it asks a server, what it prints, and which moments it understands."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from click.testing import CliRunner, Result

from dnsserver.cli import cli
from dnsserver.cli.changing import since
from dnsserver.page.changes import ChangeList, ChangeRow

HOST = "127.0.0.1"
NOW = datetime(2026, 11, 27, 14, 30, tzinfo=UTC).timestamp()
FOUND = ChangeList(
    NOW,
    1000,
    (
        ChangeRow("shop", "web", NOW - 60, NOW - 30, 6, ("ready addresses 4 → 0 → 4", "not ready 2 → 0"), True),
        ChangeRow("bank", "", NOW - 86400, NOW - 86400, 1, ("created: a Namespace",), False),
        ChangeRow("shop", "x\x1b[2J", NOW - 86401, NOW - 86401, 1, ("created: ExternalName a\nb",), False),
    ),
    since=NOW - 2 * 86400,
)
SINCE = "this is what changed since 2026-11-25 14:30:00; what was before is not known\n"
SHOWN = r"""
2026-11-26 14:29:59    shop/x\x1b[2J  created: ExternalName a\nb
2026-11-26 14:30:00    bank           created: a Namespace
           14:29:00  ! shop/web       ready addresses 4 → 0 → 4; not ready 2 → 0 (6 events until 14:29:30)
""".lstrip()
LAST = "14:29:00  ! shop/web  ready addresses 4 → 0 → 4; not ready 2 → 0 (6 events until 14:29:30)"


class Pages(ThreadingHTTPServer):
    """A server that says `found`, or why not, and keeps what it was asked."""

    found = FOUND
    refusal = ""

    def __init__(self) -> None:
        super().__init__((HOST, 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        self.server.asked.append((target.path, dict(parse_qsl(target.query))))
        body = self.server.refusal.encode() or msgspec.json.encode(self.server.found)
        self.send_response(400 if self.server.refusal else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pages() -> Iterator[Pages]:
    with Pages() as found:
        thread = Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def run(pages: Pages, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["changes", "--server", f"{HOST}:{pages.server_port}", *arguments])


def test_the_last_one_is_at_the_end_and_nothing_in_a_name_moves_the_cursor(pages: Pages) -> None:
    result = run(pages)
    assert (result.exit_code, result.stdout) == (0, SINCE + SHOWN)
    assert pages.asked == [("/changes", {"limit": "50"})]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("shop",), {"namespace": "shop"}),
        (("web.shop",), {"namespace": "shop", "service": "web"}),
        (("web.shop.svc.cluster.local",), {"namespace": "shop", "service": "web"}),
        (("shop/web", "--limit", "7"), {"namespace": "shop", "service": "web", "limit": "7"}),
        (("--since", "2026-11-27T14:02:00Z"), {"since": "1795788120.000"}),
    ],
)
def test_what_is_asked_for(pages: Pages, arguments: tuple[str, ...], asked: dict[str, str]) -> None:
    assert run(pages, *arguments).exit_code == 0
    assert pages.asked == [("/changes", {"limit": "50"} | asked)]


def test_as_json_it_is_what_the_server_says(pages: Pages) -> None:
    assert json.loads(run(pages, "--json").stdout) == json.loads(msgspec.json.encode(FOUND))


@pytest.mark.parametrize(
    ("found", "arguments", "lines"),
    [
        ({}, (), ["nothing changed since 14:00:00; what was before is not known"]),
        ({}, ("--since", "2026-11-27T13:00:00Z"), ["nothing changed since 14:00:00; what was before is not known"]),
        (
            {},
            ("--since", "2026-11-28T14:10:00Z"),
            ["2026-11-28 14:10:00 has not come yet: at the server it is 14:30:00 UTC"],
        ),
        ({}, ("--since", "2026-11-27T14:10:00Z"), ["nothing changed since 14:10:00"]),
        ({"since": 0.0, "absent": True}, ("shop",), ["the cluster is not read yet, so no change of it is known"]),
        (
            {"absent": True},
            ("shpo",),
            ["nothing changed since 14:00:00; what was before is not known", "there is no namespace shpo now"],
        ),
        (
            {"absent": True, "unheard": "the API server is gone"},
            ("shop/wbe", "--since", "2026-11-27T14:10:00Z"),
            [
                "nothing changed since 14:10:00",
                "there is no Service shop/wbe now",
                "the last changes may be missing: the API server is gone",
            ],
        ),
        ({"rows": FOUND.rows[:1]}, ("--since", "2026-11-27T14:10:00Z"), [LAST]),
        (
            {"rows": FOUND.rows[:1]},
            ("--limit", "1"),
            ["the last row; --limit shows more", LAST],
        ),
    ],
)
def test_from_when_on_it_is_known_and_what_is_not(
    pages: Pages, found: dict[str, Any], arguments: tuple[str, ...], lines: list[str]
) -> None:
    nothing = ChangeList(NOW, 1000, (), since=NOW - 1800)
    pages.found = msgspec.structs.replace(nothing, **found)
    assert run(pages, *arguments).stdout.splitlines() == lines


@pytest.mark.parametrize("text", ["a/b/c", "shop/", "/web", "x y", "db-0.db.shop"])
def test_what_is_neither_a_namespace_nor_a_service(pages: Pages, text: str) -> None:
    result = run(pages, text)
    assert (result.exit_code, pages.asked) == (2, [])
    assert f'found "{text}", expected NAMESPACE or NAMESPACE/SERVICE' in result.stderr


def test_a_refusal_is_told_in_flags_and_is_status_2(pages: Pages) -> None:
    pages.refusal = 'limit: found "50", expected a number from 1 to 10'
    result = run(pages)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == '--limit: found "50", expected a number from 1 to 10\n'


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("14:02", 28 * 60),
        ("14:29:30", 30),
        ("14:31", 86400 - 60),
        ("2026-11-27T14:02:00Z", 28 * 60),
        ("2026-11-27 14:02:00", 28 * 60),
        ("2026-11-27T15:02:00+01:00", 28 * 60),
        ("2026-11-26", 86400 + 14.5 * 3600),
    ],
)
def test_a_moment(text: str, ago: float) -> None:
    assert since(text, NOW) == NOW - ago


@pytest.mark.parametrize("text", ["", "x", "15", "-5m", "25:00", "14:60", "14:2", "2026-13-01", "²m"])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        since(text, NOW)
    result = CliRunner().invoke(cli, ["changes", "--since", text])
    assert result.exit_code == 2
    assert f'found "{text}", expected how long ago' in result.stderr
