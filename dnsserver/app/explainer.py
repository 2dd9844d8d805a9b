"""Explains a name: finds out who the client is, does what its resolver does, and asks each question once.

The pure parts are in `dnsserver.explain`. This module reads the API and the node's resolv.conf, and does the waiting.
"""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import msgspec
import trio

from dnsserver.app import admission
from dnsserver.app.asking import Asking
from dnsserver.app.name_forms import name_in
from dnsserver.config import Config, Domain
from dnsserver.config.model import Namespace
from dnsserver.config.values import RecordType
from dnsserver.explain import nearest, origins
from dnsserver.explain.client import Client, Node, looks_like_resolv_conf, of_namespace, of_pod, of_resolv_conf
from dnsserver.explain.report import Answered, Asked, Explanation, Source, Way, answered, notes, telling, verdict
from dnsserver.explain.resolvers import RESOLVERS, Ask, Said
from dnsserver.kube.pod_dns import PodDns
from dnsserver.wire.message import AAAA, NXDOMAIN, PTR, A, FormatError, rcode_name, type_name
from dnsserver.wire.name import from_text, is_below, to_text
from dnsserver.zone.index import Index

_ALL = 40.0  # seconds for all questions
_SLICE = 200  # names compared between two turns of the event loop: 2 ms
_RCODES = {rcode_name(number): number for number in range(16)}
DEFAULT_NAMESPACE = "default"


class WantedError(ValueError):
    """What is to be explained makes no sense; the text says what was expected."""


class Wanted(msgspec.Struct, frozen=True):
    """What is to be explained, for whom: a pod as NAMESPACE/NAME, a pod of a namespace, or a text of a resolv.conf."""

    name: str
    type: str = ""
    pod: str = ""
    namespace: str = ""
    resolv_conf: str | None = None

    def types(self) -> tuple[int, ...]:
        """Return the types that are asked. Raises WantedError."""
        if not self.type:
            return (A, AAAA)
        try:
            return (RecordType.parse(self.type).number,)
        except ValueError:
            raise WantedError(f'type: found "{self.type[:60]}", expected {RecordType.EXPECTED}') from None

    def check(self) -> None:
        """Raise WantedError for what cannot be explained, with each mistake in a line of its own."""
        mistakes: list[str] = []
        for part in (self._check_name, self._check_client, self.types):
            try:
                part()
            except WantedError as error:
                mistakes.append(str(error))
        if mistakes:
            raise WantedError("\n".join(mistakes))

    def _check_name(self) -> None:
        if not self.name or any(character.isspace() for character in self.name):
            raise WantedError(f'name: found "{self.name[:60]}", expected a name without spaces')
        if name := name_in(self.name):
            raise WantedError(f'name: found "{self.name[:60]}", expected a name alone, as in "{name}"')
        try:
            from_text(self.name)
        except FormatError as error:
            raise WantedError(f'name: found "{self.name[:60]}": {error}') from None
        if self.name.strip(".") == "" or not self.name.isascii():
            raise WantedError(
                f'name: found "{self.name[:60]}", expected a name of ASCII characters, as resolvers ask it'
            )

    def _check_client(self) -> None:
        given = [key for key in ("pod", "namespace", "resolv_conf") if getattr(self, key) not in {"", None}]
        if len(given) > 1:
            raise WantedError(f"{' and '.join(given)} are both given, expected one client")
        if self.resolv_conf is not None and not looks_like_resolv_conf(self.resolv_conf):
            raise WantedError("resolv_conf: is no resolv.conf: expected lines such as `nameserver ADDRESS`")
        namespace, _, pod = self.pod.partition("/")
        if self.pod and not (namespace and pod and "/" not in pod):
            raise WantedError(f'pod: found "{self.pod[:60]}", expected NAMESPACE/NAME')
        if self.pod and not _is_namespace(namespace):
            raise WantedError(f'pod: found "{self.pod[:60]}", expected the name of a namespace before the slash')
        if self.namespace and not _is_namespace(self.namespace):
            raise WantedError(f'namespace: found "{self.namespace[:60]}", expected the name of a namespace')


def _is_namespace(text: str) -> bool:
    try:
        msgspec.convert(text, Namespace)
    except msgspec.ValidationError:
        return False
    return True


class PodReadError(Exception):
    """A pod cannot be read; the text says why, and what to do."""


ReadPod = Callable[[str, str], Awaitable[PodDns]]


