"""What resolvers ask, step by step, as tests/e2e/test_explain_resolvers.py sees the real ones do."""

import pytest

from dnsserver.explain.client import Client, of_resolv_conf
from dnsserver.explain.resolvers import RESOLVERS, Said
from dnsserver.wire.message import AAAA, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, TXT, A
from dnsserver.wire.name import to_text

SEARCH = "search shop.svc.c svc.c c\n"
POD = of_resolv_conf(f"nameserver 10.96.0.10\n{SEARCH}options ndots:5", "pod")
ONE = of_resolv_conf(f"nameserver 10.96.0.10\n{SEARCH}options ndots:1", "ndots 1")
WITH_ROOT = of_resolv_conf("nameserver 10.96.0.10\nsearch svc.c .\noptions ndots:5", "root")
NOTLD = of_resolv_conf(f"nameserver 10.96.0.10\n{SEARCH}options ndots:5 no-tld-query", "no tld")
FOUND, NODATA, MISSING = Said(NOERROR, found=True), Said(NOERROR), Said(NXDOMAIN)
BROKEN, REFUSES, SILENT = Said(SERVFAIL), Said(REFUSED), Said(None)


def walked(resolver: str, name: str, client: Client, says: dict[str, Said], *types: int) -> tuple[list[str], str]:
    """Return the names that are asked, and how it ends."""
    walk = RESOLVERS[resolver](name, client, types or (A, AAAA))
    asked: list[str] = []
    try:
        ask = next(walk)
        while True:
            asked.append(to_text(ask.name))
            ask = walk.send([says.get(asked[-1], MISSING)] * len(ask.types))
    except StopIteration as end:
        return asked, end.value.ending


ALL = ["web.shop.svc.c.", "web.svc.c.", "web.c.", "web."]
DOTTED = ["web.shop.shop.svc.c.", "web.shop.svc.c.", "web.shop.c.", "web.shop."]


@pytest.mark.parametrize(
    ("name", "client", "says", "glibc", "musl", "go"),
    [
        ("web", POD, {"web.shop.svc.c.": FOUND}, (ALL[:1], "found"), (ALL[:1], "found"), (ALL[:1], "found")),
        ("web", POD, {"web.": FOUND}, (ALL, "found"), (ALL, "found"), (ALL, "found")),
        ("web", POD, {}, (ALL, "not-found"), (ALL, "not-found"), (ALL, "not-found")),
        ("web.", POD, {}, (["web."], "not-found"), (["web."], "not-found"), (["web."], "not-found")),
        (
            "web",
            POD,
            {"web.svc.c.": NODATA},
            (ALL, "no-data"),
            (ALL[:2], "no-data"),
            (ALL, "not-found"),
        ),
        ("web", POD, {"web.svc.c.": BROKEN}, (ALL, "failed"), (ALL[:2], "failed"), (ALL, "not-found")),
        (
            "web",
            POD,
            {"web.svc.c.": REFUSES, "web.": FOUND},
            ([*ALL[:2], "web."], "found"),
            (ALL[:2], "failed"),
            (ALL, "found"),
        ),
        (
            "web",
            POD,
            {"web.svc.c.": SILENT},
            ([*ALL[:2], "web."], "not-found"),
            (ALL[:2], "failed"),
            (ALL, "not-found"),
        ),
        (
            "web.shop",
            ONE,
            {"web.shop.svc.c.": FOUND},
            (["web.shop.", *DOTTED[:2]], "found"),
            (["web.shop."], "not-found"),
            (["web.shop.", *DOTTED[:2]], "found"),
        ),
        (
            "web.shop",
            ONE,
            {"web.shop.": BROKEN},
            (["web.shop.", *DOTTED[:3]], "failed"),
            (["web.shop."], "failed"),
            (["web.shop.", *DOTTED[:3]], "failed"),
        ),
        (
            "web",
            WITH_ROOT,
            {},
            (["web.svc.c.", "web."], "not-found"),
            (["web.svc.c."], "failed"),
            (["web.svc.c.", "web."], "not-found"),
        ),
        ("web", NOTLD, {}, (ALL[:3], "not-found"), (ALL, "not-found"), (ALL, "not-found")),
        ("l" * 64, POD, {}, ([], "failed"), ([], "not-found"), ([], "not-found")),
    ],
)
def test_what_is_asked(
    name: str,
    client: Client,
    says: dict[str, Said],
    glibc: tuple[list[str], str],
    musl: tuple[list[str], str],
    go: tuple[list[str], str],
) -> None:
    assert {resolver: walked(resolver, name, client, says) for resolver in RESOLVERS} == {
        "glibc": glibc,
        "musl": musl,
        "go": go,
    }


def test_other_types_than_addresses() -> None:
    says = {"x.svc.c.": FOUND}
    assert walked("glibc", "x", POD, says, TXT) == (["x.shop.svc.c.", "x.svc.c."], "found")
    assert walked("musl", "x", POD, says, TXT) == (["x."], "not-found")


@pytest.mark.parametrize(
    ("options", "types", "said", "asked"),
    [
        ("", (A, AAAA), FOUND, [(A, AAAA)]),
        ("no-aaaa", (A, AAAA), FOUND, [(A,)]),
        ("no-aaaa", (AAAA,), FOUND, []),
        ("single-request", (A, AAAA), FOUND, [(A,), (AAAA,)]),
        ("single-request-reopen", (A, AAAA), FOUND, [(A,), (AAAA,)]),
        ("single-request", (A, AAAA), BROKEN, [(A,)]),
    ],
)
def test_families(options: str, types: tuple[int, ...], said: Said, asked: list[tuple[int, ...]]) -> None:
    client = of_resolv_conf(f"nameserver 10.96.0.10\noptions {options}", "x")
    walk = RESOLVERS["glibc"]("web.", client, types)
    seen: list[tuple[int, ...]] = []
    try:
        ask = next(walk)
        while True:
            seen.append(ask.types)
            ask = walk.send([said] * len(ask.types))
    except StopIteration:
        assert seen == asked
