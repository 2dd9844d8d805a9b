"""The consistency check: it puts all objects of a kind into the zone again, and so repairs even a bug."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec
import trio

from dnsserver.kube.api import Client
from dnsserver.kube.decode import BadObject
from dnsserver.kube.progress import Received, TimeSlice
from dnsserver.kube.scope import Scope
from dnsserver.zone.model import Event, Kind, ListDone, ListDropped, ListStarted, Object, Put


class WatchCursor:
    """Where the watch of one scope stands: the version up to which all is applied, "" before its list is complete.

    The version is one of `server`, whose URL this is. It was `last_heard` then, on the event loop's clock, maybe before
    the present list. It is `denied` by Forbidden or NotFound, and `in_doubt` from the beginning of a watch until
    something comes by it.
    """

    def __init__(self, scope: Scope, last_heard: float | None = None) -> None:
        self.scope = scope
        self.version = self.server = ""
        self.last_heard = last_heard
        self.denied = self.in_doubt = False
        self.heard = 0  # events and bookmarks
        self.touched: set[tuple[str, str]] | None = None  # by the watch, since a running check began


async def check(
    client: Client,
    kind: Kind,
    cursors: Sequence[WatchCursor],
    apply: Callable[[Event], bool],
    decoded: Callable[[msgspec.Raw], Object | None],
    *,
    received: Received,
    page_pause: float,
) -> int:
    """Put all in the zone right; return how many events that took, 0 where nothing was wrong. Raises ApiError.

    `decoded` makes an object of JSON: None if it cannot, or it raises BadObject.

    The list is taken at exactly the version up to which the watch has been applied. There the API's state and the
    zone's must be the same, so putting an object again changes nothing, unless something was wrong. Objects that the
    watch touches from then on are left to the watch, whose word is newer: old state never comes back. What the zone
    has and the API has not goes at ListDone. This needs no second copy and no table of versions, only the names
    touched meanwhile, and it mends what the zone did wrong as well as what the watch missed.
    """
    apply(ListStarted(kind))
    repairs, time_slice, is_done = 0, TimeSlice(), False
    try:
        for cursor in cursors:
            # In the same step as the version is read: what is touched from here on is newer than the list.
            touched = cursor.touched = set()
            pages = client.pages(cursor.scope, version=cursor.version, received=received)
            async with aclosing(pages):
                async for page in pages:
                    for item in page.items:
                        try:
                            thing = decoded(item) if isinstance(item, msgspec.Raw) else item
                        except BadObject:
                            continue
                        if thing is not None and (thing.metadata.namespace, thing.metadata.name) not in touched:
                            repairs += apply(Put(thing))
                        if time_slice.over:
                            await time_slice.pause()
                    await trio.sleep(page_pause)
        is_done = True
        return repairs + apply(ListDone(kind))
    finally:
        if not is_done:  # else what the watch brings from now on would count as shown by this list
            apply(ListDropped(kind))
        for cursor in cursors:
            cursor.touched = None
