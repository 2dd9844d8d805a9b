"""Imports the plugin `forward`: which upstreams are asked for outside names. kube-dns's ConfigMap uses parts of it."""

from typing import Any

from dnsserver.config.corefile.draft import Draft, Source
from dnsserver.config.corefile.parser import Directive, Line
from dnsserver.config.corefile.site import UNKNOWN, Context, Site, source_of, source_of_line, whole
from dnsserver.config.corefile.sites import answered_as
from dnsserver.config.corefile.upstreams import is_here, nameservers, upstream_of
from dnsserver.config.corefile.zones import ROOT, belonging, is_below, is_reverse, names
from dnsserver.wire.name import to_text
from dnsserver.zone.static import SPECIAL

_WHAT = "forward"
_ANSWERING = {"acl", "auto", "dns64", "etcd", "file", "hosts", "kubernetes", "rewrite", "secondary", "template"}
_OF_ALL = {"auto", "file", "kubernetes"}  # of these, what a block that is imported has is there for all names
_FEW = 3  # zones that are named one by one
_PARTS = ("svc", "pod", "dns-version")  # all names below a cluster's domain but those of its name server
_OF_A_DOMAIN = {"in_flight": "max_in_flight"}  # keys that are called otherwise in [[forward]]
_BY_ITSELF = "what an upstream supports, and whether it is healthy, is learnt from its answers and from probes"
_DEFAULT = {
    "prefer_udp": "UDP is tried first, and TCP where an answer needs it",
    "health_check": _BY_ITSELF,
    "max_fails": _BY_ITSELF,
    "max_connect_attempts": "a question goes to one upstream after the other until the deadline",
    "failfast_all_unhealthy_upstreams": "failures are cached for a short time (RFC 9520)",
    "expire": "connections stay open as long as the upstream keeps them open",
    "max_age": "connections stay open as long as the upstream keeps them open",
    "max_idle_conns": "a few connections carry all questions",
    "read_timeout": "each upstream gets as long as it usually takes, and all together get forwarding.deadline",
    "doh_method": "there is no DNS over HTTPS to upstreams; each such address is reported as lost",
}
_LOST = {
    "resolver": "hostnames of upstreams are resolved by this machine's own resolver",
    "source_address": "the system chooses the source address of questions: an upstream that admits one address "
    "only may refuse this server",
    "next": "only one [[forward]] is asked: clients get the answer that CoreDNS passed over",
    "next_on_nodata": "only one [[forward]] is asked: clients get the empty answer",
}
_OF_THE_NEXT = {"next", "next_on_nodata"}
_FAILING_OVER = {"SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"}  # for which another upstream is asked without being told


class _Options:
    """The settings in the block of one `forward`."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, Source] = {}
        self.tcp: Source | None = None
        self.server_name = ""

    def put(self, key: str, value: Any, source: Source) -> None:
        self.values[key] = value
        self.sources[key] = source


def forward(context: Context, site: Site, directive: Directive) -> None:
    """Import the plugin for the part of its zone that its server block is asked for."""
    draft, source = context.draft, source_of(directive)
    if len(directive.args) < 2:
        draft.lost(source, _WHAT, "has no upstreams, and CoreDNS does not start like that: left out")
        return
    zones, wrong = names(directive.args[:1])
    if wrong:
        draft.lost(source, _WHAT, f"{wrong[0]} is not a zone name: nothing is forwarded for it")
        return
    if len(zones) > 1:
        text = f"CoreDNS forwards only the first zone of this network, {zones[0]}; so does this server"
        draft.differs(source, _WHAT, text)
    options = _options(context, directive, is_last=_is_last(site, directive))
    served = left_over(site, directive)
    if not served:
        text = "no name reaches it, because of its server block or an earlier `forward`: left out"
        draft.differs(source, _WHAT, text)
    _also_reverse(draft, [zone for zone in served if is_reverse(zone)], source)
    for zone in served:
        upstreams = _upstreams(context, directive, options, zone, [site])
        if upstreams is None:
            continue
        if zone == ROOT:
            _everything(context, upstreams, options, source)
        elif belonging(zone, [context.domain, *context.seconds]) and site.has_above(zone):
            draft.differs(source, _WHAT, f"names below {zone} belong to the cluster: none is left for these upstreams")
        elif zone == context.domain:
            _whole_cluster(context, upstreams, options, source)
        else:
            _one_domain(context, zone, upstreams, options, source)


def _also_reverse(draft: Draft, zones: list[str], source: Source) -> None:
    """Say that the cluster's reverse names are not forwarded, in one sentence for all zones of a network."""
    if zones and "domain" in draft.settings:
        which = ", ".join(zones) if len(zones) <= _FEW else f"{zones[0]} and {len(zones) - 1} more zones"
        text = f"reverse names in {'them' if zones[1:] else 'it'} that the cluster knows are answered here"
        draft.differs(source, _WHAT, f"{which}: {text}")


