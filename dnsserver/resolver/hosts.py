"""Names of a hosts file: addresses with the names that they have, a line each.

They are kept by name and by address. `*.home.example` stands for the names with one label in place of the `*`, if they
have no line of their own; it has no reverse name. A new text is compared with the one before, and only lines that are
in one of them alone are read.
"""

import ipaddress
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dnsserver.wire import message as m
from dnsserver.wire.message import FormatError, RRset
from dnsserver.wire.name import from_text, is_below, labels
from dnsserver.zone import reverse
from dnsserver.zone.record import Answer, Reason, bare_soa, minimal_any, name_key

TTL = 3600
_NEGATIVE_TTL = 60
_ARPA = b"\x04arpa\0"
_SIZES = {m.A: 4, m.AAAA: 16}
_FOUND = Reason("hosts")
_NO_DATA = Reason("hosts-no-data")
_WILDCARD = b"\1*"
_MISSING = Reason("hosts-name-missing", m.EDE.OTHER, "the hosts table does not have the name")

# One value or several: most names have one address, and a tuple for it would take as much room as the address.
_Values = bytes | tuple[bytes, ...]


class Difference(NamedTuple):
    """A text, the lines that it has no more, and those that it has now, each as often as it is there more."""

    text: bytes
    gone: tuple[bytes, ...]
    come: tuple[bytes, ...]

    @property
    def lines(self) -> int:
        """How many lines are others."""
        return len(self.gone) + len(self.come)

    @property
    def has_wildcards(self) -> bool:
        """Whether one of them may be about more than single names."""
        return any(b"*" in line for line in (*self.gone, *self.come))


