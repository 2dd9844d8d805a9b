"""Who has each of tens of thousands of addresses, in little room.

Addresses come in networks: a node's pods differ in the last octet. So what is kept is one entry for all that agree in
the octets before it, and of each address one octet and one reference. With 57,200 endpoints that is 0.7 MiB, where a
dict and its keys took 4.7; were each address the only one of its network, it would be 17.
"""

from collections.abc import Iterator

Holders = tuple[tuple[bytes, bytes], ...]
"""Keys of the services that have an address."""


class AddressTable:
    """Holders by address, of 4 or 16 octets."""

    def __init__(self) -> None:
        """Make an empty table."""
        self._networks: dict[bytes, tuple[bytearray, list[Holders]]] = {}  # last octets, and whose each is

    def get(self, address: bytes) -> Holders:
        """Return who has an address; nobody, if it is not there."""
        found = self._networks.get(address[:-1])
        if found is None:
            return ()
        at = found[0].find(address[-1])
        return () if at < 0 else found[1][at]

    def add(self, address: bytes, holders: Holders) -> Holders:
        """Note who has an address that nobody had so far; or else change nothing, and return who has it."""
        found = self._networks.get(address[:-1])
        if found is None:
            self._networks[address[:-1]] = bytearray(address[-1:]), [holders]
            return ()
        octets, held = found
        last = address[-1]
        at = octets.find(last)
        if at >= 0:
            return held[at]
        octets.append(last)
        held.append(holders)
        return ()

    def replace(self, address: bytes, holders: Holders) -> None:
        """Note who has an address that is there instead of those who had it; nobody takes it away."""
        octets, held = self._networks[address[:-1]]
        at = octets.index(address[-1])
        if holders:
            held[at] = holders
        elif len(held) == 1:
            del self._networks[address[:-1]]
        else:
            del octets[at], held[at]

    def __len__(self) -> int:
        return sum(len(octets) for octets, _ in self._networks.values())

    def __iter__(self) -> Iterator[bytes]:
        """Give the addresses, network by network."""
        for network, (octets, _) in self._networks.items():
            for octet in octets:
                yield network + octet.to_bytes()