def left_over(site: Site, directive: Directive) -> list[str]:
    """Return the domains that come to a `forward`: those before it in the same block have taken theirs.

    What one of these excepts comes here too. It is named by itself, as their own domain would have it otherwise.
    """
    left = site.within(names(directive.args[:1])[0][0])
    before = site.block.directives[: site.block.directives.index(directive)]
    earlier = [other for other in before if other.name == _WHAT and len(other.args) > 1 and names(other.args[:1])[0]]
    own = _excepted(directive)
    passed_on = [zone for other in earlier for zone in _excepted(other) if site.within(zone) == [zone]]
    left += [zone for zone in passed_on if belonging(zone, left) and not belonging(zone, own)]
    for other in earlier:
        taken, excepted = site.within(names(other.args[:1])[0][0]), _excepted(other)
        left = [part for zone in left for part in _less(zone, taken, excepted)]
    return list(dict.fromkeys(left))


def _less(zone: str, taken: list[str], excepted: list[str]) -> list[str]:
    """Return the parts of a domain that are left when others take it, except for what they exclude."""
    if not belonging(zone, taken) or belonging(zone, excepted):
        return [zone]
    return [name for name in excepted if is_below(name, zone)]


# What CoreDNS calls these keys of [forwarding].
_WORDS = {"in_flight": "max_concurrent", "authorities": "tls"}


def _excepted(directive: Directive) -> list[str]:
    words = [word for line in directive.lines if line.words[0] == "except" for word in line.words[1:]]
    return names(words)[0]


def refuse_excepted(context: Context, site: Site) -> None:
    """Refuse domains that are excepted and go to no other `forward` of the block: to CoreDNS they are SERVFAIL."""
    for directive in site.block.directives:
        lines = [line for line in directive.lines if line.words[0] == "except"] if directive.name == _WHAT else []
        for line in lines:
            taken = {entry.values["domain"] for entry in context.draft.tables.get("forward", [])}
            for zone in names(line.words[1:])[0]:
                if zone not in taken and site.within(zone) == [zone] and not site.has_above(zone):
                    values = {"domain": zone, "upstreams": []}
                    note = "clients get REFUSED for its names, where CoreDNS said SERVFAIL"
                    context.draft.add("forward", values, source_of_line(line), "forward except", note)


def _everything(context: Context, upstreams: list[str], options: _Options, source: Source) -> None:
    draft = context.draft
    draft.put("upstreams", upstreams, source, _WHAT)
    special = ", ".join(to_text(name).removesuffix(".") for name in SPECIAL)
    draft.differs(source, _WHAT, f"names in {special} are answered here, and never asked for (RFC 6761)")
    for key, value in options.values.items():
        draft.put(f"forwarding.{key}", value, options.sources[key], f"forward {_WORDS.get(key, key)}")


def trust_all(draft: Draft) -> None:
    """Keep what the upstreams of all names say of a domain that others are asked for, as CoreDNS does."""
    setting = draft.settings.get("upstreams")
    if (
        setting is not None
        and setting.value
        and any(entry.values["upstreams"] for entry in draft.tables.get("forward", []))
    ):
        note = "an alias that leads into a [[forward]] keeps the answer that came with it"
        draft.put("forwarding.trusted", True, setting.sources[0], _WHAT, note)


def _whole_cluster(context: Context, upstreams: list[str], options: _Options, source: Source) -> None:
    """Forward the names of a cluster for which no `kubernetes` answers, as in front of its other server."""
    for part in _PARTS:
        _one_domain(context, f"{part}.{context.domain}", upstreams, options, source)
    text = (
        f"{context.domain} itself and reverse names of Services and pods are answered here, from the API; without "
        "these tables the whole cluster is, and goes on while those upstreams are down"
    )
    context.draft.differs(source, _WHAT, text)


