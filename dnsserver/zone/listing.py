"""Objects that a full list under way has not shown yet, so that they can be dropped at its end."""

from collections.abc import Iterator

from dnsserver.zone.index import Index
from dnsserver.zone.model import Kind


class Listing:
    """A running list of one kind.

    The names are noted namespace by namespace, when the list first comes to one: lists come in the order of names, so
    hardly more than one namespace's are held at a time. Noting all of 150,000 pods at the start held the event loop
    for 0.2 s and took 20 MiB.
    """

    def __init__(self, index: Index, kind: Kind) -> None:
        """Begin a list of what is now in the index."""
        self._index = index
        self._kind = kind
        self._unseen: dict[bytes, set[bytes]] = {}

    def mark_seen(self, namespace: bytes, name: bytes) -> None:
        """Note that an object is there, after it was put into the index."""
        unseen = self._unseen.get(namespace)
        if unseen is None:
            unseen = self._unseen[namespace] = set(self._index.names_in(self._kind, namespace))
        if unseen:
            unseen.discard(name)
            if not unseen:
                self._unseen[namespace] = set()  # a set that has been emptied keeps its room

    def unseen(self) -> Iterator[tuple[bytes, bytes]]:
        """Give namespace and name of all that the list has not shown; some may be gone already."""
        for namespace in self._index.namespaces_of(self._kind):
            unseen = self._unseen.get(namespace)
            names = self._index.names_in(self._kind, namespace) if unseen is None else unseen
            for name in names:
                yield namespace, name
