"""Only this server and its workers may have an address; and what is reported if another program has it."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dnsserver.app import listening
from dnsserver.app.listening import ListenError, open_all, open_beside
from dnsserver.config import Address
from tests import without_ipv6
from tests.cluster import namespace, service
from tests.free_port import free_port
from tests.running import HOST, write_objects

ANY, ANY6 = "0.0.0.0", "::"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def port() -> int:
    """One that nobody has."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind((ANY, 0))
            tcp.bind((ANY, udp.getsockname()[1]))
            found: int = udp.getsockname()[1]
            return found


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Sockets of a test, closed at its end."""
    found: list[socket.socket] = []
    yield found
    for sock in found:
        sock.close()


def had(opened: list[socket.socket], host: str, port: int, kind: socket.SocketKind, *options: int) -> None:
    """Have an address as some other program would."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    opened.append(sock)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((host, port))
    if kind is socket.SOCK_STREAM:
        sock.listen()


@on_linux
@pytest.mark.parametrize("share", [False, True], ids=["alone", "workers"])
@pytest.mark.parametrize("options", [(), (socket.SO_REUSEPORT,), (socket.SO_REUSEPORT, socket.SO_REUSEADDR)])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize(
    ("theirs", "ours"), [(HOST, HOST), (ANY, HOST), (HOST, ANY), (ANY, ANY), (ANY6, ANY6), ("::1", ANY6), (ANY6, "::1")]
)
def test_an_address_that_somebody_has_is_had_by_nobody_else(
    opened: list[socket.socket],
    port: int,
    theirs: str,
    ours: str,
    kind: socket.SocketKind,
    options: tuple[int, ...],
    share: bool,
) -> None:
    had(opened, theirs, port, kind, *options)
    with pytest.raises(ListenError) as caught:
        open_all([Address(ours, port)], share=share)
    text = str(caught.value)
    assert f"cannot listen on {Address(ours, port)}: address already in use" in text
    assert ("UDP" if kind is socket.SOCK_DGRAM else "TCP") in text
    assert "by another address of this configuration" in text  # it is this process that has it


@pytest.mark.parametrize("host", [HOST, ANY, "::1", ANY6])
def test_a_server_shares_with_its_workers_and_with_no_second_server(
    opened: list[socket.socket], port: int, host: str
) -> None:
    for how in ({"share": True}, {"join": True}, {"join": True}):
        ((address, sockets),) = open_all([Address(host, port)], **how)
        opened += sockets
        assert address == Address(host, port)
    for how in ({"share": True}, {}):
        with pytest.raises(ListenError, match="already in use"):
            open_all([Address(host, port)], **how)


def test_without_workers_nobody_joins(opened: list[socket.socket], port: int) -> None:
    for _, sockets in open_all([Address(HOST, port)]):
        opened += sockets
    with pytest.raises(ListenError):
        open_all([Address(HOST, port)], join=True)


def test_a_port_that_the_system_chooses_is_one_for_both(opened: list[socket.socket]) -> None:
    for address, (udp, tcp) in open_all([Address(HOST, 0), Address(HOST, 0)], share=True):
        opened += (udp, tcp)
        assert {udp.getsockname()[1], tcp.getsockname()[1]} == {address.port}


def test_nothing_stays_open_when_one_of_several_cannot_be_had(port: int) -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:\d+: .*no interface of this machine has 192\.0\.2\.1"):
        open_all([Address(HOST, port), Address("192.0.2.1", port)])
    for _, (udp, tcp) in open_all([Address(HOST, port)]):
        udp.close()
        tcp.close()


# --- Beside another program of the same user


@on_linux
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_this_machine_does_not_have_yet_can_be_had(opened: list[socket.socket], host: str) -> None:
    found = open_beside(Address(host, 0))
    assert found is not None
    (address, (udp, tcp)), alone = found
    opened += (udp, tcp)
    assert (address.host, alone) == (host, True)
    assert udp.getsockname()[:2] == tcp.getsockname()[:2] == (host, address.port)


@on_linux
def test_what_is_shared_brings_all_that_is_new(opened: list[socket.socket], port: int) -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        had(opened, HOST, port, kind, socket.SO_REUSEPORT)
    assert open_beside(Address(HOST, port), share=False) is None
    found = open_beside(Address(HOST, port))
    assert found is not None
    (_, (udp, tcp)), alone = found
    opened += (udp, tcp)
    assert not alone
    for number in range(64):  # from one port after the other, which without steering would be spread over both
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, socket.socket() as other:
            client.sendto(bytes([number]), (HOST, port))
            other.connect((HOST, port))
            assert udp.recv(10) == bytes([number])
            tcp.accept()[0].close()


