"""Questions to a running server over admin HTTP; each problem is reported with what to do about it."""

import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
import trio

from dnsserver.app.admin_client import AdminClient, AdminError, client_of, reachable
from dnsserver.config import Address, Config
from dnsserver.faults import Faults
from dnsserver.server.admin import bind
from dnsserver.server.http import Request, Response
from dnsserver.server.http_server import HttpServer

HOST = "127.0.0.1"


class Said(msgspec.Struct):
    query: dict[str, str]
    token: str


async def pieces() -> AsyncGenerator[bytes, None]:
    for piece in (b"one\ntw", b"o\n", b"\n", "drei \u00e4\nno newline".encode()):
        yield piece
        await trio.lowlevel.checkpoint()


async def cut() -> AsyncGenerator[bytes, None]:
    yield b"one\n"
    raise RuntimeError("a bug")


async def endless_line() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"x" * 500_000


PAGES: dict[str, Callable[[Request], Response]] = {
    "/said": lambda request: Response(
        msgspec.json.encode(Said(request.query, request.headers.get("authorization", ""))), type="application/json"
    ),
    "/lines": lambda _: Response(pieces()),
    "/cut": lambda _: Response(cut()),
    "/endless-line": lambda _: Response(endless_line()),
    "/secret": lambda _: Response("only from this machine\n", 403),
    "/what": lambda _: Response("say ?name=NAME\n", 400),
    "/broken": lambda _: Response("internal error, see the log\n", 500),
}


def respond(request: Request) -> Response:
    page = PAGES.get(request.path)
    return Response("not found\n", 404) if page is None else page(request)


async def asked(do: Callable[[AdminClient], Any], token: str = "") -> Any:
    """Return what a client of a server on loopback gets, or the text of its AdminError, with `@` for the address."""
    sock = bind(HOST, 0)
    client = AdminClient((HOST,), sock.getsockname()[1], token)

    def done() -> Any:
        try:
            return do(client)
        except AdminError as error:
            return str(error).replace(client.shown, "@")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(respond, Faults()).serve, sock)
        got = await trio.to_thread.run_sync(done)
        nursery.cancel_scope.cancel()
    return got


async def test_a_value_and_what_was_asked_for() -> None:
    query = {"name": "web.shop", "all": "ä &?"}
    assert await asked(lambda client: client.get_value("/said", query, Said)) == Said(query, "")
    assert await asked(lambda client: client.get_value("/said", None, Said), "s3") == Said({}, "Bearer s3")


async def test_lines_as_they_come() -> None:
    assert await asked(lambda client: list(client.lines("/lines"))) == ["one", "two", "", "drei ä", "no newline"]


OTHER = "it is not a dnsserver, or has another version"


@pytest.mark.parametrize(
    ("do", "text"),
    [
        (lambda client: client.get("/none"), f"@ has no /none (404): {OTHER}"),
        (lambda client: client.get("/what"), "say ?name=NAME"),
        (lambda client: client.get("/broken"), "@/broken: status 500: internal error, see the log"),
        (lambda client: client.get("/secret"), "@ refuses /secret (403): only from this machine. Ask it from its own"),
        (lambda client: list(client.lines("/secret")), "@ refuses /secret (403): only from this machine. Ask it from"),
        (lambda client: client.get_value("/lines", None, Said), "@/lines returned something unexpected ("),
        (lambda client: client.get("/cut"), "@ ended in the middle of its response: "),
        (lambda client: list(client.lines("/cut")), "@ ended in the middle of its response: "),
        (lambda client: list(client.lines("/endless-line")), f"@/endless-line gave a line without an end: {OTHER}"),
    ],
)
async def test_what_is_in_the_way(do: Callable[[AdminClient], Any], text: str) -> None:
    assert (await asked(do))[: len(text)] == text


async def test_a_wrong_token_is_told_from_none() -> None:
    told = await asked(lambda client: client.get("/secret"), "other")
    assert told.endswith("The token that was sent is not the one of its `admin_token` file")


