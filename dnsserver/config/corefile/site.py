"""The context in which a plugin is imported: its server block, the other blocks, and the machine's files."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from dnsserver.config.corefile.draft import Draft, Source
from dnsserver.config.corefile.parser import Directive, Line, ServerBlock
from dnsserver.config.corefile.zones import ROOT, belonging, is_below, names
from dnsserver.config.values import Address

NO_NAME = "no name reaches it, because of its server block or another one: left out"
UNKNOWN = "is not an option that this importer knows, or not with these words: left out"

_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Site(msgspec.Struct):
    """A server block: its zones (`.` is the root), the ports it listens on, and the condition it stands under."""

    block: ServerBlock
    zones: list[str]
    ports: list[int]
    source: Source
    view: str = ""

    @property
    def is_root(self) -> bool:
        """Whether it is asked for all names that no other block has."""
        return ROOT in self.zones

    def has(self, plugin: str) -> bool:
        """Tell whether a plugin stands in it."""
        return any(directive.name == plugin for directive in self.block.directives)

    @property
    def bound(self) -> list[str]:
        """The addresses that `bind` names; none if it listens at all, or at those of an interface."""
        return [word for each in self.block.directives if each.name == "bind" for word in addresses_of(each)]

    def listen(self, ports: Iterable[int]) -> list[str]:
        """Return where it listens at these ports, in the form of our configuration; all addresses if none is bound."""
        hosts = self.bound or ["0.0.0.0", "::"]
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for port in ports for host in hosts]

    def within(self, zone: str) -> list[str]:
        """Return which part of a zone this block is asked for: nothing, the zone, or the block's zones below it."""
        if belonging(zone, self.zones):
            return [zone]
        return [own for own in self.zones if is_below(own, zone)]

    def has_above(self, zone: str) -> bool:
        """Tell whether `kubernetes` or `file` of this block answers for a zone that is not forwarded."""
        for directive in self.block.directives:
            if directive.name in {"kubernetes", "file"}:
                words = directive.args if directive.name == "kubernetes" else directive.args[1:]
                if belonging(zone, names(words)[0] or self.zones):
                    return True
        return False


class Located(NamedTuple):
    """A path as our own configuration has to have it, and whether there is a file on this machine."""

    path: str
    is_there: bool


class Files(msgspec.Struct, frozen=True):
    """What importing may ask of the machine: where a path of a Corefile leads, the text of a file or None, and the
    files in a folder and below it.
    """

    find: Callable[[str], Located]
    read: Callable[[str], str | None]
    below: Callable[[str], Sequence[str]]


class Context(msgspec.Struct):
    """Everything that a plugin's function may use.

    `aside` are the server blocks whose zones another block has at another port, or for other clients. `root` is the
    folder of the plugin of that name. `handed_on` are domains that rules of a block lead to: its upstreams are asked
    for them as well. `zone_files` are the zones that are read from files: the path of each, and the line that says so.
    `seconds` are domains that the cluster has beside its first one.
    """

    draft: Draft
    sites: list[Site]
    aside: list[Site]
    files: Files
    root: str = ""
    handed_on: list[tuple[Site, str, Source]] = []
    zone_files: dict[str, tuple[str, Source]] = {}
    seconds: list[str] = []

    def others(self, site: Site, zones: list[str]) -> dict[str, list[str]]:
        """Return the key of a rule that keeps it from names of other blocks, which never come to this one."""
        found = [zone for other in self.sites if other is not site for zone in other.zones if belonging(zone, zones)]
        least = [zone for zone in found if not belonging(zone, [other for other in found if other != zone])]
        return {"except": list(dict.fromkeys(least))} if least else {}

    def reaches(self, site: Site, domain: str) -> bool:
        """Tell whether a name of a domain comes to a block: the longest zone of all blocks decides."""
        above = [(len(zone), other) for other in self.sites for zone in other.zones if is_below(domain, zone)]
        first = max(above, key=lambda found: found[0], default=(0, site))[1]
        return first is site or any(is_below(zone, domain) for zone in site.zones)

    def of_block(self, site: Site, zones: list[str]) -> list[str]:
        """Return the parts of a plugin's zones whose names come to its block."""
        parts = [part for zone in zones for part in site.within(zone)]
        return [part for part in dict.fromkeys(parts) if self.reaches(site, part)]

    @property
    def domain(self) -> str:
        """The cluster's domain."""
        there = self.draft.settings.get("domain")
        return "cluster.local" if there is None else str(there.value)

    def below_root(self, path: str) -> str:
        """Return a path of the Corefile in the folder of the plugin `root`, where there is one."""
        return f"{self.root.rstrip('/')}/{path}" if self.root and not path.startswith("/") else path

    def located(self, path: str, source: Source, what: str) -> str:
        """Return a path of the Corefile for our configuration, and say so if there is no such file here."""
        found = self.files.find(self.below_root(path))
        if not found.is_there:
            self.draft.differs(
                source, what, f"{found.path} does not exist on this machine: it has to exist where the server runs"
            )
        return found.path


def addresses_of(bind: Directive) -> list[str]:
    """Return the addresses of a `bind` that the server can listen at, without what it excepts."""
    excepted = {word for line in bind.lines if line.words[0] == "except" for word in line.words[1:]}
    return [word for word in bind.args if word not in excepted and is_address(word)]


def is_address(text: str) -> bool:
    """Tell whether a word of `bind` is an address that the server can listen at, and no interface."""
    try:
        Address.parse(f"[{text}]:53" if ":" in text else f"{text}:53")
    except ValueError:
        return False
    return True


def source_of(directive: Directive) -> Source:
    """Return the line of a directive."""
    return Source(directive.file, directive.line, " ".join((directive.name, *directive.args)))


def source_of_line(line: Line) -> Source:
    """Return a line of a directive's block."""
    return Source(line.file, line.line, " ".join(line.words))


def seconds(text: str) -> float:
    """Read a duration as Go writes it, `1h30m` or `500ms`; raises ValueError."""
    if text in {"0", "+0", "-0"}:
        return 0.0
    rest = text.removeprefix("+")
    total = 0.0
    if not rest:
        raise ValueError
    while rest:
        found = _DURATION.match(rest)
        if found is None:
            raise ValueError
        unit = found[0].lstrip("0123456789.")
        total += float(found[0].removesuffix(unit)) * _UNITS[unit]
        rest = rest[found.end() :]
    return round(total, 9)


def whole(text: str) -> int:
    """Read a number of decimal digits; raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError
    return int(text)
