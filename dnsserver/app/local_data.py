"""What this server answers besides the cluster: the zone files and domains of the configuration, read and built.

The text of the files is read once, in the first process, and handed on to the others, so that all answer alike. To
build it takes no event loop and may run in a thread: whoever has built it swaps it in whole.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dnsserver.app.preflight import MOST_OF_A_ZONE, MOST_OF_HOSTS
from dnsserver.app.rules import difference, hosts_names, hosts_text, rules_of
from dnsserver.config import Config
from dnsserver.config.files import UnusableFileError, read_text
from dnsserver.config.model import Hosts
from dnsserver.resolver.chain import Source
from dnsserver.resolver.hosts import Hosts as HostNames
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import is_below, labels
from dnsserver.zone.static import SPECIAL, SpecialNames, StaticZone

Texts = Mapping[str, str]  # what files say, by their paths

_FEW_LINES = 1000  # of a hosts file that are others, 25 us each to the event loop
_MOST_DOMAINS = 10_000  # that what is kept is compared with, 1 us each to the event loop


class LocalDataError(Exception):
    """A file of the configuration cannot be used; the text says which, and why."""


def read_texts(config: Config) -> dict[str, str]:
    """Return the texts of the files that answers are made of. Raises LocalDataError."""
    hosts = [table.file for table in config.hosts if table.file is not None]
    texts = {}
    zones = [each.path for each in config.static]
    for what, paths, most in (("static zone", zones, MOST_OF_A_ZONE), ("hosts file", hosts, MOST_OF_HOSTS)):
        for path in paths:
            try:
                texts[str(path)] = read_text(path, most)
            except UnusableFileError as error:
                raise LocalDataError(f"{what} {path}: {error}") from error
    return texts


class LocalData:
    """What is answered here besides the cluster, as one configuration and its files say."""

    def __init__(self, config: Config, texts: Texts, before: "LocalData | None" = None) -> None:
        """Build it, with what `before` has of the same text. Raises LocalDataError for a text that is wrong."""
        self.texts = texts
        self._domain = config.domain.wire
        known = {} if before is None else before._zones  # noqa: SLF001 - of its own kind
        self._zones: dict[tuple[str, str], tuple[Path, StaticZone]] = {}  # by the name that is given, and the text
        for file in config.static:
            key = file.origin, texts[str(file.path)]
            self._zones[key] = file.path, known[key][1] if key in known else _zone(file.path, *key)
        self._local = [domain.wire for domain in config.local.domains]
        self._special = SpecialNames(self._local)
        # What each part says, and the domain that it is about.
        self._parts = frozenset((text, zone.origin) for (_, text), (_, zone) in self._zones.items()) | frozenset(
            ("", domain) for domain in self._local
        )
        self._hosts: list[_HostsTable]
        self._hosts, self._touched = _hosts(config, texts, None if before is None else before._hosts)  # noqa: SLF001
        self.rules = rules_of(config, [table.names for table in self._hosts])

    def sources(self, cluster: Source) -> list[Source]:
        """Return the sources that are asked for a name, in this order."""
        zones = (zone for _, zone in self._zones.values())
        return [cluster, *zones, self._special]  # most of what is asked is the cluster's

    def zone_file(self, name: bytes) -> str | None:
        """Return the path of the zone file that has a name, if one has."""
        return next((str(path) for path, zone in self._zones.values() if is_below(name, zone.origin)), None)

    def own(self) -> list[bytes]:
        """Return the domains for which no upstream is trusted."""
        return [self._domain, *(zone.origin for _, zone in self._zones.values()), *self._local, *SPECIAL]

    def take_over(self, before: "LocalData") -> frozenset[bytes]:
        """Take the place of `before`, from which this was made; return the domains whose answers may have changed.

        A table of hosts of whose file a few lines are others is the same object in both, and reads those now.
        """
        domains = {domain for _, domain in self._parts ^ before._parts}  # noqa: SLF001 - of its own kind
        domains |= self._touched
        for table in self._hosts:
            if table.is_kept:
                changed = table.names.replace(table.text)
                domains |= changed
                if self.rules is not None:
                    self.rules.hosts_changed(changed)
        return frozenset(domains)

    def rules_differ(self, before: "LocalData") -> Callable[[bytes], bool] | None:
        """Return a function that tells whether the rules for a name have changed, hosts apart; None if no rule has."""
        return difference(before.rules, self.rules)


class _HostsTable(NamedTuple):
    """A table of hosts, its settings and text, and whether it existed before, perhaps with another text."""

    settings: Hosts
    text: str
    names: HostNames
    is_kept: bool


def _hosts(
    config: Config, texts: Texts, before: Sequence[_HostsTable] | None
) -> tuple[list[_HostsTable], frozenset[bytes]]:
    """Return the tables, and the domains whose answers change because of tables that were replaced.

    If many lines of a file differ, its table is made anew here, in a thread: to change the table in use would delay
    questions. So it is if a wildcard does, for which the rules have to know another domain.
    """
    known = {table.settings: table for table in before or ()}
    tables: list[_HostsTable] = []
    touched: set[bytes] = set()
    for settings in config.hosts:
        text = hosts_text(settings, texts)
        old = known.pop(settings, None)
        difference = None if old is None else old.names.difference(text)
        few = difference is not None and difference.lines <= _FEW_LINES and not difference.has_wildcards
        if old is not None and few:
            tables.append(_HostsTable(settings, text, old.names, is_kept=True))
            continue
        names = hosts_names(settings, text)
        tables.append(_HostsTable(settings, text, names, is_kept=False))
        if difference is not None:
            touched |= names.touched(difference)
        elif before is not None:
            touched |= names.domains()
    for table in known.values():
        touched |= table.names.domains()
    return tables, _at_most(touched, _MOST_DOMAINS)


def _at_most(domains: set[bytes], most: int) -> frozenset[bytes]:
    """Return at most `most` domains that contain all of these; those with most labels give way to their parents."""
    count = len(domains)
    if count <= most:
        return frozenset(domains)
    by_depth: defaultdict[int, set[bytes]] = defaultdict(set)
    for domain in domains:
        by_depth[len(labels(domain))].add(domain)
    for depth in range(max(by_depth), 0, -1):
        if count <= most:
            break
        deepest, above = by_depth.pop(depth), by_depth[depth - 1]
        count -= len(deepest) + len(above)
        above.update(domain[domain[0] + 1 :] for domain in deepest)
        count += len(above)
    return frozenset().union(*by_depth.values())


def _zone(path: Path, name: str, text: str) -> StaticZone:
    from dnsserver.wire.zonefile import read_zone  # noqa: PLC0415 - dnslib: only who has a zone needs it

    try:
        return StaticZone(read_zone(text, name))
    except FormatError as error:
        raise LocalDataError(f"static zone {path}: {error}") from error
