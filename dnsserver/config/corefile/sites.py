"""Merges the server blocks into one server: which block answers which names, and at which addresses."""

import ipaddress
import re

import msgspec

from dnsserver.config.corefile.acl import answers_nobody
from dnsserver.config.corefile.draft import Draft, Source
from dnsserver.config.corefile.parser import ServerBlock
from dnsserver.config.corefile.site import Site
from dnsserver.config.corefile.zones import ROOT, read_key

_PORT = 53
_WHAT = "server block"
_IN_NETWORK = r"incidr\(client_ip\(\), *['\"]([0-9a-fA-F.:/]+)['\"]\)"
_NETWORKS = re.compile(rf"expr {_IN_NETWORK}(?: (?:or|\|\|) {_IN_NETWORK})*")


def sites(blocks: tuple[ServerBlock, ...], draft: Draft) -> tuple[list[Site], list[Site]]:
    """Return the server blocks that are imported, the root's first: its numbers count where there can be one only.

    The others, with the zones that are taken from them, come second. Of several blocks with the same zone, one stays
    that answers somebody, without a view, at port 53, or else one that is asked over UDP and TCP.
    """
    found = [site for block in blocks if (site := _site(block, draft)) is not None]
    kept: list[Site] = []
    aside: list[Site] = []
    for site in sorted(found, key=_rank):
        taken = {zone for other in kept for zone in other.zones}
        twice = [zone for zone in site.zones if zone in taken]
        if not twice:
            if site.view:
                _widen(site, found, draft)
            kept.append(site)
            continue
        site.zones = [zone for zone in site.zones if zone not in taken]
        if site.zones:
            kept.append(site)
        aside.append(msgspec.structs.replace(site, zones=twice))
    _ports(kept, aside, draft)
    ports = {port for site in kept for port in site.ports}
    for site in aside:
        _lose(site, next(other for other in kept if site.zones[0] in other.zones), ports, draft)
    return sorted(kept, key=lambda site: not site.is_root), aside


def _rank(site: Site) -> tuple[bool, bool, bool, bool]:
    """Return what decides which block stays: the one with the lowest."""
    return answers_nobody(site), bool(site.view), not site.view and _PORT not in site.ports, not site.ports


def _widen(site: Site, found: list[Site], draft: Draft) -> None:
    """Say that the block of a view is for all questions now, or for its clients alone if no other block answers any."""
    others = [other for other in found if other is not site and set(other.zones) & set(site.zones)]
    networks = re.findall(_IN_NETWORK, site.view) if _NETWORKS.fullmatch(site.view) else []
    if site.is_root and others and networks and all(map(answers_nobody, others)):
        try:
            allowed = [str(ipaddress.ip_network(network, strict=False)) for network in networks]
        except ValueError:
            pass
        else:
            draft.put("clients.allow", allowed, site.source, "view")
            draft.put("clients.excess", "refuse", site.source, "view")
            return
    text = f"its rules now apply to all questions, and not only to those that match {site.view}"
    draft.lost(site.source, "view", text)


def _site(block: ServerBlock, draft: Draft) -> Site | None:
    source = Source(block.file, block.line, " ".join(block.keys))
    if not block.keys:
        draft.default(source, _WHAT, "it has no zone: CoreDNS answers nothing from it, and nothing of it is imported")
        return None
    zones: list[str] = []
    ports: list[int] = []
    for text in block.keys:
        try:
            key = read_key(text)
        except ValueError:
            draft.lost(source, _WHAT, f"{text} is not a zone name: left out")
            continue
        zones += [zone for zone in key.zones if zone not in zones]
        if key.transport != "dns":
            what = f"clients that ask over {key.transport} are not answered: they have to use UDP or TCP on port 53"
            draft.lost(source, _WHAT, what)
        elif key.port not in ports:
            ports.append(key.port)
    if not zones:
        return None
    views = [directive for directive in block.directives if directive.name == "view"]
    lines = [" ".join(line.words) for directive in views for line in directive.lines]
    view = "; ".join([*lines, *("a view" for directive in views if not directive.lines)])
    return Site(block, zones, ports, source, view)


def answered_as(zones: list[str]) -> str:
    """Return the beginning of a sentence about the zones of a block that another block has as well."""
    return f"{_shown(zones)} are answered as"


def _shown(zones: list[str]) -> str:
    return ", ".join("all names" if zone == ROOT else zone for zone in zones)


def _lose(site: Site, other: Site, ports: set[int], draft: Draft) -> None:
    """Report what clients get for the zones that another block has; the server listens at `ports`."""
    place = other.source.place()
    if site.view:
        text = f"what matches {site.view} gets for {_shown(site.zones)} what all others get, from {place}"
        draft.lost(site.source, "view", text)
        return
    if answers_nobody(site):
        if "clients.allow" in draft.settings:
            draft.default(site.source, _WHAT, "whoever is not in clients.allow is refused")
        else:
            draft.lost(site.source, _WHAT, f"whom it turned away gets for {_shown(site.zones)} what {place} says")
        return
    text = f"{answered_as(site.zones)} {place} says"
    if not site.ports:
        draft.differs(site.source, _WHAT, text)
        return
    port = site.ports[0]
    get = "other answers" if port in ports else "none, as the server does not listen there"
    draft.lost(site.source, _WHAT, f"{text}, at every port: clients that asked at port {port} get {get}")


def _ports(kept: list[Site], aside: list[Site], draft: Draft) -> None:
    """Set the addresses at which the server listens, unless `bind` of a block that is kept sets them.

    Where clients of a block aside are answered as well, at the same ports, the server listens for them too.
    """
    ports = {port: site for site in reversed(kept) for port in site.ports}
    everywhere = [*kept, *aside]
    is_bound = any(site.bound for site in everywhere if not set(ports).isdisjoint(site.ports))
    for port, site in sorted(ports.items()):
        unbound = [other for other in everywhere if port in other.ports and not other.bound]
        if unbound and (set(ports) != {_PORT} or is_bound):
            draft.extend("listen", unbound[0].listen([port]), unbound[0].source, _WHAT)
        elif unbound:
            draft.default(site.source, _WHAT, "the server listens at port 53 of all addresses, IPv4 and IPv6")
        for other in aside:
            if port in other.ports and other.bound and not unbound:
                draft.extend("listen", other.listen([port]), other.source, _WHAT)
    if len(ports) > 1:
        text = f"every name is answered at each of the ports {', '.join(map(str, sorted(ports)))}"
        draft.differs(kept[0].source, _WHAT, text)