class Hosts:
    """The names of one table; `ttl` in seconds.

    Of the file's names those `below` these domains are taken, all if there are none. In the domains
    `authoritative_below` a name that is not there does not exist. Of names in `excepted` it says nothing. With
    `reverse` reverse names are answered.
    """

    def __init__(
        self,
        *,
        ttl: int = TTL,
        below: Sequence[bytes] = (),
        authoritative_below: Sequence[bytes] = (),
        excepted: Sequence[bytes] = (),
        reverse: bool = True,
    ) -> None:
        """Know no name yet."""
        self.names: dict[bytes, _Values] = {}
        self.by_address: dict[bytes, _Values] = {}
        self.wildcards: set[bytes] = set()  # the domains that have one
        self.authoritative_below = tuple(authoritative_below)
        self._excepted = tuple(excepted)
        self._ttl = ttl
        self._below = tuple(below)
        self.has_reverse = reverse
        self._is_above_reverse = any(is_below(_ARPA, zone) or is_below(zone, _ARPA) for zone in authoritative_below)
        self._above: Counter[bytes] = Counter()  # names above others, where a missing one does not exist
        self._text = b""

    def load(self, text: str) -> None:
        """Take a text for the first time. Lines that are none are passed over: `mistakes` tells them."""
        self._text = text.encode()
        for line in self._text.split(b"\n"):
            for name, address in self._pairs(line):
                self._change(name, address, is_new=True)

    def difference(self, text: str) -> "Difference":
        """Return which lines are in one text and not in the other. Alters nothing, and may run beside questions."""
        new = text.encode()
        gone, come = _differing(self._text, new)
        return Difference(new, tuple(gone), tuple(come))

    def touched(self, difference: "Difference") -> set[bytes]:
        """Return the domains whose answers may differ by a difference; as `difference`, it alters nothing."""
        return set(map(_without_wildcard, self._names_of(difference)))

    def _names_of(self, difference: "Difference") -> set[bytes]:
        touched: set[bytes] = set()
        for line in (*difference.gone, *difference.come):
            for name, address in self._pairs(line):
                names = (name, _reverse_name(address)) if self.has_reverse else (name,)
                touched.update(names)
                touched.update(
                    above for one in names for zone in self.authoritative_below for above in _between(one, zone)
                )
        return touched

    def replace(self, text: str) -> set[bytes]:
        """Take another text in place of the one before; return the domains whose answers are others now.

        Takes some 25 us for a line that is another.
        """
        difference = self.difference(text)
        before = {name: self._value(name) for name in self._names_of(difference)}
        self._text = difference.text
        for lines, is_new in ((difference.gone, False), (difference.come, True)):
            for line in lines:
                for name, address in self._pairs(line):
                    self._change(name, address, is_new=is_new)
        return {_without_wildcard(name) for name, value in before.items() if self._value(name) != value}

    def domains(self) -> set[bytes]:
        """Return the names and the domains that this table has something to say of."""
        found = {*map(_without_wildcard, self.names), *self.authoritative_below}
        if self.has_reverse:
            found.update(map(_reverse_name, self.by_address))
        return found

    def _pairs(self, line: bytes) -> list[tuple[bytes, bytes]]:
        """Return the names of a line that are valid, each with the address."""
        try:
            address, names = read_line(line.decode())
        except FormatError:
            return []
        below = self._below
        return [(name, address) for name in names if not below or any(is_below(name, domain) for domain in below)]

    def answer(self, name: bytes, qtype: int) -> Answer | None:
        """Return the answer for a lower-case name, or None if it is not here."""
        if self._excepted and any(is_below(name, domain) for domain in self._excepted):
            return None
        found = self.names.get(name)
        if found is None and self.wildcards and name[0]:
            found = self.names.get(_WILDCARD + name[name[0] + 1 :])
        depends = (name_key(name),)
        if found is None:
            return self._reverse(name, qtype) or self._missing(name, qtype)
        size = _SIZES.get(qtype)
        addresses = tuple(address for address in dict.fromkeys(_all(found)) if len(address) == size)
        if not addresses:
            return minimal_any(Answer(authority=self._soa(name), reason=_NO_DATA, depends=depends), name, qtype)
        return Answer(answer=(RRset(name, qtype, self._ttl, addresses),), reason=_FOUND, depends=depends)

    def _reverse(self, name: bytes, qtype: int) -> Answer | None:
        address = reverse.address(labels(name)) if self.has_reverse and name.endswith(_ARPA) else None
        found = None if address is None else self.by_address.get(address)
        if found is None:
            return None
        depends = (name_key(name),)
        if qtype != m.PTR:
            return minimal_any(Answer(authority=self._soa(name), reason=_NO_DATA, depends=depends), name, qtype)
        rrset = RRset(name, m.PTR, self._ttl, tuple(dict.fromkeys(_all(found))))
        return Answer(answer=(rrset,), reason=_FOUND, depends=depends)

    def _missing(self, name: bytes, qtype: int) -> Answer | None:
        """Return that a name does not exist, or only has names below it, if this table is the authority for it."""
        zone = max((d for d in self.authoritative_below if is_below(name, d)), key=len, default=None)
        if zone is None:
            return None
        soa, depends = self._soa(name), (name_key(name),)
        if name == zone and qtype == m.SOA:
            return Answer(answer=soa, reason=_FOUND, depends=depends)
        if name == zone or self._above[name] > 0:
            return minimal_any(Answer(authority=soa, reason=_NO_DATA, depends=depends), name, qtype)
        return Answer(m.NXDOMAIN, authority=soa, reason=_MISSING, depends=depends)

    def _soa(self, name: bytes) -> tuple[RRset]:
        zones = [zone for zone in (*self.authoritative_below, *self._below) if is_below(name, zone)]
        return (bare_soa(max(zones, key=len, default=name), min(_NEGATIVE_TTL, self._ttl)),)

    def _change(self, name: bytes, address: bytes, *, is_new: bool) -> None:
        """Add or remove one address of a name."""
        was_known, had_names = name in self.names, address in self.by_address
        change = _add if is_new else _remove
        change(self.names, name, address)
        if was_known != (name in self.names):
            self._count_above(name, is_new=is_new)
        if name.startswith(_WILDCARD):
            (self.wildcards.add if name in self.names else self.wildcards.discard)(_without_wildcard(name))
        elif self.has_reverse:
            change(self.by_address, address, name)
            if had_names != (address in self.by_address) and self._is_above_reverse:
                self._count_above(_reverse_name(address), is_new=is_new)

    def _count_above(self, name: bytes, *, is_new: bool) -> None:
        """Update the names above a name that is new or gone: how many names each of them has below it."""
        for zone in self.authoritative_below:
            for above in _between(name, zone):
                self._above[above] += 1 if is_new else -1
                if not self._above[above]:
                    del self._above[above]  # labels of a generated file may be others each time

    def _value(self, name: bytes) -> frozenset[bytes] | bool:
        """Return all that answers for a name depend on: its addresses or names, or else whether names are below it."""
        found = self.names.get(name)
        if found is None and name.endswith(_ARPA):
            found = self.by_address.get(reverse.address(labels(name)) or b"")
        return self._above[name] > 0 if found is None else frozenset(_all(found))


