"""Built-in mixes: what pods ask, as lists of questions about the names of an inventory."""

import ipaddress
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from loadtest.inventory import Inventory
from loadtest.questions import Question

_SEEDED = 2782  # the number of the RFC of SRV; any would do, as long as two runs ask the same


class MixError(ValueError):
    """A mix that cannot be made; the text says which names it lacks."""


def services(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """The A of each service with a cluster address."""
    return (Question(name, "A") for name in inventory.services)


def dual(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """A and AAAA of each service, as glibc's and musl's getaddrinfo ask."""
    return (Question(name, kind) for name in inventory.services for kind in ("A", "AAAA"))


def headless(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """The A of each headless service."""
    return (Question(name, "A") for name in inventory.headless)


def srv(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """The SRV of each named port of each service."""
    return (Question(name, "SRV") for name in inventory.ports)


def pods(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """The A of each pod's address name."""
    return (Question(name, "A") for name in inventory.pods)


def reverse(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """The PTR of each address of a service."""
    return (Question(ipaddress.ip_address(text).reverse_pointer, "PTR") for text in inventory.addresses)


def search(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """What a pod asks for an external name with `ndots:5`: each search domain in turn, which fails, then the name
    itself; A and AAAA each time, from a pod in each namespace.
    """
    domain = inventory.domain
    for namespace in inventory.namespaces:
        for name in inventory.external:
            for ending in (f".{namespace}.svc.{domain}", f".svc.{domain}", f".{domain}", ""):
                for kind in ("A", "AAAA"):
                    yield Question(name + ending, kind)


def external(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """A and AAAA of each external name."""
    return (Question(name, kind) for name in inventory.external for kind in ("A", "AAAA"))


def missing(inventory: Inventory, count: int) -> Iterator[Question]:
    """The A of `count` different services that do not exist, in the namespaces that do: the same ones in every run."""
    draw = random.Random(_SEEDED)  # noqa: S311 - names to ask, no secrets
    for number in range(count if inventory.namespaces else 0):
        namespace = inventory.namespaces[number % len(inventory.namespaces)]
        yield Question(f"missing-{draw.getrandbits(48):012x}.{namespace}.svc.{inventory.domain}", "A")


KINDS: Mapping[str, Callable[[Inventory, int], Iterator[Question]]] = {
    kind.__name__: kind for kind in (services, dual, headless, srv, pods, reverse, search, external, missing)
}
"""Every kind of question by its name. Each takes the inventory and the number of missing names."""


def mix(weights: Mapping[str, int], inventory: Inventory, *, missing_names: int, most: int) -> list[Question]:
    """Return the questions of several kinds, spread evenly by weight, each kind in its own order and over again as
    often as needed: so long that every question of every kind is in it once, but at most `most`.

    Raises MixError if the inventory has no names of a kind.
    """
    lists: dict[str, Sequence[Question]] = {}
    for kind in weights:
        lists[kind] = list(KINDS[kind](inventory, missing_names))
        if not lists[kind]:
            raise MixError(f"expected names for the mix `{kind}`, but the given objects, pattern or list have none")
    rounds = max(-(-len(lists[kind]) // weight) for kind, weight in weights.items())
    total = min(rounds * sum(weights.values()), most)
    return list(_interleave(weights, lists, total))


def zipf(questions: Sequence[Question], exponent: float, count: int) -> list[Question]:
    """Return `count` questions drawn from a list; a question's chance falls with its place to the power `exponent`.

    So a few questions make up most of them, as with what pods ask. They are the same ones in every run.
    """
    draw = random.Random(_SEEDED)  # noqa: S311 - names to ask, no secrets
    return draw.choices(questions, [place**-exponent for place in range(1, len(questions) + 1)], k=count)


def _interleave(weights: Mapping[str, int], lists: Mapping[str, Sequence[Question]], total: int) -> Iterator[Question]:
    # Smooth weighted round robin: each kind earns its weight at every step, the richest pays all and is asked.
    credit = dict.fromkeys(weights, 0)
    asked = dict.fromkeys(weights, 0)
    whole = sum(weights.values())
    for _ in range(total):
        for kind, weight in weights.items():
            credit[kind] += weight
        richest = max(credit, key=credit.__getitem__)
        credit[richest] -= whole
        yield lists[richest][asked[richest] % len(lists[richest])]
        asked[richest] += 1
