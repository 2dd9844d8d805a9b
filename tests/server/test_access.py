"""Which client may use which page of admin HTTP, without sockets; `tests/e2e/test_admin_access.py` asks from a pod."""

from collections.abc import Awaitable
from pathlib import Path

import pytest
import trio

from dnsserver.metrics import Readings
from dnsserver.server.access import Access
from dnsserver.server.admin import Admin, Request, Response
from dnsserver.server.pages import standard_routes

LOCAL = "10.244.0.9"  # the pod's address
OPEN = ["/healthz", "/readyz", "/metrics", "/health", "/ready"]


def admin(token: Path | None = None, host: str = "::") -> Admin:
    async def read() -> Readings:
        return Readings(ready=True)

    routes = standard_routes(read, lambda: Readings(ready=True), lambda *_: 0)
    return Admin(host, 8053, routes, token=token)


async def waited(answer: Awaitable[Response]) -> Response:
    return await answer


def status(server: Admin, method: str, path: str, client: str, **headers: str) -> int:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = server.respond(Request(method, path, {"name": "a"}, fields, client, LOCAL))
    if not isinstance(answer, Response):
        answer = trio.run(waited, answer)
    if answer.status == 403:
        assert isinstance(answer.body, str)
        assert answer.body.count("\n") == 1  # one line that tells what to do
    return answer.status


@pytest.mark.parametrize(
    ("client", "header", "expected"),
    [
        ("127.0.0.1", "", 200),
        ("127.0.0.2", "", 200),
        ("::1", "", 200),
        ("::ffff:127.0.0.1", "", 200),
        (LOCAL, "", 200),  # from this pod, to its own address
        (f"::ffff:{LOCAL}", "", 200),
        ("127.0.0.6", "", 403),  # Istio's sidecar, for whoever called
        ("::6", "", 403),
        ("10.244.0.10", "", 403),
        ("::ffff:10.0.0.9", "", 403),
        ("fe80::1%eth0", "", 403),
        ("", "", 403),
        ("10.0.0.9", "Bearer right", 200),
        ("10.0.0.9", "bearer  right ", 200),
        ("10.0.0.9", "Bearer wrong", 403),
        ("10.0.0.9", "Bearer rightright", 403),
        ("10.0.0.9", "Bearer ", 403),
        ("10.0.0.9", "Basic right", 403),
        ("10.0.0.9", "right", 403),
        ("10.0.0.9", "Bearer r\u00edght", 403),
    ],
)
def test_this_machine_or_the_token(tmp_path: Path, client: str, header: str, expected: int) -> None:
    token = tmp_path / "token"
    token.write_text("right\n")
    for method, path in (("POST", "/cache/flush"), ("GET", "/"), ("HEAD", "/")):
        assert status(admin(token), method, path, client, host="localhost", authorization=header) == expected, path


@pytest.mark.parametrize("content", [None, "", "\n", b"\xff"])
def test_a_token_file_without_a_token_lets_nobody_in(tmp_path: Path, content: str | bytes | None) -> None:
    token = tmp_path / "token"
    if isinstance(content, bytes):
        token.write_bytes(content)
    elif content is not None:
        token.write_text(content)
    for header in ("Bearer ", "Bearer x", "Bearer \n"):
        assert status(admin(token), "POST", "/cache/flush", "10.0.0.9", host="x", authorization=header) == 403


def test_a_token_that_changes_counts_from_the_next_request_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    server = admin(token)
    for secret, expected in (("one", 200), ("two", 403)):
        token.write_text(secret)
        assert status(server, "GET", "/", "10.0.0.9", host="x", authorization="Bearer one") == expected


@pytest.mark.parametrize("client", ["127.0.0.1", "10.0.0.9"])
@pytest.mark.parametrize("path", ["/", "/nothing", "/cache/flush", "/metrics/", "/healthz/../", "//", "/METRICS"])
def test_all_is_closed_but_what_says_that_it_is_open(client: str, path: str) -> None:
    """A path that does not exist is closed as well, so that nobody learns which paths exist."""
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
        assert (status(admin(), method, path, client, host="localhost") == 403) == (client == "10.0.0.9")


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_prometheus_need_nothing(path: str) -> None:
    """A kubelet uses the pod's address, Prometheus that or a Service's name; a mesh forwards their requests."""
    for host in ("10.244.0.9:9153", "kube-dns.kube-system:9153", ""):
        headers = {
            "host": host,
            "x_forwarded_for": "10.0.0.1",
            "sec_fetch_site": "cross-site",
            "origin": "http://e.test",
        }
        assert status(admin(), "GET", path, "10.0.0.9", **headers) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("localhost:8053", 200),
        ("LOCALHOST.:40001", 200),  # kubectl port-forward takes any port
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8053", 200),
        ("[::1]", 200),
        (f"{LOCAL}:9153", 200),  # the address that it came to
        ("10.1.2.3", 403),
        ("attacker.example", 403),
        ("attacker.example:8053", 403),
        ("localhost.attacker.example", 403),
        ("localhost@attacker.example", 403),
        ("attacker.example@localhost", 403),
        ("localhost/", 403),
        ("localhost?", 403),
        ("localhost:x", 403),
        ("localhost:99999", 403),
        ("[::1", 403),
        ("127.1", 403),
        ("", 403),
    ],
)
def test_whom_a_local_client_takes_this_for(host: str, expected: int) -> None:
    """A foreign name that resolves to this machine is a sign of DNS rebinding."""
    for client in ("127.0.0.1", "::1"):
        assert status(admin(), "GET", "/", client, host=host) == expected


@pytest.mark.parametrize(
    ("configured", "host", "expected"),
    [("10.0.0.5", "10.0.0.5:9253", 200), ("10.0.0.5", "10.0.0.6:9253", 403), ("::", "[::]:9253", 200)],
)
def test_the_configured_address_is_one_to_ask_at(configured: str, host: str, expected: int) -> None:
    assert status(admin(host=configured), "GET", "/", "127.0.0.1", host=host) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"sec_fetch_site": "none"}, 200),  # typed by a person
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 403),
        ({"origin": "http://localhost:8053"}, 200),
        ({"origin": "http://LOCALHOST:8053"}, 200),
        ({"origin": "http://localhost:8054"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "http://attacker.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "file://localhost:8053"}, 403),
        ({"x_forwarded_for": "10.0.0.9"}, 403),
        ({"forwarded": "for=10.0.0.9"}, 403),
        ({"via": "1.1 proxy"}, 403),
        ({"x_forwarded_proto": "http"}, 403),
    ],
)
def test_pages_of_others_and_proxies_on_this_machine(headers: dict[str, str], expected: int) -> None:
    for method, path in (("GET", "/"), ("POST", "/cache/flush")):
        assert status(admin(), method, path, "127.0.0.1", host="localhost:8053", **headers) == expected


def test_the_token_does_not_help_a_page_of_others(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("right\n")
    access = Access("::", token)
    headers = {"host": "dns.example:8053", "authorization": "Bearer right"}
    assert access.denial(Request("GET", "/", {}, headers, "10.0.0.9", LOCAL)) is None
    told = access.denial(Request("GET", "/", {}, {**headers, "origin": "http://e.test"}, "10.0.0.9", LOCAL))
    assert told == "not for pages of other sites: open this address itself"
