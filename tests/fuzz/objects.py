"""Files of objects: any content is read within limits, its mistakes are reported, and its valid objects are served."""

import json
import random

import msgspec

from dnsserver.kube import documents
from dnsserver.zone.model import Put
from tests.answering import Answering
from tests.fuzz.pieces import separated
from tests.fuzz.quick import strictly
from tests.fuzz.things import thing
from tests.universe import PACKETS, zone

_MOST_SENTENCES = 4_000  # characters of one
_EVERY = 31
_FORMS = ("{}", "&a {}", "- {}", "{{kind: List, apiVersion: v1, items: [{}, {}]}}", "{{<<: {}}}", "--- {}", "# {}")


def _document(chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return _bomb(chance).encode()
    things = [json.dumps(thing(chance)) for _ in range(2)]
    return chance.choice(_FORMS).format(*things).encode()


def _bomb(chance: random.Random) -> str:
    """Return a document in which each line refers several times to the line before it."""
    width, depth = 2 + chance.randrange(9), 1 + chance.randrange(9)
    form = chance.choice(("[{}]", "{{kind: List, apiVersion: v1, items: [{}]}}"))
    lines = [f"a{at}: &a{at} {form.format(', '.join(width * [f'*a{at - 1}']))}" for at in range(1, depth)]
    return "\n".join(["a0: &a0 {kind: x}", *lines, "kind: List", "apiVersion: v1", f"items: [*a{depth - 1}]"])


PIECES = separated(b"\n---\n", _document, head=1)


def run(data: bytes) -> None:
    """Read a file as YAML or as JSON, check its findings, and serve its objects."""
    if not data:
        return
    content = documents.read(data[1:], json=bool(data[0] & 1), name="objects.yaml")
    found = content.findings
    for sentence in (*found.problems, *found.warnings, *found.notes):
        assert sentence.strip(), "nothing is said"
        assert len(sentence) <= _MOST_SENTENCES
    assert found.readable or not content.objects
    if not content.objects:
        return
    answering = Answering(zone())
    for (kind, namespace, name), obj in content.objects.items():
        assert obj.metadata.name == name
        assert obj.metadata.namespace == namespace
        assert type(msgspec.json.decode(msgspec.json.encode(obj), type=type(obj))) is type(obj), kind
        answering.apply(Put(obj))
    for packet in PACKETS[data[0] % _EVERY :: _EVERY]:
        strictly(answering.ask(packet), packet)
