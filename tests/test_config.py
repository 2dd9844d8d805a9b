"""The configuration: what is read, what is refused and in which words, and that file and program list the same keys."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.config import (
    Address,
    Config,
    ConfigError,
    Domain,
    Network,
    Override,
    Upstream,
    load,
    render,
    selectors,
)
from dnsserver.config.model import Forward, Table

SHIPPED = Path(__file__).parents[1] / "zones" / "dnsserver.toml"
SECONDS = "expected a number of seconds from"
ADDRESS = 'expected an IP address and a port, as in "10.96.0.10:53" or "[fd00::10]:53"'
NETWORK = 'expected a network, as in "10.96.0.0/12" or "fd00::/8", with no bit set behind the prefix'
WHOLE = "expected a whole number of seconds from 0 to 3600"
SELECTOR = f"expected {selectors.EXPECTED}"
ABOVE = "; keys of no table stand above the first [table]"
DOMAIN = 'expected a domain name, as in "cluster.local"'


def problems(tmp_path: Path, text: str, overrides: dict[str, Override] | None = None) -> list[str]:
    """Return the messages for a file of this text, without the folder."""
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    return [problem.replace(f"{tmp_path}/", "") for problem in str(caught.value).splitlines()]


def loaded(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listn = []", "c.toml:1: listn: unknown key; did you mean listen?"),
        (
            "deadline = 3",
            "c.toml:1: deadline: unknown key; did you mean forwarding.deadline or forward.deadline?",
        ),
        ("[tcp]\nidel = 3", "c.toml:2: tcp.idel: unknown key; did you mean tcp.idle?"),
        ("[udp]\nbananas = 3", "c.toml:2: udp.bananas: unknown key; the keys of the table udp are size"),
        ("\n\nttl = 'five'", 'c.toml:3: ttl: found "five", expected a whole number of seconds from 0 to 3600'),
        ("ttl = true", "c.toml:1: ttl: found true, expected a whole number of seconds from 0 to 3600"),
        ("ttl = 5.5", "c.toml:1: ttl: found 5.5, expected a whole number of seconds from 0 to 3600"),
        ("ttl = -1", "c.toml:1: ttl: found -1, expected a whole number of seconds from 0 to 3600"),
        ("drain = nan", f"c.toml:1: drain: found nan, {SECONDS} 0 to 3600"),
        ("drain = inf", f"c.toml:1: drain: found inf, {SECONDS} 0 to 3600"),
        ("drain = 1979-05-27", f"c.toml:1: drain: found 1979-05-27, {SECONDS} 0 to 3600"),
        ("[kubernetes]\ngrace = '1s'", f'c.toml:2: kubernetes.grace: found "1s", {SECONDS} 0 to 60'),
        ("[udp]\nsize = 9000", "c.toml:2: udp.size: found 9000, expected a whole number of octets from 1232 to 4096"),
        ("[udp]\nsize = 512", "c.toml:2: udp.size: found 512, expected a whole number of octets from 1232 to 4096"),
        ("workers = 0", "c.toml:1: workers: found 0, expected a whole number from 1 to 64"),
        ("pods = 'verify'", 'c.toml:1: pods: found "verify", expected "disabled", "insecure" or "verified"'),
        ("listen = '0.0.0.0:53'", 'c.toml:1: listen: found "0.0.0.0:53", expected a list'),
        ("listen = []", "c.toml:1: listen: is empty, expected at least one address"),
        ("listen = ['1.2.3:53']", f'c.toml:1: listen[0]: found "1.2.3:53", {ADDRESS}'),
        ("listen = ['127.0.0.1']", f'c.toml:1: listen[0]: found "127.0.0.1", {ADDRESS}'),
        ("listen = ['::1:53']", f'c.toml:1: listen[0]: found "::1:53", {ADDRESS}'),
        ("listen = ['[1.2.3.4]:53']", f'c.toml:1: listen[0]: found "[1.2.3.4]:53", {ADDRESS}'),
        ("listen = ['localhost:53']", f'c.toml:1: listen[0]: found "localhost:53", {ADDRESS}'),
        ("listen = ['1.2.3.4:65536']", f'c.toml:1: listen[0]: found "1.2.3.4:65536", {ADDRESS}'),
        ("listen = ['1.2.3.4:+53']", f'c.toml:1: listen[0]: found "1.2.3.4:+53", {ADDRESS}'),
        ("listen = ['1.2.3.4:53', '1.2.3.4:53']", "c.toml:1: listen[1]: 1.2.3.4:53 is already in the list"),
        ("listen = [53]", f"c.toml:1: listen[0]: found 53, {ADDRESS}"),
        ("domain = 'a..b'", f'c.toml:1: domain: found "a..b", {DOMAIN}'),
        ("domain = ''", f'c.toml:1: domain: found "", {DOMAIN}'),
        ("domain = 'a b'", f'c.toml:1: domain: found "a b", {DOMAIN}'),
        ("domain = '.'", "c.toml:1: domain: is the root, expected a domain of the cluster's own"),
        (
            f"domain = '{'.'.join(['x' * 60] * 4)}.y'",
            "c.toml:1: domain: has 247 octets, expected at most 244, so that the zone's own names fit into 255",
        ),
        (f"domain = '{'x' * 64}'", f'c.toml:1: domain: found "{"x" * 59}…, {DOMAIN}'),
        (
            "reverse_zones = ['10.96.0.1/12']",
            f'c.toml:1: reverse_zones[0]: found "10.96.0.1/12", {NETWORK}',
        ),
        (
            "service = 'kube-dns'",
            'c.toml:1: service: found "kube-dns", expected a namespace and a Service, as in "kube-system/kube-dns"',
        ),
        ("static = ['']", 'c.toml:1: static[0]: found "", expected a path'),
        ("objects = 3", "c.toml:1: objects: found 3, expected a path"),
        ("context = 3", "c.toml:1: context: found 3, expected text"),
        ("udp = 3", "c.toml:1: udp: found 3, expected a table"),
        ("forward = {}", "c.toml:1: forward: found a table, expected a list; write [[forward]] in double brackets"),
        ("[[udp]]", "c.toml:1: udp: found a list, expected a table; write [udp] in single brackets"),
        ("Listen = []", "c.toml:1: Listen: unknown key; did you mean listen?"),
        ("reverse-zones = []", "c.toml:1: reverse-zones: unknown key; did you mean reverse_zones?"),
        ("nameservers = []", "c.toml:1: nameservers: unknown key; did you mean upstreams?"),
        ("[tcp]\ndomain = 'x'", f"c.toml:2: tcp.domain: unknown key; did you mean domain or forward.domain?{ABOVE}"),
        ("[udp]\nlisten = []", f"c.toml:2: udp.listen: unknown key; did you mean listen?{ABOVE}"),
        ("[udp]\nworkes = 2", f"c.toml:2: udp.workes: unknown key; did you mean workers?{ABOVE}"),
        ('context = "a\\u0000b"', 'c.toml:1: context: found "a\\u0000b", expected text without control characters'),
        ("ttl = 0x" + "f" * 9000, f"c.toml:1: ttl: found a very large number, {WHOLE}"),
        ("[kubernetes]\nlabels = 'app in web'", f'c.toml:2: kubernetes.labels: found "app in web", {SELECTOR}'),
        ("[kubernetes]\nnamespace_labels = 'a=b,'", f'c.toml:2: kubernetes.namespace_labels: found "a=b,", {SELECTOR}'),
        ("context = 'x'", "c.toml:1: context: stands without kubeconfig: a context is one of a kubeconfig"),
        (
            "objects = 'o'\ncontext = 'x'",
            "c.toml:2: context: stands without kubeconfig: objects need none",
        ),
        (
            "objects = 'o'\nkubeconfig = 'k'",
            "c.toml:2: kubeconfig: stands beside objects: the cluster comes from one of them; leave the other one out",
        ),
        ("listen = ['[fe80::1%eth0]:53']", f'c.toml:1: listen[0]: found "[fe80::1%eth0]:53", {ADDRESS}'),
        ("listen = ['[::ffff:127.0.0.1]:53']", f'c.toml:1: listen[0]: found "[::ffff:127.0.0.1]:53", {ADDRESS}'),
        ("[cache]\nttl_floor = 90000", "c.toml:2: cache.ttl_floor: 90000 is above cache.ttl_cap, which is 86400"),
        (
            "upstreams = ['/etc/resolv.conf', '9.9.9.9']",
            "c.toml:1: upstreams: a file of upstreams has to be the only entry",
        ),
        (
            "[local]\ndomains = ['.']",
            'c.toml:2: local.domains[0]: "." is every name: write upstreams = [] to ask nobody',
        ),
        (
            "[[forward]]\ndomain = '*.x.y'\nupstreams = []",
            'c.toml:2: forward[0].domain: found "*.x.y", a pattern; expected "x.y", which is all names below it',
        ),
        (
            "[[forward]]\ndomain = 'a'\nupstreams = []\n[[forward]]\ndomain = 'A.'\nupstreams = []",
            'c.toml:5: forward[1].domain: "a" is already in another [[forward]]',
        ),
        ("[[forward]]\nupstreams = []", "c.toml:1: forward[0].domain: is missing"),
        ("upstreams = ['9.9.9.9', '9.9.9.9:53']", "c.toml:1: upstreams[1]: 9.9.9.9:53 is already in the list"),
        (
            "upstreams = ['tls://9.9.9.9', 'tls://9.9.9.9:853']",
            "c.toml:1: upstreams[1]: tls://9.9.9.9:853 is already in the list",
        ),
        ("listen = ['224.0.0.1:53']", "c.toml:1: listen[0]: 224.0.0.1:53 is not the address of one machine"),
        ("listen = ['[ff02::1]:53']", "c.toml:1: listen[0]: [ff02::1]:53 is not the address of one machine"),
        (
            "listen = ['255.255.255.255:53']",
            "c.toml:1: listen[0]: 255.255.255.255:53 is not the address of one machine",
        ),
        ("upstreams = ['0.0.0.0']", "c.toml:1: upstreams[0]: 0.0.0.0 is not the address of one machine"),
        ("upstreams = ['[ff02::1]:53']", "c.toml:1: upstreams[0]: [ff02::1]:53 is not the address of one machine"),
        ("upstreams = ['9.9.9.9', 'udp://9.9.9.9']", "c.toml:1: upstreams[1]: 9.9.9.9 is already in the list"),
        ("[forwarding]\nmixed_case = 1", "c.toml:2: forwarding.mixed_case: found 1, expected true or false"),
        ("[forwarding]\nhedge = 5", "c.toml:2: forwarding.hedge: found 5, expected a share from 0 to 1"),
        (
            "[search]\nnamespaces = ['Default']",
            'c.toml:2: search.namespaces[0]: found "Default", expected the name of a namespace',
        ),
        (
            "[search]\nnamespaces_off = ['default']",
            (
                "c.toml:2: search.namespaces_off: is no key any more; "
                "write search.namespaces, the list of those where completion is on"
            ),
        ),
        (
            "ipv6 = 'auto'",
            (
                'c.toml:1: ipv6: "auto" is no value any more; '
                'write "on", which is the default, or "off" to hide all outside AAAA'
            ),
        ),
        (
            "[reply_cache]\nreplies = 9",
            "c.toml:2: reply_cache.replies: is no key any more; write reply_cache.size, in octets",
        ),
        ("ipv6 = 'yes'", 'c.toml:1: ipv6: found "yes", expected "on" or "off"'),
    ],
)
def test_a_mistake_names_its_line_key_value_and_what_was_expected(tmp_path: Path, text: str, message: str) -> None:
    assert problems(tmp_path, text) == [message]


@pytest.mark.parametrize(
    "text",
    [
        "ftp://9.9.9.9", "tls://9.9.9.9#", "tls://9.9.9.9#9.9.9.9", "9.9.9.9#dns.quad9.net", "9.9.9.9:0", "9.9.9",
        "9.9.9.9:", "[fd00::2", "[fd00::2]53", "[9.9.9.9]:53", "fd00::2:53:x", "", "a_b.example", "-x", "https://x/dns",
    ],
)  # fmt: skip
def test_what_is_no_upstream_is_refused(tmp_path: Path, text: str) -> None:
    (message,) = problems(tmp_path, f"upstreams = ['{text}']")
    assert message.startswith(
        f'c.toml:1: upstreams[0]: found "{text}", expected an address or hostname, as in "9.9.9.9"'
    )


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("9.9.9.9", Upstream("9.9.9.9")),
        ("9.9.9.9:5353", Upstream("9.9.9.9", 5353)),
        ("udp://9.9.9.9", Upstream("9.9.9.9")),
        ("fd00::2", Upstream("fd00::2")),
        ("FD00:0::2", Upstream("fd00::2")),
        ("[fd00::2]", Upstream("fd00::2")),
        ("[fd00::2]:53", Upstream("fd00::2", 53)),
        ("tcp://10.0.0.2", Upstream("10.0.0.2", 0, "tcp")),
        ("tls://9.9.9.9:853#DNS.quad9.net", Upstream("9.9.9.9", 853, "tls", "dns.quad9.net")),
        ("tls://[2620:fe::fe]#dns.quad9.net", Upstream("2620:fe::fe", 0, "tls", "dns.quad9.net")),
        ("tls://dns.quad9.net", Upstream("dns.quad9.net", 0, "tls")),
        ("DNS.example.", Upstream("dns.example")),
        ("resolver:5353", Upstream("resolver", 5353)),
        ("fe80::53%eth0", Upstream("fe80::53%eth0")),
        ("[fe80::53%eth0]:5353", Upstream("fe80::53%eth0", 5353)),
        ("tls://[FE80::53%eth0.7]:853#dns.example", Upstream("fe80::53%eth0.7", 853, "tls", "dns.example")),
        ("2001:db8::53%eth0", Upstream("2001:db8::53")),
        ("/etc/resolv.conf", Upstream("/etc/resolv.conf", 0, "file")),
    ],
)
def test_an_upstream_is_read_and_printed(tmp_path: Path, text: str, upstream: Upstream) -> None:
    config = loaded(tmp_path, f"upstreams = ['{text}']")
    assert config.upstreams == (upstream,)
    assert Upstream.parse(str(upstream)) == upstream


@pytest.mark.parametrize("text", ["\na.b.c.d = 1", "\n[a.b.c]\nd = 1", "\n[[a.b]]\nd = 1", "\na = 1"])
def test_an_unknown_table_has_a_line_too(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)[0].startswith("c.toml:2: a: unknown key")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "ttl = 'x'\nlisten = ['a', '127.0.0.1:53', 'b']\n[udp]\nsize = 1\nsise = 2\n"
    messages = problems(tmp_path, text, {"pods": Override("--pods", "x"), "listen": Override("--listen", ("c",))})
    assert [message.partition(": found")[0] for message in messages] == [
        "c.toml:1: ttl",
        "--listen",
        "c.toml:4: udp.size",
        "c.toml:5: udp.sise: unknown key; did you mean udp.size?",
        "--pods",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ttl = 5\nlisten = [\n", "c.toml:3:1: "),
        ("ttl 5", "c.toml:1:5: Expected '=' after a key in a key/value pair"),
        ("#\nttl = " + "9" * 5000, "c.toml:2:7: a number of very many digits"),
        ("#\ntcp = {idle = 1, idle = 2}", "c.toml:2:26: idle: is there twice in these braces; write it once"),
    ],
)
def test_bad_syntax_names_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(message)
    assert "(at" not in found


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"ab\xff")
    for name, message in (("none", "there is no such file"), ("binary", "is not UTF-8 text, at octet 2")):
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
                "c.toml:1:15: ",
                "c.toml:3:10: Invalid value; text stands between quotes",
                "c.toml:4:13: ",
                'c.toml:2: ttl: found "x", expected',
            ],
        ),
        (
            "[[forward]]\ndomain = corp.example\nupstreams = ['9.9.9']",
            ["c.toml:2:10: Invalid value", 'c.toml:3: forward[0].upstreams[0]: found "9.9.9", expected'],
        ),
        ("ttl = five\nttl = 5\nttl = 6", ["c.toml:1:7: Invalid value", "c.toml:3: ttl: is already in line 1"]),
        ("ttl = five\nx = " + "[" * 99, ["c.toml:2: more than 16 brackets"]),
        ("ttl = five\nlisten = [\nttl = 'x'", ["c.toml:1:7: Invalid value", "c.toml:3:"]),
        ("ttl = five\nthis is prose\nttl = 'x'", ["c.toml:1:7: Invalid value", "c.toml:2:6: Expected '='"]),
    ],
)
def test_a_value_without_its_quotes_hides_nothing_either(tmp_path: Path, text: str, messages: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(messages), found
    assert all(told.startswith(wanted) for told, wanted in zip(found, messages, strict=True)), found


DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nlisten = " + "[" * DEEP, "c.toml:2: more than 16 brackets within each other, expected at most 16"),
        ("listen = [\n" * 20, "c.toml:17: more than 16 brackets within each other, expected at most 16"),
        ("x = " + "{a=" * DEEP, "c.toml:1: more than 16 brackets within each other, expected at most 16"),
        ("a." * DEEP + "a = 1", "c.toml:1: a name of more than 16 parts, expected at most 16"),
        ("[" + "a." * DEEP + "a]", "c.toml:1: a name of more than 16 parts, expected at most 16"),
        ("[" * DEEP, "c.toml:1:3: "),
        ("ttl = " + "9" * DEEP, "c.toml:1:7: a number of very many digits"),
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
    assert found[-1] == "c.toml: and perhaps more; these are the first 100"
    found = problems(tmp_path, f"listen = [{'1, ' * 300_000}]")
    assert len(found) == 101


def test_without_a_file_at_the_default_place_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == Config()
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "dnsserver.toml").write_text("ttl = 7")
    assert load() == Config(ttl=7)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("ttl = 7\ndomain = 'from.file'\nlisten = ['127.0.0.1:1']")
    flags = {"ttl": Override("--ttl", 9), "listen": Override("--listen", ("127.0.0.1:2", "[::1]:2"))}
    config = load(file, flags)
    assert config == Config(
        ttl=9, domain=Domain.parse("from.file"), listen=(Address("127.0.0.1", 2), Address("::1", 2))
    )


def test_paths_start_at_the_file_and_those_of_flags_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "c.toml").write_text(
        "admin_token = 'demo'\nstatic = ['lab.zone', '/srv/x.zone']\nkubeconfig = '~/.kube/config'\n"
        "upstreams = ['./resolv.conf']\n[[forward]]\ndomain = 'x'\nupstreams = ['~/resolv.conf']\n"
        "[[forward]]\ndomain = 'y'\nupstreams = ['sub/dir']"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    config = load(Path("etc/c.toml"), {"state": Override("--state", "here")})
    assert config.admin_token == folder / "demo"
    files = [route.upstreams for route in config.routes()]
    assert files == [
        (Upstream(str(path), transport="file"),)
        for path in (folder / "resolv.conf", Path("/home/me/resolv.conf"), folder / "sub/dir")
    ]
    flag = load(Path("etc/c.toml"), {"upstreams": Override("--upstream", ("./resolv.conf",))})
    assert flag.upstreams == (Upstream(str(tmp_path / "resolv.conf"), transport="file"),)
    assert config.static == (folder / "lab.zone", Path("/srv/x.zone"))
    assert config.kubeconfig == Path("/home/me/.kube/config")
    assert config.state == tmp_path / "here"


def test_a_domain_leaves_open_what_is_as_everywhere(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        upstreams = ["9.9.9.9"]
        forwarding = {deadline = 3, policy = "random", authorities = "/ca", trusted = true}
        [[forward]]
        domain = "corp.example"
        upstreams = ["tls://10.0.0.2#ns.corp.example"]
        policy = "sequential"
        hedge = 0
        """,
    )
    whole, corp = config.routes()
    assert (str(whole.domain), whole.policy, whole.deadline, whole.hedge) == (".", "random", 3.0, 0.05)
    assert whole.upstreams == (Upstream("9.9.9.9"),)
    assert (corp.domain.wire, corp.policy, corp.deadline, corp.hedge) == (b"\4corp\7example\0", "sequential", 3.0, 0.0)
    assert (corp.mixed_case, corp.authorities) == (True, Path("/ca"))
    assert (whole.trusted, corp.trusted) == (True, False)  # each domain says for itself whom it believes


