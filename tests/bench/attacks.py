"""What one client does that takes from the others, or a thousand clients: packets, connections, requests.

Each attack is a function that a process of its own runs, and that ends by itself.
"""

import random
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from loadtest.deck import Deck
from loadtest.mmsg import BATCH, Calls, Outbox
from loadtest.questions import Manner, Question, encode

SERVICES = 2000
Address = tuple[str, int]

_NAMES = 60_000  # different names of an attack: more than the cache keeps of names that do not exist
_LOOK = 0.02  # seconds between two looks at connections that wait for their next octet
_OPENED = 100  # connections that are opened at each look


def _asking(pattern: str, type_: str = "A", manner: Manner | None = None) -> Callable[[], list[bytes]]:
    """Return a function that makes questions; in the name, `{n}` is a service's number and `{:x}` a random number."""

    def made() -> list[bytes]:
        count = _NAMES if "{" in pattern else 1
        names = (pattern.format(random.getrandbits(48), n=number % SERVICES) for number in range(count))
        return [encode(Question(name, type_), manner or Manner()).tail for name in names]

    return made


def _spellings() -> list[bytes]:
    """Return questions about one name, with random upper and lower case (draft-vixie-dnsext-dns0x20)."""
    name = "abcdefghijklmnop.shop.svc.cluster.local"
    spelt = ("".join(random.choice((letter, letter.upper())) for letter in name) for _ in range(_NAMES))
    return [encode(Question(each, "A"), Manner()).tail for each in spelt]


def _addresses() -> list[bytes]:
    """Return PTR questions about random addresses of the cluster's network, and of another one."""
    numbers = (random.getrandbits(16) for _ in range(_NAMES))
    names = (f"{number & 255}.{number >> 8}.{96 + number % 2}.10.in-addr.arpa" for number in numbers)
    return [encode(Question(name, "PTR"), Manner()).tail for name in names]


def _padded() -> list[bytes]:
    """Return questions with 3,900 octets of padding in their EDNS options (RFC 7830)."""
    padding = b"\0\0\x29\x10\0\0\0\0\0" + (3904).to_bytes(2) + b"\0\x0c" + (3900).to_bytes(2) + bytes(3900)
    tails = _asking("s{n}.shop.svc.cluster.local")()[:2048]
    return [tail[:8] + b"\0\1" + tail[10:] + padding for tail in tails]


def _garbage() -> list[bytes]:
    return [random.randbytes(random.randrange(0, 100)) for _ in range(4096)]


def _unreadable() -> list[bytes]:
    """Return headers of queries with a few random octets in place of the question: each gets a reply."""
    return [b"\1\0\0\1\0\0\0\0\0\0" + random.randbytes(random.randrange(0, 20)) for _ in range(4096)]


# The octets after the ID of each packet.
FLOODS: dict[str, Callable[[], list[bytes]]] = {
    "existing names": _asking("s{n}.shop.svc.cluster.local"),
    "missing names": _asking("n{:x}.shop.svc.cluster.local"),
    "missing namespaces": _asking("web.n{:x}.svc.cluster.local"),
    "outside names": _asking("n{:x}.example.org"),
    "names of many outside domains": _asking("www.n{:x}.org"),
    "one outside name": _asking("www.example.org"),
    "one outside name, DNSSEC": _asking("www.example.org", manner=Manner(edns=4096, dnssec=True)),
    "one name in many spellings": _spellings,
    "names of addresses": _addresses,
    "ANY": _asking("s{n}.shop.svc.cluster.local", "ANY"),
    "SRV": _asking("s{n}.shop.svc.cluster.local", "SRV"),
    "padding of 3,900 octets": _padded,
    "two octets": lambda: [b""],
    "garbage": _garbage,
    "half questions": _unreadable,
    "replies": lambda: [b"\x81" + tail[1:] for tail in _asking("s{n}.shop.svc.cluster.local")()],
}


