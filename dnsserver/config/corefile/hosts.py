"""Imports the plugin `hosts`: addresses with their names, from the Corefile or a file."""

import ipaddress

from dnsserver.config.corefile.cache import CAPPED, shown_ttl
from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.kinds import did_you_mean
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import NO_NAME, Context, Site, seconds, source_of, source_of_line, whole
from dnsserver.config.corefile.zones import ROOT, belonging, is_reverse, names
from dnsserver.config.values import Domain

_WHAT = "hosts"
_USUAL_TTL = 3600
_NO_FILE = "/dev/null"  # what people write where they want no file but the entries of the block
_OPTIONS = {"fallthrough", "fallthrough_unsupported", "no_reverse", "ttl", "reload"}


def hosts(context: Context, site: Site, directive: Directive) -> None:
    """Import a hosts file, entries written in the block, or both; without a file CoreDNS reads /etc/hosts as well."""
    draft, source = context.draft, source_of(directive)
    given, wrong = names(directive.args[1:]) if directive.args[1:] else (site.zones, [])
    for text in wrong:
        draft.lost(source, _WHAT, f"{text} is not a zone name")
    zones = context.of_block(site, given)
    if not zones:
        if given:
            draft.differs(source, _WHAT, NO_NAME)
        return
    shared: dict[str, object] = {}
    through: list[str] = []
    entries: list[str] = []
    sources: list[Source] = []
    for line in directive.lines:
        place, option, arguments = source_of_line(line), line.words[0], list(line.words[1:])
        match option:
            case "fallthrough":
                through += names(arguments)[0] if arguments else [ROOT]
            case "fallthrough_unsupported":
                text = "other types of a name in this table are empty (NODATA), and not asked upstream"
                draft.lost(place, "hosts fallthrough_unsupported", text)
            case "no_reverse":
                shared["reverse"] = False
                sources.append(place)
            case "ttl":
                _ttl(context, arguments, place, shared, sources)
            case "reload":
                _reload(context, arguments, place)
            case _ if _is_entry(line.words):
                entries.append(" ".join(line.words))
                sources.append(place)
            case _:
                near = did_you_mean(option, sorted(_OPTIONS))
                draft.lost(
                    place, _WHAT, f"{' '.join(line.words)[:80]} is neither an option nor an entry: left out{near}"
                )
    if ROOT not in zones:
        shared["below"] = zones
    if not any(zone == ROOT or is_reverse(zone) for zone in site.zones):
        shared["reverse"] = False  # no reverse name comes to this block
    ttl = int(str(shared.get("ttl", _USUAL_TTL)))
    shown = shown_ttl(site, zones, ttl)
    if shown < ttl:
        shared["ttl"] = shown
    values: dict[str, object] = {"entries": entries} if entries else {}
    path = directive.args[0] if directive.args else "/etc/hosts"
    if path != _NO_FILE:
        values["file"] = context.located(path, source, _WHAT)
    elif not entries:
        draft.differs(source, _WHAT, f"{path} has no names: left out")
        return
    notes = [] if directive.args else ["CoreDNS reads /etc/hosts as well if no file is named"]
    notes += [f"its TTL is {CAPPED}"] if shown < ttl else []
    values |= shared
    for table in _tables(context, site, zones, through, source):
        draft.add("hosts", values | table, source, _WHAT, "; ".join(notes)).sources += sources


def _tables(
    context: Context, site: Site, zones: list[str], through: list[str], source: Source
) -> list[dict[str, list[str]]]:
    """Return the keys that say which names a hosts file is for, and which of them have no other source.

    Where only some of the names fall through, a first table has what is in the file, and a second one says of the other
    names that they do not exist.
    """
    others = context.others(site, zones)
    alone = [zone for zone in zones if not belonging(zone, through)]
    if not alone:
        return [others]
    parts = [part for part in context.of_block(site, through) if belonging(part, alone)]
    where = "" if ROOT in alone else f" below {', '.join(alone)}"
    but = f", but for those below {', '.join(parts)}," if parts else ""
    text = f"without fallthrough, a name{where}{but} that is not in it gets NXDOMAIN, where CoreDNS"
    context.draft.differs(source, _WHAT, f"{text} said SERVFAIL")
    rest = {**others, "authoritative_below": alone}
    if not parts:
        return [rest]
    excepted = [*others.get("except", []), *(part for part in parts if not belonging(part, others.get("except", [])))]
    return [others, {**rest, "except": excepted}]


def _ttl(
    context: Context, arguments: list[str], source: Source, shared: dict[str, object], sources: list[Source]
) -> None:
    try:
        ttl = whole(arguments[0]) if arguments else 0
    except ValueError:
        ttl = 0
    if not 0 < ttl <= 0xFFFF:
        context.draft.lost(source, "hosts ttl", f"is not a number of seconds from 1 to 65535: {_USUAL_TTL} is used")
        return
    shared["ttl"] = ttl
    sources.append(source)


def _reload(context: Context, arguments: list[str], source: Source) -> None:
    try:
        interval = seconds(arguments[0]) if arguments else 0.0
    except ValueError:
        interval = 0.0
    if interval:
        context.draft.default(source, "hosts reload", "the file is read again whenever it changes")
    else:
        context.draft.differs(source, "hosts reload", "here the file is read again whenever it changes")


def _is_entry(words: tuple[str, ...]) -> bool:
    """Tell whether a line is an address and at least one name."""
    try:
        ipaddress.ip_address(words[0].partition("%")[0])
        return len(words) > 1 and all(Domain.parse(word) for word in words[1:])
    except ValueError:
        return False
