"""What the API server answers a request with: a page of a list, or why there is none."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

import msgspec
import trio

from dnsserver.kube import shallow
from dnsserver.kube.decode import TYPES, UNREADABLE
from dnsserver.kube.errors import ApiError, Disconnected, Malformed, Status, TooLarge, error_of
from dnsserver.kube.progress import Received
from dnsserver.kube.transport import ApiResponse
from dnsserver.zone.model import Kind, Object

_LONGEST_FAILURE = 64 << 10  # octets of it that are read

_T_co = TypeVar("_T_co", covariant=True)


class Wait:
    """Something that the API server has to send, and the `trio.current_time` since which we wait for it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.since = trio.current_time()


class Page(msgspec.Struct, Generic[_T_co]):
    """One page of a list: the list's version, the page's objects, and what asks for the next page, if there is one."""

    version: str
    items: Sequence[_T_co]
    next: str


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, Generic[_T_co]):
    metadata: _ListMeta
    items: Sequence[_T_co] | None = None


_status = msgspec.json.Decoder(Status)
_split = msgspec.json.Decoder(_List[msgspec.Raw])
# 250 pods take 1.2 ms in one go, or 1 ms to be split and then 1.2 to be decoded. 500 EndpointSlices may take 40 ms in
# one go, with 100 endpoints in each: they are split, in 7 ms at most, and decoded slice by slice.
_whole: dict[Kind, msgspec.json.Decoder[_List[Object]]] = {
    kind: msgspec.json.Decoder(_List[type_])  # type: ignore[valid-type]
    for kind, type_ in TYPES.items()
    if kind is not Kind.ENDPOINTSLICES
}


def page(kind: Kind, text: memoryview) -> Page[Object | msgspec.Raw]:
    """Read a page of a kind, and keep nothing of `text`. Raises one of UNREADABLE.

    Objects are raw JSON, all of them, where one cannot be used or the page is only split.
    """
    decoder = _whole.get(kind)
    if decoder is not None:
        try:
            found = decoder.decode(text)
        except Exception:  # whatever is wrong with an object costs no other one: each is decoded by itself
            return split(bytes(text))
        if all(item.metadata.name for item in found.items or ()):
            return Page(found.metadata.resource_version, found.items or (), found.metadata.continue_)
    return split(bytes(text))


def split(text: bytes) -> Page[msgspec.Raw]:
    """Read a page whose objects stay raw; one that is nested too deeply costs no other. Raises one of UNREADABLE."""
    try:
        found = _split.decode(text)
    except RecursionError:
        parts = shallow.fields(text)
        metadata = msgspec.json.decode(parts.get("metadata", b"{}"), type=_ListMeta)
        found = _List(metadata, [msgspec.Raw(item) for item in shallow.elements(parts.get("items", b"[]"))])
    return Page(found.metadata.resource_version, found.items or (), found.metadata.continue_)


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


async def body(answer: ApiResponse, longest: int) -> bytes:
    """Return a whole body. Raises Disconnected and TooLarge."""
    room = bytearray()
    await read_into(room, answer, longest)
    return bytes(room)


async def read_into(
    room: bytearray, answer: ApiResponse, longest: int, received: Received | None = None, wait: Wait | None = None
) -> int:
    """Read a whole body into `room`, which grows if need be, and return how long it is; each piece restarts `wait`.

    One room for all pages of a list: with new memory for each page, the kernel took longer than zlib. Raises
    Disconnected and TooLarge.
    """
    size = 0
    async with aclosing(answer.iter_body(received or Received())) as arriving:
        async for piece in arriving:
            room[size : size + len(piece)] = piece
            size += len(piece)
            if wait is not None:
                wait.since = trio.current_time()
            if size > longest:
                raise TooLarge(f"an answer of more than {longest} octets")
    return size
