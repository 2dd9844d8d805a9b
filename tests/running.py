"""A server in this process, on loopback ports that the system chooses, and ways to ask it."""

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
    """Return a configuration for one test: free loopback ports, no upstreams and no drain, unless `settings` say so."""
    common: dict[str, Any] = {"listen": (Address(HOST, 0),), "admin": Address(HOST, 0), "upstreams": (), "drain": 0.0}
    return msgspec.structs.replace(Config(), **{**common, **settings})


def upstream_at(port: int) -> tuple[Upstream, ...]:
    """Return the upstream on a loopback port, in the form of the configuration."""
    return (Upstream(HOST, port),)


@asynccontextmanager
async def running(settings: Config, loaded: Loaded | None = None) -> AsyncIterator[Server]:
    """Run a server without its admin HTTP and its signal handlers; the block begins when its first sync is complete.

    `loaded` tells where the settings come from, if they were read from files; changes of the files are not followed.
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
    """Return the port on which a server answers over UDP and TCP."""
    return server.dns.udp[0][0].port


def kubeconfig(folder: Path, api: ApiServer) -> Path:
    """Write a kubeconfig for an API server, and return its path."""
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
    """Return the reply to each packet; each packet is sent with its number as the ID."""
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
    """Return the reply to each packet; all are sent on one connection without waiting for replies (RFC 7766)."""
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
    """Remove the complete messages from the front of what was received over TCP, and return them."""
    found = []
    while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2]):
        size = 2 + int.from_bytes(buffer[:2])
        found.append(bytes(buffer[2:size]))
        del buffer[:size]
    return found