def flood(target: Address, kind: str, sources: Sequence[str], rate: float, seconds: float) -> None:
    """Send `rate` packets per second, 0 for as many as possible; the addresses take turns, with one batch each."""
    deck = Deck([Question("x", "A")], Manner())
    tails = FLOODS[kind]()
    deck.tails = tails * -(-len(deck) // len(tails))
    outbox = Outbox(deck)
    clients = []
    for source in sources:
        client = socket.socket(_family(source), socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the kernel drops the replies early
        client.bind((source, 0))
        client.connect(target)
        clients.append(client)
    calls, sent, start = Calls(), 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        if rate and sent >= passed * rate:
            time.sleep(0.001)
            continue
        headers = outbox.number(sent // BATCH * BATCH % (len(deck) // BATCH * BATCH), sent % 60000, BATCH)
        with suppress(OSError):  # the server's buffer is full
            calls.send(clients[sent // BATCH % len(clients)].fileno(), headers, BATCH)
        sent += BATCH


class Stream(NamedTuple):
    """What each of so many connections does: it sends `data`, all or `step` octets, and more after `pause` seconds.

    It reads at most `reads` octets at a time, nothing if that is 0; with `once` it ends after the first reply.
    """

    data: bytes
    pause: float = 0.0
    step: int = 0
    reads: int = 65536
    once: bool = False
    connections: int = 1100


def _message(name: str) -> bytes:
    tail = encode(Question(name, "A"), Manner()).tail
    return (len(tail) + 2).to_bytes(2) + b"\0\1" + tail


_ONE = _message("s1.shop.svc.cluster.local")
_MANY = b"".join(_message(f"s{number}.shop.svc.cluster.local") for number in range(40))
_NEVER = float("inf")
_HTTP = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"

STREAMS = {
    "idle": Stream(b""),
    "one octet each": Stream(b"\0", _NEVER),
    "half a long message": Stream(b"\xff\xff" + bytes(8000), _NEVER),
    "an octet at a time": Stream(_ONE, 0.2, step=1),
    "many questions, nothing read": Stream(_MANY, reads=0),
    "many questions, slowly read": Stream(_MANY, reads=64),
    "many questions": Stream(_MANY),
    "outside names": Stream(b"".join(_message(f"n{number}.example.org") for number in range(200)), 0.1),
    "one question each": Stream(_ONE, _NEVER, once=True),
    "messages of no octets": Stream(b"\0\0", _NEVER),
    "garbage": Stream(random.randbytes(4096)),
    "64 that ask for metrics": Stream(_HTTP, connections=64),
    "silent, at admin HTTP": Stream(b""),
}


def connect(target: Address, kind: str, sources: Sequence[str], seconds: float) -> None:
    """Hold connections, each from the next of these addresses; for each closed one, open another."""
    stream, end = STREAMS[kind], time.monotonic() + seconds
    selector = selectors.DefaultSelector()
    clients: dict[socket.socket, _Client] = {}
    begun = 0
    while (now := time.monotonic()) < end:
        for _ in range(min(_OPENED, stream.connections - len(clients))):
            client = _Client(selector, stream, target, sources[begun % len(sources)])
            clients[client.sock] = client
            begun += 1
        for client in clients.values():
            client.wake(now)
        for key, events in selector.select(_LOOK):
            client = key.data
            try:
                client.go_on(events, now)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(client.sock)
                del clients[client.sock]
                client.sock.close()


class _Client:
    """One connection: how much of its data it has sent, and when it sends more."""

    def __init__(self, selector: selectors.BaseSelector, stream: Stream, target: Address, source: str) -> None:
        self.sock = socket.socket(_family(source))
        self.sock.setblocking(False)
        self.sock.bind((source, 0))
        self.sock.connect_ex(target)
        self._selector, self._stream = selector, stream
        self._at, self._due = 0, _NEVER
        selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def wake(self, now: float) -> None:
        if self._due <= now:
            self._due = _NEVER
            reading = selectors.EVENT_READ if self._stream.reads else 0
            self._selector.modify(self.sock, reading | selectors.EVENT_WRITE, self)

    def go_on(self, events: int, now: float) -> None:
        stream = self._stream
        if events & selectors.EVENT_WRITE:
            self._send(now)
        if events & selectors.EVENT_READ and (not self.sock.recv(stream.reads or 1) or stream.once):
            raise ConnectionResetError

    def _send(self, now: float) -> None:
        stream = self._stream
        data = stream.data[self._at : self._at + stream.step] if stream.step else stream.data
        if data:
            sent = self.sock.send(data)
            self._at = (self._at + sent) % len(stream.data) if stream.step else 0
        if stream.pause or not data:
            self._selector.modify(self.sock, selectors.EVENT_READ, self)
            self._due = now + (stream.pause or _NEVER)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
