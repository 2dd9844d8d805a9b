"""Imports the plugin `file`: zones that are read from files."""

from dnsserver.config.corefile.cache import shown_ttl
from dnsserver.config.corefile.draft import Source, shown
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import UNKNOWN, Context, Site, source_of, source_of_line
from dnsserver.config.corefile.zones import ROOT, is_below, names
from dnsserver.wire.name import to_text
from dnsserver.wire.zonefile import NO_ORIGIN, ZoneFileError, read_zone

_DAY = 86_400


def file(context: Context, site: Site, directive: Directive) -> None:
    """Import a zone file."""
    draft, source = context.draft, source_of(directive)
    if not directive.args:
        draft.lost(source, "file", "names no file, and CoreDNS does not start like that: left out")
        return
    zones, _ = names(directive.args[1:]) if directive.args[1:] else (site.zones, [])
    path = context.located(directive.args[0], source, "file")
    if not _has_place(context, zones, path, source):
        return
    draft.extend("static", [path], source, "file")
    context.zone_files.update(dict.fromkeys(zones, (path, source)))
    text = context.files.read(directive.args[0] if not context.root else path)
    if text is not None:
        _judge(context, text, zones, path, source)
    if shown_ttl(site, zones, _DAY) < _DAY:
        text = "records keep the TTLs of the file, which `cache` shortened: clients may keep them longer"
        draft.differs(source, "file", text)
    for line in directive.lines:
        place, option = source_of_line(line), line.words[0]
        if option in {"reload", "reload_by_mtime"}:
            draft.default(place, f"file {option}", "the file is read again whenever it changes")
        elif option == "fallthrough":
            what = (
                f"a name below {', '.join(zones)} that the file does not have gets NXDOMAIN; no other source is asked"
            )
            draft.lost(place, "file fallthrough", what)
        elif option in {"upstream", "no_reload", "transfer"}:
            draft.default(place, f"file {option}", "CoreDNS itself ignores it now")
        else:
            draft.lost(place, f"file {option}", UNKNOWN)


def _judge(context: Context, text: str, zones: list[str], path: str, source: Source) -> None:
    """Say what in a file is not served as CoreDNS does: the server does not start with it, or has another zone."""
    origin = f"write `$ORIGIN {zones[0]}.` at the top of {path}"
    try:
        zone = to_text(read_zone(text)[0].name).removesuffix(".")
    except ZoneFileError as error:
        for line, mistake in error.mistakes:
            place = f"{path}:{line}" if line else path
            hint = f"; {origin}" if not line or mistake == NO_ORIGIN else ""
            context.draft.lost(source, "file", f"{place}: {mistake}: the server does not start with this file{hint}")
        return
    if zone not in zones:
        text = f"the zone of a file is what its $ORIGIN and SOA say, here {zone}: {origin}"
        context.draft.lost(source, "file", f"{text}, or its names are not found")


def _has_place(context: Context, zones: list[str], path: str, source: Source) -> bool:
    """Tell whether a file can answer for its zones: neither the cluster nor another file has them."""
    others = [zone for zone, (other, _) in context.zone_files.items() if other == path and zone not in zones]
    if others:
        text = (
            f"{path} already holds {others[0]}, and a file holds one zone: {', '.join(zones)} needs a file of its own"
        )
        context.draft.lost(source, "file", f"{text}, or its names are not found")
        return False
    for zone in zones:
        if zone == ROOT:
            text = "the root zone does not come from a file here, as it would have every name: left out"
            context.draft.lost(source, "file", text)
            return False
        if is_below(zone, context.domain):
            text = (
                f"{zone} is the cluster's, whose names never come from a file: write those of the file into [[answer]]"
            )
            context.draft.lost(source, "file", text)
            return False
        there = context.zone_files.get(zone)
        if there is not None and there[0] != path:
            text = f"{zone} already has a zone file, from {there[1].place()}: this one is left out"
            context.draft.lost(source, "file", text)
            return False
    if len(zones) > 1:
        text = f"a file holds one zone, that of its SOA: {', '.join(zones[1:])} need a file each, or are not found"
        context.draft.lost(source, "file", text)
    return True


def settle(context: Context) -> None:
    """Bring what was imported into the order of this server, which asks zone files before any upstream.

    The deepest zone has to stand first, as CoreDNS takes the longest that fits. A `[[forward]]` of a domain within a
    zone would never be asked, with which the server does not start.
    """
    draft = context.draft
    if not context.zone_files:
        return
    deepest = sorted(context.zone_files, key=lambda zone: -zone.count("."))
    draft.settings["static"].value = list(dict.fromkeys(context.zone_files[zone][0] for zone in deepest))
    kept = []
    for entry in draft.tables.get("forward", []):
        domain = entry.values["domain"]
        zone = next((zone for zone in deepest if is_below(domain, zone)), None)
        if zone is None:
            kept.append(entry)
            continue
        path, source = context.zone_files[zone]
        for place in entry.sources:
            draft.take_back(place, f"[[forward]] domain = {shown(domain)}")
        if entry.values["upstreams"]:
            text = f"{domain} is within {zone} of {path} ({source.place()}), which is asked first: a name that the file"
            draft.lost(
                entry.sources[0], "forward", f"{text} does not have gets NXDOMAIN, and these upstreams are not asked"
            )
    draft.tables["forward"] = kept
