"""Questions over TCP and TLS: one persistent connection for each upstream, many questions on it at once (RFC 7766).

A connection is opened when there is something to ask and closed when nothing came for a while. TLS is RFC 7858 with the
strict profile of RFC 8310: the name in the certificate is checked, or nothing is asked; sessions are resumed.
"""

import ssl
from collections.abc import Callable
from typing import Any

import structlog
import trio

from dnsserver.resolver.entropy import Entropy
from dnsserver.resolver.settings import Transport
from dnsserver.resolver.transport_udp import BAD_REPLIES, Receiver
from dnsserver.resolver.upstream import Attempt, Upstream

log = structlog.get_logger(__name__)

CONNECT_TIME = 3.0
IDLE_TIME = 10.0
_READ = 65536

_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class StreamTransport:
    """All connections to all upstreams; `drained` is called after each batch of replies."""

    def __init__(
        self, receiver: Receiver, entropy: Entropy, clock: Callable[[], float], drained: Callable[[], None]
    ) -> None:
        """Connect to nothing yet."""
        self._receiver = receiver
        self._entropy = entropy
        self._clock = clock
        self._drained = drained
        self._links: dict[Upstream, _Link] = {}
        self._nursery: trio.Nursery | None = None

    def submit(self, attempt: Attempt, rest: bytes) -> None:
        """Send the attempt as soon as there is a connection; how it goes is told to the receiver, never at once."""
        attempt.over_stream = True
        link = self._links.get(attempt.upstream)
        if link is None:
            link = self._links[attempt.upstream] = _Link(attempt.upstream)
        identifier = self._entropy.take(2)
        while identifier in link.waiting:
            identifier = self._entropy.take(2)
        attempt.identifier = identifier
        link.put(attempt, identifier + rest)
        self._connect(link)

    def _connect(self, link: "_Link") -> None:
        if not link.busy and self._nursery is not None:
            link.busy = True
            self._nursery.start_soon(self._serve, link)

    async def run(self) -> None:
        """Hold the connections, for ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for link in self._links.values():
                if link.waiting:
                    self._connect(link)
            await trio.sleep_forever()

    def drop(self, upstream: Upstream) -> None:
        """End the connection to an upstream that went silent; what it still owes is asked on a new one."""
        link = self._links.get(upstream)
        if link is not None and link.scope is not None:
            link.worked = True
            link.scope.cancel()

    async def _serve(self, link: "_Link") -> None:
        """Open a connection, use it until it ends; what it leaves unanswered is asked once more on a new one."""
        link.worked = False
        try:
            with trio.CancelScope() as link.scope:
                with trio.fail_after(CONNECT_TIME):
                    stream = await link.open()
                async with stream, trio.open_nursery() as nursery:
                    nursery.start_soon(link.write, stream)
                    await self._read(link, stream)
                    nursery.cancel_scope.cancel()
        except* (OSError, trio.TooSlowError, trio.BrokenResourceError) as group:
            log.info("upstream connection failed", upstream=link.upstream.name, error=repr(group.exceptions[0]))
        link.scope = None
        link.busy = False
        failed = link.unanswered()
        now = self._clock()
        for attempt in failed:
            self._receiver.unreachable(attempt, now)
        if link.waiting:
            self._connect(link)
        self._drained()

    async def _read(self, link: "_Link", stream: _Stream) -> None:
        """Take in replies until the peer closes, nothing comes for a while, or what comes makes no sense."""
        buffer = bytearray()
        while link.bad < BAD_REPLIES:
            data = b""
            with trio.move_on_after(IDLE_TIME):
                data = bytes(await stream.receive_some(_READ))
            if not data:
                return
            buffer += data
            now = self._clock()
            while len(buffer) >= 2 and len(buffer) >= 2 + (size := int.from_bytes(buffer[:2])):
                message = bytes(buffer[2 : 2 + size])
                del buffer[: 2 + size]
                if self._take(link, message, now) and not link.worked:
                    link.worked = True
                    link.keep_session(stream)
            self._drained()

    def _take(self, link: "_Link", message: bytes, now: float) -> bool:
        """Hand a reply to who asked; off-path forgers cannot get here, so only honest mistakes are looked for."""
        attempt = link.waiting.get(message[:2])
        if attempt is None or len(message) < 12:
            kind = "id" if len(message) >= 12 else "malformed"
        elif message[2] & 0xF8 != 0x80 or message[4:6] != b"\0\1":
            kind = "not-a-reply"
        elif message[12 : 12 + len(attempt.section)].lower() != attempt.section.lower():
            kind = "question"
        elif not self._receiver.replied(attempt, message, now):
            kind = "malformed"
        else:
            link.done(message[:2])
            return True
        link.upstream.bad[kind] += 1
        link.bad += 1
        return False


class _Link:
    """What is asked of one upstream over streams, whatever connection carries it."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.waiting: dict[bytes, Attempt] = {}
        self.busy = False  # a task serves it
        self.worked = False  # the present connection brought an answer
        self.scope: trio.CancelScope | None = None
        self.bad = 0
        self._messages: dict[bytes, bytes] = {}  # to ask again when a connection ends under a question
        self._unsent: list[bytes] = []
        self._asked_again: set[bytes] = set()
        self._wake = trio.Event()
        self._tls: ssl.SSLContext | None = None
        self._session: Any = None

    def put(self, attempt: Attempt, message: bytes) -> None:
        """Take a question to send."""
        self.waiting[attempt.identifier] = attempt
        self._messages[attempt.identifier] = message
        self._unsent.append(attempt.identifier)
        self._wake.set()

    def done(self, identifier: bytes) -> None:
        """Forget a question."""
        self.waiting.pop(identifier, None)
        self._messages.pop(identifier, None)
        self._asked_again.discard(identifier)

    def unanswered(self) -> list[Attempt]:
        """Take out and return the questions that failed with their connection.

        Those on a connection that had worked are kept, once: servers close idle connections when they like.
        """
        failed = []
        for identifier, attempt in list(self.waiting.items()):
            if self.worked and attempt.flight is not None and identifier not in self._asked_again:
                self._asked_again.add(identifier)
                continue
            self.done(identifier)
            if not self.worked or attempt.flight is not None:
                failed.append(attempt)
        self.bad = 0
        return failed

    async def open(self) -> _Stream:
        """Connect; raises OSError (ssl.SSLError is one), or trio.BrokenResourceError."""
        host, port = self.upstream.address
        family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
        socket = trio.socket.socket(family, trio.socket.SOCK_STREAM)
        try:
            await socket.connect((host, port))
        except BaseException:
            socket.close()
            raise
        stream = trio.SocketStream(socket)  # sets TCP_NODELAY
        spec = self.upstream.spec
        if spec.transport is not Transport.TLS:
            return stream
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=spec.authorities)
            self._tls.set_alpn_protocols(["dot"])
        secure = trio.SSLStream(stream, self._tls, server_hostname=spec.server_name or spec.host, https_compatible=True)
        if self._session is not None:
            secure.session = self._session
        try:
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure

    def keep_session(self, stream: _Stream) -> None:
        """Keep what makes the next handshake short; TLS 1.3 sends it after the handshake."""
        if isinstance(stream, trio.SSLStream):
            self._session = stream.session

    async def write(self, stream: _Stream) -> None:
        """Send what there is to send, all of it at once, for ever."""
        self._unsent = list(self.waiting)
        while True:
            messages = [self._messages[i] for i in self._unsent if i in self._messages]
            self._unsent = []
            self._wake = trio.Event()
            if messages:
                await stream.send_all(b"".join(len(m).to_bytes(2) + m for m in messages))
            if not self._unsent:
                await self._wake.wait()
