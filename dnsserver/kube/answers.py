"""What the API server answers a request with: a page of a list, or why there is none."""

from contextlib import aclosing

import msgspec
import trio

from dnsserver.kube import shallow
from dnsserver.kube.decode import UNREADABLE
from dnsserver.kube.errors import ApiError, Disconnected, Malformed, Status, TooLarge, error_of
from dnsserver.kube.progress import Received
from dnsserver.kube.transport import ApiResponse

_LONGEST_FAILURE = 64 << 10  # octets of it that are read


class Wait:
    """Something that the API server has to send, and the `trio.current_time` since which we wait for it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.since = trio.current_time()


class Page(msgspec.Struct):
    """One page of a list: the list's version, the page's objects, and what asks for the next page, if there is one."""

    version: str
    items: list[msgspec.Raw]
    next: str


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_status = msgspec.json.Decoder(Status)
_list = msgspec.json.Decoder(_List)


def page(body: bytes) -> Page:
    """Read a page; an object that is nested too deeply costs no other object. Raises one of UNREADABLE."""
    try:
        found = _list.decode(body)
    except RecursionError:
        parts = shallow.fields(body)
        metadata = msgspec.json.decode(parts.get("metadata", b"{}"), type=_ListMeta)
        found = _List(metadata, [msgspec.Raw(item) for item in shallow.elements(parts.get("items", b"[]"))])
    return Page(found.metadata.resource_version, found.items or [], found.metadata.continue_)


async def checked(answer: ApiResponse) -> ApiResponse:
    """Return an answer with JSON, and raise ApiError for any other.

    No frame may hold an error that it raises: the error holds the frame, and the frames of callers hold pages of lists.
    """
    if answer.status != 200:
        raise await _failure(answer)
    kind = answer.headers.get("content-type", "application/json")
    if "json" in kind:
        return answer
    await answer.aclose()
    raise Malformed(f"expected JSON, got {kind.partition(';')[0][:60]}: is this an API server?")


async def _failure(answer: ApiResponse) -> ApiError:
    try:
        text = await body(answer, _LONGEST_FAILURE)
    except (Disconnected, TooLarge):
        text = b""
    finally:
        await answer.aclose()
    try:
        status = _status.decode(text)
    except UNREADABLE:
        # A proxy's or load balancer's own page.
        status = Status(message=text[:200].decode(errors="replace"))
    return error_of(status, answer.status, answer.headers.get("retry-after", ""))


async def body(answer: ApiResponse, longest: int, received: Received | None = None, wait: Wait | None = None) -> bytes:
    """Return a whole body; each piece of it restarts `wait`. Raises Disconnected and TooLarge."""
    pieces, size = [], 0
    async with aclosing(answer.iter_body(received or Received())) as arriving:
        async for piece in arriving:
            pieces.append(piece)
            size += len(piece)
            if wait is not None:
                wait.since = trio.current_time()
            if size > longest:
                raise TooLarge(f"an answer of more than {longest} octets")
    return b"".join(pieces)
