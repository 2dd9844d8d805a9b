import json
import os
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from loadtest.cli import address_of as chosen
from loadtest.cli import main
from tests.loadtest.servers import echo, tcp_server, udp_server

OUTSIDE = ["--mix", "external", "--external", "www.example.com"]


def invoke(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


async def run(*arguments: str, stdin: str = "") -> Result:
    return await trio.to_thread.run_sync(partial(invoke, *arguments, stdin=stdin))


async def test_a_file_of_questions_is_asked_and_reported(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("a.example A\nb.example AAAA\n")
    async with udp_server(echo) as port:
        result = await run(f"127.0.0.1#{port}", "-d", str(tmp_path / "q"), "-n", "50", "--json", str(tmp_path / "j"))
    assert result.exit_code == 0, result.output
    assert "100 sent, 100 answered" in result.output
    found = json.loads((tmp_path / "j").read_text())
    assert found["setting"]["server"] == f"127.0.0.1#{port}"
    assert found["counts"]["answered"] == 100


async def test_json_on_stdout_is_alone_there() -> None:
    async with tcp_server(echo) as port:
        result = await run(
            "-s", "127.0.0.1", "-p", str(port), "-m", "tcp", "--mix", "services=3", "--mix", "missing", "--services",
            "5", "--count", "30", "--json", "-", "--pid", str(os.getpid()), "-e",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["counts"]["answered"] == 30
    assert found["setting"]["edns"] == 1232
    assert found["cost"]["server_us"] is not None
    assert "queries a second" in result.stderr


def test_questions_are_printed_for_dnsperf() -> None:
    result = invoke("--mix", "srv", "--services", "2", "--print-questions")
    assert result.stdout == "_http._tcp.svc-0.ns-0.svc.cluster.local SRV\n_http._tcp.svc-1.ns-0.svc.cluster.local SRV\n"


def test_questions_are_drawn_by_zipfs_law_from_a_mix_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("".join(f"n{number}.example A\n" for number in range(9)))
    for source in (["-d", str(tmp_path / "q")], ["--mix", "services", "--services", "9"]):
        shown = invoke(*source, "--zipf", "2", "--most", "500", "--print-questions").stdout.splitlines()
        assert len(shown) == 500
        assert len(set(shown)) <= 9
        assert shown.count(max(shown, key=shown.count)) > 250


def test_questions_come_from_stdin_and_names_from_a_file(tmp_path: Path) -> None:
    assert invoke("-d", "-", "--print-questions", stdin="x A\n").stdout == "x A\n"
    (tmp_path / "names").write_text("web.shop\n")
    shown = invoke("--mix", "services", "--names", str(tmp_path / "names"), "--print-questions").stdout
    assert shown == "web.shop.svc.cluster.local A\n"
    (tmp_path / "o.json").write_text('{"kind":"Service","metadata":{"name":"w"},"spec":{"clusterIP":"10.0.0.1"}}')
    shown = invoke("--mix", "reverse", "--objects", str(tmp_path / "o.json"), "--print-questions").stdout
    assert shown == "1.0.0.10.in-addr.arpa PTR\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected questions from either --questions or --mix"),
        (["-d", "-", "--mix", "services"], "expected questions from either --questions or --mix"),
        (["-d", "-"], "<stdin>:2: expected `name type`"),
        (["--mix", "nothing"], "expected a mix of services, dual"),
        (["--mix", "services=0"], "expected KIND=WEIGHT"),
        (["--mix", "pods", "--services", "3"], "expected names for the mix `pods`"),
        (["#53", "--mix", "external"], "expected a server as ADDR, ADDR:PORT or [ADDR]:PORT, got '#53'"),
        (["a#99999", "--mix", "external"], "expected a server as ADDR, ADDR:PORT or [ADDR]:PORT, got 'a#99999'"),
        (["a", "-s", "b", "--mix", "external"], "expected one server, got 'a' and --server or --port"),
        (["a", "-p", "5", "--mix", "external"], "expected one server, got 'a' and --server or --port"),
        (["--mix", "missing", "--services", "1", "--pid", "4194305"], "expected a process that runs, got 4194305"),
        (["--mix", "external"], "expected --external NAME for `external`: real servers are asked for that name"),
        (
            ["--mix", "search", "--mix", "external", "--services", "2"],
            "expected --external NAME for `search` and `external`",
        ),
        (["--mix", "services", "--services", "1", "--names", "-"], "expected one of --objects, --names and --services"),
    ],
)
def test_what_cannot_be_used_is_said_and_ends_with_2(arguments: list[str], said: str) -> None:
    result = invoke(*arguments, stdin="x A\nb\n")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


async def test_no_answer_ends_with_1() -> None:
    async with udp_server(lambda _: ()) as port:
        result = await run(f"127.0.0.1#{port}", *OUTSIDE, "--count", "1", "-t", "0.1", "--no-progress")
    assert result.exit_code == 1
    async with tcp_server(echo) as port:
        pass
    result = await run(f"127.0.0.1#{port}", *OUTSIDE, "-m", "tcp")
    assert result.exit_code == 1
    assert "refused" in result.output


@pytest.mark.parametrize(
    ("target", "server", "port", "address"),
    [
        (None, None, None, ("127.0.0.1", 1053)),
        (None, None, 5353, ("127.0.0.1", 5353)),
        (None, "10.0.0.10", None, ("10.0.0.10", 53)),
        (None, "::1", 5353, ("::1", 5353)),
        ("10.0.0.10", None, None, ("10.0.0.10", 53)),
        ("@10.0.0.10#99", None, None, ("10.0.0.10", 99)),
        ("10.0.0.10:99", None, None, ("10.0.0.10", 99)),
        ("fd00::10", None, None, ("fd00::10", 53)),
        ("[fd00::10]:99", None, None, ("fd00::10", 99)),
        ("fe80::1%eth0#99", None, None, ("fe80::1%eth0", 99)),
        ("dns.example", None, None, ("dns.example", 53)),
    ],
)
def test_whom_it_asks_and_never_the_resolver_of_this_machine_by_itself(
    target: str | None, server: str | None, port: int | None, address: tuple[str, int]
) -> None:
    assert chosen(target, server, port) == address


def test_the_help_fits_80_columns() -> None:
    assert max(map(len, invoke("--help").output.splitlines())) <= 80