@contextmanager
def answering(octets: bytes | None) -> Iterator[AdminClient]:
    """Run something that is no dnsserver; without octets it says nothing, and with none left it closes."""
    with socket.create_server((HOST, 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                if octets is None:
                    connection.recv(4096)  # until the client has had enough
                else:
                    connection.sendall(octets)

        thread = Thread(target=answer)
        thread.start()
        yield AdminClient((HOST,), listener.getsockname()[1], wait=0.05)
        thread.join()


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", f"what answers at @ is not HTTP: {OTHER}"),
        (b"", f"@ closed the connection without a response: {OTHER}"),
        (None, "@ was silent for 0.05 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "@ ended in the middle of its response: "),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", None),
    ],
)
def test_what_is_no_dnsserver(octets: bytes | None, text: str | None) -> None:
    with answering(octets) as client:
        if text is None:
            assert client.get("/") == b"<html>"
        else:
            with pytest.raises(AdminError) as caught:
                client.get("/")
            assert str(caught.value).replace(client.shown, "@")[: len(text)] == text


def test_nothing_listens() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        with pytest.raises(AdminError) as caught:
            AdminClient((HOST, "::1"), port).get("/")
    assert str(caught.value).startswith(f"no server answers at 127.0.0.1:{port}: connection refused. Give the ")


def test_every_host_is_tried() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\nhere") as client:
        port = int(client.shown.rpartition(":")[2])
        assert AdminClient(("127.0.0.2", HOST), port).get("/") == b"here"


@pytest.mark.parametrize(
    ("admin", "hosts"),
    [
        ("[::]:8053", ("127.0.0.1", "::1")),
        ("0.0.0.0:8053", ("127.0.0.1",)),
        ("10.0.0.1:8053", ("10.0.0.1",)),
        ("[fd00::1]:8053", ("fd00::1",)),
    ],
)
def test_where_a_server_is_reached_from_its_own_machine(admin: str, hosts: tuple[str, ...]) -> None:
    assert reachable(Address.parse(admin)) == (hosts, 8053)


def test_a_port_that_the_system_chose() -> None:
    with pytest.raises(AdminError, match="give --server HOST:PORT"):
        reachable(Address.parse("127.0.0.1:0"))


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("127.0.0.1:53", "127.0.0.1:53"),
        ("[fd00::1]:8053", "[fd00::1]:8053"),
        ("dns-1.kube-system:9153", "dns-1.kube-system:9153"),
        ("fd00::1:8053", None),
        ("[x]:8053", None),
        ("127.0.0.1", None),
        ("127.0.0.1:0", None),
        ("127.0.0.1:65536", None),
        ("http://127.0.0.1:8053", None),
        ("a b:1", None),
        (":8053", None),
        ("", None),
    ],
)
def test_a_server_that_is_named(server: str, shown: str | None) -> None:
    if shown is not None:
        assert client_of(Config(), server, None).shown == shown
    else:
        with pytest.raises(AdminError, match=r"--server: found .*, expected HOST:PORT"):
            client_of(Config(), server, None)


@pytest.mark.parametrize(
    ("server", "text"),
    [
        ("a..b:8053", "the label in front of a dot has 0 octets, expected 1 to 63"),
        (f"dns.{'x' * 64}:8053", f'the label "{"x" * 64}" has 64 octets, expected 1 to 63'),
        (f"{'x.' * 127}xx:8053", "name has 258 octets, expected at most 255"),
    ],
)
def test_a_server_whose_name_cannot_be_one(server: str, text: str) -> None:
    with pytest.raises(AdminError) as caught:
        client_of(Config(), server, None)
    assert str(caught.value) == f'--server: found "{server}": {text}'


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot read the token: no such file or directory"),
        (b"", "expected a token of printable ASCII characters"),
        (b"a\nb", "expected a token of printable ASCII characters"),
        (b"\xff", "cannot read the token: "),
    ],
)
def test_a_token_file_that_has_none(tmp_path: Path, content: bytes | None, text: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AdminError) as caught:
        client_of(Config(), "127.0.0.1:8053", file)
    assert str(caught.value).startswith(f"{file}: {text}")


def test_the_token_is_that_of_the_flag_or_of_the_configuration_but_not_for_another_server(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text("own\n")
    other.write_text("other\n")
    octets = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    sent: list[bytes] = []
    for server, flag in ((False, None), (False, other), (True, None), (True, other)):
        with socket.create_server((HOST, 0)) as listener:
            port = listener.getsockname()[1]
            config = Config(admin=Address(HOST, port), admin_token=own)
            client = client_of(config, f"{HOST}:{port}" if server else None, flag)
            asking = Thread(target=client.get, args=("/",))
            asking.start()
            connection, _ = listener.accept()
            with connection:
                sent.append(connection.recv(4096).partition(b"Authorization: ")[2].strip())
                connection.sendall(octets)
            asking.join()
    assert sent == [b"Bearer own", b"Bearer other", b"", b"Bearer other"]
