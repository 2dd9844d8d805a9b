"""What it costs to read a cluster, by several ways: `python -m tests.kube.read_lists [--pods 50000 ...]`.

The API server runs in a process of its own; the figures are those of the reader alone.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import httpx2
import trio

from dnsserver.kube.api import Client
from dnsserver.kube.credentials import ApiEndpoint, Credentials, tls_context
from dnsserver.kube.reflector import Reflector
from dnsserver.kube.scope import Scope, scopes_of
from dnsserver.zone.model import Event, Kind, ListDone


def used() -> float:
    """Processor time of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def plain(session: httpx2.AsyncClient) -> None:
    """Pages by a bare HTTP client, its bytes thrown away."""
    for kind in Kind:
        token = ""
        while True:
            answer = await session.get(
                Scope(kind).path, params={"limit": "500", **({"continue": token} if token else {})}
            )
            _, _, rest = answer.content[:400].partition(b'"continue":"')
            token = rest.partition(b'"')[0].decode()
            if not token:
                break


async def pages(client: Client) -> None:
    """The same pages by our transport, not decoded."""
    for kind in Kind:
        async with aclosing(client.pages(Scope(kind))) as found:
            async for _ in found:
                pass


async def reflect(client: Client, *, streaming: bool) -> None:
    """Everything a start does but the zone."""
    waiting = set(Kind)

    def apply(event: Event) -> bool:
        if isinstance(event, ListDone):
            waiting.discard(event.kind)
            if not waiting:
                nursery.cancel_scope.cancel()
        return True

    async with trio.open_nursery() as nursery:
        for kind in Kind:
            nursery.start_soon(Reflector(client, scopes_of(kind), apply, streaming=streaming).run)


async def measure(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """One line of the table."""
    start, before = time.perf_counter(), used()
    await work()
    sys.stdout.write(f"{what:48} {time.perf_counter() - start:6.2f} s   {used() - before:6.2f} s processor time\n")


async def main(arguments: list[str]) -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    for what, usual in (("pods", "50000"), ("services", "10000"), ("slices", "15000"), ("endpoints", "60000")):
        parser.add_argument(f"--{what}", default=usual)
    command = [sys.executable, "-m", "tests.kube.apiserver"]
    for what, count in vars(parser.parse_args(arguments)).items():
        command += [f"--{what}", count]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:  # noqa: ASYNC220  (nothing else runs yet)
        assert server.stdout
        told = json.loads(server.stdout.readline())
        access = ApiEndpoint(told["server"], f"Bearer {told['token']}", told["ca"])

        async def load() -> ApiEndpoint:
            return access

        try:
            headers = {"authorization": access.authorization, "accept-encoding": "identity"}
            client = Client(Credentials(load))
            async with httpx2.AsyncClient(
                base_url=access.server, verify=tls_context(access), headers=headers, timeout=60
            ) as session:
                for _ in range(2):
                    await measure("pages, httpx2's own transport, bytes only", lambda: plain(session))
                    await measure("pages, this transport, bytes only", lambda: pages(client))
                    await measure("pages, decoded, to events", lambda: reflect(client, streaming=False))
                    await measure("streaming list, decoded, to events", lambda: reflect(client, streaming=True))
            await client.aclose()
        finally:
            server.kill()


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