def read_line(line: str) -> tuple[bytes, list[bytes]]:
    """Return the packed address of a line and its names in lower case; raises FormatError. No names, if it is empty."""
    words = line.partition("#")[0].split()
    if not words:
        return b"", []
    try:
        address = socket.inet_pton(socket.AF_INET6 if ":" in words[0] else socket.AF_INET, words[0].partition("%")[0])
    except (OSError, ValueError):
        raise FormatError(f'found "{words[0][:60]}", expected an address and its names') from None
    if len(words) == 1:
        raise FormatError(f"found {words[0]} alone, expected names after it")
    names = []
    for word in words[1:]:
        if not word.isascii() or "\\" in word:
            raise FormatError(f'found "{word[:60]}", expected a name of letters, digits and hyphens')
        names.append(from_text(word).lower())
    return address, names


def mistakes(text: str) -> Iterator[tuple[int, str]]:
    """Yield what is wrong in a text, with its line."""
    for number, line in enumerate(text.split("\n"), 1):
        try:
            read_line(line)
        except FormatError as error:
            yield number, str(error)


def _without_wildcard(name: bytes) -> bytes:
    """Return the domain of a wildcard, or else the name itself."""
    return name.removeprefix(_WILDCARD)


def _reverse_name(address: bytes) -> bytes:
    return from_text(ipaddress.ip_address(address).reverse_pointer)


def _differing(old: bytes, new: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the lines that one text has and the other has not; of a line with several copies, the surplus copies.

    The common beginning and end of the texts are compared and not split: 100,000 lines cost a few milliseconds.
    """
    size = min(len(old), len(new))
    front = old.rfind(b"\n", 0, _same(old, new, size)) + 1
    back = _same_end(old, new, size - front)
    newline = old.find(b"\n", len(old) - back)
    back = len(old) - newline - 1 if newline >= 0 else 0
    gone, come = (Counter(text[front : len(text) - back].split(b"\n")) for text in (old, new))
    return list((gone - come).elements()), list((come - gone).elements())


def _same(one: bytes, other: bytes, most: int) -> int:
    """Return how many octets two texts have in common at their beginning."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_end(one: bytes, other: bytes, most: int) -> int:
    """Return how many octets two texts have in common at their end."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _between(name: bytes, zone: bytes) -> Iterator[bytes]:
    """Yield the names above a name that lie below a zone."""
    if name == zone or not is_below(name, zone):
        return
    name = name[name[0] + 1 :]
    while name != zone:
        yield name
        name = name[name[0] + 1 :]


def _all(values: _Values) -> tuple[bytes, ...]:
    return (values,) if isinstance(values, bytes) else values


def _add(table: dict[bytes, _Values], key: bytes, value: bytes) -> None:
    known = table.get(key)
    table[key] = value if known is None else (*_all(known), value)


def _remove(table: dict[bytes, _Values], key: bytes, value: bytes) -> None:
    left = list(_all(table[key]))
    left.remove(value)
    if not left:
        del table[key]
    else:
        table[key] = left[0] if len(left) == 1 else tuple(left)