def _one_domain(context: Context, zone: str, upstreams: list[str], options: _Options, source: Source) -> None:
    draft = context.draft
    for entry in draft.tables.get("forward", []):
        if entry.values["domain"] == zone:
            if entry.values["upstreams"] != upstreams:
                place = entry.sources[0].place()
                draft.lost(source, _WHAT, f"{zone} is already forwarded by {place}: these upstreams are not asked")
            else:
                entry.sources.append(source)
                draft.became(source, _WHAT, f"the same [[forward]] for {zone}")
            return
    values: dict[str, Any] = {"domain": zone, "upstreams": upstreams}
    if upstreams:
        values |= {_OF_A_DOMAIN.get(key, key): value for key, value in options.values.items()} | {"trusted": True}
    entry = draft.add("forward", values, source, _WHAT)
    entry.sources += options.sources.values()


def _upstreams(
    context: Context, directive: Directive, options: _Options, zone: str, seen: list[Site]
) -> list[str] | None:
    """Return the upstreams for a zone in the form of our configuration; those that cannot be asked are reported.

    None means that another block which is imported has them all, and says where they go. `seen` are the blocks that the
    names have come through.
    """
    draft, source = context.draft, source_of(directive)
    targets = list(directive.args[1:])
    others = _of_others(context, directive, options, zone, seen)
    if others is None:
        return None
    files = [target for target in targets if "/" in target and "://" not in target]
    if files and len(targets) == 1 and options.tcp is None:
        return [context.located(files[0], source, _WHAT)]
    found: list[str] = []
    for target in targets:
        if target in others:
            found += others[target]
            continue
        if target not in files:
            upstream = upstream_of(target, tcp=options.tcp is not None, server_name=options.server_name)
            if upstream is None:
                draft.lost(
                    source, _WHAT, f"{target} cannot be used: only addresses and hostnames over UDP, TCP or TLS can"
                )
            else:
                found.append(upstream)
            continue
        if len(targets) == 1:
            path = context.located(target, source, _WHAT)
            text = "servers of a file are asked over UDP first: add `options use-vc` to the file for TCP only"
            draft.lost(options.tcp or source, "forward force_tcp", f"{path}: {text}")
            return [path]
        servers = nameservers(context.files.read(context.located(target, source, _WHAT)) or "")
        text = f"{target} stands with others: its current servers are written out, and the file is no longer followed"
        draft.lost(source, _WHAT, text)
        found += [f"tcp://{server}" if options.tcp else server for server in servers]
    if not found and not others:
        draft.lost(source, _WHAT, "no upstream is left: names that go there are not answered until you add one")
    return list(dict.fromkeys(found))


def _of_others(
    context: Context, directive: Directive, options: _Options, zone: str, seen: list[Site]
) -> dict[str, list[str]] | None:
    """Return the upstreams of the blocks that a zone's names are handed on to, by the addresses of these blocks.

    That is how CoreDNS asks several upstreams over TLS, as it knows one name of a certificate for each `forward`. This
    server is not asked again: all its blocks are one here, and those that are not imported have no port.
    """
    found: dict[str, list[str]] = {}
    for target in directive.args[1:]:
        here = [other for other in [*context.aside, *context.sites] if not other.view and is_here(target, other)]
        other = max((each for each in here if each not in seen), key=lambda each: _closeness(each, zone), default=None)
        if other is None or not _closeness(other, zone):
            if any(each in context.sites for each in here):
                found[target] = []
                text = f"{target} is this server itself, and it does not ask itself: left out"
                context.draft.lost(source_of(directive), _WHAT, text)
            continue
        there = next((each for each in other.block.directives if _takes(each, zone)), None)
        is_kept = other in context.sites
        is_all = len(directive.args) == 2 and zone in other.zones
        if is_kept and (is_all or (other.has_above(zone) and (there is None or not is_reverse(zone)))):
            text = f"names below {zone} are answered as {other.source.place()} says, without a question to {target}"
            context.draft.differs(source_of(directive), _WHAT, text)
            return None
        if there is None and not is_kept:
            continue
        found[target] = [] if there is None else _of_other(context, there, options, zone, [*seen, other])
        _say_of_other(context, other, target, zone, bool(found[target]))
    return found


def _of_other(context: Context, there: Directive, options: _Options, zone: str, seen: list[Site]) -> list[str]:
    """Return the upstreams of another block's `forward`; who signs their certificates goes with them."""
    own = _options(context, there, is_last=_is_last(seen[-1], there))
    if "authorities" in own.values:
        options.values.setdefault("authorities", own.values["authorities"])
        options.sources.setdefault("authorities", own.sources["authorities"])
    return _upstreams(context, there, own, zone, seen) or []


