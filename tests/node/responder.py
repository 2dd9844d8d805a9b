"""A server that says yes to every question, over UDP and TCP: `responder.py PORT ADDRESS...`, without anything else."""

import selectors
import socket
import sys


def answer(asked: bytes) -> bytes:
    return asked[:2] + b"\x81\x80" + asked[4:]


def main(port: int, *hosts: str) -> None:
    ready = selectors.DefaultSelector()
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(family, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free_bind = (socket.IPPROTO_IPV6, 78) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 15)
            sock.setsockopt(*free_bind, 1)
            sock.bind((host, port))
            if kind == socket.SOCK_STREAM:
                sock.listen()
            ready.register(sock, selectors.EVENT_READ, kind)
    print("ready", flush=True)  # noqa: T201 - for whoever started it
    while True:
        for key, _ in ready.select():
            found = key.fileobj
            assert isinstance(found, socket.socket)
            if key.data == socket.SOCK_DGRAM:
                asked, client = found.recvfrom(4096)
                found.sendto(answer(asked), client)
            elif key.data == socket.SOCK_STREAM:
                connection, _ = found.accept()
                ready.register(connection, selectors.EVENT_READ, None)
            else:
                message = found.recv(4096)
                if message:
                    found.sendall(message[:2] + answer(message[2:]))
                else:
                    ready.unregister(found)
                    found.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
