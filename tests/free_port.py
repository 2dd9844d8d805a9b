"""A port for a server whose port has to be known before it serves."""

import random
import socket
from contextlib import suppress

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port that is free for UDP and TCP, and that the system does not give to a client in the meantime."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind((HOST, port))
            tcp.bind((HOST, port))
            return port
