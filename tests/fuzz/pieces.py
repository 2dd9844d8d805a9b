"""Changes of an input by pieces instead of octets: a line, a document or a packet is added, removed or replaced.

Random changes of octets hardly ever make another table of a configuration, or a complete object. A target that can
split its input into pieces, and make new ones, has `PIECES`.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

_OCTETWISE = 0.4  # of the changes are the fuzzer's own


class Pieces(NamedTuple):
    """How to split an input into a head and pieces, how to join them, and how to make a random piece."""

    split: Callable[[bytes], tuple[bytes, list[bytes]]]
    join: Callable[[bytes, Sequence[bytes]], bytes]
    make: Callable[[random.Random], bytes]


def separated(separator: bytes, make: Callable[[random.Random], bytes], *, head: int = 0) -> Pieces:
    """Return how to handle inputs whose pieces stand between separators, after `head` octets."""
    return Pieces(
        lambda data: (data[:head], data[head:].split(separator)),
        lambda first, pieces: (first or bytes(head)) + separator.join(pieces),
        make,
    )


def mutator(pieces: Pieces, octetwise: Callable[[bytes, int], bytes]) -> Callable[[bytes, int, int], bytes]:
    """Return a mutator for atheris; `octetwise` is the fuzzer's own mutator."""

    def changed(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < _OCTETWISE:
            return octetwise(data, most)
        head, found = pieces.split(data)
        for _ in range(chance.choice((1, 1, 2, 3))):
            _change(found, pieces, chance, octetwise)
        while len(whole := pieces.join(head, found)) > most and found:
            del found[chance.randrange(len(found))]
        return whole[:most]

    return changed


def _change(
    found: list[bytes], pieces: Pieces, chance: random.Random, octetwise: Callable[[bytes, int], bytes]
) -> None:
    at = chance.randrange(len(found)) if found else 0
    kind = chance.choice(("new", "new", "new", "other", "gone", "twice", "moved", "octets")) if found else "new"
    match kind:
        case "new":
            found.insert(chance.randrange(len(found) + 1), pieces.make(chance))
        case "other":
            found[at] = pieces.make(chance)
        case "gone":
            del found[at]
        case "twice":
            found.insert(at, found[at])
        case "moved":
            found.insert(chance.randrange(len(found)), found.pop(at))
        case _:
            found[at] = octetwise(found[at], len(found[at]) + 8)
