"""Built-in mixes: what pods ask, as lists of questions about the names of an inventory."""

import ipaddress
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from loadtest.inventory import Inventory
from loadtest.questions import Question

_SEEDED = 2782  # the number of the RFC of SRV; any would do, as long as two runs ask the same


class MixError(ValueError):
    """A mix that cannot be made; the text says which kind of question has no names."""


def services(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the A question of each service with a cluster IP."""
    return (Question(name, "A") for name in inventory.services)


def dual(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the A and the AAAA question of each service, as getaddrinfo of glibc and musl asks."""
    return (Question(name, kind) for name in inventory.services for kind in ("A", "AAAA"))


def headless(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the A question of each headless service."""
    return (Question(name, "A") for name in inventory.headless)


def srv(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the SRV question of each named port of each service."""
    return (Question(name, "SRV") for name in inventory.ports)


def pods(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the A question of each pod's name, which is made of its address."""
    return (Question(name, "A") for name in inventory.pods)


def reverse(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the PTR question of each address of a service."""
    return (Question(ipaddress.ip_address(text).reverse_pointer, "PTR") for text in inventory.addresses)


def search(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Yield what a pod of each namespace asks for external names with `ndots:5`: the name with each search domain,
    which does not exist, and then the name itself; each of them with A and AAAA.
    """
    domain = inventory.domain
    for namespace in inventory.namespaces:
        for name in inventory.external:
            for ending in (f".{namespace}.svc.{domain}", f".svc.{domain}", f".{domain}", ""):
                for kind in ("A", "AAAA"):
                    yield Question(name + ending, kind)


def external(inventory: Inventory, _missing: int) -> Iterator[Question]:
    """Return the A and the AAAA question of each external name."""
    return (Question(name, kind) for name in inventory.external for kind in ("A", "AAAA"))


def missing(inventory: Inventory, count: int) -> Iterator[Question]:
    """Yield A questions for `count` services that do not exist, in existing namespaces; each run has the same ones."""
    draw = random.Random(_SEEDED)  # noqa: S311 - names to ask, no secrets
    for number in range(count if inventory.namespaces else 0):
        namespace = inventory.namespaces[number % len(inventory.namespaces)]
        yield Question(f"missing-{draw.getrandbits(48):012x}.{namespace}.svc.{inventory.domain}", "A")


KINDS: Mapping[str, Callable[[Inventory, int], Iterator[Question]]] = {
    kind.__name__: kind for kind in (services, dual, headless, srv, pods, reverse, search, external, missing)
}
"""Every kind of question by its name. Each takes the inventory and the number of missing names."""


def mix(weights: Mapping[str, int], inventory: Inventory, *, missing_names: int, most: int) -> list[Question]:
    """Return the questions of several kinds, mixed evenly by weight.

    Each kind keeps its order, and is repeated until every question of every kind is in the list. The list has at most
    `most` questions.

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
    """Return `count` random questions of a list; chances are in proportion to 1 / place ** `exponent`.

    So a few questions are asked most of the time, as pods do. They are the same in each run.
    """
    draw = random.Random(_SEEDED)  # noqa: S311 - names to ask, no secrets
    return draw.choices(questions, [place**-exponent for place in range(1, len(questions) + 1)], k=count)


def _interleave(weights: Mapping[str, int], lists: Mapping[str, Sequence[Question]], total: int) -> Iterator[Question]:
    # Smooth weighted round robin: each kind earns its weight at every step; the richest is asked and pays all weights.
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