class Explainer:
    """Explains names as one server answers them.

    `node` says what is known of nodes and of this server's addresses. `read_pod` reads a pod's spec; it raises
    PodReadError, and WantedError where there is no such pod. `no_namespace` says what is wrong with a namespace that is
    not there, and nothing of others. `changed` says how a Service changed lately, or its namespace if the name is
    empty; "" if it did not. `limit` is shared by all explanations of a server.
    """

    def __init__(
        self,
        asking: Asking,
        index: Index,
        config: Config,
        node: Callable[[], Awaitable[Node]],
        read_pod: ReadPod,
        no_namespace: Callable[[str], str],
        changed: Callable[[bytes, bytes], str],
        limit: trio.CapacityLimiter | None = None,
    ) -> None:
        """Ask nothing yet."""
        self._asking = asking
        self._index = index
        self._config = config
        self._node = node
        self._read_pod = read_pod
        self._no_namespace = no_namespace
        self._changed = changed
        self._limit = limit

    async def explain(self, wanted: Wanted) -> Explanation:
        """Return all that can be said. Raises WantedError, and trio.TooSlowError when that takes too long."""
        wanted.check()
        async with self._limit or trio.CapacityLimiter(1):
            client = await self._client(wanted)
            name, types = wanted.name, wanted.types()
            said: tuple[str, ...] = ()
            pointer = _pointer(name)
            if pointer is not None:
                said = (f"{name} is an address: a program that connects to it asks nothing, and its reverse name is",)
                name, types = pointer, (PTR,)
            walked = _Walked(self._asking, self._config.domain, client)
            with trio.fail_after(_ALL):
                await walked.walk(name, types)
            ways, questions = tuple(walked.ways), walked.questions()
            found, sentence = verdict(name, client, ways, questions)
            near: tuple[str, ...] = ()
            why: Answered | None = None
            if not found:
                near, meant = await self._nearest(ways[0])
                why = telling(questions, name, meant or self._written(name, ways[0]), self._lost(ways[0]))
                found, sentence = verdict(name, client, ways, questions, near, why)
            return Explanation(
                name,
                tuple(type_name(qtype) for qtype in types),
                client,
                client.ndots,
                ways,
                questions,
                near,
                (*said, *notes(client, ways, questions), *self._changes(questions)),
                None if why is None else (why.name, why.type),
                found,
                sentence,
            )

    async def _client(self, wanted: Wanted) -> Client:
        """Return the client, with notes about what `[clients]` does to it."""
        client, address = await self._client_and_address(wanted)
        said = admission.notes(self._config.clients, address)
        return msgspec.structs.replace(client, notes=(*client.notes, *said))

    async def _client_and_address(self, wanted: Wanted) -> tuple[Client, str]:
        """Return the client, and the address of its pod, "" if that is not known."""
        node = await self._node()
        domain = str(self._config.domain)
        if wanted.resolv_conf is not None:
            return of_resolv_conf(wanted.resolv_conf, "a resolv.conf", node.own), ""
        if not wanted.pod:
            problem = self._no_namespace(wanted.namespace or DEFAULT_NAMESPACE)
            if wanted.namespace and problem:
                raise WantedError(f"namespace: {problem}")
            client = of_namespace(wanted.namespace or DEFAULT_NAMESPACE, domain, node)
            if not wanted.namespace:
                note = "as a pod of the namespace default: name a namespace, a pod or a resolv.conf for another client"
                told = (note, problem) if problem else (note,)
                client = msgspec.structs.replace(client, notes=(*told, *client.notes))
            return client, ""
        namespace, _, name = wanted.pod.partition("/")
        try:
            pod = await self._read_pod(namespace, name)
            return of_pod(pod, domain, node), pod.address
        except PodReadError as error:
            if problem := self._no_namespace(namespace):
                raise WantedError(f"pod: {problem}") from None
            note = f"{error}. Explained as for a pod of the namespace {namespace} with ClusterFirst"
            client = of_namespace(namespace, domain, node)
            return msgspec.structs.replace(client, notes=(note, *client.notes)), ""

    def _changes(self, questions: Sequence[Answered]) -> Iterator[str]:
        """Give what changed lately of the Services that the questions and their aliases lead to, and of namespaces."""
        aliases = {record.data for each in questions for record in each.records if record.type == "CNAME"}
        found = map(self._meant, sorted({each.name for each in questions} | aliases))
        keys = {(namespace, name) for service, namespace, _ in filter(None, found) for name in (service, b"")}
        return filter(None, (self._changed(*key) for key in sorted(keys)))

    def _meant(self, name: str) -> tuple[bytes, bytes, tuple[bytes, ...]] | None:
        return origins.meant(from_text(name).lower(), self._config.domain.wire)

    def _lost(self, way: Way) -> str:
        """Return the first question for a Service, or for a namespace, that was there a short time ago; or ""."""
        for ask in way.asks:
            if (meant := self._meant(ask.name)) is not None:
                service, namespace, _ = meant
                known = namespace in self._index.namespaces
                if self._changed(namespace, service if known else b"") and not self._is_service(namespace, service):
                    return ask.name
        return ""

    def _written(self, name: str, way: Way) -> str:
        """Return the question for a Service in the namespace that is written in a name, if there is that one; or ""."""
        for ask in way.asks if "." in name.removesuffix(".") else ():
            meant = self._meant(ask.name)
            if meant is not None and meant[1] in self._index.namespaces and not _inside(meant[2]):
                return ask.name
        return ""

    async def _nearest(self, way: Way) -> tuple[tuple[str, ...], str]:
        """Return similar names that exist, the likeliest first, and the name in `way` that is similar to that one."""
        found: dict[str, tuple[int, str]] = {}
        domain = self._config.domain.wire
        for ask in way.asks:
            meant = self._meant(ask.name)
            if meant is None or (len(meant[2]) > 1 and not meant[2][-1].startswith(b"_")):
                continue
            service, namespace, before = meant
            async for wrong, other, place in self._alike(service, namespace):
                shown = origins.name_of(other, place, before, domain)
                if shown not in found or wrong < found[shown][0]:
                    found[shown] = wrong, ask.name
        likely = sorted(found, key=lambda shown: found[shown][0])[: nearest.MOST]
        return tuple(likely), found[likely[0]][1] if likely else ""

    async def _alike(self, service: bytes, namespace: bytes) -> AsyncIterator[tuple[int, bytes, bytes]]:
        """Yield services with a similar name or namespace: how much differs, the service, the namespace."""
        entries = self._index.entries
        here = namespace in self._index.namespaces
        if here:
            async for wrong, other in _near(service, list(entries.get(namespace, ()))):
                if self._is_service(namespace, other):
                    yield wrong, other, namespace
        else:
            async for wrong, place in _near(namespace, list(self._index.namespaces)):
                if self._is_service(place, service):
                    yield wrong, service, place
        if not (here and self._is_service(namespace, service)):
            for number, place in enumerate(list(entries)):
                if not number % (10 * _SLICE):
                    await trio.lowlevel.checkpoint()
                if place != namespace and self._is_service(place, service):
                    yield 1, service, place

    def _is_service(self, namespace: bytes, name: bytes) -> bool:
        entry = self._index.entry((namespace, name))
        return entry is not None and entry.service is not None and namespace in self._index.namespaces


