"""Imports plugins about the server itself: where it listens, what it logs, who may ask, and how it ends."""

import ipaddress

from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import NO_NAME, UNKNOWN, Context, Site, seconds, source_of, source_of_line, whole
from dnsserver.config.corefile.zones import ROOT, belonging, names
from dnsserver.config.values import Address

_PORT = 53
_ADMIN = "all HTTP is served at one address, `admin`, by default [::]:8053"
_DRAIN_MIN, _DRAIN = 10.0, 25.0
_ACL = {"allow": "", "block": "REFUSED", "drop": "DROP", "filter": "NODATA"}
_NOBODY = ("0.in-addr.arpa", "127.in-addr.arpa", "255.in-addr.arpa")


def bind(context: Context, site: Site, directive: Directive) -> None:
    """Import the addresses that a server block listens at."""
    draft, source = context.draft, source_of(directive)
    excepted = {word for line in directive.lines if line.words[0] == "except" for word in line.words[1:]}
    good: list[str] = []
    for text in directive.args:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            what = (
                f"{text} is not an address: write those of this interface into listen, or no client is answered there"
            )
            draft.lost(source, "bind", what)
            continue
        if text not in excepted:
            good.append(text)
    for line in directive.lines:
        if line.words[0] != "except":
            draft.lost(source_of_line(line), f"bind {line.words[0]}", UNKNOWN)
    listen = [f"[{text}]:{port}" if ":" in text else f"{text}:{port}" for port in site.ports for text in good]
    addresses = []
    for text in listen:
        try:
            addresses.append(str(Address.parse(text)))
        except ValueError:
            draft.lost(source, "bind", f"the server cannot listen at {text}: no client is answered there")
    if addresses:
        draft.extend("listen", addresses, source, "bind")


def health(context: Context, _: Site, directive: Directive) -> None:
    """Import the address of the health check, and how long the server goes on after SIGTERM."""
    draft, source = context.draft, source_of(directive)
    draft.differs(source, "health", f"{_ADMIN}: probes have to ask /healthz there, instead of /health")
    for line in directive.lines:
        place, words = source_of_line(line), line.words
        try:
            duration = seconds(words[1] if words[0] == "lameduck" and len(words) == 2 else "")
        except ValueError:
            draft.lost(place, f"health {words[0]}", UNKNOWN)
            continue
        if duration <= _DRAIN_MIN:
            text = f"it goes on for drain_min = {_DRAIN_MIN:g} seconds, and until 3 seconds pass without a question"
            draft.default(place, "health lameduck", text)
            continue
        draft.put("drain_min", min(duration, 3600.0), place, "health lameduck")
        if duration > _DRAIN:
            note = "the pod's terminationGracePeriodSeconds has to be longer"
            draft.put("drain", min(duration, 3600.0), place, "health lameduck", note)


def ready(context: Context, _: Site, directive: Directive) -> None:
    """Import the address of the readiness check."""
    source = source_of(directive)
    context.draft.differs(source, "ready", f"{_ADMIN}: probes have to ask /readyz there, instead of /ready")


def prometheus(context: Context, _: Site, directive: Directive) -> None:
    """Import the address of the metrics."""
    source = source_of(directive)
    port = (directive.args[0] if directive.args else "localhost:9153").rpartition(":")[2]
    text = f"{_ADMIN}: Prometheus has to scrape /metrics there, instead of port {port}; the manifests set admin to 9153"
    context.draft.differs(source, "prometheus", text)
    for line in directive.lines:
        place = source_of_line(line)
        context.draft.lost(place, f"prometheus {line.words[0]}", "there are no metrics of the Go run time")


def errors(context: Context, _: Site, directive: Directive) -> None:
    """Import the log of errors."""
    draft = context.draft
    draft.default(source_of(directive), "errors", "errors are logged with their reason")
    for line in directive.lines:
        place, option = source_of_line(line), line.words[0]
        if option == "consolidate":
            text = "each cause has one line a second, and the next line says how many were left out"
            draft.default(place, "errors consolidate", text)
        elif option == "stacktrace":
            draft.default(place, "errors stacktrace", "an internal error is logged with its traceback")
        else:
            draft.lost(place, f"errors {option}", UNKNOWN)


