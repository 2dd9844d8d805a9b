"""`/tail`: questions as they are answered, line by line, for as long as somebody reads.

A stream has a follower in each process: in this one directly, in the others after a frame through their pipes; their
lines come back with their reports. If a stream is not read, it takes no more memory than its bounded queue.
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import trio

from dnsserver.app.audience import Audience, filter_of
from dnsserver.app.followers import Collected
from dnsserver.app.worker_protocol import Follow, Followed, Unfollow
from dnsserver.config import ConfigError
from dnsserver.config.model import QueryLog
from dnsserver.config.reader import table_of
from dnsserver.log.query_lines import json_line
from dnsserver.server.admin import Request, Response, Route
from dnsserver.traffic.filters import Filter

_BEAT = 5.0  # seconds without a line after which an empty one shows that the stream lives
_AT_ONCE = 128  # lines in one piece: 0.5 ms
_LISTS = ("classes", "clients", "below", "types", "rcodes")
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_NDJSON = "application/x-ndjson"


class Wanted(QueryLog, frozen=True):
    """What a stream has: the keys of the log of queries, and for how many seconds its answers had to take at the least.

    Beside other classes, "slow" adds questions to theirs; `took` leaves out those of any class.
    """

    took: Annotated[float, msgspec.Meta(ge=0, le=60, description="a number of seconds from 0 to 60")] = 0.0


class Tails:
    """The streams of one server. `tell` passes a frame on to all other processes that answer."""

    def __init__(self, audience: Audience, tell: Callable[[Follow | Unfollow], None]) -> None:
        """Begin without any."""
        self._audience = audience
        self._tell = tell
        self._streams: dict[int, Collected] = {}
        self._last = 0

    def routes(self) -> dict[str, Route]:
        """Return the routes of admin HTTP."""
        text = (
            "questions as they are answered, with the keys of [[query_log]], as in ?classes=denial,error&sample=10,"
            " and &took=0.2 for those that took so many seconds or more"
        )
        return {"/tail": Route("GET", self._begin, text)}

    def under_way(self) -> Iterable[Follow]:
        """Return what a process has to be told that begins now."""
        return [Follow(number, stream.filter, stream.sample) for number, stream in self._streams.items()]

    def take(self, frame: Followed) -> None:
        """Take what another process has seen."""
        stream = self._streams.get(frame.number)
        if stream is not None:
            stream.left_out += frame.left_out
            stream.missed -= frame.missed
            for seen in frame.seen:
                stream.take(seen)

    def _begin(self, request: Request) -> Response:
        try:
            table = _wanted(request.query)
        except ConfigError as error:
            return Response(f"{error}\n", 400)
        of = msgspec.structs.replace(filter_of(table), took=table.took)
        return Response(self._stream(of, table.sample), type=_NDJSON, endless=True)

    async def _stream(self, of: Filter, sample: int) -> AsyncGenerator[bytes, None]:
        """Yield pieces of several lines of JSON: the replies, and how many were left out since the last piece."""
        stream = Collected(of, sample, self._audience.missed)
        self._last += 1
        number, told = self._last, 0
        self._streams[number] = stream
        self._audience.join(stream)
        self._tell(Follow(number, stream.filter, stream.sample))
        try:
            yield _line(event="following")
            while True:
                with trio.move_on_after(_BEAT):
                    await stream.wait()
                piece = b"".join([json_line(seen) for seen in stream.give(_AT_ONCE)])
                left_out, told = stream.left_out - told, stream.left_out
                missed = stream.missed_since(self._audience.missed)
                if left_out or missed:
                    piece += _line(event="left out", count=left_out, not_looked_at=missed)
                yield piece or b"\n"
        finally:
            self._tell(Unfollow(number))
            self._audience.leave(stream)
            self._audience.not_followed += stream.left_out
            del self._streams[number]


def _line(**fields: Any) -> bytes:
    return msgspec.json.encode(fields) + b"\n"


def _wanted(query: dict[str, str]) -> Wanted:
    """Return what a query asks for, as in the configuration; but if it names no class, all classes are wanted.

    With `slow` and no class it is the class of that name. Raises ConfigError.
    """
    data: dict[str, Any] = {"classes": ["slow" if "slow" in query else "all"]}
    for key, text in query.items():
        data[key] = text.split(",") if key in _LISTS else _number(text)
    return table_of(Wanted, data, Path("/tail"))


def _number(text: str) -> float | str:
    """Return a text as a number if it is one, and otherwise the text."""
    found = _NUMBER.fullmatch(text)
    return text if found is None else float(text) if found[1] else int(text)
