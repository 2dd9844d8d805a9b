"""Random objects of a cluster: most of them meet those of `tests.universe`, and some have forbidden values."""

import random
from collections.abc import Callable

from tests.cluster import Thing, endpoint, endpoints, namespace, pod, service
from tests.universe import ADDRESSES, CLUSTER_IPS, NAMESPACES, PORTS, SERVICES, TARGETS

_ODD: tuple[object, ...] = (
    *(None, 0, -1, True, 70000, [], {}),
    *("", "x" * 64, "a.b", "10.1.0.256", "::ffff:10.1.0.1", "é", "\u0000", "-", "*"),
)


def thing(chance: random.Random) -> Thing:
    """Return a random object; in one of four objects, a value is wrong or missing."""
    pick = chance.choice
    space, name = pick(NAMESPACES), pick(SERVICES)
    ends = [
        endpoint(pick(ADDRESSES), pick((None, "h", "h2", "10-1-0-2")), ready=pick((None, True, False)))
        for _ in range(chance.randrange(3))
    ]
    makers: tuple[Callable[[], Thing], ...] = (
        lambda: namespace(pick((*NAMESPACES, "c"))),
        lambda: service(name, *pick(CLUSTER_IPS), namespace=space, ports=pick(PORTS)),
        lambda: service(name, namespace=space, external=pick(TARGETS)),
        lambda: endpoints(
            pick((*SERVICES, "")),
            *ends,
            name=pick(("x", "y")),
            namespace=space,
            ports=pick(PORTS),
            family=pick(("IPv4", "IPv6", "FQDN", "")),
        ),
        lambda: pod(
            pick(("p", "q")),
            *chance.sample(ADDRESSES, chance.randrange(3)),
            namespace=space,
            phase=pick(("Running", "Running", "Failed")),
        ),
    )
    found = pick(makers)()
    if chance.random() < 0.25:
        _spoil(found, chance)
    return found


def _spoil(found: Thing, chance: random.Random) -> None:
    """Replace or remove one value, at any depth."""
    at: dict[str, object] | list[object] = found
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = at[key]  # type: ignore[call-overload, index]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
            at = inner
            continue
        if chance.random() < 0.3:
            del at[key]  # type: ignore[arg-type]
        else:
            at[key] = chance.choice(_ODD)  # type: ignore[call-overload, index]
        return
