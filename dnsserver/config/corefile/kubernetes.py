"""Imports the plugins `kubernetes` and `autopath`: which cluster the server answers for, and how."""

import ipaddress
import re

from dnsserver.config import selectors
from dnsserver.config.corefile.cache import CAPPED, shown_ttl
from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.parser import Directive, Line
from dnsserver.config.corefile.site import UNKNOWN, Context, Site, source_of, source_of_line, whole
from dnsserver.config.corefile.zones import REVERSE, ROOT, belonging, is_reverse, names, network_of, without
from dnsserver.config.model import NAMESPACE

_MODES = {"disabled", "insecure", "verified"}
_WHAT = "kubernetes"
_USUAL_TTL = 5  # seconds
_OF_OBJECTS = {"endpoint", "tls", "kubeconfig", "namespaces", "labels", "namespace_labels", "ignore", "noendpoints"}
_NO_EFFECT = {
    "startup_timeout": "cluster names get SERVFAIL until the first listing is complete, however long it takes",
    "apiserver_qps": "the API server gets one list and one watch request of each kind, and no more",
    "apiserver_burst": "the API server gets one list and one watch request of each kind, and no more",
    "apiserver_max_inflight": "the API server gets one list and one watch request of each kind, and no more",
    "resyncperiod": "CoreDNS itself ignores it now",
    "upstream": "targets of ExternalName Services are always looked up here",
}
_LOST = {
    "endpoint_pod_names": (
        "endpoints without a hostname are named by their address, as in 10-1-2-3.db.prod.svc: pods that ask for "
        "POD.SERVICE.NAMESPACE.svc by the pod's name get NXDOMAIN, and SRV and PTR show the name with the address"
    ),
    "noendpoints": "headless Services and endpoints are answered too, and EndpointSlices are watched",
    "zonal": "names like ZONE.pin._zone.SERVICE get NXDOMAIN: clients that use them get no endpoints of their zone",
}


def kubernetes(context: Context, site: Site, directive: Directive) -> None:
    """Import the plugin that answers for the cluster."""
    draft, source = context.draft, source_of(directive)
    zones, wrong = names(directive.args) if directive.args else (list(site.zones), [])
    for text in wrong:
        draft.lost(source, _WHAT, f"{text} is not a zone name: nothing is answered for it")
    domains = [zone for zone in zones if not is_reverse(zone) and zone != ROOT]
    if not domains and ROOT in zones and "domain" not in draft.settings:
        text = "it has no domain: CoreDNS answers names such as kubernetes.default.svc for it, which do not exist here"
        draft.lost(source, _WHAT, f"{text}; names of {context.domain} are answered, and other names are asked for")
        _options(context, site, directive)
        _reverse(context, site, directive, domains)
        return
    if not domains:
        draft.lost(source, _WHAT, "has only reverse zones, and CoreDNS does not start like that: left out")
        return
    there = draft.settings.get("domain")
    if there is not None and there.value not in domains and _objects(directive) != _objects(_every(context)[0][1]):
        text = f"a second cluster, {domains[0]}: one server answers for one cluster, which is {there.value}"
        draft.lost(source, _WHAT, f"{text}; run a server of its own for it, and write a [[forward]] to it")
        return
    if there is None:
        draft.put("domain", domains[0], source, _WHAT)
    multicluster = _options(context, site, directive)
    for zone in domains:
        if zone == context.domain:
            continue
        context.seconds.append(zone)
        if zone in multicluster:
            draft.extend("local.domains", [zone], source, "kubernetes multicluster")
            text = "names of imported Services (ServiceImport) are not answered"
            draft.lost(source, "kubernetes multicluster", f"{text}: clients that ask for one below {zone} get NXDOMAIN")
        else:
            values = {"suffix": zone, "to": context.domain, "answers": "names", **context.others(site, [zone])}
            draft.add(
                "rewrite", values, source, _WHAT, "the cluster's second domain, whose names become those of the first"
            )
    _reverse(context, site, directive, domains)


def _every(context: Context) -> list[tuple[Site, Directive]]:
    """Return all directives of the plugin with their blocks, in the order in which they are imported."""
    return [(site, each) for site in context.sites for each in site.block.directives if each.name == _WHAT]


def _objects(directive: Directive) -> list[tuple[str, ...]]:
    """Return the lines that say which objects of which API server are answered for."""
    return sorted(line.words for line in directive.lines if line.words[0] in _OF_OBJECTS)


def _options(context: Context, site: Site, directive: Directive) -> list[str]:
    """Import the lines of the block; return the zones that are `multicluster`."""
    draft = context.draft
    given = {line.words[0] for line in directive.lines}
    if "pods" not in given:
        draft.put("pods", "disabled", source_of(directive), "kubernetes", "as in CoreDNS without `pods`")
    if "ttl" not in given:
        shown = shown_ttl(site, [context.domain], _USUAL_TTL)
        if shown < _USUAL_TTL or len(_every(context)) > 1:
            note = CAPPED if shown < _USUAL_TTL else "as in CoreDNS without `ttl`"
            draft.put("ttl", shown, source_of(directive), _WHAT, note)
        else:
            text = f"ttl is {_USUAL_TTL} seconds, as in CoreDNS without `ttl`"
            draft.default(source_of(directive), _WHAT, text)
    multicluster: list[str] = []
    for line in directive.lines:
        option, arguments, source = line.words[0], list(line.words[1:]), source_of_line(line)
        what = f"kubernetes {option}"
        match option:
            case "fallthrough":
                continue
            case "multicluster":
                multicluster += names(arguments)[0]
            case _ if option in _NO_EFFECT:
                draft.default(source, what, _NO_EFFECT[option])
            case _ if option in _LOST:
                draft.lost(source, what, _LOST[option])
            case "endpoint" | "tls":
                text = "the API server is that of the cluster that this server runs in, or that of a kubeconfig"
                draft.lost(source, what, f"{text}: write these values into a kubeconfig, and its path into the setting")
            case "ignore" if arguments == ["empty_service"]:
                text = "a Service of type ClusterIP without ready endpoints keeps its address here"
                draft.lost(source, what, f"{text}: pods whose search list goes on to another cluster stop at it")
            case _ if not _value(context, site, line, source, what):
                draft.lost(source, what, UNKNOWN)
    return multicluster


