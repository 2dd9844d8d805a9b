"""The program `asking`: it counts a loss as lost, a wrong answer as wrong, and a right answer as neither."""

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import asking
from tests.free_port import free_port

Behaviour = Callable[[bytes], bytes | None]
NAME = "web.shop.svc.cluster.local"


def right(query: bytes) -> bytes:
    return (
        query[:2] + b"\x85\x80" + query[4:6] + b"\0\1\0\0\0\0" + query[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1"
    )


def empty(query: bytes) -> bytes:
    return query[:2] + b"\x85\x80" + query[4:]


def failing(query: bytes) -> bytes:
    return query[:2] + b"\x85\x82" + query[4:]


def silent(query: bytes) -> None:
    return None


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[int]:
    """A server on one port of UDP and TCP, which answers each query as the behaviour says."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))

        def answer_udp() -> None:
            while query := (received := udp.recvfrom(4096))[0]:
                if (reply := behaviour(query)) is not None:
                    udp.sendto(reply, received[1])

        def answer_tcp() -> None:
            kept = []
            while True:
                client, _ = tcp.accept()
                message = client.recv(4096)
                if not message:
                    break
                reply = behaviour(message[2:])
                if reply is None:
                    kept.append(client)
                    continue
                client.sendall(struct.pack("!H", len(reply)) + reply)
                client.close()
            for each in (*kept, client):
                each.close()

        threads = [threading.Thread(target=answer) for answer in (answer_udp, answer_tcp)]
        for thread in threads:
            thread.start()
        yield port
        udp.sendto(b"", ("127.0.0.1", port))
        socket.create_connection(("127.0.0.1", port)).close()
        for thread in threads:
            thread.join()


def asked(port: int, seconds: float = 1.0) -> dict[str, Any]:
    """The output of the program after some seconds."""
    command = [sys.executable, asking.__file__, "127.0.0.1", str(port), "100", NAME]
    with subprocess.Popen(["sleep", str(seconds)], stdout=subprocess.PIPE) as until:
        done = subprocess.run(command, stdin=until.stdout, capture_output=True, text=True, check=True, timeout=30)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("behaviour", "lost", "rcodes"),
    [(right, False, []), (empty, False, [0]), (failing, False, [2]), (silent, True, [])],
)
def test_what_becomes_of_a_question_is_counted(behaviour: Behaviour, lost: bool, rcodes: list[int]) -> None:
    with serving(behaviour) as port:
        found = asked(port)
    assert found.keys() == {"udp", "kept", "tcp"}
    for way in found.values():
        assert way["asked"] > 0
        assert way["lost"] == (way["asked"] if lost else 0)
        assert way["wrong"] == (way["asked"] if rcodes else 0)
        assert way["rcodes"] == rcodes
        assert bool(way["at"]) is (lost or bool(rcodes))


def test_who_is_not_there_has_lost_all() -> None:
    for way in asked(free_port()).values():
        assert way["asked"] == way["lost"] > 0


def test_it_keeps_to_its_rate() -> None:
    with serving(right) as port:
        found = asked(port, 2.0)
    assert found["udp"]["asked"] == pytest.approx(4 * found["kept"]["asked"], rel=0.1)
    assert found["udp"]["asked"] == pytest.approx(10 * found["tcp"]["asked"], rel=0.2)
