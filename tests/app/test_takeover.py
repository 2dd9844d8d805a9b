"""Sockets that a server hands over to the next one: which ones, which server reads them, and what a death costs."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from dnsserver.app.takeover import Offer, predecessor
from dnsserver.server.tcp import listen
from dnsserver.server.udp import bind
from tests import asking
from tests.cluster import namespace, service
from tests.deployment import ROOT
from tests.free_port import free_port
from tests.running import write_objects

NAME = "kubernetes.default.svc.cluster.local"


class Giver:
    """The other parts of a server, without its sockets."""

    def __init__(self) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.done: list[str] = []

    def sockets(self) -> dict[str, tuple[list[int], list[int]]]:
        return {"127.0.0.1:53": ([self.udp.fileno()], [self.tcp.fileno()])}

    async def release(self) -> None:
        await trio.lowlevel.checkpoint()
        self.done.append("release")

    def rest(self, does: bool) -> None:
        self.done.append("rest" if does else "read again")


@pytest.fixture
def giver() -> Iterator[Giver]:
    made = Giver()
    with made.udp, made.tcp:
        yield made


async def test_the_very_same_sockets_are_handed_over(giver: Giver, tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "takeover"
    offer = Offer(path, giver.sockets, giver.release, giver.rest)
    nursery.start_soon(offer.run)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"waiting", giver.udp.getsockname())  # before anybody takes over
    await trio.testing.wait_all_tasks_blocked()
    next_one = await predecessor(path)
    assert next_one is not None
    handed = await next_one.take()
    assert handed is not None
    ((udp,), (tcp,)) = handed["127.0.0.1:53"]
    with udp, tcp:
        assert udp.recv(100) == b"waiting"
        assert tcp.getsockname() == giver.tcp.getsockname()
        assert not udp.getblocking()
        assert giver.done == ["release"]
        assert offer.is_taken
        await next_one.confirm()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert giver.done == ["release", "rest"]
        next_one.close()  # as its process dies
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert giver.done == ["release", "rest", "read again"]
        assert not offer.is_taken


async def test_one_that_takes_and_dies_before_it_answers_changes_nothing(
    giver: Giver, tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "takeover"
    nursery.start_soon(Offer(path, giver.sockets, giver.release, giver.rest).run)
    await trio.testing.wait_all_tasks_blocked()
    next_one = await predecessor(path)
    assert next_one is not None
    for udp, tcp in (await next_one.take() or {}).values():
        for each in (*udp, *tcp):
            each.close()
    next_one.close()
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert giver.done == ["release", "read again"]  # what was released is had again


async def test_what_is_withdrawn_is_given_to_nobody(giver: Giver, tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "takeover"
    offer = Offer(path, giver.sockets, giver.release, giver.rest)
    nursery.start_soon(offer.run)
    await trio.testing.wait_all_tasks_blocked()
    next_one = await predecessor(path)
    assert next_one is not None
    assert offer.withdraw()
    assert await next_one.take() is None
    next_one.close()
    assert giver.done == []


async def test_where_nobody_is_there_is_nothing(giver: Giver, tmp_path: Path) -> None:
    path = tmp_path / "takeover"
    assert await predecessor(path) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Offer(path, giver.sockets, giver.release, giver.rest).run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert path.is_socket()
    assert await predecessor(path) is None  # its process is gone
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Offer(path, giver.sockets, giver.release, giver.rest).run)
        await trio.testing.wait_all_tasks_blocked()
        found = await predecessor(path)
        assert found is not None
        found.close()
        nursery.cancel_scope.cancel()


async def test_a_server_that_hangs_hands_nothing_over(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    path = tmp_path / "takeover"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hangs:
        hangs.bind(str(path))
        hangs.listen()
        found = await predecessor(path)
        assert found is not None
        assert await found.take() is None
        found.close()


async def test_one_that_has_ended_is_noticed_by_who_waits(tmp_path: Path) -> None:
    """The next server need not wait for the API then: nobody else answers."""
    path = tmp_path / "takeover"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ends:
        ends.bind(str(path))
        ends.listen()
        found = await predecessor(path)
        assert found is not None
        with trio.move_on_after(0.2) as waited:
            await found.wait_gone()
        assert waited.cancelled_caught
    with trio.fail_after(5):
        await found.wait_gone()
        assert await found.take() is None
    found.close()


async def test_a_folder_that_is_missing_is_made(giver: Giver, tmp_path: Path) -> None:
    path = tmp_path / "run" / "dnsserver" / "takeover"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Offer(path, giver.sockets, giver.release, giver.rest).run)
        await trio.testing.wait_all_tasks_blocked()
        assert path.is_socket()
        nursery.cancel_scope.cancel()


async def test_what_is_no_socket_is_left_alone(giver: Giver, tmp_path: Path) -> None:
    path = tmp_path / "takeover"
    path.write_text("mine")
    with pytest.raises(OSError, match="not a socket"):
        await Offer(path, giver.sockets, giver.release, giver.rest).run()
    assert path.read_text() == "mine"


# --- Whole servers


@contextmanager
def server(
    folder: Path, port: int, number: int, objects: Path = ROOT / "zones/demo"
) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "dnsserver", "serve", f"--objects={objects}", f"--listen=127.0.0.1:{port}"]
    command += [f"--config={folder / 'dnsserver.toml'}", "--admin=127.0.0.1:0", f"--takeover={folder / 'takeover'}"]
    with (folder / f"{number}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_logged(folder: Path, number: int, text: str) -> None:
    wait_for(lambda: text in (folder / f"{number}.log").read_text())


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def is_answered(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        client.connect(("127.0.0.1", port))
        client.send(asking.question(7, NAME))
        try:
            return asking.is_right(client.recv(4096))
        except OSError:
            return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dnsserver.toml").write_text("upstreams = []\ndrain_min = 0\n")
    return tmp_path


def test_one_server_after_the_other_loses_nothing(folder: Path) -> None:
    port = free_port()
    with server(folder, port, 1) as first:
        wait_logged(folder, 1, "serving")
        with server(folder, port, 2):
            wait_logged(folder, 1, "the next server has taken over")
            assert [is_answered(port) for _ in range(50)] == [True] * 50
            first.terminate()
            assert first.wait(20) == 0
            assert [is_answered(port) for _ in range(50)] == [True] * 50
            with server(folder, port, 3) as third:
                wait_logged(folder, 2, "the next server has taken over")
                third.kill()  # before the second one was told to end
                wait_logged(folder, 2, "the next server is gone")
                assert [is_answered(port) for _ in range(50)] == [True] * 50


def test_one_that_starts_while_the_last_one_ends_goes_on_answering(folder: Path) -> None:
    port = free_port()
    with server(folder, port, 1) as first:
        wait_logged(folder, 1, "serving")
        first.terminate()
        wait_logged(folder, 1, "draining")
        with server(folder, port, 2):  # as a pod that was deleted, which is asked until the next one is there
            wait_for(lambda: is_answered(port) and "has taken over" in (folder / "1.log").read_text())
            assert first.wait(30) == 0
            assert [is_answered(port) for _ in range(50)] == [True] * 50


def test_beside_one_that_hangs_all_that_is_new_is_answered(folder: Path) -> None:
    port = free_port()
    with server(folder, port, 1) as first:
        wait_logged(folder, 1, "serving")
        wait_for((folder / "takeover").exists)  # it offers its sockets a moment later
        first.send_signal(19)  # SIGSTOP
        with server(folder, port, 2):
            wait_logged(folder, 2, "serving")
            assert [is_answered(port) for _ in range(50)] == [True] * 50
            first.kill()
            first.wait()
            assert [is_answered(port) for _ in range(50)] == [True] * 50


def test_who_starts_again_answers_nothing_before_it_has_its_snapshot(folder: Path) -> None:
    port = free_port()
    services = [service("kubernetes", "10.96.0.1", namespace="default")]
    services += [service(f"s{number}", "10.96.0.2") for number in range(5000)]  # some time to read them
    objects = write_objects(folder, [namespace("default"), namespace("shop"), *services])
    with (folder / "dnsserver.toml").open("a") as config:
        config.write(f'state = "{folder}"\n[kubernetes]\nsnapshot_interval = 1\n')
    with server(folder, port, 1, objects):
        wait_for((folder / "zone.copy").exists)
    replies: list[bytes] = []
    with server(folder, port, 2, objects):
        while len(replies) < 100:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, suppress(ConnectionRefusedError):
                client.settimeout(5.0)
                client.bind(("127.0.0.2", 0))  # never the server's port, at which it would hear itself
                client.connect(("127.0.0.1", port))
                client.send(asking.question(7, NAME))
                replies.append(client.recv(4096))
    assert [asking.is_right(reply) for reply in replies] == [True] * 100


def test_who_is_told_to_end_beside_another_program_leaves_all_that_is_new_to_it(folder: Path) -> None:
    port = free_port()
    with server(folder, port, 1) as first:
        wait_logged(folder, 1, "serving")
        with bind("127.0.0.1", port, reuse_port=True) as udp, listen("127.0.0.1", port, reuse_port=True) as tcp:
            assert [is_answered(port) for _ in range(50)] == [True] * 50
            first.terminate()
            wait_logged(folder, 1, "draining")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for _ in range(50):
                    client.sendto(asking.question(7, NAME), ("127.0.0.1", port))
            assert [udp.recv(512) for _ in range(50)] == [asking.question(7, NAME)] * 50
            with socket.create_connection(("127.0.0.1", port)):
                tcp.accept()[0].close()
            assert first.wait(20) == 0
