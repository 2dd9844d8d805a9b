"""Lets one server follow another on the same addresses without a gap: the old one hands its sockets to the new one.

Both know the path of a Unix socket. The next server gets ready without any address, connects there, and asks for the
sockets: the very same ones, so nothing that waits in them is lost, and the kernel's choice of a lane stays right. Then
the last one reads nothing new, and answers what it has read. Its connection to the next one stays open: if that one
dies before the last one has ended, the last one reads again. So an update that cannot work costs nobody an answer.

Where nobody hands anything over (no server is there, it hangs, or it is another program of the same user, such as
NodeLocal DNSCache), see `listening.open_beside`.
"""

import array
import errno
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from dnsserver.logger import get_logger

log = get_logger("dnsserver")

PATIENCE = 2.0  # seconds that the last server may take to hand its sockets over
_TAKE, _TAKEN = b"take", b"taken"
_MESSAGE = 4096  # octets
_MOST = 253  # descriptors in one message, SCM_MAX_FD
_BACKLOG = 4

Handed = dict[str, tuple[list[socket.socket], list[socket.socket]]]  # UDP and TCP sockets by the address


class _Part(msgspec.Struct, frozen=True):
    """One address and the number of its UDP sockets; its other sockets are for TCP. An empty part is the end."""

    address: str = ""
    udp: int = 0


class Predecessor:
    """The server that has the addresses, or what is left of it: a connection to it."""

    def __init__(self, connection: trio.socket.SocketType) -> None:
        """Take a connection, which stays open as long as this process lives."""
        self._connection = connection

    async def take(self) -> Handed | None:
        """Return its sockets, None if it does not hand them over in time."""
        found: Handed = {}
        try:
            with trio.fail_after(PATIENCE):
                await self._connection.send(_TAKE)
                while True:
                    await trio.lowlevel.wait_readable(self._connection)
                    with _plain(self._connection) as plain:
                        data, descriptors, _, _ = socket.recv_fds(plain, _MESSAGE, _MOST)
                    sockets = [socket.socket(fileno=each) for each in descriptors]
                    part = msgspec.json.decode(data, type=_Part)
                    if not part.address:
                        return found
                    for each in sockets:
                        each.setblocking(False)
                    found[part.address] = (sockets[: part.udp], sockets[part.udp :])
        except (OSError, trio.TooSlowError, msgspec.MsgspecError) as error:
            log.warning("no sockets were handed over", error=str(error) or "it took too long")
            for udp, tcp in found.values():
                for each in (*udp, *tcp):
                    each.close()
            return None

    async def wait_gone(self) -> None:
        """Wait until it has ended; before it is asked to, it says nothing."""
        await trio.lowlevel.wait_readable(self._connection)

    async def confirm(self) -> None:
        """Tell the old server that this one answers at its addresses."""
        with suppress(OSError):
            await self._connection.send(_TAKEN)

    def close(self) -> None:
        """Close the connection: the other server goes on with the sockets that it has."""
        self._connection.close()


def _plain(connection: trio.socket.SocketType) -> socket.socket:
    """Return a socket of the standard library with the same descriptor, for calls that trio does not have."""
    return socket.socket(fileno=os.dup(connection.fileno()))


async def predecessor(path: Path) -> Predecessor | None:
    """Return the server that offers its sockets at a path; None if there is no server of this user."""
    connection = trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        await connection.connect(str(path))
        if _is_own(connection):
            return Predecessor(connection)
        why = "the server there belongs to another user"
    except OSError as error:
        why = "" if error.errno in {errno.ENOENT, errno.ECONNREFUSED} else error.strerror or str(error)
    connection.close()
    if why:
        log.warning("no sockets were handed over", path=str(path), error=why)
    return None


def _is_own(connection: trio.socket.SocketType) -> bool:
    """Tell whether the process at the other end has the same user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.geteuid())


class Offer:
    """Hands the sockets of this server over to the next one."""

    def __init__(
        self,
        path: Path,
        sockets: Callable[[], Mapping[str, tuple[Sequence[int], Sequence[int]]]],
        release: Callable[[], Awaitable[None]],
        rest: Callable[[bool], None],
    ) -> None:
        """Open nothing yet.

        `sockets` gives the descriptors of UDP and of TCP by the address. `release` gives up what the next server needs
        besides, `rest` has this one read nothing new from now on, or read again.
        """
        self._path = path
        self._sockets = sockets
        self._release = release
        self._rest = rest
        self._takers = 0
        self._withdrawn = False

    @property
    def is_taken(self) -> bool:
        """Whether another server has the same sockets: a change to them is a change to its own."""
        return self._takers > 0

    def withdraw(self) -> bool:
        """Stop offering the sockets; return whether no other server has them yet."""
        self._withdrawn = True
        return not self.is_taken

    async def run(self) -> None:
        """Offer them until cancelled. Raises OSError if the path cannot be had."""
        with self._bound() as listener:
            async with trio.open_nursery() as nursery:
                while True:
                    connection, _ = await listener.accept()
                    nursery.start_soon(self._serve, connection)

    def _bound(self) -> trio.socket.SocketType:
        """Return a listener that replaces that of the last server, if there is one. A missing folder is made."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise OSError(errno.EEXIST, "there is something that is not a socket")
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            new.unlink(missing_ok=True)
            plain = socket.socket(fileno=os.dup(listener.fileno()))
            with plain:
                plain.bind(str(new))
                plain.listen(_BACKLOG)
            new.replace(self._path)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        return listener

    async def _serve(self, connection: trio.socket.SocketType) -> None:
        """Hand over to one client, and take everything back if that client dies."""
        handed = taken = False
        with connection, suppress(OSError):
            if not _is_own(connection):
                return
            while (message := await connection.recv(_MESSAGE)) != b"":
                if self._withdrawn:
                    break
                if message == _TAKE:
                    self._takers += not handed
                    handed = True
                    await self._hand_over(connection)
                elif message == _TAKEN and not taken:
                    taken = True
                    self._rest(True)
                    log.info("the next server has taken over")
        if handed:
            self._takers -= 1
            self._rest(False)
        if taken:
            log.warning("the next server is gone, this one answers again")

    async def _hand_over(self, connection: trio.socket.SocketType) -> None:
        await self._release()
        for address, (udp, tcp) in self._sockets().items():
            descriptors = array.array("i", [*udp, *tcp][:_MOST])
            part = msgspec.json.encode(_Part(address, len(udp)))
            await connection.sendmsg([part], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        await connection.send(msgspec.json.encode(_Part()))