def _say_of_other(context: Context, other: Site, target: str, zone: str, is_asked: bool) -> None:
    """Say what becomes of a block that names are handed on to, and what of it is not for these names."""
    draft, source, what = context.draft, other.source, "server block"
    asked = "its upstreams are asked directly" if is_asked else "nothing is asked"
    text = f"{asked}, in place of {target}"
    left_out = {each.name for each in other.block.directives} & _ANSWERING
    if other not in context.sites:
        if not {port for site in context.sites for port in site.ports} & set(other.ports):
            draft.take_back(source, answered_as(other.zones), "lost")
            text = f"{text}; it has no port of its own any more"
    elif context.reaches(other, zone):
        left_out = set()
    else:
        left_out -= _OF_ALL
        text = f"for names below {zone} {text}"
    draft.differs(source, what, text)
    if left_out:
        names_of_it = ", ".join(sorted(left_out))
        draft.lost(source, what, f"{names_of_it} of it are left out: only its upstreams are asked")


def _closeness(site: Site, zone: str) -> int:
    """Return how much of a zone's name the block's longest zone above it has, 0 if none is above it."""
    return max((1 + len(own.strip(ROOT)) for own in site.zones if is_below(zone, own)), default=0)


def _takes(directive: Directive, zone: str) -> bool:
    """Tell whether a directive is a `forward` for a zone."""
    if directive.name != _WHAT or len(directive.args) < 2 or belonging(zone, _excepted(directive)):
        return False
    return belonging(zone, names(directive.args[:1])[0][:1])


def _is_last(site: Site, directive: Directive) -> bool:
    """Tell whether no other `forward` follows in the block."""
    found = [other for other in site.block.directives if other.name == _WHAT]
    return found[-1] is directive


def _options(context: Context, directive: Directive, *, is_last: bool) -> _Options:
    options = _Options()
    for line in directive.lines:
        source, what = source_of_line(line), f"forward {line.words[0]}"
        if line.words[0] in _OF_THE_NEXT and is_last:
            context.draft.default(source, what, "no other `forward` follows in the block: CoreDNS ignores it as well")
            continue
        try:
            _option(context, line, options)
        except ValueError:
            context.draft.lost(source, what, UNKNOWN)
    return options


def _option(context: Context, line: Line, options: _Options) -> None:
    """Import one line of the block; raises ValueError for a line that CoreDNS refuses as well."""
    draft, source = context.draft, source_of_line(line)
    option, arguments = line.words[0], list(line.words[1:])
    what = f"forward {option}"
    match option, arguments:
        case _ if option in _DEFAULT:
            draft.default(source, what, _DEFAULT[option])
        case _ if option in _LOST:
            draft.lost(source, what, _LOST[option])
        case "except", [_, *_]:
            _, wrong = names(arguments)
            if wrong:
                raise ValueError
            draft.became(source, what, "separate [[forward]] tables for these domains")
        case "force_tcp", []:
            options.tcp = source
        case "policy", ["random" | "sequential" | "round_robin" as policy]:
            options.put("policy", policy, source)
        case "max_concurrent", [digits]:
            if whole(digits):
                options.put("in_flight", whole(digits), source)
            else:
                draft.default(
                    source, what, "0 means no limit in CoreDNS; here it is 10000: above it the oldest question fails"
                )
        case "tls", [*paths] if len(paths) <= 3:
            if len(paths) in {1, 3}:
                options.put("authorities", context.located(paths[-1], source, what), source)
            if len(paths) > 1:
                text = "this server has no client certificate: an upstream that demands one closes the connection"
                draft.lost(source, what, text)
        case "tls_servername", [name]:
            options.server_name = name
            draft.became(source, what, f"the name after # in the addresses of upstreams over TLS, {name}")
        case "failover", [_, *_]:
            rest = [code for code in arguments if code.upper() not in _FAILING_OVER]
            if rest:
                text = f"for {', '.join(rest)} no other upstream is asked: clients get that answer"
                draft.lost(source, what, text)
            if len(rest) < len(arguments):
                draft.default(source, what, "another upstream is asked after SERVFAIL, REFUSED, NOTIMP and FORMERR")
        case "spray", []:
            draft.lost(source, what, "no longer exists in CoreDNS itself")
        case _:
            raise ValueError
