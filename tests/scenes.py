"""A server in scenes that bring every reason of an answer, with clients, and an upstream that does what names say.

Time is virtual, sockets are real. `tests/reasons.py` has the questions of each scene, and what their clients are told.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dns.edns
import dns.message
import dns.rcode
import msgspec
import trio

from dnsserver.app.server import Server
from dnsserver.config import Address, Config, load
from dnsserver.forward import outcome as o
from dnsserver.forward.outcome import Outcome, Question
from dnsserver.wire.message import NXDOMAIN, SERVFAIL, Body
from dnsserver.zone.record import Reason
from tests.cluster import endpoint, endpoints, listed, namespace, pod, service
from tests.forward.scripted import HOST, Query, Upstream, rrset, upstream
from tests.outside import Outside
from tests.running import port_of
from tests.server.unplugged import Server as Unplugged

PORTS = (("http", "TCP", 80),)
THINGS = (
    namespace("shop"),
    service("web", "10.9.0.1", ports=PORTS),
    service("bare", "10.9.0.2"),
    service("db", ports=PORTS),
    endpoints("db", endpoint("10.1.0.1", "db-0"), ports=PORTS),
    service("slow"),
    endpoints("slow", endpoint("10.1.0.2", ready=False), endpoint("10.1.0.3", ready=False)),
    service("idle"),
    service("alias", external="ok.example"),
    service("numbered", external="192.0.2.1"),
    service("spelled", external="no..name"),
    service("one", external="two.shop.svc.cluster.local"),
    service("two", external="one.shop.svc.cluster.local"),
    *(service(f"step-{n}", external=f"step-{n + 1}.shop.svc.cluster.local") for n in range(20)),
    service("nothing", external="nodata.example"),
    pod("web-0", "10.1.0.9"),
)
ZONE = "$ORIGIN corp.example.\n@ 300 IN SOA ns hostmaster 1 7200 1800 86400 60\nfiles IN A 192.0.2.20\n"
SOA = "example. 60 IN SOA ns.example. hostmaster.example. 1 7200 1800 86400 60"
LONG = ".".join(("d" * 40, "e" * 40))
DOMAINS = [f"n{n}.example" for n in range(29)]  # as many as nodes may have
UP = "ADDRESS"  # stands for the address of the upstream
_PATIENCE = 60.0  # seconds of virtual time

SCENES: dict[str, str] = {
    "plain": 'upstreams = ["{up}"]',
    "pods off": 'pods = "disabled"\nupstreams = []',
    "pods verified": 'pods = "verified"\nupstreams = []',
    "reverse": 'reverse_zones = ["10.0.0.0/8"]\nupstreams = []',
    "long names": f'domain = "{LONG}"\nupstreams = []',
    "no IPv6": 'ipv6 = "off"\nupstreams = ["{up}"]',
    "search": f'upstreams = ["{{up}}"]\n[search]\nenabled = true\nnode_domains = {DOMAINS}',
    "rules": """\
