"""Everything that the server in a test's process sends is read strictly, whatever else the test checks.

`watch()` wraps the few functions that give finished octets: the reply of a miss, a cached reply and its renewals, late
replies, and queries to upstreams. If a strict client could not read a message, the function raises an error. The server
itself may catch that error, so its text is also kept in `spoilt`, which has to be empty at the end of each test.
"""

import functools
from collections.abc import Callable
from typing import Any

import dns.message

from dnsserver.resolver.reply_cache import AgingReply, RingReply
from dnsserver.server.connection import Connection
from dnsserver.server.mmsg import Outbox
from dnsserver.server.respond import Responder
from dnsserver.server.unbatched import UnbatchedPort
from dnsserver.wire import upstream_query
from tests import strict

_RECENT = 4096

spoilt: list[str] = []
_recent: set[bytes] = set()  # messages that were found to be well-formed, without their IDs
seen = 0
watching = True


def _check(wire: bytes, parse: Callable[[bytes], strict.Message]) -> None:
    global seen  # noqa: PLW0603 - one number for the whole run
    seen += 1
    if wire[2:] in _recent:  # a message passes several of these functions, and is often repeated
        return
    try:
        parse(wire)
    except strict.MalformedError as error:
        spoilt.append(str(error))
        raise
    if len(_recent) >= _RECENT:
        _recent.clear()
    _recent.add(wire[2:])


def _after(of: Any, name: str, wire_of: Callable[..., bytes | None], parse: Callable[[bytes], Any]) -> None:
    """After each call of a method, read the message that `wire_of` finds in its result and arguments."""
    plain = getattr(of, name)

    @functools.wraps(plain)
    def watched(*arguments: Any, **options: Any) -> Any:
        result = plain(*arguments, **options)
        wire = wire_of(result, *arguments)
        if wire is not None and watching:
            _check(wire, parse)
        return result

    setattr(of, name, watched)


def watch() -> None:
    """Read everything that is sent from now on, and each reply that a test reads with dnspython."""
    _after(Responder, "respond", lambda result, _, packet, *__: result and packet[:2] + result[2:], strict.reply)
    for kept in (RingReply, AgingReply):
        _after(kept, "renew", lambda result, *_: result and b"\0\0" + result, strict.reply)
    for port, send in ((Connection, "send"), (UnbatchedPort, "send"), (Outbox, "add")):
        _after(port, send, lambda _, __, wire, ___: wire, strict.reply)
    _after(upstream_query, "write", lambda result, *_: b"\0\0" + result[1], strict.message)
    # Only replies: what tests ask may be as odd as they like.
    _after(dns.message, "from_wire", lambda _, wire, *__: bytes(wire) if wire[2] & 0x80 else None, strict.message)
