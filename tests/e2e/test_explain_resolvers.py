"""What `dnsserver.explain.resolvers` says that glibc, musl and Go ask is what they really ask, and find.

Each looks up each name by each resolv.conf, in a network namespace whose nameserver notes what it is asked.
"""

import os
import shutil
from collections.abc import Iterator
from itertools import groupby

import pytest

from dnsserver.explain.client import of_resolv_conf
from dnsserver.explain.resolvers import RESOLVERS, Said
from dnsserver.wire.message import AAAA, NOERROR, TXT, A, type_name
from dnsserver.wire.name import to_text
from tests.e2e.resolving import COMPILERS, Asked, Nameserver, built, has, look_up, space

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.xdist_group("resolving"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs `ip` (Debian: iproute2)"),
]

POD = "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
QUICK = "options timeout:1 attempts:1\n"
LONG = " ".join(f"d{number}.example" for number in range(30))
JUST = "search " + ("x" * 60 + ".example ") * 3  # which is filled up to a length below


def line_of(length: int) -> str:
    return JUST + "y" * (length - len(JUST)) + "\n"


CONFS = {
    "pod": POD + "options ndots:5\n",
    "ndots 1": POD + "options ndots:1\n",
    "ndots 0": POD + "options ndots:0\n",
    "ndots 2, in two lines": POD + "options ndots:5\noptions ndots:2\n",
    "no search list": "options ndots:5\n",
    "domain": "domain svc.cluster.local\n",
    "the last line counts": "search other.example\n" + POD,
    "root in the list": "search svc.cluster.local . cluster.local\noptions ndots:3\n",
    "only the root": "search .\noptions ndots:3\n",
    "one after the other": POD + "options ndots:5 single-request\n",
    "one after the other, from new sockets": POD + "options ndots:5 single-request-reopen\n",
    "no AAAA": POD + "options ndots:5 no-aaaa\n",
    "no top-level domains": POD + "options ndots:5 no-tld-query\n",
    "thirty domains": f"search {LONG}\noptions ndots:2\n",
    "a line that musl takes": line_of(254) + "options ndots:5\n",
    "a line that is too long for musl": line_of(255) + "options ndots:5\n",
    "a domain that makes names too long": "search " + ".".join(["z" * 60] * 4) + " cluster.local\noptions ndots:5\n",
    "comments, and lines of nothing": "; search a.example\n# search b.example\n\nsearch\n" + POD,
}
SAYS = {
    "web.shop.svc.cluster.local.": "both",
    "web.other.svc.cluster.local.": "A",
    "six.shop.svc.cluster.local.": "AAAA",
    "empty.shop.svc.cluster.local.": "nodata",
    "empty.cluster.local.": "both",
    "broken.shop.svc.cluster.local.": "servfail",
    "broken.cluster.local.": "both",
    "refused.shop.svc.cluster.local.": "refused",
    "refused.": "both",
    "notimp.shop.svc.cluster.local.": "notimp",
    "notimp.svc.cluster.local.": "both",
    "www.example.com.": "both",
    "nodata.example.com.": "nodata",
    "www.example.com.cluster.local.": "TXT",
}
NAMES = [
    "web",
    "web.other",
    "web.other.svc",
    "web.shop.svc.cluster.local",
    "web.shop.svc.cluster.local.",
    "six",
    "empty",
    "broken",
    "nobody",
    "nobody.example.com",
    "nodata.example.com",
    "www.example.com",
    "a.b.c.d.e.f",
    "l" * 64,
    ".".join(["k" * 60] * 3),
]
SLOW = ["refused", "notimp"]  # which musl waits for


@pytest.fixture(scope="module")
def nameserver() -> Iterator[Nameserver]:
    with space():
        server = Nameserver(SAYS)
        yield server
        server.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    found = {}
    for resolver, (compiler, _) in COMPILERS.items():
        if shutil.which(compiler) is not None:
            found[resolver] = built(resolver, tmp_path_factory.mktemp(resolver))
    return found


def predicted(resolver: str, conf: str, name: str, types: tuple[int, ...]) -> tuple[list[Asked], bool]:
    """Return what a resolver is said to ask, and whether it finds the name."""
    walk = RESOLVERS[resolver](name, of_resolv_conf(conf, "test"), types)
    asks: list[tuple[str, str]] = []
    said: list[Said] | None = None
    while True:
        try:
            ask = walk.send(said) if said is not None else next(walk)
        except StopIteration as end:
            together = groupby(asks, lambda one: one[0])
            return [
                Asked(one, frozenset(type_ for _, type_ in those)) for one, those in together
            ], end.value.ending == "found"
        said = []
        text = to_text(ask.name)
        kind = SAYS.get(text, "nxdomain")
        for qtype in ask.types:
            asks.append((text, type_name(qtype)))
            rcode = {"nxdomain": 3, "servfail": 2, "refused": 5, "notimp": 4}.get(kind, NOERROR)
            said.append(Said(rcode, has(kind, type_name(qtype))))


@pytest.mark.parametrize("conf", CONFS)
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_resolver_asks_what_is_said_of_it(
    nameserver: Nameserver, programs: dict[str, list[str]], resolver: str, conf: str
) -> None:
    if resolver not in programs:
        pytest.skip(f"needs Debian's {COMPILERS[resolver][1]}")
    text = "nameserver 127.0.0.1\n" + QUICK + CONFS[conf]
    wrong = {}
    waits = resolver == "musl" and "root" in conf
    for name in NAMES[:4] if waits else [*NAMES, *(SLOW if conf == "pod" else [])]:
        found = look_up(programs[resolver], text, name, 0)
        seen = nameserver.take()
        if (seen, found) != (expected := predicted(resolver, text, name, (A, AAAA))):
            wrong[name] = (seen, found), expected
    assert wrong == {}


@pytest.mark.parametrize("conf", ["pod", "ndots 1"])
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_other_types_are_searched_for_too_but_not_by_musl(
    nameserver: Nameserver, programs: dict[str, list[str]], resolver: str, conf: str
) -> None:
    if resolver not in programs:
        pytest.skip(f"needs Debian's {COMPILERS[resolver][1]}")
    text = "nameserver 127.0.0.1\n" + QUICK + CONFS[conf]
    for name in ("www.example.com", "web.shop.svc.cluster.local.", "nobody"):
        found = look_up(programs[resolver], text, name, TXT)
        assert (nameserver.take(), found) == predicted(resolver, text, name, (TXT,))
