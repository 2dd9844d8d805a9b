"""Tells whether any rule may apply to a name. For most names without a rule, that takes one look-up of each kind.

How many rules there are does not matter: exact names are in a set; of the ends and the beginnings that names may have,
as many octets are looked up as the shortest of them has, and only what fits is looked at any further. With 1,000 rules
0.1 us for a service, 0.3 for any other name (`python -m tests.bench.rules`). Rejected: one look-up for each label of a
name, 0.7 us for a service's.

The functions that tell are closures with their loops written out: a method and its attributes cost as much again.
"""

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from typing import NamedTuple

from dnsserver.wire.name import is_below, labels

ServiceFilter = Callable[[bytes, bytes], bool]


class Node(NamedTuple):
    """Texts by their last octets, or their first ones: as many as the shortest of them has, so many that `size` says.

    A text that is no longer has None, the others a Node for what they differ in.
    """

    size: int
    table: "dict[bytes, Node | None]"


class Head(NamedTuple):
    """How the first label of a rule's names begins, and the domains that they have to be in, none for anywhere."""

    octets: bytes
    below: tuple[bytes, ...]


def ends_of(domains: Collection[bytes]) -> Node:
    """Return the domains by their ends; `size` is negative, where a slice of a name begins."""
    size = -min(map(len, domains), default=1)
    longer: dict[bytes, list[bytes]] = {}
    for domain in domains:
        longer.setdefault(domain[size:], []).append(domain)
    # Below a domain all that is longer does not matter any more.
    return Node(size, {end: None if end in found else ends_of(found) for end, found in longer.items()})


def beginnings_of(heads: Collection[bytes]) -> Node:
    """Return the heads by their beginnings."""
    size = min(map(len, heads), default=0)
    longer: dict[bytes, list[bytes]] = {}
    for head in heads:
        longer.setdefault(head[:size], []).append(head)
    return Node(size, {begin: None if begin in found else beginnings_of(found) for begin, found in longer.items()})


def begins_like(node: Node | None, label: bytes) -> bool:
    """Tell whether a label begins like one of the heads."""
    while node is not None:
        size, table = node
        begin = label[:size]
        if begin not in table:
            return False
        node = table[begin]
    return True


def name_filter(
    names: Sequence[Container[bytes]], domains: Collection[bytes], heads: Collection[bytes]
) -> Callable[[bytes], bool]:
    """Return what tells whether a rule may be for a lower-case name: never False where one is.

    That is so for those in `names`, whose contents may change, and those that end or begin like others.
    """
    ends, beginnings = ends_of(domains), beginnings_of(heads)
    end_size, end_table = ends
    head_size, head_table = 1 + beginnings.size, beginnings.table
    known, more = names[0], tuple(names[1:])

    def concerns(name: bytes) -> bool:
        if name in known:
            return True
        end = name[end_size:]
        if end in end_table:
            node = end_table[end]
            while node is not None:
                size, table = node
                end = name[size:]
                if end not in table:
                    break
                node = table[end]
            else:
                return True
        if name[1:head_size] in head_table and begins_like(beginnings, name[1 : 1 + name[0]]):
            return True
        for others in more:  # noqa: SIM110 - any() makes a generator, 0.3 us
            if name in others:
                return True
        return False

    return concerns


def service_filter(
    end: bytes, names: Iterable[bytes], domains: Iterable[bytes], heads: Sequence[Head]
) -> ServiceFilter | None:
    """Return what tells of a namespace and a service's label whether a rule may be for that name; None if none can be.

    `end` is how services' names end, `names` are those of rules for one name each. Upper-case labels are nobody's.
    """
    services: set[bytes] = set()
    namespaces: set[bytes] = set()
    begin = {head.octets for head in heads if not head.below or any(_overlap(place, end) for place in head.below)}
    for name in names:
        if name.endswith(end):
            left = labels(name[: -len(end)] + b"\0")
            if len(left) == 2:
                services.add(left[0])
    for domain in domains:
        if is_below(end, domain):
            begin.add(b"")  # all of them
        elif is_below(domain, end):
            left = labels(domain[: -len(end)] + b"\0")
            if len(left) == 1:
                namespaces.add(left[0])
            elif len(left) == 2:
                services.add(left[0])
    if not (services or namespaces or begin):
        return None
    beginnings = beginnings_of(begin)
    size, table = beginnings

    def concerns(namespace: bytes, service: bytes) -> bool:
        if service in services or namespace in namespaces:
            return True
        return service[:size] in table and begins_like(beginnings, service)

    return concerns


def _overlap(one: bytes, other: bytes) -> bool:
    return is_below(one, other) or is_below(other, one)