def _value(context: Context, site: Site, line: Line, source: Source, what: str) -> bool:
    """Import an option that has a setting of its own; return False if it has none."""
    draft = context.draft
    option, arguments = line.words[0], list(line.words[1:])
    match option, arguments:
        case "pods", [mode] if mode in _MODES:
            note = "the server has to be allowed to watch pods (manifests/components/verified)"
            draft.put("pods", mode, source, what, note if mode == "verified" else "")
        case "ttl", [digits, *_]:
            try:
                ttl = whole(digits)
            except ValueError:
                return False
            if ttl > 3600:
                return False
            shown = shown_ttl(site, [context.domain], ttl)
            draft.put("ttl", shown, source, what, CAPPED if shown < ttl else "")
        case "namespaces", [_, *_]:
            good = [name for name in arguments if re.match(NAMESPACE, name)]
            for name in set(arguments) - set(good):
                draft.lost(source, what, f"{name} is not the name of a namespace")
            if good:
                draft.extend("kubernetes.namespaces", good, source, what)
        case "labels" | "namespace_labels", [_, *_]:
            selector = " ".join(arguments)
            if not selectors.is_selector(selector):
                return False
            draft.put(f"kubernetes.{option}", selector, source, what)
        case "kubeconfig", [path, *rest] if len(rest) <= 1:
            draft.put("kubeconfig", context.located(path, source, what), source, what)
            if rest:
                draft.put("context", rest[0], source, what)
        case _:
            return False
    return True


def _reverse_zones(context: Context, site: Site, directive: Directive) -> list[str]:
    """Return the reverse zones of a directive whose names come to its block."""
    zones = names(directive.args)[0] if directive.args else site.zones
    return context.of_block(site, [zone for zone in zones if is_reverse(zone)])


def _reverse(context: Context, site: Site, directive: Directive, domains: list[str]) -> None:
    """Import how reverse names, and names that the cluster does not have, are answered."""
    draft, source = context.draft, source_of(directive)
    zones = _reverse_zones(context, site, directive)
    through: list[str] = []
    for line in directive.lines:
        if line.words[0] == "fallthrough":
            source = source_of_line(line)
            through += names(line.words[1:])[0] if len(line.words) > 1 else ["."]
    what = "kubernetes fallthrough"
    handed_on = [domain for domain in domains if belonging(domain, through)]
    if handed_on:
        text = "names that the cluster does not have get NXDOMAIN, and no other source is asked for them"
        draft.lost(source, what, f"{text}: write [[answer]] tables for names of your own below {handed_on[0]}")
    kept = [zone for zone in zones if not belonging(zone, through)]
    if [zone for zone in zones if zone not in kept]:
        draft.default(source, what, "reverse names that the cluster does not know are asked for like other names")
    for zone in kept:
        network = network_of(zone)
        if network is None:
            draft.lost(
                source, _WHAT, f"{zone} is not the reverse zone of a network: unknown names in it go to the upstreams"
            )
        else:
            note = "without fallthrough: unknown reverse names get NXDOMAIN"
            left = _of_no_other(context, site, zone, network)
            if left:
                draft.extend("reverse_zones", left, source_of(directive), _WHAT, note)
    every = [zone for block, each in _every(context) for zone in _reverse_zones(context, block, each)]
    if domains and not set(REVERSE) <= set(every) and directive is _every(context)[0][1]:
        which = "outside of its reverse zones" if every else "no reverse zone"
        text = f"{which}: CoreDNS asked for reverse names of the cluster as for others, here they are answered"
        draft.differs(source_of(directive), _WHAT, text)


def _of_no_other(context: Context, site: Site, zone: str, network: str) -> list[str]:
    """Return the parts of a reverse zone's network whose names come to its block, and not to one for a longer zone."""
    rest = [ipaddress.ip_network(network)]
    for other in context.others(site, [zone]).get("except", []):
        taken = network_of(other)
        if taken is not None:
            rest = [left for part in rest for left in without(part, ipaddress.ip_network(taken))]
    return [str(part) for part in sorted(rest, key=lambda part: int(part.network_address))]


def autopath(context: Context, _: Site, directive: Directive) -> None:
    """Import the completion of search lists."""
    draft, source = context.draft, source_of(directive)
    if not directive.args or directive.args[-1] != "@kubernetes":
        text = "a search list from a file cannot be used: pods ask for every name of their search list themselves"
        draft.lost(source, "autopath", text)
        return
    draft.put("search.enabled", True, source, "autopath", "see the conditions in zones/dnsserver.toml")
    text = (
        "CoreDNS took the search domains from its own /etc/resolv.conf: write those of the nodes into "
        "search.node_domains, or pods ask for names with these domains one by one"
    )
    draft.differs(source, "autopath", text)
    others = [zone for zone in directive.args[:-1] if zone.rstrip(".") != context.domain]
    if others:
        draft.lost(source, "autopath", f"completion is for the cluster's domain only, not for {', '.join(others)}")