def bufsize(context: Context, _: Site, directive: Directive) -> None:
    """Import the largest reply over UDP."""
    draft, source = context.draft, source_of(directive)
    try:
        size = whole(directive.args[0]) if directive.args else 1232
    except ValueError:
        draft.lost(source, "bufsize", "is not a number: the default of 1232 octets is used")
        return
    draft.put("udp.size", min(max(size, 1232), 4096), source, "bufsize")
    if size < 1232:
        draft.differs(source, "bufsize", "replies have up to 1232 octets, which fits every network path")


def local(context: Context, site: Site, directive: Directive) -> None:
    """Import names of this machine and of networks that are nobody's, as CoreDNS answers them."""
    draft, source = context.draft, source_of(directive)
    draft.default(source, "local", "localhost and names below it are answered here (RFC 6761)")
    below = {} if site.is_root else {"below": site.zones}
    if not any(line.words[:2] == ("localhost_prefix", "off") for line in directive.lines):
        records = ["@ 604800 IN A 127.0.0.1", "@ 604800 IN AAAA ::1"]
        draft.add("answer", {"regex": r"^localhost\.[^.]", **below, "records": records}, source, "local")
    if not site.is_root:
        return
    for zone in _NOBODY:
        soa = "@ 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800"
        draft.add("answer", {"name": zone, "records": [soa, "@ 604800 IN NS localhost."]}, source, "local")
    records = ["@ 604800 IN PTR localhost."]
    draft.add("answer", {"name": "1.0.0.127.in-addr.arpa", "records": records}, source, "local")
    draft.extend("local.domains", list(_NOBODY), source, "local")


def acl(context: Context, site: Site, directive: Directive) -> None:
    """Import who may ask: rules in their order, the first that fits counts."""
    draft, source = context.draft, source_of(directive)
    zones = context.of_block(site, names(directive.args)[0] if directive.args else site.zones)
    rules = [_rule(line.words) for line in directive.lines]
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
        action, types, networks = _rule(line.words)
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
    passing = [other for other in found if ("allow", None, None) in [_rule(line.words) for line in other.lines]]
    given = [names(other.args)[0] if other.args else site.zones for other in passing]
    return [zone for zones in given for zone in context.of_block(site, zones)]


def _rule(words: tuple[str, ...]) -> tuple[str, list[str] | None, list[str] | None]:
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
        action, _, texts = _rule(line.words)
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
            rest = [left for part in rest for left in _without(part, network)]
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


def _without(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    if one.version != other.version or not one.overlaps(other):
        return [one]
    if one.prefixlen >= other.prefixlen:
        return []
    return list(one.address_exclude(other))  # type: ignore[arg-type]


def loadbalance(context: Context, _: Site, directive: Directive) -> None:
    """Import the order of addresses."""
    draft, source = context.draft, source_of(directive)
    if directive.args[:1] == ("weighted",):
        text = "weights are not supported: addresses take turns, and each is first as often as the others"
        draft.lost(source, "loadbalance weighted", text)
    else:
        draft.default(source, "loadbalance", "addresses take turns from reply to reply")
    for line in directive.lines:
        if line.words[0] == "prefer":
            text = "no network is preferred: clients that use the first address may get another one than before"
            draft.lost(source_of_line(line), "loadbalance prefer", text)


def view(_: Context, __: Site, ___: Directive) -> None:
    """Name the condition of a server block; `sites` has taken care of the block itself."""


def header(context: Context, _: Site, directive: Directive) -> None:
    """Import flags of replies that are set by hand."""
    for line in directive.lines:
        source, words = source_of_line(line), [word.lower() for word in line.words]
        if words[:2] == ["response", "set"] and words[2:] == ["ra"]:
            context.draft.default(source, "header", "RA is set in every reply if there are upstreams")
        else:
            text = "flags cannot be set: AA is for the server's own data, RA if there are upstreams, RD as asked"
            context.draft.lost(source, "header", f"{text}; clients that need `{' '.join(words)}` see another flag")
