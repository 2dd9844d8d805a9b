"""Lines of watches, as octets: after them, the zone answers like one that lists the remaining objects at once."""

import json
import random
from collections.abc import Iterable, Iterator

import msgspec

from dnsserver.kube import decode
from dnsserver.kube.decode import UNREADABLE, BadObject
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Put, Remove
from tests.answering import Answering
from tests.cluster import listed
from tests.fuzz.pieces import separated
from tests.fuzz.quick import strictly
from tests.fuzz.things import thing
from tests.universe import BASE, NAMESPACES, PACKETS, QUESTIONS, Truth, normal, zone

_KINDS = tuple(Kind)
_NUMBERS = {"Namespace": 0, "Service": 1, "EndpointSlice": 2, "Pod": 3}
_SYNCED = listed(BASE)
_ASKED = 4  # questions of one input, about the objects of its events
_LINES = 8  # of one input
_ANYWHERE = [packet for packet, (name, _) in zip(PACKETS, QUESTIONS, strict=True) if ".svc." not in name]
_IN = {
    space: [packet for packet, (name, _) in zip(PACKETS, QUESTIONS, strict=True) if f".{space}.svc." in f".{name}"]
    for space in NAMESPACES
}


def _line(chance: random.Random) -> bytes:
    found = thing(chance)
    kind = chance.randrange(40)
    if kind < len(_KINDS):
        return bytes((0x40 * chance.randrange(2) + 0x10 + kind,))
    type_ = chance.choice(("ADDED", "MODIFIED", "MODIFIED", "DELETED"))
    text = json.dumps({"type": type_, "object": found}, separators=(",", ":"))
    return bytes((0x40 + _NUMBERS.get(str(found.get("kind")), kind % len(_KINDS)),)) + text.encode()


PIECES = separated(b"\n", _line)


def events_of(data: bytes) -> Iterator[Event]:
    """Yield the events of the lines: the first octet of a line chooses the kind, the rest is the API's JSON."""
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
    """Apply the events to a zone that has objects, ask it meanwhile, and compare it with one that is filled at once."""
    events = tuple(events_of(data))
    if not events:
        return
    answering, truth = Answering(zone()), Truth()
    for event in _SYNCED:
        answering.apply(event)
        truth.apply(event)
    asked = _questions(data, events)
    for packet in (*asked, *asked):  # what does not exist is kept when it is asked a second time
        strictly(answering.ask(packet), packet)
    for number, event in enumerate(events):
        answering.apply(event)
        truth.apply(event)
        packet = asked[number % len(asked)]
        strictly(answering.ask(packet), packet)
    fresh = Answering(zone())
    truth.fill(fresh.cluster)
    for packet in asked:
        ours, theirs = answering.ask(packet), fresh.ask(packet)
        assert ours == theirs or normal(ours) == normal(theirs), f"{packet.hex()}: {ours.hex()} and {theirs.hex()}"


def _questions(data: bytes, events: Iterable[Event]) -> list[bytes]:
    """Return some questions about the objects of the events, at random but always the same for the same octets."""
    spaces = set()
    for event in events:
        match event:
            case Put(object=thing):
                spaces.add(thing.metadata.namespace or thing.metadata.name)
            case Remove(namespace=space, name=name):
                spaces.add(space or name)
    pool = [*_ANYWHERE, *(packet for space in sorted(spaces) for packet in _IN.get(space, ()))]
    return random.Random(data).sample(pool, _ASKED)
