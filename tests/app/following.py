"""A zone that follows an API server of the tests, less what asks it."""

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext
from pathlib import Path

import msgspec
import trio

from dnsserver.app.sync import Sync
from dnsserver.config import Config
from dnsserver.config.model import Kubernetes
from dnsserver.resolver.reply_cache import Reply, ReplyCache
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.zone.cluster import Cluster
from tests.kube.apiserver import ApiServer


class Rig:
    """What follows the cluster of a server, without what answers packets."""

    def __init__(self, config: Config) -> None:
        self.replies = ReplyCache()
        self.table = self.replies.add_table("udp", "1")
        self.cluster = Cluster(pods=config.pods)
        self.sync = Sync(config, self.cluster, self.replies)

    def ask(self, text: str) -> tuple[int, tuple[str, ...]]:
        """The rcode and the addresses of a name."""
        if not text.endswith(".local"):
            text = f"{text}.shop.svc.cluster.local"
        answer = self.cluster.answer(names.from_text(text), m.A)
        assert answer is not None
        rdatas = [rdata for rrset in answer.answer for rdata in rrset.rdatas]
        return answer.rcode, tuple(".".join(map(str, rdata)) for rdata in rdatas)

    def keep_reply(self) -> None:
        """Something in the reply cache that no event touches."""
        self.replies.keep(self.table, b"a question", Reply(b"\x84\0 and a reply of our own", (1, 0, "found")))

    @property
    def saves(self) -> int:
        assert self.sync.snapshot is not None
        return self.sync.snapshot.statistics().saves


def config_of(server: ApiServer, folder: Path) -> Config:
    """A configuration whose kubeconfig leads to the server."""
    path = folder / "kubeconfig"
    text = msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "users": [{"name": "it", "user": {"token": server.token}}],
            "clusters": [
                {
                    "name": "it",
                    "cluster": {
                        "server": server.url,
                        "certificate-authority-data": base64.b64encode(server.ca.encode()).decode(),
                    },
                }
            ],
        }
    )
    path.write_bytes(text)
    kubernetes = Kubernetes(snapshot_interval=1.0)
    return Config(kubeconfig=path, state=folder / "state", kubernetes=kubernetes, pods="verified")


@asynccontextmanager
async def following(config: Config) -> AsyncIterator[Rig]:
    rig = Rig(config)
    client = nullcontext() if rig.sync.client is None else aclosing(rig.sync.client)
    async with client, trio.open_nursery() as nursery:
        nursery.start_soon(rig.sync.run)
        yield rig
        nursery.cancel_scope.cancel()
