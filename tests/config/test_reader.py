"""The configuration: what is read, and what is refused and in which words."""

from pathlib import Path

import pytest

from dnsserver.config import (
    Address,
    Config,
    Domain,
    Override,
    Upstream,
    load,
    selectors,
)
from dnsserver.config.values import ZoneFile
from tests.config.reading import loaded, problems

SECONDS = "expected a number of seconds from"
ADDRESS = 'expected an IP address and a port, as in "10.96.0.10:53" or "[fd00::10]:53"'
NETWORK = 'expected a network, as in "10.96.0.0/12" or "fd00::/8", with no bit set after the prefix'
WHOLE = "expected a whole number of seconds from 0 to 3600"
SELECTOR = f"expected {selectors.EXPECTED}"
ABOVE = "; keys that belong to no table come before the first [table]"
DOMAIN = 'expected a domain name, as in "cluster.local"'


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
            "c.toml:1: domain: has 247 octets, expected at most 244, so that the zone's own names fit into 255 octets",
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
        ("static = ['']", f'c.toml:1: static[0]: found "", expected {ZoneFile.EXPECTED}'),
        ("static = ['a.example=']", f'c.toml:1: static[0]: found "a.example=", expected {ZoneFile.EXPECTED}'),
        ("static = ['.=db']", f'c.toml:1: static[0]: found ".=db", expected {ZoneFile.EXPECTED}'),
        ("static = ['a..b=db']", f'c.toml:1: static[0]: found "a..b=db", expected {ZoneFile.EXPECTED}'),
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
        ("context = 'x'", "c.toml:1: context: is set without kubeconfig: a context is part of a kubeconfig"),
        (
            "objects = 'o'\ncontext = 'x'",
            "c.toml:2: context: is set without kubeconfig: objects need no context",
        ),
        (
            "objects = 'o'\nkubeconfig = 'k'",
            "c.toml:2: kubeconfig: is set together with objects: the cluster comes from one of them; remove the other",
        ),
        ("listen = ['[fe80::1%eth0]:53']", f'c.toml:1: listen[0]: found "[fe80::1%eth0]:53", {ADDRESS}'),
        ("listen = ['[::ffff:127.0.0.1]:53']", f'c.toml:1: listen[0]: found "[::ffff:127.0.0.1]:53", {ADDRESS}'),
        ("[cache]\nttl_floor = 90000", "c.toml:2: cache.ttl_floor: 90000 is above cache.ttl_cap, which is 86400"),
        (
            "upstreams = ['/etc/resolv.conf', '9.9.9.9']",
            "c.toml:1: upstreams: a file that lists upstreams has to be the only entry",
        ),
        (
            "[local]\ndomains = ['.']",
            'c.toml:2: local.domains[0]: "." means every name: to forward nothing, write upstreams = []',
        ),
        (
            "[[forward]]\ndomain = '*.x.y'\nupstreams = []",
            'c.toml:2: forward[0].domain: found "*.x.y", a pattern; expected "x.y", which covers all names below it',
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
        ("[forwarding]\nhedge = 5", "c.toml:2: forwarding.hedge: found 5, expected a fraction from 0 to 1"),
        (
            "[search]\nnamespaces = ['Default']",
            'c.toml:2: search.namespaces[0]: found "Default", expected the name of a namespace',
        ),
        (
            "[search]\nnamespaces_off = ['default']",
            (
                "c.toml:2: search.namespaces_off: this key no longer exists; "
                "use search.namespaces, the list of namespaces where completion is on"
            ),
        ),
        (
            "ipv6 = 'auto'",
            (
                'c.toml:1: ipv6: "auto" no longer exists; '
                'write "on", the default, or "off" to hide all AAAA records from outside'
            ),
        ),
        (
            "[reply_cache]\nreplies = 9",
            "c.toml:2: reply_cache.replies: this key no longer exists; use reply_cache.size, in octets",
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
        "c.toml:4: udp.size",
        "c.toml:5: udp.sise: unknown key; did you mean udp.size?",
        "--listen",
        "--pods",
    ]


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
        "admin_token = 'demo'\nstatic = ['lab.zone', '/srv/x.zone', 'A.Example.=db', './a=b']\n"
        "kubeconfig = '~/.kube/config'\n"
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
    assert config.static == (
        ZoneFile(folder / "lab.zone"),
        ZoneFile(Path("/srv/x.zone")),
        ZoneFile(folder / "db", Domain.parse("a.example")),
        ZoneFile(folder / "a=b"),
    )
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
