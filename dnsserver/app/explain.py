"""Where an explanation comes from: a running server, or this process with object files or a kubeconfig."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from dnsserver.app.asking import Asking
from dnsserver.app.dns_service import DnsService, StartError
from dnsserver.app.explainer import Explainer, PodReadError, Wanted, WantedError
from dnsserver.app.files_at_hand import TooLargeError, objects_of
from dnsserver.app.sync import Sync
from dnsserver.app.zone_at_hand import NoZoneError, expect_objects, first_of, wait_zone
from dnsserver.clients import shown_address
from dnsserver.config import Config, Loaded
from dnsserver.explain import nearest
from dnsserver.explain.client import Client, Node, of_resolv_conf
from dnsserver.explain.report import Explanation
from dnsserver.kube.errors import ApiError, Forbidden, NotFound
from dnsserver.kube.pod_dns import PodDns, of_parsed
from dnsserver.page.changes import words
from dnsserver.zone.cluster import Cluster

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # where this runs in a pod
_RESOLV_CONF = Path("/etc/resolv.conf")
_LATELY = 3600.0  # seconds
_PODS = 5  # that are named where one is not there
_RULE = '{apiGroups: [""], resources: [pods], verbs: [get]}'


class ExplainError(Exception):
    """Nothing can be explained; the text says why."""


class Parts(Protocol):
    """The parts of a server that are asked; one `is_alone` where nobody has to be answered beside."""

    is_alone: bool
    config: Config
    cluster: Cluster
    dns: DnsService
    sync: Sync


def explainer_of(
    parts: Parts,
    place: Callable[[str], str],
    clock: Callable[[], float],
    limit: trio.CapacityLimiter | None = None,
) -> Explainer:
    """Return what explains names as a server answers them with its present configuration."""
    asking = Asking(parts.dns, parts.config, clock, place, parts.sync.stale_reason)
    return Explainer(
        asking,
        parts.cluster.index,
        parts.config,
        partial(_node, parts),
        partial(_read_pod, parts),
        partial(_no_namespace, parts),
        partial(_changed, parts),
        limit,
    )


def _changed(parts: Parts, namespace: bytes, service: bytes) -> str:
    """Return how a Service changed within the last hour, or a Namespace if the name is empty; "" if it did not."""
    journal = parts.cluster.journal
    last = None if journal is None else next(journal.changes(namespace, service), None)
    if last is None or time.time() - last.last > _LATELY:
        return ""
    name = b"/".join(filter(None, last.key)).decode("utf-8", "replace")
    stamp = datetime.fromtimestamp(last.last, UTC).strftime("%H:%M:%S")
    return f"{name} changed at {stamp} UTC: {'; '.join(words(last))}"


def _no_namespace(parts: Parts, namespace: str) -> str:
    """Return what is wrong with a namespace that the cluster does not have; "" for one that it has, or may have.

    A server that follows only some namespaces does not know whether another one exists.
    """
    settings, known = parts.config.kubernetes, parts.cluster.index.namespaces
    own = namespace.encode()
    if own in known or parts.cluster.missing or settings.namespaces or settings.namespace_labels:
        return ""
    near = min(nearest.near(own, known), default=None)
    return f"there is no namespace {namespace}{f'. Did you mean {near[1].decode()}?' if near else ''}"


async def _node(parts: Parts) -> Node:
    """Return what is known of the nodes: this pod has the resolv.conf of its node, unless that names the cluster."""
    config = parts.config
    service = _service_addresses(parts)
    own = (*service, *_own_addresses(config))
    search = tuple(str(domain) for domain in config.search.node_domains)
    unknown = Node(search=search, own=own, service=service)
    if config.objects is not None or not await trio.Path(_ACCOUNT).exists():
        return unknown
    try:
        text = await trio.Path(_RESOLV_CONF).read_text("utf-8", "replace")
    except OSError:
        return unknown
    found = of_resolv_conf(text, "")
    if _is_the_clusters(found, str(config.domain), own):
        return unknown
    return Node(found.nameservers, found.search, found.options, is_known=True, own=own, service=service)


def _is_the_clusters(client: Client, domain: str, own: tuple[str, ...]) -> bool:
    return f"svc.{domain}" in client.search or any(address in own for address in client.nameservers)


def _service_addresses(parts: Parts) -> tuple[str, ...]:
    """Return the addresses of the Service through which clients reach the server; none if it is not known."""
    name = parts.config.service
    entry = parts.cluster.index.entry((name.namespace.encode(), name.name.encode()))
    return () if entry is None or entry.service is None else tuple(map(shown_address, entry.service.addresses))


def _own_addresses(config: Config) -> Iterator[str]:
    """Yield the specific addresses at which the server listens, which are there for clients to ask."""
    return (address.host for address in config.listen if address.host not in {"0.0.0.0", "::"})


async def _read_pod(parts: Parts, namespace: str, name: str) -> PodDns:
    """Return a pod's spec, from the source of the server's objects. Raises PodReadError and WantedError."""
    client, objects = parts.sync.client, parts.config.objects
    if client is None:
        assert objects is not None  # it is one or the other
        known = parts.cluster.index.pod_addresses((namespace.encode(), name.encode()))
        if known is None and parts.config.pods == "verified" and not parts.cluster.missing and not parts.is_alone:
            raise _no_pod(namespace, name, objects, None)
        return await trio.to_thread.run_sync(_pod_of_files, objects, namespace, name, parts.is_alone)
    try:
        return await client.pod(namespace, name)
    except Forbidden:
        raise PodReadError(f"pod {namespace}/{name} cannot be read here: the role lacks the rule {_RULE}") from None
    except NotFound:
        raise WantedError(f"pod: there is no pod {namespace}/{name}") from None
    except ApiError as error:
        raise PodReadError(f"pod {namespace}/{name} cannot be read: {error}") from None


def _no_pod(namespace: str, name: str, path: Path, known: Iterable[str] | None) -> WantedError:
    if known is None:
        return WantedError(f"pod: there is no pod {namespace}/{name} in {path}")
    pods = sorted(known)
    shown = ", ".join(pods[:_PODS]) + (f" and {len(pods) - _PODS} more" if len(pods) > _PODS else "")
    which = f"; that namespace has {shown}" if pods else "; that namespace has no pod there"
    return WantedError(f"pod: there is no pod {namespace}/{name} in {path}{which}")


def _pod_of_files(path: Path, namespace: str, name: str, is_alone: bool) -> PodDns:
    """Return a pod of object files; a server that answers others reads small files only.

    Raises PodReadError and WantedError.
    """
    known: list[str] = []
    try:
        for thing in objects_of(path, "Pod", is_alone=is_alone):
            pod = of_parsed(thing)
            if (pod.namespace, pod.name) == (namespace, name):
                return pod
            known += [pod.name] if pod.namespace == namespace else []
    except TooLargeError as error:
        raise PodReadError(
            f"the DNS settings of pods in {path} are read by `dnsserver explain --objects {path}`, not by a server:"
            f" {error}"
        ) from None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise PodReadError(f"{path}: cannot read its pods: {error}") from None
    raise _no_pod(namespace, name, path, known)


def run(loaded: Loaded, wanted: Wanted) -> Explanation:
    """Explain by the objects that a configuration names, in this process. Raises ExplainError, and WantedError."""
    wanted.check()
    try:
        expect_objects(loaded.config)
    except NoZoneError as error:
        raise ExplainError(str(error)) from error
    return trio.run(_run, loaded, wanted)


class _Process:
    """The parts of a server that answer, without sockets for clients."""

    is_alone = True

    def __init__(self, config: Config) -> None:
        self.config = config
        self.dns = DnsService(config)
        self.cluster = self.dns.cluster
        self.sync = Sync(config, self.cluster, self.dns.replies, None, self.dns.faults)


async def _run(loaded: Loaded, wanted: Wanted) -> Explanation:
    config = msgspec.structs.replace(loaded.config, workers=1, state=None)
    found: Explanation | None = None
    try:
        process = _Process(config)
        async with trio.open_nursery() as nursery:
            await nursery.start(process.dns.forwarder.run)
            nursery.start_soon(process.sync.run)
            await wait_zone(process.sync, process.cluster)
            found = await explainer_of(process, loaded.place, trio.current_time).explain(wanted)
            nursery.cancel_scope.cancel()
        if process.sync.client is not None:
            await process.sync.client.aclose()
    except* (StartError, NoZoneError, trio.TooSlowError) as errors:
        raise ExplainError(str(first_of(errors)) or "it took too long") from errors
    except* (ExplainError, WantedError) as errors:
        raise first_of(errors) from None
    assert found is not None  # or an error was raised
    return found
