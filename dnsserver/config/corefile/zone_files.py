"""Imports the plugins `file` and `auto`: zones that are read from files."""

import re

from dnsserver.config.corefile.cache import shown_ttl
from dnsserver.config.corefile.draft import Source, shown
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import NO_NAME, UNKNOWN, Context, Site, source_of, source_of_line
from dnsserver.config.corefile.zones import ROOT, is_below, names
from dnsserver.wire.zonefile import ZoneFileError, read_zone

_DAY = 86_400
_AUTO_NAME, _AUTO_ZONE = r"db\.(.*)", "{1}"  # what `auto` takes where it does not say
_GAP = re.compile(r"\{(\w+)\}")
_NO_FILES = (
    "has no zone files on this machine: import where they are, or name each in `static` with its zone, as ZONE=PATH"
)


def file(context: Context, site: Site, directive: Directive) -> None:
    """Import a zone file."""
    draft, source = context.draft, source_of(directive)
    if not directive.args:
        draft.lost(source, "file", "names no file, and CoreDNS does not start like that: left out")
        return
    zones, _ = names(directive.args[1:]) if directive.args[1:] else (site.zones, [])
    path = context.located(directive.args[0], source, "file")
    zones = [zone for zone in zones if _has_place(context, site, zone, path, source, "file")]
    if not zones:
        return
    draft.extend("static", [f"{zone}={path}" for zone in zones], source, "file")
    context.zone_files.update(dict.fromkeys(zones, (path, source)))
    text = context.files.read(directive.args[0] if not context.root else path)
    if text is not None:
        _judge(context, text, zones, path, source, "file")
    _say_of_ttls(context, site, zones, source, "file")
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


def auto(context: Context, site: Site, directive: Directive) -> None:
    """Import the zone files of a folder that are there now: the name of each says which zone it is."""
    draft, source = context.draft, source_of(directive)
    within, _ = names(directive.args) if directive.args else (site.zones, [])
    folder, expression, template = "", _AUTO_NAME, _AUTO_ZONE
    for line in directive.lines:
        option, *words = line.words
        if option == "directory":
            folder = words[0] if words else ""
            expression, template = (words[1], words[2]) if len(words) > 2 else (expression, template)
        else:
            again = "a file that is named is read again whenever it changes"
            draft.default(source_of_line(line), f"auto {option}", again)
    if not folder:
        draft.default(source, "auto", "it names no folder: CoreDNS answers nothing from it")
        return
    try:
        name_of = re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        draft.lost(source, "auto", f"found {expression}, expected a regular expression: {error}")
        return
    folder = context.below_root(folder)
    found: dict[str, str] = {}
    for path in context.files.below(folder):
        zone = _zone_of(path, name_of, template)
        is_within = bool(zone) and zone not in found and any(is_below(zone, each) for each in within)
        if is_within and _has_place(context, site, zone, path, source, "auto"):
            found[zone] = path
    if not found:
        draft.lost(source, "auto", f"{folder} {_NO_FILES}")
        return
    draft.extend("static", [f"{zone}={path}" for zone, path in found.items()], source, "auto")
    draft.differs(source, "auto", "a file that comes into the folder later is not found until `static` names it")
    for zone, path in found.items():
        context.zone_files[zone] = path, source
        text = context.files.read(path)
        if text is not None:
            _judge(context, text, [zone], path, source, "auto")
    _say_of_ttls(context, site, list(found), source, "auto")


def _zone_of(path: str, name_of: re.Pattern[str], template: str) -> str:
    """Return the zone that the name of a file stands for; empty if it stands for none."""
    match = name_of.search(path.rpartition("/")[2])
    if match is None:
        return ""
    groups = {**{str(number): text for number, text in enumerate((match[0], *match.groups()))}, **match.groupdict()}
    zones, _ = names([_GAP.sub(lambda gap: groups.get(gap[1]) or "", template)])
    return zones[0] if zones else ""


def _say_of_ttls(context: Context, site: Site, zones: list[str], source: Source, what: str) -> None:
    if shown_ttl(site, zones, _DAY) < _DAY:
        text = "records keep the TTLs of the file, which `cache` shortened: clients may keep them longer"
        context.draft.differs(source, what, text)


def _judge(context: Context, text: str, zones: list[str], path: str, source: Source, what: str) -> None:
    """Say what in a file is not served as CoreDNS does: the server does not start with it."""
    for number, zone in enumerate(zones):
        try:
            read_zone(text, zone)
        except ZoneFileError as error:
            more = len(zones) - number - 1
            after = f" for {zone}{f', and perhaps for {more} more zones' if more else ''}" if len(zones) > 1 else ""
            for line, mistake in error.mistakes:
                place = f"{path}:{line}" if line else path
                sentence = f"{place}: {mistake}: the server does not start with this file{after}"
                context.draft.lost(source, what, sentence)
            return


def _has_place(context: Context, site: Site, zone: str, path: str, source: Source, what: str) -> bool:
    """Tell whether a file can answer for a zone: its names reach the block, and no other source has them."""
    there = context.zone_files.get(zone)
    reached = context.of_block(site, [zone])
    if not reached:
        context.draft.differs(source, what, NO_NAME)
        return False
    if zone == ROOT:
        text = "the root zone does not come from a file here, as it would have every name: left out"
    elif is_below(zone, context.domain):
        text = f"{zone} is the cluster's, whose names never come from a file: write those of the file into [[answer]]"
    elif there is not None and there[0] != path:
        text = f"{zone} already has a zone file, from {there[1].place()}: this one is left out"
    else:
        if zone not in reached:
            text = f"all names of {zone} come from the file, and not only those in {', '.join(reached)}"
            context.draft.differs(source, what, text)
        return True
    context.draft.lost(source, what, text)
    return False


def settle(context: Context) -> None:
    """Bring what was imported into the order of this server, which asks zone files before any upstream.

    The deepest zone has to stand first, as CoreDNS takes the longest that fits. A `[[forward]]` of a domain within a
    zone would never be asked, with which the server does not start.
    """
    draft = context.draft
    if not context.zone_files:
        return
    deepest = sorted(context.zone_files, key=lambda zone: -zone.count("."))
    draft.settings["static"].value = [f"{zone}={context.zone_files[zone][0]}" for zone in deepest]
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
