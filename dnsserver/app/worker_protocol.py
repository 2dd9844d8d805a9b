"""The pipe between the first process and a worker: frames of a length, a letter and a msgpack value.

The configuration goes down first, then the zone as it is, then each event. The worker's numbers come up. It is one
stream in one order, so that what a worker has read is a state in which the first process was.
"""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import msgspec
import trio

from dnsserver import metrics
from dnsserver.config import Config
from dnsserver.traffic.filters import Filter
from dnsserver.traffic.gathered import Gathered
from dnsserver.traffic.observed import Observed
from dnsserver.zone import model
from dnsserver.zone.record import Reason

_HEAD = 5
_LIMIT = 1024 * 1024 * 1024  # octets of a frame: what the zone and hosts files of a configuration take together


class Settings(msgspec.Struct, frozen=True):
    """The first frame: the configuration, with the ports that the first process got, and what names its probes.

    `number` is the worker's, as the log has it. `sockets` are the descriptors that the worker was started with: of UDP
    and of TCP, by address.
    """

    config: Config
    secret: bytes
    texts: dict[str, str]
    number: int = 0
    sockets: dict[str, tuple[list[int], list[int]]] = {}


class Reload(msgspec.Struct, frozen=True):
    """Another configuration is in force, with the texts of its files; these files of authorities say something else."""

    config: Config
    texts: dict[str, str]
    authorities: tuple[str, ...]


class Stale(msgspec.Struct, frozen=True):
    """Start or stop marking answers of the zone as stale."""

    reason: Reason | None


class Flush(msgspec.Struct, frozen=True):
    """Forget what is cached of an outside name, or of all names below it."""

    name: bytes
    below: bool


class Leave(msgspec.Struct, frozen=True):
    """The server is about to end: it tells TCP clients so."""


class ProbeSeen(msgspec.Struct, frozen=True):
    """A client asked a process for the name of another one's probe, so the upstream of that one forwards back here."""

    name: bytes


class Heavy(msgspec.Struct, frozen=True):
    """A client sends a worker more than it can answer: the address it asks, "udp" or "tcp", and its network."""

    address: str
    transport: str
    network: bytes
    bits: int


class Follow(msgspec.Struct, frozen=True):
    """A stream follows the replies: `number` wants those that match the filter, or one in `sample` of them."""

    number: int
    filter: Filter
    sample: int


class Unfollow(msgspec.Struct, frozen=True):
    """A stream has ended."""

    number: int


class Followed(msgspec.Struct, frozen=True):
    """What a worker has seen for a stream, how many more there were than it had room for, and how many it missed."""

    number: int
    seen: list[Observed]
    left_out: int
    missed: int


class Settle(msgspec.Struct, frozen=True):
    """A request to count all that was sent up to now; `number` identifies the request."""

    number: int


class Echo(msgspec.Struct, frozen=True):
    """A worker that has stood still sends it up; it comes down again after all that changed before."""

    number: int


class Counts(msgspec.Struct, frozen=True):
    """What a worker has counted so far, and the last `Settle` after which it counted what each reply was sent."""

    process: metrics.Process
    settled: int = 0


class Beat(msgspec.Struct, frozen=True):
    """A worker's sign of life while it has no counts: it is starting, or cannot count."""


Frame = (
    model.Event
    | Settings
    | Reload
    | Stale
    | Flush
    | Leave
    | ProbeSeen
    | Heavy
    | Follow
    | Unfollow
    | Followed
    | Settle
    | Echo
    | Counts
    | Beat
    | Gathered
)

# A letter for each type; a Put is told by its object's.
_TYPES: dict[bytes, type[Any]] = {
    b"n": model.Namespace,
    b"s": model.Service,
    b"e": model.EndpointSlice,
    b"p": model.Pod,
    b"r": model.Remove,
    b"l": model.ListStarted,
    b"d": model.ListDone,
    b"z": model.ListDropped,
    b"x": model.Denied,
    b"c": Settings,
    b"w": Reload,
    b"o": Stale,
    b"f": Flush,
    b"g": Leave,
    b"q": ProbeSeen,
    b"y": Heavy,
    b"t": Follow,
    b"u": Unfollow,
    b"v": Followed,
    b"k": Settle,
    b"b": Echo,
    b"m": Counts,
    b"h": Beat,
    b"a": Gathered,
}
_LETTERS = {kind: letter for letter, kind in _TYPES.items()}
_OBJECTS = tuple(model.KINDS)


def _decoder(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind, dec_hook=lambda wanted, value: wanted(value))


_DECODERS = {letter: _decoder(kind) for letter, kind in _TYPES.items()}
_ENCODER = msgspec.msgpack.Encoder(enc_hook=lambda value: str(value) if isinstance(value, Path) else value)


def encode(frame: Frame) -> bytes:
    """Return the octets of one frame."""
    value = frame.object if isinstance(frame, model.Put) else frame
    body = _ENCODER.encode(value)
    return len(body).to_bytes(_HEAD - 1, "big") + _LETTERS[type(value)] + body


def _refuse(error: Exception) -> None:
    raise error


async def frames(
    stream: trio.abc.ReceiveStream, unread: Callable[[Exception], None] = _refuse
) -> AsyncGenerator[Frame, None]:
    """Yield the frames that come, until the other side ends; raises ValueError for an invalid frame.

    `unread` is told of a frame whose value cannot be read: it is passed over, unless that raises.
    """
    buffer = bytearray()
    async for data in stream:
        buffer += data
        position = 0
        while len(buffer) - position >= _HEAD:
            size = int.from_bytes(buffer[position : position + _HEAD - 1], "big")
            letter = bytes(buffer[position + _HEAD - 1 : position + _HEAD])
            start = position + _HEAD
            if size > _LIMIT or letter not in _DECODERS:
                raise ValueError(f"not a frame: {size} octets of kind {letter!r}")
            if len(buffer) - start < size:
                break
            position = start + size
            try:
                value = _DECODERS[letter].decode(bytes(buffer[start:position]))
            except (msgspec.MsgspecError, ValueError) as error:
                unread(error)
                continue
            yield model.Put(value) if isinstance(value, _OBJECTS) else value
        del buffer[:position]
