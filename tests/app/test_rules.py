"""Rules of a server that runs: over real sockets, and while its files change."""

from pathlib import Path

import dns.flags
import pytest
import trio

from tests.app.reloading import RELOADED, WEB, reloading

RULES = """
upstreams = []
[[rewrite]]
name = "db.example"
to = "web.shop.svc.cluster.local"
[[answer]]
below = ["no.example"]
rcode = "NXDOMAIN"
[[answer]]
below = ["drop.example"]
rcode = "DROP"
"""


async def test_rules_are_in_force_over_udp_and_tcp(tmp_path: Path) -> None:
    async with reloading(tmp_path, RULES) as server:
        for tcp in (False, True):
            reply = await server.ask("DB.Example", tcp=tcp)
            assert [rrset.to_text() for rrset in reply.answer] == ["DB.Example. 5 IN A 10.9.0.1"]
            assert reply.question[0].name.to_text() == "DB.Example."
            assert reply.flags & dns.flags.AA
            assert await server.said("a.no.example", tcp=tcp) == "NXDOMAIN"
            with trio.move_on_after(0.3) as scope:
                await server.ask("x.drop.example", tcp=tcp)
            assert scope.cancelled_caught
            assert await server.said("db.example", tcp=tcp) == "10.9.0.1"


async def test_who_may_not_ask_is_no_matter_of_rules(tmp_path: Path) -> None:
    rules = f"{RULES}[clients]\nallow = ['192.0.2.0/24']\nexcess = 'refuse'\n"
    async with reloading(tmp_path, rules) as server:
        for name in ("db.example", "a.no.example", "x.drop.example", WEB):
            assert await server.said(name) == "REFUSED"


@pytest.mark.parametrize("fresh", [False, True], ids=["asked before", "asked first"])
async def test_a_line_of_a_hosts_file_shows_at_once_wherever_its_name_is(tmp_path: Path, *, fresh: bool) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 nas.example\n")
    names = {
        "nas.example": ("192.0.2.1", "192.0.2.11"),
        "new.example": ("REFUSED", "192.0.2.12"),
        "api.shop.svc.cluster.local": ("NXDOMAIN", "192.0.2.13"),  # for which there is a template
        "to.example": ("192.0.2.1", "192.0.2.11"),  # a name that is rewritten
        "alias.example": ("192.0.2.1 nas.example.", "192.0.2.11 nas.example."),
        "12.2.0.192.in-addr.arpa": ("REFUSED", "new.example."),
    }
    rules = (
        "[[rewrite]]\nname = 'to.example'\nto = 'nas.example'\n[[hosts]]\nfile = 'hosts'\n"
        "[[answer]]\nname = 'alias.example'\nrecords = ['@ CNAME nas.example']\n"
    )
    async with reloading(tmp_path, f"upstreams = []\n{rules}") as server:
        for _ in range(2):
            for name in ("none.shop.svc.cluster.local", "other.shop.svc.cluster.local"):
                assert await server.said(name) == "NXDOMAIN"
        for name, (before, _) in () if fresh else names.items():
            for _ in range(3):
                assert await server.said(name, "PTR" if "arpa" in name else "A") == before
        hosts.write_text("192.0.2.11 nas.example\n192.0.2.12 new.example\n192.0.2.13 api.shop.svc.cluster.local\n")
        await server.wait_says(RELOADED)
        for name, (_, after) in names.items():
            assert await server.said(name, "PTR" if "arpa" in name else "A") == after
        hosts.write_text("192.0.2.1 nas.example\n")
        await server.wait_says(RELOADED)
        for name, (before, _) in names.items():
            assert await server.said(name, "PTR" if "arpa" in name else "A") == before


async def test_rules_that_change_alter_the_names_that_they_are_for(tmp_path: Path) -> None:
    async with reloading(tmp_path, RULES) as server:
        for name in (WEB, "db.example", "a.no.example", "b.no.example", "c.example"):
            for _ in range(2):
                await server.said(name)
        kept = server.kept()
        await server.change(RULES.replace('name = "db.example"', 'name = "c.example"'))
        assert server.kept() >= kept - 2
        assert await server.said("db.example") == "REFUSED"
        assert await server.said("c.example") == "10.9.0.1"
        await server.change("upstreams = []")
        assert [await server.said(name) for name in ("c.example", "a.no.example", WEB)] == [
            "REFUSED",
            "REFUSED",
            "10.9.0.1",
        ]
        told = await server.spoil("[[rewrite]]\nregex = '('\nto = 'x'")
        assert "is not a regular expression in RE2 syntax" in str(told)


async def test_a_handed_over_namespace_is_asked_of_its_upstreams_and_no_longer(tmp_path: Path) -> None:
    async with reloading(tmp_path, "upstreams = []") as server:
        assert await server.said(WEB) == "10.9.0.1"
        await server.change("upstreams = []\n[[forward]]\ndomain = 'shop.svc.cluster.local'\nupstreams = []")
        reply = await server.ask(WEB)
        assert (reply.rcode(), reply.flags & dns.flags.AA) == (5, 0)
        await server.change("upstreams = []")
        assert await server.said(WEB) == "10.9.0.1"