upstreams = ["{up}"]
static = ["corp.zone"]
[[rewrite]]
name = "old.example"
to = "gone.shop.svc.cluster.local"
[[rewrite]]
suffix = "short.example"
to = "{long}.example"
[[answer]]
name = "fixed.example"
records = ["@ A 192.0.2.3"]
[[answer]]
name = "empty.example"
rcode = "NODATA"
[[answer]]
name = "blocked.example"
rcode = "NXDOMAIN"
[[answer]]
name = "refused.example"
rcode = "REFUSED"
[[answer]]
name = "dropped.example"
rcode = "DROP"
[[answer]]
regex = '^ip-(\\d+)\\.'
records = ["@ A 192.0.2.{1}"]
[[hosts]]
entries = ["192.0.2.9 nas.home.example"]
authoritative_below = ["home.example"]
[local]
domains = ["internal"]""",
    "nobody outside": "upstreams = []",
    "a file that is not there": 'upstreams = ["./none.conf"]',
    "a closed port": 'upstreams = ["{closed}"]',
    "over TCP": 'upstreams = ["tcp://{up}"]',
    "a loop": 'upstreams = ["{up}"]',
    "few at once": 'upstreams = []\n[[forward]]\ndomain = "busy.example"\nupstreams = ["{up}"]\nmax_in_flight = 1',
    "strangers": 'upstreams = []\n[clients]\nallow = ["192.0.2.0/24"]\nexcess = "refuse"',
    "a rate": "upstreams = []\n[clients]\nrate = 1",
    "one that waits": 'upstreams = ["{up}"]\n[clients]\nin_flight = 1',
    "no API server": 'kubeconfig = "kubeconfig"\nupstreams = []',
}


class Example(NamedTuple):
    """A reason, and a question "NAME [TYPE [CLASS]]" whose answer has this reason in a scene.

    `rcode`, which may be "no reply", and `errors` (extended errors) are what the client is told. With `again`, the
    question is asked twice, so many seconds apart. `meanwhile` is a question that is under way then. With `told`, a
    made-up outside gives this reason, which otherwise needs thousands of questions, or a bug. `alter` makes the packet.
    """

    code: str
    question: str
    rcode: str = "NXDOMAIN"
    errors: tuple[tuple[int, str], ...] = ()
    scene: str = "plain"
    again: float = 0.0
    meanwhile: str = ""
    told: Reason | None = None
    alter: Callable[[dns.message.Message], bytes] | None = None


# ---- the upstream


def _errors(query: Query, rcode: int, *errors: tuple[int, str]) -> bytes:
    message = dns.message.make_response(query.message, recursion_available=True)
    message.set_rcode(dns.rcode.Rcode(rcode))
    if not rcode or rcode == dns.rcode.NXDOMAIN:
        message.authority = [rrset(SOA)]
    options = [option(15, code.to_bytes(2) + text.encode()) for code, text in errors]
    message.use_edns(0, options=options)
    return message.to_wire()


def option(code: int, data: bytes) -> dns.edns.Option:
    """Return an EDNS option with exactly these octets."""
    return dns.edns.GenericOption(dns.edns.OptionType.make(code), data)


def _ok(query: Query) -> bytes:
    return query.reply(f"{query.name} 60 IN A 192.0.2.1") if query.type == 1 else query.reply(authority=(SOA,))


def _refers(query: Query) -> bytes:
    reply = bytearray(query.reply(authority=("example. 60 IN NS ns.example.",)))
    reply[3] &= 0x7F  # without RA
    return bytes(reply)


def _huge(query: Query) -> bytes:
    if query.protocol == "udp":
        return query.reply(truncated=True)
    return query.reply(*(f"{query.name} 60 IN A 10.0.{n // 250}.{n % 250}" for n in range(1001)))


def _chain(query: Query) -> bytes:
    links = (f"c{n}.example. 60 IN CNAME c{n + 1}.example." for n in range(20))
    return query.reply(f"{query.name} 60 IN CNAME c0.example.", *links)


def _junk(query: Query) -> bytes:
    question = query.wire[12 : query.wire.index(b"\0", 12) + 5]
    return query.reply()[:4] + b"\0\1\0\1\0\0\0\0" + question + b"\xff\xff"


# The reply to a name by its first label; other names get no reply.
REPLIES: dict[str, Callable[[Query], bytes]] = {
    "ok": _ok,
    "nodata": lambda query: query.reply(authority=(SOA,)),
    "back": lambda query: query.reply(f"{query.name} 60 IN CNAME nothing.shop.svc.cluster.local."),
    "servfail": lambda query: query.reply(rcode=2),
    "notimp": lambda query: query.reply(rcode=4),
    "refused": lambda query: query.reply(rcode=5),
    "bogus": lambda query: _errors(query, SERVFAIL, (6, "no key")),
    "filtered": lambda query: _errors(query, NXDOMAIN, (17, "malware"), (18, "")),
    "refers": _refers,
    "huge": _huge,
    "chain": _chain,
    "junk": _junk,
}


async def does_what_names_say(query: Query) -> None:
    """Answer, or close the connection, as the first label of the name says; other names get no reply."""
    label = query.name.lower().partition(".")[0]
    if label in REPLIES:
        await query.send(REPLIES[label](query))
    elif label == "closes":
        await query.close()


class Once:
    """The script that answers each name `once.…` a single time, and does what all other names say."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    async def __call__(self, query: Query) -> None:
        name = query.name.lower()
        if not name.startswith("once."):
            await does_what_names_say(query)
        elif name not in self._seen:
            self._seen.add(name)
            await query.send(query.reply(f"{query.name} 60 IN A 192.0.2.1"))


def back_to(port: Callable[[], int]) -> Callable[[Query], Any]:
    """Return the script of an upstream that forwards all queries to a loopback port."""

    async def script(query: Query) -> None:
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.connect((HOST, port()))
            await sock.send(query.wire)
            with trio.move_on_after(1):
                await query.send(await sock.recv(4096))

    return script


# ---- the server


class Asked(NamedTuple):
    """What a client is told: the rcode, or "no reply"; the extended errors; the reason that the server counts."""

    rcode: str
    errors: tuple[tuple[int, str], ...]
    code: str


