"""Files that are not TOML, have a key twice, or are hostile: the line is told, and other mistakes are told as well."""

import os
from pathlib import Path

import pytest

from dnsserver.config import Config, ConfigError, Problem, in_order, load
from tests.config.reading import problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ttl = 5\nlisten = [\n", "c.toml:3:1: "),
        ("ttl 5", "c.toml:1:5: Expected '=' after a key in a key/value pair"),
        ("#\nttl = " + "9" * 5000, "c.toml:2:7: a number with too many digits"),
        ("#\ntcp = {idle = 1, idle = 2}", "c.toml:2:26: idle: is written twice in these braces; write it once"),
    ],
)
def test_bad_syntax_names_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(message)
    assert "(at" not in found


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"ab\xff")
    for name, message in (
        ("none", "there is no such file"),
        ("binary", "is not UTF-8 text: invalid octet at offset 2"),
    ):
        with pytest.raises(ConfigError, match=rf"{name}: {message}$"):
            load(tmp_path / name)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "wide").write_bytes("ttl = 5".encode("utf-16"))
    for path, message in (
        (tmp_path, "is a folder, expected a regular file"),
        (tmp_path / "fifo", "is a FIFO, expected a regular file"),
        (Path("/dev/zero"), "is a device, expected a regular file"),
        (tmp_path / "large", "has more than 1,048,576 octets"),
        (tmp_path / "wide", "is UTF-16 text, expected UTF-8"),
        (tmp_path / "binary" / "x", "a part of the path is a file, not a folder"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("text", ["\ufeffttl = 9\n", "\r\nttl = 9\r\n", "\ufeff# x\r\nttl = 9"])
def test_a_byte_order_mark_and_the_line_ends_of_windows_do_no_harm(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_bytes(text.encode())
    assert load(tmp_path / "c.toml") == Config(ttl=9)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("ttl = 5\nttl = 6", ["c.toml:2: ttl: is already in line 1; write it once"]),
        ("[udp]\nsize = 1232\n\n'size' = 1", ["c.toml:4: udp.size: is already in line 2; write it once"]),
        ("[tcp]\n[udp]\n[tcp]", ["c.toml:3: tcp: is already in line 1; write it once"]),
        ("udp.size = 1232\n[udp]", ["c.toml:2: udp: is already in line 1; write it once"]),
        ("udp = {}\n[udp]", ["c.toml:2: udp: is already in line 1; write it once"]),
        ("udp = {}\nudp.size = 1232", ["c.toml:2: udp.size: is already in line 1; write it once"]),
        ("[[forward]]\n[forward]", ["c.toml:2: forward: is already in line 1; write it once"]),
        ("[udp]\n[[udp]]", ["c.toml:2: udp[0]: is already in line 1; write it once"]),
        ("forward = []\n[[forward]]", ["c.toml:2: forward[0]: is already in line 1; write it once"]),
        (
            "listen = [\n '127.0.0.1:1', # ] \n]\n\nlisten = [\n'''\nx''']",
            ["c.toml:5: listen: is already in line 1; write it once"],
        ),
        (
            "ttl = 1\nttl = 2\nttl = 3\npods = 3\nx = '''\nttl = 4'''",
            [
                "c.toml:2: ttl: is already in line 1; write it once",
                "c.toml:3: ttl: is already in line 1; write it once",
                'c.toml:4: pods: found 3, expected "disabled", "insecure" or "verified"',
                "c.toml:5: x: unknown key; the keys of the file are",
            ],
        ),
    ],
)
def test_a_key_that_is_there_twice_names_both_lines_and_hides_nothing(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(messages)
    assert all(told.startswith(wanted) for told, wanted in zip(found, messages, strict=True)), found


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "listen = 127.0.0.1:53\nttl = 'x'\ndomain = cluster.local # mine\nudp.size = 1k",
            [
                'c.toml:1:10: found 127.0.0.1:53; write quotes around text: "127.0.0.1:53"',
                'c.toml:2: ttl: found "x", expected',
                'c.toml:3:10: found cluster.local; write quotes around text: "cluster.local"',
                "c.toml:4:12: found 1k; write a number without a unit, or quotes around text",
            ],
        ),
        (
            "[[forward]]\ndomain = corp.example\nupstreams = ['9.9.9']",
            [
                "c.toml:2:10: found corp.example; write quotes",
                'c.toml:3: forward[0].upstreams[0]: found "9.9.9", expected',
            ],
        ),
        (
            "ttl = five\nttl = 5\nttl = 6",
            ["c.toml:1:7: found five; write quotes", "c.toml:3: ttl: is already in line 1"],
        ),
        ("ttl = five\nx = " + "[" * 99, ["c.toml:2: more than 16 nested brackets"]),
        ("ttl = five\nlisten = [\nttl = 'x'", ["c.toml:1:7: found five; write quotes", "c.toml:3:"]),
        ("ttl = five\nthis is prose\nttl = 'x'", ["c.toml:1:7: found five; write quotes", "c.toml:2:6: Expected '='"]),
    ],
)
def test_a_value_without_its_quotes_hides_nothing_either(tmp_path: Path, text: str, messages: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(messages), found
    assert all(told.startswith(wanted) for told, wanted in zip(found, messages, strict=True)), found


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("upstreams = [9.9.9.9]", ['c.toml:1:14: found 9.9.9.9; write quotes around text: "9.9.9.9"']),
        ("pods = verified # 'insecure'\nttl = x", ["c.toml:1:8: found verified; write", "c.toml:2:7: found x; write"]),
        ("upstreams = [\n  '9.9.9.9', # old\n  1.1.1.1, # new\n]", ["c.toml:3:3: found 1.1.1.1; write"]),
        ("listen = [127.0.0.1:53, [::1]:53]", ["c.toml:1:11: found 127.0.0.1:53;", "c.toml:1:25: found [::1]:53;"]),
        ("upstreams = [tls://9.9.9.9#dns.quad9.net, x]", ["c.toml:1:14: found tls://9.9.9.9#dns", "c.toml:1:43: "]),
        ("static = [~/a.zone]\nstate = /var/lib/x", ["c.toml:1:11: found ~/a.zone;", "c.toml:2:9: found /var/lib/x;"]),
        ("answer = [{name = a.b, records = ['A 1.2.3.4']}]", ["c.toml:1:19: found a.b; write quotes"]),
        (
            "domain = “cluster.local”",
            ['c.toml:1:10: found “cluster.local”; write straight quotes around text: "cluster'],
        ),
        ("search.enabled = True", ["c.toml:1:18: found True; write true in small letters"]),
        ('"a=b" = x', ["c.toml:1:9: found x; write quotes"]),  # an equals sign that is not the key's
        ("a . 'b=c'=x", ["c.toml:1:11: found x; write quotes"]),
        ("tcp.idle = 10s", ["c.toml:1:12: found 10s; write a number without a unit"]),
        # What is not closed: what follows may be of the list, so nothing is said of it.
        ("upstreams = [9.9.9.9\ndomain = x", ['c.toml:1:14: found 9.9.9.9; write quotes around text: "9.9.9.9"']),
        ("[[forward]]\nupstreams = [9.9.9.9\ndomain = 'x'", ["c.toml:2:14: found 9.9.9.9; write quotes"]),
        ("upstreams = ['9.9.9.9'\nttl = 5", ["c.toml:2:1: a list is not closed: expected a comma or ]"]),
        ("upstreams = ['9.9.9.9' '1.1.1.1']", ["c.toml:1:24: a list is not closed: expected a comma or ]"]),
        ("upstreams = ['9.9.9.9]\nttl = 5", ["c.toml:1:14: text in this line has no closing quote"]),
        ("pods = 'verified'\ndomain = 'x\n\n", ["c.toml:2:10: text in this line has no closing quote"]),
        ('pods = "verified\nttl = 5', ["c.toml:1:17: text in this line has no closing quote"]),
        ('pods = "verified', ["c.toml:1:17: text in this line has no closing quote"]),
        # These have no text without quotes, and tomllib's own words are as good.
        ("ttl = 05", ["c.toml:1:8: "]),
        ("ttl =", ["c.toml:1:6: Invalid value"]),
        # What is wrong in front of a key is still there without the key, and is told once.
        ("\r\rttl = 'names'\n[[x", ["c.toml:1:1: Invalid statement"]),
        ("\rttl = 5s", ["c.toml:1:8: found 5s; write", "c.toml:1:1: Invalid statement"]),
        ("tcp = {idle = 5", ["c.toml:1:16: "]),
    ],
)
def test_missing_quotes_and_brackets_are_named_where_they_are_missing(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(messages), found
    assert all(told.startswith(wanted) for told, wanted in zip(found, messages, strict=True)), found


@pytest.mark.parametrize(
    "value", ["5", "-1.5e3", "1_000", "0x1F", "inf", "true", "2026-11-27", "2026-11-27 01:02:03", "01:02:03.5"]
)
def test_what_needs_no_quotes_is_not_named(tmp_path: Path, value: str) -> None:
    (found,) = problems(tmp_path, f"upstreams = [{value}, nine]")
    assert found.startswith(f"c.toml:1:{16 + len(value)}: found nine; write quotes")


def problems_of(places: str) -> list[Problem]:
    """Problems at places such as `c:2:7`, of a text that may look like a place itself."""
    found = []
    for place in places.split():
        source, *numbers = place.split(":")
        found.append(Problem(source, "d:1: x", *map(int, numbers)))
    return found


@pytest.mark.parametrize(
    ("said", "ordered"),
    [
        ("c:9 c:10 c:2", "c:2 c:9 c:10"),
        ("c:2:7 c:1:9 c:2", "c:1:9 c:2:7 c:2"),
        ("b:2 a:3 b:1", "b:1 b:2 a:3"),
        ("--ttl c:2 c c:1", "c:1 c:2 --ttl c"),
    ],
)
def test_mistakes_come_in_the_order_of_their_lines(said: str, ordered: str) -> None:
    assert in_order(problems_of(said)) == problems_of(ordered)
    assert str(ConfigError(problems_of(said))).splitlines() == [f"{place}: d:1: x" for place in ordered.split()]


DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nlisten = " + "[" * DEEP, "c.toml:2: more than 16 nested brackets, expected at most 16"),
        ("listen = [\n" * 20, "c.toml:17: more than 16 nested brackets, expected at most 16"),
        ("x = " + "{a=" * DEEP, "c.toml:1: more than 16 nested brackets, expected at most 16"),
        ("a." * DEEP + "a = 1", "c.toml:1: a name of more than 16 parts, expected at most 16"),
        ("[" + "a." * DEEP + "a]", "c.toml:1: a name of more than 16 parts, expected at most 16"),
        ("[" * DEEP, "c.toml:1:3: "),
        ("ttl = " + "9" * DEEP, "c.toml:1:7: a number with too many digits"),
        ("ttl = '''" + "[" * DEEP, f"c.toml:1:{DEEP + 10}: Expected"),
    ],
    ids=lambda value: value[:12],
)
def test_a_bomb_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(message)


def test_very_many_mistakes_are_not_all_told(tmp_path: Path) -> None:
    found = problems(tmp_path, "\n".join(f"x{number} = 1" for number in range(50_000)))
    assert len(found) == 101
    assert found[-1] == "c.toml: there may be more mistakes; these are the first 100"
    found = problems(tmp_path, f"listen = [{'1, ' * 300_000}]")
    assert len(found) == 101
