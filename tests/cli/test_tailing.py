"""What `dnsserver tail` asks for, what it prints, and what it says of a server that is another one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.testing import CliRunner

from dnsserver.cli import cli

HOST = "127.0.0.1"
FOLLOWING = b'{"event":"following"}\n'
SEEN = {
    "timestamp": "2026-11-27T14:02:00.123456Z",
    "event": "query",
    "client": "10.244.1.7",
    "protocol": "udp",
    "name": "www.example.com.",
    "type": "A",
    "rcode": "SERVFAIL",
    "reason": "upstream-timeout",
    "text": "no upstream replied",
    "source": "upstream",
    "seconds": 0.25,
}
LEFT_OUT = {"event": "left out", "count": 3, "not_looked_at": 4}


@contextmanager
def answering(body: bytes, asked: list[str]) -> Iterator[str]:
    """Run a server that gives this to everybody; yield its address, and note what it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def tail(body: bytes, *flags: str) -> tuple[int, str, str, dict[str, str]]:
    """Return the status, both outputs with `@` for the server, and what was asked for."""
    asked: list[str] = []
    with answering(body, asked) as server:
        result = CliRunner().invoke(cli, ["tail", "--server", server, *flags], prog_name="dnsserver")
        (path,) = asked
        assert path.partition("?")[0] == "/tail"
        query = dict(parse_qsl(urlsplit(path).query))
        return result.exit_code, result.stdout, result.stderr.replace(server, "@"), query


@pytest.mark.parametrize(
    ("flags", "query"),
    [
        ((), {}),
        (("--slow", "200"), {"took": "0.200000"}),
        (("--class", "error", "--slow", "200"), {"classes": "error", "took": "0.200000"}),
        (("--class", "all", "--slow", "200"), {"classes": "all", "took": "0.200000"}),
        (("--class", "slow"), {"classes": "slow"}),
        (("--class", "slow", "--slow", "200"), {"classes": "slow", "slow": "0.200000", "took": "0.200000"}),
        (("--name", "example.com", "--sample", "3"), {"below": "example.com", "sample": "3"}),
    ],
)
def test_each_flag_is_a_condition_of_its_own(flags: tuple[str, ...], query: dict[str, str]) -> None:
    status, _, _, asked = tail(FOLLOWING, *flags)
    assert (status, asked) == (0, query)


def test_a_line_for_people_and_one_for_programs() -> None:
    lines = [FOLLOWING, json.dumps(SEEN).encode() + b"\n", b"\n", json.dumps(LEFT_OUT).encode() + b"\n"]
    status, out, err, _ = tail(b"".join(lines))
    assert status == 0
    question, left_out = out.splitlines()
    assert question.split() == [
        "14:02:00.123", "10.244.1.7", "udp", "SERVFAIL", "250.0", "ms", "A", "www.example.com.", "upstream",
        "upstream-timeout:", "no", "upstream", "replied",
    ]  # fmt: skip
    assert left_out == "… 3 more were left out, and 4 replies not looked at"
    assert err.startswith("the server has ended the stream")
    _, out, _, _ = tail(b"".join(lines), "--json")
    assert out.encode().splitlines() == [line.strip() for line in lines if line.strip()]


OTHER = "it is not a dnsserver, or has another version\n"


@pytest.mark.parametrize("flags", [(), ("--json",)])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<!doctype html>\n<title>A page</title>\n", f"): {OTHER}"),
        (b"\n\nhello", f"): {OTHER}"),
        (b"[1]\n", f"): {OTHER}"),
        (b'{"status":"ok"}', f"(Object missing required field `event`): {OTHER}"),
        (b'{"event":"query","seconds":"x"}', f"): {OTHER}"),
    ],
)
def test_who_answers_something_else_is_no_dnsserver(body: bytes, text: str, flags: tuple[str, ...]) -> None:
    status, out, err, _ = tail(body, *flags)
    assert (status, out) == (2, "")
    assert err.startswith("@/tail returned something unexpected (")
    assert err.endswith(text)


def test_who_answers_nothing_is_no_dnsserver_either() -> None:
    assert tail(b"")[:3] == (2, "", "@/tail returned nothing: it is not a dnsserver\n")
