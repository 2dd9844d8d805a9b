"""The upstream of a soak: each name has an address of its own, and it can go wrong in every way that is known."""

import struct
import zlib
from contextlib import suppress

import trio

from tests.free_port import free_port

HOST = "127.0.0.1"
FORGED = "203.0.113.66"  # what nobody may ever be told
TTL = 20
# What it can do to a question; the last two are of its sockets.
MODES = ("silent", "late", "servfail", "garbage", "forged", "cut", "other question", "half over tcp", "gone")
_LATE = 0.7  # seconds


def address_of(name: str) -> str:
    """Return the address of a name, which is in lower case and has no dot at its end."""
    return f"198.18.{zlib.crc32(name.encode()) % 250}.{len(name) % 250 + 1}"


def _name(wire: bytes) -> tuple[str, int]:
    """Return the name of a query and where it ends."""
    labels, at = [], 12
    while wire[at]:
        labels.append(wire[at + 1 : at + 1 + wire[at]].decode("latin-1"))
        at += 1 + wire[at]
    return ".".join(labels).lower(), at + 1


class Outside:
    """A UDP and a TCP socket on one port; names below `flood` do not exist. `mode` is what is wrong, if anything is."""

    def __init__(self) -> None:
        self.mode = ""
        self.port = free_port()  # nobody else gets it while its sockets are closed
        self.asked = 0
        self._back = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer for ever; where it is `gone` its sockets are closed until another mode is set by `be`."""
        started = False
        while True:
            self._back = trio.Event()
            (listener,) = await trio.open_tcp_listeners(self.port, host=HOST)
            udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
            await udp.bind((HOST, self.port))
            if not started:
                task_status.started()
                started = True
            with udp:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._serve_udp, udp, nursery)
                    nursery.start_soon(trio.serve_listeners, self._serve_stream, [listener])
                    while self.mode != "gone":
                        await self._back.wait()
                        self._back = trio.Event()
                    nursery.cancel_scope.cancel()
            await self._back.wait()

    def be(self, mode: str) -> None:
        """Set what is wrong from now on; an empty mode is nothing."""
        self.mode = mode
        self._back.set()

    async def _serve_udp(self, udp: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                wire, sender = await udp.recvfrom(65535)
            except ConnectionRefusedError:
                continue
            for reply in self._replies(wire):
                if self.mode == "late":
                    nursery.start_soon(self._send_late, udp, reply, sender)
                else:
                    with suppress(OSError):
                        await udp.sendto(reply, sender)

    async def _send_late(self, udp: trio.socket.SocketType, reply: bytes, sender: tuple[object, ...]) -> None:
        await trio.sleep(_LATE)
        with suppress(OSError):
            await udp.sendto(reply, sender)

    async def _serve_stream(self, stream: trio.SocketStream) -> None:
        held = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await stream.receive_some(65535):
                held += data
                while len(held) >= 2 and len(held) >= (size := 2 + int.from_bytes(held[:2])):
                    wire, held = held[2:size], held[size:]
                    if self.mode == "silent":
                        continue
                    reply = _right(wire)
                    framed = len(reply).to_bytes(2) + reply
                    if self.mode == "half over tcp":
                        await stream.send_all(framed[: len(framed) // 2])
                        return
                    await stream.send_all(framed)

    def _replies(self, wire: bytes) -> list[bytes]:
        self.asked += 1
        right = _right(wire)
        match self.mode:
            case "silent":
                found = []
            case "servfail":
                found = [_plain(wire, 2)]
            case "garbage":
                found = [wire[:2] + b"\x81\x80\0\1\0\7\0\0\0\0" + wire[12:] + b"\xc0\xff\0\1", wire[:5]]
            case "forged":
                forged = right[:-4] + bytes(map(int, FORGED.split(".")))
                found = [bytes((wire[0] ^ 0x5A, wire[1])) + forged[2:], right]
            case "cut" | "half over tcp":
                found = [_plain(wire, 0x200)]
            case "other question":
                found = [right[:13] + bytes((right[13] ^ 1,)) + right[14:], right]
            case _:
                found = [right]
        return found


def _plain(wire: bytes, flags: int) -> bytes:
    """Return a reply without records."""
    end = _name(wire)[1] + 4
    return wire[:2] + struct.pack("!HHHHH", 0x8180 | flags, 1, 0, 0, 0) + wire[12:end]


def _right(wire: bytes) -> bytes:
    name, at = _name(wire)
    if ".flood." in name or not name.endswith(".example"):
        return _plain(wire, 3)
    if wire[at : at + 4] != b"\0\1\0\1":
        return _plain(wire, 0)
    record = b"\xc0\x0c\0\1\0\1" + TTL.to_bytes(4) + b"\0\4" + bytes(map(int, address_of(name).split(".")))
    return wire[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + wire[12 : at + 4] + record
