"""What `/changes` says: rows of the zone's journal, each with what changed in words."""

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from dnsserver.clients import shown_address
from dnsserver.zone.index import PortView
from dnsserver.zone.journal import ROWS, Change, Journal, Shown

MOST = ROWS
USUAL = 50
_PORTS = 4  # that are named


class ChangeRow(msgspec.Struct, frozen=True):
    """The changes of a Service within a minute, or of a Namespace, whose row has an empty `service`.

    `first` and `last` are unix times in seconds, `count` is how many events there were, and `what` says what they
    changed. `broken` says that it was there and then, for a moment or still, was not, or that its last ready endpoint
    went.
    """

    namespace: str
    service: str
    first: float
    last: float
    count: int
    what: tuple[str, ...]
    broken: bool


class ChangeList(msgspec.Struct, frozen=True):
    """The rows that were asked for, the last ones first; `now` is the server's unix time, and `most` what it keeps.

    `since` is the unix time from which on it has all changes, or 0 if it has not read the cluster yet. `unheard` says
    why it may not know the last changes, as the API server does not answer or a file is broken; otherwise it is empty.
    `absent` says that there is no such namespace or Service now as was asked for.
    """

    now: float
    most: int
    rows: tuple[ChangeRow, ...]
    since: float = 0.0
    unheard: str = ""
    absent: bool = False


def changes(
    journal: Journal,
    now: float,
    *,
    namespace: str | None,
    service: str | None,
    since: float,
    limit: int,
    unheard: str = "",
) -> ChangeList:
    """Return the last changes that were not over before the unix time `since`."""
    key = tuple(None if text is None else text.lower().encode() for text in (namespace, service))
    rows = tuple(islice((_row(each) for each in journal.changes(*key) if each.last >= since), limit))
    return ChangeList(now, MOST, rows, journal.since, unheard, absent=not journal.has(*key))


def _row(change: Change) -> ChangeRow:
    namespace, service = (part.decode("utf-8", "replace") for part in change.key)
    return ChangeRow(namespace, service, change.first, change.last, change.count, words(change), change.worst > 0)


def words(change: Change) -> tuple[str, ...]:
    """Return what changed, in words, and whether it may have happened before the time of the row."""
    return (
        *_what(change),
        *(("it may have happened earlier, as it was seen when all was read anew",) if change.listed else ()),
    )


def _what(change: Change) -> tuple[str, ...]:
    before, after = change.before, change.after
    said: list[str] = []
    match before.exists, after.exists:
        case False, True:
            return (f"created: {_present(after)}",)
        case True, False:
            return (f"deleted: it was {_present(before)}",)
        case False, False:
            said.append("created and deleted" if change.present else "there is no Service of that name")
        case _ if change.present < change.count:
            said.append("deleted and created again")
    said += _differences(before, after, change.fewest)
    return tuple(said) or ("other endpoints, or other ports of them; as many as before",)


def _present(shown: Shown) -> str:
    """Return what is there: the kind, its addresses, and its endpoints."""
    view = shown.service
    if view is None:
        return "a Namespace"
    if view.external is not None:
        return f"{view.kind} {view.external}"
    return f"{' '.join((view.kind, *map(shown_address, view.addresses)))}, {_ready(shown.ready)}"


def _ready(ready: int) -> str:
    return f"{ready} ready address{'' if ready == 1 else 'es'}"


def _differences(before: Shown, after: Shown, fewest: int) -> Iterator[str]:
    old, new = before.service, after.service
    if old is not None and new is not None:
        if old.kind != new.kind:
            yield f"{old.kind} → {new.kind}"
        if old.addresses != new.addresses:
            yield f"addresses {_addresses(old.addresses)} → {_addresses(new.addresses)}"
        if old.external != new.external and old.kind == new.kind:
            yield f"external name {old.external} → {new.external}"
        if set(old.ports) != set(new.ports):
            yield f"ports {_ports(old.ports, new.ports)} → {_ports(new.ports, old.ports)}"
    between = (fewest,) if fewest < min(before.ready, after.ready) else ()
    if between or before.ready != after.ready:
        yield f"ready addresses {' → '.join(map(str, (before.ready, *between, after.ready)))}"
    if before.unready != after.unready:
        yield f"not ready {before.unready} → {after.unready}"


def _ports(ports: Sequence[PortView], others: Sequence[PortView]) -> str:
    """Return the ports that are not among the others."""
    own = [port for port in ports if port not in others]
    texts = [f"{_text(port.name)} {port.number}/{_text(port.protocol).upper()}".lstrip() for port in own[:_PORTS]]
    return (", ".join(texts) or "none") + (f" and {len(own) - _PORTS} more" if len(own) > _PORTS else "")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _addresses(addresses: tuple[bytes, ...]) -> str:
    return " ".join(map(shown_address, addresses)) or "none"
