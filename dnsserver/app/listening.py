"""Binds the addresses that the server listens on, for this server and its own workers only, or says why it cannot.

Several processes may share a port (SO_REUSEPORT), and the kernel lets any process of the same user join: a second
server would silently take every other client. So the first process binds without that option, which fails wherever
anybody has the address already, however he opened it; only then it sets the option, for its workers. Between two
servers that start at the same moment the first bind decides. (Linux looks at the option of sockets that are bound when
the next one comes: `inet_csk_bind_conflict`, `udp_lib_lport_inuse`.)
"""

import errno
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dnsserver.config import Address
from dnsserver.logger import get_logger
from dnsserver.server import steering
from dnsserver.server.tcp import listen
from dnsserver.server.udp import bind

log = get_logger("dnsserver")

Transport = Literal["udp", "tcp"]
Sockets = tuple[socket.socket, socket.socket]

_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_TRANSPORTS: tuple[Transport, Transport] = ("udp", "tcp")
_LISTENS = "0A"  # the state in /proc/net/tcp


class ListenError(Exception):
    """An address cannot be had; the text says which, why, and what helps. `address` is that of the configuration."""

    def __init__(self, text: str, address: Address | None = None) -> None:
        """Keep both."""
        super().__init__(text)
        self.address = address


class NoIPv6Error(ListenError):
    """This machine has no IPv6, and so `[::]` is left out where there are other addresses."""


def open_all(
    addresses: Iterable[Address], *, share: bool = False, join: bool = False, free: bool = False
) -> list[tuple[Address, Sockets]]:
    """Return a UDP and a TCP socket for each address, which says the port that the system chose for port 0.

    `share` lets this server's workers open the same ones, `join` is for a worker to do so, `free` takes addresses that
    this machine does not have yet. `[::]` is passed over where the kernel has no IPv6, unless nothing is left. Raises
    ListenError, with nothing left open.
    """
    return [opened for opened in open_each(addresses, share=share, join=join, free=free) if opened is not None]


def open_each(
    addresses: Iterable[Address],
    *,
    share: bool = False,
    join: bool = False,
    free: bool = False,
    others: bool = False,
) -> list[tuple[Address, Sockets] | None]:
    """Return what `open_all` does, with None for an address that was passed over; `others` are open already."""
    found: list[tuple[Address, Sockets] | None] = []
    passed_over = None
    for address in addresses:
        try:
            sockets = _open(address, join=join, free=free)
        except _NotBoundError as error:
            problem = _problem(address, error)
            if isinstance(problem, NoIPv6Error):
                passed_over = problem
                found.append(None)
                continue
            close(opened for opened in found if opened is not None)
            raise problem from error.cause
        if share:
            share_ports(*sockets)
        found.append((Address(address.host, sockets[0].getsockname()[1]), sockets))
    if passed_over is not None:
        pass_over(passed_over, others=others or any(found))
    return found


def pass_over(problem: NoIPv6Error, *, others: bool) -> None:
    """Go on without `[::]`. Raises NoIPv6Error if there are no other addresses."""
    if not others:
        raise problem
    log.info("no IPv6 on this machine", address=str(problem.address))


class _NotBoundError(Exception):
    def __init__(self, transport: Transport, cause: OSError) -> None:
        super().__init__(transport, cause)
        self.transport = transport
        self.cause = cause


def _open(address: Address, *, join: bool, free: bool = False) -> Sockets:
    """Return the two sockets, UDP and TCP, of one port."""
    while True:
        try:
            udp = bind(address.host, address.port, reuse_port=join, free=free)
        except OSError as error:
            raise _NotBoundError("udp", error) from error
        try:
            return udp, listen(address.host, udp.getsockname()[1], reuse_port=join, free=free)
        except OSError as error:
            udp.close()
            if address.port or error.errno != errno.EADDRINUSE:
                raise _NotBoundError("tcp", error) from error
            # The port that the system chose for UDP is taken for TCP: let it choose again.


