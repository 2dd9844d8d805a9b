"""Another configuration while the server runs: applied whole or not at all, and nobody who asks notices."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.reloading import REFUSED, RELOADED, WEB, reloading
from tests.forward.scripted import helpful, upstream

NO_UPSTREAMS = "upstreams = []\n"


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
    async with reloading(tmp_path, NO_UPSTREAMS) as server:
        reloader = server.server.reloader
        assert reloader is not None
        reloader._interval = 1000.0  # noqa: SLF001
        await server.until(lambda: reloader._hashes is not None)  # noqa: SLF001
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