# --- the shipped file


def uncommented() -> str:
    """Return the shipped file with every setting switched on: those lines have no blank after the `#`."""
    return re.sub(r"^#(?=\S)", "", SHIPPED.read_text(), flags=re.MULTILINE)


def keys(table: type[Table], path: str = "") -> set[str]:
    found = set()
    for field in msgspec.structs.fields(table):
        inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
        name = f"{path}{field.encode_name}"
        if isinstance(inner, type) and issubclass(inner, Table):
            found |= keys(inner, f"{name}.")
        else:
            found.add(name)
    return found


def keys_of(data: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for key, value in data.items():
        inner = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for one in inner:
            found |= keys_of(one, f"{path}{key}.") if isinstance(one, dict) else {f"{path}{key}"}
    return found


def test_the_shipped_file_has_every_key_and_no_other() -> None:
    assert keys_of(tomllib.loads(uncommented())) == keys(Config) | {"include"}


def test_the_shipped_file_shows_the_defaults() -> None:
    assert load(SHIPPED) == Config()
    shown, defaults = tomllib.loads(uncommented()), tomllib.loads(render(Config()))
    for key, value in defaults.items():
        if key in {"forward", "rewrite", "answer", "hosts"}:
            continue
        if isinstance(value, dict):
            assert {name: shown[key][name] for name in value} == value
        else:
            assert shown[key] == value, key


def test_the_shipped_file_loads_with_everything_switched_on(tmp_path: Path) -> None:
    config = loaded(tmp_path, uncommented().replace('objects = "demo"', ""))  # one source of the cluster
    assert config.context == "kind-kind"
    assert len(config.forward) == 1


def test_every_key_of_the_shipped_file_has_a_comment() -> None:
    comment = False
    for line in SHIPPED.read_text().splitlines():
        if line.startswith("# "):
            comment = True
        elif re.match(r"#\w+ =", line):
            assert comment, line
        elif not line or line.startswith("["):
            comment = False


# --- what `check` prints


hosts = st.ip_addresses().map(str)
machines = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
ports = st.integers(0, 65535)
names = st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z][a-z0-9]{0,10}){0,3}", fullmatch=True)
paths = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).map(lambda text: Path("/x") / text)
upstreams = st.lists(
    st.builds(Upstream, machines | names, ports, st.just("udp"))
    | st.builds(Upstream, names, ports, st.just("tls"), names),
    unique=True,
).map(tuple)
configs = st.builds(
    Config,
    listen=st.lists(st.builds(Address, machines, ports), min_size=1, unique=True).map(tuple),
    domain=names.map(Domain.parse),
    ttl=st.integers(0, 3600),
    pods=st.sampled_from(["disabled", "insecure", "verified"]),
    reverse_zones=st.lists(hosts.map(Network.parse)).map(tuple),
    static=st.lists(paths).map(tuple),
    kubeconfig=paths,
    context=st.none() | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"))),
    upstreams=upstreams,
    drain=st.floats(0, 3600),
    forward=st.lists(
        st.builds(
            Forward,
            domain=names.map(lambda name: Domain.parse(f"{name}.example")),
            upstreams=upstreams,
            deadline=st.none() | st.floats(0.05, 60),
            mixed_case=st.none() | st.booleans(),
        ),
        unique_by=lambda forward: forward.domain.wire,
        max_size=3,
    ).map(tuple),
)


@given(config=configs)
def test_what_is_printed_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    file = tmp_path_factory.mktemp("c", numbered=True) / "c.toml"
    file.write_text(render(config), "utf-8")
    assert load(file) == config