def open_beside(address: Address, *, share: bool = True) -> tuple[tuple[Address, Sockets], bool] | None:
    """Return sockets of an address that a server of this user may have, and whether they have it alone.

    Where they do not, all that is new comes to them, and the other one keeps what it has. None if the address is of
    another user, or is not to be shared. Raises ListenError, and NoIPv6Error, for what waiting does not help against.
    """
    try:
        udp, tcp = _open(address, join=False, free=True)
    except _NotBoundError as error:
        if error.cause.errno != errno.EADDRINUSE:
            raise _problem(address, error) from error.cause
        if not share:
            return None
    else:
        return (Address(address.host, udp.getsockname()[1]), (udp, tcp)), True
    # The kernel counts the sockets of an address in the order in which they were bound; ours come last.
    before = [sum(1 for _ in _holders(address, transport, exactly=True)) for transport in _TRANSPORTS]
    try:
        sockets = _open(address, join=True, free=True)
    except _NotBoundError:
        return None
    for sock, count in zip(sockets, before, strict=True):
        with suppress(OSError):  # where the kernel cannot steer, both get a share
            steering.attach(sock, steering.program(sock.family, 1, [count]))
    return (address, sockets), False


def share_ports(*sockets: socket.socket) -> None:
    """Let sockets that are opened from now on with `join` have the same addresses."""
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def close(opened: Iterable[tuple[Address, Sockets]]) -> None:
    """Close what was opened and is not wanted after all."""
    for _, sockets in opened:
        for sock in sockets:
            sock.close()


def _problem(address: Address, error: _NotBoundError) -> ListenError:
    """Return what to raise where an address cannot be bound."""
    if address.host == "::" and error.cause.errno in _NO_IPV6:
        text = f"cannot listen on {address}: this machine has no IPv6, and no other address is given"
        return NoIPv6Error(text, address)
    return ListenError(_reason(address, error.transport, error.cause), address)


def _reason(address: Address, transport: Transport, error: OSError) -> str:
    """Return why an address cannot be bound, and what helps."""
    reason = f"cannot listen on {address}: {(error.strerror or str(error)).lower()}"
    if error.errno == errno.EADDRINUSE:
        return f"{reason} ({transport.upper()}){_by_whom(address, transport)}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{reason}; no interface of this machine has {address.host}"
    if error.errno in {errno.EACCES, errno.EPERM} and address.port < _first_unprivileged():
        high = Address(address.host, address.port + 5300)
        return (
            f"{reason}; this port needs one of three things: the capability NET_BIND_SERVICE (of a container, or by "
            f"`setcap cap_net_bind_service=+ep {os.path.realpath(sys.executable)}`), the setting "
            f"net.ipv4.ip_unprivileged_port_start={address.port} of sysctl, or another port instead: --listen {high}"
        )
    return reason


def _first_unprivileged() -> int:
    try:
        return int(_UNPRIVILEGED.read_bytes())
    except (OSError, ValueError):
        return 1024


def _by_whom(address: Address, transport: Transport) -> str:
    """Return which process has an address, as far as this process may see that."""
    inodes = {f"socket:[{inode}]" for inode in _holders(address, transport)}
    if not inodes:
        return ""
    for folder in Path("/proc").glob("[0-9]*"):
        if _has_one_of(folder, inodes):
            if int(folder.name) == os.getpid():
                return ", by another address of this configuration"
            with suppress(OSError):
                return f", by {(folder / 'comm').read_text(errors='replace').strip()}, process {folder.name}"
    return ", by a process of another user"


def _has_one_of(folder: Path, inodes: set[str]) -> bool:
    """Tell whether the process with this folder in /proc has one of these sockets open."""
    with suppress(OSError):
        for handle in (folder / "fd").iterdir():
            with suppress(OSError):  # closed by now
                if str(handle.readlink()) in inodes:
                    return True
    return False


def _holders(address: Address, transport: Transport, *, exactly: bool = False) -> Iterator[str]:
    """Yield the inodes of sockets that are bound to an address, or keep others from it (kernel: proc_net_tcp.rst)."""
    wanted = _hex(address.host)
    # Ours are for IPv6 alone, but who asks for IPv4 may meet one that is for both.
    tables = [f"{transport}6"] if ":" in address.host else [transport, f"{transport}6"]
    for table in tables:
        try:
            lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *rest = line.split()
            host, _, port = local.rpartition(":")
            meets = host == wanted or (not exactly and (not int(host, 16) or not int(wanted, 16)))
            if int(port, 16) == address.port and meets and (state == _LISTENS or transport == "udp"):
                yield rest[5]


def _hex(host: str) -> str:
    """Return an address in the form of /proc/net: each word of 32 bits in the byte order of the machine."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