def _inside(before: tuple[bytes, ...]) -> bool:
    """Return whether labels in front of a Service name an endpoint, rather than a port or nothing."""
    return bool(before) and not before[-1].startswith(b"_")


async def _near(word: bytes, names: list[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    for start in range(0, len(names), _SLICE):
        for found in nearest.near(word, names[start : start + _SLICE]):
            yield found
        await trio.lowlevel.checkpoint()


class _Walked:
    """The walks of all resolvers; each question is asked once."""

    def __init__(self, asking: Asking, domain: Domain, client: Client) -> None:
        self._asking = asking
        self._domain = domain
        self._client = client
        self.ways: list[Way] = []
        self.answers: dict[tuple[bytes, int], Answered] = {}

    async def walk(self, name: str, types: tuple[int, ...]) -> None:
        """Let each resolver go its way."""
        for resolver, begin in RESOLVERS.items():
            walk = begin(name, self._client, types)
            asks: list[Asked] = []
            said: Sequence[Said] | None = None
            while True:
                try:
                    ask = next(walk) if said is None else walk.send(said)
                except StopIteration as end:
                    self.ways.append(Way(resolver, tuple(asks), end.value.ending, end.value.why))
                    break
                said = await self._ask(ask)
                found = any(each.found for each in said)
                asks.append(Asked(to_text(ask.name), tuple(map(type_name, ask.types)), ask.why, found))

    def questions(self) -> tuple[Answered, ...]:
        """Return the answers in the order in which they were first asked for."""
        asked = [(ask.name, type_) for way in self.ways for ask in way.asks for type_ in ask.types]
        by_place = {(each.name, each.type): each for each in self.answers.values()}
        return tuple(by_place[place] for place in dict.fromkeys(asked))

    async def _ask(self, ask: Ask) -> list[Said]:
        """Ask for all types of a question at once, and return the answer to each type."""
        async with trio.open_nursery() as nursery:
            for qtype in ask.types:
                if (ask.name, qtype) not in self.answers:
                    nursery.start_soon(self._answer, ask.name, qtype)
        found = [self.answers[ask.name, qtype] for qtype in ask.types]
        return [Said(_RCODES.get(each.rcode), each.found) for each in found]

    async def _answer(self, name: bytes, qtype: int) -> None:
        if self._client.here != "no":
            self.answers[name, qtype] = await self._asking.ask(name, qtype)
        elif is_below(name, self._domain.wire):
            self.answers[name, qtype] = _not_asked(name, qtype)
        else:
            self.answers[name, qtype] = await self._asking.ask(name, qtype, elsewhere=True)


def _not_asked(name: bytes, qtype: int) -> Answered:
    """Return the answer that the node's nameservers are assumed to give for a name of the cluster."""
    text = "this client asks the node's nameservers, which do not know the cluster's names"
    made = answered(
        to_text(name),
        type_name(qtype),
        NXDOMAIN,
        (),
        found=False,
        code="not-asked-here",
        text=text,
        errors=(),
        sources=(Source("assumed", "nobody was asked"),),
        octets=0,
    )
    advice = "Set dnsPolicy: ClusterFirst for the pod, or ClusterFirstWithHostNet if it has hostNetwork."
    return msgspec.structs.replace(made, advice=advice)


def _pointer(name: str) -> str | None:
    """Return the reverse name of an address; None for any other text."""
    try:
        return f"{ipaddress.ip_address(name).reverse_pointer}."
    except ValueError:
        return None
