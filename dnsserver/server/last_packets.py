"""The last packets of a socket that is about to be closed: the kernel brings no more, and those that wait are seen.

A socket that is closed with packets in its buffer, or with connections that nobody has accepted, loses them. So first
it gets nothing more, while others that have the same address get it; then it is emptied, and then closed.
"""

import select
import socket
from typing import Final

from dnsserver.server.classic_bpf import AND, JUMP_IF_EQUAL, LOAD_OCTET, RETURN, Instruction, encoded, give

_DISCARD: Final = 9  # RFC 863
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_SYN, _ACK = 0x02, 0x10
# The packet begins with its TCP header; its flags are in octet 13 (RFC 9293 section 3.1). What belongs to a connection
# that has begun passes.
_NO_SYN: Final = encoded(
    (
        Instruction(LOAD_OCTET, 13),
        Instruction(AND, _SYN | _ACK),
        Instruction(JUMP_IF_EQUAL, _SYN, 0, 1),
        Instruction(RETURN, 0),  # nothing of it
        Instruction(RETURN, -1),  # all of it
    )
)


def take_no_more(sock: socket.socket) -> None:
    """Tell the kernel to deliver nothing new to a bound socket, whichever process reads it. Raises OSError.

    A connected UDP socket gets what its peer sends only, and at a port of our own that nobody has there is none. A
    listening TCP socket gets no SYN; who sent it sends it again after a second, when another socket gets it.
    """
    if sock.type == socket.SOCK_STREAM:
        give(sock, _SO_ATTACH_FILTER, _NO_SYN)
        return
    host = sock.getsockname()[0]
    nobody = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    sock.connect((nobody, _DISCARD))


def takes_no_more(sock: socket.socket) -> bool:
    """Tell whether some process did that to a UDP socket."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def has_waiting(sock: socket.socket) -> bool:
    """Tell whether packets, or connections that nobody has accepted, wait in a socket."""
    look = select.poll()
    look.register(sock, select.POLLIN)
    return bool(look.poll(0))
