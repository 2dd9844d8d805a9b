"""Asks the server over one transport, one question at a time, without waiting: the caller says when to look.

UDP takes a new socket for each question, as clients do. TCP keeps its connection, and so hears of the end of the
server's process at once, however it ends: the kernel closes it.
"""

import errno
import os
import socket
import struct
from typing import Final, Literal

from dnsserver.node.addresses import Address
from dnsserver.node.question import is_answer, question

Transport = Literal["udp", "tcp"]
Outcome = Literal["answered", "refused", "silent", "wrong", "closed"]

PATIENCE: Final = 0.5  # seconds until a question counts as lost: the server is on this machine
_PORT: Final = 53
_BUFFER: Final = 65_536
_REFUSED: Final = {errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}


class Asker:
    """Asks at one address; `sock` is what to wait for while a question, or a connection, is open."""

    def __init__(self, address: Address, transport: Transport, name: str, port: int = _PORT) -> None:
        """Ask nothing yet."""
        self.transport: Transport = transport
        self._at = (str(address), port)
        self._family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._name = name
        self._asked = b""  # what is under way
        self.until = 0.0
        self._connecting = False
        self._heard = b""
        self.sock: socket.socket | None = None

    @property
    def writes(self) -> bool:
        """Whether `sock` is to be waited for until it can be written to: a connection is being made."""
        return self._connecting

    @property
    def is_asking(self) -> bool:
        """Whether a question is under way."""
        return bool(self._asked)

    def ask(self, now: float) -> Outcome | None:
        """Ask; return what comes of it if that is known at once."""
        self._asked = question(int.from_bytes(os.urandom(2)), self._name)
        self.until = now + PATIENCE
        try:
            if self.sock is None:
                self.sock = self._opened()
            if not self._connecting:
                self._send()
        except OSError as error:
            return self._failed(error)
        return None

    def look(self) -> Outcome | None:
        """Look at what came, as there is something to read or to write; return what came of the question."""
        if self.sock is None:
            return None
        try:
            if self._connecting:
                self._connecting = False
                self._send()  # raises what became of the connection
                return None
            data = self.sock.recv(_BUFFER)
        except BlockingIOError:
            return None
        except OSError as error:
            return self._failed(error)
        return self._took(data)

    def expire(self, now: float) -> Outcome | None:
        """Return "silent" if the question has waited for too long."""
        if not self._asked or now < self.until:
            return None
        self.close()
        return "silent"

    def close(self) -> None:
        """Give up what is open."""
        if self.sock is not None:
            self.sock.close()
        self.sock, self._asked, self._heard, self._connecting = None, b"", b"", False

    def _opened(self) -> socket.socket:
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        sock = socket.socket(self._family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        number = sock.connect_ex(self._at)
        if number not in {0, errno.EINPROGRESS}:
            sock.close()
            raise OSError(number, os.strerror(number))
        self._connecting = number == errno.EINPROGRESS
        return sock

    def _send(self) -> None:
        if self.sock is None or not self._asked:
            return
        if self.transport == "udp":
            self.sock.send(self._asked)
        else:
            self.sock.send(struct.pack("!H", len(self._asked)) + self._asked)

    def _took(self, data: bytes) -> Outcome | None:
        if self.transport == "tcp":
            if not data:
                self.close()
                return "closed"
            self._heard += data
            if len(self._heard) < 2 or len(self._heard) < 2 + int.from_bytes(self._heard[:2]):
                return None
            length = int.from_bytes(self._heard[:2])
            data, self._heard = self._heard[2 : 2 + length], self._heard[2 + length :]
        asked = self._asked
        if not asked or data[:2] != asked[:2]:
            return None  # what comes too late
        self._asked = b""
        if self.transport == "udp":
            self.close()
        return "answered" if is_answer(data, asked) else "wrong"

    def _failed(self, error: OSError) -> Outcome:
        self.close()
        return "refused" if error.errno in _REFUSED else "silent"
