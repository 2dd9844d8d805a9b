"""A compact table of tens of thousands of addresses and their owners.

Addresses come in networks: a node's pods differ in the last octet. So what is kept is one entry for all that agree in
the octets before it, and of each address one octet and one reference. With 57,200 endpoints that is 0.7 MiB, where a
dict and its keys took 4.7; were each address the only one of its network, it would be 17.
"""

from collections.abc import Iterable, Iterator

from dnsserver.zone.sorted_addresses import SortedAddresses

Holders = tuple[tuple[bytes, bytes], ...]
"""Keys of the services that have an address."""

_NOBODY: tuple[bytearray, list[Holders]] = bytearray(), []


class AddressTable:
    """Holders by address, of 4 or 16 octets."""

    def __init__(self) -> None:
        """Make an empty table."""
        self._networks: dict[bytes, tuple[bytearray, list[Holders]]] = {}  # last octets, and whose each is
        self._sorted = {size: SortedAddresses(size, self) for size in (4, 16)}

    def get(self, address: bytes) -> Holders:
        """Return the owners of an address; empty if the address is not in the table."""
        found = self._networks.get(address[:-1])
        if found is None:
            return ()
        at = found[0].find(address[-1])
        return () if at < 0 else found[1][at]

    def move(self, keys: Holders, gone: Iterable[bytes], new: Iterable[bytes]) -> None:
        """Note which addresses a service has no longer, and which it has now; `keys` is its key alone, shared by all.

        One call for all addresses of an object: with a call for each, and for each step, a first list took longer.
        """
        networks, key = self._networks, keys[0]
        for address in gone:
            octets, held = networks.get(address[:-1], _NOBODY)
            at = octets.find(address[-1])
            if at < 0 or key not in held[at]:
                continue
            left = tuple([holder for holder in held[at] if holder != key])
            if left:
                held[at] = left
                continue
            if len(held) == 1:
                del networks[address[:-1]]
            else:
                del octets[at], held[at]
            if self._sorted[len(address)].in_use:
                self._sorted[len(address)].note(address, is_there=False)
        for address in new:
            octets, held = networks.get(address[:-1], _NOBODY)
            at = octets.find(address[-1])
            if at >= 0:
                held[at] += () if key in held[at] else keys
                continue
            if held:
                octets.append(address[-1])
                held.append(keys)
            else:
                networks[address[:-1]] = bytearray(address[-1:]), [keys]
            if self._sorted[len(address)].in_use:
                self._sorted[len(address)].note(address, is_there=True)

    def has_between(self, low: bytes, high: bytes) -> bool:
        """Tell whether somebody has an address of the size of these from `low` to `high`, both included."""
        return self._sorted[len(low)].has_between(low, high)

    def __len__(self) -> int:
        return sum(len(octets) for octets, _ in self._networks.values())

    def __iter__(self) -> Iterator[bytes]:
        """Give the addresses, network by network."""
        for network, (octets, _) in self._networks.items():
            for octet in octets:
                yield network + octet.to_bytes()