@on_linux
def test_what_is_not_to_be_shared_is_waited_for(opened: list[socket.socket], port: int) -> None:
    had(opened, HOST, port, socket.SOCK_DGRAM)
    assert open_beside(Address(HOST, port)) is None
    opened.pop().close()
    found = open_beside(Address(HOST, port))
    assert found is not None
    opened += found[0][1]
    assert found[1]


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT])
@pytest.mark.parametrize("opener", ["bind", "listen"])
def test_all_of_ipv6_is_passed_over_where_there_is_none(
    opened: list[socket.socket], monkeypatch: pytest.MonkeyPatch, number: int, opener: str
) -> None:
    real = getattr(listening, opener)

    def fails(host: str, *arguments: Any, **options: Any) -> socket.socket:
        if ":" in host:
            raise OSError(number, os.strerror(number))
        found: socket.socket = real(host, *arguments, **options)
        return found

    monkeypatch.setattr(listening, opener, fails)
    both = open_all([Address(ANY, 0), Address(ANY6, 0)], share=True)
    for _, sockets in both:
        opened += sockets
    assert [address.host for address, _ in both] == [ANY]
    with pytest.raises(ListenError, match="has no IPv6"):
        open_all([Address(ANY6, 0)])
    with pytest.raises(ListenError, match=r"\[::1\]:0"):  # an address that somebody has meant
        open_all([Address(ANY, 0), Address("::1", 0)])


# --- as a user starts it


def write_settings(folder: Path, settings: list[str]) -> Path:
    path = folder / "dnsserver.toml"
    path.write_text("\n".join(["drain = 0.0", "upstreams = []", *settings, ""]))
    return path


def started(
    folder: Path, *flags: str, before: tuple[str, ...] = (), code: str = "", settings: list[str] | None = None
) -> "subprocess.Popen[bytes]":
    path = write_settings(folder, settings or [])
    objects = write_objects(folder, [namespace("shop"), service("web", "10.9.0.1")])
    command = [*before, sys.executable, "-c", f"{code}from dnsserver.__main__ import main\nmain()", "serve"]
    command += ["--config", str(path), "--objects", str(objects), *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def said(process: "subprocess.Popen[bytes]", event: str) -> dict[str, Any]:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(b"{") and (entry := json.loads(line))["event"] == event:
            found: dict[str, Any] = entry
            return found
    raise AssertionError(b"".join(lines).decode())


def ended(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    status = process.wait(20)
    assert process.stderr is not None
    process.stderr.close()
    return status


@pytest.mark.slow
@on_linux
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_server_is_told_which_process_has_its_address(tmp_path: Path, workers: str) -> None:
    first = started(tmp_path, "--listen", f"{HOST}:0", "--admin", f"{HOST}:0", "--workers", workers)
    address = said(first, "serving")["listen"][0]
    second = started(tmp_path, "--listen", address, "--admin", f"{HOST}:0", "--workers", workers)
    problem = said(second, "cannot start")["error"]
    assert second.wait(20) == 1
    assert ended(first) == 0
    ended(second)
    assert address in problem
    assert f"process {first.pid}" in problem


@pytest.mark.slow
@pytest.mark.skipif(not without_ipv6.is_possible(), reason="filters system calls")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_kernel_without_ipv6_is_no_obstacle(tmp_path: Path, workers: str) -> None:
    flags = ["--listen", f"{ANY}:0", "--listen", f"[{ANY6}]:0", "--admin", f"[{ANY6}]:0", "--workers", workers]
    process = started(tmp_path, *flags, before=(sys.executable, "-m", "tests.without_ipv6"))
    assert said(process, "no IPv6 on this machine")["address"] == "[::]:0"
    (address,) = said(process, "serving")["listen"]
    assert address.startswith(f"{ANY}:")
    assert ended(process) == 0


@pytest.mark.slow
@pytest.mark.skipif(not without_ipv6.is_possible(), reason="filters system calls")
@pytest.mark.parametrize("takes_over", [False, True])
def test_a_kernel_without_ipv6_is_none_for_a_change_or_a_takeover_either(tmp_path: Path, takes_over: bool) -> None:
    more = [f'takeover = "{tmp_path / "socket"}"'] if takes_over else []
    port = free_port()
    one, two = f'["{ANY}:{port}"]', f'["{ANY}:{port}", "[{ANY6}]:{port}"]'
    flags, filtered = ("--admin", f"{HOST}:0"), (sys.executable, "-m", "tests.without_ipv6")
    first, then = (two, one) if takes_over else (one, two)
    process = started(tmp_path, *flags, before=filtered, settings=[f"listen = {first}", *more])
    if takes_over:
        said(process, "no IPv6 on this machine")
    said(process, "serving")
    write_settings(tmp_path, [f"listen = {then}", *more])
    if not takes_over:
        said(process, "no IPv6 on this machine")
    assert said(process, "configuration reloaded")["changed"] == ["listen"]
    assert ended(process) == 0


@pytest.mark.slow
@on_linux
def test_port_53_without_rights_names_three_ways_out() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 53:
        pytest.skip("everybody may have port 53 here")
    code = "import os\nfrom dnsserver.app.listening import *\nfrom dnsserver.config import Address\n"
    code += "if not os.getuid(): os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    code += f"try: open_all([Address('{HOST}', 53)])\nexcept ListenError as error: print(error)\n"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for way in ("NET_BIND_SERVICE", "setcap", "net.ipv4.ip_unprivileged_port_start=53", "--listen 127.0.0.1:5353"):
        assert way in told
