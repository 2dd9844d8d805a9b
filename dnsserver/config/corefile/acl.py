"""Imports `acl`: who may ask what, by rules in their order, of which the first that fits counts."""

import ipaddress

from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import NO_NAME, Context, Site, source_of, source_of_line
from dnsserver.config.corefile.zones import ROOT, belonging, names, without

_ACL = {"allow": "", "block": "REFUSED", "drop": "DROP", "filter": "NODATA"}


def acl(context: Context, site: Site, directive: Directive) -> None:
    """Import who may ask: rules in their order, the first that fits counts."""
    draft, source = context.draft, source_of(directive)
    zones = context.of_block(site, names(directive.args)[0] if directive.args else site.zones)
    rules = [rule(line.words) for line in directive.lines]
    if any(action not in _ACL for action, _, _ in rules):
        draft.lost(source, "acl", "has a rule that CoreDNS does not start with: the whole plugin is left out")
        return
    if not zones:
        draft.differs(source, "acl", NO_NAME)
        return
    by_address = all(types is None for _, types, _ in rules)
    if by_address and ROOT in zones and all(action != "filter" for action, _, _ in rules):
        _allow(context, directive, source)
        return
    _by_type(context, site, directive, zones)


def answers_nobody(site: Site) -> bool:
    """Tell whether a block is there to turn everybody away, as behind a view of those who are answered."""
    for directive in site.block.directives:
        if directive.name == "acl":
            for line in directive.lines:
                action, types, networks = rule(line.words)
                if action in {"block", "drop"} and types is None and networks is None:
                    return not directive.args
                if action == "allow":
                    break
    return False


def _by_type(context: Context, site: Site, directive: Directive, zones: list[str]) -> None:
    """Turn rules on types of questions into answers; those on addresses cannot be for some names or types only."""
    draft = context.draft
    others = context.others(site, zones)
    admitted = [zone for zone in _admitted_before(context, site, directive) if belonging(zone, zones)]
    if admitted:
        others["except"] = list(dict.fromkeys([*others.get("except", []), *admitted]))
    allowed: list[str] = []
    some_are_admitted = False  # clients, by their address: what follows is not for them
    for line in directive.lines:
        place = source_of_line(line)
        action, types, networks = rule(line.words)
        refused = types if types is None else [rtype for rtype in types if rtype not in allowed]
        if networks is not None or (action != "allow" and some_are_admitted):
            text = "a rule on addresses is for all names and types here, and not for some: every client gets an answer"
            draft.lost(place, "acl", text)
            some_are_admitted |= action == "allow"
        elif action == "allow":
            draft.default(place, "acl", "a question that is not refused is answered")
            if types is None:
                break  # CoreDNS never looks at what follows
            allowed += types
        elif refused is None and allowed:
            text = f"all types but {', '.join(allowed)} cannot be named: questions of each type are answered"
            draft.lost(place, "acl", text)
        elif refused == []:
            draft.default(place, "acl", "no type is left for it: an earlier line allows them")
        else:
            values = {"below": zones, **others, **({} if refused is None else {"types": refused})}
            draft.add("answer", {**values, "rcode": _ACL[action]}, place, "acl")


def _admitted_before(context: Context, site: Site, directive: Directive) -> list[str]:
    """Return the zones of which an earlier `acl` of the block lets every question pass: no later one looks at it."""
    before = site.block.directives[: site.block.directives.index(directive)]
    found = [other for other in before if other.name == "acl"]
    passing = [other for other in found if ("allow", None, None) in [rule(line.words) for line in other.lines]]
    given = [names(other.args)[0] if other.args else site.zones for other in passing]
    return [zone for zones in given for zone in context.of_block(site, zones)]


def rule(words: tuple[str, ...]) -> tuple[str, list[str] | None, list[str] | None]:
    """Read ACTION [type TYPE...] [net SOURCE...]; None is every type, every address."""
    parts: dict[str, list[str]] = {}
    kind = ""
    for word in words[1:]:
        if word.lower() in {"type", "net"} and word.lower() not in parts:
            kind = word.lower()
            parts[kind] = []
        elif kind:
            parts[kind].append(word)
    types, networks = parts.get("type"), parts.get("net")
    return (
        words[0].lower(),
        None if types is None or "*" in types else [word.upper() for word in types],
        None if networks is None or "*" in networks else networks,
    )


def _allow(context: Context, directive: Directive, source: Source) -> None:
    """Turn rules on addresses into the networks that may ask."""
    draft = context.draft
    rest = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    allowed: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    excess = ""
    sources = [source]
    for line in directive.lines:
        action, _, texts = rule(line.words)
        sources.append(source_of_line(line))
        if action != "allow":
            excess = {"block": "refuse", "drop": "drop"}[action]
        for text in texts if texts is not None else ["0.0.0.0/0", "::/0"]:
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError:
                draft.lost(sources[-1], "acl", f"{text} is not a network: left out of the rule")
                continue
            taken = [common for part in rest if (common := _common(part, network)) is not None]
            rest = [left for part in rest for left in without(part, network)]
            allowed += taken if action == "allow" else []
    if not excess:
        draft.default(source, "acl", "every client may ask")
        return
    networks = [
        str(network)
        for version in (4, 6)
        for network in ipaddress.collapse_addresses([n for n in [*allowed, *rest] if n.version == version])  # type: ignore[type-var]
    ]
    draft.put("clients.allow", networks, source, "acl")
    draft.put("clients.excess", excess, source, "acl")
    draft.settings["clients.allow"].sources += sources[1:]


def _common(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if one.version != other.version or not one.overlaps(other):
        return None
    return one if one.prefixlen >= other.prefixlen else other
