"""Lines of watches, as octets: the zone after them is that of one list of what there is then, and all names answer."""

from collections.abc import Iterator

import msgspec

from dnsserver.kube import decode
from dnsserver.kube.decode import UNREADABLE, BadObject
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Put, Remove
from tests.answering import Answering
from tests.cluster import listed
from tests.fuzz.reading import strictly
from tests.universe import BASE, PACKETS, Truth, normal, zone

_KINDS = tuple(Kind)
_SYNCED = listed(BASE)
_EVERY = 31  # of the questions one in so many is asked in one run: all of them take 20 ms
_LINES = 8  # of one input


def events_of(data: bytes) -> Iterator[Event]:
    """Give the events that the lines make: the first octet of a line chooses its kind, the rest is the API's JSON."""
    for line in data.split(b"\n")[:_LINES]:
        if not line:
            continue
        kind = _KINDS[line[0] % len(_KINDS)]
        if len(line) == 1:
            yield ListStarted(kind) if line[0] & 0x40 else ListDone(kind)
            continue
        try:
            change = decode.line(kind, line[1:])
            if change.type == "DELETED":
                known = decode.identity(change.object)
                if known.name:
                    yield Remove(kind, known.namespace, known.name)
            elif change.type in {"ADDED", "MODIFIED"}:
                thing = change.object
                yield Put(decode.from_json(kind, thing) if isinstance(thing, msgspec.Raw) else thing)
        except BadObject as error:
            if error.name:
                yield Remove(kind, error.namespace, error.name)
        except UNREADABLE:
            continue


def run(data: bytes) -> None:
    """Apply the events to a zone that has something, asking all the while, and compare it with one made at once."""
    answering, truth = Answering(zone()), Truth()
    for event in _SYNCED:
        answering.apply(event)
        truth.apply(event)
    asked = PACKETS[len(data) % _EVERY :: _EVERY]
    # What does not exist is kept when it is asked a second time, so all is asked twice before anything changes.
    steps: tuple[Event | None, ...] = (None, None, *events_of(data))
    for step in steps:
        if step is not None:
            answering.apply(step)
            truth.apply(step)
        for packet in asked:
            strictly(answering.ask(packet), packet)
    fresh = Answering(zone())
    truth.fill(fresh.cluster)
    for packet in asked:
        ours, theirs = answering.ask(packet), fresh.ask(packet)
        assert ours == theirs or normal(ours) == normal(theirs), f"{packet.hex()}: {ours.hex()} and {theirs.hex()}"
