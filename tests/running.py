"""A server in this process, on loopback sockets that the system chooses, and the questions put to it."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from dnsserver.app.server import Server
from dnsserver.config import Address, Config, Loaded, Upstream
from tests.kube.apiserver import ApiServer

HOST = "127.0.0.1"
_WINDOW = 48  # questions under way; a loopback socket's buffer takes many more
_PATIENCE = 20.0  # seconds until a test gives up


def config(**settings: Any) -> Config:
    """Return a configuration for one test: loopback, no admin, no upstreams unless it says so."""
    common: dict[str, Any] = {"listen": (Address(HOST, 0),), "admin": Address(HOST, 0), "upstreams": (), "drain": 0.0}
    return msgspec.structs.replace(Config(), **{**common, **settings})


def upstream_at(port: int) -> tuple[Upstream, ...]:
    """Return the upstream on a loopback port, as the configuration has it."""
    return (Upstream(HOST, port),)


@asynccontextmanager
async def running(settings: Config, loaded: Loaded | None = None) -> AsyncIterator[Server]:
    """Run a server, less its admin HTTP and its signals, and wait until its first sync is complete.

    `loaded` is where the settings are written, if they are; changes are not followed.
    """
    server = Server(settings, loaded=loaded)
    server.dns.listen()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.dns.run)
        nursery.start_soon(server.sync.run)
        with trio.fail_after(_PATIENCE):
            await server.sync.wait_synced()
        yield server
        nursery.cancel_scope.cancel()
    if server.sync.client is not None:
        await server.sync.client.aclose()


def port_of(server: Server) -> int:
    """Return the port of UDP and TCP."""
    return server.dns.udp[0][0].port


def kubeconfig(folder: Path, api: ApiServer) -> Path:
    """Write the file that leads to an API server, and return its path."""
    cluster = {"server": api.url, "certificate-authority-data": base64.b64encode(api.ca.encode()).decode()}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": api.token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


def write_objects(folder: Path, things: Sequence[dict[str, Any]]) -> Path:
    """Write objects as `kubectl get -o json` shows them, and return the file's path."""
    path = folder / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)}))
    return path


async def ask_udp(port: int, packets: Sequence[bytes]) -> list[bytes]:
    """Return the reply to each packet; packets are sent with IDs of their own."""
    replies: dict[int, bytes] = {}
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect((HOST, port))
        sent = 0
        with trio.fail_after(_PATIENCE):
            while len(replies) < len(packets):
                while sent < len(packets) and sent - len(replies) < _WINDOW:
                    await sock.send(sent.to_bytes(2) + packets[sent][2:])
                    sent += 1
                reply = await sock.recv(65535)
                replies[int.from_bytes(reply[:2])] = reply
    return [replies[number] for number in range(len(packets))]


async def ask_tcp(port: int, packets: Sequence[bytes]) -> list[bytes]:
    """Return the reply to each packet, all of them asked on one connection without waiting (RFC 7766)."""
    replies: dict[int, bytes] = {}
    stream = await trio.open_tcp_stream(HOST, port)

    async def send() -> None:
        for number, packet in enumerate(packets):
            await stream.send_all(len(packet).to_bytes(2) + number.to_bytes(2) + packet[2:])

    with trio.fail_after(_PATIENCE):
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(send)
            buffer = bytearray()
            while len(replies) < len(packets):
                data = await stream.receive_some(65536)
                assert data, f"closed after {len(replies)} of {len(packets)} replies"
                buffer += data
                for reply in take_messages(buffer):
                    replies[int.from_bytes(reply[:2])] = reply
    return [replies[number] for number in range(len(packets))]


def take_messages(buffer: bytearray) -> list[bytes]:
    """Take the whole messages from the front of what a TCP connection brought."""
    found = []
    while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2]):
        size = 2 + int.from_bytes(buffer[:2])
        found.append(bytes(buffer[2:size]))
        del buffer[:size]
    return found
