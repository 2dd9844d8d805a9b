"""Parts of a valid configuration that cannot take effect on this machine: a row for each fault of a path."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import trustme

from dnsserver.app.preflight import findings
from dnsserver.app.rehearsal import rehearse
from dnsserver.config import Address, Config, Domain, Network, Upstream
from dnsserver.config.model import AnswerRule, Cache, Clients, Forward, Forwarding, Hosts, Kubernetes, Rewrite, Search
from dnsserver.config.values import ZoneFile
from tests.free_port import free_port

ZONE = "@ 60 IN SOA ns h 1 2 3 4 5\n"
LOOPBACK = Config(listen=(Address("127.0.0.1", 0),), admin=Address("127.0.0.1", 0), upstreams=())
Made = Callable[[Path], Config]


def with_(**values: object) -> Config:
    return msgspec.structs.replace(LOOPBACK, **values)


def shown(config: Config, folder: Path) -> list[str]:
    found = list(findings(config))
    found += [finding for finding in rehearse(config) if finding.key not in {one.key for one in found}]
    return [
        f"{finding.level} {finding.key}: {finding.text}".replace(f"{folder}/", "").replace(str(folder), "FOLDER")
        for finding in found
        if not finding.text.startswith("is not set")
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of everything that is not a file to read."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").write_text("")
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    (tmp_path / "dir").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    return tmp_path


UNUSABLE = [
    ("none", "there is no such file"),
    ("text/x", "a part of the path is a file, not a folder"),
    ("dir", "is a folder, expected a regular file"),
    ("fifo", "is a FIFO, expected a regular file"),
    ("socket", "is a socket, expected a regular file"),
    ("/dev/null", "is a device, expected a regular file"),
    ("loop", "cannot be read: Too many levels of symbolic links"),
    ("x" * 300, "cannot be read: File name too long"),
]
KEYS: list[tuple[str, str, str, Callable[[Path], Config]]] = [
    ("refused", "static[0]", "", lambda path: with_(static=(ZoneFile(path),))),
    (
        "ignored", "admin_token", "; until it can be read, only this machine gets more than probes and metrics",
        lambda path: with_(admin_token=path),
    ),
    (
        "ignored", "upstreams", "; names outside fail until it can be read",
        lambda path: with_(upstreams=(Upstream(str(path), transport="file"),)),
    ),
    (
        "ignored", "forward[0].upstreams", "; names outside fail until it can be read",
        lambda path: with_(
            forward=(Forward(domain=Domain.parse("x"), upstreams=(Upstream(str(path), transport="file"),)),)
        ),
    ),
    ("refused", "forwarding.authorities", "", lambda path: with_(forwarding=Forwarding(authorities=path))),
    ("refused", "kubeconfig", "", lambda path: with_(kubeconfig=path)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "why"), UNUSABLE, ids=lambda value: value[:8])
@pytest.mark.parametrize(("level", "key", "effect", "made"), KEYS, ids=lambda value: value if "[" in str(value) else "")
def test_a_path_that_is_no_regular_file(
    folder: Path, name: str, why: str, level: str, key: str, effect: str, made: Made
) -> None:
    path = folder / name
    shown_path = name if name.startswith("/") else str(path).replace(f"{folder}/", "")
    assert shown(made(path), folder) == [f"{level} {key}: {shown_path}: {why}{effect}"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda f: with_(static=(ZoneFile(f / "empty"),)), "refused static[0]: empty: 0 SOA records, expected one"),
        (lambda f: with_(static=(ZoneFile(f / "text"),)), "refused static[0]: text:1: hello. has no type"),
        (
            lambda f: with_(static=(ZoneFile(f / "binary"),)),
            "refused static[0]: binary: is UTF-16 text, expected UTF-8",
        ),
        (
            lambda f: with_(admin_token=f / "empty"),
            ("ignored admin_token: empty: is empty; until it holds a token, "
            "only this machine gets more than probes and metrics"),
        ),
        (
            lambda f: with_(upstreams=(Upstream(f"{f}/text", transport="file"),)),
            "ignored upstreams: text: has no valid line `nameserver ADDRESS`; names outside fail until it has",
        ),
        (
            lambda f: with_(forwarding=Forwarding(authorities=f / "text")),
            "refused forwarding.authorities: text: has no readable certificates in PEM format",
        ),
        (
            lambda f: with_(forwarding=Forwarding(authorities=f / "empty")),
            "refused forwarding.authorities: empty: has no readable certificates in PEM format",
        ),
        (lambda f: with_(objects=f / "none"), "refused objects: none: there is no such file or folder"),
        (lambda f: with_(objects=f / "fifo"), "refused objects: fifo: is a FIFO, expected a regular file"),
        (
            lambda f: with_(objects=f / "dir"),
            (
                "ignored objects: dir: no objects found, so no name of the cluster exists: "
                "expected Namespaces, Services, EndpointSlices or Pods in *.yaml, *.yml or *.json"
            ),
        ),
        (lambda f: with_(state=f / "text"), "ignored state: text: is not a folder; no snapshot is kept"),
        (
            lambda f: with_(takeover=f / "text/socket"),
            "ignored takeover: text: is not a folder; addresses are not handed over to the next server",
        ),
        (lambda f: with_(guardian=f / "text"), "ignored guardian: text: is not a folder; this server is never ready"),
        (
            lambda f: with_(state=f / "text/x/y"),
            "ignored state: text/x/y: cannot be created: text is not a folder; no snapshot is kept",
        ),
        (
            lambda f: with_(objects=f, kubernetes=Kubernetes(labels="a=b")),
            "ignored kubernetes.labels: has no effect with objects, all of which are served",
        ),
        (
            lambda _: with_(upstreams=(Upstream("127.0.0.1", 53),), listen=(Address("0.0.0.0", 53),)),
            "ignored upstreams: 127.0.0.1:53 is an address of this server itself: a loop, it is left out",
        ),
        (  # the resolver of Docker, or systemd-resolved
            lambda _: with_(upstreams=(Upstream("127.0.0.11"),), listen=(Address("0.0.0.0", 53),)),
            "noted upstreams: 127.0.0.11 is this machine: a loop, and left out, unless another program has it",
        ),
        (
            lambda _: with_(upstreams=(Upstream("resolv.conf"),)),
            'ignored upstreams: "resolv.conf" is taken as a hostname; for the file of that name write "./resolv.conf"',
        ),
        (
            lambda _: with_(listen=(Address("192.0.2.1", 0),)),
            (
                "refused listen[0]: cannot listen on 192.0.2.1:0: cannot assign requested address; "
                "no interface of this machine has 192.0.2.1"
            ),
        ),
    ],
)  # fmt: skip
def test_what_is_there_and_of_no_use(folder: Path, made: Made, message: str) -> None:
    assert message in shown(made(folder), folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, as pytest's cannot."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_and_a_folder_that_this_user_may_not_read(open_folder: Path) -> None:
    folder = open_folder
    secret, closed, fixed = folder / "secret", folder / "closed", folder / "fixed"
    secret.write_text(ZONE)
    secret.chmod(0)
    closed.mkdir(0o000)
    fixed.mkdir(0o500)
    config = with_(static=(ZoneFile(secret), ZoneFile(closed / "x")), objects=closed, state=fixed)
    if os.geteuid() == 0:
        said = as_nobody(config)
    else:
        said = [f"{finding.key}: {finding.text}" for finding in findings(config)]
    assert [text.partition(" by user")[0] for text in said] == [
        f"static[0]: {secret}: cannot be read",
        f"static[1]: {closed}/x: cannot be read",
        f"objects: {closed}: cannot be read",
        f"state: {fixed}: cannot be written to",
    ]


def as_nobody(config: Config) -> list[str]:
    """Return the findings of a user without rights, in a separate process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setuid(65534)
            said = "\n".join(f"{finding.key}: {finding.text}" for finding in findings(config))
            os.write(writer, said.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said.splitlines()


def test_static_zones_that_are_never_asked(tmp_path: Path) -> None:
    origins = {
        "own": "lab.example.",
        "below": "x.lab.example.",
        "cluster": "svc.cluster.local.",
        "twice": "lab.example.",
    }
    for name, origin in origins.items():
        (tmp_path / name).write_text(f"$ORIGIN {origin}\n{ZONE}")
    forward = Forward(domain=Domain.parse("y.lab.example"), upstreams=())
    config = with_(static=tuple(ZoneFile(tmp_path / name) for name in origins), forward=(forward,))
    found = {finding.key: finding.text.replace(f"{tmp_path}/", "") for finding in findings(config)}
    assert found == {
        "forward[0].domain": '"y.lab.example" lies in the zone lab.example. of twice, which answers first',
        "static[1]": "below: x.lab.example. lies in lab.example. of own, which answers first",
        "static[2]": 'cluster: svc.cluster.local. lies in the cluster domain "cluster.local", which answers first',
        "static[3]": "twice: lab.example. lies in lab.example. of own, which answers first",
    }


def test_what_is_in_order(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "zone").write_text(f"$ORIGIN a.\n{ZONE}")
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    (tmp_path / "o.yaml").write_text("kind: Namespace\napiVersion: v1\nmetadata: {name: a}\n")
    config = with_(
        admin_token=tmp_path / "token",
        static=(ZoneFile(tmp_path / "zone"),),
        upstreams=(Upstream(str(tmp_path / "resolv.conf"), transport="file"),),
        forward=(Forward(domain=Domain.parse("x"), upstreams=(Upstream("192.0.2.1", transport="tls"),)),),
        forwarding=Forwarding(authorities=tmp_path / "ca.pem"),
        objects=tmp_path / "o.yaml",
        state=tmp_path / "new" / "state",
    )
    assert shown(config, tmp_path) == []
    assert not (tmp_path / "new").exists()  # only looked at


def test_authorities_that_nobody_asks(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = with_(upstreams=(Upstream("192.0.2.1"),), forwarding=Forwarding(authorities=tmp_path / "ca.pem"))
    assert shown(config, tmp_path) == [
        "ignored forwarding.authorities: has no effect: none of its upstreams is asked over TLS"
    ]


def test_the_default_file_of_upstreams_is_nobodys_mistake() -> None:
    config = msgspec.structs.replace(Config(), listen=LOOPBACK.listen, admin=LOOPBACK.admin)
    assert all(finding.level == "noted" for finding in findings(config))


def test_an_address_in_use_is_a_warning_for_it_may_be_ours() -> None:
    address = Address("127.0.0.1", free_port())  # over UDP it is free
    with socket.create_server((address.host, address.port)):
        (found,) = (finding for finding in rehearse(with_(admin=address)) if finding.key == "admin")
        (dns,) = (finding for finding in rehearse(with_(listen=(address,))) if finding.key == "listen[0]")
    assert (found.level, found.text) == ("noted", f"cannot listen on {address}: address already in use")
    assert (dns.level, dns.text.partition(" (TCP)")[0]) == ("noted", found.text)
    assert f"process {os.getpid()}" in dns.text or "of this configuration" in dns.text


IDLE: list[tuple[Config, list[str]]] = [
    (
        with_(objects=Path("/o"), kubernetes=Kubernetes(page_size=9, silence=9)),
        ["kubernetes.page_size", "kubernetes.silence"],
    ),
    (with_(objects=Path("/o"), kubernetes=Kubernetes(grace=0)), []),
    (with_(kubernetes=Kubernetes(labels="a=b", page_size=9)), []),
    (with_(kubernetes=Kubernetes(snapshot_interval=9)), ["kubernetes.snapshot_interval"]),
    (with_(state=Path("/tmp"), kubernetes=Kubernetes(snapshot_interval=9)), []),  # noqa: S108
    (with_(clients=Clients(excess="refuse")), ["clients.excess"]),
    (with_(clients=Clients(excess="refuse", rate=9)), ["clients.excess"]),
    (with_(clients=Clients(over="log")), ["clients.over"]),
    (with_(clients=Clients(over="log", rate=9)), []),
    (with_(clients=Clients(over="drop", in_flight=9)), []),
    (with_(clients=Clients(excess="refuse", allow=(Network("10.0.0.0/8"),))), []),
    (with_(clients=Clients(allow=())), ["clients.allow"]),
    (
        with_(forwarding=Forwarding(deadline=9), cache=Cache(stale=0), ipv6="off", search=Search(enabled=True)),
        ["cache.stale", "forwarding.deadline", "ipv6", "search.enabled"],
    ),
    (
        with_(upstreams=(Upstream("192.0.2.1"),), forwarding=Forwarding(deadline=9), cache=Cache(stale=0), ipv6="off"),
        [],
    ),
    (with_(forward=(Forward(domain=Domain.parse("x"), upstreams=(Upstream("192.0.2.1"),)),), ipv6="off"), []),
    (with_(search=Search(namespaces=("a",))), ["search.namespaces"]),
    (with_(search=Search(node_domains=(Domain.parse("x"),))), ["search.node_domains"]),
]


@pytest.mark.parametrize(("config", "keys"), IDLE)
def test_a_setting_that_another_one_makes_idle_is_said(config: Config, keys: list[str]) -> None:
    found = sorted(finding.key for finding in findings(config) if finding.key != "objects")
    assert found == keys


def test_search_lists_may_be_kept_for_later() -> None:
    config = with_(search=Search(namespaces=("a",)))
    assert findings(config, {"search.enabled"}) == []


def test_a_pod_without_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr("dnsserver.app.rehearsal.SERVICE_ACCOUNT", str(tmp_path))
    (tmp_path / "ca.crt").write_text("")
    of = "is not set, and this pod's ServiceAccount has a problem:"
    assert [finding.text for finding in rehearse(LOOPBACK)] == [
        f"{of} {tmp_path}/token: there is no such file",
        f"{of} {tmp_path}/ca.crt: is empty",
    ]
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    assert list(rehearse(LOOPBACK)) == []


@pytest.mark.parametrize(
    ("name", "level"),
    [("README.md", "noted"), ("Makefile", "noted"), ("objects.txt", "ignored"), ("web.yaml.disabled", "ignored")],
)
def test_a_file_beside_the_objects_may_be_about_them_or_one_with_a_wrong_name(
    tmp_path: Path, name: str, level: str
) -> None:
    (tmp_path / "o.yaml").write_text("kind: Namespace\napiVersion: v1\nmetadata: {name: a}\n")
    (tmp_path / name).write_text("")
    assert [finding.level for finding in rehearse(with_(objects=tmp_path))] == [level]


def test_a_hosts_file_that_is_of_no_use_and_lines_that_are_passed_over(folder: Path) -> None:
    (folder / "hosts").write_text("192.0.2.1 a\nb\n\n192.0.2.2\n")
    (folder / "long").write_text("b\n" * 12)
    expected = "expected an address and its names; the line is ignored"
    for name, told in {
        "none": ["refused hosts[0].file: none: there is no such file"],
        "dir": ["refused hosts[0].file: dir: is a folder, expected a regular file"],
        "binary": ["refused hosts[0].file: binary: is UTF-16 text, expected UTF-8"],
        "empty": [],
        "hosts": [
            f'ignored hosts[0].file: hosts:2: found "b", {expected}',
            "ignored hosts[0].file: hosts:4: found 192.0.2.2 alone, expected names after it; the line is ignored",
        ],
    }.items():
        assert shown(with_(hosts=(Hosts(file=folder / name),)), folder) == told
    many = shown(with_(hosts=(Hosts(file=folder / "long"),)), folder)
    assert many[10:] == ["ignored hosts[0].file: long: and 2 more lines that are ignored"]


def test_a_rule_behind_one_for_the_same_names_is_never_used(folder: Path) -> None:
    name, other = Domain.parse("a.example"), Domain.parse("b.example")
    rewrites = (Rewrite(name=name, to="x"), Rewrite(name=other, to="x"), Rewrite(suffix="a.example", to="x"))
    assert shown(with_(rewrite=rewrites), folder) == []
    assert shown(with_(rewrite=(*rewrites, Rewrite(name=name, to="y"))), folder) == [
        "ignored rewrite[3]: is never used: rewrite[0] is for the same names"
    ]
    answers = (
        AnswerRule(name=name, rcode="NODATA"),
        AnswerRule(below=(name,), rcode="NODATA"),
        AnswerRule(below=(name,), rcode="DROP"),
    )
    assert shown(with_(answer=answers), folder) == ["ignored answer[2]: is never used: answer[1] is for the same names"]


def test_an_expression_that_every_name_is_compared_with_is_noted(folder: Path) -> None:
    shows = Rewrite(regex=r"^(.*)\.corp\.example\.$", to="x")
    told = "is compared with every name; add `below`, or a domain and `$` at its end, for fewer names"
    assert shown(with_(rewrite=(shows, Rewrite(regex="^x", to="x", below=(Domain.parse("a"),)))), folder) == []
    found = shown(
        with_(rewrite=(shows, Rewrite(regex="^x", to="x")), answer=(AnswerRule(regex="y", rcode="DROP"),)), folder
    )
    assert found == [f"noted rewrite[1].regex: {told}", f"noted answer[0].regex: {told}"]
