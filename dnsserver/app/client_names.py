"""Which pods and Services have a client's address, as far as the index of the zone knows. Pods have to be watched."""

from collections.abc import Iterable
from typing import NamedTuple

from dnsserver.zone.index import Index, Pair

_MOST = 3  # pods or Services that are named of one address
_REMEMBERED = 1024  # addresses


class Owners(NamedTuple):
    """Pods and Services of one address, as NAMESPACE/NAME; at most three of each."""

    pods: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


class ClientNames:
    """Names clients. To find a pod, those of its namespace are looked through, once for all that are asked for."""

    def __init__(self, index: Index) -> None:
        """Look into the index, which may change at any time."""
        self._index = index
        self._pods: dict[bytes, tuple[Pair, ...]] = {}  # found before, and true as long as the pods say the same

    def owners(self, addresses: Iterable[bytes]) -> dict[bytes, Owners]:
        """Return the owners of packed addresses."""
        wanted = set(addresses)
        unknown = {address for address in wanted if not self._still_true(address)}
        if len(self._pods) + len(unknown) > _REMEMBERED:
            self._pods.clear()
            unknown = wanted
        self._pods.update(self._index.pods_with(unknown))
        return {
            address: Owners(_shown(self._pods.get(address, ())), _shown(self._index.by_endpoint.get(address)))
            for address in wanted
        }

    def _still_true(self, address: bytes) -> bool:
        known = self._pods.get(address, ())
        found = [pod for pod in known if address in (self._index.pod_addresses(pod) or ())]
        if len(found) == len(known) == self._index.count_pods_with(address):
            return True
        self._pods.pop(address, None)
        return False


def _shown(keys: Iterable[Pair]) -> tuple[str, ...]:
    names = sorted(
        f"{namespace.decode('utf-8', 'replace')}/{name.decode('utf-8', 'replace')}" for namespace, name in keys
    )
    return tuple(names[:_MOST])
