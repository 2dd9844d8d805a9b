"""A new configuration while the server runs: it is applied completely or not at all, and no client notices.

Over 400 lines: each part of a server in turn, all of them followed in the same way.
"""

import os
import signal
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import dns.flags
import pytest
import trio

from dnsserver.app import listeners, reload
from dnsserver.app import server as server_module
from dnsserver.config import Override
from tests.app.reloading import INTERVAL, REFUSED, RELOADED, WEB, reloading
from tests.forward.scripted import helpful, silent, upstream
from tests.free_port import free_port
from tests.running import HOST

NO_UPSTREAMS = "upstreams = []\n"
TRIES = 5


def in_place(file: Path, text: str) -> None:
    with file.open("r+") as handle:
        handle.truncate(0)
        handle.write(text)


def renamed(file: Path, text: str) -> None:
    other = file.with_suffix(".new")
    other.write_text(text)
    other.rename(file)


def as_vim(file: Path, text: str) -> None:
    file.rename(file.with_suffix(".toml~"))
    file.write_text(text)


@pytest.mark.parametrize("write", [in_place, renamed, as_vim])
async def test_a_change_of_the_file_is_in_force_however_it_is_written(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    async with reloading(tmp_path, NO_UPSTREAMS) as server:
        assert await server.ttl() == 5
        before = server.file.read_text()
        for ttl in (9, 11):
            write(server.file, f"{before}ttl = {ttl}\n")
            line = await server.wait_says(RELOADED)
            assert line["changed"] == ["ttl"]
            assert await server.ttl() == ttl


async def test_the_symlinks_of_a_configmap_are_followed(tmp_path: Path) -> None:
    def publish(ttl: int) -> None:
        data = tmp_path / "etc" / f"..{ttl}"
        data.mkdir(parents=True)
        (data / "dnsserver.toml").write_text(f"ttl = {ttl}\n")
        link = tmp_path / "etc" / "..tmp"
        link.symlink_to(data.name)
        link.rename(tmp_path / "etc" / "..data")

    async with reloading(tmp_path, f'{NO_UPSTREAMS}include = ["etc/*.toml"]\n') as server:
        publish(7)
        (tmp_path / "etc" / "dnsserver.toml").symlink_to("..data/dnsserver.toml")
        assert (await server.wait_says(RELOADED))["changed"] == ["ttl"]
        assert await server.ttl() == 7
        publish(8)
        assert (await server.wait_says(RELOADED))["changed"] == ["ttl"]
        assert await server.ttl() == 8


async def test_sighup_has_the_files_looked_at_at_once(tmp_path: Path) -> None:
    async with reloading(tmp_path, NO_UPSTREAMS, interval=1000.0) as server:
        reloader = server.server.reloader
        assert reloader is not None
        await server.until(lambda: reloader.statistics().applied)  # from here on SIGHUP is for it
        os.kill(os.getpid(), signal.SIGHUP)
        await server.wait_says("configuration is in force as it is")
        server.write(f"{NO_UPSTREAMS}ttl = 9\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await server.wait_says(RELOADED)
        assert await server.ttl() == 9
        server.write("ttl = 'x'\n")
        os.kill(os.getpid(), signal.SIGHUP)
        assert (await server.wait_says(REFUSED))["mistakes"][0].startswith(f"{server.file}:5: ttl: found")
        assert await server.ttl() == 9


async def test_upstreams_that_stay_keep_what_was_learnt_and_the_cache_what_cannot_be_another(tmp_path: Path) -> None:
    async with upstream(helpful) as one, upstream(helpful) as two:
        default = f'upstreams = ["127.0.0.1:{one.port}"]\n'
        forward = f'[[forward]]\ndomain = "corp.example"\nupstreams = ["127.0.0.1:{two.port}"]\n'
        async with reloading(tmp_path, default) as server:
            names = ["www.test.", "www.corp.example."]
            for name in [*names, *names, WEB]:
                await server.said(name)
            assert [query.name.lower() for query in one.queries] == names
            before = server.server.dns.forwarder.statistics().upstreams[0]
            line = await server.change(default + forward)
            assert line["changed"] == ["forward"]
            for name in [*names, WEB]:
                await server.said(name)
            assert len(one.queries) == 2
            assert [query.name.lower() for query in two.queries] == ["www.corp.example."]
            after = server.server.dns.forwarder.statistics().upstreams[0]
            assert (after.name, after.rtt, after.queries) == (before.name, before.rtt, before.queries)
            await server.change(default)
            for name in names:
                await server.said(name)
            assert [query.name.lower() for query in one.queries] == [*names, "www.corp.example."]


async def test_every_mistake_is_told_the_configuration_stays_and_a_good_one_is_in_force_again(tmp_path: Path) -> None:
    async with reloading(tmp_path, f"{NO_UPSTREAMS}ttl = 7\n") as server:
        line = await server.spoil("upstreams = []\nttl = -1\npods = 'x'\n")
        assert [mistake.partition(" found")[0] for mistake in line["mistakes"]] == [
            f"{server.file}:6: ttl:",
            f"{server.file}:7: pods:",
        ]
        assert await server.ttl() == 7
        known = server.server.collector.brief().configuration
        assert known is not None
        assert (known.failed, len(known.problems)) == (1, 2)
        await server.spoil("upstreams = []\nttl = -2\n")
        server.write(f"{NO_UPSTREAMS}ttl = 7\n")
        await server.wait_says("configuration is in force as it is")
        known = server.server.collector.brief().configuration
        assert known is not None
        assert (known.failed, known.problems) == (2, ())
        await server.change(f"{NO_UPSTREAMS}ttl = 8\n")
        assert await server.ttl() == 8


@pytest.mark.parametrize("what", ["gone", "empty"])
async def test_a_file_that_is_gone_or_empty_changes_nothing(tmp_path: Path, what: str) -> None:
    async with reloading(tmp_path, f"{NO_UPSTREAMS}ttl = 7\n") as server:
        if what == "gone":
            server.file.unlink()
        else:
            server.file.write_text("")
        line = await server.wait_says(REFUSED)
        assert str(server.file) in line["mistakes"][0]
        assert await server.ttl() == 7
        await server.change(f"{NO_UPSTREAMS}ttl = 8\n")
        assert await server.ttl() == 8


async def test_a_file_that_is_being_written_is_neither_applied_nor_refused(tmp_path: Path) -> None:
    whole = f"{NO_UPSTREAMS}pods = 'disabled'\n# {'x' * 200}\nttl = 8\n"
    for number in range(TRIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with reloading(folder, f"{NO_UPSTREAMS}ttl = 7\n") as server:
            written = [trio.current_time()]
            for end in range(0, len(whole), 5):  # a piece each half look, so that it never seems to have settled
                server.write(whole[:end])
                await trio.sleep(INTERVAL / 2)
                written.append(trio.current_time())
            server.write(whole)
            line = await server.wait_says(RELOADED)
            if max(after - before for before, after in pairwise(written)) >= INTERVAL:
                continue  # on a busy machine a piece stood there for a whole look: that seemed to be all
            assert line["changed"] == ["ttl", "pods"]
            assert server.has_said(REFUSED) == 0
            return
    raise AssertionError(f"the machine was too busy to write a piece each {INTERVAL / 2} s, {TRIES} times")


async def test_keys_that_need_a_restart_are_named_and_the_others_are_in_force(tmp_path: Path) -> None:
    async with reloading(tmp_path, NO_UPSTREAMS) as server:
        line = await server.change(f'{NO_UPSTREAMS}ttl = 9\nworkers = 3\ndomain = "k8s.test"\n')
        assert (line["changed"], line["needs_restart"]) == (["ttl"], ["domain", "workers"])
        assert await server.ttl() == 9
        known = server.server.collector.brief().configuration
        assert known is not None
        assert known.needs_restart == ("domain", "workers")
        await server.change(f"{NO_UPSTREAMS}ttl = 10\n")
        known = server.server.collector.brief().configuration
        assert known is not None
        assert known.needs_restart == ()


async def test_an_included_folder_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    async with reloading(tmp_path, f'{NO_UPSTREAMS}include = ["conf.d/*.toml"]\n') as server:
        (folder / "a.toml").write_text("ttl = 9\n")
        assert (await server.wait_says(RELOADED))["changed"] == ["ttl"]
        (folder / "b.toml").write_text("ttl = 10\n")
        line = await server.wait_says(REFUSED)
        assert line["mistakes"] == [f"{folder}/b.toml:1: ttl: is already in {folder}/a.toml:1; write it once"]
        (folder / "a.toml").unlink()
        await server.wait_says(RELOADED)
        assert await server.ttl() == 10


ZONE = "$ORIGIN lan.test.\n@ 60 IN SOA ns hostmaster 1 2 3 4 60\nnas 60 IN A {address}\n"


async def test_zone_and_hosts_files_are_followed_and_nothing_else_leaves_the_cache(tmp_path: Path) -> None:
    zone, hosts = tmp_path / "lan.zone", tmp_path / "hosts"
    zone.write_text(ZONE.format(address="192.0.2.1"))
    hosts.write_text("192.0.2.3 printer.home.test\n192.0.2.4 tv.home.test\n")
    text = f'{NO_UPSTREAMS}static = ["lan.zone"]\n[[hosts]]\nfile = "hosts"\n'
    async with reloading(tmp_path, text) as server:
        names = ["nas.lan.test.", "printer.home.test.", "tv.home.test.", WEB]
        assert [await server.said(name) for name in names] == ["192.0.2.1", "192.0.2.3", "192.0.2.4", "10.9.0.1"]
        kept = server.kept()
        zone.write_text(ZONE.format(address="192.0.2.2"))
        line = await server.wait_says(RELOADED)
        assert (line["files"], line["replies_dropped"], line["replies_kept"]) == ([str(zone)], 1, kept - 1)
        assert await server.said(names[0]) == "192.0.2.2"
        hosts.write_text("192.0.2.5 printer.home.test\n192.0.2.4 tv.home.test\n")
        line = await server.wait_says(RELOADED)
        assert (line["files"], line["replies_dropped"]) == ([str(hosts)], 1)
        assert [await server.said(name) for name in names[1:]] == ["192.0.2.5", "192.0.2.4", "10.9.0.1"]
        zone.write_text("nonsense")
        line = await server.wait_says(REFUSED)
        assert line["mistakes"][0].startswith(f"{server.file}:6: static[0]: {zone}:1: ")
        assert await server.said(names[0]) == "192.0.2.2"


async def test_a_kept_reply_follows_what_is_said_of_the_names_that_it_led_to(tmp_path: Path) -> None:
    """An alias in a zone file, and a search list that came to its end: neither name is below what changes."""
    zone, other = tmp_path / "lan.zone", tmp_path / "other.zone"
    zone.write_text(ZONE.format(address="192.0.2.1"))
    other.write_text(ZONE.replace("lan.test", "other.test").replace("A {address}", "CNAME nas.lan.test."))
    text = f'{NO_UPSTREAMS}static = ["lan.zone", "other.zone"]\n[search]\nenabled = true\n'
    completed = "tv.lan.test.shop.svc.cluster.local."
    async with reloading(tmp_path, text) as server:
        for _ in range(3):
            assert await server.said("nas.other.test.") == "192.0.2.1 nas.lan.test."
            assert await server.said(completed) == "NXDOMAIN"
        zone.write_text(f"{ZONE.format(address='192.0.2.1')}tv 60 IN A 192.0.2.5\n")
        await server.wait_says(RELOADED)
        assert await server.said(completed) == "192.0.2.5 tv.lan.test."
        await server.change(f"{text}[[answer]]\nname = 'nas.lan.test'\nrecords = ['A 192.0.2.9']\n")
        assert await server.said("nas.other.test.") == "192.0.2.9 nas.lan.test."


ALIASED = "[[answer]]\nname = 'x.test'\nrecords = ['CNAME y.test.']\n[[answer]]\nname = 'y.test'\nrecords = ['A "

# What is put in force, and what a client is told before and after: (before, after, changed keys, name, type, told).
# A number is the TTL of the records.
FOLLOWED: list[tuple[str, str, list[str], str, str, tuple[str | int, str | int]]] = [
    ("", "ttl = 9", ["ttl"], WEB, "A", (5, 9)),
    ("", "ttl = 9", ["ttl"], "cluster.local.", "SOA", (5, 9)),
    ("", "ttl = 9", ["ttl"], "1.0.9.10.in-addr.arpa.", "PTR", (5, 9)),
    ("", "pods = 'disabled'", ["pods"], "10-0-0-1.shop.pod.cluster.local.", "A", ("10.0.0.1", "NXDOMAIN")),
    ("", "reverse_zones = ['10.0.0.0/8']", ["reverse_zones"], "9.9.9.10.in-addr.arpa.", "PTR", ("REFUSED", "NXDOMAIN")),
    ("", "service = 'shop/web'", ["service"], "ns.dns.cluster.local.", "A", ("127.0.0.1", "10.9.0.1")),
    ("", "[local]\ndomains = ['home.test']", ["local.domains"], "x.home.test.", "A", ("REFUSED", "NXDOMAIN")),
    ("[local]\ndomains = ['home.test']", "", ["local.domains"], "x.home.test.", "A", ("NXDOMAIN", "REFUSED")),
    (
        "",
        "[[answer]]\nname = 'x.test'\nrecords = ['A 192.0.2.7']",
        ["answer"],
        "x.test.",
        "A",
        ("REFUSED", "192.0.2.7"),
    ),
    (
        ALIASED + "192.0.2.1']",
        ALIASED + "192.0.2.9']",
        ["answer"],
        "x.test.",
        "A",
        ("192.0.2.1 y.test.", "192.0.2.9 y.test."),
    ),
    ("", f"[[rewrite]]\nname = 'x.test'\nto = '{WEB}'", ["rewrite"], "x.test.", "A", ("REFUSED", "10.9.0.1")),
    (f"[[rewrite]]\nname = 'x.test'\nto = '{WEB}'", "", ["rewrite"], "x.test.", "A", ("10.9.0.1", "REFUSED")),
    ("", "[[hosts]]\nentries = ['192.0.2.8 x.test']", ["hosts"], "x.test.", "A", ("REFUSED", "192.0.2.8")),
    ("", "[clients]\nallow = ['192.0.2.0/24']\nexcess = 'refuse'", ["clients.allow", "clients.excess"], WEB, "A",
     ("10.9.0.1", "REFUSED")),
    ("", "[udp]\nsize = 4096", ["udp.size"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
    ("", "[reply_cache]\nsize = 1048576", ["reply_cache.size"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
    ("", "[tcp]\nidle = 1.0", ["tcp.idle"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
    ("", "[cache]\nsize = 65536\nttl_cap = 9", ["cache.size", "cache.ttl_cap"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
    ("", "[top]\nsample = false", ["top.sample"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
    ("", "[log]\nlevel = 'warning'", ["log.level"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
    ("", "drain_min = 1.0", ["drain_min"], WEB, "A", ("10.9.0.1", "10.9.0.1")),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "changed", "name", "qtype", "told"), FOLLOWED)
@pytest.mark.parametrize("tcp", [False, True])
async def test_a_key_is_in_force_for_the_next_question(
    tmp_path: Path,
    before: str,
    after: str,
    changed: list[str],
    name: str,
    qtype: str,
    told: tuple[str | int, str | int],
    tcp: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "configure_logging", lambda *_: None)  # the test listens itself
    async with reloading(tmp_path, f"{NO_UPSTREAMS}{before}\n") as server:

        async def is_told(expected: str | int) -> None:
            ask = server.ttl if isinstance(expected, int) else server.said
            for _ in range(3):  # the last one comes from the cache
                assert await ask(name, qtype, tcp=tcp) == expected

        await is_told(told[0])
        line = await server.change(f"{NO_UPSTREAMS}{after}\n")
        assert line["changed"] == changed
        await is_told(told[1])


async def test_with_upstreams_there_is_recursion_at_once(tmp_path: Path) -> None:
    async with upstream(helpful) as one, reloading(tmp_path, NO_UPSTREAMS) as server:
        assert await server.said("www.test.") == "REFUSED"
        assert not (await server.ask(WEB)).flags & dns.flags.RA
        await server.change(f'upstreams = ["{HOST}:{one.port}"]\n')
        assert await server.said("www.test.") == "192.0.2.1"
        assert (await server.ask(WEB)).flags & dns.flags.RA


async def test_a_question_under_way_is_asked_of_the_new_upstreams_and_answered_once(tmp_path: Path) -> None:
    said: list[str] = []
    async with (
        upstream(silent) as old,
        upstream(helpful) as new,
        reloading(tmp_path, f'upstreams = ["{HOST}:{old.port}"]\n') as server,
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            said.append(await server.said("www.test."))

        for _ in range(3):
            nursery.start_soon(ask)
        await server.until(lambda: old.queries)
        await server.change(f'upstreams = ["{HOST}:{new.port}"]\n[forwarding]\ndeadline = 9.0\n')
        await server.until(lambda: len(said) == 3)
        assert said == ["192.0.2.1"] * 3
        assert len(new.queries) == 1


async def test_a_new_address_is_opened_and_the_old_one_answers_what_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "LINGER", 0.3)
    port = free_port()
    async with reloading(tmp_path, f'{NO_UPSTREAMS}listen = ["{HOST}:{port}"]\n', base="") as server:
        assert await server.said(WEB) == "10.9.0.1"
        line = await server.change(f'{NO_UPSTREAMS}listen = ["0.0.0.0:{port}", "{HOST}:0"]\n')
        assert line["changed"] == ["listen"]
        first, second = server.server.dns.addresses
        assert (first.host, first.port) == ("0.0.0.0", port)
        for each in (first, second):
            for tcp in (False, True):
                assert await server.said(WEB, port=each.port, tcp=tcp) == "10.9.0.1"
        await server.until(lambda: len(server.server.dns.udp) == 2)
        assert len(server.server.dns.replies.tables) == 4
        assert await server.said(WEB, port=port) == "10.9.0.1"
        # And back within the last seconds of the one that was given up.
        monkeypatch.setattr(listeners, "LINGER", 30.0)
        await server.change(f'{NO_UPSTREAMS}listen = ["{HOST}:0"]\n')
        await server.change(f'{NO_UPSTREAMS}listen = ["{HOST}:0", "0.0.0.0:{port}"]\n')
        assert await server.said(WEB, port=port) == "10.9.0.1"
        assert await server.said(WEB, port=port, tcp=True) == "10.9.0.1"


async def test_what_was_refused_is_tried_again_as_the_file_that_it_names_may_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "AGAIN", 0.2)
    names = tmp_path / "names"
    async with reloading(tmp_path, NO_UPSTREAMS) as server:
        line = await server.spoil(f'{NO_UPSTREAMS}[[hosts]]\nfile = "{names}"\n')
        assert str(names) in str(line["mistakes"])
        await trio.sleep(0.5)
        assert server.has_said(REFUSED) == 1, "the same mistake is said once"
        names.write_text("192.0.2.7 printer.example\n")
        await server.wait_says(RELOADED)
        assert await server.said("printer.example.") == "192.0.2.7"


async def test_an_address_that_cannot_be_had_refuses_the_whole_change(tmp_path: Path) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as taken:
        await taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        async with reloading(tmp_path, f'{NO_UPSTREAMS}listen = ["{HOST}:0"]\n', base="") as server:
            line = await server.spoil(f'{NO_UPSTREAMS}ttl = 9\nlisten = ["{HOST}:0", "{HOST}:{port}"]\n')
            assert "listen[1]: cannot listen on" in line["mistakes"][0]
            assert f"cannot listen on {HOST}:{port}" in line["mistakes"][0]
            assert await server.ttl() == 5
            assert len(server.server.dns.udp) == 1


async def test_admin_http_moves(tmp_path: Path) -> None:
    async def get(port: int) -> bytes:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            await stream.send_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join([piece async for piece in stream])

    port = free_port()
    async with reloading(tmp_path, NO_UPSTREAMS) as server:
        server.file.write_text(server.file.read_text().replace(f'admin = "{HOST}:0"', f'admin = "{HOST}:{port}"'))
        assert (await server.wait_says(RELOADED))["changed"] == ["admin"]
        body = await get(port)
        assert b"200" in body.splitlines()[0]
        assert b"configuration: sha512 " in body


async def test_admin_http_stays_open_with_another_token_and_moves_to_another_host_at_its_port(tmp_path: Path) -> None:
    async def status(host: str, path: str, token: str) -> bytes:
        async with await trio.open_tcp_stream(host, port) as stream:
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode())
            return b"".join([piece async for piece in stream]).splitlines()[0].split()[1]

    port = free_port()
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"the-secret-{name}")
    text = f'{NO_UPSTREAMS}admin_token = "one"\n'
    async with reloading(tmp_path, text) as server:
        usual = server.file.read_text().replace(f'admin = "{HOST}:0"', f'admin = "0.0.0.0:{port}"')
        server.file.write_text(usual)
        await server.wait_says(RELOADED)
        await server.until(lambda: server.server.admin)
        assert await status(HOST, "/dump", "the-secret-two") == b"403"
        server.file.write_text(usual.replace('"one"', '"two"'))
        await server.wait_says(RELOADED)
        assert await status(HOST, "/dump", "the-secret-two") == b"200"
        server.file.write_text(usual.replace("0.0.0.0", HOST))
        assert (await server.wait_says(RELOADED))["changed"] == ["admin", "admin_token"]
        with trio.fail_after(2):  # it is closed first, and opened at once
            while True:
                try:
                    assert await status(HOST, "/dump", "the-secret-one") == b"200"
                except OSError:
                    await trio.sleep(0.01)
                else:
                    break
        assert not server.has_said("admin HTTP cannot listen")
        with socket.create_server(("127.0.0.9", port)):  # of another program: ours is not in the way
            server.file.write_text(usual.replace("0.0.0.0", "127.0.0.9"))
            await server.wait_says(REFUSED)
            assert await status(HOST, "/dump", "the-secret-one") == b"200"


async def test_what_is_written_although_a_flag_goes_before_it_is_told(tmp_path: Path) -> None:
    async with reloading(tmp_path, NO_UPSTREAMS, overrides={"ttl": Override("--ttl", 9)}) as server:
        server.file.write_text(f"ttl = 3\n{server.file.read_text()}")
        line = await server.wait_says("this setting is in force, but look at it")
        assert (line["setting"], line["hint"]) == ("--ttl", f"goes before {server.file}:1: ttl, which has no effect")
        assert await server.ttl() == 9


async def test_what_is_to_be_said_of_a_setting_is_said_once(tmp_path: Path) -> None:
    said = "this setting is not in force as it is written"
    async with reloading(tmp_path, NO_UPSTREAMS) as server:
        await server.change(f"{NO_UPSTREAMS}[kubernetes]\npage_size = 9\n")
        assert server.has_said(said) == 1  # object files are all served
        await server.change(f"{NO_UPSTREAMS}[kubernetes]\npage_size = 9\n[tcp]\nidle = 9.0\n")
        assert server.has_said(said) == 1
