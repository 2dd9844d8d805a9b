"""Merges the server blocks into one server: which block answers which names, and at which addresses."""

from dnsserver.config.corefile.draft import Draft, Source
from dnsserver.config.corefile.parser import ServerBlock
from dnsserver.config.corefile.site import Site
from dnsserver.config.corefile.zones import ROOT, read_key

_PORT = 53
_WHAT = "server block"


def sites(blocks: tuple[ServerBlock, ...], draft: Draft) -> list[Site]:
    """Return the server blocks that are imported, the root's first: its numbers count where there can be one only."""
    found = [site for block in blocks if (site := _site(block, draft)) is not None]
    plain = [site for site in found if not site.view]
    kept: list[Site] = []
    for site in [*plain, *(site for site in found if site.view)]:
        taken = {zone for other in kept for zone in other.zones}
        twice = [zone for zone in site.zones if zone in taken]
        if not twice:
            if site.view:
                text = f"its rules now apply to all clients, and not only to those that match {site.view}"
                draft.lost(site.source, "view", text)
            kept.append(site)
            continue
        _lose(site, twice, next(other for other in kept if twice[0] in other.zones), draft)
        site.zones = [zone for zone in site.zones if zone not in taken]
        if site.zones:
            kept.append(site)
    _ports(kept, draft)
    return sorted(kept, key=lambda site: not site.is_root)


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


def _lose(site: Site, twice: list[str], other: Site, draft: Draft) -> None:
    names = ", ".join("all names" if zone == ROOT else zone for zone in twice)
    if site.view:
        text = f"clients that match {site.view} get for {names} what all others get, from {other.source.place()}"
        draft.lost(site.source, "view", text)
    elif not site.ports:
        draft.differs(site.source, _WHAT, f"{names} are answered as {other.source.place()} says")
    else:
        text = f"{names} are answered as {other.source.place()} says, at every port"
        draft.lost(site.source, _WHAT, f"{text}: clients that asked at port {site.ports[0]} get other answers")


def _ports(kept: list[Site], draft: Draft) -> None:
    """Set the addresses at which the server listens, unless `bind` sets them."""
    ports = {port: site for site in reversed(kept) for port in site.ports}
    for port, site in sorted(ports.items()):
        unbound = [other for other in kept if port in other.ports and not other.has("bind")]
        if unbound and (set(ports) != {_PORT} or any(other.has("bind") for other in kept)):
            addresses = [f"0.0.0.0:{port}", f"[::]:{port}"]
            draft.extend("listen", addresses, unbound[0].source, _WHAT)
        elif unbound:
            draft.default(site.source, _WHAT, "the server listens at port 53 of all addresses, IPv4 and IPv6")
    if len(ports) > 1:
        text = f"every name is answered at each of the ports {', '.join(map(str, sorted(ports)))}"
        draft.differs(kept[0].source, _WHAT, text)
