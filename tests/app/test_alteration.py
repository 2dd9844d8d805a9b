"""Which answers the difference between two configurations can alter; all others stay."""

from pathlib import Path

import pytest

from dnsserver.app.alteration import altered
from dnsserver.config import Config, load
from dnsserver.config.changes import PARTS, changes
from dnsserver.resolver.altered import Altered
from dnsserver.wire.message import AAAA, A
from dnsserver.wire.name import ROOT, from_text
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone

CORP = from_text("corp.test")
ONE = '[[forward]]\ndomain = "corp.test"\nupstreams = ["10.0.0.2", "10.0.0.3"]\n'
UP = 'upstreams = ["10.0.0.1"]\n'


# Keys of part "cluster" that alter no kept reply, and why.
ALTERS_NOTHING_KEPT = {
    "service": "replies about ns.dns are not kept",
    "kubernetes.grace": "it says for how long addresses that go from now on are held",
}
# Of the other ones, a value that is not the default.
OTHER = {"ttl": "9", "pods": "'disabled'", "reverse_zones": "['10.0.0.0/8']"}


def config(folder: Path, text: str) -> Config:
    file = folder / "c.toml"
    file.write_text(text)
    return load(file)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", Altered(other_routes=frozenset({ROOT}))),
        (UP, 'upstreams = ["10.0.0.9"]\n', Altered(routes=frozenset({ROOT}))),
        (
            UP + ONE,
            f'upstreams = ["10.0.0.9"]\n{ONE}',
            Altered(routes=frozenset({ROOT}), other_routes=frozenset({CORP})),
        ),
        (UP, UP + ONE, Altered(routes=frozenset({CORP}), other_routes=frozenset({ROOT}))),
        (UP + ONE, UP, Altered(routes=frozenset({CORP}), other_routes=frozenset({ROOT}))),
        (UP + ONE, UP + ONE + "trusted = true\n", Altered(routes=frozenset({CORP}), other_routes=frozenset({ROOT}))),
        (
            UP + ONE,
            UP + ONE + 'policy = "sequential"\ndeadline = 1.0\nhedge = 0.0\nmixed_case = false\n',
            Altered(other_routes=frozenset({ROOT, CORP})),
        ),
        (
            UP + ONE,
            UP + ONE.replace('"10.0.0.2", "10.0.0.3"', '"10.0.0.3", "10.0.0.2"'),
            Altered(other_routes=frozenset({ROOT, CORP})),
        ),
        (
            UP + ONE,
            UP + ONE + 'except = ["x.corp.test"]\n',
            Altered(routes=frozenset({from_text("x.corp.test")}), other_routes=frozenset({ROOT, CORP})),
        ),
        (UP, f"{UP}ttl = 9\n", Altered(cluster=True, other_routes=frozenset({ROOT}))),
        (UP, f"{UP}[udp]\nsize = 4096\n", Altered(everything=True, other_routes=frozenset({ROOT}))),
        ("upstreams = []\n", UP, Altered(everything=True, routes=frozenset({ROOT}))),
        (UP, f'{UP}ipv6 = "off"\n', Altered(types=frozenset({AAAA}), other_routes=frozenset({ROOT}))),
        (
            UP,
            f"{UP}[search]\nenabled = true\n",
            Altered(completed=b"\x03svc" + from_text("cluster.local"), other_routes=frozenset({ROOT})),
        ),
        (
            f"{UP}[search]\nenabled = true\n",
            f'{UP}ipv6 = "off"\n[search]\nenabled = true\n',
            Altered(
                types=frozenset({AAAA}),
                completed=b"\x03svc" + from_text("cluster.local"),
                other_routes=frozenset({ROOT}),
            ),
        ),
        (UP, f"{UP}[cache]\nttl_cap = 60\n", Altered(longer_than=60.0, other_routes=frozenset({ROOT}))),
        (f"{UP}[cache]\nttl_cap = 60\n", UP, Altered(other_routes=frozenset({ROOT}))),
        (
            UP,
            f'{UP}reverse_zones = ["10.0.0.0/8"]\n',
            Altered(domains=frozenset({from_text("arpa")}), other_routes=frozenset({ROOT})),
        ),
        (
            UP,
            f"{UP}pods = 'disabled'\n",
            Altered(domains=frozenset({from_text("pod.cluster.local")}), other_routes=frozenset({ROOT})),
        ),
        (
            UP,
            f"{UP}drain = 1.0\n[tcp]\nidle = 1.0\n[clients]\nrate = 9\n[reply_cache]\nsize = 2000000\n",
            Altered(other_routes=frozenset({ROOT})),
        ),
    ],
)
def test_what_is_altered(tmp_path: Path, before: str, after: str, expected: Altered) -> None:
    old, new = config(tmp_path, before), config(tmp_path, after)
    assert altered(old, changes(old, new), frozenset()) == expected


def test_every_key_of_the_cluster_alters_kept_replies_or_is_known_to_alter_none(tmp_path: Path) -> None:
    keys = {key for key, part in PARTS.items() if part == "cluster"}
    assert OTHER.keys() | ALTERS_NOTHING_KEPT.keys() == keys
    before = config(tmp_path, "")
    for key, value in OTHER.items():
        difference = changes(before, config(tmp_path, f"{key} = {value}\n"))
        assert difference.keys == (key,)
        assert altered(before, difference, frozenset()).of_replies, key


@pytest.mark.parametrize("qtype", [A, AAAA])
def test_replies_about_the_server_are_not_kept(qtype: int) -> None:
    cluster = Cluster(own_addresses=[bytes(4)])
    for kind in Kind:
        cluster.apply(ListDone(kind), 0, 0)
    answer = cluster.answer(from_text("ns.dns.cluster.local"), qtype)
    assert answer is not None
    assert answer.depends is None
