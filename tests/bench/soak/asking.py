"""Questions whose right answer is known, each on a socket of its own; what is lost is counted by what went on."""

import collections
import random
from collections.abc import Callable

import dns.message
import dns.rcode
import dns.rdatatype
import trio

from tests import strict
from tests.bench.soak import outside
from tests.bench.soak.truth import NAMES, SPACE, Answer, Truth

HOST = "127.0.0.1"
_OURS = "127.9.2.1"  # where nobody else asks: late replies to a flood do not come to a port that is used again
PATIENCE = 3.0  # seconds after which a question is lost
RATE = 100  # questions a second
OUTSIDE_NAMES = 2000
_KINDS = ("A", "A", "A", "A", "AAAA", "search", "tcp", "outside", "outside", "outside tcp")


class Asker:
    """Asks all the time; `going_on(since)` tells which troubles there were since that time."""

    def __init__(
        self,
        truth: Truth,
        chance: random.Random,
        port: int,
        going_on: Callable[[float], str],
        outside_going_on: Callable[[float], str],
    ) -> None:
        self.asked = self.late = 0
        self.wrong: list[str] = []
        self.lost: collections.Counter[str] = collections.Counter()
        self.failed: collections.Counter[str] = collections.Counter()
        self._asked_from: dict[int, bytes] = {}  # the last question of each port
        self._truth = truth
        self._chance = chance
        self._port = port
        self._going_on = going_on
        self._outside_going_on = outside_going_on

    async def run(self) -> None:
        """Ask at a steady rate, for ever."""
        async with trio.open_nursery() as nursery:
            began = trio.current_time()
            while True:
                nursery.start_soon(self._ask, self._chance.choice(_KINDS))
                self.asked += 1
                await trio.sleep_until(began + self.asked / RATE)

    async def _ask(self, kind: str) -> None:
        service = f"soak-{self._chance.randrange(NAMES)}"
        whole = f"{service}.{SPACE}.svc.cluster.local"
        if kind.startswith("outside"):
            whole = f"host-{self._chance.randrange(OUTSIDE_NAMES)}.outside.example"
        elif kind == "search":
            whole = f"{whole}.{SPACE}.svc.cluster.local"
        query = dns.message.make_query(whole, "AAAA" if kind == "AAAA" else "A", use_edns=0, payload=1232)
        asked = trio.current_time()
        wire = await self._reply(query.to_wire(), whole, stream=kind.endswith("tcp"))
        came = trio.current_time()
        if not wire:
            transport = "TCP" if kind.endswith("tcp") else "UDP"
            self.lost[f"{transport} {self._going_on(asked)}"] += 1
            return
        try:
            strict.reply(wire, query.to_wire())
        except strict.MalformedError as error:
            self.wrong.append(f"{whole}: {error}")
            return
        reply = dns.message.from_wire(wire)
        if kind.startswith("outside") and reply.rcode() == dns.rcode.SERVFAIL:
            self.failed[self._outside_going_on(asked)] += 1
        elif not self._is_right(kind, whole, service, reply, asked, came):
            found = f"{dns.rcode.to_text(reply.rcode())} {_answer_of(reply)}"
            self.wrong.append(f"{kind} {whole} at {asked:.1f}, during {self._going_on(asked)}: {found}")
            self.wrong[-1] += f" came {came - asked:.1f} s later; {self._truth.told_of(service, came)}"

    async def _reply(self, query: bytes, whole: str, *, stream: bool) -> bytes:
        """Return the reply, or nothing; one that comes too late may meet another question at its port."""
        if stream:
            return await reply_to(query, self._port, stream=True)
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock, trio.move_on_after(PATIENCE):
            await sock.bind((_OURS, 0))
            await sock.connect((HOST, self._port))
            port = sock.getsockname()[1]
            before, self._asked_from[port] = self._asked_from.get(port, b""), query
            try:
                await sock.send(query)
                while (wire := await sock.recv(4096))[:2] != query[:2]:
                    strict.reply(wire, before)
                    self.late += 1
            except OSError:
                return b""
            except strict.MalformedError as error:
                self.wrong.append(f"{whole}: what came is to neither this question nor the one before it: {error}")
            return wire
        return b""

    def _is_right(
        self, kind: str, whole: str, service: str, reply: dns.message.Message, asked: float, came: float
    ) -> bool:
        found = _answer_of(reply)
        if reply.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            return False
        if kind == "search":
            return found is None
        if kind.startswith("outside"):
            ttls = [rrset.ttl for rrset in reply.answer]
            return found == frozenset((outside.address_of(whole),)) and max(ttls) <= max(outside.TTL, 30)
        right = self._truth.right(service, asked, came)
        if kind == "AAAA":
            right = {answer if answer is None else frozenset() for answer in right}
        return found in right


async def reply_to(query: bytes, port: int, *, stream: bool = False, patience: float = PATIENCE) -> bytes:
    """Return the reply, or nothing if none comes."""
    kind = trio.socket.SOCK_STREAM if stream else trio.socket.SOCK_DGRAM
    with trio.socket.socket(trio.socket.AF_INET, kind) as sock, trio.move_on_after(patience):
        try:
            await sock.connect((HOST, port))
            if not stream:
                await sock.send(query)
                return await sock.recv(4096)
            await sock.send(len(query).to_bytes(2) + query)
            held = b""
            while data := await sock.recv(4096):
                held += data
                if len(held) >= 2 and len(held) >= 2 + int.from_bytes(held[:2]):
                    return held[2:]
        except OSError:
            pass
    return b""


def _answer_of(reply: dns.message.Message) -> Answer:
    """Return the addresses of a reply, None for a name that does not exist."""
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return None
    return frozenset(rdata.to_text() for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A for rdata in rrset)