class Scene:
    """A server in a scene, and the way to ask it."""

    def __init__(self, server: Server, names: dict[str, str]) -> None:
        self.server = server
        self._names = names

    async def ask(self, example: Example) -> Asked:
        """Return what the client of an example is told."""
        packet = query_of(example)
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.connect((HOST, port_of(self.server)))
            if example.meanwhile:
                await sock.send(dns.message.make_query(example.meanwhile, "A", id=1, use_edns=0).to_wire())
                await trio.sleep(0.05)
            if example.again:
                await sock.send(packet)
                await _reply(sock)
                await trio.sleep(example.again)
            before = self._counts()
            await sock.send(packet)
            wire = await _reply(sock)
        after = self._counts()
        grown = [code for code, count in after.items() if count > before.get(code, 0)]
        code = grown[0] if len(grown) == 1 else ", ".join(grown)
        return Asked(*self.shown(wire), code)

    def shown(self, wire: bytes | None) -> tuple[str, tuple[tuple[int, str], ...]]:
        """Return the rcode and the errors of a reply, with fixed words in place of what differs from run to run."""
        rcode, errors = told_by(wire)
        for found, word in self._names.items():
            errors = tuple((code, text.replace(found, word)) for code, text in errors)
        return rcode, errors

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for table in self.server.dns.replies.tables:
            table.shapes.settle()
            for (_, _, code), count in table.shapes.counts.items():
                counts[code] = counts.get(code, 0) + count
        return counts


def query_of(example: Example) -> bytes:
    """Return the packet of an example. It has a cookie, as packets of dig have, and is changed by `alter`."""
    name, *more = example.question.split()
    type_, class_ = (*more, *("A", "IN")[len(more) :])
    query = dns.message.make_query(name, type_, class_, id=7, use_edns=0, options=[option(10, b"12345678")])
    return query.to_wire() if example.alter is None else example.alter(query)


def told_by(wire: bytes | None) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Return the rcode of a reply, or "no reply", and the codes and texts of its extended errors."""
    if wire is None:
        return "no reply", ()
    reply = dns.message.from_wire(wire, question_only=not wire[5] and len(wire) == 12)
    errors = tuple((int(e.code), e.text or "") for e in reply.options if isinstance(e, dns.edns.EDEOption))
    return dns.rcode.to_text(reply.rcode()), errors


async def _reply(sock: trio.socket.SocketType) -> bytes | None:
    with trio.move_on_after(_PATIENCE):
        while True:
            wire: bytes = await sock.recv(4096)
            if wire[:2] == b"\0\7":
                return wire
    return None


@asynccontextmanager
async def scene(name: str, folder: Path) -> AsyncIterator[Scene]:
    """Run a server in a scene."""
    things = THINGS
    if name == "long names":
        things = (
            namespace("n" * 63),
            service("s" * 63, namespace="n" * 63, ports=PORTS),
            endpoints("s" * 63, endpoint("10.1.0.1", "h" * 63), namespace="n" * 63, ports=PORTS),
        )
    async with AsyncExitStack() as stack:
        port = 0
        other = await stack.enter_async_context(upstream(Once()))
        if name == "a loop":
            other.script = other.script_probes = back_to(lambda: port)
        server = Server(_config(name, folder, other))
        server.dns.listen()
        port = port_of(server)
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(server.dns.run)
        if name != "no API server":
            for event in listed(things):  # files would leave out what the API server lets pass
                server.sync.apply(event)
        await trio.sleep(1)
        yield Scene(server, {f"{HOST}:{other.port}": UP, f"{HOST}:1": UP, str(folder): "FOLDER"})
        nursery.cancel_scope.cancel()


def _config(name: str, folder: Path, other: Upstream) -> Config:
    (folder / "corp.zone").write_text(ZONE)
    (folder / "kubeconfig").write_text("{}")
    text = SCENES[name]
    for gap, filled in (("up", f"{HOST}:{other.port}"), ("closed", f"{HOST}:1"), ("long", ".".join(["x" * 60] * 3))):
        text = text.replace(f"{{{gap}}}", filled)
    path = folder / "c.toml"
    path.write_text(text)
    read = load(path)
    objects = None if read.kubeconfig else folder / "objects.yaml"
    return msgspec.structs.replace(read, listen=(Address(HOST, 0),), admin=Address(HOST, 0), drain=0.0, objects=objects)


def ask_told(example: Example) -> Asked:
    """Return what the client of an example is told, if a made-up outside gives the reason `told`."""
    reason = example.told
    assert reason is not None

    def tell(ask: Question, now: float) -> Outcome:
        del ask
        if reason is o.FORWARDED:  # a body that cannot be read, as a bug would make it
            return Outcome(0, Body(3, 0, 0, b"\xc0\x0c"), False, o.FORWARDED, now, now + 60, b"\3web\0")
        return Outcome(SERVFAIL, Body(0, 0, 0, b""), False, reason, now, now)

    server = Unplugged(outside=Outside(tell, late=True))
    assert server.udp.ask(query_of(example)) is None
    server.outside.finish()
    ((_, wire),) = server.udp.sent
    server.udp.table.shapes.settle()
    ((_, _, code),) = server.udp.table.shapes.counts
    return Asked(*told_by(wire), code)
